"""Octant's nouns in the words of qdrant_edge. Pure: nothing here touches a shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as qe

from octant.errors import FilterError
from octant.filters import CLAUSES, conditions
from octant.layout import (
    PointBatch,
    QuerySettings,
    StoredPoint,
    VectorLayout,
    VectorQuery,
)
from octant.records import JSON, Distance, Filter, FloatArray, NativeQuantization, Placement, SparseVector

MEMORY = {"pinned": qe.Memory.Pinned, "cached": qe.Memory.Cached, "cold": qe.Memory.Cold}
DISTANCE = {distance: getattr(qe.Distance, distance.value) for distance in Distance}
_BINARY_BITS = {
    1: qe.BinaryQuantizationEncoding.OneBit,
    1.5: qe.BinaryQuantizationEncoding.OneAndHalfBits,
    2: qe.BinaryQuantizationEncoding.TwoBits,
}
_QUERY_BITS = {
    None: qe.BinaryQuantizationQueryEncoding.Binary,
    4: qe.BinaryQuantizationQueryEncoding.Scalar4Bits,
    8: qe.BinaryQuantizationQueryEncoding.Scalar8Bits,
}
_TURBO_BITS = {
    1: qe.TurboQuantBitSize.Bits1,
    1.5: qe.TurboQuantBitSize.Bits1_5,
    2: qe.TurboQuantBitSize.Bits2,
    4: qe.TurboQuantBitSize.Bits4,
    8: qe.TurboQuantBitSize.Bits8,
}


# -- configuration -------------------------------------------------------------------------------


def vector(vector: VectorLayout) -> qe.EdgeVectorParams:
    """A vector's parameters."""
    hnsw = vector.hnsw
    return qe.EdgeVectorParams(
        size=vector.size,
        distance=DISTANCE[vector.metric],
        datatype=datatype(vector.datatype),
        quantization_config=_quantization(vector.quantization, vector.quantization_placement),
        hnsw_config=qe.HnswIndexConfig(
            m=hnsw.m,
            ef_construct=hnsw.ef_construct,
            full_scan_threshold=hnsw.full_scan_threshold,
            # Without edges a few bytes a point are kept that no search reads.
            memory=MEMORY[vector.graph_placement if hnsw.m else "cold"],
        ),
        memory=MEMORY[vector.placement],
        multivector_config=multivector(vector),
    )


def multivector(vector: VectorLayout) -> qe.MultiVectorConfig | None:
    """How rows are compared where a point has several; None where it has one."""
    return qe.MultiVectorConfig(qe.MultiVectorComparator.MaxSim) if vector.multivector else None


def datatype(name: str) -> Any:
    """Edge's member for a datatype."""
    # Turbo4 exists at run time; the type stub of 0.9 omits it.
    return getattr(qe.VectorStorageDatatype, name.capitalize())


def _quantization(wanted: NativeQuantization | None, placement: Placement) -> Any:
    if wanted is None:
        return None
    memory = MEMORY[placement]
    if wanted.kind == "scalar":
        return qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, memory=memory)
    if wanted.kind == "product":
        return qe.ProductQuantizationConfig(compression=getattr(qe.CompressionRatio, f"X{wanted.ratio}"), memory=memory)
    if wanted.kind == "binary":
        return qe.BinaryQuantizationConfig(
            encoding=_BINARY_BITS[wanted.bits], query_encoding=_QUERY_BITS[wanted.query_bits], memory=memory
        )
    return qe.TurboQuantQuantizationConfig(bits=_TURBO_BITS[wanted.bits], memory=memory)


# -- points --------------------------------------------------------------------------------------


def points(batch: PointBatch) -> list[qe.Point]:
    """The engine's points. It reads lists of numbers faster than arrays, the making of the lists included."""
    names = list(batch.vectors)
    if names == [""] and not (batch.sparse or batch.multi or batch.absent):
        matrix = batch.vectors[""].tolist()
        return [
            qe.Point(point, row, dict(payload))
            for point, row, payload in zip(batch.ids, matrix, batch.payloads, strict=True)
        ]
    return [
        qe.Point(point, row, dict(payload))
        for point, row, payload in zip(batch.ids, _rows(batch), batch.payloads, strict=True)
    ]


def point_vectors(batch: PointBatch, rows: Sequence[int]) -> list[qe.PointVectors]:
    """Vectors alone, of the points in ``rows``."""
    named = _rows(batch)
    return [qe.PointVectors(batch.ids[row], named[row]) for row in rows]


