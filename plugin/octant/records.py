"""The values that stages exchange: small, frozen, and ignorant of each other.

Higher is better for every score in this module.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.oversampling import CoverageCurve
from octant.rerank_report import RerankReport, ScoreKind

FloatArray: TypeAlias = NDArray[np.float32]
"""float32 array; its shape is given where it is used."""
CodeArray: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
"""What a representation hands to the engine, (n, width)."""
PointId: TypeAlias = int | str
"""A caller's id: a non-negative int below 2**64, or any non-empty string."""
JSON: TypeAlias = Any
"""A value that ``json.dumps`` accepts unchanged."""
Payload: TypeAlias = Mapping[str, JSON]
Filter: TypeAlias = Mapping[str, JSON]
"""A Qdrant filter in its REST form, e.g. ``{"must": [{"key": "city", "match": {"value": "Oslo"}}]}``."""


def uuid_or_int(point: int | str) -> int | uuid.UUID:
    """Qdrant's id in a form that compares: UUID strings differ by case and dashes."""
    return point if isinstance(point, int) else uuid.UUID(point)


class Distance(str, Enum):
    """How two vectors are compared. Members carry Qdrant's own names."""

    COSINE = "Cosine"
    DOT = "Dot"
    EUCLID = "Euclid"
    MANHATTAN = "Manhattan"

    @classmethod
    def parse(cls, value: str | Distance) -> Distance:
        """Read ``"cosine"``, ``"Cosine"``, ``Distance.COSINE`` or qdrant-client's enum member.

        Raises
        ------
        InputError
            If the name is none of cosine, dot, euclid, manhattan.
        """
        name = str(getattr(value, "value", value)).lower()
        for member in cls:
            if member.value.lower() == name:
                return member
        known = ", ".join(member.value.lower() for member in cls)
        raise InputError(f"distance must be one of {known}; got {value!r}")


Datatype: TypeAlias = Literal["float32", "float16", "uint8", "turbo4", "turbo8", "turbo16"]
Placement: TypeAlias = Literal["pinned", "cached", "cold"]
"""Where bytes live: pinned in RAM, cached (mapped, warmed into the page cache), or cold (read on demand)."""


@dataclass(frozen=True)
class NativeQuantization:
    """A second, quantized copy that Qdrant builds and searches by itself.

    Attributes
    ----------
    kind : {"scalar", "product", "binary", "turbo"}
    bits : float
        Bits a coordinate: 8 for scalar; 1, 1.5, 2 for binary; 1, 1.5, 2, 4, 8 for turbo.
    ratio : int or None
        Compression ratio of product quantization (4, 8, 16, 32, 64).
    query_bits : int or None
        Bits a query coordinate keeps under binary quantization: 8 or 4; None encodes it like the points.
    """

    kind: Literal["scalar", "product", "binary", "turbo"]
    bits: float
    ratio: int | None = None
    query_bits: int | None = None


@dataclass(frozen=True)
class StorageNeeds:
    """What a quantizer asks of the engine; layout translates it, nobody else reads it.

    Attributes
    ----------
    width : int
        Coordinates of the stored vector.
    metric : Distance
        What the engine computes between ``encode_query(q).vectors`` and the stored vector.
    datatype : str
        Qdrant's storage datatype, the only copy unless ``quantization`` is given.
    quantization : NativeQuantization or None
        A second copy to search; the stored vector then only rescores.
    scored : bool
        False for bytes the engine cannot compare: they are stored cold as uint8 and scored by ``decode``.
    rescore : bool
        Whether the engine rescores what the second copy found from the stored vectors. False where the
        second copy is the code and the stored vector only its carrier.
    oversampling : float
        How many times ``k`` candidates the second copy hands to rescoring, or a coarse stage to a fine one.
    raw_slope : float or None
        Factor that turns the second copy's own score (rescoring off) into an estimate of the stored
        vectors' metric; 1 where the engine estimates it already; None where no estimate is known.
    raw_slope_by_query_peak : bool
        True where the engine divides its raw score by the query's largest absolute coordinate (binary
        quantization with a scalar query): the factor is then multiplied by that coordinate.
    """

    width: int
    metric: Distance
    datatype: Datatype = "float32"
    quantization: NativeQuantization | None = None
    scored: bool = True
    rescore: bool = True
    oversampling: float = 1.0
    raw_slope: float | None = 1.0
    raw_slope_by_query_peak: bool = False


