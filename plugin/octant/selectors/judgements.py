"""Judged queries that several embeddings were asked: what a selector learns from, and is validated on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.rankings import Rankings
from octant.records import EmbeddingIdentity, PointId


@dataclass(frozen=True, eq=False)
class JudgedSearch:
    """One query, what every embedding found for it, and what is known to be relevant.

    Attributes
    ----------
    rankings : Rankings
    gains : mapping from id to float
        Of every judged passage, found or not; above 0 is relevant, more is better. Empty where nobody judged.
    name : str
        The query's id.
    group : str
        What a split must not divide, such as the article that several questions are about; empty where every query
        stands for itself.
    """

    rankings: Rankings
    gains: Mapping[PointId, float] = field(default_factory=dict)
    name: str = ""
    group: str = ""

    @property
    def judged(self) -> bool:
        """Whether anything is known to be relevant."""
        return any(gain > 0 for gain in self.gains.values())


@dataclass(frozen=True, eq=False)
class JudgedSearches(Sequence[JudgedSearch]):
    """Judged queries of one collection.

    Attributes
    ----------
    queries : tuple of JudgedSearch
    identities : mapping from name to EmbeddingIdentity or None
        Which model is behind each name; None where nobody tells, as for BM25.
    corpus : str or None
        Identity of the collection (:meth:`octant.Collection.corpus`).
    """

    queries: tuple[JudgedSearch, ...]
    identities: Mapping[str, EmbeddingIdentity | None] = field(default_factory=dict)
    corpus: str | None = None

    @overload
    def __getitem__(self, index: int) -> JudgedSearch: ...
    @overload
    def __getitem__(self, index: slice) -> JudgedSearches: ...
    def __getitem__(self, index: int | slice) -> JudgedSearch | JudgedSearches:
        return replace(self, queries=self.queries[index]) if isinstance(index, slice) else self.queries[index]

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[JudgedSearch]:
        return iter(self.queries)

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of all that answered any of the queries, in the order they first come."""
        return tuple(dict.fromkeys(name for one in self.queries for name in one.rankings))

    def at(self, places: Sequence[int] | NDArray[np.intp]) -> JudgedSearches:
        """The queries at ``places``."""
        return replace(self, queries=tuple(self.queries[int(place)] for place in places))

    def judged(self, *, least: int) -> JudgedSearches:
        """Those for which something is known to be relevant.

        Raises
        ------
        InputError
            If there are fewer than ``least``.
        """
        found = tuple(one for one in self.queries if one.judged)
        if len(found) < least:
            raise InputError(
                f"learning needs at least {least} queries with a passage that is judged relevant, got {len(found)} of "
                f"{len(self)}: judge more queries"
            )
        return replace(self, queries=found)
