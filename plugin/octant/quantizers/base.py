"""The codec contract, and the chain that composes codecs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from octant.errors import InputError, NotFittedError, TooFewVectorsError
from octant.records import JSON, CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.vectors import as_matrix

Role = Literal["reduce", "code", "copy"]


class Quantizer(ABC):
    """A codec for embeddings: ``fit``, ``encode``, ``decode``, ``encode_query``, ``config`` and ``state``.

    A subclass sets ``name`` and ``role``, stores its constructor's arguments under the same attribute
    names, and writes ``storage``, ``_encode`` and ``_decode``; with ``_fit`` and ``state_names`` when it
    learns, and ``_encode_query`` when a query looks different from a point. The base class validates,
    checks that a fit has happened, and rebuilds from config and state.

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
    """

    name: ClassVar[str]
    role: ClassVar[Role] = "code"
    state_names: ClassVar[tuple[str, ...]] = ()
    distances: ClassVar[frozenset[Distance]] = frozenset(Distance)

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

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        """Queries as the engine compares them; by default, unchanged."""
        del distance
        return EncodedQueries.plain(q)

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

    # -- what a caller uses --------------------------------------------------------------------

    def fit(self, x: ArrayLike, *, queries: ArrayLike | None = None, rng: np.random.Generator | int = 0) -> Self:
        """Learn from ``x``; a second fit replaces the first, a failed one leaves the codec as it was.

        Parameters
        ----------
        x : (n, dim) array_like of float
            Vectors of the collection.
        queries : (m, dim) array_like of float, optional
            Real queries, for codecs that can weigh errors by them; the others ignore it.
        rng : Generator or int
            Source of all randomness, or its seed: same seed, same data, same codes.

        Raises
        ------
        TooFewVectorsError
            If ``n < vectors_needed(dim)``.
        VectorValueError
            If ``x`` holds NaN or inf, or is not a matrix of numbers.
        DimensionError
            If ``dim`` is too small for the codec.
        """
        data = as_matrix(x)
        asked = None if queries is None else as_matrix(queries, dim=data.shape[1], what="queries")
        self.output_dim(data.shape[1])
        needed = self.vectors_needed(data.shape[1])
        if len(data) < needed:
            raise TooFewVectorsError(
                f"{self!r} needs at least {needed} vectors of {data.shape[1]} coordinates to fit, got {len(data)}: "
                f"pass a larger sample, or a representation that learns less"
            )
        state = dict(self._fit(data, asked, np.random.default_rng(rng)))
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
        return self._encode(as_matrix(x))

    def decode(self, codes: ArrayLike) -> FloatArray:
        """Estimates (n, dim) float32 of the vectors behind ``codes`` (n, width)."""
        self._check_fitted()
        return self._decode(np.atleast_2d(np.asarray(codes)))

    def encode_query(self, q: ArrayLike, distance: Distance = Distance.COSINE) -> EncodedQueries:
        """Queries (n, dim) in the coordinates of the codes, with the map from raw score to similarity."""
        self._check_fitted()
        self.check_distance(distance)
        return self._encode_query(as_matrix(q, what="queries"), distance)

    def check_distance(self, distance: Distance) -> None:
        """Refuse a distance whose order the codec does not keep.

        Raises
        ------
        InputError
            Naming the distances that it keeps.
        """
        if distance not in self.distances:
            kept = ", ".join(member.value.lower() for member in Distance if member in self.distances)
            raise InputError(f"{self!r} keeps the order of {kept}, not of {distance.value.lower()}: choose one of those")

    @property
    def fitted(self) -> bool:
        """Whether every learned array is there."""
        return all(getattr(self, name + "_", None) is not None for name in self.state_names)

    @property
    def config(self) -> dict[str, JSON]:
        """The constructor's arguments, as JSON values."""
        parameters = type(self).__init__.__code__.co_varnames[1 : type(self).__init__.__code__.co_argcount]
        return {name: getattr(self, name) for name in parameters}

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
            setattr(self, name + "_", np.ascontiguousarray(value))

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise NotFittedError(f"{self!r} has to learn from vectors first: call fit(x)")

    def __repr__(self) -> str:
        arguments = ", ".join(str(value) for value in self.config.values())
        return f"{self.name}({arguments})" if arguments else self.name

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or other.config != self.config or other.fitted != self.fitted:
            return False
        if not self.fitted:
            return True
        mine, theirs = self.state, other.state
        return all(np.array_equal(mine[name], theirs[name]) for name in self.state_names)

    __hash__ = None  # type: ignore[assignment]  # mutable: fit changes equality