@dataclass(frozen=True)
class EncodedQueries:
    """Queries in the coordinates of a representation.

    ``similarity = scale * raw + offset`` where ``raw`` is the engine's dot product or cosine, minus its
    squared Euclid distance, or minus its Manhattan distance; ``similarity`` estimates the same quantity
    between the original vectors.

    Attributes
    ----------
    vectors : (n, width) float32
    scale : (n,) float32
    offset : (n,) float32
    """

    vectors: FloatArray
    scale: FloatArray
    offset: FloatArray

    @classmethod
    def plain(cls, vectors: FloatArray) -> EncodedQueries:
        """Queries whose raw scores need no correction."""
        n = len(vectors)
        return cls(vectors, np.ones(n, np.float32), np.zeros(n, np.float32))

    def __len__(self) -> int:
        return len(self.vectors)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.vectors, dtype=dtype)


@dataclass(frozen=True, eq=False)
class SparseVector:
    """Token weights.

    Attributes
    ----------
    indices : (m,) uint32, unique
    values : (m,) float32
    """

    indices: NDArray[np.uint32]
    values: FloatArray


@dataclass(frozen=True)
class Candidate:
    """One retrieved passage.

    Attributes
    ----------
    id : int or str
        The caller's own id.
    score : float
        Estimate of the cosine or dot product of the original vectors, or minus their distance, or the
        fused score of a hybrid search. Higher is better.
    text : str or None
    payload : mapping
        The caller's payload without the text.
    vector : (dimension,) float32 or None
        Decoded from the stored codes when asked for.
    branch_scores : mapping
        Hybrid searches only: the score in each branch that found the passage, e.g. ``{"dense": .71}``.
    first_stage_score : float or None
        After a reranking, the score that the search had given, however many rerankers followed. Not among
        ``branch_scores``, whose keys are the branches of one search.
    """

    id: PointId
    score: float
    text: str | None = None
    payload: Payload = field(default_factory=dict)
    vector: FloatArray | None = field(default=None, compare=False, repr=False)
    branch_scores: Mapping[str, float] = field(default_factory=dict)
    first_stage_score: float | None = None


@dataclass(frozen=True)
class Ranking(Sequence[Candidate]):
    """Candidates, best first, and the query they answer.

    Attributes
    ----------
    candidates : tuple of Candidate
    query : str or None
        The query text, when the search had one.
    score_kind : ScoreKind
        What the scores mean: those of the search, or what a reranker made of them.
    report : RerankReport or None
        What the reranking did and cost; None for the ranking of a search. Two rankings may be equal all the same.
    """

    candidates: tuple[Candidate, ...]
    query: str | None = None
    score_kind: ScoreKind = "first stage"
    report: RerankReport | None = field(default=None, compare=False, repr=False)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, index: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self.candidates[index]

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    @property
    def ids(self) -> tuple[PointId, ...]:
        """Ids, best first."""
        return tuple(candidate.id for candidate in self.candidates)

    @property
    def scores(self) -> tuple[float, ...]:
        """Scores, best first."""
        return tuple(candidate.score for candidate in self.candidates)


@dataclass(frozen=True)
class EmbeddingIdentity:
    """Which model made the vectors.

    Attributes
    ----------
    name : str
        As the model calls itself, e.g. ``"sentence-transformers/all-MiniLM-L6-v2"``.
    dimension : int or None
        None until the first vector has been seen.
    normalized : bool or None
        Whether vectors have unit length (to 1e-3); None until seen.
    probe : str or None
        32 hexadecimal digits: signs of 128 fixed random projections of the probe text's vector. Equal
        models differ in at most a few bits (float noise), other models in about half of them.
    """

    name: str
    dimension: int | None = None
    normalized: bool | None = None
    probe: str | None = None


