"""Calls that can be given up.

Python cannot stop a call, only stop waiting for it: each runs in a thread of its own that keeps neither the program
nor the event loop from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def within(call: Callable[[], T], seconds: float | None) -> T:
    """Result of ``call``, or TimeoutError after ``seconds``; None waits as long as it takes."""
    if seconds is None:
        return call()
    import contextvars
    from concurrent.futures import Future  # dear to import, and needed by few
    from concurrent.futures import TimeoutError as TooLate  # until Python 3.11 another class than TimeoutError

    done: Future[T] = Future()
    context = contextvars.copy_context()
    _start(lambda: _settle(done, lambda: context.run(call)))
    try:
        return done.result(timeout=seconds)
    except TooLate as error:
        if done.done():
            raise  # the call's own
        raise TimeoutError(f"no answer within {seconds} s") from error


async def awaited_within(coroutine: Callable[[], Awaitable[T]], seconds: float | None) -> T:
    """Result of ``coroutine``, or TimeoutError after ``seconds``, when it is cancelled."""
    import asyncio

    try:
        return await asyncio.wait_for(coroutine(), seconds)
    except asyncio.TimeoutError as error:  # until Python 3.11 another class than TimeoutError
        raise TimeoutError(str(error) or f"no answer within {seconds} s") from error


async def in_thread(call: Callable[[], T]) -> T:
    """Await ``call`` in a thread; cancelling stops the waiting at once."""
    import asyncio
    import contextvars

    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()
    _start(lambda: _settle_in(loop, done, lambda: context.run(call)))
    return await done


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="octant-call", daemon=True).start()


def _settle(done: object, call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  # raised where it is waited for
        done.set_exception(error)  # type: ignore[attr-defined]
    else:
        done.set_result(result)  # type: ignore[attr-defined]


def _settle_in(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], call: Callable[[], T]) -> None:
    from concurrent.futures import Future

    here: Future[T] = Future()
    _settle(here, call)

    def hand_over() -> None:
        if not done.done():  # the waiting may have been cancelled
            _settle(done, here.result)

    try:
        loop.call_soon_threadsafe(hand_over)
    except RuntimeError:  # the loop has closed: nobody waits any more
        return
