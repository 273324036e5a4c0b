"""The contract of a reranker."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from typing_extensions import Self

from octant.errors import InputError, MissingExtraError, RerankError, told
from octant.flow import Flow, arun, run
from octant.records import JSON, Candidate, Ranking
from octant.rerankers.ledger import Ledger
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import Settings, whole
from octant.spec import Call


class Reranker(ABC):
    """Puts the candidates of a ranking in a better order.

    A subclass sets ``name``, stores its constructor's arguments under the same attribute names, and writes
    ``_rerank``. The base class checks, keeps the order of ties and of what is not mentioned, cuts, and reports.
    A constructor refuses an argument with an InputError whose message opens with the argument's name, so that a
    spec string can point at it. The argument name ``top`` is the spec string's own.

    Attributes
    ----------
    name : str
        The registry's name, and the word of the spec string.
    needs_llm : bool
        Whether it asks a language model.
    needs_text : bool
        Whether it reads the passages: those without text are then kept from it, and follow the others.
    needs_vectors : bool
        Whether it reads the candidates' vectors.
    needs_embedder : bool
        Whether it embeds texts.
    compares : bool
        Whether it only compares candidates, so that one alone needs no work. False: each gets a score of its own.
    usage : str
        How to write it in a spec, where the constructor's signature does not say it.
    """

    name: ClassVar[str]
    needs_llm: ClassVar[bool] = False
    needs_text: bool = True
    needs_vectors: bool = False
    needs_embedder: bool = False
    compares: ClassVar[bool] = True
    usage: ClassVar[str] = ""

    _settings: Settings = Settings()

    # -- what a plugin writes ------------------------------------------------------------------

    @abstractmethod
    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        """The order of ``ranking``, of at least two candidates, or one where ``compares`` is False.

        Parameters
        ----------
        query : str
            Not blank.
        ranking : Ranking
            Never to be edited.
        run : Run
            What the model is asked through, and what is told to the report.

        Returns
        -------
        Flow of Order
            Of positions into ``ranking``. Long computations are yielded as steps (:func:`octant.flow.step`), so
            that an event loop goes on meanwhile.

        Raises
        ------
        Exception
            Whatever goes wrong: the caller gets the order last kept with ``run.keep``, or the one that came in.
        """

    # -- what a caller uses --------------------------------------------------------------------

    def rerank(self, query: str, ranking: Ranking, k: int | None = None) -> Ranking:
        """The candidates of ``ranking`` in a better order.

        Parameters
        ----------
        query : str
        ranking : Ranking
            Left as it is.
        k : int, optional
            How many to return; all of them if there are fewer.

        Returns
        -------
        Ranking
            The same candidates with new scores, whose meaning is ``score_kind``, and a ``report``. Where the method
            could not do its work, the first-stage order with its scores, and the reason in ``report.failure``.

        Raises
        ------
        InputError
            If an argument is not what it should be, or something the method needs was not given.
        MissingExtraError
            If it needs a library that is not installed.
        RerankError
            Where the method could not do its work and ``on_failure`` is "raise".
        """
        return run(self._reranking(query, ranking, k))

    async def arerank(self, query: str, ranking: Ranking, k: int | None = None) -> Ranking:
        """Awaited twin of :meth:`rerank`: same arguments, result and errors."""
        return await arun(self._reranking(query, ranking, k))

    def using(self, settings: Settings) -> Self:
        """A copy that runs with ``settings``.

        Raises
        ------
        InputError
            If it needs a model that they lack.
        """
        self._check_needs(settings)
        twin = copy.copy(self)
        twin._settings = settings
        return twin

    @property
    def settings(self) -> Settings:
        """How it is run."""
        return self._settings

    @property
    def stages(self) -> tuple[Reranker, ...]:
        """The rerankers it consists of: itself, unless it is a chain."""
        return (self,)

    @property
    def config(self) -> dict[str, JSON]:
        """The constructor's arguments, as JSON values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        """The spec that makes it; arguments at their defaults are left out."""
        return str(Call.of(self.name, self))

    # -- how it is done ------------------------------------------------------------------------

    def _check_needs(self, settings: Settings) -> None:
        for part in self.stages:
            lack = part._lacks(settings)
            if lack is not None:
                raise InputError(f"{part!r} {lack}")

    def _lacks(self, settings: Settings) -> str | None:
        """What it does that ``settings`` have no model for, and what to pass; None where they have all it needs."""
        if self.needs_llm and settings.model is None:
            return "asks a language model: pass llm=, a LangChain chat model or a function"
        if self.needs_embedder and settings.embedder is None:
            return "embeds texts: pass embedding="
        return None

    def _reranking(self, query: str, ranking: Ranking, k: int | None) -> Flow[Ranking]:
        _check(query, ranking, k)
        self._check_needs(self._settings)
        ledger = Ledger(self._settings.budget)
        run = Run(self._settings, ledger, method=repr(self), query=query, k=k)
        order = yield from self.ordered(query, ranking, run)
        done = placed(ranking, order)
        return replace(done, candidates=done.candidates[:k], query=query, report=run.report())

    def ordered(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        """A complete order of ``ranking``, whatever happens: for a chain, which has a run for each of its stages.

        Raises
        ------
        InputError, MissingExtraError, RerankError
            As for :meth:`rerank`.
        """
        try:
            positions = self._usable(query, ranking)
            if len(positions) < len(ranking):
                run.remark(f"{len(ranking) - len(positions)} of {len(ranking)} passages have no text, and come last")
            part = ranking if len(positions) == len(ranking) else part_of(ranking, positions)
            order = yield from self._order_of(query, part, run)
        except _UnusableError as error:
            run.fail(str(error))
            return Order.unchanged(len(ranking))
        if order.kind == "first stage":
            return Order.unchanged(len(ranking))
        return order.of(positions).completed(len(ranking))

    def _order_of(self, query: str, part: Ranking, run: Run) -> Flow[Order]:
        if not part or (len(part) == 1 and self.compares):
            return Order.unchanged(len(part))
        try:
            order = (yield from self._rerank(query, part, run)).completed(len(part))
        except (InputError, MissingExtraError, RerankError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever goes wrong, no document is lost
            run.fail(told(error), error)
            return run.best.completed(len(part)) if run.best else Order.unchanged(len(part))
        if run.unanswered is None:
            return order
        if run.ended_early is None:
            run.fail(run.unanswered)
        return Order.unchanged(len(part))

    def _without_vectors(self, ranking: Ranking) -> bool:
        """Whether vectors that the method reads are missing."""
        return any(candidate.vector is None for candidate in ranking)

    def _usable(self, query: str, ranking: Ranking) -> list[int]:
        """Positions of the candidates that the method can read."""
        if ranking and not query.strip():
            raise _UnusableError("the query is blank")
        if self.needs_vectors and self._without_vectors(ranking):
            raise _UnusableError("candidates have no vector: search with with_vectors=True")
        if not self.needs_text:
            return list(range(len(ranking)))
        positions = [p for p, candidate in enumerate(ranking) if candidate.text and candidate.text.strip()]
        if ranking and not positions:
            raise _UnusableError("no passage has a text")
        return positions


def placed(ranking: Ranking, order: Order) -> Ranking:
    """``ranking`` in a complete ``order``, with its scores, and the first-stage scores kept beside them."""
    if order.scores is None and not all(map(math.isfinite, ranking.scores)):
        order = Order.by_rank(order.positions).completed(len(ranking))
    scores, kind = (ranking.scores, ranking.score_kind) if order.scores is None else (order.scores, order.kind)
    chosen = [ranking.candidates[position] for position in order.positions]
    return replace(ranking, candidates=tuple(map(_scored, chosen, scores)), score_kind=kind)


class _UnusableError(Exception):
    """The method has nothing to work on; the message says why."""


def _scored(candidate: Candidate, score: float) -> Candidate:
    first = candidate.score if candidate.first_stage_score is None else candidate.first_stage_score
    return replace(candidate, score=score, first_stage_score=first)


def part_of(ranking: Ranking, positions: Sequence[int]) -> Ranking:
    """The candidates at ``positions``."""
    return replace(ranking, candidates=tuple(ranking[position] for position in positions))


def _check(query: object, ranking: object, k: object) -> None:
    if not isinstance(query, str):
        raise InputError(f"query must be a str, got {type(query).__name__}")
    if not isinstance(ranking, Ranking):
        raise InputError(f"ranking must be an octant.Ranking, as a search returns it; got {type(ranking).__name__}")
    if k is not None:
        whole("k", k, least=1)
