"""What a constructor accepts; messages open with the argument's name, so that a spec string can point at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from octant.errors import InputError

T = TypeVar("T", int, float, str)


def count(name: str, value: object) -> int:
    """``value`` if it is a whole number of at least 1.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return value


def one_of(name: str, value: object, allowed: Sequence[T]) -> T:
    """The member of ``allowed`` that equals ``value``.

    Raises
    ------
    InputError
        If none does.
    """
    for member in allowed:
        if value == member and not isinstance(value, bool):
            return member
    raise InputError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")
