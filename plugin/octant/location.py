"""From what a caller calls a location to the engine behind it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, TypeAlias

from octant.errors import InputError
from octant.store.base import Store

Location: TypeAlias = Any
"""A directory (Edge), ``":memory:"`` (Edge in a temporary directory), an http(s) URL (server), or a
``QdrantClient`` / ``AsyncQdrantClient``, or a pair of both."""


def store_at(
    location: Location,
    name: str,
    *,
    client_options: Mapping[str, Any] | None = None,
    collection_options: Mapping[str, Any] | None = None,
) -> Store:
    """The store of collection ``name`` at ``location``; nothing is opened yet.

    Parameters
    ----------
    location : Location
    name : str
    client_options : mapping, optional
        For URLs: what ``QdrantClient`` takes (``api_key``, ``prefer_grpc``, ``timeout``, …).
    collection_options : mapping, optional
        For servers: what ``create_collection`` takes (``shard_number``, ``replication_factor``,
        ``write_consistency_factor``, …). For Edge: ``wal``.

    Raises
    ------
    InputError
        If ``location`` is none of these, or an option does not belong to it.
    """
    if isinstance(location, str | PathLike):
        text = fspath(location)
        if text.startswith(("http://", "https://")):
            from octant.store.client import ClientStore

            return ClientStore.connect(text, name, client_options or {}, collection_options or {})
        if client_options:
            raise InputError(f"client options ({', '.join(client_options)}) need an http(s) URL, got {text!r}")
        return _edge(text, name, dict(collection_options or {}))
    if client_options:
        raise InputError("client options belong to a URL; a client object already has them")
    return _from_clients(location, name, collection_options or {})


def _edge(path: str, name: str, options: dict[str, Any]) -> Store:
    from octant.store.edge import EdgeStore

    wal = options.pop("wal", False)
    if options:
        raise InputError(f"Edge collections take the option wal, got {', '.join(options)}")
    if not path:
        raise InputError(
            "a location is a directory, ':memory:', an http(s) URL or a Qdrant client; got an empty string"
        )
    return EdgeStore(None if path == ":memory:" else path, name, wal=wal)


def _from_clients(location: Location, name: str, options: Mapping[str, Any]) -> Store:
    given = location if isinstance(location, tuple) else (location,)
    clients: dict[str, Any] = {}
    for client in given:
        query = getattr(client, "query_batch_points", None)
        if query is None:
            raise InputError(
                "a location is a directory, ':memory:', an http(s) URL, a QdrantClient, an AsyncQdrantClient or a pair "
                f"of both; got {type(client).__name__}"
            )
        clients["async_client" if inspect.iscoroutinefunction(query) else "client"] = client
    from octant.store.client import ClientStore

    return ClientStore(clients.get("client"), clients.get("async_client"), name, options)
