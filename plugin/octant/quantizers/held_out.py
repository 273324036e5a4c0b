"""What a codec that learns by gradient descent keeps from training, to see what was learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.records import FloatArray

HELD_OUT = 4000
"""Most vectors that are kept from training."""
_QUERIES, _K = 500, 10
_LEAST_TO_HOLD_OUT = 250


@dataclass(frozen=True, eq=False)
class Split:
    """Vectors to train on, and vectors to look at: some of them as queries among the others.

    Attributes
    ----------
    seen : (n, dim) float32
    queries : (m, dim) float32
    points : (p, dim) float32
    true : (m, k) int64
        The ``k`` points nearest to each query, by dot product.
    """

    seen: FloatArray
    queries: FloatArray
    points: FloatArray
    true: NDArray[np.int64]

    @classmethod
    def of(cls, x: FloatArray, rng: np.random.Generator) -> Split:
        """A fifth of ``x`` (n, dim), and no more than ``HELD_OUT``, held out; few vectors are both seen and looked at.

        Queries are documents: real queries are for a final report, never for a choice.
        """
        order = rng.permutation(len(x))
        count = min(HELD_OUT, len(x) // 5)
        few = len(x) < _LEAST_TO_HOLD_OUT
        held, seen = (x, x) if few else (x[order[:count]], x[np.sort(order[count:])])
        asked = min(_QUERIES, max(1, len(held) // 4))
        queries, points = held[:asked], held[asked:]
        points = points if len(points) else held
        return cls(seen, queries, points, best(queries @ points.T, min(_K, len(points))))

    def recall(self, scores: FloatArray) -> float:
        """Share of the true neighbours among the best of ``scores`` (m, p)."""
        found = best(scores, self.true.shape[1])
        return float((found[:, :, None] == self.true[:, None, :]).any(axis=2).mean())


def best(scores: FloatArray, k: int) -> NDArray[np.int64]:
    """Indices (m, k) of the largest ``scores`` (m, n) of each row, in no order."""
    if k >= scores.shape[1]:
        return np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    return np.asarray(np.argpartition(-scores, k, axis=1)[:, :k])
