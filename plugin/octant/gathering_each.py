"""What every embedding of a collection finds for judged queries: what selectors learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octant.collection import Collection, attaching, searching
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking
from octant.judged import Question
from octant.rankings import Rankings
from octant.records import PointId
from octant.selectors import JudgedSearch, JudgedSearches
from octant.work import progress_bar

DEPTH = 100
"""Candidates of each embedding."""
_AT_ONCE = 32


def _gather_each(
    collection: Collection,
    questions: Sequence[Question],
    *,
    embeddings: Sequence[str] | None = None,
    k: int = DEPTH,
    progress: bool = False,
) -> Flow[JudgedSearches]:
    """Search ``collection`` for every question, with each of its embeddings.

    Parameters
    ----------
    collection : Collection
        Opened with the models of its embeddings.
    questions : sequence of Question
        Without judgements, for what needs none.
    embeddings : sequence of str, optional
        Which are asked, for a cascade the cheapest first; all that take texts without it.
    k : int
        Candidates of each embedding.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    InputError
        If there is no question, or an embedding is not there.
    Exception
        As :meth:`Collection.search_each`.
    """
    if not questions:
        raise InputError("expected at least one question, got none")
    found: list[JudgedSearch] = []
    with progress_bar(len(questions), title="search", unit="query", show=progress) as advance:
        for start in range(0, len(questions), _AT_ONCE):
            part = questions[start : start + _AT_ONCE]
            texts = [one.text for one in part]
            rankings = yield from searching.search_each_batch(collection, texts, k, embeddings=embeddings)
            found += [
                JudgedSearch(each, _with_ids_of(each, one.gains), one.name, one.group)
                for one, each in zip(part, rankings, strict=True)
            ]
            if advance is not None:
                advance(len(part))
    corpus = yield from attaching.corpus(collection)
    identities = {name: info.model for name, info in collection.embeddings.items()}
    return JudgedSearches(tuple(found), identities, corpus)


gather_each = blocking(_gather_each)
agather_each = awaitable(_gather_each)


def _with_ids_of(rankings: Rankings, gains: Mapping[PointId, float]) -> dict[PointId, float]:
    """Files spell ids as text; a collection's may be numbers."""
    known = {str(point): point for point in rankings.ids}
    return {known.get(str(point), point): gain for point, gain in gains.items()}