@dataclass(frozen=True)
class FitReport:
    """What a fit saw and reached.

    Attributes
    ----------
    vectors, dimension : int
        Shape of the sample that was given.
    learned_from : int
        How many of these vectors the codecs drew and looked at: the least of them, where they draw differently; 0
        where the representation learns nothing.
    queries : int
        Training queries that the codecs weighed errors by.
    squared_error : float
        Of decoding vectors of the sample, relative to their variance; lower is better, 0 is lossless. Copies that
        Qdrant builds itself are not in it.
    seconds : float
    artifact : str or None
        SHA-256 of what was learned; None where the representation learns nothing.
    coverage : CoverageCurve or None
        How many candidates two stages need, as measured; None where there is one stage, or too few vectors.
    """

    vectors: int
    dimension: int
    learned_from: int
    queries: int
    squared_error: float
    seconds: float
    artifact: str | None
    coverage: CoverageCurve | None = None


@dataclass(frozen=True)
class Component:
    """Measured bytes of one part of a collection.

    Attributes
    ----------
    name : str
        e.g. "searched codes", "originals", "graph", "payload", "ids", "write-ahead log".
    vector : str or None
        The named vector it belongs to, where it belongs to one.
    placement : {"pinned", "cached", "cold"}
    bytes : int
    reserved : int
        Empty space inside its files beside those bytes. It takes no disk; where the part is cached, Edge reads it
        into memory all the same when the collection is opened. It stops mattering as the collection grows.
    """

    name: str
    vector: str | None
    placement: Placement
    bytes: int
    reserved: int = 0


@dataclass(frozen=True)
class Footprint:
    """What a collection occupies.

    Attributes
    ----------
    points : int
    segments : int
    components : tuple of Component
    source : str
        Where the numbers come from: "files" (measured on disk), "api" (reported by a server), or "none"
        (nothing is known: a server older than 1.18, or local mode, which stores plain float32 whatever was
        asked for).
    """

    points: int
    segments: int
    components: tuple[Component, ...]
    source: Literal["files", "api", "none"]

    @property
    def ram_bytes(self) -> int:
        """Bytes that are held in memory: pinned and cached."""
        return sum(part.bytes for part in self.components if part.placement != "cold")

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk; every component has its file, wherever it is held."""
        return sum(part.bytes for part in self.components)

    @property
    def reserved_bytes(self) -> int:
        """Bytes of empty space that are in memory beside ``ram_bytes`` once the collection has been opened."""
        return sum(part.reserved for part in self.components if part.placement == "cached")

    def per_vector(self, count: int) -> float:
        """``count`` bytes divided by the number of points; NaN for an empty collection."""
        return count / self.points if self.points else float("nan")


@dataclass(frozen=True)
class HeldComponent:
    """What really is in memory of one part of a collection; None where nobody tells.

    Attributes
    ----------
    name : str
    vector : str or None
        As of a :class:`Component`.
    placement : {"pinned", "cached", "cold"}
        What was asked for.
    disk_bytes : int
    cached_bytes : int or None
        Of its files in the operating system's page cache, whole pages, empty space included; any process may have
        read them.
    mapped_bytes : int or None
        Of those, what this process has mapped and touched. Edge only.
    heap_bytes : int or None
        In the server's own memory. Edge does not tell it of one part: :attr:`Residency.process_bytes` has it all.
    """

    name: str
    vector: str | None
    placement: Placement
    disk_bytes: int
    cached_bytes: int | None = None
    mapped_bytes: int | None = None
    heap_bytes: int | None = None


@dataclass(frozen=True)
class Residency:
    """What a collection really holds in memory now, beside what it was asked to hold.

    Attributes
    ----------
    components : tuple of HeldComponent
    source : {"pages", "api", "none"}
        Counted page by page in the files of Edge, reported by a server, or unknown.
    process_bytes : int or None
        Edge: this process's own memory, pinned parts and everything else that it does included.
    unknown : tuple of str
        What cannot be told here, and why.
    """

    components: tuple[HeldComponent, ...]
    source: Literal["pages", "api", "none"]
    process_bytes: int | None = None
    unknown: tuple[str, ...] = ()
