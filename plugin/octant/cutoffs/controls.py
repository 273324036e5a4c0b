"""What a cutoff has to beat, and the most that any could reach: numbers by which all pairs of all queries are ordered.

Each takes scores (m, n), best first and NaN behind the last candidate, and gives numbers of that shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs.maps import Real


def fixed_threshold(scores: Real) -> Real:
    """The score itself: one threshold for all queries."""
    return scores


def fixed_k(scores: Real) -> Real:
    """Minus the rank: as many candidates for all queries."""
    ranks = np.broadcast_to(-np.arange(scores.shape[1], dtype=np.float64), scores.shape)
    return np.where(np.isnan(scores), np.nan, ranks)


def z_score(scores: Real, probe: int | None = None) -> Real:
    """Standard deviations above the mean of the query's own candidates, or of its best ``probe``."""
    seen = scores[:, :probe]
    mean, spread = np.nanmean(seen, axis=1, keepdims=True), np.nanstd(seen, axis=1, keepdims=True)
    return np.asarray((scores - mean) / np.where(spread > 0, spread, 1.0))


def best_monotone(scores: Real, relevant: NDArray[np.bool_]) -> Real:
    """The most that a monotone map for each query could reach: it knows what is relevant.

    Isotonic regression of relevance on rank (pool adjacent violators) for each query, ties in rank order: the share of
    relevant ones in the block that a candidate falls into.
    """
    best = np.full(scores.shape, np.nan)
    for row, found in enumerate(relevant):
        count = int((~np.isnan(scores[row])).sum())
        best[row, :count] = _decreasing(found[:count].astype(np.float64))
    return best


def _decreasing(values: Real) -> Real:
    """The non-increasing sequence nearest to ``values`` (n,) in squares."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values:
        means.append(float(value))
        sizes.append(1)
        while len(means) > 1 and means[-2] < means[-1]:
            mean, size = means.pop(), sizes.pop()
            means[-1] = (means[-1] * sizes[-1] + mean * size) / (sizes[-1] + size)
            sizes[-1] += size
    return np.repeat(means, sizes).astype(np.float64)
