"""EmbQA's refinement of the query by what it found (2503.01606): q' = W_q q + mean of W_c c."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import FloatArray, Ranking
from octant.rerank_report import ScoreKind
from octant.rerankers.network import Adam, batches, copied
from octant.rerankers.rocchio import cosines, stacked
from octant.rerankers.settings import whole
from octant.rerankers.trained import Learned, RerankerPart, TrainedReranker
from octant.rerankers.words import WordCounts, overlap
from octant.work import Work

Labels: TypeAlias = Literal["judged", "lexical"]
TEMPERATURE = 0.07
"""Of the softmax over candidates, as in the paper."""
EPOCHS, PATIENCE, BATCH = 30, 5, 16
RATES = (3e-4, 3e-3)
"""Steps that are tried; the paper's is 1e-4 over more of them."""


class RefinePart(RerankerPart):
    """The two maps."""

    kind = "refine"

    def check(self) -> None:
        """Raise KeyError, TypeError or ValueError where the maps are none."""
        if not self.arrays and self.report.no_change:
            return
        dim = self.arrays["query"].shape[0]
        if any(self.arrays[name].shape != (dim, dim) for name in ("query", "candidate")) or len(self.arrays) != 2:
            raise ValueError("the maps must be square and of one size")
        if not all(np.isfinite(array).all() for array in self.arrays.values()):
            raise ValueError("a weight is not finite")


class Refine(TrainedReranker):
    """Scores candidates by their cosine to a query that was moved by what it found: q' = W_q q + mean of W_c c.

    Two linear maps on the frozen embedding, trained contrastively over the candidates, from the identity and zero:
    untrained it is the cosine. ``rocchio`` is the same in closed form, and the control.

    Parameters
    ----------
    labels : {"judged", "lexical"}
        What counts as relevant in training: what the judgements say, or, without any, the candidates that share most
        words with the query.
    feedback : int
        How many of the best candidates the query is moved by.
    """

    name = "refine"
    needs_text = False
    needs_vectors = True
    needs_embedder = True
    part = RefinePart
    score_kind: ClassVar[ScoreKind] = "cosine"

    def __init__(self, labels: Labels = "judged", feedback: int = 10) -> None:
        if labels not in get_args(Labels):
            raise InputError(f"labels must be 'judged' or 'lexical', got {labels!r}")
        self.labels = labels
        self.feedback = whole("feedback", feedback, least=1)
        self._words = WordCounts()

    # -- learning ------------------------------------------------------------------------------

    def _learn(self, judged: JudgedRankings, seed: int, work: Work) -> Learned | None:
        labelled = replace(judged, queries=tuple(map(self._labelled, judged)))
        known, stopping = labelled.split(0.2, seed=seed + 1)
        examples = [_example(one, self.feedback) for one in known if one.teaches]
        if not examples:
            return None
        drafts = [self._fitted(examples, stopping, rate, seed, work) for rate in RATES]
        best = max(drafts, key=lambda draft: draft[1])[0]
        said = "judged queries" if self.labels == "judged" else "the words that queries and candidates share"
        return Learned({}, best, f"two maps of {best['query'].shape[0]} coordinates, from {said}")

    def _labelled(self, one: Judged) -> Judged:
        if self.labels == "judged":
            return one
        shared = overlap(one.query, self._words.of([candidate.text for candidate in one.ranking])).bm25
        best = np.flatnonzero((shared == shared.max()) & (shared > 0))
        return replace(one, gains={one.ranking[int(place)].id: 1.0 for place in best})

    def _fitted(
        self, examples: list[_Example], stopping: JudgedRankings, rate: float, seed: int, work: Work
    ) -> tuple[dict[str, FloatArray], float]:
        rng = np.random.default_rng(seed)
        dim = len(examples[0].query)
        weights = {"query": np.eye(dim, dtype=np.float32), "candidate": np.zeros((dim, dim), np.float32)}
        adam = Adam(weights, rate, decay=0.1)
        best, quality, waited = copied(weights), self._quality(weights, stopping), 0
        for _ in work.steps(range(EPOCHS), what=f"refine (rate {rate:g})"):
            for batch in batches(len(examples), BATCH, rng):
                adam.step(_gradient(weights, [examples[place] for place in batch]))
            reached = self._quality(weights, stopping)
            waited += 1
            if reached > quality + 1e-5:
                best, quality, waited = copied(weights), reached, 0
            if waited >= PATIENCE:
                break
        return best, quality

    def _quality(self, weights: dict[str, FloatArray], judged: JudgedRankings) -> float:
        values = []
        for one in judged:
            scores = _refined(weights, _unit(one.vector), stacked(one.ranking), self.feedback)
            values.append(ndcg(one, np.argsort(-scores, kind="stable").tolist()))
        return float(np.mean(values))

    # -- serving -------------------------------------------------------------------------------

    def _scores(self, part: RerankerPart, query: str, ranking: Ranking, vector: FloatArray | None) -> FloatArray:
        del query
        return _refined(dict(part.arrays), _unit(vector), stacked(ranking), self.feedback)


@dataclass(frozen=True, eq=False)
class _Example:
    """One query for training: unit vectors of query (dim,), candidates (n, dim), their centre, and gains (n,)."""

    query: FloatArray
    candidates: FloatArray
    centre: FloatArray
    gains: FloatArray


def _example(one: Judged, feedback: int) -> _Example:
    vectors = stacked(one.ranking)
    return _Example(_unit(one.vector), vectors, vectors[:feedback].mean(0), one.found_gains)


def _gradient(weights: dict[str, FloatArray], batch: list[_Example]) -> dict[str, NDArray[np.float32]]:
    """Of the mean cross entropy between gains, as shares, and the softmax of q'c / temperature."""
    total = {name: np.zeros_like(value) for name, value in weights.items()}
    for one in batch:
        moved = weights["query"] @ one.query + weights["candidate"] @ one.centre
        scores = one.candidates @ moved / TEMPERATURE
        exponential = np.exp(scores - scores.max())
        by_moved = (exponential / exponential.sum() - one.gains / one.gains.sum()) @ one.candidates / TEMPERATURE
        total["query"] += np.outer(by_moved, one.query)
        total["candidate"] += np.outer(by_moved, one.centre)
    return {name: np.asarray(value / len(batch), np.float32) for name, value in total.items()}


def _refined(weights: dict[str, FloatArray], query: FloatArray, vectors: FloatArray, feedback: int) -> FloatArray:
    return cosines(weights["query"] @ query + weights["candidate"] @ vectors[:feedback].mean(0), vectors)


def _unit(vector: FloatArray | None) -> FloatArray:
    if vector is None:
        raise InputError("refine reads the vectors of queries, got none")
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
