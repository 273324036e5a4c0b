"""How a collection is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octant.flow import Flow

if TYPE_CHECKING:
    from octant.collection.collection import Collection


def close(collection: Collection) -> Flow[None]:
    """Release files, locks and connections; a second call does nothing."""
    yield from collection._core.store.close()


def drop(collection: Collection) -> Flow[None]:
    """Delete the collection and everything Octant keeps with it."""
    yield from collection._core.store.drop()
    yield from collection._core.store.close()
