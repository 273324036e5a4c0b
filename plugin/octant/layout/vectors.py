"""What is stored: the named vectors of a collection, and where each part of it lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from octant.errors import InputError
from octant.records import JSON, Datatype, Distance, NativeQuantization, Placement, StorageNeeds


@dataclass(frozen=True)
class HnswSettings:
    """Qdrant's graph parameters, with the server's defaults.

    Attributes
    ----------
    m : int
        Edges per node; 0 builds no graph.
    ef_construct : int
        Candidates considered while building.
    full_scan_threshold : int
        KiB of vectors under which a segment is scanned instead of searched through the graph.
    indexing_threshold : int
        KiB of vectors from which ``optimize`` builds a graph.
    """

    m: int = 16
    ef_construct: int = 100
    full_scan_threshold: int = 10_000
    indexing_threshold: int = 10_000


NO_GRAPH = HnswSettings(m=0)


@dataclass(frozen=True)
class MemoryPlacement:
    """Where each part of a collection lives; everything has its file on disk wherever it is held.

    Attributes
    ----------
    graph : {"cached", "pinned", "cold"}
        Of what is searched.
    codes : {"pinned", "cached", "cold"} or None
        What is searched. None pins a second copy and caches an only copy, which Qdrant cannot pin.
    originals : {"cold", "cached"}
        Vectors behind a second copy, and everything of a fine stage.
    payload : {"cold", "cached"}

    Raises
    ------
    InputError
        For a placement that Qdrant does not have.
    """

    graph: Placement = "cached"
    codes: Placement | None = None
    originals: Placement = "cold"
    payload: Placement = "cold"

    def __post_init__(self) -> None:
        for part, value in asdict(self).items():
            allowed = _ALLOWED[part]
            if value not in allowed and not (part == "codes" and value is None):
                raise InputError(f"Qdrant holds the {part} {' or '.join(allowed)}; got {value!r}")


_ALLOWED: dict[str, tuple[Placement, ...]] = {
    "graph": ("pinned", "cached", "cold"),
    "codes": ("pinned", "cached", "cold"),
    "originals": ("cached", "cold"),
    "payload": ("cached", "cold"),
}


@dataclass(frozen=True)
class VectorLayout:
    """One named dense vector of a collection.

    Attributes
    ----------
    name : str
        Empty for Qdrant's unnamed vector.
    size : int
    metric : Distance
    datatype : str
    placement : {"cached", "cold"}
        Of the stored vector; Qdrant cannot pin it.
    quantization : NativeQuantization or None
    quantization_placement : {"pinned", "cached", "cold"}
    hnsw : HnswSettings
    graph_placement : {"pinned", "cached", "cold"}
        Says nothing where ``hnsw.m`` is 0.
    multivector : bool
        Whether a point has a matrix of such rows, compared by MaxSim, instead of one vector.
    """

    name: str
    size: int
    metric: Distance
    datatype: Datatype
    placement: Placement
    quantization: NativeQuantization | None
    quantization_placement: Placement
    hnsw: HnswSettings
    graph_placement: Placement = "cached"
    multivector: bool = False


@dataclass(frozen=True)
class CollectionLayout:
    """Everything a store must know to create a collection.

    Attributes
    ----------
    vectors : tuple of VectorLayout
    sparse : str or None
        Name of the sparse vector, scored with inverse document frequency by the engine.
    payload_placement : {"cached", "cold"}
    """

    vectors: tuple[VectorLayout, ...]
    sparse: str | None = None
    payload_placement: Placement = "cold"

    def beside(self, vectors: Sequence[VectorLayout]) -> CollectionLayout:
        """The layout with ``vectors`` ahead of its own, in place of those of their names."""
        names = {vector.name for vector in vectors}
        return replace(self, vectors=(*vectors, *(vector for vector in self.vectors if vector.name not in names)))

    def without(self, names: Sequence[str]) -> CollectionLayout:
        """The layout without the vectors ``names``."""
        vectors = tuple(vector for vector in self.vectors if vector.name not in names)
        return replace(self, vectors=vectors, sparse=None if self.sparse in names else self.sparse)

    def to_json(self) -> JSON:
        """The layout as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> CollectionLayout:
        """The layout that ``to_json`` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If ``value`` is not one.
        """
        vectors = tuple(_vector_from_json(entry) for entry in value["vectors"])
        return cls(vectors, value["sparse"], value["payload_placement"])


