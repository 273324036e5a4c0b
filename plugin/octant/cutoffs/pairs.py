"""Queries and their candidates as arrays: scores, and which are relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs.maps import Real
from octant.errors import InputError
from octant.judged import JudgedRankings
from octant.records import FloatArray
from octant.vectors import as_matrix

LEAST_QUERIES = 20
"""Fewest judged queries that a cutoff can be trained on."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """What a cutoff learns from and is measured on.

    Attributes
    ----------
    vectors : (m, dim) float32
        Of the queries.
    scores : (m, n) float64
        Best first; NaN behind the last candidate of a query.
    relevant : (m, n) bool
        False behind the last candidate.
    groups : (m,) int
        Queries of one group stay together when the queries are divided.
    """

    vectors: FloatArray
    scores: Real
    relevant: NDArray[np.bool_]
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, judged: JudgedRankings, relevant: float) -> Pairs:
        """The pairs of ``judged``; queries that found nothing are left out.

        Parameters
        ----------
        judged : JudgedRankings
            With the queries' vectors.
        relevant : float
            Lowest gain that counts as relevant.

        Raises
        ------
        InputError
            If a query has no vector, there are fewer than ``LEAST_QUERIES`` queries, or all pairs are alike.
        """
        kept = [one for one in judged if len(one.ranking)]
        vectors = [one.vector for one in kept if one.vector is not None]
        if len(vectors) < len(kept):
            raise InputError("a cutoff reads the queries' vectors: gather the judged rankings with them")
        if len(kept) < LEAST_QUERIES:
            raise InputError(
                f"expected at least {LEAST_QUERIES} judged queries with candidates to train a cutoff on, got "
                f"{len(kept)}: judge more queries, or give a score_threshold of your own"
            )
        width = max(len(one.ranking) for one in kept)
        scores = np.full((len(kept), width), np.nan)
        found = np.zeros((len(kept), width), np.bool_)
        for row, one in enumerate(kept):
            order = np.argsort(-np.asarray(one.ranking.scores, np.float64), kind="stable")
            scores[row, : len(order)] = np.asarray(one.ranking.scores, np.float64)[order]
            found[row, : len(order)] = one.found_gains[order] >= relevant
        names = [one.group or f"{row}" for row, one in enumerate(kept)]
        groups = np.unique(names, return_inverse=True)[1]
        pairs = cls(as_matrix(np.stack(vectors), what="query vectors"), scores, found, groups)
        if not found.any() or found.sum() == pairs.there.sum():
            raise InputError(
                f"expected relevant and other candidates to tell apart, got {int(found.sum())} relevant ones of "
                f"{int(pairs.there.sum())}: do the judgements belong to this collection, and is relevant={relevant:g} "
                "a grade that they use?"
            )
        return pairs

    @property
    def there(self) -> NDArray[np.bool_]:
        """Where (m, n) there is a candidate."""
        return ~np.isnan(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.intp]) -> Pairs:
        """The queries in ``rows``."""
        return Pairs(self.vectors[rows], self.scores[rows], self.relevant[rows], self.groups[rows])

    def tops(self, count: int) -> Real:
        """The best ``count`` scores (m, count) of each query; NaN where there are fewer."""
        tops = self.scores[:, :count]
        return np.pad(tops, ((0, 0), (0, count - tops.shape[1])), constant_values=np.nan)

    def folds(self, count: int, seed: int) -> NDArray[np.int64]:
        """A fold (m,) for each query, from 0 to ``count`` - 1: groups stay together, folds are about equally large."""
        sizes = np.bincount(self.groups)
        order = np.random.default_rng(seed).permutation(len(sizes))
        order = order[np.argsort(-sizes[order], kind="stable")]  # the largest first, each to the emptiest fold
        filled = np.zeros(count, np.int64)
        of_group = np.zeros(len(sizes), np.int64)
        for group in order:
            of_group[group] = int(np.argmin(filled))
            filled[of_group[group]] += sizes[group]
        return np.asarray(of_group[self.groups])
