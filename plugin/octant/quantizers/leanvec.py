"""Query-aware linear reduction (LeanVec): documents and queries are projected by maps of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.quantizers.reduce import Reducer
from octant.quantizers.sample import bounded, check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray

SHRINKAGES = (0.05, 0.2, 0.5, 0.8, 1.0)
"""Shares of the documents' second moment in that of the queries that compete on held-out queries."""
CHECKED = 10_000
"""Vectors that are looked at to see whether they differ; the second moments are those of all."""
_FOLDS = 5
_FLOOR = 1e-7
"""Eigenvalues below this share of the largest are no direction of the data, but rounding."""

Square = NDArray[np.float64]
"""(dim, dim) float64."""


class LeanVec(Reducer):
    """``m`` coordinates whose products are the nearest to those of whole vectors, for the queries that are asked.

    Documents ``x`` are stored as ``B x`` and queries ``q`` asked as ``A q``; the two (m, dim) maps minimise the mean of
    ``(q.x - (A q).(B x))^2`` (arXiv:2312.16335, its equation for queries out of distribution) over documents and
    queries. The paper asks for orthonormal rows and iterates; without that the optimum is closed: with second moments
    ``K_q`` and ``K_x`` and the truncated SVD ``U S V'`` of ``K_q^(1/2) K_x^(1/2)``,
    ``A = S^(1/2) U' K_q^(-1/2)`` and ``B = S^(1/2) V' K_x^(-1/2)``. Dividing ``S`` evenly leaves both sides the
    smallest lengths that any pair of this product has, which is what a coder behind it rounds.

    Without ``queries``, ``K_q = K_x`` and both maps are the principal directions without centring (LeanVec-ID). With
    them (LeanVec-OOD), ``K_q`` is mixed with ``K_x``, to the share that is best on held-out queries in five folds, or a
    larger one that is not surely worse; a single query cannot be held out, and counts for nothing.

    Parameters
    ----------
    m : int
        Coordinates to keep.

    Attributes
    ----------
    document_map_ : (m, dim) float32
        ``B``.
    query_map_ : (m, dim) float32
        ``A``; a point is decoded to ``A' z``, whose product with ``q`` is what the engine computes.
    shrinkage_ : () float32
        Share of ``K_x`` in ``K_q``; 1 without queries.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, q = rng.normal(size=(100, 8)), rng.normal(size=(50, 8)) * [3, 3, 1, 1, 1, 1, 0, 0]
    >>> codec = LeanVec(4).fit(x, queries=q)
    >>> codec.encode(x).shape, bool(codec.shrinkage_ < 1)
    ((100, 4), True)
    """

    name = "leanvec"
    weighs_queries = True
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = ("document_map", "query_map", "shrinkage")
    document_map_: FloatArray
    query_map_: FloatArray
    shrinkage_: FloatArray

    @override
    def vectors_needed(self, dim: int) -> int:
        """As many as coordinates: fewer span fewer directions."""
        del dim
        return max(self.m, 2)

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.query_map_.shape[1] if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        check_varied(self.name, bounded(x, CHECKED, rng))
        documents = second_moment(x)
        share = 1.0 if queries is None else best_shrinkage(documents, queries, self.m, rng)
        asked = documents if queries is None else mixed(second_moment(queries), documents, share)
        a, b = maps(asked, documents, self.m)
        return {
            "document_map": b.astype(np.float32),
            "query_map": a.astype(np.float32),
            "shrinkage": np.float32(share),
        }

    def _encode(self, x: FloatArray) -> CodeArray:
        return np.asarray(x @ self.document_map_.T, np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(codes @ self.query_map_, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        return EncodedQueries.plain(np.asarray(q @ self.query_map_.T, np.float32))


def second_moment(x: FloatArray) -> Square:
    """``E[x x']`` of the rows of ``x`` (n, dim), not centred."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), 4096):  # in blocks: a float64 copy of everything can be too much
        block = x[start : start + 4096].astype(np.float64)
        total += block.T @ block
    return total / len(x)


def mixed(queries: Square, documents: Square, share: float) -> Square:
    """The queries' second moment with ``share`` of the documents', at the queries' scale."""
    scale = np.trace(queries) / np.trace(documents)
    return np.asarray((1 - share) * queries + share * scale * documents)


def maps(queries: Square, documents: Square, m: int) -> tuple[Square, Square]:
    """``A`` and ``B``, each (m, dim), of least mean squared error of products; largest singular value first.

    Directions that the documents do not fill get rows of zeros.
    """
    root_q, inverse_q = _roots(queries)
    root_x, inverse_x = _roots(documents)
    left, sizes, right = np.linalg.svd(root_q @ root_x)
    weights = np.sqrt(sizes[:m])[:, None]
    a, b = weights * (left[:, :m].T @ inverse_q), weights * (right[:m] @ inverse_x)
    # A singular vector is only known up to its sign; fixing it makes equal fits equal.
    peaks = np.take_along_axis(b, np.abs(b).argmax(axis=1)[:, None], axis=1)
    signs = np.where(peaks < 0, -1, 1)
    return a * signs, b * signs


def best_shrinkage(documents: Square, queries: FloatArray, m: int, rng: np.random.Generator) -> float:
    """The share of ``documents`` in the queries' second moment for held-out queries.

    The largest whose error is not surely above the least: within one standard error of the difference over the folds.
    """
    if len(queries) < 2:
        return 1.0
    errors = []
    for held_out in np.array_split(rng.permutation(len(queries)), min(_FOLDS, len(queries))):
        seen, unseen = second_moment(np.delete(queries, held_out, axis=0)), second_moment(queries[held_out])
        pairs = (maps(mixed(seen, documents, share), documents, m) for share in SHRINKAGES)
        errors.append([_error(a, b, unseen, documents) for a, b in pairs])
    table = np.asarray(errors)  # (folds, shares)
    above = table - table[:, [int(table.mean(axis=0).argmin())]]
    doubt = above.std(axis=0, ddof=1) / np.sqrt(len(table))
    return SHRINKAGES[int(np.flatnonzero(above.mean(axis=0) <= doubt)[-1])]


def _error(a: Square, b: Square, queries: Square, documents: Square) -> float:
    """``E (q.x - (A q).(B x))^2`` by second moments."""
    missed = a.T @ b - np.eye(len(queries))
    return float(np.sum((queries @ missed) * (missed @ documents)))


def _roots(moment: Square) -> tuple[Square, Square]:
    """Its square root, and that one's pseudo-inverse."""
    values, vectors = np.linalg.eigh(moment)
    kept = values > _FLOOR * values[-1]
    roots = np.sqrt(values[kept])
    some = vectors[:, kept]
    return (some * roots) @ some.T, (some / roots) @ some.T
