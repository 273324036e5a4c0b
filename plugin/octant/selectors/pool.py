"""Scores of several embeddings on one scale, for one query and for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.records import PointId, Ranking
from octant.selectors import evidence
from octant.selectors.judgements import JudgedSearches
from octant.selectors.signals import Floats

CUTOFF = 10
"""Where nDCG is cut off."""


def by_score(ranking: Ranking) -> Floats:
    """Scores (n,) above the lowest, in standard deviations: 0 is what was found last, or not at all.

    Scores that are all alike, or a single one, count 1 each: being found is what they say.
    """
    x = np.asarray(ranking.scores, np.float64)
    deviation = float(x.std()) if len(x) else 0.0
    if not len(x) or deviation <= 1e-12 * (1 + float(np.abs(x).max())):
        return np.ones(len(x))
    parts: Floats = (x - x.min()) / deviation
    return parts


def by_rank(ranking: Ranking, k: int) -> Floats:
    """``(k + 1) / (k + rank)`` (n,): 1 for the best, as in reciprocal rank fusion (Cormack et al., SIGIR 2009)."""
    parts: Floats = (k + 1) / (k + np.arange(1, len(ranking) + 1, dtype=np.float64))
    return parts


def ndcg(ids: Sequence[PointId], gains: Mapping[PointId, float]) -> float:
    """nDCG@10 of a ranking against everything judged, linear gains; 0 where nothing is relevant."""
    best = np.sort([gain for gain in gains.values() if gain > 0])[::-1][:CUTOFF]
    if not len(best):
        return 0.0
    found = np.array([max(gains.get(point, 0.0), 0.0) for point in ids[:CUTOFF]])
    return float((found @ _discounts(len(found))) / (best @ _discounts(len(best))))


def _discounts(count: int) -> Floats:
    discounts: Floats = 1 / np.log2(np.arange(2, count + 2))
    return discounts


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates of many queries side by side, padded with zeros.

    Attributes
    ----------
    parts : (q, n, s) float64
        Of every candidate in every embedding; 0 where it was not found.
    gains : (q, n) float64
    there : (q, n) bool
        False for padding.
    ideal : (q,) float64
        Discounted cumulative gain of the best order of everything judged; above 0.
    alone : (q, s) float64
        nDCG@10 of every embedding by itself.
    signals : (q, s, f) float64
        In the order of ``evidence.EVERY``.
    groups : tuple of q str
    """

    parts: Floats
    gains: Floats
    there: NDArray[np.bool_]
    ideal: Floats
    alone: Floats
    signals: Floats
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ideal)

    def at(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Pool:
        """The queries at ``places``."""
        index = np.arange(len(self))[places]
        return Pool(
            self.parts[index], self.gains[index], self.there[index], self.ideal[index], self.alone[index],
            self.signals[index],
            tuple(self.groups[int(place)] for place in index),
        )  # fmt: skip

    def ndcg(self, weights: Floats) -> Floats:
        """nDCG@10 (q,) of the weighted sums, for weights (s,) or (q, s)."""
        each = np.broadcast_to(weights, (len(self), self.parts.shape[2]))
        scores = np.where(self.there, np.einsum("qns,qs->qn", self.parts, each), -np.inf)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :CUTOFF]
        gains = np.take_along_axis(self.gains, best, axis=1)
        found: Floats = gains @ _discounts(gains.shape[1]) / self.ideal
        return found


def pooled(
    judged: JudgedSearches,
    embeddings: Sequence[str],
    *,
    depth: int,
    ranks: int | None = None,
    with_signals: bool = True,
) -> Pool:
    """``judged`` queries, all with something relevant, as one pool over ``embeddings``.

    Parameters
    ----------
    depth : int
        Candidates of each embedding.
    ranks : int, optional
        The k of ranks; scores without it.
    with_signals : bool
        Whether signals are needed; zeros otherwise.
    """
    rows = [_row(one.rankings, embeddings, depth, ranks) for one in judged]
    width = max(len(ids) for ids, _ in rows)
    parts = np.zeros((len(rows), width, len(embeddings)))
    gains, there = np.zeros((len(rows), width)), np.zeros((len(rows), width), bool)
    ideal, alone = np.zeros(len(rows)), np.zeros((len(rows), len(embeddings)))
    signals = np.zeros((len(rows), len(embeddings), len(evidence.EVERY)))
    for place, (one, (ids, own)) in enumerate(zip(judged, rows, strict=True)):
        parts[place, : len(ids)] = own
        gains[place, : len(ids)] = [max(one.gains.get(point, 0.0), 0.0) for point in ids]
        there[place, : len(ids)] = True
        best = np.sort([gain for gain in one.gains.values() if gain > 0])[::-1][:CUTOFF]
        ideal[place] = best @ _discounts(len(best))
        alone[place] = [ndcg(one.rankings[name].ids, one.gains) if name in one.rankings else 0.0 for name in embeddings]
        if with_signals:
            signals[place] = evidence.table(evidence.of_rankings(one.rankings), embeddings, tuple(evidence.EVERY))
    return Pool(parts, gains, there, ideal, alone, signals, tuple(one.group for one in judged))


def _row(
    rankings: Mapping[str, Ranking], embeddings: Sequence[str], depth: int, ranks: int | None
) -> tuple[list[PointId], Floats]:
    places: dict[PointId, int] = {}
    found = []
    for column, name in enumerate(embeddings):
        ranking = rankings.get(name)
        if not ranking:
            continue
        cut = Ranking(ranking.candidates[:depth])
        rows = [places.setdefault(point, len(places)) for point in cut.ids]
        found.append((rows, column, by_score(cut) if ranks is None else by_rank(cut, ranks)))
    parts = np.zeros((len(places), len(embeddings)))
    for rows, column, values in found:
        parts[rows, column] = values
    return list(places), parts
