"""What a collection stores for a vector: one chain of codecs, or a coarse one to search and a fine one to rescore."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from octant import assemble
from octant.errors import InputError, SpecError
from octant.quantizers.base import Quantizer
from octant.quantizers.chain import Chain, most_seen
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.spec import parse
from octant.vectors import as_rows, drawn
from octant.work import QUIET, Work

StageName: TypeAlias = Literal["coarse", "fine"]


def quantizer(spec: str) -> Chain:
    """The codec of a spec of one stage.

    Raises
    ------
    SpecError
        If ``spec`` has a mistake: what, where, and the nearest that would be right.

    Examples
    --------
    >>> codec = quantizer("pca(2)|float8")
    >>> codec
    pca(2)|float8
    >>> x = np.random.default_rng(0).normal(size=(100, 8))
    >>> codec.fit(x).encode(x).shape
    (100, 6)
    """
    tree = parse(spec)
    if tree.fine is not None:
        word = "coarse"
        message = "a quantizer has one stage; Representation.parse reads two"
        raise SpecError(message, text=spec, position=spec.index(word), token=word)
    return assemble.chain(tree.coarse, tree.text)


class Representation:
    """How vectors are stored and searched.

    A format that Qdrant cannot compare becomes the fine stage behind a coarse one that it can search.

    Parameters
    ----------
    coarse : Chain
        What is searched.
    fine : Chain or None
        What rescores the candidates of ``coarse``.

    Examples
    --------
    >>> Representation.parse("pca(2)|float8")
    Representation('coarse=pca(2)|turbo4; fine=pca(2)|float8')
    """

    def __init__(self, coarse: Chain, fine: Chain | None = None) -> None:
        self._coarse, self._fine = coarse, fine

    @classmethod
    def parse(cls, spec: str) -> Representation:
        """The representation of a spec of one or two stages.

        Raises
        ------
        SpecError
            If ``spec`` has a mistake: what, where, and the nearest that would be right.
        """
        return cls(*assemble.chains(parse(spec)))

    @property
    def coarse(self) -> Chain:
        """The chain that is searched."""
        return self._coarse

    @property
    def fine(self) -> Chain | None:
        """The chain that rescores, if there is one."""
        return self._fine

    @property
    def stages(self) -> dict[StageName, Chain]:
        """Chains by the names of their stages."""
        return {"coarse": self.coarse} if self.fine is None else {"coarse": self.coarse, "fine": self.fine}

    @property
    def spec(self) -> str:
        """The canonical spec; parsing it gives an equal unfitted representation."""
        return repr(self.coarse) if self.fine is None else f"coarse={self.coarse!r}; fine={self.fine!r}"

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"Representation({self.spec!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Representation) and self.stages == other.stages

    __hash__ = None  # type: ignore[assignment]  # mutable: fit changes equality

    @property
    def fitted(self) -> bool:
        """Whether every codec has learned what it must."""
        return all(chain.fitted for chain in self.stages.values())

    @property
    def learns(self) -> bool:
        """Whether there is anything to fit, and so anything to keep beside the vectors."""
        return any(chain.learns for chain in self.stages.values())

    @property
    def shared_reducers(self) -> int:
        """How many first reducers the two stages have in common: these are fitted once."""
        if self.fine is None:
            return 0
        pairs = zip(self.coarse.reducers, self.fine.reducers, strict=False)
        equal = [type(one) is type(other) and one.config == other.config for one, other in pairs]
        return equal.index(False) if False in equal else len(equal)

    @property
    def _learning(self) -> list[Quantizer]:
        return [link for chain in self.stages.values() for link in chain.links if link.learns]

    @property
    def sample_size(self) -> int | None:
        """Most vectors that a fit looks at; None where a codec looks at all of them."""
        return most_seen(self._learning)

    @property
    def weighs_queries(self) -> bool:
        """Whether a fit learns something from queries."""
        return any(link.weighs_queries for link in self._learning)

    def learns_from(self, count: int) -> int:
        """Of ``count`` vectors, how many the codec with the smallest sample learns from; 0 where nothing is learned."""
        if not self.learns:
            return 0
        return min(count, *(link.sample_size or count for link in self._learning))

    def vectors_needed(self, dim: int) -> int:
        """Fewest vectors ``fit`` accepts; 0 where nothing is learned."""
        return max(chain.vectors_needed(dim) for chain in self.stages.values())

    def check(self, dim: int, distance: Distance) -> None:
        """Refuse, before anything is stored, a dimension or distance that this cannot represent.

        Raises
        ------
        DimensionError
            If a reducer keeps more coordinates than there are, or the codecs were fitted on another dimension.
        InputError
            If a codec does not keep the order of ``distance``.
        """
        for chain in self.stages.values():
            chain.check_input(dim)
            chain.storage(dim, distance)

    def needs(self, dim: int, distance: Distance) -> tuple[StorageNeeds, StorageNeeds | None]:
        """What the engine must store for each stage.

        Raises
        ------
        DimensionError, InputError
            As for :meth:`check`.
        """
        self.check(dim, distance)
        coarse = self.coarse.storage(dim, distance)
        if self.fine is None:
            return coarse, None
        return coarse, replace(self.fine.storage(dim, distance), oversampling=self._oversampling(dim, distance))

    def _oversampling(self, dim: int, distance: Distance) -> float:
        """Candidates per answer that the fine stage must see for what the coarse one confuses."""
        width = self.coarse.output_dim(dim)
        stored = self.coarse.coder.storage(width, self.coarse.inner_distance(distance))
        wide = dim if self.fine is None else self.fine.output_dim(dim)
        return stored.oversampling * max(1.0, wide / width)

    def fit(
        self,
        x: ArrayLike,
        *,
        queries: ArrayLike | None = None,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
    ) -> Representation:
        """Learn from ``x`` (n, dim); all codecs or, after an error, none.

        Parameters
        ----------
        x : (n, dim) array_like of float
            Vectors of the collection; unit rows under cosine.
        queries : (m, dim) array_like of float, optional
            Real queries, for codecs that can weigh errors by them.
        rng : Generator or int
            Same seed, same data, same codes.
        work : Work
            Progress and checkpoints.

        Raises
        ------
        TooFewVectorsError, VectorValueError, DimensionError, ArtifactError
            As for :meth:`Quantizer.fit`.
        """
        # Both stages start from one seed, so that what they share is what each would learn alone.
        seed = rng if isinstance(rng, int) else int(rng.integers(2**63))
        data = drawn(as_rows(x), self.sample_size, np.random.default_rng(seed))
        coarse = self.coarse.blank().fit(data, queries=queries, rng=seed, work=work.part("coarse"))
        fine = None
        if self.fine is not None:
            head = coarse.reducers[: self.shared_reducers]
            fine = self.fine.blank().fit(data, queries=queries, rng=seed, work=work.part("fine"), head=head)
        self._coarse, self._fine = coarse, fine
        return self

    def encode(self, x: ArrayLike) -> tuple[CodeArray, CodeArray | None]:
        """Codes (n, width) of ``x`` (n, dim) for each stage."""
        return self.coarse.encode(x), None if self.fine is None else self.fine.encode(x)

    def encode_query(
        self, q: ArrayLike, distance: Distance = Distance.COSINE
    ) -> tuple[EncodedQueries, EncodedQueries | None]:
        """Queries (n, dim) in the coordinates of each stage; None for a stage the engine does not score."""
        coarse = self.coarse.encode_query(q, distance)
        if self.fine is None or not assemble.scored(self.fine.coder):
            return coarse, None
        return coarse, self.fine.encode_query(q, distance)

    def decode(self, codes: ArrayLike, stage: StageName = "fine") -> FloatArray:
        """Estimates (n, dim) of the vectors behind ``codes`` (n, width) of a stage; one stage answers to both names."""
        return self._chain(stage).decode(codes)

    def score(
        self, q: ArrayLike, codes: ArrayLike, distance: Distance = Distance.COSINE, stage: StageName = "fine"
    ) -> FloatArray:
        """Estimated scores (m, n) of queries (m, dim) against codes (n, width) of a stage; see :meth:`Chain.score`."""
        return self._chain(stage).score(q, codes, distance)

    def _chain(self, stage: StageName) -> Chain:
        if stage not in ("coarse", "fine"):
            raise InputError(f"stage must be 'coarse' or 'fine', got {stage!r}")
        return self.coarse if stage == "coarse" or self.fine is None else self.fine
