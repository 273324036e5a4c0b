"""Intervals of means over queries that come in groups, and of whatever else is drawn by query."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from octant.statistics import Estimate

RESAMPLES = 1000


def clustered(values: np.ndarray, groups: Sequence[str]) -> Estimate:
    """Mean (n,) with a 95 % interval from drawing whole groups; queries without a group stand for themselves."""
    names = np.array([group or f"query {place}" for place, group in enumerate(groups)])
    _, place = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(place, weights=values), np.bincount(place)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def resampled(measure: Callable[[np.ndarray], float], n: int) -> Estimate:
    """``measure`` of rows into ``n`` queries, with a 95 % interval; draws that it cannot measure are left out."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        try:
            drawn.append(measure(rng.integers(0, n, n)))
        except ValueError:
            continue
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(measure(np.arange(n))), float(low), float(high))


def shown(estimate: Estimate, digits: int = 3, *, sign: bool = False) -> str:
    """``.731 [.702, .760]``."""
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
