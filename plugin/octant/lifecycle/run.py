"""What the steps of one compression share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from octant.core import Core
from octant.flow import Flow
from octant.layout import StoredPoint
from octant.lifecycle import journal as journals
from octant.lifecycle.digests import Stored, point_digest
from octant.lifecycle.encode import Encoder
from octant.lifecycle.journal import Journal
from octant.lifecycle.order import Order
from octant.lifecycle.source import Source
from octant.schema import CollectionSchema
from octant.store.base import Store

PAGE_NUMBERS = 1 << 20
"""Numbers in a page of points: as Python floats, which engines hand over, they take 32 MiB."""
LARGEST_PAGE = 2048
MOST_STRETCHES = 4096
"""So the journal of any collection stays under half a megabyte."""
LEAST_STRETCH = 1024

Progress = Callable[[int], object]


@dataclass(eq=False)
class Run:
    """One run of a compression.

    Attributes
    ----------
    source : Source
    target : Store
        Open; the source's own in place.
    order : Order
    kept : CollectionSchema
        What goes over unchanged; nothing in place.
    journal : Journal
    cores : sequence of Core
        The target as each of the order's parts will see it.
    encoders : sequence of Encoder
        In the order of the parts; none before they are fitted.
    """

    source: Source
    target: Store
    order: Order
    kept: CollectionSchema
    journal: Journal
    cores: Sequence[Core] = ()
    encoders: Sequence[Encoder] = ()
    started: float = field(default_factory=time.monotonic)
    _watched: frozenset[str] | None = field(default=None, init=False, repr=False)

    @property
    def page(self) -> int:
        """Points read and written at a time."""
        return page_points(self.source.schema)

    @property
    def read_names(self) -> tuple[str, ...]:
        """Vectors of the source that are read: what is encoded, and what is carried over."""
        encoded = [encoder.embeddings.stored[-1] for encoder in self.encoders]
        return tuple(dict.fromkeys([*encoded, *self.kept.names]))

    def digest(self, point: StoredPoint) -> bytes:
        """What tells whether a point of the source was written to; in place, whether its vectors were."""
        if self._watched is None:
            self._watched = frozenset(self.source.watched) & frozenset(self.read_names)
        watched = self._watched
        vectors: dict[str, Stored] = {**point.vectors, **point.sparse, **point.multi}
        payload = {} if self.order.in_place else dict(point.payload)
        return point_digest(point.id, payload, {name: vectors[name] for name in vectors if name in watched})

    def let_go(self) -> Flow[None]:
        """Keep what was read of both collections out of this process's memory."""
        yield from self.source.store.let_go()
        if self.target is not self.source.store:
            yield from self.target.let_go()

    def note(self, journal: Journal, *, changed: int | None = None) -> Flow[None]:
        """Go on with ``journal``, written down; the time spent so far is in it."""
        now = time.monotonic()
        self.journal = replace(journal, seconds=journal.seconds + now - self.started)
        self.started = now
        yield from journals.save(self.target, self.journal, changed=changed)


def page_points(schema: CollectionSchema) -> int:
    """Points of a page, so that its vectors stay within ``PAGE_NUMBERS``."""
    wide = (int(vector.settings.get("size") or 1) * (64 if vector.multivector else 1) for vector in schema.vectors)
    numbers = sum(wide)
    return max(16, min(LARGEST_PAGE, PAGE_NUMBERS // max(1, numbers)))


def stretch_points(points: int) -> int:
    """Points of a stretch of a collection of so many."""
    return max(LEAST_STRETCH, -(-2 * points // MOST_STRETCHES))
