"""What can be said of each candidate in numbers: scores, gaps, ranks, words in common, and how the candidates lie.

Every feature is a function of the set of candidates, not of the order in which they are listed: listed in another
order, the rows come in that order and are otherwise the same. Ties share their rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from octant.errors import InputError
from octant.records import FloatArray, Ranking
from octant.rerankers.rocchio import cosines, stacked
from octant.rerankers.words import WordCounts, overlap

_SIGNAL = ("standardised", "gap to the best", "gap above", "gap below", "1/rank", "log rank")
_OF_LIST = ("spread", "lead of the best", "log candidates")
TEMPERATURE = 0.05
"""Of the weights by which candidates count in the centre of a ranking, in units of cosine."""


@dataclass(frozen=True)
class FeatureSet:
    """Which features a model reads.

    Attributes
    ----------
    branches : tuple of str
        Branches of a hybrid search whose scores are features too.
    density : bool
        Whether it reads how close candidates lie to each other: they need vectors then.
    projected : int
        How many coordinates of a projection of the vectors are features, 0 for none.
    cosine : bool
        Whether it reads the cosine of each candidate with the query: they need vectors, and so does the query. What a
        search by words knows nothing of; a dense search has ranked by it.
    """

    branches: tuple[str, ...] = ()
    density: bool = False
    projected: int = 0
    cosine: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every column."""
        signals = ("search", "words", *(["cosine"] if self.cosine else []), *self.branches)
        columns = [f"{signal}: {part}" for signal in signals for part in _SIGNAL]
        columns += [f"search: {part}" for part in ("score", *_OF_LIST)]
        columns += ["words: coverage", "words: best coverage", "words: log length"]
        columns += ["cosine: score"] if self.cosine else []
        columns += [f"{branch}: found" for branch in self.branches]
        if self.density:
            columns += ["density: mean cosine", "density: best", "density: centre"]
        for part in ("coordinate", "with centre"):
            columns += [f"vector: {part} {place}" for place in range(self.projected)]
        return tuple(columns)

    @property
    def reads_vectors(self) -> bool:
        """Whether candidates need vectors."""
        return self.density or self.projected > 0 or self.cosine

    def of(
        self,
        query: str,
        ranking: Ranking,
        words: WordCounts,
        projection: FloatArray | None = None,
        asked: FloatArray | None = None,
    ) -> FloatArray:
        """Features (n, len(names)) float32 of the n candidates.

        Parameters
        ----------
        query : str
        ranking : Ranking
        words : WordCounts
        projection : (dim, projected) float32, optional
            Where there are projected coordinates.
        asked : (dim,) float32, optional
            The query's vector, where cosines are read.

        Raises
        ------
        InputError
            If cosines are read and ``asked`` is not there.
        """
        scores = np.array(ranking.scores, np.float32)
        known = np.isfinite(scores)
        if not known.all():  # inf and NaN would spread to every candidate
            scores = np.where(known, scores, scores[known].min() if known.any() else 0).astype(np.float32)
        shared = overlap(query, words.of([candidate.text for candidate in ranking]))
        by_branch = [_branch(ranking, branch) for branch in self.branches]
        vectors = stacked(ranking) if self.reads_vectors else np.zeros((len(scores), 0), np.float32)
        compared = [_cosines(asked, vectors)] if self.cosine else []
        signals = np.stack([scores, shared.bm25, *compared, *[found[0] for found in by_branch]])
        rows, spread, lead = _signals(signals)
        # Where a number says something of the whole list, every candidate gets it.
        columns: list[FloatArray | np.floating | float] = [*rows, scores, spread[0], lead[0], np.log(len(scores))]
        columns += [shared.coverage, shared.coverage.max(), np.log1p(shared.length)]
        columns += compared
        columns += [found[1] for found in by_branch]
        if self.reads_vectors:
            centre = _centre(vectors, scores)
            if self.density:
                columns += _density(vectors, centre, scores)
            if projection is not None and self.projected:
                columns += _projected(vectors, centre, projection)
        x = np.empty((len(columns), len(scores)), np.float32)
        for row, column in zip(x, columns, strict=True):
            row[:] = column
        return np.asarray(x.T)


