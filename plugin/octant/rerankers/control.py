"""The control that every reranker has to beat."""

from __future__ import annotations

from octant.flow import Flow
from octant.records import Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.run import Run


class FirstStage(Reranker):
    """Changes nothing: order and scores are those of the search. For tables that list it beside the others.

    Examples
    --------
    >>> from octant import Candidate, Ranking, reranker
    >>> found = Ranking((Candidate("a", 0.9, "Apples."), Candidate("b", 0.5, "Bees.")))
    >>> done = reranker("first_stage").rerank("fruit", found, k=1)
    >>> done.ids, done.scores, done.score_kind
    (('a',), (0.9,), 'first stage')
    """

    name = "first_stage"
    needs_text = False

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        del query, run
        yield from ()
        return Order.unchanged(len(ranking))
