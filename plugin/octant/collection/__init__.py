"""A collection: what a user holds, and a room for each kind of thing that it does."""

from octant.collection.collection import Collection
from octant.collection.describing import CollectionInfo

__all__ = ["Collection", "CollectionInfo"]
