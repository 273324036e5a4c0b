"""A server's description of a collection as a schema, and a schema as what makes a collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from qdrant_client import models

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
from octant.store import client_models as translate
from octant.store import families

M = TypeVar("M", bound=BaseModel)

_PARAMS = ("shard_number", "sharding_method", "replication_factor", "write_consistency_factor", "id_tracker")
_CONFIG = {"optimizer_config": "optimizers_config", "wal_config": "wal_config"}
_UPDATED = ("read_fan_out_factor", "read_fan_out_delay_ms")
"""Options that a collection takes only once it is there."""
_MODELS: dict[str, type[BaseModel]] = {
    "optimizers_config": models.OptimizersConfigDiff,
    "wal_config": models.WalConfigDiff,
    "strict_mode_config": models.StrictModeConfig,
    "id_tracker": models.IdTrackerParams,
}


def schema(info: models.CollectionInfo) -> CollectionSchema:
    """Everything that ``info`` says of a collection."""
    config = info.config.model_dump(mode="json", exclude_none=True)
    params = config["params"]
    threshold = (config.get("optimizer_config") or {}).get("indexing_threshold", HnswSettings().indexing_threshold)
    metadata = info.config.metadata or {}
    dense = params.get("vectors") or {}
    named = {"": dense} if isinstance(info.config.params.vectors, models.VectorParams) else dense
    return CollectionSchema(
        vectors=tuple(DenseVector(name, filled(own, config), threshold) for name, own in named.items()),
        sparse=tuple(SparseVectorSchema(name, own) for name, own in (params.get("sparse_vectors") or {}).items()),
        indexes=tuple(_index(field, entry) for field, entry in sorted((info.payload_schema or {}).items())),
        payload_placement=payload_placement(params),
        metadata=families.others(metadata),
        options=_options(config),
        manifests=families.read(metadata),
    )


def _options(config: Mapping[str, JSON]) -> dict[str, JSON]:
    params = config["params"]
    options = {name: params[name] for name in (*_PARAMS, *_UPDATED) if name in params}
    options |= {argument: config[name] for name, argument in _CONFIG.items() if name in config}
    strict = config.get("strict_mode_config")
    # A server reports an empty one for every collection.
    return options | ({"strict_mode_config": strict} if strict and strict.get("enabled") is not None else {})


def _index(field: str, info: models.PayloadIndexInfo) -> PayloadIndex:
    settings = {} if info.params is None else info.params.model_dump(mode="json", exclude_none=True)
    return PayloadIndex(
        field, info.data_type.value, {name: value for name, value in settings.items() if name != "type"}
    )


def creation(wanted: CollectionSchema, vectors: Sequence[VectorLayout], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``create_collection`` beside the name.

    Parameters
    ----------
    wanted : CollectionSchema
    vectors : sequence of VectorLayout
        Octant's own, beside those of ``wanted``.
    given : mapping
        The caller's own options; they go before those of ``wanted``.

    Raises
    ------
    UnsupportedError
        If the installed client does not know a setting.
    """
    carried = {name: value for name, value in wanted.options.items() if name not in _UPDATED}
    options = {**{name: _option(name, value) for name, value in carried.items()}, **given}
    own = vectors[0].hnsw.indexing_threshold if vectors else None
    arguments: dict[str, Any] = {
        "vectors_config": _vectors(wanted, vectors),
        "metadata": {**wanted.metadata, **families.write(wanted.manifests)},
        **options,
        "optimizers_config": translate.optimizers(options.get("optimizers_config"), given, own),
    }
    if wanted.sparse:
        arguments["sparse_vectors_config"] = {
            vector.name: _model(models.SparseVectorParams, vector.settings) for vector in wanted.sparse
        }
    if not {"payload", "on_disk_payload"} & set(options):
        arguments["payload"] = models.PayloadStorageParams(memory=translate.memory(wanted.payload_placement))
    return arguments


def updates(wanted: CollectionSchema) -> models.CollectionParamsDiff | None:
    """What is set once the collection is there, or None."""
    found = {name: wanted.options[name] for name in _UPDATED if wanted.options.get(name) is not None}
    return models.CollectionParamsDiff(**found) if found else None


def _vectors(
    wanted: CollectionSchema, vectors: Sequence[VectorLayout]
) -> models.VectorParams | dict[str, models.VectorParams]:
    named = {vector.name: translate.vector(vector) for vector in vectors}
    named |= {vector.name: _model(models.VectorParams, vector.settings) for vector in wanted.vectors}
    # One unnamed vector is what langchain-qdrant and most code on the web make: keep its shape.
    return named[""] if set(named) == {""} else named


def _option(name: str, value: JSON) -> Any:
    return _model(_MODELS[name], value) if name in _MODELS else value


def _model(kind: type[M], settings: Mapping[str, JSON]) -> M:
    try:
        return kind.model_validate(present(settings))
    except ValidationError as error:
        raise UnsupportedError(
            f"the installed qdrant-client {version('qdrant-client')} does not know the settings "
            f"{dict(settings)} of a {kind.__name__}: upgrade it"
        ) from error


def added(vector: VectorLayout) -> models.DenseVectorNameConfig:
    """What adds a vector to a collection that is there."""
    datatype = translate.member(models.VectorStorageDatatype, vector.datatype)
    distance = models.Distance(vector.metric.value)
    return models.DenseVectorNameConfig(
        dense=models.DenseVectorConfig(
            size=vector.size,
            distance=distance,
            datatype=datatype,
            multivector_config=translate.multivector(vector),
        )
    )


def added_sparse(vector: SparseVectorSchema) -> models.SparseVectorNameConfig:
    """What adds a sparse vector to a collection that is there."""
    datatype = (vector.settings.get("index") or {}).get("datatype")
    settings = present({"modifier": vector.settings.get("modifier"), "datatype": datatype})
    return models.SparseVectorNameConfig(sparse=_model(models.SparseVectorConfig, settings))


def difference(vector: VectorLayout) -> models.VectorParamsDiff:
    """What an added vector gets that adding cannot say: graph, second copy, placement."""
    whole = translate.vector(vector)
    # Without one of its own it would take over the collection's second copy.
    copy = models.Disabled.DISABLED if whole.quantization_config is None else whole.quantization_config
    return models.VectorParamsDiff(hnsw_config=whole.hnsw_config, quantization_config=copy, memory=whole.memory)


def index(wanted: PayloadIndex) -> Any:
    """What ``create_payload_index`` takes as its schema.

    Raises
    ------
    InputError
        If Qdrant has no such index.
    UnsupportedError
        If the installed client has no such setting.
    """
    known = [kind.value for kind in models.PayloadSchemaType]
    if wanted.kind not in known:
        raise InputError(f"a payload index is one of {', '.join(known)}; got {wanted.kind!r}")
    if not wanted.settings:
        return models.PayloadSchemaType(wanted.kind)
    kind: type[BaseModel] = getattr(models, f"{wanted.kind.capitalize()}IndexParams")
    return _model(kind, {"type": wanted.kind, **wanted.settings})
