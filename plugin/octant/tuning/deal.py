"""Who is stored, who asks to choose, and who asks to confirm: drawn once, disjoint, the same for one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from octant.datasets import Qrels
from octant.records import JSON, Distance, FloatArray
from octant.tuning.sources import Source
from octant.vectors import unit_rows

STAND_INS = 2_000
"""Documents that are held out to ask, at most, where there are no queries; a tenth of all if that is less."""
LEAST_STAND_INS = 100
MOST_QUERIES = 3_000
SELECTING = 1 / 4
"""Share of the queries that candidates are ranked by. The others are kept for the figures that are stated: bounds are
judged by the lower end of an interval, so what they buy is a cheaper recommendation."""


@dataclass(frozen=True, eq=False)
class Deal:
    """A source, dealt.

    Attributes
    ----------
    documents : (n, dim) float32
        In the order in which samples grow: the first ``m`` rows are the sample of size ``m``. Unit rows under cosine.
    document_ids : tuple of n str
    ids : tuple of n int or str
        The source's own.
    payloads : tuple of n mapping, or None
    queries : (q, dim) float32
        First those that select, then those that confirm.
    query_ids : tuple of q str
    query_texts : tuple of q str or None
    selecting : int
        How many queries select.
    qrels : mapping
    stand_in : bool
        Whether the queries are documents that were held out.
    points : int
        Of the full collection, without what was held out.
    complete : bool
        Whether ``documents`` are all of it.
    """

    name: str
    documents: FloatArray
    document_ids: tuple[str, ...]
    ids: tuple[int | str, ...]
    payloads: tuple[Mapping[str, JSON], ...] | None
    queries: FloatArray
    query_ids: tuple[str, ...]
    query_texts: tuple[str | None, ...]
    selecting: int
    distance: Distance
    stand_in: bool
    points: int
    complete: bool
    qrels: Qrels = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return int(self.documents.shape[1])


def deal(source: Source, seed: int) -> Deal:
    """Deal ``source``: the order of documents, stand-ins where no queries are given, and two parts of the queries."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(source.vectors))
    held = 0
    if source.queries is None:
        held = stand_ins(len(order))
    asked, kept = order[:held], _judged_first(source, order[held:])
    x = unit_rows(source.vectors) if source.distance is Distance.COSINE else source.vectors
    queries, ids, texts = _questions(source, x, asked, rng)
    return Deal(
        name=source.name,
        documents=np.ascontiguousarray(x[kept]),
        document_ids=tuple(str(source.ids[row]) for row in kept),
        ids=tuple(source.ids[row] for row in kept),
        payloads=None if source.payloads is None else tuple(source.payloads[row] for row in kept),
        queries=queries,
        query_ids=ids,
        query_texts=texts,
        selecting=max(1, round(SELECTING * len(ids))),
        distance=source.distance,
        stand_in=source.queries is None,
        points=max(source.points - held, len(kept)),
        complete=source.points == len(source.vectors),
        qrels={} if source.queries is None else source.queries.qrels,
    )


def stand_ins(count: int) -> int:
    """How many of ``count`` documents are held out to ask.

    Examples
    --------
    >>> stand_ins(30_000), stand_ins(3_000), stand_ins(200)
    (2000, 300, 50)
    """
    return min(STAND_INS, max(count // 10, min(LEAST_STAND_INS, count // 4)))


def _judged_first(source: Source, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """``rows`` with the relevant documents in front: nDCG on a sample without them would say nothing."""
    if source.queries is None or not source.queries.qrels:
        return rows
    relevant = {doc for judged in source.queries.qrels.values() for doc, grade in judged.items() if grade > 0}
    first = np.array([str(source.ids[row]) in relevant for row in rows])
    return np.concatenate([rows[first], rows[~first]])


def _questions(
    source: Source, x: FloatArray, asked: NDArray[np.int64], rng: np.random.Generator
) -> tuple[FloatArray, tuple[str, ...], tuple[str | None, ...]]:
    if source.queries is None:
        texts = (None,) * len(source.ids) if source.texts is None else source.texts
        return (
            np.ascontiguousarray(x[asked]),
            tuple(str(source.ids[row]) for row in asked),
            tuple(texts[row] for row in asked),
        )
    given = source.queries
    order = rng.permutation(len(given))[:MOST_QUERIES]
    vectors = given.vectors[order]
    if source.distance is Distance.COSINE:
        vectors = unit_rows(vectors, what="queries")
    return (
        np.ascontiguousarray(vectors),
        tuple(given.ids[row] for row in order),
        tuple(given.texts[row] for row in order),
    )
