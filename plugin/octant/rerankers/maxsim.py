"""MaxSim: every token of the query looks for its best match among the tokens of a passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.flow import Flow, step
from octant.records import FloatArray, PointId, Ranking
from octant.rerankers.base import Reranker, part_of
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import Settings, whole
from octant.rerankers.token_memory import TokenMemory


class MaxSim(Reranker):
    """Late interaction over the token vectors of the embedding model that is there already.

    The score is the mean over the query's tokens of the greatest cosine that each has with a token of the passage
    (the sum of ColBERT, 2004.12832, divided by the number of tokens, so that it stays a cosine). Padding and the tokens
    that the model adds to every text do not take part. Embedding models are not trained for it: measure before use.

    Passages are embedded as they come, in batches, and those seen before are read from memory. Long ones are compared
    as far as the model reads them; the report says how many were cut. With ``stored``, Qdrant itself compares the query
    with the token vectors that :meth:`octant.Collection.store_tokens` keeps beside the documents; what it has none of
    is embedded as before.

    Parameters
    ----------
    batch_size : int
        Passages that are embedded in one step; a budget of seconds is looked at between steps.
    memory_mb : int
        Mebibytes of token vectors that are kept for passages which come again; 0 keeps none. A passage of 100 tokens
        in 384 dimensions takes 0.15.
    stored : str
        Name of the multivector in Qdrant; needs ``collection=``. Empty: passages are embedded.
    """

    name: ClassVar[str] = "maxsim"
    needs_embedder = True
    compares: ClassVar[bool] = False

    def __init__(self, batch_size: int = 32, memory_mb: int = 256, stored: str = "") -> None:
        if not isinstance(stored, str):
            raise InputError(f"stored must be the name of a multivector, got {stored!r}")
        self.stored = stored
        self.batch_size = whole("batch_size", batch_size, least=1)
        self.memory_mb = whole("memory_mb", memory_mb, least=0)
        self._memory = TokenMemory(memory_mb << 20)

    def _lacks(self, settings: Settings) -> str | None:
        if self.stored and settings.collection is None:
            return "compares vectors that the collection keeps: pass collection="
        return super()._lacks(settings)

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        known: Mapping[PointId, float] = {}
        if self.stored:
            known = yield from self._stored_scores(query, ranking, run)
        rest = [place for place, candidate in enumerate(ranking) if candidate.id not in known]
        if self.stored and rest:
            run.remark(f"{len(rest)} of {len(ranking)} passages have no token vectors {self.stored!r}: embedded")
        scores: list[float | None] = [known.get(candidate.id) for candidate in ranking]
        if rest:
            made = yield from self._embedded_scores(query, part_of(ranking, rest), run)
            for place, score in zip(rest, made, strict=False):
                scores[place] = score
        if all(score is None for score in scores):
            return Order.unchanged(len(ranking))
        return Order.by_score(scores, "cosine")

    def _stored_scores(self, query: str, ranking: Ranking, run: Run) -> Flow[Mapping[PointId, float]]:
        collection, ids = run.collection, ranking.ids
        found = yield from step(
            lambda: collection.token_scores(query, ids, name=self.stored),
            lambda: collection.atoken_scores(query, ids, name=self.stored),
        )
        run.measure("passages scored in Qdrant", len(found))
        return found

    def _embedded_scores(self, query: str, ranking: Ranking, run: Run) -> Flow[list[float]]:
        """Scores of the candidates from the front, as far as the budgets go."""
        (asked,) = yield from run.embedder.embed_query_tokens([query])
        scores: list[float] = []
        embedded = 0
        for start in range(0, len(ranking), self.batch_size):
            if run.ended:
                break
            texts = [candidate.text or "" for candidate in ranking[start : start + self.batch_size]]
            passages, fresh = yield from self._vectors(texts, run)
            found = yield from step(lambda passages=passages: maxsim(asked, passages))  # type: ignore[misc]
            scores += found.tolist()
            embedded += fresh
            if not self.stored:
                run.keep(Order.by_score(scores, "cosine"))
        run.measure("query tokens", len(asked))
        run.measure("passages embedded", embedded)
        yield from self._tell_cut([candidate.text or "" for candidate in ranking[: len(scores)]], run)
        return scores

    def _vectors(self, texts: Sequence[str], run: Run) -> Flow[tuple[list[FloatArray], int]]:
        """Token vectors of each text, and how many texts had to be embedded for them."""
        model = run.embedder.name
        known = self._memory.find(model, texts)
        missing = list(dict.fromkeys(text for text, vectors in zip(texts, known, strict=True) if vectors is None))
        fresh: dict[str, FloatArray] = {}
        if missing:
            made = yield from run.embedder.embed_document_tokens(missing)
            fresh = dict(zip(missing, made, strict=True))
            for text, vectors in fresh.items():
                self._memory.keep(model, text, vectors)
        pairs = zip(texts, known, strict=True)
        return [fresh[text] if vectors is None else vectors for text, vectors in pairs], len(missing)

    def _tell_cut(self, texts: Sequence[str], run: Run) -> Flow[None]:
        tokens = yield from run.embedder.tokens()
        if tokens is None or tokens.room is None:
            return
        room, count = tokens.room, tokens.count
        # No token is shorter than one character, so most texts need no counting.
        long = [text for text in texts if len(text) > room]
        cut = yield from step(lambda: sum(count(text) > room for text in long))
        if cut:
            run.remark(f"{cut} of {len(texts)} passages were longer than the {room} tokens that the model reads")


def maxsim(query: FloatArray, passages: Sequence[FloatArray]) -> NDArray[np.float64]:
    """Mean over the query's tokens of the greatest cosine with a token of each passage.

    Parameters
    ----------
    query : (q, dim) float32
        Unit vectors of its tokens, at least one.
    passages : sequence of n arrays (tokens, dim) float32
        The same of each passage.

    Returns
    -------
    (n,) float64
        In [-1, 1]; higher is better.

    Examples
    --------
    >>> across, along = np.eye(2, dtype=np.float32)
    >>> maxsim(np.stack([across, along]), [along[None], np.stack([along, across])])
    array([0.5, 1. ])
    """
    starts = np.cumsum([0, *(len(passage) for passage in passages)])[:-1]
    cosines = query @ np.concatenate(passages).T
    best = np.maximum.reduceat(cosines, starts, axis=1)
    return np.asarray(np.clip(best.astype(np.float64).mean(axis=0), -1.0, 1.0))
