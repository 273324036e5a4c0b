"""Fewer near-copies among the answers: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from octant.errors import InputError
from octant.records import Distance, FloatArray
from octant.vectors import as_matrix, similarity, unit_rows


def maximal_marginal_relevance(
    query: ArrayLike,
    vectors: ArrayLike,
    k: int,
    relevance_weight: float = 0.5,
    *,
    distance: Distance | str = Distance.COSINE,
) -> list[int]:
    """Rows of ``vectors`` that answer ``query`` without repeating each other, in the order chosen.

    The most relevant row comes first; every next one maximises ``relevance_weight * s(query, row) -
    (1 - relevance_weight) * max s(chosen, row)``, where ``s`` is the similarity under ``distance``, higher is
    better. Equal rows are taken in the order given.

    Parameters
    ----------
    query : (dim,) array_like of float
    vectors : (n, dim) array_like of float
        Candidates; may be empty.
    k : int
        Rows wanted, at least 1; all ``n`` are returned where there are fewer.
    relevance_weight : float
        1 orders by relevance alone, 0 by distance from what is already chosen.
    distance : Distance or str

    Raises
    ------
    InputError
        If ``k`` is below 1 or ``relevance_weight`` outside [0, 1].
    VectorValueError, DimensionError
        If the vectors hold NaN, inf or, under cosine, only zeros, or are of another width than the query.

    Examples
    --------
    >>> maximal_marginal_relevance([1, 0], [[1, 0], [1, 0], [1, 1]], k=2, relevance_weight=0.3)
    [0, 2]
    """
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    if not 0 <= relevance_weight <= 1:
        raise InputError(
            f"relevance_weight must lie between 0 (diverse) and 1 (relevant), got {relevance_weight}"
        )
    if len(np.asarray(vectors)) == 0:
        return []
    distance = Distance.parse(distance)
    q = as_matrix(query, what="the query")
    rows = as_matrix(vectors, dim=q.shape[1])
    if distance is Distance.COSINE:
        q, rows = unit_rows(q, what="the query"), unit_rows(rows)
    return _select(similarity(q, rows, distance)[0], rows, min(k, len(rows)), relevance_weight, distance)


def _select(relevance: FloatArray, rows: FloatArray, k: int, weight: float, distance: Distance) -> list[int]:
    """``k`` rows (n, dim), greedily; ``relevance`` is (n,)."""
    chosen = [int(np.argmax(relevance))]
    redundancy = np.full(len(rows), -np.inf, np.float32)
    while len(chosen) < k:
        latest = rows[chosen[-1], None]
        redundancy = np.maximum(redundancy, similarity(latest, rows, distance)[0])
        gain = weight * relevance - (1 - weight) * redundancy
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
    return chosen
