"""One ranking of all embeddings, each with a weight that was learned: weighted CombSUM and weighted RRF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, get_args

import numpy as np

from octant.errors import InputError
from octant.fusion import combined
from octant.rankings import Rankings
from octant.records import Candidate
from octant.selectors.base import Choice
from octant.selectors.learner import Learner, report_of, shares
from octant.selectors.learning import fold_of, static_weights
from octant.selectors.pool import Pool, by_rank, by_score
from octant.selectors.signals import Floats
from octant.trained import TrainingReport

By = Literal["scores", "ranks"]
_DOUBT = 0.5
_FAINT = 0.005


class Fuse(Learner):
    """The weighted sum of standardised scores (CombSUM, Fox and Shaw 1994) or of reciprocal ranks.

    Weights come from as few as 20 judged queries; without any, every embedding counts alike, which loses much where
    some of them are weak or near copies of each other. The best single embedding is the fall-back: cross-validation
    chooses it where the sum is worse than it.

    Parameters
    ----------
    by : {"scores", "ranks"}
    k : int
        Of ranks: ``(k + 1) / (k + rank)``; smaller trusts the first ranks more.

    Raises
    ------
    InputError
    """

    name = "fuse"
    usage = "fuse, or fuse(by=ranks, k=60)"
    arrays: ClassVar[Mapping[str, str]] = {"weights": "e"}

    def __init__(self, by: By = "scores", k: int = 60) -> None:
        if by not in get_args(By):
            raise InputError(f"by is 'scores' or 'ranks', got {by!r}")
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise InputError(f"k must be a whole number of at least 0, got {k!r}")
        self.by, self.k = by, k
        self.ranks = k if by == "ranks" else None

    def _select(self, rankings: Rankings) -> Choice:
        return fused(rankings, self._weights(rankings), self.ranks)

    def _weights(self, rankings: Rankings) -> Floats:
        """Of the embeddings that answered, summing to 1."""
        if self._learned is None:
            return np.full(len(rankings), 1 / len(rankings))
        return shares(self._learned.state["weights"][self._rows(rankings)])

    def _learn(self, pool: Pool, embeddings: Sequence[str], seed: int) -> tuple[Mapping[str, Floats], TrainingReport]:
        weights, report = learned_weights(pool, embeddings, seed)
        return {"weights": weights}, report


def fused(rankings: Rankings, weights: Floats, ranks: int | None = None) -> Choice:
    """The weighted sum; embeddings of weight 0 are left out."""
    taking = {name: float(weight) for name, weight in zip(rankings, weights, strict=True) if weight > 0}
    branches: dict[str, Sequence[Candidate]] = {name: rankings[name].candidates for name in taking}
    parts = {
        name: list(weight * (by_score(rankings[name]) if ranks is None else by_rank(rankings[name], ranks)))
        for name, weight in taking.items()
    }
    told = {name: round(float(weight), 4) for name, weight in zip(rankings, weights, strict=True)}
    if len(taking) == 1:  # its own scores mean more than a standardised copy of them
        [name] = taking
        only = tuple(replace(one, branch_scores={name: one.score}) for one in branches[name])
        return Choice(only, (name,), told)
    return Choice([_plain(one) for one in combined(branches, parts)], tuple(taking), told)


def learned_weights(pool: Pool, embeddings: Sequence[str], seed: int) -> tuple[Floats, TrainingReport]:
    """Weights (s,) that sum to 1, all of it on one embedding where validation prefers that."""
    single, summed = np.zeros(len(pool)), np.zeros(len(pool))
    for fitting, held, where in fold_of(pool, seed):
        single[where] = held.alone @ _best(fitting)
        summed[where] = held.ndcg(_thinned(static_weights(fitting)))
    gain = summed - single
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else 0.0
    # Few queries scatter more than fusion gains: the fall-back needs a reason, a draw is none.
    falls_back = float(gain.mean()) < -_DOUBT * error
    weights = _best(pool) if falls_back else _thinned(static_weights(pool))
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(embeddings, weights, strict=True))
    return weights, report_of(f"weights: {told}", pool, single, single if falls_back else summed, no_change=falls_back)


def _thinned(weights: Floats) -> Floats:
    """Without what would hardly count: a weight of 0 saves a search."""
    return shares(np.where(weights < _FAINT, 0.0, weights))


def _best(pool: Pool) -> Floats:
    best: Floats = np.eye(pool.alone.shape[1])[int(pool.alone.mean(axis=0).argmax())]
    return best


def _plain(candidate: Candidate) -> Candidate:
    return replace(candidate, score=float(candidate.score))
