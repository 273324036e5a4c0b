"""What a figure will be in the full collection, from what it was on samples.

Recall falls with the logarithm of the number of points, near enough: each doubling brings about as many new near
neighbours to be confused with. Two sizes give the slope, query by query, so that the spread of those slopes over the
queries says how unsure the line is. Bytes are a constant and a share for each point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt

import numpy as np

from octant.recommendation import Expected
from octant.statistics import bounded_mean, student_quantile


def measured(values: Sequence[float]) -> Expected:
    """The mean of a value for each query, all between 0 and 1, with its 95 % interval.

    Examples
    --------
    >>> measured([1.0, 1.0, 0.9, 1.0]).value
    0.975
    """
    found = bounded_mean(values)
    return Expected(found.value, found.low, found.high, False)


def carried(small: Sequence[float], large: Sequence[float], sizes: tuple[int, int], points: int) -> Expected:
    """The mean at ``points`` of what the same queries reached on samples of two ``sizes``, estimated.

    The line through both is continued for each query. The interval holds that of the continued values and, since
    recall that seems to rise does so by chance, never lies above the larger sample's own.

    Parameters
    ----------
    small, large : sequence of n float
        Between 0 and 1, in the order of the queries.
    sizes : pair of int
        Points in the smaller and in the larger sample.
    points : int

    Examples
    --------
    >>> found = carried([0.96] * 50 + [1.0] * 50, [0.94] * 50 + [1.0] * 50, (1_000, 10_000), 100_000)
    >>> round(found.value, 3), found.estimated
    (0.96, True)
    """
    here = measured(large)
    before, after = np.asarray(small, np.float64), np.asarray(large, np.float64)
    further = log(points / sizes[1]) / log(sizes[1] / sizes[0])
    line = after + further * (after - before)
    value = float(line.mean())
    half = 0.0
    if len(line) > 1:
        half = student_quantile(0.975, len(line) - 1) * float(line.std(ddof=1)) / sqrt(len(line))
    low, high = min(here.low, value - half), min(here.high, max(value + half, here.low))
    value = min(here.value, value)
    clipped = [min(1.0, max(0.0, one)) for one in (value, low, high)]
    return Expected(clipped[0], min(clipped[0], clipped[1]), max(clipped[0], clipped[2]), True)


def bytes_at(components: Sequence[Mapping[str, float]], sizes: Sequence[int], points: int) -> dict[str, float]:
    """Bytes a vector by component in a collection of ``points``.

    Parameters
    ----------
    components : sequence of mapping
        Bytes in all, on samples of rising ``sizes``; the last two tell constant and share, one alone only the share.
    sizes : sequence of int
    points : int

    Examples
    --------
    >>> bytes_at([{"ids": 120.0}, {"ids": 220.0}], [10, 20], 1_000)
    {'ids': 10.02}
    >>> bytes_at([{"ids": 220.0}], [20], 1_000)
    {'ids': 11.0}
    """
    last, size = components[-1], sizes[-1]
    if len(components) < 2:
        return {name: total / size for name, total in last.items()}
    first, before = components[-2], sizes[-2]
    each = {name: (total - first.get(name, 0.0)) / (size - before) for name, total in last.items()}
    return {
        name: max(0.0, each[name] + (total - each[name] * size) / points) for name, total in last.items()
    }  # fmt: skip
