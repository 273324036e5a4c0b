"""Payloads as callers give them, checked before anything is written, and as Qdrant keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import TypeAlias
from uuid import UUID

import numpy as np

from octant.errors import InputError
from octant.ids import ID_KEY, IdCodec
from octant.records import JSON, PointId

_LARGEST = 2**63


def complete(
    given: Iterable[Mapping[str, JSON] | None] | None,
    *,
    texts: Sequence[str] | None,
    text_key: str,
    points: Sequence[PointId],
    stored: Sequence[int | str],
) -> list[dict[str, JSON]]:
    """One payload per point: the caller's, with the text, and with the id where Qdrant cannot hold it.

    Dates become ISO 8601 text, UUIDs text, and numpy scalars plain numbers.

    Parameters
    ----------
    given : iterable of mapping or None, optional
        Left as they are; copies are returned.
    texts : sequence of str, optional
    text_key : str
    points, stored : sequences
        The caller's ids, and Qdrant's for them.

    Raises
    ------
    InputError
        If their number differs, a key is Octant's own, or a value is not JSON.
    """
    listed: Sequence[Mapping[str, JSON] | None] = [None] * len(points) if given is None else list(given)
    if len(listed) != len(points):
        raise InputError(f"expected one payload per point, {len(points)} in all, got {len(listed)}")
    reserved = {ID_KEY} if texts is None else {ID_KEY, text_key}
    finished = []
    for row, payload in enumerate(listed):
        own = _own(payload, row, reserved)
        if texts is not None:
            own[text_key] = texts[row]
        own.update(IdCodec.payload_entry(points[row], stored[row]))
        finished.append(own)
    return finished


def _own(payload: Mapping[str, JSON] | None, row: int, reserved: set[str]) -> dict[str, JSON]:
    if payload is None:
        return {}
    if not isinstance(payload, Mapping):
        raise InputError(f"a payload is a mapping; row {row} is {type(payload).__name__}")
    taken = sorted(reserved & set(payload))
    if taken:
        raise InputError(f"payload keys {taken} are Octant's own (row {row}): rename them, or create with text_key=")
    return _mapping(payload, (row,))


Path: TypeAlias = "tuple[object, ...]"
"""Row, keys and positions down to a value; put into words only for an error."""


def _mapping(mapping: Mapping[str, JSON], path: Path) -> dict[str, JSON]:
    plain = {}
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise InputError(f"{_place(path)}: keys must be strings, got {key!r}")
        plain[key] = value if type(value) is str else _json(value, (*path, key))
    return plain


def _json(value: JSON, path: Path) -> JSON:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -_LARGEST <= value < 2 * _LARGEST:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, dict):
        return _mapping(value, path)
    if isinstance(value, list | tuple):
        return [_json(inner, (*path, position)) for position, inner in enumerate(value)]
    if isinstance(value, np.generic):
        return _json(value.item(), path)
    if isinstance(value, date):  # and datetime: the form that Qdrant's datetime filters read
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return _mapping(value, path)
    raise InputError(
        f"{_place(path)}: {value!r} of type {type(value).__name__} is not a JSON value: convert it to text, a finite "
        "number of at most 64 bits, a list or a mapping"
    )


def _place(path: Path) -> str:
    row, *inner = path
    if not inner:
        return f"payload {row}"
    deeper = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in inner[1:])
    return f"payload {row}, key {inner[0]!r}{deeper}"
