"""What lies between a reranker and its model: concurrency, retries, budgets, cancellation, tokens, and the cache."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel, ParrotFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage

from made_rerankers import (
    PATIENCE,
    QUERY,
    Counting,
    Graded,
    OneByOne,
    StatusError,
    failing_at_first,
    last_number,
    ranking,
    until,
)
from octant import Ranking, RerankReport, reranker
from octant.rerankers import Answer, Message, Prompt, TokenLogprob, Usage
from octant.rerankers.cache import AnswerCache, key
from octant.rerankers.failures import passes, wait_s
from octant.rerankers.model import bytes_over_four
from octant.token_logprobs import token_logprobs, whole

BEST_FIRST = ("p5", "p4", "p3", "p2", "p1", "p0")
FAST = {"backoff": 0.001}

Drive = Callable[..., Ranking]


def driven(made: Any, *arguments: Any) -> Ranking:
    return asyncio.run(made.arerank(*arguments))


def plainly(made: Any, *arguments: Any) -> Ranking:
    return made.rerank(*arguments)


@pytest.fixture(params=[plainly, driven], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """A reranker's work, done in both ways."""
    return request.param


def report_of(done: Ranking) -> RerankReport:
    assert done.report is not None
    return done.report


# -- models --------------------------------------------------------------------------------------


def in_order(count: int) -> list[str]:
    return [str(i) for i in range(count)]


async def async_model(text: str) -> str:
    await asyncio.sleep(0)
    return last_number(text)


class Message2:
    """A message whose content is blocks, as newer models answer."""

    def __init__(self, text: str) -> None:
        self.content = [{"type": "reasoning", "reasoning": "99"}, {"type": "text", "text": text}]


class Spoken:
    """A callable object."""

    def __call__(self, text: str) -> Message2:
        return Message2(last_number(text))


@pytest.mark.parametrize(
    "llm",
    [
        last_number,
        lambda text: iter(["", last_number(text)]),  # a stream
        Spoken(),
        Counting(),
        Counting(answer=lambda text: AIMessage(last_number(text))),
        FakeListChatModel(responses=in_order(6)),
        GenericFakeChatModel(messages=iter(AIMessage(text) for text in in_order(6))),
        ParrotFakeChatModel(),
    ],
    ids=["function", "stream", "blocks", "invoke", "message", "list", "generic", "parrot"],
)
def test_any_model_will_do(llm: Any) -> None:
    done = reranker(Graded(), llm, concurrency=1).rerank(QUERY, ranking(6))
    assert done.ids == BEST_FIRST
    assert report_of(done).calls == 6


def test_an_async_function_is_awaited() -> None:
    assert driven(reranker(Graded(), async_model), QUERY, ranking(6)).ids == BEST_FIRST


async def test_chat_models_are_asked_in_turns() -> None:
    seen: list[list[BaseMessage]] = []

    class Listening(FakeListChatModel):
        def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
            seen.append(messages)
            return "1"

    await reranker(Graded(), Listening(responses=[])).arerank("{braces} stay", ranking(1))
    assert [(message.type, message.content) for message in seen[0]] == [
        ("system", "Grade it."), ("human", "{braces} stay\npassage 0"),
    ]  # fmt: skip


# -- concurrency ---------------------------------------------------------------------------------


def test_as_many_requests_as_allowed_are_under_way_at_once(drive: Drive) -> None:
    model = Counting(meet=3)
    assert drive(reranker(Graded(), model, concurrency=3), QUERY, ranking(9)).ids[0] == "p8"
    assert model.most == 3
    blocking = Counting(meet=3)
    drive(reranker(Graded(), lambda text: blocking.invoke([("human", text)]), concurrency=3), QUERY, ranking(9))
    assert blocking.most == 3


