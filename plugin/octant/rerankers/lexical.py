"""The scores of the search and the words in common, in closed form: the control of what is learned."""

from __future__ import annotations

import numpy as np

from octant.flow import Flow, step
from octant.records import FloatArray, Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import finite
from octant.rerankers.words import WordCounts, overlap


class Lexical(Reranker):
    """Adds the words that query and passage share to the scores of the search.

    Both are standardised over the candidates; words weigh as in BM25 over these candidates. Nothing is learned and no
    model is asked. What it brings depends on the data: it can also lose, so measure it on yours.

    Parameters
    ----------
    weight : float
        Of the words, where the search weighs 1; 0 leaves the order as it is.

    Examples
    --------
    >>> from octant import Candidate, Ranking, reranker
    >>> found = Ranking((Candidate("a", 0.9, "Apples are red."), Candidate("b", 0.8, "Bees make honey.")))
    >>> reranker("lexical(3)").rerank("who makes honey", found).ids
    ('b', 'a')
    """

    name = "lexical"

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = finite("weight", weight, least=0.0)
        self._words = WordCounts()

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        del run
        scores = yield from step(lambda: self._scores(query, ranking))
        return Order.by_score(scores.tolist(), "grade")

    def _scores(self, query: str, ranking: Ranking) -> FloatArray:
        shared = overlap(query, self._words.of([candidate.text for candidate in ranking])).bm25
        return standardised(np.array(ranking.scores, np.float32)) + self.weight * standardised(shared)


def standardised(scores: FloatArray) -> FloatArray:
    """``scores`` (n,) less their mean, over their standard deviation; zeros where they are all alike.

    Scores that are not finite count as the lowest that is.
    """
    known = np.isfinite(scores)
    if not known.all():
        lowest = scores[known].min() if known.any() else 0.0
        scores = np.where(known, scores, lowest).astype(np.float32)
    spread = float(scores.std())
    centred = scores - scores.mean()
    return centred / spread if spread > 1e-9 else np.zeros_like(scores)
