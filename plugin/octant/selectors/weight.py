"""Weights that change from query to query: what was learned for all of them, moved by what the rankings show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from octant.errors import InputError
from octant.rankings import Rankings
from octant.selectors import evidence
from octant.selectors.base import Choice
from octant.selectors.fuse import fused, learned_weights
from octant.selectors.learner import Learner, report_of, shares
from octant.selectors.learning import fold_of, slopes_of, static_weights
from octant.selectors.pool import Pool
from octant.selectors.signals import Floats
from octant.trained import TrainingReport

RIDGES = (10.0, 100.0)
"""Precisions of the prior that signals say nothing, in queries."""
LEAST = 200
"""Queries below which only weights for all queries are learned: fewer cannot show what is worth .003."""
_REACH = 3.0


class Weight(Learner):
    """``fuse`` with weights ``w * exp(slopes @ signals)``, where validation finds that better than ``w`` alone.

    The signals are each embedding's own (:mod:`octant.selectors.evidence`), standardised. Below 200 judged queries, or
    where the gain is within its own error, the slopes are 0 and this is ``fuse``: on TREC DL, with 43 and 54 queries,
    nothing could be shown. Without learning, the weights follow NQC alone.
    """

    name = "weight"
    arrays: ClassVar[Mapping[str, str]] = {"weights": "e", "slopes": "es", "mean": "es", "scale": "es"}

    def _select(self, rankings: Rankings) -> Choice:
        found = evidence.of_rankings(rankings)
        if self._learned is None:
            return fused(rankings, shares(np.array([max(own["NQC"], 0.0) for own in found.values()])))
        state, rows = self._learned.state, self._rows(rankings)
        table = evidence.table(found, tuple(rankings), tuple(evidence.EVERY))
        moved = standard(table, state["mean"][rows], state["scale"][rows]) * state["slopes"][rows]
        return fused(rankings, shares(state["weights"][rows] * np.exp(moved.sum(axis=1))))

    def _learn(self, pool: Pool, embeddings: Sequence[str], seed: int) -> tuple[Mapping[str, Floats], TrainingReport]:
        mean, scale = moments(pool.signals)
        weights, report = learned_weights(pool, embeddings, seed)
        slopes = np.zeros(pool.signals.shape[1:])
        if len(pool) >= LEAST and not report.no_change:
            ridge, before, after = _validated(pool, seed)
            if ridge is not None:
                slopes = slopes_of(pool, standard(pool.signals, mean, scale), ridge)
                report = report_of(
                    f"{report.learned}; moved by signals (ridge {ridge:g})", pool, before, after,
                    remarks=("before is here the same sum with one weight for all queries",),
                )  # fmt: skip
        return {"weights": weights, "slopes": slopes, "mean": mean, "scale": scale}, report


def _validated(pool: Pool, seed: int) -> tuple[float | None, Floats, Floats]:
    """The ridge whose gain over weights for all queries is beyond one error, or None; nDCG before and after."""
    plain = np.zeros(len(pool))
    moved = {ridge: np.zeros(len(pool)) for ridge in RIDGES}
    for fitting, held, where in fold_of(pool, seed):
        weights = static_weights(fitting)
        plain[where] = held.ndcg(weights)
        mean, scale = moments(fitting.signals)
        seen, asked = (standard(part.signals, mean, scale) for part in (fitting, held))
        for ridge in RIDGES:
            slopes = slopes_of(fitting, seen, ridge)
            moved[ridge][where] = held.ndcg(weights * np.exp((asked * slopes).sum(axis=2)))
    best = max(RIDGES, key=lambda ridge: float(moved[ridge].mean()))
    gain = moved[best] - plain
    sure = float(gain.mean()) > float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return (best if sure else None), plain, moved[best]


def moments(signals: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (s, f) of the signals that are known, of (q, s, f); 1 where one never changes."""
    known = np.isfinite(signals)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, signals, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(known, signals - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(scale > 1e-9 * (1 + np.abs(mean)), scale, 1.0)


def standard(signals: Floats, mean: Floats, scale: Floats) -> Floats:
    """Signals in standard deviations, within three of them; unknown ones 0.

    Raises
    ------
    InputError
        If a scale is not above 0.
    """
    if not (scale > 0).all():
        raise InputError("the scales of signals must be above 0: what was learned is damaged, learn again")
    result: Floats = np.clip(np.nan_to_num((signals - mean) / scale, nan=0.0, posinf=0.0, neginf=0.0), -_REACH, _REACH)
    return result
