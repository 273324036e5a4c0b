"""What a server answers, in Octant's nouns. Everything it says about itself is read with suspicion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from octant.layout import StoredPoint
from octant.records import FloatArray, SparseVector


def stored(point: Any, names: Sequence[str]) -> StoredPoint:
    """A scored point or a record, with the dense vectors among ``names``."""
    given = point.vector
    vectors = {"": given} if isinstance(given, list) else dict(given or {})
    dense: dict[str, FloatArray] = {
        name: np.asarray(vectors[name], np.float32) for name in names if _is_flat(vectors.get(name))
    }
    identity = point.id if isinstance(point.id, int) else str(point.id)
    return StoredPoint(identity, float(getattr(point, "score", 0.0)), point.payload or {}, dense)


def _is_flat(vector: Any) -> bool:
    return isinstance(vector, list) and not (vector and isinstance(vector[0], list))


def complete(point: Any, names: Sequence[str] | None) -> StoredPoint:
    """A record with vectors of every kind; those among ``names``, or all."""
    given = point.vector
    vectors = {"": given} if isinstance(given, list) else dict(given or {})
    found = {name: value for name, value in vectors.items() if names is None or name in names}
    arrays = {name: np.asarray(value, np.float32) for name, value in found.items() if isinstance(value, list)}
    return StoredPoint(
        id=point.id if isinstance(point.id, int) else str(point.id),
        score=0.0,
        payload=point.payload or {},
        vectors={name: value for name, value in arrays.items() if value.ndim == 1},
        sparse={
            name: SparseVector(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
            for name, value in found.items()
            if isinstance(value, models.SparseVector)
        },
        multi={name: value for name, value in arrays.items() if value.ndim == 2},
    )
