"""What a collection holds, whoever made it, read back so that an equal one can be made: pure values, no I/O.

A :class:`~octant.layout.VectorLayout` says what Octant needs to know of a vector; the ``settings`` here are everything
that Qdrant says of it, in the JSON of its REST API, so that nothing is lost on the way to another collection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from octant.errors import InputError, UnsupportedError
from octant.layout import CollectionLayout, HnswSettings, VectorLayout
from octant.records import JSON, Datatype, Distance, NativeQuantization, Placement

_BINARY_BITS = {"one_bit": 1.0, "one_and_half_bits": 1.5, "two_bits": 2.0}
_QUERY_BITS = {"scalar4bits": 4, "scalar8bits": 8}
_TURBO_BITS = {"bits1": 1.0, "bits1_5": 1.5, "bits2": 2.0, "bits4": 4.0, "bits8": 8.0}


@dataclass(frozen=True)
class DenseVector:
    """A dense vector, or a multivector, as its collection was made with it.

    Attributes
    ----------
    name : str
        Empty for Qdrant's unnamed vector.
    settings : mapping
        ``VectorParams`` of the REST API; what the collection sets for all vectors is filled in.
    indexing_threshold : int
        KiB of vectors from which a graph is built; Qdrant has one for the whole collection.
    """

    name: str
    settings: Mapping[str, JSON]
    indexing_threshold: int = HnswSettings().indexing_threshold

    @property
    def multivector(self) -> bool:
        """Whether a point has a matrix here, compared by MaxSim, instead of one vector."""
        return self.settings.get("multivector_config") is not None

    @property
    def layout(self) -> VectorLayout:
        """The vector in Octant's nouns; of a multivector, one of its rows.

        Raises
        ------
        UnsupportedError
            If it has a setting that this version does not know.
        """
        try:
            return _vector(self.name, self.settings, self.indexing_threshold)
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise UnsupportedError(
                f"the settings of vector {self.name!r} are none that this version of Octant knows "
                f"({type(error).__name__}: {error}): upgrade qdrant-octant"
            ) from error


@dataclass(frozen=True)
class SparseVectorSchema:
    """A sparse vector as its collection was made with it.

    Attributes
    ----------
    name : str
    settings : mapping
        ``SparseVectorParams`` of the REST API: ``modifier`` and ``index``.
    """

    name: str
    settings: Mapping[str, JSON] = dataclasses.field(default_factory=dict)

    @property
    def idf(self) -> bool:
        """Whether the engine weighs its terms by inverse document frequency."""
        return self.settings.get("modifier") == "idf"


@dataclass(frozen=True)
class PayloadIndex:
    """An index on a payload field.

    Attributes
    ----------
    field : str
        Path of the field.
    kind : {"keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"}
    settings : mapping
        The parameters in the REST API's JSON, without ``type``; empty for Qdrant's defaults.
    """

    field: str
    kind: str
    settings: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class CollectionSchema:
    """Everything about a collection but its points.

    Attributes
    ----------
    vectors : tuple of DenseVector
    sparse : tuple of SparseVectorSchema
    indexes : tuple of PayloadIndex
    payload_placement : {"cached", "cold"}
    metadata : mapping
        What others wrote into the collection's metadata; Octant's own keys are not among it.
    options : mapping
        Arguments of ``create_collection`` in the REST API's JSON, where the engine has them: ``shard_number``,
        ``sharding_method``, ``replication_factor``, ``write_consistency_factor``, ``optimizers_config``,
        ``wal_config``, ``strict_mode_config``, ``id_tracker``.
    manifests : mapping from vector name to manifest
        One for every representation that Octant keeps here; see :mod:`octant.manifest`.
    """

    vectors: tuple[DenseVector, ...] = ()
    sparse: tuple[SparseVectorSchema, ...] = ()
    indexes: tuple[PayloadIndex, ...] = ()
    payload_placement: Placement = "cold"
    metadata: Mapping[str, JSON] = dataclasses.field(default_factory=dict)
    options: Mapping[str, JSON] = dataclasses.field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, JSON]] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all vectors: dense, multi and sparse."""
        return (*(vector.name for vector in self.vectors), *(vector.name for vector in self.sparse))

    def vector(self, name: str) -> DenseVector:
        """The dense vector or multivector called ``name``.

        Raises
        ------
        InputError
            If there is none; the message names those there are.
        """
        for vector in self.vectors:
            if vector.name == name:
                return vector
        known = ", ".join(repr(vector.name) for vector in self.vectors) or "none"
        raise InputError(f"the collection has no dense vector named {name!r}; it has {known}")

    def without(self, names: Sequence[str]) -> CollectionSchema:
        """The same without the vectors ``names`` and their manifests."""
        gone = set(names)
        return replace(
            self,
            vectors=tuple(vector for vector in self.vectors if vector.name not in gone),
            sparse=tuple(vector for vector in self.sparse if vector.name not in gone),
            manifests={name: manifest for name, manifest in self.manifests.items() if name not in gone},
        )

    @property
    def layout(self) -> CollectionLayout:
        """What Octant can search: multivectors are left out; of several sparse vectors the first with IDF counts."""
        vectors = tuple(vector.layout for vector in self.vectors if not vector.multivector)
        weighted = [vector.name for vector in self.sparse if vector.idf]
        sparse = next(iter([*weighted, *(vector.name for vector in self.sparse)]), None)
        return CollectionLayout(vectors, sparse, self.payload_placement)

    def check_beside(self, vectors: Sequence[VectorLayout]) -> None:
        """Refuse a collection of this schema and ``vectors`` that cannot be.

        Raises
        ------
        InputError
            If a name occurs twice, or there is no vector at all.
        UnsupportedError
            If points are placed by keys of their own, which nothing here can give them.
        """
        names = [vector.name for vector in vectors] + list(self.names)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(
                f"a collection has one vector of a name; given twice: {', '.join(map(repr, twice))}. Leave out of the "
                "schema what is replaced: schema.without(names)"
            )
        if not names:
            raise InputError("a collection needs at least one vector, dense or sparse; got none")
        if self.options.get("sharding_method") == "custom":
            raise UnsupportedError(
                "the collection places points by shard keys of its own (sharding_method custom), which a copy cannot "
                "be given: add vectors to the live collection instead"
            )

    def check_added(
        self, vectors: Sequence[VectorLayout], sparse: Sequence[SparseVectorSchema], *, datatypes: bool = True
    ) -> None:
        """Refuse to add ``vectors`` and ``sparse`` where one is there already and is another.

        ``datatypes`` is False where the engine has none to compare.

        Raises
        ------
        InputError
        """
        there = {vector.name: vector for vector in self.vectors}
        weighted = {vector.name: vector.idf for vector in self.sparse}
        for vector in vectors:
            found = there.get(vector.name)
            if vector.name in weighted or (found is not None and not _same_space(found, vector, datatypes)):
                raise InputError(
                    f"the collection has another vector named {vector.name!r} already: choose another name, or drop "
                    "that one first"
                )
        for entry in sparse:
            if entry.name in there or weighted.get(entry.name, entry.idf) != entry.idf:
                raise InputError(f"the collection has another vector named {entry.name!r} already: choose another name")

    def check_dropped(self, names: Sequence[str]) -> None:
        """Refuse to drop what Qdrant cannot.

        Raises
        ------
        InputError
            If that is the unnamed vector, and the only dense one.
        """
        if "" in names and [vector.name for vector in self.vectors] == [""]:
            raise InputError(
                "Qdrant cannot drop the unnamed vector while it is the only dense one: add another vector first, or "
                "copy what shall be kept into a new collection"
            )


