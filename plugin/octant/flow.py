"""One function body for sync and async callers.

An operation is written once, as a generator that yields every blocking step and receives its result; ``run``
drives it with plain calls, ``arun`` with awaits. So ``search`` and ``asearch`` cannot drift apart.

Examples
--------
>>> def double(x: int) -> Flow[int]:
...     seen = yield from step(lambda: x + x)
...     return seen
>>> run(double(4))
8
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """A blocking call, and the native coroutine that does the same where there is one."""

    call: Callable[[], Any]
    acall: Callable[[], Awaitable[Any]] | None = None


@dataclass(frozen=True)
class Fork:
    """Flows that may run side by side, at most ``limit`` at a time; the result is the list of theirs."""

    flows: Sequence[Callable[[], Generator[Any, Any, Any]]]
    limit: int


Flow: TypeAlias = Generator["Step | Fork", Any, T]


def step(call: Callable[[], T], acall: Callable[[], Awaitable[T]] | None = None) -> Flow[T]:
    """Do ``call``; under async, await ``acall``, or run ``call`` in a thread where there is no native form."""
    result: T = yield Step(call, acall)
    return result


def fork(flows: Sequence[Callable[[], Flow[T]]], limit: int) -> Flow[list[T]]:
    """Run ``flows`` side by side. An exception in one is raised after the running ones have ended."""
    result: list[T] = yield Fork(flows, limit)
    return result


def run(flow: Flow[T]) -> T:
    """Drive ``flow`` with plain calls."""
    try:
        request = next(flow)
        while True:
            try:
                answer = _perform(request)
            except BaseException as error:  # noqa: BLE001, PERF203  # the flow decides what to do with it
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def arun(flow: Flow[T]) -> T:
    """Drive ``flow`` with awaits."""
    try:
        request = next(flow)
        while True:
            try:
                answer = await _aperform(request)
            except BaseException as error:  # noqa: BLE001, PERF203  # the flow decides what to do with it
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def blocking(function: Callable[P, Flow[T]]) -> Callable[P, T]:
    """The plain form of a function that returns a flow: same signature and docstring."""

    @wraps(function)
    def plain(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(function(*args, **kwargs))

    plain.__name__ = function.__name__.strip("_")
    return plain


def awaitable(function: Callable[P, Flow[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The awaited form of a function that returns a flow: same signature."""
    name = function.__name__.strip("_")

    @wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(function(*args, **kwargs))

    awaited.__name__ = f"a{name}"
    awaited.__doc__ = f"Awaited twin of :meth:`{name}`: same arguments, result and errors."
    return awaited


def _perform(request: Step | Fork) -> Any:
    if isinstance(request, Step):
        return request.call()
    if len(request.flows) <= 1 or request.limit <= 1:
        return [run(flow()) for flow in request.flows]
    import contextvars
    from concurrent.futures import ThreadPoolExecutor  # and asyncio below: dear to import, needed by few

    with ThreadPoolExecutor(max_workers=min(request.limit, len(request.flows))) as pool:
        # Each in the caller's context, as tasks of an event loop are: tracing finds the parent of what happens there.
        futures = [pool.submit(contextvars.copy_context().run, run, flow()) for flow in request.flows]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what has not begun need not: Ctrl-C is answered at once
            raise


async def _aperform(request: Step | Fork) -> Any:
    import asyncio

    if isinstance(request, Step):
        return await request.acall() if request.acall else await asyncio.to_thread(request.call)
    slots = asyncio.Semaphore(request.limit)

    async def one(flow: Callable[[], Flow[Any]]) -> Any:
        async with slots:
            return await arun(flow())

    results = await asyncio.gather(*(one(flow) for flow in request.flows), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