async def test_the_limit_holds_over_all_rankings_of_one_reranker() -> None:
    model = Counting(0.01, meet=2)
    made = reranker(Graded(), model, concurrency=2)
    done = await asyncio.gather(*(made.arerank(f"query {i}", ranking(4)) for i in range(5)))
    assert len(done) == 5
    assert model.most == 2


async def test_a_slow_function_does_not_hold_up_the_event_loop() -> None:
    asked, freed = threading.Event(), threading.Event()

    def slow(text: str) -> str:
        asked.set()
        assert freed.wait(PATIENCE), "the event loop is held up: it never got to free this"
        return last_number(text)

    task = asyncio.create_task(reranker(Graded(), slow, on_failure="raise").arerank(QUERY, ranking(4)))
    await until(asked.is_set)
    assert not task.done()
    freed.set()
    assert (await task).ids[0] == "p3"


def test_the_callers_context_reaches_the_model(drive: Drive) -> None:
    trace = contextvars.ContextVar("trace", default="none")
    trace.set("mine")
    seen: list[str] = []

    def traced(text: str) -> str:
        seen.append(trace.get())
        return "1"

    drive(reranker(Graded(), traced, max_seconds=30), QUERY, ranking(4))
    assert seen == ["mine"] * 4


# -- cancellation --------------------------------------------------------------------------------


async def cancelled_when(made: Any, asked: list[str], count: int) -> None:
    """Cancel once ``count`` questions have been asked; nothing is left behind."""
    task = asyncio.create_task(made.arerank(QUERY, ranking(6)))
    await until(lambda: len(asked) == count)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_cancelling_ends_the_requests_under_way_and_sends_no_more() -> None:
    model = Counting(600)  # longer than a test may take
    asyncio.run(cancelled_when(reranker(Graded(), model, concurrency=2), model.asked, 2))
    assert (len(model.asked), model.cancelled) == (2, 2)


def test_cancelling_does_not_wait_for_a_function() -> None:
    free = threading.Event()
    asked: list[str] = []

    def stuck(text: str) -> str:
        asked.append(text)
        free.wait(600)  # longer than a test may take
        return "1"

    try:
        asyncio.run(cancelled_when(reranker(Graded(), stuck, concurrency=2), asked, 2))
        assert len(asked) == 2
    finally:
        free.set()


class StuckAfterThree(Counting):
    """Hangs from the fourth question on, unless it is freed."""

    free = False

    async def ainvoke(self, messages: list[tuple[str, str]]) -> Any:
        self.seconds = 0.0 if self.free or len(self.asked) < 3 else 600.0
        return await super().ainvoke(messages)


def test_what_was_answered_before_a_cancellation_is_kept(tmp_path: Path) -> None:
    stuck, freed = StuckAfterThree(), StuckAfterThree()
    freed.free = True
    asyncio.run(cancelled_when(reranker(Graded(), stuck, concurrency=1, cache=tmp_path / "answers"), stuck.asked, 4))
    assert len(stuck.asked) == 4
    done = driven(reranker(Graded(), freed, cache=tmp_path / "answers"), QUERY, ranking(6))
    assert done.ids == BEST_FIRST
    assert (report_of(done).cache_hits, report_of(done).calls) == (3, 3)


# -- retries -------------------------------------------------------------------------------------


def test_passing_failures_are_tried_again(drive: Drive) -> None:
    errors = iter(
        [StatusError("slow down", 429), ConnectionError("reset"), TimeoutError("late"), StatusError("x", 503)]
    )
    done = drive(reranker(Graded(), failing_at_first(errors), **FAST), QUERY, ranking(6))
    report = report_of(done)
    assert done.ids == BEST_FIRST
    assert (report.calls, report.retries, report.failure) == (10, 4, None)


