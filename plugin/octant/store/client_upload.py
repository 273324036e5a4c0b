"""Points sent in several requests: which the server has acknowledged, and what to say when it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from octant.errors import PartialUploadError, StoreError
from octant.flow import Flow, fork
from octant.layout import PointBatch
from octant.store.base import Progress


class Upload:
    """The state that the requests of one upload share.

    Parameters
    ----------
    points : PointBatch
    size : int
        Points in a request.
    progress : callable, optional
        Called with the number of points of each acknowledged request, by one thread at a time.

    Attributes
    ----------
    failure : StoreError or None
        What the first request died of that failed for good.
    """

    def __init__(self, points: PointBatch, size: int, progress: Progress | None) -> None:
        self._points, self._size, self._progress = points, size, progress
        self._acknowledged: set[int] = set()
        self._guard = threading.Lock()
        self.failure: StoreError | None = None

    def run(self, send: Callable[[PointBatch], Flow[None]], at_once: int) -> Flow[None]:
        """Send everything, ``at_once`` requests at a time; after one has failed for good, no further one.

        Raises
        ------
        PartialUploadError
            If some requests were acknowledged and others were not.
        StoreError
            What the first of them died of, if none was.
        """
        yield from fork([partial(self._send, send, start) for start in self.starts], at_once)
        self.check()

    def _send(self, send: Callable[[PointBatch], Flow[None]], start: int) -> Flow[None]:
        if self.failure is not None:
            return
        try:
            yield from send(self.rows(start))
        except StoreError as error:
            self.failure = self.failure or error
        else:
            self.acknowledge(start)

    @property
    def starts(self) -> Iterable[int]:
        """First rows of the requests."""
        return range(0, len(self._points), self._size)

    def rows(self, start: int) -> PointBatch:
        """Points of the request that begins at row ``start``."""
        return self._points.rows(start, start + self._size)

    def acknowledge(self, start: int) -> None:
        """Note that the request was answered."""
        with self._guard:
            self._acknowledged.add(start)
            if self._progress is not None:
                self._progress(len(self.rows(start)))

    def check(self) -> None:
        """Raise what stopped the upload, if anything did."""
        if self.failure is None:
            return
        if not self._acknowledged:
            raise self.failure
        missing = [point for start in self.starts if start not in self._acknowledged for point in self.rows(start).ids]
        total = len(self._points)
        raise PartialUploadError(
            f"{total - len(missing)} of {total} points were stored, then: {self.failure}. Add the points whose ids are "
            "in missing_ids again to resume; adding all of them again is safe too",
            stored=total - len(missing),
            total=total,
            missing_ids=missing,
        ) from self.failure
