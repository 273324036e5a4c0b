"""LangChain's searches over an :class:`octant.Collection`: by text and vector, scored, relevant and diverse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from typing_extensions import override

from octant import Candidate, Collection, Fusion, Ranking, diversify
from octant_langchain.convert import SearchOptions, document, flipped, known_ids, relevance
from octant_langchain.settings import RetrievalMode, read

Scored = list[tuple[Document, float]]
Query = str | Sequence[float]


class CollectionSearches(VectorStore):
    """The half of a vector store that reads.

    Attributes
    ----------
    collection : octant.Collection
    retrieval_mode : RetrievalMode
        What searches for a text compare.
    metadata_payload_key : str or None
        Payload key of the metadata; None where the payload itself is the metadata.
    """

    collection: Collection
    retrieval_mode: RetrievalMode
    metadata_payload_key: str | None

    @override
    def get_by_ids(self, ids: Iterable[str | int], /) -> list[Document]:
        """The documents behind ``ids``; unknown ones are left out."""
        found = self.collection.get(known_ids(ids))
        return [document(candidate, self.metadata_payload_key) for candidate in _once(found)]

    @override
    async def aget_by_ids(self, ids: Iterable[str | int], /) -> list[Document]:
        """Awaited twin of :meth:`get_by_ids`."""
        found = await self.collection.aget(known_ids(ids))
        return [document(candidate, self.metadata_payload_key) for candidate in _once(found)]

    @override
    def similarity_search(self, query: str, k: int = 4, filter: object | None = None, **options: Any) -> list[Document]:
        """The ``k`` documents nearest to ``query``, best first."""
        return _documents(self.similarity_search_with_score(query, k, filter, **options))

    @override
    async def asimilarity_search(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`similarity_search`."""
        return _documents(await self.asimilarity_search_with_score(query, k, filter, **options))

    @override
    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """The ``k`` nearest documents and their scores, best first."""
        mode = self.retrieval_mode
        return self._scored(self.collection.search(query, **self._request(k, filter, options, mode)), mode)

    @override
    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`similarity_search_with_score`."""
        mode = self.retrieval_mode
        return self._scored(await self.collection.asearch(query, **self._request(k, filter, options, mode)), mode)

    @override
    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """The ``k`` documents nearest to a vector, best first; always by dense vectors."""
        return _documents(self.similarity_search_with_score_by_vector(embedding, k, filter, **options))

    @override
    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`similarity_search_by_vector`."""
        return _documents(await self.asimilarity_search_with_score_by_vector(embedding, k, filter, **options))

    def similarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """The ``k`` documents nearest to a vector and their scores, best first; always by dense vectors."""
        mode = RetrievalMode.DENSE
        return self._scored(self.collection.search(embedding, **self._request(k, filter, options, mode)), mode)

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`similarity_search_with_score_by_vector`."""
        mode = RetrievalMode.DENSE
        return self._scored(await self.collection.asearch(embedding, **self._request(k, filter, options, mode)), mode)

    def _request(
        self, k: int, filter: object | None, options: Mapping[str, Any], mode: RetrievalMode
    ) -> dict[str, Any]:
        asked = read(SearchOptions, options)
        least = asked.score_threshold
        return {
            "k": k,
            "filter": filter,
            "mode": mode.value,
            "offset": asked.offset,
            "score_threshold": None if least is None else flipped(least, self.collection.distance, mode),
            "knobs": asked.knobs,
            "fusion": asked.fusion,
            "cutoff": asked.cutoff,
        }

    def _scored(self, ranking: Ranking, mode: RetrievalMode) -> Scored:
        key, distance = self.metadata_payload_key, self.collection.distance
        return [(document(candidate, key), flipped(candidate.score, distance, mode)) for candidate in ranking]

    # -- candidates ----------------------------------------------------------------------------

    def ranking(
        self, query: str, k: int = 4, filter: object | None = None, *, with_vectors: bool = False, **options: Any
    ) -> Ranking:
        """The ``k`` documents nearest to ``query`` as Octant's candidates: for rerankers and selectors.

        Scores are Octant's own, higher is better for every distance; ``with_vectors`` decodes the stored vectors too.
        """
        request = self._request(k, filter, options, self.retrieval_mode)
        return self.collection.search(query, with_vectors=with_vectors, **request)

    async def aranking(
        self, query: str, k: int = 4, filter: object | None = None, *, with_vectors: bool = False, **options: Any
    ) -> Ranking:
        """Awaited twin of :meth:`ranking`."""
        request = self._request(k, filter, options, self.retrieval_mode)
        return await self.collection.asearch(query, with_vectors=with_vectors, **request)

    # -- relevance -----------------------------------------------------------------------------

    @override
    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self._relevance(Fusion())

    def _relevance(self, fusion: Fusion) -> Callable[[float], float]:
        model = self.collection.manifest.embedding
        unit = model is not None and bool(model.normalized)
        return relevance(self.collection.distance, self.retrieval_mode, fusion, unit=unit)

    @override
    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        relevance_of = self._relevance(_fusion(kwargs))
        found = self.similarity_search_with_score(query, k, **kwargs)
        return [(doc, relevance_of(score)) for doc, score in found]

    @override
    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        relevance_of = self._relevance(_fusion(kwargs))
        found = await self.asimilarity_search_with_score(query, k, **kwargs)
        return [(doc, relevance_of(score)) for doc, score in found]

    # -- relevant and diverse ------------------------------------------------------------------

    @override
    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """``k`` of the ``fetch_k`` nearest documents that do not repeat each other, by dense vectors.

        ``lambda_mult`` is LangChain's: 1 is relevance alone, 0 the greatest diversity.
        """
        return _documents(self.max_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, **options))

    @override
    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`max_marginal_relevance_search`."""
        found = await self.amax_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, **options)
        return _documents(found)

    @override
    def max_marginal_relevance_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """:meth:`max_marginal_relevance_search` for a vector."""
        return _documents(self.max_marginal_relevance_search_with_score(embedding, k, fetch_k, lambda_mult, **options))

    @override
    async def amax_marginal_relevance_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`max_marginal_relevance_search_by_vector`."""
        found = await self.amax_marginal_relevance_search_with_score(embedding, k, fetch_k, lambda_mult, **options)
        return _documents(found)

    def max_marginal_relevance_search_with_score(
        self, query: Query, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> Scored:
        """:meth:`max_marginal_relevance_search` for a text or a vector, with each document's score for it."""
        found = self.collection.search(query, **self._candidates(k, fetch_k, options))
        return self._diverse(found, k, lambda_mult)

    async def amax_marginal_relevance_search_with_score(
        self, query: Query, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`max_marginal_relevance_search_with_score`."""
        found = await self.collection.asearch(query, **self._candidates(k, fetch_k, options))
        return self._diverse(found, k, lambda_mult)

    max_marginal_relevance_search_with_score_by_vector = max_marginal_relevance_search_with_score
    amax_marginal_relevance_search_with_score_by_vector = amax_marginal_relevance_search_with_score

    def _candidates(self, k: int, fetch_k: int, options: Mapping[str, Any]) -> dict[str, Any]:
        asked = dict(options)
        request = self._request(max(k, fetch_k), asked.pop("filter", None), asked, RetrievalMode.DENSE)
        return request | {"with_vectors": True}

    def _diverse(self, found: Ranking, k: int, lambda_mult: float) -> Scored:
        chosen = diversify(found, k, lambda_mult, distance=self.collection.distance)
        return self._scored(chosen, RetrievalMode.DENSE)


def _documents(scored: Scored) -> list[Document]:
    return [doc for doc, _ in scored]


def _once(found: Sequence[Candidate]) -> list[Candidate]:
    """Without repeats: "7" and 7 may have found the same document."""
    return list({candidate.id: candidate for candidate in found}.values())


def _fusion(options: Mapping[str, Any]) -> Fusion:
    return SearchOptions(hybrid_fusion=options.get("hybrid_fusion")).fusion