def _same_space(found: DenseVector, wanted: VectorLayout, datatypes: bool) -> bool:
    there = found.layout
    same = (there.size, there.metric) == (wanted.size, wanted.metric)
    return same and found.multivector == wanted.multivector and (there.datatype == wanted.datatype or not datatypes)


# -- from the REST API's JSON --------------------------------------------------------------------


def filled(own: Mapping[str, JSON], common: Mapping[str, JSON]) -> dict[str, JSON]:
    """A vector's settings ``own``, with what the collection sets in ``common`` for those it leaves open.

    Parameters
    ----------
    own : mapping
        ``VectorParams``.
    common : mapping
        ``hnsw_config`` and ``quantization_config`` of the collection. Of the graph, settings are filled in one by
        one; a quantization is taken whole.
    """
    found = present(own)
    graph, mine = present(common.get("hnsw_config") or {}), present(own.get("hnsw_config") or {})
    if {"memory", "on_disk"} & set(mine):  # two words for one setting
        graph = {name: value for name, value in graph.items() if name not in ("memory", "on_disk")}
    graph |= mine
    if graph:
        found["hnsw_config"] = graph
    copy = own.get("quantization_config") or common.get("quantization_config")
    if copy:
        found["quantization_config"] = copy
    return found


def present(settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """``settings`` without those that are null, which says the same."""
    return {name: value for name, value in settings.items() if value is not None}


def payload_placement(settings: Mapping[str, JSON]) -> Placement:
    """Where the payload of a collection of these ``settings`` lives: ``payload`` and ``on_disk_payload``."""
    memory = (settings.get("payload") or {}).get("memory")
    return _unpinned(memory or ("cached" if settings.get("on_disk_payload") is False else "cold"))


def _vector(name: str, settings: Mapping[str, JSON], indexing_threshold: int) -> VectorLayout:
    placement = _unpinned(settings.get("memory") or ("cold" if settings.get("on_disk") else "cached"))
    copy = settings.get("quantization_config")
    graph = present(settings.get("hnsw_config") or {})
    numbers = {key: graph[key] for key in ("m", "ef_construct", "full_scan_threshold") if key in graph}
    hnsw = HnswSettings(**numbers, indexing_threshold=indexing_threshold)
    datatype: Datatype = settings.get("datatype") or "float32"
    return VectorLayout(
        name=name,
        size=settings["size"],
        metric=Distance.parse(settings["distance"]),
        datatype=datatype,
        placement=placement,
        quantization=_quantization(copy) if copy else None,
        quantization_placement=_copy_placement(copy, placement),
        hnsw=hnsw,
        graph_placement=_graph_placement(graph) if hnsw.m else "cold",
    )


def _graph_placement(graph: Mapping[str, JSON]) -> Placement:
    placement: Placement = graph.get("memory") or ("cold" if graph.get("on_disk") else "cached")
    return placement


def _quantization(copy: Mapping[str, JSON]) -> NativeQuantization:
    kind, settings = next(iter(copy.items()))
    if kind == "product":
        ratio = int(settings["compression"].removeprefix("x"))
        return NativeQuantization("product", 32 / ratio, ratio=ratio)
    if kind == "binary":
        bits = _BINARY_BITS[settings.get("encoding") or "one_bit"]
        return NativeQuantization("binary", bits, query_bits=_QUERY_BITS.get(settings.get("query_encoding")))
    if kind == "turbo":
        return NativeQuantization("turbo", _TURBO_BITS[settings.get("bits") or "bits4"])
    if kind == "scalar":
        return NativeQuantization("scalar", 8.0)
    raise ValueError(f"quantization {kind}")


def _copy_placement(copy: Mapping[str, Any] | None, originals: Placement) -> Placement:
    followed: Placement = "pinned" if originals == "cached" else "cold"
    if not copy:
        return followed
    settings = next(iter(copy.values()))
    placement: Placement = settings.get("memory") or ("pinned" if settings.get("always_ram") else followed)
    return placement


def _unpinned(placement: Placement) -> Placement:
    # Qdrant takes "pinned" for stored vectors and payload too, and holds them cached.
    return "cached" if placement == "pinned" else placement
