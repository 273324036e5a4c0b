"""What is closed at the end of a ``with`` block, plain or async."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self

from octant.flow import Flow, arun, run


class Closing(ABC):
    """A holder of files, locks or connections."""

    @abstractmethod
    def _close(self) -> Flow[None]:
        """Let go of all of it."""

    def close(self) -> None:
        """Release files, locks and connections; a second call does nothing."""
        run(self._close())

    async def aclose(self) -> None:
        """Awaited twin of :meth:`close`: same arguments, result and errors."""
        await arun(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
