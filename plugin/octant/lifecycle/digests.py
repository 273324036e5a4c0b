"""What a stretch of a collection held when it was read, in a few bytes, so that a later reading can tell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from octant.records import JSON, SparseVector

Stored: TypeAlias = "NDArray[np.float32] | SparseVector"
"""A vector as an engine returns it: dense (width,), a multivector (rows, width), or sparse."""

_BYTES = 16


def order_of(point: int | str) -> tuple[int, int]:
    """What Qdrant sorts ids by: integers first, then UUIDs, each by value.

    Examples
    --------
    >>> order_of(7) < order_of(2**64 - 1) < order_of("00000000-0000-0000-0000-000000000001")
    True
    """
    return (0, point) if isinstance(point, int) else (1, UUID(point).int)


def point_digest(point: int | str, payload: Mapping[str, JSON], vectors: Mapping[str, Stored]) -> bytes:
    """16 bytes that change whenever the id, the payload or one of the vectors does."""
    digest = hashlib.blake2b(digest_size=_BYTES)
    digest.update(json.dumps([str(point), payload], sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(vectors):
        for part in (name.encode(), *_parts(vectors[name])):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.digest()


def _parts(vector: Stored) -> Sequence[bytes]:
    if isinstance(vector, SparseVector):
        order = np.argsort(vector.indices, kind="stable")  # an engine may return tokens in any order
        return vector.indices[order].tobytes(), vector.values[order].tobytes()
    return str(vector.shape).encode(), vector.tobytes()


class RunningDigest:
    """The digest of points that come one after the other, in the order of their ids.

    Attributes
    ----------
    count : int
        Points seen.
    """

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.blake2b(digest_size=_BYTES)

    def add(self, digest: bytes) -> None:
        """Go on with a point's :func:`point_digest`."""
        self.count += 1
        self._digest.update(digest)

    @property
    def value(self) -> str:
        """32 hexadecimal digits."""
        return self._digest.hexdigest()


UNKNOWN = -1
"""Points of a stretch that a killed run may have left half copied again."""


@dataclass(frozen=True)
class Stretch:
    """Points between two ids, as they were when they were copied.

    Attributes
    ----------
    last : int, str or None
        Id of the last point; the stretch begins after the last one of the stretch before. None ends nowhere: later
        points belong to it too.
    count : int
        ``UNKNOWN`` while they are copied again.
    digest : str
    """

    last: int | str | None
    count: int
    digest: str

    def reaches(self, point: int | str) -> bool:
        """Whether ``point`` is not past the end."""
        return self.last is None or order_of(point) <= order_of(self.last)

    def to_json(self) -> JSON:
        """The stretch as a JSON list."""
        return [self.last, self.count, self.digest]

    @classmethod
    def from_json(cls, value: JSON) -> Stretch:
        """The stretch that :meth:`to_json` wrote.

        Raises
        ------
        TypeError, ValueError
            If ``value`` is not one.
        """
        last, count, digest = value
        return cls(last, int(count), str(digest))
