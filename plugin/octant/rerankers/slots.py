"""How many requests to a model may be under way at once, over all rankings that a reranker is working on."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio


class Slots:
    """A counter of requests under way, for threads and for each event loop.

    Parameters
    ----------
    limit : int
        At least 1. Threads and event loops count separately.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._threads = threading.BoundedSemaphore(limit)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @contextmanager
    def held(self, seconds: float | None) -> Iterator[None]:
        """Hold one slot; wait for it ``seconds`` at most.

        Raises
        ------
        TimeoutError
            If none came free in time.
        """
        if not self._threads.acquire(timeout=seconds):
            raise TimeoutError(f"no request slot came free within {seconds:g} s")
        try:
            yield
        finally:
            self._threads.release()

    @asynccontextmanager
    async def awaited(self) -> AsyncIterator[None]:
        """Hold one slot of the running event loop."""
        import asyncio  # dear to import, and needed by few

        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = asyncio.Semaphore(self.limit)
        async with self._loops[loop]:
            yield
