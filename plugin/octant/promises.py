"""What contract checks are made of. Not ``assert``: ``python -O`` would take it away, and everything would pass."""

from __future__ import annotations

from collections.abc import Callable


def must(kept: object, message: str) -> None:
    """Fail with ``message`` unless ``kept``.

    Raises
    ------
    AssertionError
    """
    if not kept:
        raise AssertionError(message)


def must_raise(error: type[Exception], call: Callable[[], object], message: str) -> None:
    """Fail unless ``call`` raises ``error``.

    Raises
    ------
    AssertionError
    """
    try:
        call()
    except error:
        return
    raise AssertionError(f"{message} with {error.__name__}")
