"""Points in the order of their ids, a page at a time, up to an id."""

from __future__ import annotations

from collections.abc import Sequence

from octant.flow import Flow
from octant.layout import StoredPoint
from octant.lifecycle.digests import Stretch, order_of
from octant.store.base import Store


class Cursor:
    """Reads a collection from beginning to end; holds one page.

    Parameters
    ----------
    store : Store
    page : int
        Points read at a time.
    vectors : sequence of str
        Named vectors that come along.
    with_payload : bool
    after : int or str, optional
        Reading begins after this id.
    """

    def __init__(
        self,
        store: Store,
        page: int,
        *,
        vectors: Sequence[str] = (),
        with_payload: bool = True,
        after: int | str | None = None,
    ) -> None:
        self._store, self._page, self._vectors, self._with_payload = store, page, list(vectors), with_payload
        self._after = self._offset = after
        self._held: list[StoredPoint] = []
        self._ended = False

    def take(self, most: int) -> Flow[list[StoredPoint]]:
        """The next points, at most ``most``; none at the end."""
        yield from self._fill()
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    def within(self, stretch: Stretch) -> Flow[list[StoredPoint]]:
        """The next points of ``stretch``, at most a page; none past its end."""
        yield from self._fill()
        count = sum(stretch.reaches(point.id) for point in self._held)
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def ended(self) -> Flow[bool]:
        """Whether nothing is left."""
        yield from self._fill()
        return not self._held

    def _fill(self) -> Flow[None]:
        while not self._held and not self._ended:
            found, following = yield from self._store.read(
                limit=self._page, offset=self._offset, vectors=self._vectors, with_payload=self._with_payload
            )
            self._offset, self._ended = following, following is None
            # Qdrant's offset is the first id of a page, and the point after which to go on may be there still.
            self._held = found if self._after is None else [point for point in found if self._is_new(point)]

    def _is_new(self, point: StoredPoint) -> bool:
        return self._after is None or order_of(point.id) > order_of(self._after)
