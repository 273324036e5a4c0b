"""A shard's own description of itself, in the REST API's JSON, and back. The file is that of qdrant-edge-py 0.9.

Edge tells nobody the configuration of a shard, but keeps it beside the segments: so shards of others can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as qe

from octant.errors import InputError, UnsupportedError
from octant.layout import HnswSettings, VectorLayout
from octant.records import JSON
from octant.schema import (
    CollectionSchema,
    DenseVector,
    PayloadIndex,
    SparseVectorSchema,
    filled,
    payload_placement,
    present,
)
from octant.store import edge_translate as translate

CONFIG = "edge_config.json"
"""Where a shard keeps its configuration; a directory that has it is a shard."""
_OPTIMIZER = ("deleted_threshold", "vacuum_min_vector_number", "max_segment_size", "prevent_unoptimized")
_SPARSE_INDEX = ("full_scan_threshold", "on_disk", "memory", "datatype")


# -- from a shard --------------------------------------------------------------------------------


def configuration(shard: Path) -> Mapping[str, JSON]:
    """What the shard in the directory ``shard`` keeps of its configuration.

    Raises
    ------
    UnsupportedError
        If there is none that can be read.
    """
    path = shard / CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found, "vectors": dict(found.get("vectors") or {})}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnsupportedError(
            f"{path} should hold the shard's configuration as JSON and cannot be read ({type(error).__name__}: "
            f"{error}): Octant reads the shards of qdrant-edge-py 0.9; open and close the shard once with that "
            "version, which writes the file, or restore it from a copy"
        ) from error


def schema(found: Mapping[str, JSON], indexes: Mapping[str, Any]) -> CollectionSchema:
    """The schema of a shard, but for what a sidecar keeps.

    Parameters
    ----------
    found : mapping
        See :func:`configuration`.
    indexes : mapping
        ``payload_schema`` of the shard's ``info()``.
    """
    optimizers = present(found.get("optimizers") or {})
    threshold = optimizers.get("indexing_threshold", HnswSettings().indexing_threshold)
    kept = {name: optimizers[name] for name in (*_OPTIMIZER, "indexing_threshold") if name in optimizers}
    options: dict[str, JSON] = {"optimizers_config": kept} if kept else {}
    if found.get("id_tracker_memory"):
        options["id_tracker"] = {"memory": found["id_tracker_memory"]}
    return CollectionSchema(
        # Edge keeps them in no order; a schema has one.
        vectors=tuple(DenseVector(name, filled(own, found), threshold) for name, own in _named(found, "vectors")),
        sparse=tuple(SparseVectorSchema(name, _sparse(own)) for name, own in _named(found, "sparse_vectors")),
        indexes=tuple(_index(field, info) for field, info in sorted(indexes.items())),
        payload_placement=payload_placement(
            {"payload": {"memory": found.get("payload_memory")}, "on_disk_payload": found.get("on_disk_payload")}
        ),
        options=options,
    )


def _named(found: Mapping[str, JSON], key: str) -> list[tuple[str, Mapping[str, JSON]]]:
    return sorted((found.get(key) or {}).items())


def _sparse(own: Mapping[str, JSON]) -> dict[str, JSON]:
    index = {name: own[name] for name in _SPARSE_INDEX if own.get(name) is not None}
    modifier = {"modifier": own["modifier"]} if own.get("modifier") else {}
    return {**modifier, **({"index": index} if index else {})}


def _index(field: str, info: Any) -> PayloadIndex:
    kind = _word(info.data_type)
    params = info.params
    names = _FIELDS[kind]
    settings = {name: _setting(name, getattr(params, name)) for name in names} if params is not None else {}
    return PayloadIndex(field, kind, present(settings))


def _setting(name: str, value: Any) -> JSON:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, qe.StopwordsSet):
        return {"languages": sorted(map(_word, value.languages or ())), "custom": sorted(value.custom or ())}
    if isinstance(value, qe.SnowballParams):
        return {"type": "snowball", "language": _word(value.language)}
    if isinstance(value, qe.DisabledStemmer):
        return {"type": "none"}
    if name == "scoring":
        return {"type": _word(value.type)}
    return _word(value)


def _word(member: Any) -> str:
    # Edge's enums have no names but in their text: "TokenizerType.Word".
    return str(member).rpartition(".")[2].lower()


# -- to a shard ----------------------------------------------------------------------------------


def config(schema: CollectionSchema, vectors: Sequence[VectorLayout], *, wal: bool) -> qe.EdgeConfig:
    """The configuration of a shard that holds ``schema`` and Octant's ``vectors``.

    Shards, replicas, strict mode and the size of a log are a server's business and are left out.
    """
    optimizers = schema.options.get("optimizers_config") or {}
    own = vectors[0].hnsw.indexing_threshold if vectors else None
    placement = schema.payload_placement
    id_tracker = (schema.options.get("id_tracker") or {}).get("memory")
    return qe.EdgeConfig(
        vectors={
            **{vector.name: translate.vector(vector) for vector in vectors},
            **{vector.name: dense(vector.settings) for vector in schema.vectors},
        },
        sparse_vectors={vector.name: _sparse_params(vector) for vector in schema.sparse} or None,
        payload_memory=translate.MEMORY[placement],
        id_tracker_memory=translate.MEMORY[id_tracker] if id_tracker else None,
        optimizers=qe.EdgeOptimizersConfig(
            # One segment: results and footprints do not depend on how the load was split.
            default_segment_number=1,
            indexing_threshold=optimizers.get("indexing_threshold") if own is None else own,
            **{name: optimizers[name] for name in _OPTIMIZER if optimizers.get(name) is not None},
        ),
        wal_enabled=wal,
    )


def with_vectors(found: Mapping[str, JSON], vectors: Sequence[VectorLayout]) -> qe.EdgeConfig:
    """The configuration ``found`` of a shard that has got ``vectors``; what is not in it stays as the shard has it."""
    added = {vector.name: translate.vector(vector) for vector in vectors}
    return qe.EdgeConfig(
        vectors={**{name: dense(own) for name, own in found["vectors"].items()}, **added},
        sparse_vectors={name: _flat_sparse(own) for name, own in (found.get("sparse_vectors") or {}).items()} or None,
    )


def new_dense(vector: VectorLayout) -> qe.UpdateOperation:
    """What adds ``vector`` to a shard that is there."""
    return qe.UpdateOperation.create_dense_vector(
        vector.name,
        vector.size,
        translate.DISTANCE[vector.metric],
        translate.multivector(vector),
        translate.datatype(vector.datatype),
    )


def new_sparse(vector: SparseVectorSchema) -> qe.UpdateOperation:
    """What adds the sparse ``vector`` to a shard that is there."""
    datatype = (vector.settings.get("index") or {}).get("datatype")
    return qe.UpdateOperation.create_sparse_vector(
        vector.name,
        modifier(vector.settings.get("modifier")),
        None if datatype is None else translate.datatype(datatype),
    )


def dense(settings: Mapping[str, JSON]) -> qe.EdgeVectorParams:
    """A dense vector's parameters from ``VectorParams`` of the REST API."""
    known = present(settings)
    multi = known.get("multivector_config")
    graph, copy, memory = known.get("hnsw_config"), known.get("quantization_config"), known.get("memory")
    return qe.EdgeVectorParams(
        size=known["size"],
        distance=translate.DISTANCE[known["distance"]],
        on_disk=known.get("on_disk"),
        multivector_config=None if multi is None else qe.MultiVectorConfig(qe.MultiVectorComparator.MaxSim),
        datatype=None if known.get("datatype") is None else translate.datatype(known["datatype"]),
        quantization_config=_copy(copy) if copy else None,
        hnsw_config=_graph(graph) if graph else None,
        memory=None if memory is None else translate.MEMORY[memory],
    )


