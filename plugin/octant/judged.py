"""Rankings with judgements: what everything that is trained learns from, and is validated on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from octant import datasets
from octant.errors import InputError
from octant.records import EmbeddingIdentity, FloatArray, PointId, Ranking

DEPTH = 10
"""Where nDCG is cut off."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One query, what a search found for it, and what is known to be relevant.

    Attributes
    ----------
    query : str
    ranking : Ranking
        Best first; with vectors where the collection was asked for them.
    gains : mapping from id to float
        Of every judged passage, found or not; above 0 is relevant, more is better.
    vector : (dimension,) float32 or None
        Of the query.
    name : str
        The query's id.
    group : str
        What a split must not divide, such as the article that several questions are about; empty where every query
        stands for itself.
    """

    query: str
    ranking: Ranking
    gains: Mapping[PointId, float]
    vector: FloatArray | None = None
    name: str = ""
    group: str = ""

    @cached_property
    def found_gains(self) -> FloatArray:
        """Gains (n,) float32 of the candidates, in the order of the ranking; 0 where nobody judged. Read-only."""
        found = np.array([max(self.gains.get(point, 0.0), 0.0) for point in self.ranking.ids], np.float32)
        found.flags.writeable = False  # it is kept: a training asks for it in every round
        return found

    @property
    def teaches(self) -> bool:
        """Whether something can be learned from it: not all candidates are worth the same."""
        return len(set(self.found_gains.tolist())) > 1


@dataclass(frozen=True, eq=False)
class JudgedRankings(Sequence[Judged]):
    """Judged queries of one collection.

    Attributes
    ----------
    queries : tuple of Judged
    embedding : EmbeddingIdentity or None
        What made the vectors and scores; None where nobody tells.
    corpus : str or None
        Identity of the collection (:meth:`octant.Collection.corpus`); None where there is none.
    first_stage : str
        How the rankings were found: a search's mode, and the distance where vectors were compared, e.g.
        ``"dense cosine"``, ``"sparse"``.
    """

    queries: tuple[Judged, ...]
    embedding: EmbeddingIdentity | None = None
    corpus: str | None = None
    first_stage: str = ""

    @overload
    def __getitem__(self, index: int) -> Judged: ...
    @overload
    def __getitem__(self, index: slice) -> JudgedRankings: ...
    def __getitem__(self, index: int | slice) -> Judged | JudgedRankings:
        return replace(self, queries=self.queries[index]) if isinstance(index, slice) else self.queries[index]

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[Judged]:
        return iter(self.queries)

    def where(self, wanted: Callable[[Judged], bool]) -> JudgedRankings:
        """Those that are ``wanted``."""
        return replace(self, queries=tuple(one for one in self.queries if wanted(one)))

    def split(self, share: float = 0.25, *, seed: int = 0) -> tuple[JudgedRankings, JudgedRankings]:
        """What to fit on, and what to validate on, both in the order that they have here.

        Groups stay together. Which side a group falls on is a matter of its name and the seed, not of the order that
        the queries come in.

        Parameters
        ----------
        share : float
            Of the queries, for validation; at least one group goes to each side.
        seed : int

        Raises
        ------
        InputError
            If there are fewer than two groups, or ``share`` is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise InputError(f"share of the queries to validate on must lie between 0 and 1, got {share}")
        sizes = self._group_sizes()
        validation: set[str] = set()
        taken = 0
        for group in sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}|{name}".encode()).digest()):
            too_many = taken + sizes[group] / 2 > share * len(self)
            if validation and (too_many or len(validation) == len(sizes) - 1):
                break
            validation.add(group)
            taken += sizes[group]
        return self.where(lambda one: _group(one) not in validation), self.where(lambda one: _group(one) in validation)

    def folds(self, count: int, *, seed: int = 0) -> list[tuple[JudgedRankings, JudgedRankings]]:
        """What to fit on, and what to validate on, ``count`` times: every query is validated on once.

        Groups stay together, as in :meth:`split`.

        Parameters
        ----------
        count : int
            At least 2; as many as there are groups if those are fewer.
        seed : int

        Raises
        ------
        InputError
            If there are fewer than two groups, or ``count`` is less than 2.
        """
        if count < 2:
            raise InputError(f"expected at least 2 folds, one to fit on and one to validate on, got {count}")
        least = min(count, len(self._group_sizes()))
        home = dict(zip(self.queries, folds([_group(one) for one in self.queries], least, seed=seed), strict=True))
        return [
            (
                self.where(lambda one, fold=fold: home[one] != fold),  # type: ignore[misc]
                self.where(lambda one, fold=fold: home[one] == fold),  # type: ignore[misc]
            )
            for fold in range(least)
        ]

    def _group_sizes(self) -> dict[str, int]:
        """Queries of every group, of which there have to be two."""
        sizes: dict[str, int] = {}
        for one in self.queries:
            sizes[_group(one)] = sizes.get(_group(one), 0) + 1
        if len(sizes) < 2:
            raise InputError(
                f"expected judged queries of at least two groups, to fit on one part and validate on another; got "
                f"{len(self)} in {len(sizes)}: judge more queries, or name no groups"
            )
        return sizes


