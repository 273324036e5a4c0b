"""Exact rescoring: the cosine that the search only estimated."""

from __future__ import annotations

from octant.errors import InputError
from octant.flow import Flow, step
from octant.records import Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.rocchio import cosines, directions, stacked
from octant.rerankers.run import Run


class Exact(Reranker):
    """Scores candidates by the float cosine of query and passage under the embedding model.

    What a search of compressed vectors lost in their order comes back, at the price of embedding every passage again.

    Parameters
    ----------
    vectors : bool
        Read the candidates' vectors, decoded from whatever they are stored as, instead of embedding the passages:
        nothing is computed but cosines. As exact as the stored codes; for candidates that another search found, or
        whose scores are not cosines.

    Examples
    --------
    >>> from octant import Candidate, Ranking, reranker
    >>> def letters(texts):
    ...     return [[1.0 + text.count("a"), 1.0 + text.count("b")] for text in texts]
    >>> found = Ranking((Candidate(1, 0.5, "banana"), Candidate(2, 0.4, "bubble")))
    >>> reranker("exact", embedding=letters).rerank("bob", found).ids
    (2, 1)
    """

    name = "exact"
    needs_embedder = True

    def __init__(self, vectors: bool = False) -> None:
        if not isinstance(vectors, bool):
            raise InputError(f"vectors must be true or false, got {vectors!r}")
        self.vectors = vectors
        self.needs_text, self.needs_vectors = not vectors, vectors

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        asked = yield from run.embedder.embed_queries([query])
        if self.vectors:
            passages = yield from step(lambda: stacked(ranking))
        else:
            texts = [candidate.text or "" for candidate in ranking]
            passages = directions((yield from run.embedder.embed_documents(texts)))
        return Order.by_score(cosines(asked[0], passages).tolist(), "cosine")
