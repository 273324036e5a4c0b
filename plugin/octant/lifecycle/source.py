"""The collection that is compressed: which vectors it has, and its points page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from octant import artifact as artifacts
from octant.flow import Flow
from octant.layout import HnswSettings, Stages, StoredPoint
from octant.location import Location, store_at
from octant.manifest import Manifest
from octant.records import JSON, Distance, FloatArray
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.store.base import Store
from octant.unfinished import DONE, KEY, refuse

FLOATS = ("float32", "float16")
"""Datatypes whose numbers are the embedding's own."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One embedding of every point, in one named vector or in the two of a two-stage representation.

    Attributes
    ----------
    name : str
        The named vector, or the name that both stages share.
    dimension : int
    distance : Distance
    stored : tuple of str
        Named vectors that belong to it, the one to read it from last.
    datatype : str
        Of that one.
    hnsw : HnswSettings
        Of the searched one.
    manifest : Manifest or None
        None where another client made it.
    codec : Representation or None
        What decodes the stored vectors; None where they are the embedding itself.
    """

    name: str
    dimension: int
    distance: Distance
    stored: tuple[str, ...]
    datatype: str
    hnsw: HnswSettings
    manifest: Manifest | None = None
    codec: Representation | None = None

    @property
    def exact(self) -> bool:
        """Whether the stored numbers are the embedding's own, to half precision at least."""
        return self.codec is None and self.datatype in FLOATS

    def of(self, points: Sequence[StoredPoint]) -> tuple[list[int], FloatArray]:
        """Positions of the ``points`` that have it, and their vectors (m, dimension)."""
        name = self.stored[-1]
        rows = [row for row, point in enumerate(points) if name in point.vectors]
        if not rows:
            return [], np.empty((0, self.dimension), np.float32)
        stored = np.stack([np.asarray(points[row].vectors[name], np.float32) for row in rows])
        if self.codec is None:
            return rows, stored
        codes = stored.astype(np.uint8) if self.datatype == "uint8" else stored
        return rows, self.codec.decode(codes)


@dataclass(frozen=True, eq=False)
class Source:
    """An open collection of anybody's.

    Attributes
    ----------
    store : Store
    name : str
        Its own, where an alias was given.
    schema : CollectionSchema
    embeddings : tuple of Embeddings
        Everything that can be compressed: dense vectors, and Octant's representations.
    points : int
    """

    store: Store
    name: str
    schema: CollectionSchema
    embeddings: tuple[Embeddings, ...]
    points: int

    @property
    def watched(self) -> tuple[str, ...]:
        """Vectors whose numbers tell whether a point was written to: what an engine gives back as it got it."""
        datatypes = {vector.name: str(vector.settings.get("datatype")) for vector in self.schema.vectors}
        lossy = {name for name, datatype in datatypes.items() if datatype.startswith("turbo")}
        return tuple(name for name in self.schema.names if name not in lossy)


def without_unfinished(schema: CollectionSchema, state: Mapping[str, JSON] | None) -> CollectionSchema:
    """The schema without vectors that a compression in place has begun to add and not completed."""
    if state is None or state.get("phase") == DONE:
        return schema
    if not state.get("vectors"):
        refuse(state, "")  # the whole collection is the target
    begun = [name for family in state.get("vectors") or () for name in (family, *_two_stages(family))]
    return schema.without(begun)


def _two_stages(family: str) -> tuple[str, str]:
    prefix = f"{family}." if family else ""
    return f"{prefix}coarse", f"{prefix}fine"


def read_embeddings(store: Store, schema: CollectionSchema) -> Flow[tuple[Embeddings, ...]]:
    """Every embedding of a collection; what was made of another of its vectors is none of its own.

    Raises
    ------
    ArtifactError
        If one of Octant's has lost its fitted state.
    """
    found: list[Embeddings] = []
    taken: set[str] = set()
    for value in schema.manifests.values():
        manifest = Manifest.from_json(value)
        if manifest.dimension:
            embeddings = yield from _octants(store, schema, manifest)
            taken |= set(embeddings.stored)
            found += [embeddings] if manifest.source is None else []
    for vector in schema.vectors:
        if vector.name in taken or vector.multivector:
            continue
        layout = vector.layout
        found.append(Embeddings(vector.name, layout.size, layout.metric, (vector.name,), layout.datatype, layout.hnsw))
    return tuple(found)


def _octants(store: Store, schema: CollectionSchema, manifest: Manifest) -> Flow[Embeddings]:
    codec = Representation.parse(manifest.represent)
    if manifest.artifact is not None:
        codec, _ = artifacts.load((yield from store.read_artifact(manifest.artifact)))
    dimension = manifest.dimension or 0
    stages = Stages.of(*codec.needs(dimension, manifest.distance), manifest.vector_name)
    stored = (stages.coarse.name,) if stages.fine is None else (stages.coarse.name, stages.fine.name)
    datatype = (stages.fine or stages.coarse).needs.datatype
    plain = stages.fine is None and not codec.coarse.reducers and datatype in FLOATS and not codec.learns
    hnsw = schema.vector(stored[0]).layout.hnsw
    return Embeddings(
        manifest.vector_name, dimension, manifest.distance, stored, datatype, hnsw, manifest, None if plain else codec
    )


def open_source(
    name: str, location: Location, client_options: Mapping[str, Any] | None, *, in_place: bool = False
) -> Flow[Source]:
    """Open the collection ``name``, whoever made it: to be read, or to get vectors of its own where ``in_place``.

    Raises
    ------
    CollectionNotFoundError, LockedError, ArtifactError, UnsupportedError, UnavailableError
    UnfinishedError
        If it is the target of a compression that is not complete.
    """
    store = store_at(location, name, client_options=client_options)
    try:
        yield from _opened(store, in_place)
        if store.collection != name:
            # An alias may be switched to the target while this runs: what is read, and may be deleted, is the
            # collection that it stands for now.
            own = store.collection
            yield from store.close()
            store = store_at(location, own, client_options=client_options)
            yield from _opened(store, in_place)
        schema = without_unfinished((yield from store.schema()), (yield from store.read_state(KEY)))
        found = yield from read_embeddings(store, schema)
        return Source(store, store.collection, schema, found, (yield from store.count()))
    except BaseException:
        yield from store.close()
        raise


def _opened(store: Store, in_place: bool) -> Flow[CollectionSchema]:
    return store.open() if in_place else store.open_to_read()