def _rows(batch: PointBatch) -> list[dict[str, Any]]:
    """What each point has, by vector name."""
    columns: dict[str, Any] = {name: x.tolist() for name, x in batch.vectors.items()}
    for name, rows in batch.absent.items():
        columns[name] = [None if gone else row for gone, row in zip(rows, columns[name], strict=True)]
    for name, column in batch.sparse.items():
        columns[name] = [None if entry is None else sparse(entry) for entry in column]
    for name, matrices in batch.multi.items():
        columns[name] = [None if entry is None else entry.tolist() for entry in matrices]
    if not columns:
        return [{} for _ in batch.ids]
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def sparse(vector: SparseVector) -> qe.SparseVector:
    """The engine's sparse vector."""
    return qe.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def stored(point: qe.ScoredPoint | qe.Record) -> StoredPoint:
    """The engine's answer as a record, without sparse vectors and multivectors."""
    vector = point.vector  # read once: every reading converts what the engine holds
    return StoredPoint(
        id=identity(point),
        score=float(getattr(point, "score", 0.0)),
        payload=point.payload or {},
        vectors={} if vector is None else {name: value for name, value in _dense(vector).items() if value.ndim == 1},
    )


def complete(point: qe.Record) -> StoredPoint:
    """The engine's record with vectors of every kind."""
    dense = _dense(point.vector)
    return StoredPoint(
        id=identity(point),
        score=0.0,
        payload=point.payload or {},
        vectors={name: value for name, value in dense.items() if value.ndim == 1},
        sparse={
            name: SparseVector(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
            for name, value in _by_name(point.vector).items()
            if isinstance(value, qe.SparseVector)
        },
        multi={name: value for name, value in dense.items() if value.ndim == 2},
    )


def identity(point: qe.ScoredPoint | qe.Record) -> int | str:
    """The engine's id as Octant has it."""
    own = point.id
    return own if isinstance(own, int) else str(own)


def _by_name(vector: Any) -> Mapping[str, Any]:
    if vector is None:
        return {}
    return vector if isinstance(vector, Mapping) else {"": vector}


def _dense(vector: Any) -> dict[str, FloatArray]:
    return {
        name: np.asarray(value, np.float32)
        for name, value in _by_name(vector).items()
        if not isinstance(value, qe.SparseVector)
    }


# -- queries -------------------------------------------------------------------------------------


def request(query: VectorQuery) -> qe.QueryRequest:
    """The engine's request."""
    inner = query.prefetch
    return qe.QueryRequest(
        limit=query.limit,
        offset=query.offset or None,
        query=_nearest(query),
        prefetches=None if inner is None else [_prefetch(inner)],
        filter=None if query.filter is None else filter_(query.filter),
        params=_params(query.settings),
        score_threshold=query.score_threshold,
        with_payload=query.with_payload,
        with_vector=list(query.with_vectors) or False,
    )


def _prefetch(query: VectorQuery) -> qe.Prefetch:
    return qe.Prefetch(
        limit=query.limit,
        query=_nearest(query),
        prefetches=None if query.prefetch is None else [_prefetch(query.prefetch)],
        params=_params(query.settings),
        filter=None if query.filter is None else filter_(query.filter),
        score_threshold=query.score_threshold,
    )


def _nearest(query: VectorQuery) -> qe.Query:
    # As a list: the binding reads an array number by number.
    vector: Any = sparse(query.vector) if isinstance(query.vector, SparseVector) else query.vector.tolist()
    return qe.Query.Nearest(vector, using=query.using or None)


def _params(settings: QuerySettings) -> qe.SearchParams:
    quantization = None
    if settings.rescore is not None or settings.oversampling is not None:
        quantization = qe.QuantizationSearchParams(rescore=settings.rescore, oversampling=settings.oversampling)
    return qe.SearchParams(hnsw_ef=settings.hnsw_ef, exact=settings.exact, quantization=quantization)


# -- filters -------------------------------------------------------------------------------------


def filter_(query_filter: Filter) -> qe.Filter:
    """The engine's filter from the REST form.

    Raises
    ------
    FilterError
        For a condition that Edge does not have.
    """
    clauses: dict[str, Any] = {
        name: [_condition(condition) for condition in conditions(query_filter[name])]
        for name in ("must", "should", "must_not")
        if query_filter.get(name) is not None
    }
    at_least = query_filter.get("min_should")
    if at_least is not None:
        clauses["min_should"] = qe.MinShould(
            [_condition(condition) for condition in conditions(at_least["conditions"])], at_least["min_count"]
        )
    return qe.Filter(**clauses)


def _condition(condition: Mapping[str, JSON]) -> Any:
    if any(clause in condition for clause in CLAUSES):
        return filter_(condition)
    for name, build in _CONDITIONS.items():
        if name in condition:
            return build(condition[name])
    if "key" in condition:
        return _field(condition)
    for name, build in _BY_KEY.items():
        if name in condition:
            return build(condition[name]["key"])
    known = ", ".join(("key", *_CONDITIONS, *_BY_KEY, *CLAUSES))
    raise FilterError(f"a filter condition has one of {known}; got {sorted(map(str, condition))}")


def _nested(value: Mapping[str, JSON]) -> Any:
    return qe.NestedCondition(value["key"], filter_(value["filter"]))


_CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "has_id": lambda value: qe.HasIdCondition(set(value)),
    "has_vector": lambda value: qe.HasVectorCondition(value),
    "nested": _nested,
    # It exists at run time; the type stub of 0.9 omits it.
    "slice": lambda value: qe.SliceCondition(value["total"], value["index"]),  # type: ignore[attr-defined]
}
_BY_KEY: dict[str, Callable[[Any], Any]] = {"is_empty": qe.IsEmptyCondition, "is_null": qe.IsNullCondition}


