"""How a collection comes to be: drafted, then made once its dimension is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from octant.core.core import Core
from octant.core.embedding import check_dimension
from octant.core.opening import open_existing
from octant.embedders import Embedder
from octant.errors import CollectionExistsError, InputError, MismatchError
from octant.flow import Flow, step
from octant.identity import PROBE_TEXT
from octant.layout import CollectionLayout, Stages, VectorLayout, check_knobs, lay_out
from octant.manifest import Manifest
from octant.representation import Representation
from octant.terms import Terms


def create(
    core: Core,
    terms: Mapping[str, Terms],
    *,
    exist_ok: bool,
    overwrite: bool,
    models: Mapping[str, Embedder | None] | None = None,
) -> Flow[None]:
    """Make the collection, or leave it a draft while its dimension is unknown.

    Parameters
    ----------
    core : Core
        With its siblings, where it is to have several embeddings.
    terms : mapping from vector name to Terms
    exist_ok, overwrite : bool
    models : mapping from name to Embedder, optional
        Where embeddings were asked for by name: the collection must have these, and their dimensions are found out
        now, if need be by embedding one short text.

    Raises
    ------
    CollectionExistsError
        If it exists and neither ``exist_ok`` nor ``overwrite`` is set.
    MismatchError
        If it exists, and is not what was asked for.
    InputError
        If one of several embeddings has neither a model nor a dimension.
    """
    if (yield from core.store.exists()):
        if overwrite:
            yield from core.store.drop()
        elif exist_ok:
            yield from _open_as_asked(core, terms, models)
            return
        else:
            raise CollectionExistsError(
                "a collection of that name exists: open it, or create it with exist_ok=True or overwrite=True"
            )
    dimensions = []
    for one in (core, *core.siblings.values()):
        dimensions.append((yield from find_dimension(one, certain=models is not None)))
        one.manifest = replace(one.manifest, dimension=None)
    known = [dimension for dimension in dimensions if dimension is not None]
    if len(known) == len(dimensions):
        yield from materialize(core, *known)


def _open_as_asked(core: Core, terms: Mapping[str, Terms], asked: Mapping[str, Embedder | None] | None) -> Flow[None]:
    yield from open_existing(core, models=asked)
    if asked is not None and set(asked) != set(core.embeddings):
        there, wanted = (", ".join(map(repr, names)) for names in (core.embeddings, asked))
        raise MismatchError(
            f"the collection has the embeddings {there}, expected {wanted}: open it as it is, add_embedding() what is "
            "missing, or make another one"
        )
    for one in core.embeddings.values():
        wanted_terms = terms.get(one.manifest.vector_name) or (terms.get("") if one is core else None)
        if wanted_terms is not None:
            wanted_terms.check(one.manifest, foreign=core.foreign)


def find_dimension(core: Core, *, certain: bool) -> Flow[int | None]:
    """What is known of an embedding's dimension, its model being noted down; all there is to know if ``certain``."""
    if core.embedder is not None:
        embedder = core.embedder
        identity = yield from step(lambda: embedder.identity)
        if certain and identity.dimension is None:
            yield from embedder.embed_documents([PROBE_TEXT])
            identity = embedder.identity
        check_dimension(core.manifest, identity)
        core.manifest = replace(core.manifest, embedding=identity)
    dimension = core.manifest.dimension
    if dimension is None and core.manifest.embedding is not None:
        dimension = core.manifest.embedding.dimension
    if dimension is None and certain:
        raise InputError(
            f"the embedding {core.title!r} needs its model (embedding), or its dimension: give one of them"
        )
    return dimension


def materialize(core: Core, *dimensions: int) -> Flow[None]:
    """Make a draft real: from here on it has a dimension, or one for each of its embeddings.

    Raises
    ------
    DimensionError, InputError
        If the representation is impossible for that dimension or distance; nothing is made then.
    """
    cores = (core, *core.siblings.values())
    manifests = [replace(one.manifest, dimension=d) for one, d in zip(cores, dimensions, strict=True)]
    own = manifests[0]
    vectors: tuple[VectorLayout, ...] = ()
    if dimensions == (0,):
        if core.sparse is None:
            raise InputError("dimension=0 means sparse vectors only: name their encoder too, as in sparse='bm25'")
    else:
        for one, manifest in zip(cores, manifests, strict=True):
            vectors += laid_out(one.representation, manifest)
    layout = CollectionLayout(vectors, own.sparse_name, own.placement.payload)
    yield from core.store.create(layout, *(manifest.to_json() for manifest in manifests))
    for one, manifest in zip(cores, manifests, strict=True):
        one.manifest = manifest


def laid_out(representation: Representation, manifest: Manifest) -> tuple[VectorLayout, ...]:
    """The named vectors of one embedding, once it is sure that they are possible."""
    if not manifest.dimension:
        raise InputError(f"the embedding {manifest.vector_name!r} must have a positive dimension, got 0")
    representation.check(manifest.dimension, manifest.distance)
    coarse, fine = representation.needs(manifest.dimension, manifest.distance)
    stages = Stages.of(coarse, fine, manifest.vector_name)
    if manifest.knobs is not None:
        check_knobs(stages, manifest.knobs)
    return lay_out(stages, hnsw=manifest.hnsw, placement=manifest.placement).vectors