def test_a_lasting_failure_is_not_tried_again_and_costs_only_its_own_passage() -> None:
    def picky(text: str) -> str:
        if "passage 4" in text:
            raise StatusError("context_length_exceeded", 400)
        return last_number(text)

    done = reranker(Graded(), picky, concurrency=1, **FAST).rerank(QUERY, ranking(6))
    report = report_of(done)
    assert done.ids == ("p5", "p3", "p2", "p1", "p0", "p4")
    assert (report.calls, report.retries, report.failure) == (6, 0, None)
    assert report.remarks == ("1 of 6 questions got no answer: StatusError: context_length_exceeded",)


def test_a_model_that_never_answers_is_not_asked_for_ever(drive: Drive) -> None:
    asked: list[str] = []

    def dead(text: str) -> str:
        asked.append(text)
        raise StatusError("invalid api key", 401)

    done = drive(reranker(Graded(), dead, concurrency=1), QUERY, ranking(50))
    assert len(asked) == 3
    assert done.ids == ranking(50).ids
    assert done.scores == ranking(50).scores
    assert "invalid api key" in (report_of(done).failure or "")


def test_the_number_of_retries_is_the_callers() -> None:
    errors = iter([ConnectionError("down")] * 100)
    done = reranker(Graded(), failing_at_first(errors), retries=2, **FAST).rerank(QUERY, ranking(1))
    assert (report_of(done).calls, report_of(done).retries) == (3, 2)
    assert report_of(done).failure == "graded: ConnectionError: down"


def test_waits_double_up_to_a_minute_or_are_what_the_provider_asks_for() -> None:
    error = ConnectionError()
    for attempt, most in [(0, 1.0), (1, 2.0), (3, 8.0), (9, 60.0), (5000, 60.0)]:
        assert all(most / 2 <= wait_s(error, attempt, 1.0) <= most for _ in range(20))
    assert wait_s(StatusError("x", 429, "7"), 0, 1.0) == 7.0
    assert wait_s(StatusError("x", 429, "Wed, 21 Oct 2026"), 0, 1.0) <= 1.0


class APIConnectionError(Exception):
    """Named as providers name it."""


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (StatusError("x", 429), True), (StatusError("x", 529), True), (StatusError("x", 400), False),
        (StatusError("x", 401), False), (TimeoutError(), True), (ConnectionResetError(), True),
        (APIConnectionError(), True), (ValueError(), False), (asyncio.TimeoutError(), True),
    ],
)  # fmt: skip
def test_which_failures_pass(error: Exception, passing: bool) -> None:
    assert passes(error) is passing


def test_a_model_that_hangs_is_given_up(drive: Drive) -> None:
    first, free = iter([True]), threading.Event()

    def hangs_once(text: str) -> str:
        if next(first, False):
            free.wait(600)  # longer than a test may take
        return last_number(text)

    try:
        done = drive(reranker(Graded(), hangs_once, timeout=1, retries=20, **FAST), QUERY, ranking(6))
    finally:
        free.set()
    assert done.ids == BEST_FIRST
    assert report_of(done).retries >= 1  # one, unless the machine takes a second over an answer


# -- budgets -------------------------------------------------------------------------------------


def test_max_calls_ends_with_the_best_order_so_far(drive: Drive) -> None:
    model = Counting()
    done = drive(reranker(OneByOne(), model, max_calls=3), QUERY, ranking(6))
    report = report_of(done)
    assert done.ids == ("p2", "p1", "p0", "p3", "p4", "p5")
    assert (len(model.asked), report.calls) == (3, 3)
    assert (report.ended_early, report.failure) == ("max_calls=3 was reached", None)


def test_retries_count_as_calls() -> None:
    errors = iter([ConnectionError("down")] * 100)
    done = reranker(Graded(), failing_at_first(errors), max_calls=2, retries=9, **FAST).rerank(QUERY, ranking(1))
    assert (report_of(done).calls, report_of(done).ended_early) == (2, "max_calls=2 was reached")


