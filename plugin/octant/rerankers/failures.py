"""Failures of language models: which ones pass, how long to wait, and how to tell of them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSING_STATUS = frozenset({400, 404, 422, 501})
_PASSING_NAMES = ("ratelimit", "timeout", "connection", "unavailable", "overloaded", "internalserver", "throttl")
_LONGEST_WAIT_S = 60.0


def passes(error: BaseException) -> bool:
    """Whether asking again may help: time-outs, broken connections, rate limits and servers in trouble.

    Providers share no exception classes, so status codes and names of classes decide.
    """
    status = _status(error)
    if status is not None:
        return status in _PASSING_STATUS
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    names = [cls.__name__.lower() for cls in type(error).__mro__]
    return any(part in name for part in _PASSING_NAMES for name in names)


def refuses(error: BaseException) -> bool:
    """Whether the provider may have refused how it was asked, rather than who asked or when."""
    status = _status(error)
    return status in _REFUSING_STATUS if status is not None else not passes(error)


def wait_s(error: BaseException, attempt: int, backoff: float) -> float:
    """Seconds to wait before attempt ``attempt + 1``: what the provider asks for, or doubling with jitter."""
    asked = _retry_after(error)
    if asked is not None:
        return asked
    return min(_LONGEST_WAIT_S, backoff * 2.0 ** min(attempt, 32)) * random.uniform(0.5, 1.0)


def _status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "http_status", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if isinstance(headers, Mapping) else None
    try:
        seconds = float(value)  # type: ignore[arg-type]  # None is refused like any other non-number
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
