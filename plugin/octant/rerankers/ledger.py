"""What a reranking has spent so far, and whether it may spend more; shared by all its threads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from octant.errors import told
from octant.records import PointId
from octant.rerank_report import Counter, OutputKind, OutputNote, RerankReport
from octant.rerankers.exchange import Usage
from octant.rerankers.settings import Budget, Prices

GIVE_UP_AFTER = 3
"""Calls that fail for good, with none answered, before a model is taken for dead."""


@dataclass
class Ledger:
    """The running account of one reranking.

    Attributes
    ----------
    budget : Budget
    ended_early : str or None
        The budget that was spent.
    stopped : str or None
        Why no call is sent any more although budgets allow it: cancelled, or a model that never answers.
    """

    budget: Budget
    ended_early: str | None = None
    stopped: str | None = None
    calls: int = 0
    retries: int = 0
    cache_hits: int = 0
    answered: int = 0
    failed: int = 0
    error: Exception | None = None
    usage: list[Usage] = field(default_factory=list)
    notes: list[OutputNote] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)
    justifications: dict[PointId, str] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._reserved = 0
        self._began = time.monotonic()

    # -- budgets -------------------------------------------------------------------------------

    @property
    def ended(self) -> str | None:
        """Why no call may be sent, if so."""
        if self.remaining() == 0:
            self.end_seconds()
        return self.stopped or self.ended_early

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None where they are not limited."""
        limit = self.budget.max_seconds
        return None if limit is None else max(0.0, self._began + limit - time.monotonic())

    def end_seconds(self) -> None:
        """Say that the time is over."""
        self._end(f"max_seconds={self.budget.max_seconds:g} was over")

    def reserve(self, tokens: int) -> str | None:
        """Account for a call whose prompt has so many tokens, or say why it must not be sent."""
        if self.ended:
            return self.ended
        budget = self.budget
        with self._lock:
            if budget.max_calls is not None and self.calls >= budget.max_calls:
                self._end(f"max_calls={budget.max_calls} was reached")
            elif budget.max_tokens is not None and self._spent() + self._reserved + tokens > budget.max_tokens:
                self._end(f"max_tokens={budget.max_tokens} would have been exceeded")
            else:
                self.calls += 1
                self._reserved += tokens
        return self.ended

    def settle(self, tokens: int, usage: Usage | None) -> None:
        """Put what a call used in place of what was reserved; None where it is not known that it used any."""
        with self._lock:
            self._reserved -= tokens
            if usage is not None:
                self.answered += 1
                self.usage.append(usage)

    def refund(self) -> None:
        """Take back a call that was never sent."""
        with self._lock:
            self.calls -= 1

    def fail(self, error: Exception, *, last: bool) -> None:
        """Count a call that failed for good; ``last``, or a model that never answers, is asked nothing more."""
        with self._lock:
            self.failed += 1
            self.error = error
            if last:
                self.stopped = self.stopped or told(error)
            elif self.answered + self.cache_hits == 0 and self.failed >= GIVE_UP_AFTER:
                self.stopped = self.stopped or f"the model failed {self.failed} times and never answered: {told(error)}"

    def _spent(self) -> int:
        return sum(usage.input_tokens + usage.output_tokens for usage in self.usage)

    def _end(self, why: str) -> None:
        self.ended_early = self.ended_early or why

    # -- notes ---------------------------------------------------------------------------------

    def add(self, *, retries: int = 0, cache_hits: int = 0) -> None:
        """Count."""
        with self._lock:
            self.retries += retries
            self.cache_hits += cache_hits

    def note(self, kind: OutputKind, what: str) -> None:
        """Keep a note on an output."""
        with self._lock:
            self.notes.append(OutputNote(kind, what))

    def remark(self, text: str) -> None:
        """Keep a remark, once."""
        with self._lock:
            self.remarks[text] = None

    # -- report --------------------------------------------------------------------------------

    def report(self, method: str, model: str | None, prices: Prices | None) -> RerankReport:
        """The account, closed."""
        asked = sum(usage.input_tokens for usage in self.usage)
        answered = sum(usage.output_tokens for usage in self.usage)
        return RerankReport(
            method=method,
            model=model,
            calls=self.calls,
            input_tokens=asked,
            output_tokens=answered,
            counted_by=self._counted_by(),
            cost=None if prices is None else prices.cost(asked, answered),
            seconds=time.monotonic() - self._began,
            retries=self.retries,
            cache_hits=self.cache_hits,
            outputs=tuple(self.notes),
            ended_early=self.ended_early,
            failure="; ".join(self.failures) or None,
            justifications=dict(self.justifications),
            statistics=dict(self.statistics),
            remarks=tuple(self.remarks),
        )

    def _counted_by(self) -> Counter:
        sources = {usage.source for usage in self.usage}
        if len(sources) == 2:
            return "both"
        return sources.pop() if sources else "none"
