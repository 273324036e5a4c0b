"""A chain of codecs: reducers, a coder, and possibly a second copy that Qdrant builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from octant.errors import InputError
from octant.quantizers.base import Quantizer, SecondCopy
from octant.records import JSON, CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.vectors import CHUNK, as_matrix, as_rows, drawn
from octant.work import QUIET, Work


class Chain(Quantizer):
    """Codecs in a row: any number of reducers, one coder, at most one second copy.

    A chain is itself a codec, from the caller's vectors to what the engine stores.

    Parameters
    ----------
    reducers : sequence of Quantizer
    coder : Quantizer
    copy : Quantizer or None
    """

    name = "chain"

    def __init__(self, reducers: Sequence[Quantizer], coder: Quantizer, copy: SecondCopy | None = None) -> None:
        self.reducers, self.coder, self.copy = tuple(reducers), coder, copy

    @property
    def links(self) -> tuple[Quantizer, ...]:
        """Every codec, in order."""
        return (*self.reducers, self.coder, *((self.copy,) if self.copy else ()))

    def blank(self) -> Self:
        """The same codecs, unfitted."""
        reducers = [reducer.blank() for reducer in self.reducers]
        return type(self)(reducers, self.coder.blank(), self.copy.blank() if self.copy else None)

    def __repr__(self) -> str:
        return "|".join(map(repr, self.links))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.links == other.links

    __hash__ = None

    @property
    def fitted(self) -> bool:
        """Whether every link is fitted."""
        return all(link.fitted for link in self.links)

    @property
    def learns(self) -> bool:
        """Whether any link has something to fit."""
        return any(link.learns for link in self.links)

    @property
    def config(self) -> dict[str, JSON]:
        """``{"links": [{"name", "config"}, ...]}``."""
        return {"links": [{"name": link.name, "config": link.config} for link in self.links]}

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Learned arrays of all links, named ``"<position>.<array>"``."""
        self._check_fitted()
        return {f"{i}.{key}": value for i, link in enumerate(self.links) for key, value in link.state.items()}

    @classmethod
    def restore(cls, config: Mapping[str, JSON], state: Mapping[str, NDArray[Any]]) -> Self:
        """Not for a chain: its links have classes of their own, which only their names lead to.

        Raises
        ------
        InputError
            Always; :func:`octant.artifact.load` rebuilds chains.
        """
        del config, state
        raise InputError("a chain is rebuilt by octant.artifact.load, which finds the classes of its links by name")

    @property
    def input_dim(self) -> int | None:
        """Coordinates that the first link was fitted on; None where any number will do."""
        return self.links[0].input_dim

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

    def inner_distance(self, distance: Distance) -> Distance:
        """What the links compute for ``distance``.

        A reduced unit vector is no longer of unit length, so behind a reducer cosine becomes the dot product;
        where the coder does not keep that, or the reducer is better at it, it becomes Euclid's distance, since
        the cosine of two unit vectors is one minus half of its square.
        """
        if distance is not Distance.COSINE or not self.reducers:
            return distance
        if Distance.DOT not in self.coder.distances:
            return Distance.EUCLID
        wanted = any(link.cosine_as is Distance.EUCLID for link in self.reducers)
        possible = all(Distance.EUCLID in link.distances for link in self.links)
        return Distance.EUCLID if wanted and possible else Distance.DOT

    def check_distance(self, distance: Distance) -> None:
        """Every link must keep the order of ``distance``."""
        inner = self.inner_distance(distance)
        for link in self.links:
            if distance is Distance.COSINE and inner is Distance.EUCLID and inner not in link.distances:
                raise InputError(
                    f"{self.coder!r} after a reducer compares by euclid, whose order {link!r} does not keep: "
                    f"choose another coder or reducer"
                )
            link.check_distance(inner)

    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        """The coder's needs for the reduced vectors, searched through the second copy if there is one."""
        self.check_distance(distance)
        needs = self.coder.storage(self.output_dim(dim), self.inner_distance(distance))
        return self.copy.over(needs) if self.copy else needs

    def fit(
        self,
        x: ArrayLike,
        *,
        queries: ArrayLike | None = None,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
        head: Sequence[Quantizer] = (),
    ) -> Self:
        """Fit every link on what the links before it make of ``x``; see :meth:`Quantizer.fit`.

        Parameters
        ----------
        head : sequence of Quantizer
            Fitted first links to take over as they are, from a chain that was fitted on the same vectors.
        """
        rows, generator = as_rows(x), np.random.default_rng(rng)
        asked = None if queries is None else as_matrix(queries, dim=rows.shape[1], what="queries")
        self._check_count(rows)
        data = drawn(rows, most_seen(self.links), generator)
        # Every link has a generator of its own: what one draws does not change what the next one sees.
        generators = generator.spawn(len(self.links))
        links: list[Quantizer] = []
        for position, (link, generator) in enumerate(zip(self.links, generators, strict=True)):
            known = position < len(head)
            part = work.part(f"{position}.{link.name}")
            fresh = head[position] if known else link.blank().fit(data, queries=asked, rng=generator, work=part)
            links.append(fresh)
            if link.role == "reduce":
                data, asked = _reduced(fresh, data, asked)
        # Only now: a link that failed to fit must not leave a half-fitted chain behind.
        self._accept_links(links)
        return self

    def partial_fit(
        self,
        x: ArrayLike,
        *,
        queries: ArrayLike | None = None,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
    ) -> Self:
        """Continue the coder's fit behind the reducers as they are; see :meth:`Quantizer.partial_fit`.

        Another reducer would give coordinates that the coder has never seen. A second copy is fitted again.
        """
        self._check_fitted()
        rows, generator = as_rows(x), np.random.default_rng(rng)
        self.check_input(rows.shape[1])
        asked = None if queries is None else as_matrix(queries, dim=rows.shape[1], what="queries")
        data = drawn(rows, most_seen(self.links), generator)
        for reducer in self.reducers:
            data, asked = _reduced(reducer, data, asked)
        generators = generator.spawn(len(self.links))[len(self.reducers) :]
        part = work.part(f"{len(self.reducers)}.{self.coder.name}")
        coder = type(self.coder).restore(self.coder.config, self.coder.state)
        tail: list[Quantizer] = [coder.partial_fit(data, queries=asked, rng=generators[0], work=part)]
        if self.copy is not None:
            tail.append(self.copy.blank().fit(data, queries=asked, rng=generators[1]))
        self._accept_links([*self.reducers, *tail])
        return self

    def _accept_links(self, links: Sequence[Quantizer]) -> None:
        count = len(self.reducers)
        self.reducers, self.coder = tuple(links[:count]), links[count]
        self.copy = next((link for link in links if isinstance(link, SecondCopy)), None)

    def score(self, q: ArrayLike, codes: ArrayLike, distance: Distance = Distance.COSINE) -> FloatArray:
        """Estimated scores (m, n) of queries (m, dim) against ``codes`` (n, width); higher is better.

        What the engine returns for a stored vector that it can compare, and what stands in for it where the
        codes are bytes. Euclid and Manhattan come back negative.
        """
        self.check_distance(distance)
        self._check_fitted()
        inner = self.inner_distance(distance)
        queries = as_matrix(q, what="queries")
        self.check_input(queries.shape[1])
        reduced = self._through(self.reducers, queries, inner)
        raw = self.coder._compare(reduced.vectors, as_matrix(codes, what="codes"), inner)
        if inner is Distance.EUCLID:
            raw = -(raw**2)
        result = self._outward(reduced, distance)
        scores = result.scale[:, None] * raw + result.offset[:, None]
        if distance is Distance.EUCLID:
            scores = -np.sqrt(np.maximum(-scores, 0))
        return np.asarray(scores, np.float32)

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
        links = (*self.reducers, self.coder)
        return self._outward(self._through(links, q, self.inner_distance(distance)), distance)

    @staticmethod
    def _through(links: Sequence[Quantizer], q: FloatArray, distance: Distance) -> EncodedQueries:
        """Queries as the last of ``links`` leaves them, with the map back to ``distance`` before the first."""
        # Checked once, on the way into the chain: a search should not pay for every link.
        mapped = links[0]._encode_query(q, distance) if links else EncodedQueries.plain(q)
        for link in links[1:]:
            coded = link._encode_query(mapped.vectors, distance)
            # similarity = scale * (link.scale * raw + link.offset) + offset, from the outside in.
            offset = np.asarray(mapped.offset + mapped.scale * coded.offset, np.float32)
            mapped = EncodedQueries(coded.vectors, np.asarray(mapped.scale * coded.scale, np.float32), offset)
        return mapped

    def _outward(self, coded: EncodedQueries, distance: Distance) -> EncodedQueries:
        """``coded`` with its map continued from the inner distance to the caller's."""
        if distance is self.inner_distance(distance) or self.inner_distance(distance) is Distance.DOT:
            return coded
        half = np.float32(0.5)
        return EncodedQueries(coded.vectors, half * coded.scale, np.float32(1) + half * coded.offset)


def most_seen(links: Sequence[Quantizer]) -> int | None:
    """Most vectors that a fit of ``links`` looks at; None where one of them looks at all."""
    sizes = [link.sample_size for link in links if link.learns]
    return None if None in sizes else max((size for size in sizes if size is not None), default=None)


def _reduced(reducer: Quantizer, x: FloatArray, queries: FloatArray | None) -> tuple[FloatArray, FloatArray | None]:
    """Vectors and queries as the link behind ``reducer`` sees them."""
    parts = [reducer.encode(x[first : first + CHUNK]) for first in range(0, len(x), CHUNK)]
    seen_as = Distance.DOT if Distance.DOT in reducer.distances else Distance.EUCLID
    asked = None if queries is None else reducer.encode_query(queries, seen_as).vectors
    return np.asarray(np.concatenate(parts), np.float32), asked