def _graph(settings: Mapping[str, JSON]) -> qe.HnswIndexConfig:
    # Edge has no defaults for these three: those of the server.
    known = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, **present(settings)}
    names = ("m", "ef_construct", "full_scan_threshold", "max_indexing_threads", "on_disk", "payload_m")
    memory = known.get("memory")
    return qe.HnswIndexConfig(
        **{name: known[name] for name in (*names, "inline_storage") if name in known},
        memory=None if memory is None else translate.MEMORY[memory],
    )


def _copy(settings: Mapping[str, JSON]) -> Any:
    kind, own = next(iter(settings.items()))
    known = present(own)
    where = {"always_ram": known.get("always_ram"), "memory": translate.MEMORY.get(known.get("memory", ""))}
    where = present(where)
    if kind == "scalar":
        return qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, quantile=known.get("quantile"), **where)
    if kind == "product":
        return qe.ProductQuantizationConfig(
            compression=getattr(qe.CompressionRatio, known["compression"].upper()), **where
        )
    if kind == "binary":
        return qe.BinaryQuantizationConfig(
            encoding=_member(qe.BinaryQuantizationEncoding, known.get("encoding")),
            query_encoding=_member(qe.BinaryQuantizationQueryEncoding, known.get("query_encoding")),
            **where,
        )
    return qe.TurboQuantQuantizationConfig(bits=_member(qe.TurboQuantBitSize, known.get("bits")), **where)