def _field(condition: Mapping[str, JSON]) -> qe.FieldCondition:
    parts = {name: build(condition[name]) for name, build in _FIELD_PARTS.items() if condition.get(name) is not None}
    unknown = sorted(set(condition) - set(_FIELD_PARTS) - {"key", "is_empty", "is_null"})
    flags = {name: condition[name] for name in ("is_empty", "is_null") if condition.get(name) is not None}
    if unknown or not (parts or flags):
        known = ", ".join((*_FIELD_PARTS, "is_empty", "is_null"))
        raise FilterError(f"a condition on {condition['key']!r} needs one of {known}; got {unknown or 'none'}")
    return qe.FieldCondition(condition["key"], **parts, **flags)


def _match(value: Mapping[str, JSON]) -> Any:
    for name, build in _MATCHES.items():
        if value.get(name) is not None:
            return build(value[name])
    raise FilterError(f"a match has one of {', '.join(_MATCHES)}; got {sorted(map(str, value))}")


def _match_value(value: str | int | bool) -> qe.MatchValue:
    # The binding of Edge 0.9 takes Python's True for the integer 1; numpy's it takes for what it is.
    return qe.MatchValue(np.bool_(value) if isinstance(value, bool) else value)  # type: ignore[arg-type]


_MATCHES: dict[str, Callable[[Any], Any]] = {
    "value": _match_value,
    "text": lambda value: qe.MatchText(value),
    "text_any": lambda value: qe.MatchTextAny(value),
    "phrase": lambda value: qe.MatchPhrase(value),
    "prefix": lambda value: qe.MatchPrefix(value),
    "substring": lambda value: qe.MatchSubstring(value),
    "any": lambda value: qe.MatchAny(list(value)),
    "except": lambda value: qe.MatchExcept(list(value)),
}


def _range(value: Mapping[str, JSON]) -> Any:
    bounds = {name: bound for name, bound in value.items() if bound is not None}
    unknown = sorted(set(bounds) - {"gt", "gte", "lt", "lte"})
    if unknown or not bounds:
        raise FilterError(f"a range has one or more of gt, gte, lt, lte; got {unknown or 'none'}")
    dates = any(isinstance(bound, str) for bound in bounds.values())
    return qe.RangeDateTime(**bounds) if dates else qe.RangeFloat(**bounds)


def _place(value: Mapping[str, JSON]) -> qe.GeoPoint:
    return qe.GeoPoint(lon=value["lon"], lat=value["lat"])


def _line(value: Mapping[str, JSON]) -> list[qe.GeoPoint]:
    return [_place(point) for point in value["points"]]


def _polygon(value: Mapping[str, JSON]) -> qe.GeoPolygon:
    interiors = value.get("interiors")
    return qe.GeoPolygon(_line(value["exterior"]), None if interiors is None else [_line(ring) for ring in interiors])


_FIELD_PARTS: dict[str, Callable[[Any], Any]] = {
    "match": _match,
    "range": _range,
    "geo_bounding_box": lambda value: qe.GeoBoundingBox(_place(value["top_left"]), _place(value["bottom_right"])),
    "geo_radius": lambda value: qe.GeoRadius(_place(value["center"]), value["radius"]),
    "geo_polygon": _polygon,
    "values_count": lambda value: qe.ValuesCount(**{name: bound for name, bound in value.items() if bound is not None}),
}
