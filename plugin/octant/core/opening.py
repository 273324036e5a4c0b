"""How a collection that exists is opened, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from octant import artifact as artifacts
from octant import families
from octant.core.core import UNNAMED, Core
from octant.core.embedding import check_embedding, check_sparse
from octant.embedders import Embedder
from octant.errors import InputError, MismatchError
from octant.flow import Flow, step
from octant.identity import describe, same_model
from octant.ids import IdCodec
from octant.layout import MemoryPlacement, VectorLayout
from octant.manifest import Manifest
from octant.records import EmbeddingIdentity
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.store.base import Store
from octant.unfinished import KEY, refuse


def open_existing(
    core: Core, *, any_vector: bool = False, models: Mapping[str, Embedder | None] | None = None
) -> Flow[None]:
    """Replace ``core``'s manifest, representation and siblings by those of the collection.

    Parameters
    ----------
    core : Core
    any_vector : bool
        Whether whatever the collection has will do: it is to be looked at, not searched.
    models : mapping from name to Embedder, optional
        Of each embedding, in place of the one of ``core``.

    Raises
    ------
    CollectionNotFoundError, LockedError, ArtifactError
    UnfinishedError
        If a compression has begun it and is not complete.
    MismatchError
        If an embedding is not the one that made the vectors, or there is none of its name.
    """
    schema = yield from core.store.open()
    try:
        name = families.first(schema) if any_vector else (yield from _meant(core, schema))
        refuse((yield from core.store.read_state(KEY)), name or "")
        if name is not None and name in schema.manifests:
            core.manifest = Manifest.from_json(schema.manifests[name])
            core.representation = yield from _representation(core.store, core.manifest)
        else:
            _adopt(core, schema, name, any_vector=any_vector)
        core.ids = IdCodec(digits_are_integers=core.foreign or core.manifest.foreign_ids)
        core.kin = families.kin(schema, core.manifest, core.manifest.sparse_name)
        if models is not None:
            _check_names(core, models)
            core.embedder = models.get(core.title)
        yield from check_embedding(core)
        check_sparse(core)
        core.siblings = yield from _siblings(core, schema, models or {})
    except BaseException:
        yield from core.store.close()
        raise


def _meant(core: Core, schema: CollectionSchema) -> Flow[str | None]:
    """Name of the family that an ``open`` means: of several embeddings, if none is named, the one of its model."""
    wanted, embedder = core.manifest.vector_name, core.embedder
    name = families.choose(schema, wanted)
    several = [other for other in families.originals(schema) if other in schema.manifests]
    if wanted or embedder is None or len(several) < 2 or name not in several:
        return name
    identity = yield from step(lambda: embedder.identity)
    told = []
    for other in several:
        manifest = Manifest.from_json(schema.manifests[other])
        recorded = manifest.embedding
        if recorded is not None and same_model(recorded, identity) is None and _fits(manifest, identity):
            return other
        told.append(f"{other!r} ({'an unknown model' if recorded is None else describe(recorded)})")
    raise MismatchError(
        f"the collection has the embeddings {', '.join(told)}; opened with {describe(identity)}: say whose model it "
        "is with embeddings={name: model}, or vector_name="
    )


def _fits(manifest: Manifest, identity: EmbeddingIdentity) -> bool:
    return None in (manifest.dimension, identity.dimension) or manifest.dimension == identity.dimension


def _check_names(core: Core, models: Mapping[str, Embedder | None]) -> None:
    there = (core.title, *core.kin.siblings)
    if unknown := [name for name in models if name not in there]:
        raise MismatchError(
            f"the collection has the embeddings {', '.join(map(repr, there))}, got a model for "
            f"{', '.join(map(repr, unknown))}: name them as they are, or add_embedding() it"
        )


def _siblings(core: Core, schema: CollectionSchema, models: Mapping[str, Embedder | None]) -> Flow[dict[str, Core]]:
    found = {}
    for name in core.kin.siblings:
        manifest = Manifest.from_json(schema.manifests[name])
        representation = yield from _representation(core.store, manifest)
        sibling = Core(core.store, representation, manifest, models.get(name or UNNAMED), core.sparse)
        sibling.ids = core.ids
        sibling.kin = families.kin(schema, manifest, core.manifest.sparse_name)
        yield from check_embedding(sibling)
        found[name] = sibling
    return found


def load_twins(core: Core) -> Flow[None]:
    """Read what encodes documents for the vectors that were made of the same embeddings.

    Raises
    ------
    InputError
        If a new document would be without some vector of the collection: nobody would find it there.
    """
    if core.kin.strangers:
        names = ", ".join(map(repr, core.kin.strangers))
        raise InputError(
            f"the collection also has the vectors {names}, which cannot be made from what is added here: documents "
            "would be missing there, and those that are replaced would lose them. Write with the client that makes "
            "them all, or drop those vectors first"
        )
    due = [one for one in core.written if len(one.twins) != len(one.kin.twins)]
    if not due:
        return
    schema = yield from core.store.schema()
    for one in due:
        yield from _load_twins(one, schema)


def _load_twins(core: Core, schema: CollectionSchema) -> Flow[None]:
    for name in core.kin.twins:
        if name in schema.manifests:
            manifest = Manifest.from_json(schema.manifests[name])
            representation = yield from _representation(core.store, manifest)
        else:
            manifest, representation = _as_found(core.manifest, schema, name)
        if (manifest.dimension, manifest.distance) != (core.dimension, core.distance) or not representation.fitted:
            raise InputError(
                f"the vector {name!r} of the collection cannot be made from the embeddings of "
                f"{core.manifest.vector_name!r}: drop it, or write with the client that makes both"
            )
        core.twins[name] = representation


def _representation(store: Store, manifest: Manifest) -> Flow[Representation]:
    if manifest.artifact is None:
        return Representation.parse(manifest.represent)
    data = yield from store.read_artifact(manifest.artifact)
    representation, dimension = artifacts.load(data)
    if representation.spec != manifest.represent or dimension != manifest.dimension:
        raise MismatchError(
            f"the collection was made with {manifest.represent!r} for {manifest.dimension} dimensions, its artifact "
            f"{manifest.artifact[:12]} is {representation.spec!r} for {dimension}: "
            "restore the collection's own artifact"
        )
    return representation


def _adopt(core: Core, schema: CollectionSchema, name: str | None, *, any_vector: bool) -> None:
    """Take over what another client made: searched as it is, nothing rewritten."""
    core.foreign = True
    sparse = core.manifest.sparse_name if core.manifest.sparse_name in _sparse_names(schema) else None
    core.manifest = replace(core.manifest, sparse_name=sparse)
    if name is not None:
        core.manifest, core.representation = _as_found(core.manifest, schema, name)
    elif sparse is not None or any_vector:
        core.manifest = replace(core.manifest, dimension=0)
    else:
        raise MismatchError("the collection has no dense vector, and no sparse one of that name: pass sparse_name=")


def _sparse_names(schema: CollectionSchema) -> list[str]:
    return [vector.name for vector in schema.sparse]


def _as_found(like: Manifest, schema: CollectionSchema, name: str) -> tuple[Manifest, Representation]:
    """What a manifest would say of somebody else's vector ``name``, and how it is encoded."""
    vector = schema.vector(name).layout
    representation = Representation.parse(vector.datatype)
    found = replace(
        like, represent=representation.spec, distance=vector.metric, dimension=vector.size, hnsw=vector.hnsw,
        placement=_placement(vector, schema), vector_name=name,
    )  # fmt: skip
    return found, representation


def _placement(vector: VectorLayout, schema: CollectionSchema) -> MemoryPlacement:
    copied = vector.quantization is not None
    return MemoryPlacement(
        graph=vector.graph_placement,
        codes=vector.quantization_placement if copied else vector.placement,
        originals=vector.placement if copied else "cold",
        payload=schema.payload_placement,
    )
