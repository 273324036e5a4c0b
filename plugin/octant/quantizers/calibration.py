"""From scores in a bent space to similarities: an affine map, learned from pairs.

A reducer that is not linear has scores of its own, which follow the similarity of the vectors but are not it. At fit
some vectors play the queries; their scores against others, next to the true similarities, give ``slope`` and
``intercept`` of ``similarity = slope * raw + intercept`` by least squares.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.errors import VectorValueError
from octant.records import FloatArray

Line: TypeAlias = "tuple[np.float32, np.float32]"
"""Slope and intercept."""

QUERIES, POINTS = 200, 2000
"""How many vectors play queries and points; two numbers are learned, so more change nothing."""
_FOUND = 50
"""Best points of each query that take part, beside as many others: a search returns such, a threshold sees both."""


def line(raw: FloatArray, true: FloatArray) -> Line:
    """Slope and intercept of ``true`` over ``raw``, both (m, n), higher being better in both.

    Half of the pairs are what each row finds best by ``raw``, half are spread evenly over its other ranks.

    Raises
    ------
    VectorValueError
        If ``true`` does not rise with ``raw``: such scores would find the wrong end.
    """
    pairs = _pairs(raw)
    found, meant = (np.take_along_axis(scores, pairs, axis=1).astype(np.float64).ravel() for scores in (raw, true))
    spread = found - found.mean()
    size = float(spread @ spread)
    slope = float(spread @ meant) / size if size > 0 else 0.0
    if not slope > 0 or not np.isfinite(slope):
        raise VectorValueError(
            f"scores in the reduced space should rise with the similarity of the vectors, but have a slope of "
            f"{slope:.3g}: pass a larger sample, or keep more coordinates"
        )
    return np.float32(slope), np.float32(meant.mean() - slope * found.mean())


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


def _pairs(raw: FloatArray) -> NDArray[np.intp]:
    """Columns (m, at most 2 * _FOUND) of the pairs that take part, row by row."""
    order = np.argsort(-raw, axis=1, kind="stable")
    found = min(_FOUND, max(1, raw.shape[1] // 20))
    others = np.linspace(0, raw.shape[1] - 1, found).astype(int)
    return np.asarray(np.concatenate([order[:, :found], order[:, others]], axis=1))
