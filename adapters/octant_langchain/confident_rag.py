"""Confident RAG (2507.17442): an answer from each embedding's passages, and the most confident one of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import patch_config
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import override

from octant import Candidate, Collection, Ranking, confidence, errors, flow
from octant_langchain.convert import document
from octant_langchain.generating import Model, failed, read_message
from octant_langchain.passages import ANSWER_PROMPT, shown
from octant_langchain.vectorstore import OctantVectorStore


class ConfidentRAG(RunnableSerializable[str, dict[str, Any]]):
    """Question in; answer, documents and decision out.

    Each embedding retrieves its own passages, the model answers from each, side by side, and the answer that the
    model was surest of is given. With ``cascade`` the embeddings are asked one after the other instead, until an
    answer is sure enough. An embedding or a generation that fails costs the others nothing; the decision says which.
    Where all fail, the first error is raised.

    Streams yield dicts that add up to what ``invoke`` returns: the documents, then the chosen answer in pieces as the
    model gave them, then the decision. Nothing is streamed before the choice is made: with ``cascade`` that is after
    the first answer that is sure enough.

    Attributes
    ----------
    retrievers : mapping from name to Runnable, octant.Collection or OctantVectorStore
        For each embedding what takes a question and gives documents, best or cheapest first; or a collection with
        several embeddings, which are then searched in one request.
    llm : BaseChatModel
        Any; log-probabilities are asked for where the choice needs them. What refuses to give them is asked without.
    prompt : Runnable
        From ``{"context", "question"}`` to what the model takes.
    choose_by, fallbacks, abstain_below, calibration, embed
        As :class:`octant.confidence.AnswerSelector` takes them (``choose_by`` is its ``by``).
    cascade : float or None
        In [0, 1]: the confidence at which no further embedding is asked.
    k : int
        Passages from each embedding of a collection; retrievers have their own.
    embeddings : sequence of str or None
        Which of them to use, in this order; all of them without it.
    samples : int
        Answers from each embedding. With one embedding, ``samples=5`` and ``choose_by="vote"`` this is
        self-consistency, the control at equal cost.
    top_logprobs : int
        Alternatives to ask for at each token.
    max_concurrency : int
        Generations under way at once, for one question.

    Examples
    --------
    >>> from langchain_core.runnables import RunnableLambda
    >>> from octant_langchain import ExtractiveChatModel
    >>> found = [Document("The Danube rises in Donaueschingen.", id="d"), Document("The Rhine rises in Tujetsch.")]
    >>> rag = ConfidentRAG(retrievers={"all": RunnableLambda(lambda question: found)}, llm=ExtractiveChatModel())
    >>> rag.invoke("Where does the Danube rise?")["answer"]
    'The Danube rises in Donaueschingen. [1]'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retrievers: Any
    llm: Any
    prompt: Any = ANSWER_PROMPT
    choose_by: str = "average_logprob"
    fallbacks: Sequence[str] = ("vote",)
    abstain_below: float | None = None
    calibration: confidence.AnswerCalibration | None = None
    embed: Any = Field(default=None, repr=False)
    cascade: float | None = None
    k: int = Field(default=4, ge=1)
    embeddings: Sequence[str] | None = None
    samples: int = Field(default=1, ge=1)
    top_logprobs: int = Field(default=5, ge=1, le=20)
    max_concurrency: int = Field(default=8, ge=1)

    _selector: confidence.AnswerSelector = PrivateAttr()
    _names: tuple[str, ...] = PrivateAttr()
    _model: Model = PrivateAttr()

    @override
    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._selector = confidence.AnswerSelector(
            self.choose_by, fallbacks=tuple(self.fallbacks), calibration=self.calibration,
            abstain_below=self.abstain_below, embed=self.embed,
        )  # fmt: skip
        if self.cascade is not None:
            confidence.Cascade(self.cascade)
            confidence.check_cascade(self._selector)
        self._names = self._checked_names()
        self._model = Model(self.llm, self.top_logprobs if self._selector.needs_logprobs else 0)
        if self.calibration is not None:
            self.calibration.check(self._selector.by, self._model.name, self._names)

    def _checked_names(self) -> tuple[str, ...]:
        known = tuple(self.retrievers if self._collection is None else self._collection.embeddings)
        wanted = known if self.embeddings is None else tuple(self.embeddings)
        if not known or not wanted:
            raise errors.InputError("expected at least one retriever, got none")
        if unknown := [name for name in wanted if name not in known]:
            raise errors.InputError(f"there is no embedding {', '.join(unknown)}: there are {', '.join(known)}")
        return wanted

    @property
    def _collection(self) -> Collection | None:
        if isinstance(self.retrievers, OctantVectorStore):
            return self.retrievers.collection
        if isinstance(self.retrievers, Collection):
            return self.retrievers
        if not isinstance(self.retrievers, Mapping):
            told = type(self.retrievers).__name__
            raise errors.InputError(
                f"retrievers map names to retrievers, or are a collection with several embeddings; got {told}"
            )
        return None

    # -- Runnable --------------------------------------------------------------------------------------

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return self._call_with_config(self._invoke, input, config, **kwargs)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    @override
    def stream(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[dict[str, Any]]:
        yield from self._transform_stream_with_config(iter([input]), self._pieces, config, **kwargs)

    @override
    async def astream(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        async def given() -> AsyncIterator[str]:
            yield input

        async for piece in self._atransform_stream_with_config(given(), self._apieces, config, **kwargs):
            yield piece

    def _invoke(self, input: str, run_manager: Any, config: RunnableConfig) -> dict[str, Any]:
        asked = _Asked(self, _question(input), config, run_manager)
        return _result(asked, flow.run(asked.answered()))

    async def _ainvoke(self, input: str, run_manager: Any, config: RunnableConfig) -> dict[str, Any]:
        asked = _Asked(self, _question(input), config, run_manager)
        return _result(asked, await flow.arun(asked.answered()))

    def _pieces(self, inputs: Iterator[str], run_manager: Any, config: RunnableConfig) -> Iterator[dict[str, Any]]:
        for given in inputs:
            asked = _Asked(self, _question(given), config, run_manager, streaming=True)
            yield from _streamed(asked, flow.run(asked.answered()))

    async def _apieces(
        self, inputs: AsyncIterator[str], run_manager: Any, config: RunnableConfig
    ) -> AsyncIterator[dict[str, Any]]:
        async for given in inputs:
            asked = _Asked(self, _question(given), config, run_manager, streaming=True)
            for piece in _streamed(asked, await flow.arun(asked.answered())):
                yield piece


@dataclass
class _Asked:
    """One question on its way: what was found and generated for it."""

    rag: ConfidentRAG
    question: str
    config: RunnableConfig
    manager: Any
    streaming: bool = False
    found: dict[str, list[Document]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    raised: dict[str, Exception] = field(default_factory=dict)
    pieces: dict[str, list[str]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def answered(self) -> flow.Flow[confidence.ChosenAnswer]:
        rag = self.rag
        names, samples = rag._names, rag.samples
        if rag.cascade is None:
            yield from self._retrieve(names)
        sources = [
            (label, partial(self._answer, name, label))
            for name in names
            for label in ([name] if samples == 1 else [f"{name} #{turn + 1}" for turn in range(samples)])
        ]
        cascade = None if rag.cascade is None else confidence.Cascade(rag.cascade)
        chosen = yield from confidence.answering(sources, rag._selector, cascade, limit=rag.max_concurrency)
        broken = [self.raised.get(one.name) for one in chosen.generations]
        if broken[0] is not None and all(broken):
            raise broken[0]
        spent = {"searches": float(len(self.found) + len(self.failures)), "seconds": time.monotonic() - self.began}
        decision = replace(chosen.decision, cost={**chosen.decision.cost, **spent})
        if len(names) == 1 and samples == 1:
            decision = decision.remarking("one embedding only: nothing was chosen between")
        return replace(chosen, decision=decision)

    # -- retrieving ------------------------------------------------------------------------------------

    def _retrieve(self, names: Sequence[str]) -> flow.Flow[None]:
        collection = self.rag._collection
        if collection is None:
            yield from flow.fork([partial(self._retrieve_one, name) for name in names], self.rag.max_concurrency)
            return
        k, wanted = self.rag.k, list(names)
        rankings = yield from flow.step(
            partial(collection.search_each, self.question, k, embeddings=wanted),
            partial(collection.asearch_each, self.question, k, embeddings=wanted),
        )
        store = self.rag.retrievers
        key = store.metadata_payload_key if isinstance(store, OctantVectorStore) else None
        self.failures.update(rankings.failures)
        self.found.update({name: [_marked(one, key) for one in rankings[name]] for name in rankings})

    def _retrieve_one(self, name: str) -> flow.Flow[None]:
        retriever: Runnable[str, list[Document]] = self.rag.retrievers[name]
        config = self._child(f"retrieve:{name}")
        try:
            found = yield from flow.step(
                partial(retriever.invoke, self.question, config), partial(retriever.ainvoke, self.question, config)
            )
        except Exception as error:  # noqa: BLE001  # the others answer, and the decision says so
            self.raised[name] = error
            self.failures[name] = errors.told(error)
        else:
            self.found[name] = list(found)

    # -- generating ------------------------------------------------------------------------------------

    def _answer(self, name: str, label: str) -> flow.Flow[confidence.Generation]:
        if name not in self.found and name not in self.failures:
            yield from self._retrieve([name])
        if name in self.failures:
            if name in self.raised:
                self.raised[label] = self.raised[name]
            return failed(label, f"the search failed: {self.failures[name]}")
        documents = self.found[name]
        if not documents:
            return failed(label, "nothing was found")
        config = self._child(f"answer:{label}")
        given = {"context": shown(documents), "question": self.question}
        try:
            prompt = yield from flow.step(
                partial(self.rag.prompt.invoke, given, config), partial(self.rag.prompt.ainvoke, given, config)
            )
            message, pieces = yield from self.rag._model.answer(prompt, config, streaming=self.streaming)
        except Exception as error:  # noqa: BLE001  # as above
            self.raised[label] = error
            return failed(label, f"the model failed: {errors.told(error)}")
        self.pieces[label] = pieces
        read = read_message(label, message, asked=self.rag._selector.needs_logprobs)
        return replace(read, passages=_ranking(self.question, documents))

    def _child(self, tag: str) -> RunnableConfig:
        return patch_config(self.config, callbacks=self.manager.get_child(tag))

    # -- what comes out --------------------------------------------------------------------------------

    def documents(self, answer: confidence.ChosenAnswer) -> list[Document]:
        """Those the chosen answer was read from, or that the withheld one was."""
        label = answer.decision.chosen or answer.decision.evidence.get("would have chosen")
        for place, one in enumerate(answer.generations):
            if one.name == label:
                return self.found[self.rag._names[place // self.rag.samples]]
        return next((found for found in self.found.values() if found), [])


def _question(input: Any) -> str:
    question = input.get("question", input.get("input")) if isinstance(input, Mapping) else input
    if not isinstance(question, str) or not question.strip():
        raise errors.InputError(f"expected a question, or a dict with one under 'question'; got {input!r}")
    return question


def _result(asked: _Asked, answer: confidence.ChosenAnswer) -> dict[str, Any]:
    return AddableDict(
        question=asked.question, documents=asked.documents(answer), answer=answer.text, **_reasons(answer)
    )


def _streamed(asked: _Asked, answer: confidence.ChosenAnswer) -> Iterator[dict[str, Any]]:
    yield AddableDict(question=asked.question, documents=asked.documents(answer))
    pieces = asked.pieces.get(answer.decision.chosen or "", []) if answer.abstention is None else []
    for piece in pieces if "".join(pieces) == answer.text else [answer.text]:
        yield AddableDict(answer=piece)
    yield AddableDict(_reasons(answer))


def _reasons(answer: confidence.ChosenAnswer) -> dict[str, Any]:
    return {"decision": answer.decision, "abstention": answer.abstention, "answers": answer.generations}


def _marked(candidate: Any, key: str | None) -> Document:
    found = document(candidate, key)
    return found.model_copy(update={"metadata": {**found.metadata, "relevance_score": candidate.score}})


def _ranking(question: str, documents: Sequence[Document]) -> Ranking:
    candidates = [
        Candidate(one.id or one.page_content, _score(one, -place), one.page_content)
        for place, one in enumerate(documents)
    ]
    return Ranking(tuple(candidates), question)


def _score(found: Document, otherwise: float) -> float:
    score = found.metadata.get("relevance_score")
    return float(score) if isinstance(score, int | float) else float(otherwise)
