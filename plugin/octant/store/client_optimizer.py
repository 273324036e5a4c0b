"""Waiting until a server has built what is due."""

from __future__ import annotations

import asyncio
import time

from qdrant_client import models

from octant.errors import StoreError, UnavailableError
from octant.flow import Flow, step
from octant.store.client_connection import Connection

LONGEST_POLL_S = 2.0


def wait(connection: Connection, collection: str, name: str, timeout_s: float) -> Flow[None]:
    """Ask until ``collection``, which messages call ``name``, is green.

    Raises
    ------
    UnavailableError
        If that takes longer than ``timeout_s`` seconds; the server goes on by itself.
    StoreError
        If the server's optimizer failed.
    """
    deadline = time.monotonic() + timeout_s
    pause, quiet = 0.1, False
    while not quiet:
        # A server is green for a moment between a write and the optimizer's start: look twice.
        green = yield from _is_green(connection, collection, name)
        if not green and time.monotonic() > deadline:
            raise UnavailableError(
                f"collection {name!r} at {connection.location} is still being optimized after "
                f"{timeout_s:g} s: the server goes on by itself, call optimize again to wait for it"
            )
        yield from _pause(pause)
        quiet = green and (yield from _is_green(connection, collection, name))
        pause = min(pause * 1.5, LONGEST_POLL_S)


def _is_green(connection: Connection, collection: str, name: str) -> Flow[bool]:
    info = yield from connection.ask(lambda client: client.get_collection(collection), name)
    if info.status == models.CollectionStatus.RED:
        raise StoreError(
            f"the optimizer of collection {name!r} at {connection.location} failed: "
            f"{getattr(info.optimizer_status, 'error', info.optimizer_status)}"
        )
    if info.status == models.CollectionStatus.GREY:
        # Optimizations are due, but a restarted server waits for a write before it begins.
        nudge = models.OptimizersConfigDiff()
        yield from connection.ask(lambda client: client.update_collection(collection, optimizers_config=nudge), name)
    return bool(info.status == models.CollectionStatus.GREEN)


def _pause(seconds: float) -> Flow[None]:
    yield from step(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))
