"""LangChain's retriever over an :class:`OctantVectorStore`."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import Field
from typing_extensions import override

from octant_langchain.vectorstore import OctantVectorStore, Scored


class OctantRetriever(BaseRetriever):
    """The documents nearest to a question; every setting can be changed for one call of ``invoke``.

    Attributes
    ----------
    vectorstore : OctantVectorStore
    k : int
        Documents wanted.
    search_kwargs : dict
        ``filter`` and the options of :class:`octant_langchain.convert.SearchOptions`.
    with_relevance : bool
        Put each document's relevance, in [0, 1], into its metadata as ``relevance_score``.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> store = OctantVectorStore.from_texts(["one", "two", "three"], DeterministicFakeEmbedding(size=8))
    >>> retriever = OctantRetriever(vectorstore=store, k=2)
    >>> [doc.page_content for doc in retriever.invoke("three", k=1)]
    ['three']
    >>> store.close()
    """

    vectorstore: OctantVectorStore
    k: int = Field(default=4, ge=1)
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    with_relevance: bool = False

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        asked = self._asked(kwargs)
        if self.with_relevance:
            return _marked(self.vectorstore.similarity_search_with_relevance_scores(query, **asked))
        return self.vectorstore.similarity_search(query, **asked)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        asked = self._asked(kwargs)
        if self.with_relevance:
            return _marked(await self.vectorstore.asimilarity_search_with_relevance_scores(query, **asked))
        return await self.vectorstore.asimilarity_search(query, **asked)

    def _asked(self, now: dict[str, Any]) -> dict[str, Any]:
        return {"k": self.k, **self.search_kwargs, **now}

    @override
    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        """What a trace says of this retriever."""
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = type(self.vectorstore).__name__
        model = self.vectorstore.collection.manifest.embedding
        if self.vectorstore.embeddings is not None:
            params["ls_embedding_provider"] = type(self.vectorstore.embeddings).__name__
        if model is not None:
            params["ls_embedding_model"] = model.name
        return params


def _marked(scored: Scored) -> list[Document]:
    return [doc.model_copy(update={"metadata": {**doc.metadata, "relevance_score": score}}) for doc, score in scored]