def test_max_tokens_counts_what_is_under_way(drive: Drive) -> None:
    model = Counting(meet=3)
    made = reranker(Graded(), model, max_tokens=100, count_tokens=lambda text: 10, prices=(2.0, 10.0))
    done = drive(made, QUERY, ranking(6))  # a prompt is 2 * (10 + 4) tokens, an answer 10
    report = report_of(done)
    assert len(model.asked) == 3
    assert (report.input_tokens, report.output_tokens) == (84, 30)
    assert report.ended_early == "max_tokens=100 would have been exceeded"
    assert report.cost == pytest.approx((84 * 2 + 30 * 10) / 1e6)
    assert report.counted_by == "estimate"


def test_max_seconds_gives_up_what_is_under_way(drive: Drive) -> None:
    free = threading.Event()

    def slower(text: str) -> str:
        if "passage 0" not in text:
            free.wait(600)  # longer than a test may take
        return last_number(text)

    try:
        done = drive(reranker(OneByOne(), slower, max_seconds=0.4), QUERY, ranking(6))
    finally:
        free.set()
    assert done.ids == ranking(6).ids
    assert report_of(done).ended_early == "max_seconds=0.4 was over"
    assert report_of(done).failure is None


def test_no_wait_goes_beyond_max_seconds(drive: Drive) -> None:
    errors = iter([StatusError("slow down", 429, "3600")])
    # Waiting the hour that the provider asks for would be the end of the test.
    done = drive(reranker(Graded(), failing_at_first(errors), max_seconds=20), QUERY, ranking(1))
    assert (done.scores, report_of(done).ended_early) == (ranking(1).scores, "max_seconds=20 was over")


def test_a_budget_spent_before_the_first_answer_leaves_the_first_stage_scores() -> None:
    done = reranker(Graded(), last_number, max_tokens=1).rerank(QUERY, ranking(4))
    assert (done.scores, done.score_kind) == (ranking(4).scores, "first stage")
    assert report_of(done).calls == 0


def test_a_spent_budget_is_no_failure_to_the_strict() -> None:
    done = reranker(OneByOne(), last_number, max_calls=2, on_failure="raise").rerank(QUERY, ranking(4))
    assert report_of(done).ended_early == "max_calls=2 was reached"


# -- tokens --------------------------------------------------------------------------------------


def told(text: str) -> AIMessage:
    usage = {"input_tokens": 100, "output_tokens": 7, "total_tokens": 107}
    return AIMessage(last_number(text), usage_metadata=usage)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        told,
        lambda t: AIMessage(
            last_number(t), response_metadata={"token_usage": {"prompt_tokens": 100, "completion_tokens": 7}}
        ),
        lambda t: AIMessage(last_number(t), response_metadata={"usage": {"input_tokens": 100, "output_tokens": 7}}),
    ],
)
def test_tokens_are_the_providers_where_it_tells(answer: Callable[[str], AIMessage]) -> None:
    report = report_of(reranker(Graded(), Counting(answer=answer)).rerank(QUERY, ranking(3)))
    assert (report.input_tokens, report.output_tokens, report.counted_by) == (300, 21, "provider")
    assert report.model == "counting-1"


def test_tokens_are_estimated_where_nobody_tells() -> None:
    report = report_of(reranker(Graded(), last_number).rerank(QUERY, ranking(1)))
    prompt = bytes_over_four("Grade it.") + 4 + bytes_over_four(f"{QUERY}\npassage 0") + 4
    assert (report.input_tokens, report.output_tokens, report.counted_by) == (prompt, 1, "estimate")
    mixed = Counting(answer=lambda text: told(text) if "passage 0" in text else last_number(text))
    assert report_of(reranker(Graded(), mixed).rerank(QUERY, ranking(2))).counted_by == "both"


# -- log-probabilities and schemas ---------------------------------------------------------------

OPENAI = [
    {"token": "7", "logprob": -0.5, "top_logprobs": [{"token": "8", "logprob": -2}, {"token": "7", "logprob": -0.5}]}
]
SEVEN = (TokenLogprob("7", -0.5, (("7", -0.5), ("8", -2.0))),)


