"""Octant's nouns in qdrant-client's words. Pure: nothing here talks to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from qdrant_client import models

from octant.errors import FilterError, InputError, UnsupportedError
from octant.layout import HnswSettings, PointBatch, QuerySettings, VectorLayout, VectorQuery
from octant.records import Filter, FloatArray, NativeQuantization, Placement, SparseVector

E = TypeVar("E", bound=Enum)

COLLECTION_OPTIONS = (
    "shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload", "payload", "id_tracker",
    "optimizers_config", "wal_config", "strict_mode_config", "timeout",
)  # fmt: skip
"""Arguments of ``create_collection`` that are the caller's to choose; the others follow from the layout."""

_BINARY_BITS = {1.0: "one_bit", 1.5: "one_and_half_bits", 2.0: "two_bits"}
_QUERY_BITS = {None: "binary", 4: "scalar4bits", 8: "scalar8bits"}
_TURBO_BITS = {1.0: "bits1", 1.5: "bits1_5", 2.0: "bits2", 4.0: "bits4", 8.0: "bits8"}

# -- configuration -------------------------------------------------------------------------------


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the caller's collection options.

    Raises
    ------
    InputError
        For one that is not among ``COLLECTION_OPTIONS``.
    """
    unknown = sorted(set(options) - set(COLLECTION_OPTIONS))
    if unknown:
        raise InputError(
            f"a server's collection takes the options {', '.join(COLLECTION_OPTIONS)}; got {', '.join(unknown)}"
        )
    return dict(options)


def vector(vector: VectorLayout) -> models.VectorParams:
    """A vector's parameters."""
    return models.VectorParams(
        size=vector.size,
        distance=models.Distance(vector.metric.value),
        datatype=member(models.Datatype, vector.datatype),
        memory=memory(vector.placement),
        quantization_config=_quantization(vector.quantization, vector.quantization_placement),
        hnsw_config=_hnsw(vector.hnsw, vector.graph_placement),
        multivector_config=multivector(vector),
    )


def multivector(vector: VectorLayout) -> models.MultiVectorConfig | None:
    """How rows are compared where a point has several; None where it has one."""
    return models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM) if vector.multivector else None


def _hnsw(hnsw: HnswSettings, placement: Placement) -> models.HnswConfigDiff:
    return models.HnswConfigDiff(
        m=hnsw.m,
        ef_construct=hnsw.ef_construct,
        full_scan_threshold=hnsw.full_scan_threshold,
        memory=memory(placement if hnsw.m else "cold"),
    )


def _quantization(wanted: NativeQuantization | None, placement: Placement) -> models.QuantizationConfig | None:
    if wanted is None:
        return None
    where = memory(placement)
    if wanted.kind == "scalar":
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, memory=where)
        )
    if wanted.kind == "product":
        compression = models.CompressionRatio(f"x{wanted.ratio}")
        return models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=compression, memory=where)
        )
    if wanted.kind == "binary":
        return models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(
                encoding=models.BinaryQuantizationEncoding(_BINARY_BITS[wanted.bits]),
                query_encoding=models.BinaryQuantizationQueryEncoding(_QUERY_BITS[wanted.query_bits]),
                memory=where,
            )
        )
    return models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(
            bits=member(models.TurboQuantBitSize, _TURBO_BITS[wanted.bits]), memory=where
        )
    )


def optimizers(
    carried: object, given: Mapping[str, Any], indexing_threshold: int | None
) -> models.OptimizersConfigDiff:
    """The optimizer's settings: the caller's, else those ``carried`` over with the threshold of Octant's vectors."""
    own = models.OptimizersConfigDiff() if carried is None else models.OptimizersConfigDiff.model_validate(carried)
    chosen = "optimizers_config" in given and own.indexing_threshold is not None
    if chosen or indexing_threshold is None:
        return own
    return own.model_copy(update={"indexing_threshold": indexing_threshold})


def member(kind: type[E], value: str) -> E:
    """The member of ``kind`` that Qdrant calls ``value``.

    Raises
    ------
    UnsupportedError
        If the installed client has none.
    """
    try:
        return kind(value)
    except ValueError as error:
        raise UnsupportedError(
            f"{value} is unknown to the installed qdrant-client {version('qdrant-client')}: "
            "pip install 'qdrant-client>=1.20'"
        ) from error


def memory(placement: Placement) -> models.Memory:
    """Qdrant's word for where something lives."""
    return models.Memory(placement)


# -- points --------------------------------------------------------------------------------------


def batch(points: PointBatch) -> models.Batch | list[models.PointStruct]:
    """Points as one upsert takes them: in columns, or one by one where not every point has every vector.

    Raises
    ------
    InputError
        If an id is none of Qdrant's.
    """
    try:
        if not _complete(points):
            rows = zip(points.ids, named_vectors(points), points.payloads, strict=True)
            return [models.PointStruct(id=point, vector=row, payload=dict(payload)) for point, row, payload in rows]
        # 8-bit codes too: the client's models take floats only.
        columns: dict[str, Any] = {name: np.asarray(x, np.float32).tolist() for name, x in points.vectors.items()}
        columns |= {
            name: [_sparse(entry) for entry in column if entry is not None] for name, column in points.sparse.items()
        }
        vectors = columns[""] if set(columns) == {""} else columns
        return models.Batch(
            ids=list(points.ids), vectors=vectors, payloads=[dict(payload) for payload in points.payloads]
        )
    except ValidationError as error:
        raise InputError(f"these points are none that Qdrant takes: {_first(error)}") from error


