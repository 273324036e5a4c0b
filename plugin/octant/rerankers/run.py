"""One reranking under way: what a method asks the model through, and what it tells the report."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from octant.errors import ArtifactError, InputError, RerankError, told
from octant.flow import Flow, fork, step
from octant.records import PointId
from octant.rerank_report import OutputKind, RerankReport
from octant.rerankers.cache import AnswerCache, key
from octant.rerankers.calls import Caller
from octant.rerankers.exchange import Answer, Prompt
from octant.rerankers.ledger import Ledger
from octant.rerankers.model import bytes_over_four
from octant.rerankers.order import Order
from octant.rerankers.pair_scorers import PairScorer
from octant.rerankers.settings import Check, Searchable, Settings, TextEmbedder
from octant.rerankers.shelf import Shelf


class Run:
    """One reranking under way; each stage of a chain has its own, over one account.

    Attributes
    ----------
    k : int or None
        How many candidates the caller, or the next stage, will look at; None for all. A method may stop once these
        are settled.
    method : str
        Spec of the reranker.
    best : Order or None
        What was last kept.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, method: str, query: str, k: int | None = None) -> None:
        self.k, self.method = k, method
        self.best: Order | None = None
        self._settings, self._ledger, self._query = settings, ledger, query
        self._shuffles = 0
        self._answered = False
        self._missed: str | None = None

    def stage(self, method: str, k: int | None) -> Run:
        """The run of one stage of a chain, on the same account."""
        return Run(self._settings, self._ledger, method=method, query=self._query, k=k)

    @property
    def embedder(self) -> TextEmbedder:
        """The embedding model that was given.

        Raises
        ------
        InputError
            If none was.
        """
        if self._settings.embedder is None:
            raise InputError(f"{self.method} embeds texts: pass embedding=")
        return self._settings.embedder

    @property
    def cross_encoder(self) -> PairScorer:
        """The cross-encoder that was given.

        Raises
        ------
        InputError
            If none was.
        """
        if self._settings.cross_encoder is None:
            raise InputError(f"{self.method} scores pairs of query and passage: pass cross_encoder=")
        return self._settings.cross_encoder

    @property
    def collection(self) -> Searchable:
        """The collection that the candidates come from.

        Raises
        ------
        InputError
            If it was not given.
        """
        if self._settings.collection is None:
            raise InputError(f"{self.method} searches the collection: pass collection=")
        return self._settings.collection

    @property
    def shelf(self) -> Shelf:
        """Where what was trained is found.

        Raises
        ------
        InputError
            If nothing trained was given.
        """
        if self._settings.shelf is None:
            raise InputError(f"{self.method} has to be trained first: pass trained=")
        return self._settings.shelf

    def model_at(self, folder: Path, check: Check) -> TextEmbedder:
        """The embedding model in ``folder``, which is kept for the next ranking; ``check`` sees it before it is loaded.

        Raises
        ------
        InputError
            If there is nothing to load models with.
        """
        if self._settings.model_at is None:
            raise InputError(f"{self.method} loads a model of its own: make it with octant.reranker")
        return self._settings.model_at(folder, check)

    # -- the model -----------------------------------------------------------------------------

    def ask(self, prompts: Sequence[Prompt]) -> Flow[list[Answer]]:
        """Answers to ``prompts``, in their order: cached, side by side, retried, counted, within the budgets.

        A call that fails, or that a budget forbids, gives an answer with ``failure``.

        Raises
        ------
        InputError
            If there is no model to ask.
        RerankError
            If a call fails for good and ``on_failure`` is "raise".
        """
        if self._settings.model is None:
            raise InputError(f"{self.method} asks a language model: pass llm=")
        caller = Caller(self._settings.model, self._settings, self._ledger)
        keys = [key(prompt, method=self.method, model=self._settings.model.identity or "") for prompt in prompts]
        kept = yield from self._kept(keys)
        pairs = zip(prompts, keys, strict=True)
        flows = [partial(self._answer, caller, prompt, name, kept.get(name)) for prompt, name in pairs]
        try:
            answers = yield from fork(flows, self._settings.slots.limit)
        except BaseException as error:
            self._ledger.stopped = self._ledger.stopped or told(error)  # calls that have not begun need not
            raise
        self._look_at(answers)
        return answers

    @property
    def ended(self) -> str | None:
        """Why no further question will be answered; None while questions are."""
        return self._ledger.ended

    @property
    def ended_early(self) -> str | None:
        """The budget that was spent, if one was."""
        return self._ledger.ended_early

    @property
    def unanswered(self) -> str | None:
        """Why the questions of this stage got no answer; None if one did, or none was asked."""
        return None if self._answered else self._missed

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` by the caller's counter, or estimated as a quarter of its UTF-8 bytes."""
        return (self._settings.count_tokens or bytes_over_four)(text)

    def shuffled(self, count: int) -> list[int]:
        """Positions 0 to ``count - 1`` in the order to show them to the model.

        As they are, or with ``shuffle=True`` in another random order for every call; the same ones for the same seed,
        method and query.
        """
        positions = list(range(count))
        if self._settings.shuffle:
            self._shuffles += 1
            random.Random(f"{self._settings.seed}|{self._shuffles}|{self.method}|{self._query}").shuffle(positions)
        return positions

    def _look_at(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self._answered = self._answered or answer.failure is None
            self._missed = self._missed or answer.failure
        if self._strict and self._ledger.error is not None:
            raise RerankError(f"{self.method}: {told(self._ledger.error)}") from self._ledger.error

    # -- the cache -----------------------------------------------------------------------------

    def _answer(self, caller: Caller, prompt: Prompt, name: str, kept: Answer | None) -> Flow[Answer]:
        if kept is not None:
            self._ledger.add(cache_hits=1)
            return kept
        answer = yield from caller.ask(prompt)
        said = bool(answer.text.strip()) or answer.parsed is not None  # nothing is not worth keeping: ask again
        if answer.failure is None and said and self._settings.cache is not None:
            yield from self._keep(self._settings.cache, name, answer)
        return answer

    def _kept(self, keys: Sequence[str]) -> Flow[dict[str, Answer]]:
        cache = self._settings.cache
        if cache is None:
            return {}
        try:
            found = yield from step(lambda: cache.find(keys))
        except ArtifactError as error:  # answers can be had without it
            self.remark(str(error))
            return {}
        return found

    def _keep(self, cache: AnswerCache, name: str, answer: Answer) -> Flow[None]:
        try:
            yield from step(lambda: cache.put(name, answer))
        except ArtifactError as error:  # the answer is there all the same
            self.remark(str(error))

    # -- the report ----------------------------------------------------------------------------

    def note(self, kind: OutputKind, what: str = "") -> None:
        """Tell what became of one output of the model; answers with a ``failure`` are told of without it.

        Raises
        ------
        RerankError
            If it fell back and ``on_failure`` is "raise".
        """
        self._ledger.note(kind, what)
        if kind == "fell back" and self._strict and (self.ended_early is None or what != self.ended_early):
            raise RerankError(f"{self.method}: an output of the model could not be used: {what}")

    def keep(self, order: Order) -> None:
        """Remember the best order so far: it is what the caller gets if the method fails later."""
        self.best = order

    def justify(self, point: PointId, reason: str) -> None:
        """Keep the model's reason for a candidate."""
        self._ledger.justifications[point] = reason

    def measure(self, name: str, value: float) -> None:
        """Report a number."""
        self._ledger.statistics[name] = float(value)

    def remark(self, text: str) -> None:
        """Report something worth knowing; each text once."""
        self._ledger.remark(text)

    def fail(self, why: str, error: Exception | None = None) -> None:
        """Tell why the method could not do its work.

        Raises
        ------
        RerankError
            If ``on_failure`` is "raise".
        """
        if self._strict:
            raise RerankError(f"{self.method}: {why}") from error
        self._ledger.failures.append(f"{self.method}: {why}")

    def report(self) -> RerankReport:
        """The account so far."""
        model = self._settings.model
        failed, asked = self._ledger.failed, self._ledger.failed + self._ledger.answered + self._ledger.cache_hits
        if failed and not self._ledger.failures and self._ledger.error is not None:
            self.remark(f"{failed} of {asked} questions got no answer: {told(self._ledger.error)}")
        return self._ledger.report(self.method, model.name if model else None, self._settings.prices)

    @property
    def _strict(self) -> bool:
        return self._settings.on_failure == "raise"
