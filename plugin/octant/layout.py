"""From what representations need to what Qdrant stores and is asked: pure values, no I/O.

A representation has one stage or two. *Coarse* is searched; *fine* rescores what coarse found: inside Qdrant
where Qdrant can compare it, by the caller where it is bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.records import (
    JSON,
    CodeArray,
    Datatype,
    Distance,
    EncodedQueries,
    Filter,
    FloatArray,
    NativeQuantization,
    Placement,
    SparseVector,
    StorageNeeds,
)

# -- what is stored ------------------------------------------------------------------------------


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


# -- what is asked -------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchKnobs:
    """Per-search settings; None leaves the representation's or the engine's default.

    Attributes
    ----------
    hnsw_ef : int or None
        Candidates the graph search keeps; more is slower and finds more.
    exact : bool
        Scan the stored vectors instead of searching graph and second copy.
    oversampling : float or None
        How many times ``k`` candidates are rescored. At least 1. Two stages read as many as ``coverage`` asks
        for unless this is given.
    rescore : bool or None
        Whether a second copy's candidates are rescored from the stored vectors. A coarse stage's are not, unless
        this is True: the fine stage rescores them.
    coverage : float or None
        Two stages only: share, between 0 and 1, of the fine stage's own answers that the candidates shall hold on
        average; the collection's measured curve says how many that takes.
    """

    hnsw_ef: int | None = None
    exact: bool = False
    oversampling: float | None = None
    rescore: bool | None = None
    coverage: float | None = None

    def __post_init__(self) -> None:
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise InputError(f"coverage must lie between 0 and 1, got {self.coverage}: 0.99 is the default")
        if self.coverage is not None and self.oversampling is not None:
            raise InputError("coverage and oversampling both say how many candidates to read: give one of them")
        if self.oversampling is not None and not 1 <= self.oversampling < float("inf"):
            raise InputError(f"oversampling must be a finite number of at least 1, got {self.oversampling}")
        if self.hnsw_ef is not None and self.hnsw_ef < 1:
            raise InputError(f"hnsw_ef must be at least 1, got {self.hnsw_ef}")


@dataclass(frozen=True)
class QuerySettings:
    """Search parameters of one request, fully decided."""

    hnsw_ef: int | None = None
    exact: bool = False
    rescore: bool | None = None
    oversampling: float | None = None


@dataclass(frozen=True, eq=False)
class VectorQuery:
    """One nearest-neighbour request, possibly over the candidates of an inner one.

    Attributes
    ----------
    vector : (width,) float32, (rows, width) float32 for a multivector, or SparseVector
    using : str
        Named vector.
    limit : int
    settings : QuerySettings
    offset : int
    filter : mapping or None
        REST form. Engines apply it in the innermost request.
    prefetch : VectorQuery or None
        Its results are what this request scores.
    score_threshold : float or None
        In the engine's raw score.
    with_payload : bool
    with_vectors : tuple of str
        Named vectors to return.
    """

    vector: FloatArray | SparseVector
    using: str
    limit: int
    settings: QuerySettings = field(default_factory=QuerySettings)
    offset: int = 0
    filter: Filter | None = None
    prefetch: VectorQuery | None = None
    score_threshold: float | None = None
    with_payload: bool = True
    with_vectors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreMap:
    """From the engine's raw score to the score that leaves: ``similarity = scale * g(raw) + offset``.

    Attributes
    ----------
    scale, offset : float
    metric : Distance
        What the engine computed; ``g`` is minus the square under Euclid, minus the value under Manhattan.
    distance : Distance
        The collection's; a Euclid similarity (minus a squared distance) leaves as minus the distance.
    """

    scale: float
    offset: float
    metric: Distance
    distance: Distance

    def __call__(self, raw: float) -> float:
        """The score of a raw engine score; higher is better."""
        if self.metric is Distance.EUCLID:
            raw = -raw * raw
        elif self.metric is Distance.MANHATTAN:
            raw = -raw
        similarity = self.scale * raw + self.offset
        if self.distance is Distance.EUCLID:
            return -float(np.sqrt(max(-similarity, 0.0)))
        return similarity

    def raw_threshold(self, least: float) -> float | None:
        """The engine's own threshold that lets through every raw score whose score is at least ``least``.

        It lies a rounding error (1e-5, relative) on the generous side, since the engine compares in float32: what it
        lets through is still to be compared with ``least``. Minus a distance has an upper threshold in the engine.

        Parameters
        ----------
        least : float
            A score that leaves; not NaN.

        Returns
        -------
        float or None
            None where no threshold says it: ``least`` is minus infinity, or ``scale`` is not positive.
        """
        if not self.scale > 0 or least == -np.inf:
            return None
        least = min(max(least, -_LARGEST), _LARGEST)
        similarity = -(min(least, 0.0) ** 2) if self.distance is Distance.EUCLID else least
        raw = (similarity - self.offset) / self.scale
        raw -= _ROUNDING * (abs(raw) + (abs(similarity) + abs(self.offset)) / self.scale)
        if self.metric is Distance.EUCLID:
            raw = float(np.sqrt(max(-raw, 0.0)))
        elif self.metric is Distance.MANHATTAN:
            raw = max(-raw, 0.0)
        return float(np.clip(raw, -_LARGEST, _LARGEST))


_ROUNDING = 1e-5
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class DensePlan:
    """How one query text or vector is answered.

    Attributes
    ----------
    query : VectorQuery
    score : ScoreMap
        For the raw scores that ``query`` returns.
    rescore_with : str or None
        Named vector whose codes (returned with the candidates) the caller decodes and scores.
    """

    query: VectorQuery
    score: ScoreMap
    rescore_with: str | None = None

    def at_least(self, score: float | None) -> DensePlan:
        """The plan whose request leaves out, in the engine, what scores less than ``score``, but for rounding.

        The same plan where the scores that leave are the caller's to compute: only the caller can leave out by them.
        """
        if score is None or self.rescore_with is not None:
            return self
        return replace(self, query=replace(self.query, score_threshold=self.score.raw_threshold(score)))


def plan_dense(
    stages: Stages,
    coarse: EncodedQueries,
    fine: EncodedQueries | None,
    row: int,
    *,
    distance: Distance,
    limit: int,
    knobs: SearchKnobs,
    candidates: int | None = None,
    filter: Filter | None = None,  # noqa: A002  # Qdrant's own word
    with_vectors: Sequence[str] = (),
    with_payload: bool = True,
) -> DensePlan:
    """The request for query ``row`` of the encoded queries, for ``limit`` answers.

    Two stages that Qdrant scores make one request, the coarse one inside of the fine one; asked for exactly, the
    fine one alone scans everything. Where Qdrant cannot score the fine stage the request is the coarse one, and the
    fine codes come back with its candidates: there is no second read either.

    Parameters
    ----------
    stages : Stages
    coarse, fine : EncodedQueries
        The same queries in both stages' coordinates; ``fine`` is None where it is not scored by the engine.
    row : int
    distance : Distance
        Of the collection.
    limit : int
        Answers wanted, offset included.
    knobs : SearchKnobs
    candidates : int, optional
        What the fine stage scores, at least ``limit``; the oversampling that the stages ask for decides without it.
    filter : mapping, optional
    with_vectors : sequence of str
        Named vectors to return beside those the plan itself needs.

    Raises
    ------
    InputError
        If rescoring is switched off where the raw score cannot be turned into a similarity.
    """
    if stages.fine is None:
        settings, score = _settings(stages.coarse.needs, coarse, row, distance, knobs)
        query = VectorQuery(
            coarse.vectors[row], stages.coarse.name, limit, settings, filter=filter,
            with_vectors=tuple(with_vectors), with_payload=with_payload,
        )  # fmt: skip
        return DensePlan(query, score)
    if candidates is None or knobs.oversampling is not None:
        candidates = int(np.ceil(limit * (knobs.oversampling or stages.fine.needs.oversampling)))
    inner = coarse_query(stages, coarse, row, limit=max(limit, candidates), knobs=knobs, filter=filter)
    if stages.fine_is_client_side:
        names = tuple(dict.fromkeys((stages.fine.name, *with_vectors)))
        query = replace(inner, with_payload=with_payload, with_vectors=names)
        # Nobody sees the coarse scores: the caller scores the fine codes.
        return DensePlan(query, ScoreMap(1.0, 0.0, stages.coarse.needs.metric, distance), rescore_with=stages.fine.name)
    if fine is None:
        raise InputError("the fine stage is scored by the engine: its encoded queries are needed")
    settings, score = _settings(stages.fine.needs, fine, row, distance, SearchKnobs(exact=knobs.exact))
    query = VectorQuery(
        fine.vectors[row], stages.fine.name, limit, settings, filter=filter if knobs.exact else None,
        prefetch=None if knobs.exact else inner, with_vectors=tuple(with_vectors), with_payload=with_payload,
    )  # fmt: skip
    return DensePlan(query, score)


def coarse_query(
    stages: Stages,
    coarse: EncodedQueries,
    row: int,
    *,
    limit: int,
    knobs: SearchKnobs | None = None,
    filter: Filter | None = None,  # noqa: A002
) -> VectorQuery:
    """The request for the ``limit`` candidates that the coarse stage proposes to a fine one.

    Its second copy, where it has one, is searched and not rescored: that would read from disk what the fine stage is
    about to read better, and order is all that a proposal needs.
    """
    knobs = knobs or SearchKnobs()
    copied = stages.coarse.needs.quantization is not None and not knobs.exact
    settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=bool(knobs.rescore) if copied else None)
    return VectorQuery(
        coarse.vectors[row], stages.coarse.name, limit, settings, filter=filter, with_payload=False
    )  # fmt: skip


def _settings(
    needs: StorageNeeds, encoded: EncodedQueries, row: int, distance: Distance, knobs: SearchKnobs
) -> tuple[QuerySettings, ScoreMap]:
    scale, offset = float(encoded.scale[row]), float(encoded.offset[row])
    if needs.quantization is None or knobs.exact:
        # An exact search passes the second copy by: its raw scores are the stored vectors' own.
        settings = QuerySettings(hnsw_ef=knobs.hnsw_ef, exact=knobs.exact)
        return settings, ScoreMap(scale, offset, needs.metric, distance)
    rescore = needs.rescore if knobs.rescore is None else knobs.rescore
    if rescore:
        oversampling = knobs.oversampling or needs.oversampling
        settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=True, oversampling=oversampling)
        return settings, ScoreMap(scale, offset, needs.metric, distance)
    slope = _raw_slope(needs, needs.quantization)
    peak = float(np.abs(encoded.vectors[row]).max()) if needs.raw_slope_by_query_peak else 1.0
    settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=False)
    return settings, ScoreMap(scale * slope * peak, offset, needs.metric, distance)


def _raw_slope(needs: StorageNeeds, copy: NativeQuantization) -> float:
    if needs.raw_slope is None:
        raise InputError(
            f"scores of {copy.kind} quantization at {copy.bits:g} bits are not estimates of the similarity without "
            "rescoring: leave rescore on"
        )
    return needs.raw_slope


def check_knobs(stages: Stages, knobs: SearchKnobs) -> None:
    """Refuse knobs that every search of ``stages`` would refuse.

    Raises
    ------
    InputError
        If rescoring is switched off where the raw score cannot be turned into a similarity.
    """
    needs = stages.coarse.needs
    if stages.fine is None and needs.quantization is not None and knobs.rescore is False and not knobs.exact:
        _raw_slope(needs, needs.quantization)


# -- what comes and goes -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PointBatch:
    """Points to write, in columns.

    Attributes
    ----------
    ids : sequence of int or str
        Qdrant's ids: non-negative integers or UUID strings.
    vectors : mapping from name to (n, width) float32 or uint8
    payloads : sequence of mapping
    sparse : mapping from name to n SparseVector or None
    multi : mapping from name to n (rows, width) float32 or None
        Multivectors; points differ in their number of rows.
    absent : mapping from name to (n,) bool
        Points that have none of these dense vectors, whatever ``vectors`` holds in their rows. None says so for
        sparse vectors and multivectors.
    """

    ids: Sequence[int | str]
    vectors: Mapping[str, CodeArray]
    payloads: Sequence[Mapping[str, object]]
    sparse: Mapping[str, Sequence[SparseVector | None]] = field(default_factory=dict)
    multi: Mapping[str, Sequence[FloatArray | None]] = field(default_factory=dict)
    absent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> PointBatch:
        """Points ``start`` to ``stop``, without copying vectors."""
        return PointBatch(
            self.ids[start:stop],
            {name: matrix[start:stop] for name, matrix in self.vectors.items()},
            self.payloads[start:stop],
            {name: column[start:stop] for name, column in self.sparse.items()},
            {name: column[start:stop] for name, column in self.multi.items()},
            {name: rows[start:stop] for name, rows in self.absent.items()},
        )

    def take(self, rows: Sequence[int]) -> PointBatch:
        """The points in ``rows``."""
        chosen = np.asarray(rows, np.intp)
        return PointBatch(
            [self.ids[row] for row in rows],
            {name: matrix[chosen] for name, matrix in self.vectors.items()},
            [self.payloads[row] for row in rows],
            {name: [column[row] for row in rows] for name, column in self.sparse.items()},
            {name: [column[row] for row in rows] for name, column in self.multi.items()},
            {name: gone[chosen] for name, gone in self.absent.items()},
        )


@dataclass(frozen=True, eq=False)
class StoredPoint:
    """A point as an engine returns it.

    Attributes
    ----------
    id : int or str
        Qdrant's id: an integer or a UUID string.
    score : float
        Raw; 0 where the point was not searched for.
    payload : mapping
    vectors : mapping from name to (width,) array
    sparse : mapping from name to SparseVector
        Only :meth:`octant.store.base.Store.read` and ``sample`` bring these and ``multi``.
    multi : mapping from name to (rows, width) array
    """

    id: int | str
    score: float
    payload: Mapping[str, object]
    vectors: Mapping[str, FloatArray]
    sparse: Mapping[str, SparseVector] = field(default_factory=dict)
    multi: Mapping[str, FloatArray] = field(default_factory=dict)
