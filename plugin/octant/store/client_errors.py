"""From what qdrant-client raises to Octant's errors. The server's words are quoted, never interpreted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import grpc  # type: ignore[import-untyped]
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from octant.errors import (
    AccessDeniedError,
    CollectionExistsError,
    CollectionNotFoundError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)

LONGEST_QUOTE = 500
"""Characters of a server's message that are repeated in ours."""

_Kind = Literal["unavailable", "busy", "missing", "exists", "denied", "limited", "refused", "foreign"]

_GRPC_UNAVAILABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED"})
_GRPC_DENIED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})

# How a server ends what strict mode makes it say.
_LIMITED = re.compile(r"\. Help: \w", re.DOTALL)
# The server's sentence and local mode's.
_MISSING = re.compile(r"(not found: )?collection .+ (not found|doesn't exist)\W*", re.IGNORECASE | re.DOTALL)
_EXISTS = re.compile(r"(wrong input: )?(collection|alias) .+ already exists\W*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Failure:
    """What went wrong, free of how it was transported.

    Attributes
    ----------
    kind : str
        ``unavailable`` and ``busy`` may pass by themselves; the others will not.
    text : str
        The server's or the transport's own words.
    """

    kind: _Kind
    text: str


def failure(error: BaseException) -> Failure | None:
    """What ``error`` says about the server; None for an error that qdrant-client did not raise."""
    if isinstance(error, UnexpectedResponse):
        return _http_failure(error.status_code or 0, _server_text(error))
    if isinstance(error, ResourceExhaustedResponse):
        return Failure("busy", f"{error}, retry after {error.retry_after_s} s")
    if isinstance(error, ResponseHandlingException):
        return _transport_failure(error.source)
    if isinstance(error, grpc.RpcError):
        return _grpc_failure(error)
    if isinstance(error, json.JSONDecodeError):
        return Failure("foreign", f"the answer is not JSON ({error})")
    if isinstance(error, ValueError | RuntimeError | NotImplementedError):
        # Local mode's way of refusing, and qdrant-client's own checks before it sends anything.
        return _by_words(str(error))
    return None


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: no connection, a timeout, 429 or 5xx."""
    found = failure(error)
    return found is not None and found.kind in ("unavailable", "busy")


def retry_after(error: BaseException | None) -> float:
    """Seconds the server asked to be left alone; 0 where it did not ask."""
    return float(error.retry_after_s) if isinstance(error, ResourceExhaustedResponse) else 0.0


def translate(error: Exception, collection: str, location: str) -> StoreError | None:
    """Octant's error for ``error``; None for one that qdrant-client did not raise.

    Parameters
    ----------
    error : Exception
    collection : str
        Name of the collection that was asked for.
    location : str
        URL, or words for local mode.
    """
    found = failure(error)
    if found is None:
        return None
    where, text = f"collection {collection!r} at {location}", _quote(found.text)
    if found.kind == "unavailable":
        return UnavailableError(
            f"{location} is unavailable: {text}. Check that Qdrant runs there and can be reached, then try again"
        )
    if found.kind == "busy":
        return UnavailableError(f"{location} is over its limit: {text}. Send less at a time, or try again later")
    if found.kind == "missing":
        return CollectionNotFoundError(f"no {where}: check name and location, or create it (the server says: {text})")
    if found.kind == "exists":
        return CollectionExistsError(f"there is already a {where}: open it, or create with overwrite=True")
    if found.kind == "denied":
        return AccessDeniedError(
            f"{location} refused the credentials: {text}. Check api_key and what it may do; reading and writing, and "
            "changing collections, are allowed one by one"
        )
    if found.kind == "limited":
        return UnsupportedError(
            f"{where} is in strict mode, which does not allow the request: {text}. Do what its help says, or relax "
            "that limit: update_collection(strict_mode_config=…)"
        )
    if found.kind == "foreign":
        return StoreError(f"{location} does not answer as Qdrant does: {text}. Check URL and port")
    return StoreError(f"{where} refused the request: {text}")


def _http_failure(status: int, text: str) -> Failure:
    said = f"HTTP {status}: {text}"
    if status == 429:
        return Failure("busy", said)
    if status >= 500:
        return Failure("unavailable", said)
    if _LIMITED.search(text):
        return Failure("limited", said)
    if status in (401, 403):
        return Failure("denied", said)
    if status == 413:
        return Failure("refused", f"{said} (lower batch_size)")
    return _by_words(text, said, missing_counts=status == 404)


def _transport_failure(source: object) -> Failure:
    text = f"{type(source).__name__}: {source}"
    if isinstance(source, httpx.TransportError):
        return Failure("unavailable", text)
    return Failure("foreign" if isinstance(source, ValidationError) else "refused", text)


def _grpc_failure(error: Any) -> Failure:
    # Sync errors are also calls; asyncio's are not, but both know code and details.
    name = error.code().name
    text = f"{name}: {error.details()}"
    if name == "RESOURCE_EXHAUSTED":
        return Failure("busy", text)
    if name in _GRPC_UNAVAILABLE:
        return Failure("unavailable", text)
    if _LIMITED.search(str(error.details())):
        return Failure("limited", text)
    if name in _GRPC_DENIED:
        return Failure("denied", text)
    return _by_words(str(error.details()), text, missing_counts=name == "NOT_FOUND")


def _by_words(text: str, said: str | None = None, *, missing_counts: bool = True) -> Failure:
    # A 404 without Qdrant's words for it is another server, or a path this Qdrant does not have.
    if missing_counts and _MISSING.fullmatch(text):
        return Failure("missing", said or text)
    if _EXISTS.fullmatch(text):
        return Failure("exists", said or text)
    return Failure("refused", said or text)


def _server_text(error: UnexpectedResponse) -> str:
    body = error.content.decode("utf-8", errors="replace")
    try:
        message = json.loads(body)["status"]["error"]
    except (ValueError, TypeError, KeyError):
        message = body
    return str(message or error.reason_phrase)


def _quote(text: str) -> str:
    printable = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return printable if len(printable) <= LONGEST_QUOTE else f"{printable[:LONGEST_QUOTE]}…"
