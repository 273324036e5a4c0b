"""What is asked: the settings of a search, and one request of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from octant.errors import InputError
from octant.records import Filter, FloatArray, SparseVector


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
