"""From scores in a bent space to similarities: an affine map, learned from pairs.

A reducer that is not linear has scores of its own, which follow the similarity of the vectors but are not it. At fit
some vectors play the queries: the scores of what they find among others, and of everything else, next to the true
similarities, give ``similarity = slope * raw + intercept``. The line goes through the mean of what is found, because
thresholds and fusion read those scores; its slope has the least squared error for all the rest.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from octant.errors import VectorValueError
from octant.records import FloatArray

Line: TypeAlias = "tuple[np.float32, np.float32]"
"""Slope and intercept."""

QUERIES, POINTS = 200, 20_000
"""Most vectors that play queries and points."""
_FOUND = 10
"""Best points of each query that count as found."""


def line(raw: FloatArray, true: FloatArray) -> Line:
    """Slope and intercept of ``true`` over ``raw``, both (m, n), higher being better in both.

    Raises
    ------
    VectorValueError
        If ``true`` does not rise with ``raw``: such scores would find the wrong end.
    """
    count = min(_FOUND, max(1, raw.shape[1] // 2))
    best = np.argpartition(-raw, count - 1, axis=1)[:, :count]
    found, meant = (float(np.take_along_axis(scores, best, axis=1).mean(dtype=np.float64)) for scores in (raw, true))
    beyond, rest = (scores.astype(np.float64) - mean for scores, mean in ((raw, found), (true, meant)))
    size = float(np.vdot(beyond, beyond))
    slope = float(np.vdot(beyond, rest)) / size if size > 0 else 0.0
    if not slope > 0 or not np.isfinite(slope):
        raise VectorValueError(
            f"scores in the reduced space should rise with the similarity of the vectors, but have a slope of "
            f"{slope:.3g}: pass a larger sample, or keep more coordinates"
        )
    return np.float32(slope), np.float32(meant - slope * found)


def split(x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rows that play the queries and rows that play the points, disjoint: some of ``x`` (n, dim), or real ``queries``.

    Raises
    ------
    VectorValueError
        If there are fewer than two vectors.
    """
    if len(x) < 2:
        raise VectorValueError(f"at least 2 vectors are needed to calibrate scores, got {len(x)}")
    order = rng.permutation(len(x))
    count = min(QUERIES, len(x) // 4 or 1)
    asked = x[order[:count]] if queries is None else queries[rng.permutation(len(queries))[:QUERIES]]
    return asked, x[order[count : count + POINTS]]
