"""What a collection asks of an engine. Two engines answer: :mod:`.edge` and :mod:`.client`.

Every method is a :data:`octant.flow.Flow`, so one body serves sync and async callers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from octant.flow import Flow, step
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorQuery
from octant.records import JSON, Filter, Footprint

Progress = Callable[[int], object]
"""Called with the number of points that were just acknowledged."""

Manifest = Mapping[str, JSON]
"""How a collection describes itself; see :mod:`octant.manifest`."""


class Store(ABC):
    """One collection in one engine.

    Attributes
    ----------
    engine : str
        "edge", "server" or "local", for messages and reports.
    """

    engine: str

    # -- existence and self-description --------------------------------------------------------

    @abstractmethod
    def exists(self) -> Flow[bool]:
        """Whether the collection is there."""

    @abstractmethod
    def create(self, layout: CollectionLayout, manifest: Manifest) -> Flow[None]:
        """Make the collection and write its manifest.

        Raises
        ------
        CollectionExistsError, LockedError, UnsupportedError, UnavailableError
        """

    @abstractmethod
    def open(self) -> Flow[Manifest | None]:
        """Open the collection for reading and writing; its manifest, or None if Octant did not make it.

        Raises
        ------
        CollectionNotFoundError, LockedError, ArtifactError, UnavailableError
        """

    @abstractmethod
    def describe(self) -> Flow[CollectionLayout]:
        """The layout as the engine reports it; for collections that others made."""

    @abstractmethod
    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        """Replace the manifest, in one step: a crash leaves the old one or the new one."""

    @abstractmethod
    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        """Keep ``data`` beside the vectors under its SHA-256 ``digest``; done before a manifest names it."""

    @abstractmethod
    def read_artifact(self, digest: str) -> Flow[bytes]:
        """The bytes behind ``digest``.

        Raises
        ------
        ArtifactError
            If they are missing, or their SHA-256 is another.
        """

    @abstractmethod
    def drop(self) -> Flow[None]:
        """Delete the collection and everything Octant keeps with it; no error if it is not there."""

    @abstractmethod
    def close(self) -> Flow[None]:
        """Release files and locks; a second call does nothing."""

    @property
    def checkpoints(self) -> Path | None:
        """Folder in which a fit of this collection may keep checkpoints; None where nothing of it would survive."""
        return None

    def drop_checkpoints(self) -> Flow[None]:
        """Delete what is in :attr:`checkpoints`: a fit is complete."""
        return step(lambda: None)

    # -- points --------------------------------------------------------------------------------

    @abstractmethod
    def upsert(self, points: PointBatch, *, batch_size: int, progress: Progress | None = None) -> Flow[None]:
        """Write points by id; returns when every one is durable.

        Raises
        ------
        PartialUploadError
            If the engine fails half-way: how many were stored, which are missing.
        """

    @abstractmethod
    def query(self, queries: Sequence[VectorQuery]) -> Flow[list[list[StoredPoint]]]:
        """Answer all ``queries`` in one request, in order."""

    @abstractmethod
    def retrieve(
        self, ids: Sequence[int | str], *, with_payload: bool = True, with_vectors: Sequence[str] = ()
    ) -> Flow[list[StoredPoint]]:
        """The points among ``ids`` that exist, in no particular order."""

    @abstractmethod
    def scroll(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        with_payload: bool = True, with_vectors: Sequence[str] = (),
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        """A page of points by id, and where the next page starts (None at the end)."""

    @abstractmethod
    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        """Delete points by id; unknown ids are no error."""

    @abstractmethod
    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        """Delete every point that matches ``filter``."""

    @abstractmethod
    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        """Exact number of points, or of those that match."""

    @abstractmethod
    def index_payload(self, key: str, kind: str) -> Flow[None]:
        """Index a payload field: keyword, integer, float, bool, geo, datetime, text or uuid."""

    # -- upkeep --------------------------------------------------------------------------------

    @abstractmethod
    def optimize(self) -> Flow[None]:
        """Build the graphs and second copies that are due, and wait for them."""

    @abstractmethod
    def segments(self) -> Flow[int]:
        """Number of segments that hold points or take writes; 0 where the engine has none."""

    @abstractmethod
    def footprint(self) -> Flow[Footprint]:
        """Measured bytes by component."""
