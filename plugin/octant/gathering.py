"""What a collection finds for judged queries: the rankings that trained parts learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from octant.collection import Collection, attaching, searching
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking
from octant.judged import Judged, JudgedRankings, Question
from octant.records import FloatArray, PointId, Ranking
from octant.search import Mode
from octant.work import progress_bar

DEPTH = 100
"""Candidates of every query."""
_AT_ONCE = 32


def _gather(
    collection: Collection,
    questions: Sequence[Question],
    *,
    k: int = DEPTH,
    mode: Mode = "dense",
    progress: bool = False,
) -> Flow[JudgedRankings]:
    """Search ``collection`` for every question.

    Parameters
    ----------
    collection : Collection
        Opened with its embedding, unless ``mode`` is "sparse".
    questions : sequence of Question
    k : int
        Candidates of each.
    mode : {"dense", "sparse", "hybrid"}
        How to search: what is learned then belongs to such rankings.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    JudgedRankings
        With the candidates' vectors, decoded, and those of the queries, where the collection has any. Questions for
        which nothing was found are left out.

    Raises
    ------
    InputError
        If there is no question.
    Exception
        As :meth:`Collection.search`.
    """
    if not questions:
        raise InputError("expected at least one judged question, got none")
    dense = bool(collection.dimension)
    found: list[Judged] = []
    with progress_bar(len(questions), title="search", unit="query", show=progress) as advance:
        for start in range(0, len(questions), _AT_ONCE):
            part = questions[start : start + _AT_ONCE]
            vectors = yield from _embedded(collection, part, dense=dense)
            asked = vectors if vectors is not None and mode == "dense" else [one.text for one in part]
            rankings = yield from searching.search_batch(collection, asked, k, mode=mode, with_vectors=dense)
            for place, (question, ranking) in enumerate(zip(part, rankings, strict=True)):
                if ranking:
                    found.append(_judged(question, ranking, None if vectors is None else vectors[place]))
            if advance is not None:
                advance(len(part))
    corpus = yield from attaching.corpus(collection)
    scores = f"{mode} {collection.distance.value.lower()}" if mode == "dense" else mode
    return JudgedRankings(tuple(found), collection.manifest.embedding, corpus, scores)


gather = blocking(_gather)
agather = awaitable(_gather)
gathered = _gather
"""The flow of both, for flows that go on with what is found."""


def _embedded(collection: Collection, part: Sequence[Question], *, dense: bool) -> Flow[FloatArray | None]:
    model = collection.embedding
    if model is None or not dense:
        return None
    return (yield from model.embed_queries([one.text for one in part]))


def _judged(question: Question, ranking: Ranking, vector: FloatArray | None) -> Judged:
    kept = None if vector is None else np.asarray(vector, np.float32)
    text = Ranking(ranking.candidates, question.text, ranking.score_kind)
    return Judged(question.text, text, _with_ids_of(ranking, question.gains), kept, question.name, question.group)


def _with_ids_of(ranking: Ranking, gains: Mapping[PointId, float]) -> dict[PointId, float]:
    """Files spell ids as text; a collection's may be numbers."""
    known = {str(point): point for point in ranking.ids}
    return {known.get(str(point), point): gain for point, gain in gains.items()}