@pytest.mark.parametrize(
    "raw",
    [
        {"content": OPENAI},
        OPENAI,
        {"tokens": ["7"], "token_logprobs": [-0.5], "top_logprobs": [{"8": -2, "7": -0.5}]},
    ],
)
def test_log_probabilities_are_read_in_each_form(raw: Any) -> None:
    assert token_logprobs(raw) == SEVEN


@pytest.mark.parametrize(
    "raw",
    [None, {}, [], "no", {"content": None}, [{"token": "7"}], [{"token": "7", "logprob": None}], [3], {"tokens": 3},
     [{"token": "7", "logprob": float("nan")}], [{"token": "7", "logprob": 2.0}], {"content": "text"}, 7],
)  # fmt: skip
def test_what_are_no_log_probabilities_is_none(raw: Any) -> None:
    assert whole(token_logprobs(raw)) is None


class Bindable(GenericFakeChatModel):
    """Gives log-probabilities where it is asked for them."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._generate(*args, **{k: v for k, v in kwargs.items() if "logprobs" not in k})
        if kwargs.get("logprobs"):
            assert kwargs["top_logprobs"] == 5
            result.generations[0].message.response_metadata = {"logprobs": {"content": OPENAI}}
        return result


def test_log_probabilities_come_with_the_answer(drive: Drive) -> None:
    method = Graded("logprobs")
    made = reranker(method, Bindable(messages=iter([AIMessage("7")])))
    drive(made, QUERY, ranking(1))
    assert [answer.logprobs for answer in made.answers] == [SEVEN]  # type: ignore[attr-defined]


class Refusing(Counting):
    """Refuses what it does not know, as providers do."""

    def bind(self, **extras: Any) -> Any:
        def refuse(messages: Any) -> Any:
            raise StatusError(f"unknown parameters {sorted(extras)}", 400)

        async def arefuse(messages: Any) -> Any:
            refuse(messages)

        return type("Bound", (), {"invoke": staticmethod(refuse), "ainvoke": staticmethod(arefuse)})()


def test_a_model_that_refuses_log_probabilities_is_asked_without(drive: Drive) -> None:
    done = drive(reranker(Graded("logprobs"), Refusing(), concurrency=1), QUERY, ranking(6))
    report = report_of(done)
    assert done.ids == BEST_FIRST
    assert (report.calls, report.retries) == (7, 0)
    assert report.remarks == (
        "asked without log-probabilities: the model refused it: "
        "StatusError: unknown parameters ['logprobs', 'top_logprobs']",
    )


def test_a_failure_that_is_no_refusal_is_not_taken_for_one() -> None:
    class Locked(Refusing):
        def bind(self, **extras: Any) -> Any:
            return Counting(answer=raising(StatusError("bad key", 401)))

    report = report_of(reranker(Graded("logprobs"), Locked(), concurrency=1).rerank(QUERY, ranking(1)))
    assert (report.calls, report.remarks) == (1, ())
    assert "bad key" in (report.failure or "")


def raising(error: Exception) -> Callable[[str], str]:
    def model(text: str) -> str:
        raise error

    return model


@pytest.mark.parametrize("extra", ["logprobs", "schema"])
def test_a_model_that_cannot_be_asked_for_more_is_asked_for_text(extra: str, drive: Drive) -> None:
    done = drive(reranker(Graded(extra), Counting(), concurrency=1, max_calls=6), QUERY, ranking(6))
    assert done.ids == BEST_FIRST
    assert report_of(done).calls == 6  # what was never sent does not count


class Structured(Counting):
    """Answers by a schema."""

    def with_structured_output(self, schema: dict[str, Any], *, include_raw: bool) -> Any:
        assert schema["title"] == "grade"
        assert include_raw

        def invoke(messages: list[tuple[str, str]]) -> Any:
            parsed = {"grade": int(last_number(messages[-1][1]))}
            return {"raw": AIMessage(""), "parsed": parsed, "parsing_error": None}

        return type("Bound", (), {"invoke": staticmethod(invoke)})()


def test_a_structured_answer_is_handed_over() -> None:
    made = reranker(Graded("schema"), Structured(), concurrency=1)
    assert made.rerank(QUERY, ranking(6)).ids == BEST_FIRST
    assert [answer.parsed for answer in made.answers] == [{"grade": i} for i in range(6)]  # type: ignore[attr-defined]
    assert made.answers[3].text == '{"grade": 3}'  # type: ignore[attr-defined]


# -- the cache -----------------------------------------------------------------------------------


def test_answers_are_kept_between_runs(tmp_path: Path, drive: Drive) -> None:
    path = tmp_path / "answers.sqlite"
    first, second = Counting(), Counting()
    one = drive(reranker(Graded(), first, cache=path), QUERY, ranking(6))
    two = drive(reranker(Graded(), second, cache=str(path), prices=(1, 1)), QUERY, ranking(6))
    assert one == two
    assert (len(first.asked), len(second.asked)) == (6, 0)
    report = report_of(two)
    assert (report.calls, report.cache_hits, report.input_tokens, report.cost) == (0, 6, 0, 0.0)
    assert len(drive(reranker(Graded(), second, cache=path), "another query", ranking(6))) == 6
    assert len(second.asked) == 6


def test_another_method_or_model_asks_anew(tmp_path: Path) -> None:
    made = {"cache": tmp_path / "answers"}
    reranker(Graded(), last_number, model="a", **made).rerank(QUERY, ranking(3))
    for method, model, hits in [(Graded(), "a", 3), (Graded(), "b", 0), (Graded("logprobs"), "a", 0)]:
        found = report_of(reranker(method, last_number, model=model, **made).rerank(QUERY, ranking(3)))
        assert found.cache_hits == hits


def test_queries_and_passages_are_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    reranker(Graded(), lambda _: "1", model="a", cache=path).rerank("topsecret", ranking(3))
    data = path.read_bytes()
    assert b"topsecret" not in data
    assert b"passage" not in data


def test_nothing_is_not_kept(tmp_path: Path) -> None:
    made = {"cache": tmp_path / "answers", "model": "a"}
    reranker(Graded(), lambda _: " ", **made).rerank(QUERY, ranking(3))
    assert report_of(reranker(Graded(), last_number, **made).rerank(QUERY, ranking(3))).cache_hits == 0


numbers = st.floats(max_value=0, allow_nan=False)
top = st.lists(st.tuples(st.text(max_size=3), numbers), max_size=3).map(tuple)
logprobs = st.lists(st.builds(TokenLogprob, st.text(max_size=5), numbers, top), min_size=1, max_size=3).map(tuple)
usages = st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["provider", "estimate"]))
parsed = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
answers = st.builds(Answer, st.text(), st.none() | logprobs, usages, st.none() | parsed)


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers")

    @given(answers)
    def check(answer: Answer) -> None:
        cache.put("k", answer)
        assert cache.find(["k", "other"]) == {"k": replace(answer, cached=True)}

    check()


def test_thousands_of_keys_are_found_at_once(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers")
    cache.put("key 1234", Answer("yes"))
    assert list(cache.find([f"key {i}" for i in range(3000)])) == ["key 1234"]


texts = st.text(max_size=8)
prompts = st.builds(
    Prompt,
    st.lists(st.builds(Message, st.sampled_from(["system", "human"]), texts), max_size=3).map(tuple),
    texts, texts, st.lists(texts, max_size=3).map(tuple), st.integers(0, 2), st.none(), st.integers(0, 2),
)  # fmt: skip
questions = st.tuples(prompts, texts, texts)


@given(questions, questions)
def test_keys_are_equal_exactly_where_questions_are(one: Any, other: Any) -> None:
    keys = [key(prompt, method=method, model=model) for prompt, method, model in (one, other)]
    assert (keys[0] == keys[1]) is (one == other)
    assert key(replace(one[0]), method=one[1], model=one[2]) == keys[0]


@given(prompts, st.sampled_from(["messages", "version", "query", "passages", "logprobs", "schema", "sample"]))
def test_every_part_of_a_question_is_in_its_key(prompt: Prompt, part: str) -> None:
    changed: dict[str, Any] = {
        "messages": (*prompt.messages, Message("human", "")), "version": prompt.version + "x",
        "query": prompt.query + "x", "passages": (*prompt.passages, ""), "logprobs": prompt.logprobs + 1,
        "schema": {"title": "x"}, "sample": prompt.sample + 1,
    }  # fmt: skip
    other = replace(prompt, **({"logprobs": 0} if part == "schema" else {}))
    assert key(replace(other, **{part: changed[part]}), method="m", model="m") != key(other, method="m", model="m")


def test_passages_are_told_apart_by_where_they_end() -> None:
    keys = {
        key(Prompt((), "1", "q", passages), method="m", model="m") for passages in [("ab", "c"), ("a", "bc"), ("abc",)]
    }
    assert len(keys) == 3


WRITER = """
import sys
from octant.rerankers import Answer
from octant.rerankers.cache import AnswerCache
cache = AnswerCache(sys.argv[1])
for i in range(40):
    cache.put(f"shared {i}", Answer(f"answer {i}"))
    cache.put(f"{sys.argv[2]} {i}", Answer("own"))
    assert cache.find([f"shared {i}"])[f"shared {i}"].text == f"answer {i}"
