"""What comes and goes: points to write, and points as an engine returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from octant.records import CodeArray, FloatArray, SparseVector


@dataclass(frozen=True, eq=False)
class PointBatch:
    """Points to write, in columns.

    Attributes
    ----------
    ids : sequence of int or str
        Qdrant's ids: non-negative integers or UUID strings.
    vectors : mapping from name to (n, width) float32 or uint8
    payloads : sequence of mapping
    sparse : mapping from name to n SparseVector or None
    multi : mapping from name to n (rows, width) float32 or None
        Multivectors; points differ in their number of rows.
    absent : mapping from name to (n,) bool
        Points that have none of these dense vectors, whatever ``vectors`` holds in their rows. None says so for
        sparse vectors and multivectors.
    """

    ids: Sequence[int | str]
    vectors: Mapping[str, CodeArray]
    payloads: Sequence[Mapping[str, object]]
    sparse: Mapping[str, Sequence[SparseVector | None]] = field(default_factory=dict)
    multi: Mapping[str, Sequence[FloatArray | None]] = field(default_factory=dict)
    absent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> PointBatch:
        """Points ``start`` to ``stop``, without copying vectors."""
        return PointBatch(
            self.ids[start:stop],
            {name: matrix[start:stop] for name, matrix in self.vectors.items()},
            self.payloads[start:stop],
            {name: column[start:stop] for name, column in self.sparse.items()},
            {name: column[start:stop] for name, column in self.multi.items()},
            {name: rows[start:stop] for name, rows in self.absent.items()},
        )

    def take(self, rows: Sequence[int]) -> PointBatch:
        """The points in ``rows``."""
        chosen = np.asarray(rows, np.intp)
        return PointBatch(
            [self.ids[row] for row in rows],
            {name: matrix[chosen] for name, matrix in self.vectors.items()},
            [self.payloads[row] for row in rows],
            {name: [column[row] for row in rows] for name, column in self.sparse.items()},
            {name: [column[row] for row in rows] for name, column in self.multi.items()},
            {name: gone[chosen] for name, gone in self.absent.items()},
        )


@dataclass(frozen=True, eq=False)
class StoredPoint:
    """A point as an engine returns it.

    Attributes
    ----------
    id : int or str
        Qdrant's id: an integer or a UUID string.
    score : float
        Raw; 0 where the point was not searched for.
    payload : mapping
    vectors : mapping from name to (width,) array
    sparse : mapping from name to SparseVector
        Only :meth:`octant.store.base.Store.read` and ``sample`` bring these and ``multi``.
    multi : mapping from name to (rows, width) array
    """

    id: int | str
    score: float
    payload: Mapping[str, object]
    vectors: Mapping[str, FloatArray]
    sparse: Mapping[str, SparseVector] = field(default_factory=dict)
    multi: Mapping[str, FloatArray] = field(default_factory=dict)
