"""LangChain's retriever over an :class:`OctantVectorStore`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import Field, PrivateAttr
from typing_extensions import Self, override

from octant import Decision, Pipeline, Ranking, errors, reranker
from octant_langchain.choice import Choice, decided
from octant_langchain.configured import Configured, retriever_options, store_options
from octant_langchain.convert import document
from octant_langchain.reranker import scored
from octant_langchain.searches import Scored
from octant_langchain.tracing import atell, atell_choice, parent_of_calls, tell, tell_choice
from octant_langchain.vectorstore import OctantVectorStore


class OctantRetriever(Configured, BaseRetriever):
    """The documents nearest to a question, reranked where asked; settings can be changed for one call of ``invoke``.

    With ``rerank`` the ``fetch_k`` nearest are put in a better order and the best ``k`` returned. The report of it
    (calls, tokens, cost, what failed) is in the metadata of the run and in the custom event ``octant_rerank``; model
    calls are children of the run. Rerankers that read vectors, or were trained on the collection, get both.

    Attributes
    ----------
    vectorstore : OctantVectorStore
    k : int
        Documents wanted.
    search_kwargs : dict
        ``filter`` and the options of :class:`octant_langchain.convert.SearchOptions`.
    with_relevance : bool
        Put each document's relevance, in [0, 1], into its metadata as ``relevance_score``. Without effect under
        ``rerank``, which puts the reranker's score there, on the scale of its method, wherever it could work.
    rerank : str, octant.rerankers.Reranker or None
        Spec of a reranker, e.g. ``"listwise"`` or ``"pointwise > listwise(top=20)"``.
    rerank_kwargs : dict
        Everything else that :func:`octant.reranker` takes: ``llm``, ``cross_encoder``, ``max_calls``, …; the
        store's own collection and embedding model are passed along.
    fetch_k : int
        Candidates to rerank; ``k`` where that is more.
    select : str, octant.selectors.Selector or None
        Spec of a selector, e.g. ``"fuse"`` or ``"cascade(rate=0.3)"``, for collections with several embeddings: they
        are all searched, a cascade's only as needed, and one ranking is made of theirs, before reranking. What is
        attached to the collection (``octant calibrate --attach``) is used. The decision is ``octant_decision`` in
        every document's metadata, in the metadata of the run, and as a custom event.
    select_kwargs : dict
        Everything else that :func:`octant.selector` takes: ``learned``, ``calibration``.
    embeddings : list of str or None
        Which embeddings to choose between, for a cascade the cheapest first; all of them without it.
    timeout : float or None
        Seconds that each of several embedding models has; one that is too late is left out.
    abstain_below : float or None
        With ``select``: return nothing where the confidence, in [0, 1], is below this; the run's metadata and the
        event ``octant_decision`` tell why.
    cutoff : octant.Cutoff or None
        Leaves out what is too improbably relevant, inside Qdrant; dense mode only.

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
    rerank: Any = None
    rerank_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    fetch_k: int = Field(default=50, ge=1)
    select: Any = None
    select_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    embeddings: list[str] | None = None
    timeout: float | None = Field(default=None, gt=0)
    abstain_below: float | None = Field(default=None, ge=0, le=1)
    cutoff: Any = None

    _choice: Choice | None = PrivateAttr(default=None)
    _rerankers: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    @override
    def _of(cls, pipeline: Pipeline) -> Self:
        return cls(vectorstore=OctantVectorStore(**store_options(pipeline)), **retriever_options(pipeline))

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.rerank is not None:
            self._reranker(self.rerank)  # what is wrong with it is told now
        elif self.rerank_kwargs:
            raise errors.InputError(
                f"rerank_kwargs are for a reranker: pass rerank= too, got {sorted(self.rerank_kwargs)}"
            )
        if self.select is not None:
            collection = self.vectorstore.collection
            self._choice = Choice(collection, self.select, self.embeddings, timeout=self.timeout, **self.select_kwargs)
        elif self.select_kwargs or (self.embeddings, self.timeout, self.abstain_below) != (None, None, None):
            raise errors.InputError(
                "select_kwargs, embeddings, timeout and abstain_below are for a selector: pass select= too"
            )
        if self.select is not None and (self.cutoff is not None or self.with_relevance):
            raise errors.InputError(
                "cutoff and with_relevance read the scores of one embedding: leave them out, or leave out select"
            )

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        asked = self._asked(kwargs)
        method = self._reranker(asked.pop("rerank"))
        callbacks = run_manager.get_child()
        decision: Decision | None = None
        if self._choice is not None:
            found, decision = self._choice.find(query, **_chosen(asked, method))
            decision = self._weighed(decision)
            tell_choice(decision, run_manager, callbacks)
            if decision.chosen is None:
                return []
        elif method is not None:
            found = self.vectorstore.ranking(query, **_fetched(asked, method))
        if method is not None:
            with parent_of_calls(callbacks):
                done = method.rerank(query, found, asked["k"])
            tell(done.report, run_manager, callbacks)
            return decided(self._reranked(done), decision)
        if decision is not None:
            return decided(self._plain(found), decision)
        if self.with_relevance:
            return _marked(self.vectorstore.similarity_search_with_relevance_scores(query, **asked))
        return self.vectorstore.similarity_search(query, **asked)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        asked = self._asked(kwargs)
        method = self._reranker(asked.pop("rerank"))
        callbacks = run_manager.get_child()
        decision: Decision | None = None
        if self._choice is not None:
            found, decision = await self._choice.afind(query, **_chosen(asked, method))
            decision = self._weighed(decision)
            await atell_choice(decision, run_manager, callbacks)
            if decision.chosen is None:
                return []
        elif method is not None:
            found = await self.vectorstore.aranking(query, **_fetched(asked, method))
        if method is not None:
            with parent_of_calls(callbacks):
                done = await method.arerank(query, found, asked["k"])
            await atell(done.report, run_manager, callbacks)
            return decided(self._reranked(done), decision)
        if decision is not None:
            return decided(self._plain(found), decision)
        if self.with_relevance:
            return _marked(await self.vectorstore.asimilarity_search_with_relevance_scores(query, **asked))
        return await self.vectorstore.asimilarity_search(query, **asked)

    def _asked(self, now: dict[str, Any]) -> dict[str, Any]:
        cutoff = {} if self.cutoff is None else {"cutoff": self.cutoff}
        asked = {"k": self.k, "rerank": self.rerank, "fetch_k": self.fetch_k, **cutoff, **self.search_kwargs, **now}
        if asked["rerank"] is None and "fetch_k" not in now:
            del asked["fetch_k"]
        return asked

    def _reranker(self, rerank: Any) -> Any:
        """The reranker of a spec, made once; None for None."""
        if rerank is None or (hasattr(rerank, "arerank") and not self.rerank_kwargs):
            return rerank
        name = repr(rerank)
        if name not in self._rerankers:
            self._rerankers[name] = reranker(
                rerank, **{"collection": self.vectorstore.collection, **self.rerank_kwargs}
            )
        return self._rerankers[name]

    def _weighed(self, decision: Decision) -> Decision:
        """The decision, or the one to return nothing."""
        if self.abstain_below is None or decision.confidence >= self.abstain_below:
            return decision
        told = f"confidence {decision.confidence:.2f} is below {self.abstain_below:.2f}: nothing is returned"
        return replace(decision, chosen=None).remarking(told)

    def _reranked(self, done: Ranking) -> list[Document]:
        key = self.vectorstore.metadata_payload_key
        if done.score_kind == "first stage":
            return self._plain(done)  # scores of a search are no reranker's
        return [scored(document(candidate, key), candidate.score) for candidate in done]

    def _plain(self, found: Ranking) -> list[Document]:
        return [document(candidate, self.vectorstore.metadata_payload_key) for candidate in found]

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


