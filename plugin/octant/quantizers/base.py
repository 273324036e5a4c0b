"""The codec contract."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from octant.errors import DimensionError, InputError, NotFittedError, TooFewVectorsError
from octant.records import JSON, CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.spec import Call
from octant.vectors import as_matrix, as_rows, drawn, similarity
from octant.work import QUIET, Work

Role = Literal["reduce", "code", "copy"]


class Quantizer(ABC):
    """A codec for embeddings: ``fit``, ``encode``, ``decode``, ``encode_query``, ``config`` and ``state``.

    A subclass sets ``name`` and ``role``, stores its constructor's arguments under the same attribute
    names, and writes ``storage``, ``_encode`` and ``_decode``; with ``_fit`` and ``state_names`` when it
    learns (``_learn`` in its place when that takes long), and ``_encode_query`` when a query looks different
    from a point. The base class validates, checks that a fit has happened, and rebuilds from config and state.
    A constructor refuses an argument with an InputError whose message opens with the argument's name, so that a
    spec string can point at it.

    The contract between the two sides: for one query, ordering points by the engine's score of
    ``encode_query(q)`` against ``encode(x)`` is ordering them by ``q`` against ``decode(encode(x))``, and
    ``scale * raw + offset`` estimates the similarity of ``q`` and ``x`` themselves.

    Attributes
    ----------
    name : str
        The registry's name, and the word of the spec string.
    role : {"reduce", "code", "copy"}
        ``reduce``: float vectors to shorter float vectors. ``code``: float vectors to what is stored.
        ``copy``: stores nothing itself; asks Qdrant to build a second copy and search that.
    state_names : tuple of str
        Names of the learned arrays; empty for a codec that needs no fit.
    distances : frozenset of Distance
        The distances whose order the codec keeps.
    cosine_as : Distance
        What a reducer had better compute in place of the cosine of unit vectors: dot or Euclid.
    linear : bool
        False for a reducer that bends the space: no decoded vector then has the products that its scores stand for,
        so of the first half of the contract only the second holds, on average. ``scale`` and ``offset`` carry what
        :mod:`octant.quantizers.calibration` learned, and scores order points as the similarity does, loosely.
    sample_size : int or None
        Most vectors that a fit looks at; the base class draws them from more. None: all of them.
    weighs_queries : bool
        Whether a fit learns something from ``queries``.
    usage : str
        How to write it in a spec, where the constructor's signature does not say it: ``"turbo(1|2|4)"``.
    """

    name: ClassVar[str]
    role: ClassVar[Role] = "code"
    linear: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ()
    distances: ClassVar[frozenset[Distance]] = frozenset(Distance)
    cosine_as: ClassVar[Distance] = Distance.DOT
    sample_size: ClassVar[int | None] = None
    weighs_queries: ClassVar[bool] = False
    usage: ClassVar[str] = ""

    # -- what a plugin writes ------------------------------------------------------------------

    @abstractmethod
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        """What the engine must store for vectors of ``dim`` coordinates."""

    @abstractmethod
    def _encode(self, x: FloatArray) -> CodeArray:
        """Codes (n, width) of float32 ``x`` (n, dim)."""

    @abstractmethod
    def _decode(self, codes: CodeArray) -> FloatArray:
        """Estimates (n, dim) float32 of what was encoded."""

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """Arrays for every name in ``state_names``, learned from ``x`` (n, dim)."""
        del x, queries, rng
        return {}

    def _learn(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        """``_fit`` for a codec that takes long: with ``work`` it shows progress, and resumes where it was stopped."""
        del work
        return self._fit(x, queries, rng)

    def _continue(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays for every name in ``state_names``, learned from ``x`` (n, dim) starting at the present ones."""
        del x, queries, rng, work
        raise InputError(f"{self!r} cannot continue a fit: call fit with all vectors, old and new")

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        """Queries as the engine compares them; by default, unchanged."""
        del distance
        return EncodedQueries.plain(q)

    def _compare(self, q: FloatArray, codes: CodeArray, distance: Distance) -> FloatArray:
        """Similarity (m, n), or distance, of ``q`` (m, dim) and the decoded ``codes`` (n, width); both are checked."""
        return similarity(q, self._decode(codes), distance)

    def output_dim(self, dim: int) -> int:
        """Coordinates after the codec, for a reducer; ``dim`` for the others.

        Raises
        ------
        DimensionError
            If ``dim`` is too small for the codec.
        """
        return dim

    def vectors_needed(self, dim: int) -> int:
        """Fewest vectors ``fit`` accepts; 0 for a codec that needs no fit."""
        del dim
        return 0

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on; None where any number will do."""
        return None

    # -- what a caller uses --------------------------------------------------------------------

    def fit(
        self,
        x: ArrayLike,
        *,
        queries: ArrayLike | None = None,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
    ) -> Self:
        """Learn from ``x``; a second fit replaces the first, a failed one leaves the codec as it was.

        Parameters
        ----------
        x : (n, dim) array_like of float
            Vectors of the collection.
        queries : (m, dim) array_like of float, optional
            Real queries, for codecs that can weigh errors by them; the others ignore it.
        rng : Generator or int
            Source of all randomness, or its seed: same seed, same data, same codes.
        work : Work
            Whether to show progress, and where to keep what an interrupted fit resumes from: the same call, with
            the same data and seed, then ends in the same state as if nothing had happened.

        Raises
        ------
        TooFewVectorsError
            If ``n < vectors_needed(dim)``.
        VectorValueError
            If ``x`` holds NaN or inf, or is not a matrix of numbers.
        DimensionError
            If ``dim`` is too small for the codec.
        ArtifactError
            If a checkpoint of this very fit is damaged, or cannot be written.
        """
        rows, generator = as_rows(x), np.random.default_rng(rng)
        asked = None if queries is None else as_matrix(queries, dim=rows.shape[1], what="queries")
        self._check_count(rows)
        state = dict(self._learn(drawn(rows, self.sample_size, generator), asked, generator, work))
        self._accept_state(state)
        return self

    def partial_fit(
        self,
        x: ArrayLike,
        *,
        queries: ArrayLike | None = None,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
    ) -> Self:
        """Continue a fit on more vectors, starting from what was learned; a failed one leaves the codec as it was.

        Codes made before mean nothing to the codec afterwards: encode again what is stored.

        Parameters
        ----------
        x : (n, dim) array_like of float
            Vectors to learn from now; those of the first fit are no longer at hand, so bring some of them along
            where they still matter.
        queries, rng, work
            As for :meth:`fit`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        InputError
            If the codec cannot continue a fit.
        VectorValueError, DimensionError, ArtifactError
            As for :meth:`fit`.
        """
        self._check_fitted()
        rows, generator = as_rows(x), np.random.default_rng(rng)
        self.check_input(rows.shape[1])
        asked = None if queries is None else as_matrix(queries, dim=rows.shape[1], what="queries")
        state = dict(self._continue(drawn(rows, self.sample_size, generator), asked, generator, work))
        self._accept_state(state)
        return self

    def encode(self, x: ArrayLike) -> CodeArray:
        """Codes (n, width) of ``x`` (n, dim): float32, or uint8 for codes that are bytes.

        Raises
        ------
        NotFittedError
            Before ``fit``, for a codec that learns.
        VectorValueError, DimensionError
            If ``x`` is not a finite matrix of the width that was fitted.
        """
        self._check_fitted()
        data = as_matrix(x)
        self.check_input(data.shape[1])
        return self._encode(data)

    def decode(self, codes: ArrayLike) -> FloatArray:
        """Estimates (n, dim) float32 of the vectors behind ``codes`` (n, width).

        Raises
        ------
        NotFittedError
            Before ``fit``, for a codec that learns.
        VectorValueError, DimensionError
            If ``codes`` cannot come from ``encode``.
        """
        self._check_fitted()
        return self._decode(as_matrix(codes, what="codes"))

    def encode_query(self, q: ArrayLike, distance: Distance = Distance.COSINE) -> EncodedQueries:
        """Queries (n, dim) in the coordinates of the codes, with the map from raw score to similarity."""
        self._check_fitted()
        self.check_distance(distance)
        data = as_matrix(q, what="queries")
        self.check_input(data.shape[1])
        return self._encode_query(data, distance)

    def check_distance(self, distance: Distance) -> None:
        """Refuse a distance whose order the codec does not keep.

        Raises
        ------
        InputError
            Naming the distances that it keeps.
        """
        if distance not in self.distances:
            kept = ", ".join(member.value.lower() for member in Distance if member in self.distances)
            raise InputError(
                f"{self!r} keeps the order of {kept}, not of {distance.value.lower()}: choose one of those"
            )

    @property
    def fitted(self) -> bool:
        """Whether every learned array is there."""
        return all(getattr(self, name + "_", None) is not None for name in self.state_names)

    @property
    def learns(self) -> bool:
        """Whether there is anything to fit."""
        return bool(self.state_names)

    @property
    def config(self) -> dict[str, JSON]:
        """The constructor's arguments, as JSON values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """The learned arrays by name.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        self._check_fitted()
        return {name: getattr(self, name + "_") for name in self.state_names}

    def blank(self) -> Self:
        """An unfitted codec of the same configuration."""
        return type(self)(**self.config)

    @classmethod
    def restore(cls, config: Mapping[str, JSON], state: Mapping[str, NDArray[Any]]) -> Self:
        """An equal codec from ``config`` and ``state``.

        Raises
        ------
        InputError
            If an array is missing or unknown.
        """
        codec = cls(**config)
        codec._accept_state(dict(state))
        return codec

    def _accept_state(self, state: dict[str, NDArray[Any]]) -> None:
        if set(state) != set(self.state_names):
            raise InputError(f"{self!r} holds the arrays {sorted(self.state_names)}, got {sorted(state)}")
        for name, value in state.items():
            setattr(self, name + "_", np.array(value, order="C"))

    def check_input(self, dim: int) -> None:
        """Refuse vectors of another dimension than those it was fitted on.

        Raises
        ------
        DimensionError
            If ``dim`` is too small for the codec, or not what it was fitted on.
        """
        self.output_dim(dim)
        if self.input_dim not in (None, dim):
            raise DimensionError(
                f"{self!r} was fitted on vectors of {self.input_dim} coordinates, got {dim}: fit it again on these"
            )

    def _check_count(self, x: NDArray[Any]) -> None:
        dim = x.shape[1]
        self.output_dim(dim)
        needed = self.vectors_needed(dim)
        if len(x) < needed:
            raise TooFewVectorsError(
                f"{self!r} needs at least {needed} vectors of {dim} coordinates to fit, got {len(x)}: "
                f"pass a larger sample, or a representation that learns less"
            )

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise NotFittedError(f"{self!r} has to learn from vectors first: call fit(x)")

    def __repr__(self) -> str:
        """The spec that makes an unfitted one; arguments at their defaults are left out."""
        return str(Call.of(self.name, self))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or other.config != self.config or other.fitted != self.fitted:
            return False
        if not self.fitted:
            return True
        mine, theirs = self.state, other.state
        return all(np.array_equal(mine[name], theirs[name]) for name in self.state_names)

    __hash__ = None  # type: ignore[assignment]  # mutable: fit changes equality


class SecondCopy(Quantizer):
    """A codec that stores nothing itself: Qdrant builds and searches a quantized copy of the stored vector.

    A subclass writes :meth:`over`; with ``_fit`` it may learn the slope of the copy's raw scores.
    """

    role = "copy"

    @abstractmethod
    def over(self, needs: StorageNeeds) -> StorageNeeds:
        """``needs`` of the stored vector, with this second copy added.

        Raises
        ------
        InputError
            If the stored vector cannot carry a second copy (bytes that the engine cannot compare).
        """

    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        """The second copy over plain float32."""
        return self.over(StorageNeeds(width=dim, metric=distance))

    def _encode(self, x: FloatArray) -> CodeArray:
        return x

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(codes, np.float32)