def _signals(scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of every row of ``scores`` (signals, n): its six columns, spread, and lead of the best, all rows in one go.

    Returns
    -------
    columns : (6 * signals, n) float32
    spread, lead : (signals,) float32
        The standard deviation, and how many of it the best lies above the mean.
    """
    count, n = scores.shape
    # The reductions of numpy's own mean and std, without what those check: they took half of the time here.
    mean = np.add.reduce(scores, axis=1, keepdims=True) / n
    centred = scores - mean
    spread = np.sqrt(np.add.reduce(centred * centred, axis=1, keepdims=True) / n)
    unit = np.maximum(spread, 1e-9)
    ordered = np.sort(scores, axis=1)
    # An equal score is neither above nor below: ties have the same gaps and the same rank.
    left, right = np.empty((2, count, n), np.intp)
    for row, (known, values) in enumerate(zip(ordered, scores, strict=True)):
        left[row], right[row] = known.searchsorted(values, "left"), known.searchsorted(values, "right")
    padded = np.concatenate([ordered[:, :1], ordered, ordered[:, -1:]], axis=1)
    own = np.arange(count)[:, None]
    rank = n - right + 1.0
    out = np.empty((count, len(_SIGNAL), n), np.float32)
    out[:, 0] = centred / unit
    out[:, 1] = (ordered[:, -1:] - scores) / unit
    out[:, 2] = np.minimum((padded[own, right + 1] - scores) / unit, 5.0)
    out[:, 3] = np.minimum((scores - padded[own, left]) / unit, 5.0)
    out[:, 4] = 1.0 / rank
    out[:, 5] = np.log(rank) / np.log(n + 1)
    out[unit[:, 0] <= 1e-9, :4] = 0.0  # all alike, to rounding
    return out.reshape(-1, n), spread[:, 0], ((ordered[:, -1:] - mean) / unit)[:, 0]


def _branch(ranking: Ranking, branch: str) -> tuple[FloatArray, FloatArray]:
    """The scores in a branch, the lowest of them where it did not find a candidate, and whether it did."""
    found = np.array([branch in candidate.branch_scores for candidate in ranking])
    scores = np.array([candidate.branch_scores.get(branch, np.nan) for candidate in ranking], np.float32)
    found &= np.isfinite(scores)
    lowest = scores[found].min() if found.any() else 0.0
    return np.where(found, scores, lowest).astype(np.float32), found.astype(np.float32)


def _cosines(asked: FloatArray | None, vectors: FloatArray) -> FloatArray:
    if asked is None:
        raise InputError("these features compare the candidates with the query's vector, got none")
    return cosines(asked, vectors)


def _centre(vectors: FloatArray, scores: FloatArray) -> FloatArray:
    """The mean of the candidates (dim,), the better ones counting more."""
    weights = np.exp((scores - scores.max()) / max(TEMPERATURE, float(scores.std())))
    mean: FloatArray = (weights / weights.sum()) @ vectors
    return mean


def _density(vectors: FloatArray, centre: FloatArray, scores: FloatArray) -> Sequence[FloatArray]:
    """Cosines to the others on average, to the best by score (all of them where several tie), and to the centre."""
    n = len(vectors)
    total = vectors.sum(0)
    itself = np.einsum("ij,ij->i", vectors, vectors)
    mean = (vectors @ total - itself) / max(n - 1, 1)
    best = vectors[scores == scores.max()].mean(0)
    return mean, vectors @ best, vectors @ centre


def _projected(vectors: FloatArray, centre: FloatArray, projection: FloatArray) -> Sequence[FloatArray]:
    coordinates = vectors @ projection
    return [*(coordinates - coordinates.mean(0)).T, *(coordinates * (centre @ projection)).T]