def _sparse_params(vector: SparseVectorSchema) -> qe.EdgeSparseVectorParams:
    index = vector.settings.get("index") or {}
    return _flat_sparse({**index, "modifier": vector.settings.get("modifier")})


def _flat_sparse(own: Mapping[str, JSON]) -> qe.EdgeSparseVectorParams:
    known = present(own)
    return qe.EdgeSparseVectorParams(
        full_scan_threshold=known.get("full_scan_threshold"),
        on_disk=known.get("on_disk"),
        modifier=modifier(known.get("modifier")),
        datatype=None if "datatype" not in known else translate.datatype(known["datatype"]),
        memory=translate.MEMORY.get(known.get("memory", "")),
    )


def modifier(name: str | None) -> Any:
    """Edge's member for the modifier of a sparse vector."""
    return None if name is None else getattr(qe.Modifier, name.capitalize())


def _member(kind: Any, name: str | None) -> Any:
    """The member of an Edge enum that the REST API calls ``name``: one_bit is OneBit, bits1_5 Bits1_5."""
    if name is None:
        return None
    plain = name.replace("_", "").lower()
    return next(getattr(kind, member) for member in dir(kind) if member.replace("_", "").lower() == plain)


# -- payload indexes -----------------------------------------------------------------------------

_COMMON = ("on_disk", "memory", "enable_hnsw", "nested")
_FIELDS: dict[str, tuple[str, ...]] = {
    "keyword": ("is_tenant", "prefix", *_COMMON),
    "integer": ("lookup", "range", "is_principal", *_COMMON),
    "float": ("is_principal", *_COMMON),
    "bool": _COMMON,
    "geo": _COMMON,
    "datetime": ("is_principal", *_COMMON),
    "text": (
        "tokenizer", "min_token_len", "max_token_len", "lowercase", "ascii_folding", "phrase_matching", "stopwords",
        "stemmer", "scoring", *_COMMON,
    ),
    "uuid": ("is_tenant", *_COMMON),
}  # fmt: skip


def index(wanted: PayloadIndex) -> Any:
    """What ``create_field_index`` takes.

    Raises
    ------
    InputError
        If Qdrant has no such index.
    UnsupportedError
        If Edge has not that setting of it.
    """
    if wanted.kind not in _FIELDS:
        raise InputError(f"a payload index is one of {', '.join(_FIELDS)}; got {wanted.kind!r}")
    settings = present(wanted.settings)
    unknown = sorted(set(settings) - set(_FIELDS[wanted.kind]))
    if unknown:
        raise UnsupportedError(
            f"Qdrant Edge has no setting {', '.join(unknown)} of the {wanted.kind} index on {wanted.field!r}: make the "
            "index without it"
        )
    if not settings:
        return getattr(qe.PayloadSchemaType, wanted.kind.capitalize())
    made = {name: _from_json(name, value) for name, value in settings.items()}
    return getattr(qe, f"{wanted.kind.capitalize()}IndexParams")(**made)


def _from_json(name: str, value: JSON) -> Any:
    if name == "memory":
        return translate.MEMORY[value]
    if name == "tokenizer":
        return _member(qe.TokenizerType, value)
    if name == "stopwords":
        return _stopwords(value)
    if name == "stemmer":
        language = value.get("language")
        return qe.DisabledStemmer() if language is None else qe.SnowballParams(_member(qe.SnowballLanguage, language))
    return True if name == "scoring" and value else value


def _stopwords(value: JSON) -> Any:
    if isinstance(value, str):
        return _member(qe.Language, value)
    languages = {_member(qe.Language, language) for language in value.get("languages") or ()}
    return qe.StopwordsSet(languages=languages, custom=set(value.get("custom") or ()))
