"""Fewer near-copies among the answers: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from octant.errors import InputError
from octant.records import Distance, FloatArray, Ranking
from octant.vectors import as_matrix, similarity, unit_rows


def diversify(
    ranking: Ranking, k: int, relevance_weight: float = 0.5, *, distance: Distance | str = Distance.COSINE
) -> Ranking:
    """The ``k`` candidates of ``ranking`` that are relevant without repeating each other, in the order chosen.

    As :func:`maximal_marginal_relevance`, with the candidates' own scores for relevance: a weight of 1 keeps
    the first ``k`` as they are.

    Parameters
    ----------
    ranking : Ranking
        From a dense search ``with_vectors=True``.
    k, relevance_weight, distance
        As in :func:`maximal_marginal_relevance`.

    Raises
    ------
    InputError
        If a candidate carries no vector, or a number is out of range.
    """
    _check(k, relevance_weight)
    vectors = [candidate.vector for candidate in ranking if candidate.vector is not None]
    if len(vectors) < len(ranking):
        raise InputError("every candidate must carry its vector: search with with_vectors=True")
    if not vectors:
        return ranking
    distance = Distance.parse(distance)
    relevance = np.array(ranking.scores, np.float32)
    chosen = _select(relevance, _comparable(np.stack(vectors), distance), k, relevance_weight, distance)
    return Ranking(tuple(ranking[i] for i in chosen), ranking.query)


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
    _check(k, relevance_weight)
    if len(np.asarray(vectors)) == 0:
        return []
    distance = Distance.parse(distance)
    q = _comparable(query, distance, what="the query")
    rows = _comparable(vectors, distance, dim=q.shape[1])
    return _select(similarity(q, rows, distance)[0], rows, k, relevance_weight, distance)


def _check(k: int, relevance_weight: float) -> None:
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    if not 0 <= relevance_weight <= 1:
        raise InputError(f"relevance_weight must lie between 0 (diverse) and 1 (relevant), got {relevance_weight}")


def _comparable(x: ArrayLike, distance: Distance, *, dim: int | None = None, what: str = "vectors") -> FloatArray:
    matrix = as_matrix(x, dim=dim, what=what)
    return unit_rows(matrix, what=what) if distance is Distance.COSINE else matrix


def _select(relevance: FloatArray, rows: FloatArray, k: int, weight: float, distance: Distance) -> list[int]:
    """Up to ``k`` rows (n, dim), greedily; ``relevance`` is (n,)."""
    chosen = [int(np.argmax(relevance))]
    redundancy = np.full(len(rows), -np.inf, np.float32)
    while len(chosen) < min(k, len(rows)):
        latest = rows[chosen[-1], None]
        redundancy = np.maximum(redundancy, similarity(latest, rows, distance)[0])
        gain = weight * relevance - (1 - weight) * redundancy
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
    return chosen
