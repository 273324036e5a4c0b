"""One embedding for each query: the one whose ranking promises most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from octant.calibration import Logistic, fit_logistic
from octant.rankings import Rankings
from octant.selectors import evidence
from octant.selectors.base import Choice, marked
from octant.selectors.learner import Learner, report_of
from octant.selectors.learning import fold_of
from octant.selectors.pool import Pool
from octant.selectors.signals import Floats
from octant.trained import TrainingReport

_RIDGE = 10.0


class Select(Learner):
    """The embedding of the highest expected nDCG@10, by a regression of it on that embedding's signals.

    Where validation finds that no better than one embedding for all queries, it is that one. Choosing gives away what
    the others found: on TREC DL and SQuAD it is behind ``fuse`` (``tests/benchmarks/README.md``). Use it where a
    context must not be mixed. Without learning it takes the embedding of the highest NQC, which is worse than any
    fusion.
    """

    name = "select"
    arrays: ClassVar[Mapping[str, str]] = {"slopes": "es", "intercepts": "e", "mean": "es", "scale": "es"}

    def _select(self, rankings: Rankings) -> Choice:
        found = evidence.of_rankings(rankings)
        expected = self._expected(rankings, found)
        best = max(expected, key=lambda name: expected[name])
        return Choice(
            marked(best, rankings[best]), (best,), {name: round(value, 4) for name, value in expected.items()}
        )

    def _expected(self, rankings: Rankings, found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        if self._learned is None:
            return {name: own["NQC"] for name, own in found.items()}
        state = self._learned.state
        table = evidence.table(found, tuple(rankings), tuple(evidence.EVERY))
        return {
            name: float(
                Logistic(
                    state["slopes"][row], float(state["intercepts"][row]), state["mean"][row], state["scale"][row]
                ).probabilities(table[place : place + 1])[0]
            )
            for place, (name, row) in enumerate(zip(rankings, self._rows(rankings), strict=True))
        }

    def _learn(self, pool: Pool, embeddings: Sequence[str], seed: int) -> tuple[Mapping[str, Floats], TrainingReport]:
        single, chosen = np.zeros(len(pool)), np.zeros(len(pool))
        for fitting, held, where in fold_of(pool, seed):
            alone = held.alone
            expected = np.stack(
                [model.probabilities(held.signals[:, row]) for row, model in enumerate(_models(fitting))], axis=1
            )
            single[where] = alone[:, int(fitting.alone.mean(axis=0).argmax())]
            chosen[where] = np.take_along_axis(alone, expected.argmax(axis=1)[:, None], axis=1)[:, 0]
        gain = chosen - single
        steady = float(gain.mean()) <= float(gain.std(ddof=1) / np.sqrt(len(gain)))
        models = _constant(pool) if steady else _models(pool)
        state = {
            "slopes": np.stack([model.weights for model in models]),
            "intercepts": np.array([model.intercept for model in models]),
            "mean": np.stack([model.mean for model in models]),
            "scale": np.stack([model.scale for model in models]),
        }
        best = embeddings[int(pool.alone.mean(axis=0).argmax())]
        told = f"{best} for every query" if steady else f"the embedding of the highest expected nDCG@10, mostly {best}"
        return state, report_of(told, pool, single, single if steady else chosen, no_change=steady)


def _models(pool: Pool) -> list[Logistic]:
    """Expected nDCG@10 of each embedding, which lies in [0, 1] as a share does."""
    alone = np.clip(pool.alone, 0.0, 1.0)
    return [fit_logistic(pool.signals[:, row], alone[:, row], ridge=_RIDGE) for row in range(alone.shape[1])]


def _constant(pool: Pool) -> list[Logistic]:
    """The same for every query: each embedding's mean."""
    width = pool.signals.shape[2]
    means = np.clip(pool.alone.mean(axis=0), 1e-6, 1 - 1e-6)
    return [Logistic(np.zeros(width), float(np.log(m / (1 - m))), np.zeros(width), np.ones(width)) for m in means]
