"""The caller's ids and Qdrant's.

Qdrant knows unsigned 64-bit integers and UUIDs. Octant accepts any non-empty string beside them: it becomes a
UUID derived from the string, and the string itself is kept in the payload so that it comes back unchanged.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from octant.errors import DuplicateIdError, InputError
from octant.records import PointId

ID_KEY = "_octant_id"
"""Payload key of an id that Qdrant cannot hold itself."""

_NAMESPACE = uuid.UUID("6a1f0c53-6d7e-5b0c-9c5e-0c7a47d1b0a7")
_LARGEST = 2**64 - 1
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID as Qdrant returns it; recognised several times as fast as by parsing it."""


@dataclass(frozen=True)
class IdCodec:
    """Translates ids both ways.

    Attributes
    ----------
    digits_are_integers : bool
        True for collections that others made: there "7" can only mean the integer 7. In Octant's own
        collections "7" and 7 are different ids.
    """

    digits_are_integers: bool = False

    def to_qdrant(self, point: object) -> int | str:
        """Qdrant's id for the caller's.

        Raises
        ------
        InputError
            If it is not a non-negative integer below 2**64, a UUID, or a non-empty string.

        Examples
        --------
        >>> IdCodec().to_qdrant(7)
        7
        >>> IdCodec().to_qdrant("chapter one")
        '035d0b03-a161-51b9-9b1c-e680a78f5215'
        """
        if isinstance(point, uuid.UUID):
            return str(point)
        if isinstance(point, str) and point:
            return self._from_text(point)
        if isinstance(point, int) and not isinstance(point, bool) and 0 <= point <= _LARGEST:
            return int(point)
        raise InputError(
            f"an id is a non-negative integer below 2**64, a UUID or a non-empty string; got {point!r} "
            f"of type {type(point).__name__}"
        )

    def _from_text(self, text: str) -> int | str:
        if self.digits_are_integers and text.isascii() and text.isdigit() and int(text) <= _LARGEST:
            return int(text)
        if _UUID.fullmatch(text):
            return text
        if _is_uuid(text):
            return str(uuid.UUID(text))
        return str(uuid.uuid5(_NAMESPACE, text))

    @staticmethod
    def payload_entry(point: PointId, stored: int | str) -> dict[str, str]:
        """What the payload must hold so that ``from_qdrant`` gives ``point`` back for its ``stored`` id."""
        return {ID_KEY: point} if isinstance(point, str) and str(stored) != point else {}

    @staticmethod
    def from_qdrant(point: int | str, payload: dict[str, Any]) -> PointId:
        """The caller's id for Qdrant's; the entry that kept it is taken out of ``payload``."""
        kept = payload.pop(ID_KEY, None)
        return kept if isinstance(kept, str) else point

    def columns(self, points: Sequence[object] | None, count: int) -> tuple[list[PointId], list[int | str]]:
        """The caller's and Qdrant's id for each of ``count`` points; fresh UUIDs where none are given.

        Raises
        ------
        InputError
            If the number differs, or an id is not one.
        DuplicateIdError
            If two of them name the same point.
        """
        if points is None:
            fresh = [str(uuid.uuid4()) for _ in range(count)]
            return list(fresh), list(fresh)
        if len(points) != count:
            raise InputError(f"expected one id per point, {count} in all, got {len(points)}")
        seen: dict[int | str, object] = {}
        for point in points:
            key = self.to_qdrant(point)
            if key in seen:
                raise DuplicateIdError(
                    f"ids must be unique within one call; {point!r} names the same point as {seen[key]!r}"
                )
            seen[key] = point
        given: list[Any] = [str(point) if isinstance(point, uuid.UUID) else point for point in points]
        return given, list(seen)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
