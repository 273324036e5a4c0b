"""Rankings, models and small rerankers that tests of reranking share."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from octant import Candidate, Ranking
from octant.flow import Flow
from octant.rerankers import Message, Order, Prompt, Reranker, Run

QUERY = "which number is largest?"


def ranking(count: int = 6) -> Ranking:
    """Passages "passage 0" to "passage n-1" with ids "p0"… and falling scores."""
    return Ranking(tuple(Candidate(f"p{i}", 1 - i / 100, f"passage {i}") for i in range(count)), QUERY)


class Graded(Reranker):
    """Asks for a grade of each passage; asks for log-probabilities or a schema too, where told so."""

    name = "graded"
    needs_llm = True
    compares = False

    def __init__(self, extra: str = "") -> None:
        self.extra = extra

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        wanted: dict[str, Any] = {
            "": {}, "logprobs": {"logprobs": 5},
            "schema": {"schema": {"title": "grade", "type": "object", "properties": {"grade": {"type": "integer"}}}},
        }[self.extra]  # fmt: skip
        self.answers = yield from run.ask([self._prompt(query, c.text or "", wanted) for c in ranking])
        return Order.by_score([self._grade(answer.text, run) for answer in self.answers], "grade")

    def _prompt(self, query: str, text: str, wanted: dict[str, Any]) -> Prompt:
        turns = (Message("system", "Grade it."), Message("human", f"{query}\n{text}"))
        return Prompt(turns, "1", query, (text,), **wanted)

    def _grade(self, text: str, run: Run) -> float | None:
        found = re.search(r"-?\d+", text)
        if found is None:
            run.note("fell back", "no number")
            return None
        run.note("parsed")
        return float(found[0])


class OneByOne(Reranker):
    """Asks about one passage after another, best so far kept: moves each that the model calls good to the front."""

    name = "one_by_one"
    needs_llm = True

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        order: list[int] = []
        for place, candidate in enumerate(ranking):
            answers = yield from run.ask([Prompt((Message("human", f"{candidate.text}?"),), "1", query)])
            if answers[0].text:
                order.insert(0, place)
                run.keep(Order.by_rank(order))
            elif answers[0].failure is None:
                run.note("fell back", "no word")
        return Order.by_rank(order)


class Placing(Reranker):
    """Returns, or raises, what it was made with."""

    name = "placing"

    def __init__(self, result: Any = None) -> None:
        self.result = result

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        self.seen, self.k = ranking, run.k
        yield from ()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(ranking) if callable(self.result) else self.result


def last_number(text: str) -> str:
    """A model that grades "passage 7" with 7."""
    return re.findall(r"\d+", text)[-1]


PATIENCE = 120.0
"""Seconds after which a test gives up on something that must happen, however slow the machine is."""


async def until(happened: Callable[[], bool]) -> None:
    """Leave the event loop to others until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.001)


class Counting:
    """A model in LangChain's form that counts who asks at once; none is answered before ``meet`` have met."""

    model_name = "counting-1"

    def __init__(self, seconds: float = 0.0, answer: Callable[[str], Any] = last_number, *, meet: int = 0) -> None:
        self.seconds, self.answer, self.meet = seconds, answer, meet
        self.asked: list[str] = []
        self.under_way = self.most = self.cancelled = 0
        self._lock, self._met = threading.Lock(), threading.Event()

    def invoke(self, messages: list[tuple[str, str]]) -> Any:
        self._enter(messages)
        assert self._met.wait(PATIENCE), f"{self.meet} requests were never under way at once"
        time.sleep(self.seconds)
        return self._leave(messages)

    async def ainvoke(self, messages: list[tuple[str, str]]) -> Any:
        self._enter(messages)
        try:
            await until(self._met.is_set)
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._leave(messages)

    def _enter(self, messages: list[tuple[str, str]]) -> None:
        with self._lock:
            self.asked.append(messages[-1][1])
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way >= self.meet:
                self._met.set()

    def _leave(self, messages: list[tuple[str, str]]) -> Any:
        with self._lock:
            self.under_way -= 1
        return self.answer(messages[-1][1])


def failing_at_first(errors: Iterator[Exception]) -> Callable[[str], str]:
    """A model that raises each of ``errors`` once, whoever asks, and then answers."""
    lock = threading.Lock()

    def model(text: str) -> str:
        with lock:
            error = next(errors, None)
        if error is not None:
            raise error
        return last_number(text)

    return model


class StatusError(Exception):
    """As providers' clients raise them."""

    def __init__(self, message: str, status: int, retry_after: str | None = None) -> None:
        super().__init__(message)
        headers = {} if retry_after is None else {"retry-after": retry_after}
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})()