class Chain(Quantizer):
    """Codecs in a row: any number of reducers, at most one coder, at most one second copy.

    A chain is itself a codec, from the caller's vectors to what the engine stores.

    Parameters
    ----------
    reducers : sequence of Quantizer
    coder : Quantizer
    copy : Quantizer or None
    """

    name = "chain"

    def __init__(self, reducers: tuple[Quantizer, ...], coder: Quantizer, copy: Quantizer | None = None) -> None:
        self.reducers, self.coder, self.copy = tuple(reducers), coder, copy

    @property
    def links(self) -> tuple[Quantizer, ...]:
        """Every codec, in order."""
        return (*self.reducers, self.coder, *((self.copy,) if self.copy else ()))

    def __repr__(self) -> str:
        return "|".join(map(repr, self.links))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.links == other.links

    __hash__ = None  # type: ignore[assignment]

    @property
    def fitted(self) -> bool:
        """Whether every link is fitted."""
        return all(link.fitted for link in self.links)

    @property
    def config(self) -> dict[str, JSON]:
        """``{"links": [{"name", "config"}, ...]}``."""
        return {"links": [{"name": link.name, "config": link.config} for link in self.links]}

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Learned arrays of all links, named ``"<position>.<array>"``."""
        self._check_fitted()
        return {f"{i}.{key}": value for i, link in enumerate(self.links) for key, value in link.state.items()}

    def output_dim(self, dim: int) -> int:
        """Coordinates after the last reducer."""
        for reducer in self.reducers:
            dim = reducer.output_dim(dim)
        return dim

    def vectors_needed(self, dim: int) -> int:
        """The largest demand of any link."""
        needed = 0
        for link in self.links:
            needed = max(needed, link.vectors_needed(dim))
            dim = link.output_dim(dim)
        return needed

    def check_distance(self, distance: Distance) -> None:
        """Every link must keep the order of ``distance``."""
        for link in self.links:
            link.check_distance(distance)

    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        """The coder's needs for the reduced vectors, searched through the second copy if there is one."""
        self.check_distance(distance)
        if self.reducers and distance is Distance.COSINE:
            distance = Distance.DOT  # a reduced unit vector is not of unit length: the engine must not normalise it
        reduced = self.output_dim(dim)
        needs = self.coder.storage(reduced, distance)
        return self.copy.over(needs) if isinstance(self.copy, SecondCopy) else needs

    def fit(self, x: ArrayLike, *, queries: ArrayLike | None = None, rng: np.random.Generator | int = 0) -> Self:
        """Fit every link on what the links before it make of ``x``; see :meth:`Quantizer.fit`."""
        data = as_matrix(x)
        needed = self.vectors_needed(data.shape[1])
        if len(data) < needed:
            raise TooFewVectorsError(
                f"{self!r} needs at least {needed} vectors of {data.shape[1]} coordinates to fit, got {len(data)}: "
                f"pass a larger sample, or a representation that learns less"
            )
        asked = None if queries is None else as_matrix(queries, dim=data.shape[1], what="queries")
        generator = np.random.default_rng(rng)
        links: list[Quantizer] = []
        for link in self.links:
            fresh = type(link)(**link.config).fit(data, queries=asked, rng=generator)
            links.append(fresh)
            if link.role == "reduce":
                data = np.asarray(fresh.encode(data), np.float32)
                asked = None if asked is None else fresh.encode_query(asked, Distance.DOT).vectors
        # Only now: a link that failed to fit must not leave a half-fitted chain behind.
        count = len(self.reducers)
        self.reducers, self.coder = tuple(links[:count]), links[count]
        self.copy = links[count + 1] if self.copy else None
        return self

    def _encode(self, x: FloatArray) -> CodeArray:
        for reducer in self.reducers:
            x = np.asarray(reducer.encode(x), np.float32)
        return self.coder.encode(x)

    def _decode(self, codes: CodeArray) -> FloatArray:
        x = self.coder.decode(codes)
        for reducer in reversed(self.reducers):
            x = reducer.decode(x)
        return x

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        scale, offset = np.ones(len(q), np.float32), np.zeros(len(q), np.float32)
        for link in (*self.reducers, self.coder):
            coded = link.encode_query(q, distance)
            # similarity = scale * (link.scale * raw + link.offset) + offset, from the outside in.
            offset = offset + scale * coded.offset
            scale = scale * coded.scale
            q = coded.vectors
            if link.role == "reduce" and distance is Distance.COSINE:
                distance = Distance.DOT
        return EncodedQueries(q, scale, offset)


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