def _complete(points: PointBatch) -> bool:
    some = points.vectors or points.sparse
    whole = all(entry is not None for column in points.sparse.values() for entry in column)
    return bool(some) and whole and not points.multi and not any(rows.any() for rows in points.absent.values())


def named_vectors(points: PointBatch, *, local: bool = False) -> list[dict[str, Any]]:
    """What each point has, by vector name; arrays for local mode, which computes with them."""
    columns: dict[str, Any] = {name: np.asarray(x, np.float32) for name, x in points.vectors.items()}
    if not local:
        columns = {name: x.tolist() for name, x in columns.items()}
    for name, rows in points.absent.items():
        columns[name] = [None if gone else row for gone, row in zip(rows, columns[name], strict=True)]
    for name, column in points.sparse.items():
        columns[name] = [None if entry is None else _sparse(entry) for entry in column]
    for name, matrices in points.multi.items():
        columns[name] = [None if entry is None else entry.tolist() for entry in matrices]
    if not columns:
        return [{} for _ in points.ids]
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def local_points(points: PointBatch) -> list[models.PointStruct]:
    """Points as local mode computes with them: arrays, which a validated model would turn into lists first."""
    return [
        models.PointStruct.model_construct(id=point, vector=row, payload=dict(payload))
        for point, row, payload in zip(points.ids, named_vectors(points, local=True), points.payloads, strict=True)
    ]


def point_vectors(points: PointBatch) -> list[models.PointVectors]:
    """Vectors alone, of points that are there."""
    return [
        models.PointVectors(id=point, vector=row) for point, row in zip(points.ids, named_vectors(points), strict=True)
    ]


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def selection(names: Sequence[str]) -> bool | list[str]:
    """Which vectors an answer carries; the unnamed one cannot be asked for by name."""
    if not names:
        return False
    return True if "" in names else list(names)


# -- questions -----------------------------------------------------------------------------------


def request(query: VectorQuery, *, local: bool) -> models.QueryRequest:
    """One query of a batch. Local mode has no search settings and warns of every one it is sent."""
    return models.QueryRequest(
        query=_target(query.vector, local=local),
        **_nested(query, local=local),
        offset=query.offset or None,
        with_payload=query.with_payload,
        with_vector=selection(query.with_vectors),
    )


def arguments(query: VectorQuery, *, local: bool) -> dict[str, Any]:
    """One query on its own, as ``query_points`` takes it."""
    vector, given = query.vector, _nested(query, local=local)
    plain = isinstance(vector, SparseVector) or local
    wanted, settings = given.pop("filter"), given.pop("params")
    return {
        "query": _target(vector, local=local) if plain else vector,
        **given,
        "query_filter": wanted,
        "search_params": settings,
        "offset": query.offset or None,
        "with_payload": query.with_payload,
        "with_vectors": selection(query.with_vectors),
    }


def _nested(query: VectorQuery, *, local: bool) -> dict[str, Any]:
    """What a query says beside its vector wherever it stands: alone, in a batch, or inside of another."""
    inner: models.Prefetch | None = None
    if query.prefetch is not None:
        target = _target(query.prefetch.vector, local=local)
        inner = models.Prefetch(query=target, **_nested(query.prefetch, local=local))
    return {
        "using": query.using or None,
        "prefetch": inner,
        "filter": None if query.filter is None else filter_(query.filter),
        "params": None if local else _settings(query.settings),
        "score_threshold": query.score_threshold,
        "limit": query.limit,
    }


def _target(vector: FloatArray | SparseVector, *, local: bool) -> Any:
    if isinstance(vector, SparseVector):
        return _sparse(vector)
    if local:
        # Local mode computes in numpy, but checks and deep-copies a list number by number: a third of its time.
        return models.NearestQuery.model_construct(nearest=vector)
    return vector.tolist()


def _settings(settings: QuerySettings) -> models.SearchParams | None:
    quantization = None
    if settings.rescore is not None or settings.oversampling is not None:
        quantization = models.QuantizationSearchParams(rescore=settings.rescore, oversampling=settings.oversampling)
    if quantization is None and settings.hnsw_ef is None and not settings.exact:
        return None
    return models.SearchParams(hnsw_ef=settings.hnsw_ef, exact=settings.exact, quantization=quantization)


def filter_(query_filter: Filter) -> models.Filter:
    """The client's filter from the REST form.

    Raises
    ------
    FilterError
        If it is not one of Qdrant's.
    """
    try:
        return models.Filter.model_validate(query_filter)
    except ValidationError as error:
        raise FilterError(f"not a filter that Qdrant knows: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    # Unions report every alternative that did not fit; the deepest one is nearest to what was meant.
    nearest = max(error.errors(include_url=False, include_context=False), key=lambda entry: len(entry["loc"]))
    place = ".".join(str(part) for part in nearest["loc"])
    return f"{nearest['msg']} at {place} (got {str(nearest['input'])[:80]})"
