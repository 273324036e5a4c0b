"""One call, made through a sync or an async Qdrant client, with retries and with Octant's errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import tenacity
from qdrant_client import AsyncQdrantClient, QdrantClient

from octant.errors import InputError, StoreError
from octant.flow import Flow, step
from octant.store.client_errors import is_transient, retry_after, translate

Call: TypeAlias = Callable[[Any], Any]
"""Takes a client and calls one of its methods; the sync and the async client have the same ones."""

TIMEOUT_S = 30
"""Seconds a request may take, where the caller sets none; qdrant-client's own default of 5 is short for uploads."""


@dataclass(frozen=True)
class RetrySettings:
    """How often, and how patiently, a request that may still succeed is sent again.

    Attributes
    ----------
    attempts : int
        Times a request is sent at most; 1 never retries.
    first_wait_s : float
        Seconds before the second attempt, doubled before each further one; up to as much again is added at
        random, so that clients that failed together do not come back together.
    longest_wait_s : float
        Cap on a wait, also where the server names one itself (``Retry-After``).
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait_s < 0 or self.longest_wait_s < 0:
            raise InputError(f"expected at least one attempt and waits of 0 s or more, got {self}")

    def controller(self, kind: type[tenacity.BaseRetrying], *, again: bool) -> Any:
        """A tenacity controller of ``kind``; it sends once where ``again`` is False."""
        grow = tenacity.wait_exponential(self.first_wait_s, self.longest_wait_s)
        jitter = tenacity.wait_random(0, self.first_wait_s)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return min(max(grow(state) + jitter(state), retry_after(error)), self.longest_wait_s)

        return kind(
            stop=tenacity.stop_after_attempt(self.attempts if again else 1),
            wait=wait,
            retry=tenacity.retry_if_exception(is_transient),
            reraise=True,
        )


class Clients(Protocol):
    """Where the clients come from."""

    location: str
    local: bool

    def sync(self) -> QdrantClient:
        """The sync client.

        Raises
        ------
        StoreError
            If there is none.
        """

    def native(self) -> AsyncQdrantClient | None:
        """The async client for the running event loop, or None."""

    def close(self) -> None:
        """Close what was opened here, from sync code."""

    async def aclose(self) -> None:
        """Close what was opened here, from async code."""


class GivenClients:
    """The caller's own client objects; never closed here.

    Parameters
    ----------
    client : QdrantClient or None
    async_client : AsyncQdrantClient or None

    Raises
    ------
    InputError
        If there is neither, or two local modes, which are two separate databases.
    """

    def __init__(self, client: QdrantClient | None, async_client: AsyncQdrantClient | None) -> None:
        given = [one for one in (client, async_client) if one is not None]
        if not given:
            raise InputError("a client store needs a QdrantClient, an AsyncQdrantClient, or both; got neither")
        self.location = _location(given[0])
        self.local = any(_is_local(one) for one in given)
        if self.local and len(given) > 1:
            raise InputError("two clients in local mode are two separate databases: pass only one of them")
        self._client, self._async_client = client, async_client

    def sync(self) -> QdrantClient:
        if self._client is None:
            raise StoreError(
                "this collection was opened with an AsyncQdrantClient only: use the methods that start with a "
                "(aadd, asearch, …), or open it with a QdrantClient too"
            )
        return self._client

    def native(self) -> AsyncQdrantClient | None:
        return self._async_client

    def close(self) -> None:
        """Leave the caller's clients open."""

    async def aclose(self) -> None:
        """Leave the caller's clients open."""