def folds(groups: Sequence[str], count: int, *, seed: int = 0) -> NDArray[np.intp]:
    """The fold (n,) of every query, from 0; a group is never divided, an empty name is a group of its own.

    Groups go, the largest first, to the fold that holds least so far; equal ones in an order that depends on their
    names and the seed only.

    Examples
    --------
    >>> folds(["a", "a", "b", "b"], 2).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    names = [group or f"query {place}" for place, group in enumerate(groups)]
    sizes: dict[str, int] = {}
    for name in names:
        sizes[name] = sizes.get(name, 0) + 1
    order = sorted(sizes, key=lambda name: (-sizes[name], hashlib.sha256(f"{seed}|{name}".encode()).digest()))
    held = [0] * count
    home = {}
    for name in order:
        home[name] = min(range(count), key=lambda fold: held[fold])
        held[home[name]] += sizes[name]
    return np.array([home[name] for name in names], np.intp)


def _group(one: Judged) -> str:
    return one.group or f"{one.name} {one.query}"


@dataclass(frozen=True)
class Question:
    """A query and its judgements, before anything was searched.

    Attributes
    ----------
    name : str
        The query's id.
    text : str
    gains : mapping from id to float
        Above 0 is relevant.
    group : str
        As of :class:`Judged`.
    """

    name: str
    text: str
    gains: Mapping[PointId, float] = field(default_factory=dict)
    group: str = ""


def read_questions(queries: str | Path, qrels: str | Path, groups: str | Path | None = None) -> tuple[Question, ...]:
    """The queries that are judged, in the order of their file.

    Parameters
    ----------
    queries : str or Path
        ``{"_id", "text"}`` a line, gzipped or not.
    qrels : str or Path
        Query id, document id and grade between tabs, under a header line or none.
    groups : str or Path, optional
        Query id and the name of its group between tabs.

    Raises
    ------
    InputError
        If a file is malformed or empty, or judges none of the queries.
    """
    texts = datasets.read_queries(queries)
    judged = datasets.read_qrels(qrels, _Everything(), texts)
    if not judged:
        raise InputError(f"{qrels} judges none of the queries in {queries}: do their ids belong together?")
    grouped = {} if groups is None else datasets.read_groups(groups)
    return tuple(
        Question(name, text, {point: float(grade) for point, grade in judged[name].items()}, grouped.get(name, ""))
        for name, text in texts.items()
        if name in judged
    )


class _Everything:
    """Any document: which ones exist, the collection knows."""

    def __contains__(self, _: object) -> bool:
        return True


def ndcg(judged: Judged, order: Sequence[int] | None = None, *, k: int = DEPTH) -> float:
    """Normalised discounted cumulative gain of a ranking, between 0 and 1; higher is better.

    Linear gains over log2(1 + rank), divided by those of the best order of everything judged: the ``nDCG@k`` of
    trec_eval. 0 where nothing is relevant.

    Parameters
    ----------
    judged : Judged
    order : sequence of int, optional
        Positions of the ranking, best first; as they are without it.
    k : int

    Examples
    --------
    >>> from octant.records import Candidate
    >>> one = Judged("q", Ranking((Candidate("a", 0.9), Candidate("b", 0.8))), {"b": 1})
    >>> round(ndcg(one), 3), ndcg(one, [1, 0])
    (0.631, 1.0)
    """
    ideal = np.sort(np.array([gain for gain in judged.gains.values() if gain > 0], np.float64))[::-1][:k]
    if not len(ideal):
        return 0.0
    gains = judged.found_gains.astype(np.float64)
    found = (gains if order is None else gains[list(order)])[:k]
    return float((found @ _discounts(len(found))) / (ideal @ _discounts(len(ideal))))


def _discounts(count: int) -> NDArray[np.float64]:
    return 1.0 / np.log2(np.arange(2, count + 2, dtype=np.float64))
