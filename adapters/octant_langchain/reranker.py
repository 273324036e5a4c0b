"""Octant's rerankers as a LangChain document compressor and Runnable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import TypedDict, override

from octant import Candidate, Ranking, errors, reranker
from octant_langchain.tracing import atell, parent_of_calls, tell

SCORE = "relevance_score"
"""Where LangChain's rerankers put their scores."""


class Found(TypedDict):
    """What an :class:`OctantReranker` takes as a Runnable."""

    query: str
    documents: Sequence[Document]


class OctantReranker(BaseDocumentCompressor, RunnableSerializable[Found, list[Document]]):
    """Puts documents in a better order, by any of Octant's rerankers.

    Made for langchain-classic's ``ContextualCompressionRetriever`` and whatever else takes a document compressor; and
    a Runnable from ``{"query": ..., "documents": [...]}`` to documents, with ``ainvoke``, ``batch`` and pipes.

    The result holds copies of the documents that were given, each at most once, with the new score in the metadata as
    ``relevance_score`` (higher is better; what it means is ``score_kind`` of the method). Documents that were given
    are never changed. Where a method could not do its work the order is the one that came in, without scores. Each
    reranking is a run of its own: model calls are its children, and its metadata, like the custom event
    ``octant_rerank``, carries the report: calls, tokens, cost, what was repaired, and why it failed if it did.

    Attributes
    ----------
    rerank : str or octant.rerankers.Reranker
        Spec, e.g. ``"listwise"`` or ``"cross_encoder('org/model') > listwise(top=10)"``.
    rerank_kwargs : dict
        Everything else that :func:`octant.reranker` takes: ``llm``, ``embedding``, ``cross_encoder``, ``max_calls``,
        ``on_failure``, …
    top_n : int or None
        Documents to return; None is all of them.

    Raises
    ------
    pydantic.ValidationError
        When it is made, with what :func:`octant.reranker` says of the spec and its arguments; also for a reranker that
        reads the vectors of candidates, which documents do not carry.
    MissingExtraError
        If it needs an extra that is not installed.

    Examples
    --------
    >>> documents = [Document("bread rises"), Document("an octopus has three hearts")]
    >>> words = lambda pairs: [len(set(query.split()) & set(text.split())) for query, text in pairs]
    >>> reranker = OctantReranker(rerank="cross_encoder", rerank_kwargs={"cross_encoder": words}, top_n=1)
    >>> reranker.compress_documents(documents, "has an octopus hearts")
    [Document(metadata={'relevance_score': 4.0}, page_content='an octopus has three hearts')]
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    rerank: Any
    rerank_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    top_n: int | None = Field(default=None, ge=1)

    _reranker: Any = PrivateAttr()

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._reranker = _ready(self.rerank, self.rerank_kwargs)
        if any(stage.needs_vectors for stage in self._reranker.stages):
            raise errors.InputError(
                f"{self._reranker!r} reads the vectors of candidates, which documents do not carry: use "
                "OctantRetriever(rerank=...)"
            )

    # -- a compressor --------------------------------------------------------------------------

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best ``top_n`` of ``documents``, best first; copies that carry their scores."""
        return self.invoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    @override
    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Awaited twin of :meth:`compress_documents`."""
        return await self.ainvoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    # -- a Runnable ----------------------------------------------------------------------------

    @override
    def invoke(self, input: Found, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Rerank ``input["documents"]`` for ``input["query"]``."""
        return self._call_with_config(self._invoke, input, self._described(config), run_type="retriever", **kwargs)

    @override
    async def ainvoke(self, input: Found, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Awaited twin of :meth:`invoke`."""
        described = self._described(config)
        return await self._acall_with_config(self._ainvoke, input, described, run_type="retriever", **kwargs)

    def _described(self, config: RunnableConfig | None) -> RunnableConfig:
        given = config or {}
        return {**given, "metadata": {**(given.get("metadata") or {}), "reranker": repr(self._reranker)}}

    def _invoke(self, found: Found, run_manager: CallbackManagerForChainRun) -> list[Document]:
        query, documents = _checked(found)
        callbacks = run_manager.get_child()
        with parent_of_calls(callbacks):
            done = self._reranker.rerank(query, ranking(documents, query), self.top_n)
        tell(done.report, run_manager, callbacks)
        return reordered(documents, done)

    async def _ainvoke(self, found: Found, run_manager: AsyncCallbackManagerForChainRun) -> list[Document]:
        query, documents = _checked(found)
        callbacks = run_manager.get_child()
        with parent_of_calls(callbacks):
            done = await self._reranker.arerank(query, ranking(documents, query), self.top_n)
        await atell(done.report, run_manager, callbacks)
        return reordered(documents, done)


def _ready(rerank: Any, options: dict[str, Any]) -> Any:
    """The reranker of a spec; one that is an object already has been given its options."""
    if hasattr(rerank, "arerank") and not options:
        return rerank
    return reranker(rerank, **options)


def _checked(found: Any) -> tuple[str, list[Document]]:
    query, documents = (found.get(name) if isinstance(found, dict) else None for name in ("query", "documents"))
    if not isinstance(query, str) or isinstance(documents, str | Document) or documents is None:
        raise errors.InputError(
            f"expected {{'query': text, 'documents': [Document, ...]}}, got {type(found).__name__} "
            f"{sorted(found) if isinstance(found, dict) else ''}".rstrip()
        )
    return query, list(documents)


def ranking(documents: Sequence[Document], query: str) -> Ranking:
    """Documents as candidates: their own ids where each has one, and the scores they carry, or else their places."""
    given: list[Any] = [document.metadata.get(SCORE) for document in documents]
    known = all(isinstance(score, int | float) and math.isfinite(score) for score in given)
    falling = known and all(before >= after for before, after in pairwise(given))
    scores = given if falling else [(len(given) - place) / len(given) for place in range(len(given))]
    candidates = (
        Candidate(name, float(score), document.page_content, document.metadata)
        for name, document, score in zip(_names(documents), documents, scores, strict=True)
    )
    return Ranking(tuple(candidates), query)


def reordered(documents: Sequence[Document], done: Ranking) -> list[Document]:
    """Copies of ``documents`` in the order of ``done``, with its scores where they are a reranker's."""
    by_name = dict(zip(_names(documents), documents, strict=True))
    chosen = [(by_name[candidate.id], candidate.score) for candidate in done]
    if done.score_kind == "first stage":
        return [document.model_copy(update={"metadata": dict(document.metadata)}) for document, _ in chosen]
    return [scored(document, score) for document, score in chosen]


def _names(documents: Sequence[Document]) -> Sequence[int | str]:
    ids = [document.id for document in documents if document.id]
    return ids if len(set(ids)) == len(documents) else range(len(documents))


def scored(document: Document, score: float) -> Document:
    """A copy of ``document`` that carries ``score``."""
    return document.model_copy(update={"metadata": {**document.metadata, SCORE: score}})
