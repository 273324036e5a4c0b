"""What ingest and search share: the parts of an open collection."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from octant.embedders import Embedder
from octant.errors import DimensionError, InputError
from octant.families import Kin
from octant.flow import Flow
from octant.ids import IdCodec
from octant.layout import Stages
from octant.manifest import Manifest
from octant.oversampling import DEFAULT_COVERAGE, CoverageCurve
from octant.records import Distance, FloatArray
from octant.representation import Representation
from octant.sparse import SparseEncoder
from octant.store.base import Store
from octant.vectors import as_matrix, unit_rows

UNNAMED = "dense"
"""What the embedding of a collection is called whose vector has no name."""
COUNT_SECONDS = 60.0
"""How long a search trusts the last count of points."""


@dataclass
class Core:
    """A collection's parts.

    Attributes
    ----------
    store : Store
    representation : Representation
    manifest : Manifest
        Without a dimension while the collection is a draft: asked for, but not yet made, because nobody knows
        the dimension before the first vector.
    embedder : Embedder or None
    sparse : SparseEncoder or None
    foreign : bool
        Whether somebody else made the collection; it then has no manifest of its own to rewrite.
    pending : int
        Points written since the last optimization.
    kin : Kin
        What the collection holds beside this.
    siblings : dict from vector name to Core
        The collection's other embeddings, each with its own model and representation; store and sparse encoder are
        the same.
    twins : dict from name to Representation
        Of ``kin.twins``, once somebody writes.
    """

    store: Store
    representation: Representation
    manifest: Manifest
    embedder: Embedder | None = None
    sparse: SparseEncoder | None = None
    foreign: bool = False
    pending: int = 0
    kin: Kin = field(default_factory=Kin)
    siblings: dict[str, Core] = field(default_factory=dict)
    twins: dict[str, Representation] = field(default_factory=dict, init=False)
    ids: IdCodec = field(init=False)
    _stages: tuple[object, Stages] | None = field(default=None, init=False, repr=False)
    _counted: tuple[float, int] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.ids = IdCodec(digits_are_integers=self.foreign)

    @property
    def draft(self) -> bool:
        """Whether the collection still waits for its first vector."""
        return self.manifest.dimension is None

    @property
    def sparse_only(self) -> bool:
        """Whether points have no dense vector at all; the manifest then says dimension 0."""
        return self.manifest.dimension == 0

    @property
    def title(self) -> str:
        """What this embedding is called: the name of its vector, or "dense" where that has none."""
        return self.manifest.vector_name or UNNAMED

    @property
    def embeddings(self) -> dict[str, Core]:
        """The embedding and its siblings, by what they are called; those that are being added too."""
        return {one.title: one for one in (self, *self.siblings.values())}

    @property
    def written(self) -> tuple[Core, ...]:
        """The embeddings that a new document gets; what is still being added fetches it later."""
        return tuple(one for one in (self, *self.siblings.values()) if not one.manifest.unfinished)

    def of(self, name: str | None) -> Core:
        """The embedding called ``name``; this one without a name.

        Raises
        ------
        InputError
            If there is none of that name, or it is not complete.
        """
        if name is None:
            return self
        found = self.embeddings.get(name)
        if found is None:
            known = ", ".join(map(repr, self.embeddings))
            raise InputError(f"the collection has no embedding {name!r}; it has {known}")
        if found.manifest.unfinished:
            raise InputError(
                f"the embedding {name!r} is not complete: call add_embedding({name!r}, ...) again, and it goes on"
            )
        return found

    @property
    def distance(self) -> Distance:
        """The collection's distance."""
        return self.manifest.distance

    @property
    def dimension(self) -> int:
        """Coordinates of an embedding.

        Raises
        ------
        DimensionError
            While the collection is a draft.
        """
        if self.manifest.dimension is None:
            raise DimensionError(
                "the collection has no dimension yet: add its first vectors, or create with dimension="
            )
        return self.manifest.dimension

    @property
    def stages(self) -> Stages:
        """The representation's vectors, named."""
        # Asked for on every search; what it depends on changes a few times in a collection's life.
        key = (id(self.representation), self.dimension, self.distance, self.manifest.vector_name)
        if self._stages is None or self._stages[0] != key:
            coarse, fine = self.representation.needs(self.dimension, self.distance)
            if self.store.engine == "local":
                # qdrant-client's local mode has no second copies: what it scores are the stored vectors.
                coarse = replace(coarse, quantization=None)
                fine = None if fine is None else replace(fine, quantization=None)
            self._stages = key, Stages.of(coarse, fine, self.manifest.vector_name)
        return self._stages[1]

    @property
    def coverage(self) -> CoverageCurve:
        """The measured curve, or for lack of one the curve that the coarse codec is assumed to have."""
        if self.manifest.coverage is not None:
            return self.manifest.coverage
        fine = self.stages.fine
        return CoverageCurve.assumed(1.0 if fine is None else fine.needs.oversampling)

    def about_how_many(self) -> Flow[int]:
        """Points in the collection, counted again when the last count is old.

        The depth that a coverage takes grows far slower than the number of points, so an old count does little harm,
        and a search is one request but for the first of every ``COUNT_SECONDS``.
        """
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > COUNT_SECONDS:
            self._counted = now, (yield from self.store.count())
        return self._counted[1]

    def forget_count(self) -> None:
        """Count again before the next search that needs to know."""
        self._counted = None

    def prepare(self, x: object, what: str = "vectors") -> FloatArray:
        """``x`` as the representation takes it: finite float32 (n, dimension), unit rows under cosine."""
        matrix = as_matrix(x, dim=self.manifest.dimension, what=what)  # type: ignore[arg-type]
        return unit_rows(matrix, what=what) if self.distance is Distance.COSINE else matrix


def candidates_for(core: Core, limit: int, wanted: float | None) -> Flow[int | None]:
    """What the fine stage must score for ``limit`` answers; None where there is one stage.

    Parameters
    ----------
    core : Core
    limit : int
        Offset included.
    wanted : float or None
        Coverage; None for the default.
    """
    if core.stages.fine is None:
        return None
    points = yield from core.about_how_many()
    return core.coverage.candidates(limit, points, DEFAULT_COVERAGE if wanted is None else wanted)