"""


def test_processes_share_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)], stderr=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for process in running:
        assert process.wait(PATIENCE) == 0, process.stderr and process.stderr.read()
        if process.stderr:
            process.stderr.close()
    names = [f"{who} {i}" for who in ("shared", "0", "1", "2") for i in range(40)]
    assert set(AnswerCache(path).find(names)) == set(names)


def test_a_row_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    reranker(Graded(), last_number, model="a", cache=path).rerank(QUERY, ranking(3))
    bad = ["{", json.dumps([1]), json.dumps({"text": "3", "logprobs": 7, "usage": {}, "parsed": None})]
    connection = sqlite3.connect(path)
    with connection:
        for text, (name,) in zip(bad, connection.execute("SELECT key FROM answers").fetchall(), strict=True):
            connection.execute("UPDATE answers SET answer = ? WHERE key = ?", (text, name))
    connection.close()
    done = reranker(Graded(), last_number, model="a", cache=path).rerank(QUERY, ranking(3))
    assert (done.ids, report_of(done).calls) == (("p2", "p1", "p0"), 3)


def test_a_cache_that_breaks_on_the_way_costs_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    made = reranker(Graded(), last_number, model="a", cache=path)
    path.write_bytes(b"no database" * 100)
    done = made.rerank(QUERY, ranking(3))
    assert done.ids == ("p2", "p1", "p0")
    assert "cannot be used" in report_of(done).remarks[0]


# -- shuffling -----------------------------------------------------------------------------------


def test_positions_are_shuffled_anew_for_every_pass_and_alike_for_a_seed() -> None:
    from made_rerankers import Placing
    from octant.rerankers import Order

    class Passes(Placing):
        def _rerank(self, query: str, ranking: Ranking, run: Any) -> Any:
            yield from ()
            seen.append([tuple(run.shuffled(len(ranking))) for _ in range(3)])
            return Order.by_rank([])

    seen: list[list[tuple[int, ...]]] = []
    for settings in ({"shuffle": True}, {"shuffle": True}, {"shuffle": True, "seed": 1}, {}):
        reranker(Passes(), **settings).rerank(QUERY, ranking(9))
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) == 3
    assert all(sorted(order) == list(range(9)) for order in seen[0])
    assert seen[3] == [tuple(range(9))] * 3
