"""Rocchio's feedback in closed form: the query moved towards what it found first."""

from __future__ import annotations

import numpy as np

from octant.flow import Flow, step
from octant.records import FloatArray, Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import finite, whole


class Rocchio(Reranker):
    """Scores candidates by their cosine to ``alpha`` query + ``beta`` mean of the first ``feedback`` candidates.

    Pseudo-relevance feedback without a second search (Rocchio 1971; the closed form of the refinement in
    2503.01606). It reads the candidates' vectors, decoded from whatever they are stored as. The control that
    ``refine`` has to beat.

    Parameters
    ----------
    feedback : int
        How many of the best candidates the query moves towards.
    alpha, beta : float
        Weights of the query and of their mean, at least 0 and not both 0.

    Examples
    --------
    >>> from octant import reranker
    >>> reranker("rocchio(5, beta=0.5)", embedding=lambda texts: np.ones((len(texts), 2)))
    rocchio(5, beta=0.5)
    """

    name = "rocchio"
    needs_text = False
    needs_vectors = True
    needs_embedder = True

    def __init__(self, feedback: int = 3, alpha: float = 1.0, beta: float = 0.3) -> None:
        self.feedback = whole("feedback", feedback, least=1)
        self.alpha = finite("alpha", alpha, least=0.0)
        self.beta = finite("beta", beta, least=0.0 if alpha else 1e-9)

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        asked = yield from run.embedder.embed_queries([query])
        scores = yield from step(lambda: self.scores(asked[0], stacked(ranking)))
        return Order.by_score(scores.tolist(), "cosine")

    def scores(self, query: FloatArray, candidates: FloatArray) -> FloatArray:
        """Cosines (n,) of unit ``candidates`` (n, dim), best first, to the moved ``query`` (dim,)."""
        asked = query / max(float(np.linalg.norm(query)), 1e-9)
        moved = self.alpha * asked + self.beta * candidates[: self.feedback].mean(0)
        return cosines(moved, candidates)


def stacked(ranking: Ranking) -> FloatArray:
    """The candidates' vectors (n, dim) float32 as rows of unit length; one that decodes to zeros stays so."""
    vectors = [np.asarray(candidate.vector, np.float32) for candidate in ranking]
    return directions(np.concatenate(vectors).reshape(len(vectors), -1))  # a third of the time that stack takes


def directions(vectors: FloatArray) -> FloatArray:
    """``vectors`` (n, dim) at unit length; rows of zeros stay as they are."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def cosines(query: FloatArray, candidates: FloatArray) -> FloatArray:
    """Cosines (n,) of unit ``candidates`` (n, dim) to a ``query`` (dim,) of any length."""
    found: FloatArray = candidates @ (query / max(float(np.linalg.norm(query)), 1e-9))
    return found.clip(-1.0, 1.0)
