"""What a server answers, in Octant's nouns. Everything it says about itself is read with suspicion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from octant.layout import CollectionLayout, HnswSettings, StoredPoint, VectorLayout
from octant.records import JSON, Component, Datatype, Distance, FloatArray, NativeQuantization, Placement

_BINARY_BITS = {"one_bit": 1.0, "one_and_half_bits": 1.5, "two_bits": 2.0}
_QUERY_BITS = {"scalar4bits": 4, "scalar8bits": 8}
_TURBO_BITS = {"bits1": 1.0, "bits1_5": 1.5, "bits2": 2.0, "bits4": 4.0, "bits8": 8.0}

# -- points --------------------------------------------------------------------------------------


def stored(point: Any, names: Sequence[str]) -> StoredPoint:
    """A scored point or a record, with the dense vectors among ``names``."""
    given = point.vector
    vectors = {"": given} if isinstance(given, list) else dict(given or {})
    dense: dict[str, FloatArray] = {
        name: np.asarray(vectors[name], np.float32) for name in names if isinstance(vectors.get(name), list)
    }
    identity = point.id if isinstance(point.id, int) else str(point.id)
    return StoredPoint(identity, float(getattr(point, "score", 0.0)), point.payload or {}, dense)


# -- configuration -------------------------------------------------------------------------------


def layout(info: models.CollectionInfo) -> CollectionLayout:
    """The layout of a collection that anyone may have made.

    Multivectors have no place in a layout and are left out. Of several sparse vectors the first one with
    inverse document frequency counts, or else the first.
    """
    params = info.config.params
    named = params.vectors if isinstance(params.vectors, dict) else {"": params.vectors}
    vectors = tuple(
        _vector(name, entry, info.config)
        for name, entry in named.items()
        if entry is not None and entry.multivector_config is None
    )
    return CollectionLayout(vectors, _sparse(params.sparse_vectors or {}), _payload(params))


def _sparse(vectors: Mapping[str, models.SparseVectorParams]) -> str | None:
    weighted = [name for name, entry in vectors.items() if entry.modifier == models.Modifier.IDF]
    return next(iter([*weighted, *vectors]), None)


def _payload(params: models.CollectionParams) -> Placement:
    memory = None if params.payload is None else params.payload.memory
    return _unpinned(_placement(memory, "cached" if params.on_disk_payload is False else "cold"))


def _vector(name: str, entry: models.VectorParams, config: models.CollectionConfig) -> VectorLayout:
    placement = _unpinned(_placement(entry.memory, "cold" if entry.on_disk else "cached"))
    copy = entry.quantization_config or config.quantization_config
    return VectorLayout(
        name=name,
        size=entry.size,
        metric=Distance.parse(entry.distance.value),
        datatype=_datatype(entry),
        placement=placement,
        quantization=None if copy is None else _quantization(copy),
        quantization_placement=_copy_placement(copy, placement),
        hnsw=_hnsw(entry, config),
        graph_placement=_graph_placement(entry, config),
    )


def _datatype(entry: models.VectorParams) -> Datatype:
    return "float32" if entry.datatype is None else entry.datatype.value


def _hnsw(entry: models.VectorParams, config: models.CollectionConfig) -> HnswSettings:
    # A vector's own settings override the collection's, one by one.
    common, own, default = config.hnsw_config, entry.hnsw_config, HnswSettings()
    chosen = {
        name: next(
            value
            for value in (getattr(own, name, None), getattr(common, name), getattr(default, name))
            if value is not None
        )
        for name in ("m", "ef_construct", "full_scan_threshold")
    }
    threshold = config.optimizer_config.indexing_threshold
    return HnswSettings(**chosen, indexing_threshold=default.indexing_threshold if threshold is None else threshold)


def _graph_placement(entry: models.VectorParams, config: models.CollectionConfig) -> Placement:
    own, common = entry.hnsw_config, config.hnsw_config
    if (common.m if own is None or own.m is None else own.m) == 0:
        return "cold"
    for settings in (own, common):
        if settings is not None and settings.memory is not None:
            return _placement(settings.memory, "cached")
        if settings is not None and settings.on_disk is not None:
            return "cold" if settings.on_disk else "cached"
    return "cached"


def _unpinned(placement: Placement) -> Placement:
    # Qdrant takes "pinned" for stored vectors and payload too, and holds them cached.
    return "cached" if placement == "pinned" else placement


def _quantization(copy: models.QuantizationConfig) -> NativeQuantization:
    if isinstance(copy, models.ProductQuantization):
        ratio = int(copy.product.compression.value.lstrip("x"))
        return NativeQuantization("product", 32 / ratio, ratio=ratio)
    if isinstance(copy, models.BinaryQuantization):
        encoding, query = copy.binary.encoding, copy.binary.query_encoding
        bits = 1.0 if encoding is None else _BINARY_BITS[encoding.value]
        return NativeQuantization("binary", bits, query_bits=None if query is None else _QUERY_BITS.get(query.value))
    if isinstance(copy, models.TurboQuantization):
        size = copy.turbo.bits
        return NativeQuantization("turbo", 4.0 if size is None else _TURBO_BITS[size.value])
    return NativeQuantization("scalar", 8.0)


def _copy_placement(copy: models.QuantizationConfig | None, originals: Placement) -> Placement:
    followed: Placement = "pinned" if originals == "cached" else "cold"
    if copy is None:
        return followed
    inner: Any = next(iter(dict(copy).values()))
    return _placement(inner.memory, "pinned" if inner.always_ram else followed)


def _placement(memory: models.Memory | None, otherwise: Placement) -> Placement:
    return otherwise if memory is None else memory.value


# -- memory report -------------------------------------------------------------------------------


def components(report: Mapping[str, JSON], known: CollectionLayout) -> tuple[Component, ...]:
    """The parts of a collection as ``GET /collections/{name}/memory`` reports them, zero bytes left out.

    A part that is held in several ways becomes one component per way: ``pinned`` is the heap the server
    counts, ``cached`` what it means to keep in the page cache, ``cold`` the rest of the files.
    """
    found: list[Component] = []
    for name, vector, usage in _parts(report, known):
        found.extend(_split(name, vector, usage))
    return tuple(found)


def _parts(report: Mapping[str, JSON], known: CollectionLayout) -> Iterator[tuple[str, str | None, JSON]]:
    for entry in _entries(report, "vectors"):
        vector = str(entry.get("name", ""))
        yield _storage_name(vector, entry.get("quantized"), known), vector, entry.get("storage")
        yield "searched codes", vector, entry.get("quantized")
        yield "graph", vector, entry.get("index")
    for entry in _entries(report, "sparse_vectors"):
        vector = str(entry.get("name", ""))
        yield "sparse vectors", vector, entry.get("storage")
        yield "sparse index", vector, entry.get("index")
    yield "payload", None, report.get("payload")
    for entry in _entries(report, "payload_index"):
        yield "payload index", None, entry.get("usage")
    other = report.get("other")
    for name, usage in other.items() if isinstance(other, Mapping) else ():
        yield "ids" if name == "id_tracker" else str(name), None, usage


def _entries(report: Mapping[str, JSON], key: str) -> list[Mapping[str, JSON]]:
    listed = report.get(key)
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _storage_name(name: str, quantized: JSON, known: CollectionLayout) -> str:
    if quantized:
        return "originals"
    # Beside a vector with a graph, one without a graph is there to rescore.
    graphs = {vector.name for vector in known.vectors if vector.hnsw.m}
    return "rescoring codes" if graphs and name not in graphs else "searched codes"


def _split(name: str, vector: str | None, usage: JSON) -> Iterator[Component]:
    if not isinstance(usage, Mapping):
        return
    disk, ram, cache = (_count(usage.get(key)) for key in ("disk_bytes", "ram_bytes", "expected_cache_bytes"))
    held: tuple[tuple[Placement, int], ...] = (
        ("pinned", ram), ("cached", cache), ("cold", max(disk - ram - cache, 0)),
    )  # fmt: skip
    for placement, count in held:
        if count:
            yield Component(name, vector, placement, count)


def _count(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 0