def retriever_over(store: OctantVectorStore, options: dict[str, Any]) -> OctantRetriever | None:
    """An :class:`OctantRetriever` where ``options`` of ``as_retriever`` hold one of its own; None where they do not.

    Raises
    ------
    InputError
        If they ask for another kind of search too.
    """
    own = set(OctantRetriever.model_fields) - set(BaseRetriever.model_fields) - {"vectorstore", "search_kwargs"}
    kind = options.get("search_type", "similarity")
    if not own & set(options) and (not store.configured or kind != "similarity"):
        return None
    given = {name: value for name, value in options.items() if name not in ("search_type", "search_kwargs")}
    if kind != "similarity":
        raise errors.InputError(f"{', '.join(sorted(own & set(given)))} go with search_type='similarity', got {kind!r}")
    asked = dict(options.get("search_kwargs") or {})
    k = {"k": asked.pop("k")} if "k" in asked else {}
    search = {**store.configured.get("search_kwargs", {}), **asked}
    return OctantRetriever(vectorstore=store, **{**store.configured, **k, **given, "search_kwargs": search})


def _fetched(asked: dict[str, Any], method: Any) -> dict[str, Any]:
    """How the candidates of ``method`` are searched."""
    search = {name: value for name, value in asked.items() if name != "fetch_k"}
    needs_vectors = any(stage.needs_vectors for stage in method.stages)
    return {**search, "k": max(asked["k"], asked["fetch_k"]), "with_vectors": needs_vectors}


def _chosen(asked: dict[str, Any], method: Any) -> dict[str, Any]:
    """How the candidates of a choice are searched, for ``method`` where there is one."""
    wanted = asked if method is None else _fetched(asked, method)
    options = {name: value for name, value in wanted.items() if name not in ("k", "fetch_k", "with_vectors")}
    return {"k": wanted["k"], "options": options, "with_vectors": wanted.get("with_vectors", False)}


def _marked(scored: Scored) -> list[Document]:
    return [doc.model_copy(update={"metadata": {**doc.metadata, "relevance_score": score}}) for doc, score in scored]