class OwnClients:
    """Clients made here from a URL: the sync one at the first sync call, an async one per event loop.

    Parameters
    ----------
    location : str
        An http(s) URL.
    options : mapping
        What ``QdrantClient`` takes beside ``url``: ``api_key``, ``prefer_grpc``, ``timeout``, ``headers``, …
    """

    local = False

    def __init__(self, location: str, options: Mapping[str, Any]) -> None:
        if urlsplit(location).scheme not in ("http", "https") or not urlsplit(location).hostname:
            raise InputError(f"a server's location is an http(s) URL such as http://localhost:6333, got {location!r}")
        named = sorted({"url", "location", "host", "path"} & set(options))
        if named:
            raise InputError(f"the URL is given as the location already; leave {', '.join(named)} out of the options")
        # Octant asks for the version itself, and only where a feature depends on it.
        self._options = {"timeout": TIMEOUT_S, "check_compatibility": False, **options, "url": location}
        self.location = without_credentials(location)
        self._guard = threading.Lock()
        self._client: QdrantClient | None = None
        # An async client's connections belong to the loop they were opened in.
        self._native: dict[asyncio.AbstractEventLoop, AsyncQdrantClient] = {}

    def sync(self) -> QdrantClient:
        with self._guard:
            if self._client is None:
                self._client = self._make(QdrantClient)
            return self._client

    def native(self) -> AsyncQdrantClient:
        loop = asyncio.get_running_loop()
        with self._guard:
            if loop not in self._native:
                self._native = {other: client for other, client in self._native.items() if not other.is_closed()}
                self._native[loop] = self._make(AsyncQdrantClient)
            return self._native[loop]

    def _make(self, kind: type[Any]) -> Any:
        try:
            return kind(**self._options)
        except (TypeError, ValueError) as error:
            raise InputError(f"{kind.__name__} refused the client options: {error}") from error

    def close(self) -> None:
        with self._guard:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        self.close()
        with self._guard:
            native = self._native.pop(asyncio.get_running_loop(), None)
        if native is not None:
            await native.close()


class Connection:
    """A server, or local mode, as flows see it.

    Parameters
    ----------
    clients : Clients
    retry : RetrySettings
    """

    def __init__(self, clients: Clients, retry: RetrySettings) -> None:
        self._clients, self._retry = clients, retry
        self.location, self.local = clients.location, clients.local

    def ask(self, call: Call, collection: str, *, again: bool = True) -> Flow[Any]:
        """The answer to ``call``, sent again while the server is unavailable.

        Parameters
        ----------
        call : callable
            Takes a client of either kind.
        collection : str
            For messages.
        again : bool
            False for requests that must not be repeated: one that timed out may have been done.

        Raises
        ------
        UnavailableError, CollectionNotFoundError, CollectionExistsError, StoreError
        """
        return step(lambda: self._ask(call, collection, again), lambda: self._aask(call, collection, again))

    def close(self) -> Flow[None]:
        """Close the clients that were made here."""
        return step(self._clients.close, self._clients.aclose)

    def _ask(self, call: Call, collection: str, again: bool) -> Any:
        client = self._clients.sync()
        try:
            if self.local:  # nothing there can pass by itself
                return call(client)
            return self._retry.controller(tenacity.Retrying, again=again)(call, client)
        except Exception as error:
            told = translate(error, collection, self.location)
            if told is None:
                raise
            raise told from error

    async def _aask(self, call: Call, collection: str, again: bool) -> Any:
        native = self._clients.native()
        client = None if native is not None else self._clients.sync()

        async def once() -> Any:
            if native is not None:
                return await call(native)
            # Local mode is not safe to use from two threads, and has nothing to wait for.
            return call(client) if self.local else await asyncio.to_thread(call, client)

        try:
            if self.local:
                return await once()
            return await self._retry.controller(tenacity.AsyncRetrying, again=again)(once)
        except Exception as error:
            told = translate(error, collection, self.location)
            if told is None:
                raise
            raise told from error


def without_credentials(url: str) -> str:
    """``url`` as it may be shown: no user, password, query or fragment.

    Examples
    --------
    >>> without_credentials("https://me:secret@db.example:6333/qdrant?key=1")
    'https://db.example:6333/qdrant'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _is_local(client: Any) -> bool:
    options = getattr(client, "init_options", {})
    return options.get("location") == ":memory:" or options.get("path") is not None


def _location(client: Any) -> str:
    options = getattr(client, "init_options", {})
    if _is_local(client):
        return "qdrant-client's local mode"
    url = options.get("url") or options.get("location")
    if url is None:
        scheme = "https" if options.get("https") or options.get("api_key") else "http"
        url = f"{scheme}://{options.get('host') or 'localhost'}:{options.get('port') or 6333}"
    return without_credentials(str(url))
