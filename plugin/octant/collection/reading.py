"""The documents of a collection, looked up instead of searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

from octant import search as searches
from octant.core import Core
from octant.filters import as_filter, map_ids
from octant.flow import Flow, arun, run
from octant.records import Candidate, PointId, uuid_or_int

if TYPE_CHECKING:
    from octant.collection.collection import Collection


def get(
    collection: Collection, ids: Iterable[PointId], *, with_vectors: bool = False, embedding: str | None = None
) -> Flow[list[Candidate]]:
    """The documents behind ``ids``, in that order; unknown ids are left out. Scores are 0.

    ``embedding`` says whose vectors are wanted, of several; the first one's without it.
    """
    core = collection._core.of(embedding)
    wanted = [core.ids.to_qdrant(point) for point in ids]
    if core.draft or not wanted:
        return []
    found = yield from core.store.retrieve(wanted, with_vectors=_vector_names(core, with_vectors))
    by_id = {uuid_or_int(point.id): point for point in found}
    present = [by_id[key] for key in map(uuid_or_int, wanted) if key in by_id]
    return [searches.candidate(core, point, with_vector=with_vectors) for point in present]


def scroll(
    collection: Collection, *, filter: object | None = None, page_size: int = 256, with_vectors: bool = False  # noqa: A002
) -> Iterator[Candidate]:  # fmt: skip
    """Every document, or every one that matches ``filter``, in the order of Qdrant's ids. Scores are 0."""
    offset: int | str | None = None
    while True:
        page, offset = run(_page(collection, filter, page_size, offset, with_vectors))
        yield from page
        if offset is None:
            return


async def ascroll(
    collection: Collection, *, filter: object | None = None, page_size: int = 256, with_vectors: bool = False  # noqa: A002
) -> AsyncIterator[Candidate]:  # fmt: skip
    """Asynchronous twin of :meth:`scroll`."""
    offset: int | str | None = None
    while True:
        page, offset = await arun(_page(collection, filter, page_size, offset, with_vectors))
        for candidate in page:
            yield candidate
        if offset is None:
            return


def sample(collection: Collection, count: int, *, seed: int = 0) -> Flow[list[Candidate]]:
    """``count`` documents with their vectors, drawn at random, or all where there are no more. Scores are 0.

    The same ones for the same ``seed``, while the collection stays the same.

    Raises
    ------
    InputError
        If ``count`` is not positive.
    UnsupportedError
        If the server refuses to be read like this.
    """
    core = collection._core
    if core.draft:
        return []
    found = yield from core.store.sample(count, seed=seed, vectors=_vector_names(core, True))
    return [searches.candidate(core, point, with_vector=True) for point in found]


def count(collection: Collection, filter: object | None = None) -> Flow[int]:  # noqa: A002
    """Exact number of documents, or of those that match ``filter``."""
    core = collection._core
    wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
    return 0 if core.draft else (yield from core.store.count(wanted))


def _page(
    collection: Collection, filter: object | None, size: int, offset: int | str | None, with_vectors: bool  # noqa: A002
) -> Flow[tuple[list[Candidate], int | str | None]]:  # fmt: skip
    core = collection._core
    if core.draft:
        return [], None
    wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
    names = _vector_names(core, with_vectors)
    found, following = yield from core.store.scroll(filter=wanted, limit=size, offset=offset, with_vectors=names)
    return [searches.candidate(core, point, with_vector=with_vectors) for point in found], following


def _vector_names(core: Core, wanted: bool) -> tuple[str, ...]:
    return searches.vector_names(core) if wanted else ()