def _vector_from_json(entry: Mapping[str, JSON]) -> VectorLayout:
    quantization = entry["quantization"]
    parsed = {
        "metric": Distance.parse(entry["metric"]),
        "hnsw": HnswSettings(**entry["hnsw"]),
        "quantization": None if quantization is None else NativeQuantization(**quantization),
    }
    return VectorLayout(**{**entry, **parsed})


@dataclass(frozen=True)
class Stage:
    """One stage of a representation: its vector's name and what it needs."""

    name: str
    needs: StorageNeeds


@dataclass(frozen=True)
class Stages:
    """The named vectors of a representation. ``fine`` is None where one vector does it all."""

    coarse: Stage
    fine: Stage | None = None

    @classmethod
    def of(cls, coarse: StorageNeeds, fine: StorageNeeds | None, vector_name: str = "") -> Stages:
        """Name the vectors: ``vector_name`` itself for one stage, ``…coarse`` and ``…fine`` for two.

        Raises
        ------
        InputError
            If the coarse stage is bytes that Qdrant cannot search.
        """
        if not coarse.scored:
            raise InputError("the coarse stage must be something Qdrant can search; bytes can only be the fine stage")
        if fine is None:
            return cls(Stage(vector_name, coarse))
        prefix = f"{vector_name}." if vector_name else ""
        return cls(Stage(f"{prefix}coarse", coarse), Stage(f"{prefix}fine", fine))

    @property
    def fine_is_client_side(self) -> bool:
        """Whether the caller must decode and score the fine codes."""
        return self.fine is not None and not self.fine.needs.scored


def lay_out(
    stages: Stages,
    *,
    hnsw: HnswSettings | None = None,
    placement: MemoryPlacement | None = None,
    sparse: str | None = None,
) -> CollectionLayout:
    """The collection that holds ``stages``: unless told otherwise what is searched in RAM, the rest cold.

    A fine stage has no graph, since nothing searches it.

    Raises
    ------
    InputError
        If an only copy shall be pinned: Qdrant pins second copies only.
    """
    hnsw, placement = hnsw or HnswSettings(), placement or MemoryPlacement()
    vectors = [_searched(stages.coarse, hnsw, placement)]
    if stages.fine is not None:
        copy = None if stages.fine.needs.quantization is None else placement.originals
        vectors.append(_vector(stages.fine, NO_GRAPH, placement.originals, copy, "cold"))
    return CollectionLayout(tuple(vectors), sparse, placement.payload)


def _searched(stage: Stage, hnsw: HnswSettings, placement: MemoryPlacement) -> VectorLayout:
    graph = placement.graph if hnsw.m else "cold"
    # A second copy is what gets searched, so the stored vector behind it can rest on disk.
    if stage.needs.quantization is not None:
        return _vector(stage, hnsw, placement.originals, placement.codes or "pinned", graph)
    if placement.codes == "pinned":
        raise InputError(
            f"codes='pinned' needs a second copy, and {stage.needs.datatype} is the only one here: Qdrant holds it "
            "cached or cold; leave codes out, or choose a representation with a second copy, e.g. 'turbo8|turbo(1)'"
        )
    return _vector(stage, hnsw, placement.codes or "cached", None, graph)


def _vector(
    stage: Stage, hnsw: HnswSettings, stored: Placement, copy: Placement | None, graph: Placement
) -> VectorLayout:
    needs = stage.needs
    # Where there is no copy, Qdrant's own rule for one that came later.
    copy = copy or ("pinned" if stored == "cached" else "cold")
    return VectorLayout(
        stage.name, needs.width, needs.metric, needs.datatype, stored, needs.quantization, copy, hnsw, graph
    )


def stored_as(vector: VectorLayout, beside: Sequence[VectorLayout]) -> str:
    """What the stored vectors of ``vector`` are, among all the vectors of its collection: a component's name.

    A vector without a graph beside one with a graph is there to rescore. Where no vector has a graph, the names that
    :meth:`Stages.of` gives tell.
    """
    if vector.quantization is not None:
        return "originals"
    names = {other.name for other in beside}
    graphs = any(other.hnsw.m for other in beside)
    fine = vector.name == "fine" or vector.name.endswith(".fine")
    behind = (not vector.hnsw.m) if graphs else fine and f"{vector.name[:-4]}coarse" in names
    return "rescoring codes" if behind else "searched codes"
