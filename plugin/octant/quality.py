"""How good rankings are: recall of the exact neighbours, and metrics of relevance where labels exist.

Every number is per query and lies between 0 and 1; higher is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.datasets import Qrels, VectorDataset
from octant.records import Distance, FloatArray
from octant.vectors import similarity, unit_rows

Rankings: TypeAlias = Sequence[Sequence[int]]
"""For each query, rows of the documents found, best first."""
PerQuery: TypeAlias = Mapping[str, "NDArray[np.float64] | None"]
"""A metric's name to its value for every query, (m,); None where there are no labels to compute it from."""

_BLOCK = 1 << 26
"""Scores computed at a time: 256 MiB of float32."""


class ExactSearch:
    """The exact float32 neighbours of every query, and recall against them.

    Parameters
    ----------
    documents : (n, dim) float32
    queries : (m, dim) float32
    depth : int
        Neighbours to know for each query; the largest ``k`` that recall will be asked for.
    distance : Distance

    Attributes
    ----------
    neighbours : (m, min(depth, n)) int64
        Rows of ``documents``, nearest first.
    """

    def __init__(self, documents: FloatArray, queries: FloatArray, depth: int, distance: Distance) -> None:
        cosine = distance is Distance.COSINE
        self._documents = unit_rows(documents) if cosine else documents
        self._queries = unit_rows(queries, what="queries") if cosine else queries
        self._distance = distance
        depth = min(depth, len(documents))
        block = max(1, _BLOCK // len(documents))
        found = [self._nearest(start, start + block, depth) for start in range(0, len(queries), block)]
        self.neighbours: NDArray[np.int64] = np.concatenate([rows for rows, _ in found])
        self._scores: FloatArray = np.concatenate([scores for _, scores in found])

    def _nearest(self, start: int, stop: int, depth: int) -> tuple[NDArray[np.int64], FloatArray]:
        scores = similarity(self._queries[start:stop], self._documents, self._distance)
        rows = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        best = np.take_along_axis(scores, rows, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)

    def recall(self, found: Rankings, k: int) -> NDArray[np.float64]:
        """Share (m,) of the ``k`` nearest documents among the first ``k`` found.

        A document as near as the k-th nearest counts too, to float32 rounding: which of several equal ones an
        engine returns says nothing about it.
        """
        k = min(k, self.neighbours.shape[1])
        return np.array([self._hits(query, rows[:k], k) / k for query, rows in enumerate(found)])

    def _hits(self, query: int, rows: Sequence[int], k: int) -> int:
        unique = np.unique(np.asarray(rows, np.int64))
        if not len(unique):
            return 0
        threshold = float(self._scores[query, k - 1])
        scores = similarity(self._queries[query : query + 1], self._documents[unique], self._distance)[0]
        tied = scores >= threshold - 1e-6 * max(1.0, abs(threshold))
        return int((tied | np.isin(unique, self.neighbours[query, :k])).sum())


def relevance_metrics(
    found: Rankings,
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    qrels: Qrels,
    *,
    k: int,
    relevant: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """nDCG@k and the reciprocal rank of the first relevant document in the first ``k``, each (m,).

    Parameters
    ----------
    found : sequence of m sequences of int
        Rows of ``document_ids``, best first.
    query_ids : sequence of m str
    document_ids : sequence of n str
    qrels : mapping
    k : int
    relevant : int
        Lowest grade that counts as relevant for the reciprocal rank; nDCG uses the grades themselves.
    """
    import ir_measures

    ndcg, reciprocal = ir_measures.nDCG @ k, ir_measures.RR(rel=relevant) @ k
    # Ranks, not scores: scores of equal documents would be re-ordered by their ids.
    run = {
        query: {document_ids[row]: float(-rank) for rank, row in enumerate(rows)}
        for query, rows in zip(query_ids, found, strict=True)
    }
    judged = {query: dict(qrels[query]) for query in query_ids}
    values = {(one.measure, one.query_id): one.value for one in ir_measures.iter_calc([ndcg, reciprocal], judged, run)}
    return tuple(  # type: ignore[return-value]
        np.array([values.get((measure, query), 0.0) for query in query_ids]) for measure in (ndcg, reciprocal)
    )


def per_query(found: Mapping[int, Rankings], data: VectorDataset, exact: ExactSearch, *, relevant: int = 1) -> PerQuery:
    """Every metric for every query: recall at each depth, nDCG and MRR at the smallest.

    Parameters
    ----------
    found : mapping
        Depth of a search to what it found.
    data : VectorDataset
    exact : ExactSearch
        Of the same documents and queries.
    relevant : int
        See :func:`relevance_metrics`.
    """
    k = min(found)
    ndcg, mrr = None, None
    if data.qrels:
        ndcg, mrr = relevance_metrics(found[k], data.query_ids, data.document_ids, data.qrels, k=k, relevant=relevant)
    recalls = {f"recall@{depth}": exact.recall(found[depth], depth) for depth in sorted(found)}
    return {**recalls, f"ndcg@{k}": ndcg, f"mrr@{k}": mrr}
