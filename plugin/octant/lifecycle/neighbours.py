"""The exact neighbours of a few vectors among all that pass by, and how many of them a search found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from octant.records import Distance, FloatArray
from octant.vectors import similarity

K = 10
"""Depth at which recall is measured."""
_SPARE = 4
"""How many times ``k`` candidates are kept, so that those as near as the k-th are known too."""


class Neighbours:
    """The nearest points of every query, itself left out, in memory that does not depend on how many pass by.

    Parameters
    ----------
    queries : (m, dim) float32
        Unit rows under cosine.
    ids : sequence of m int or str
        Points that the queries are, or that are never among the answers.
    k : int
    distance : Distance
    """

    def __init__(self, queries: FloatArray, ids: Sequence[int | str], k: int, distance: Distance) -> None:
        self.queries, self.ids, self.k = queries, tuple(ids), k
        self._distance = distance
        self._own = {point: row for row, point in enumerate(self.ids)}
        self._scores = np.full((len(queries), _SPARE * k), -np.inf, np.float32)
        self._found: NDArray[np.object_] = np.full(self._scores.shape, None, object)

    def anew(self) -> Neighbours:
        """The same queries, before anything has passed by."""
        return Neighbours(self.queries, self.ids, self.k, self._distance)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[int | str], x: FloatArray) -> None:
        """Let points pass by: ``x`` (n, dim), unit rows under cosine."""
        if not len(self) or not len(ids):
            return
        scores = np.array(similarity(self.queries, x, self._distance), np.float32)
        for column, point in enumerate(ids):
            if point in self._own:
                scores[self._own[point], column] = -np.inf
        width = self._scores.shape[1]
        both = np.concatenate([self._scores, scores], axis=1)
        best = np.argpartition(-both, width - 1, axis=1)[:, :width]
        passing = np.empty(len(ids), object)
        passing[:] = ids
        kept = np.take_along_axis(self._found, np.minimum(best, width - 1), axis=1)
        self._found = np.where(best < width, kept, passing[np.maximum(best - width, 0)])
        self._scores = np.take_along_axis(both, best, axis=1)

    def recall(self, found: Sequence[Sequence[int | str]]) -> NDArray[np.float64]:
        """Share (m,) of the ``k`` nearest points that are among the first ``k`` found.

        A point as near as the k-th nearest counts too, to float32 rounding.
        """
        return np.array([self._share(row, ids) for row, ids in enumerate(found)], np.float64)

    def _share(self, row: int, found: Sequence[int | str]) -> float:
        ranked = np.sort(self._scores[row])[::-1]
        k = min(self.k, int(np.isfinite(ranked).sum()))
        if not k:
            return 1.0
        threshold = float(ranked[k - 1])
        near = self._scores[row] >= threshold - 1e-6 * max(1.0, abs(threshold))
        others = [point for point in found if point != self.ids[row]][:k]
        return len(set(others) & set(self._found[row][near])) / k
