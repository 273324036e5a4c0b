"""What a fit looks at: a bounded sample, of vectors that differ."""

from __future__ import annotations

import numpy as np

from octant.errors import VectorValueError
from octant.records import FloatArray


def bounded(x: FloatArray, most: int, rng: np.random.Generator) -> FloatArray:
    """``x`` (n, dim), or ``most`` of its rows without replacement, in their order."""
    return x if len(x) <= most else x[np.sort(rng.choice(len(x), most, replace=False))]


def check_varied(name: str, x: FloatArray) -> None:
    """Refuse vectors (n, dim) that are all equal, or whose squares leave float32.

    Raises
    ------
    VectorValueError
        Saying which of both.
    """
    peak = float(np.abs(x).max())
    if peak > 1e15 or 0 < peak < 1e-15:
        raise VectorValueError(
            f"{name} learns from squared lengths, which leave float32 here (the largest coordinate is {peak:.3g}): "
            "scale the vectors to about unit length"
        )
    if float(x.var(axis=0, dtype=np.float64).sum()) <= 1e-10 * float(np.square(x, dtype=np.float64).sum(axis=1).mean()):
        raise VectorValueError(
            f"{name} learns from how vectors differ, but all {len(x)} are equal: pass a sample of the collection"
        )
