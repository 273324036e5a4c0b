"""The tournament: the top of a list in fewer calls, an early end, a limit on calls."""

from __future__ import annotations

import random

import pytest

import octant
from octant.records import Candidate, Ranking
from scripted_models import Chat, by_number, shown

QUERY = "which number is larger?"
ALL = tuple(range(99, 89, -1))


def ranking(grades: list[int]) -> Ranking:
    return Ranking(tuple(Candidate(grade, 1.0 - i / 1000, f"passage {grade}") for i, grade in enumerate(grades)), QUERY)


def roughly(count: int, seed: int = 0, noise: float = 15.0) -> list[int]:
    """Grades as a fair first stage ranks them."""
    rng = random.Random(seed)
    return sorted(range(count), key=lambda grade: -(grade + rng.gauss(0, noise)))


@pytest.mark.parametrize("seed", range(4))
def test_a_patient_tournament_finds_the_top_of_any_order(seed: int) -> None:
    grades = random.Random(seed).sample(range(100), 100)
    result = octant.reranker("tournament(patience=9)", Chat(by_number)).rerank(QUERY, ranking(grades))
    assert result.ids[:10] == ALL
    assert sorted(result.ids) == list(range(100))


def test_it_stops_when_the_top_is_settled_and_shows_half_of_what_windows_do() -> None:
    shows: dict[str, int] = {}
    for spec in ("tournament", "listwise"):
        llm = Chat(by_number)
        result = octant.reranker(spec, llm).rerank(QUERY, ranking(roughly(100)))
        assert result.ids[:10] == ALL
        shows[spec] = sum(len(shown(prompt)) for prompt in llm.prompts)
    assert shows["listwise"] == 180
    assert shows["tournament"] <= 90


def test_it_tells_how_deep_it_looked() -> None:
    result = octant.reranker("tournament(patience=1)", Chat(by_number)).rerank(QUERY, ranking(list(range(99, -1, -1))))
    assert result.ids == tuple(range(99, -1, -1))
    assert result.report.statistics["candidates the model looked at"] == 39
    assert result.report.calls == 2
    upside_down = octant.reranker("tournament", Chat(by_number)).rerank(QUERY, ranking(list(range(100))))
    assert (upside_down.ids[:10], upside_down.report.calls) == (ALL, 14)


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_calls_have_a_limit(calls: int) -> None:
    llm = Chat(by_number)
    result = octant.reranker(f"tournament(calls={calls})", llm).rerank(QUERY, ranking(list(range(100))))
    assert len(llm.prompts) <= calls
    assert sorted(result.ids) == list(range(100))
    assert result.ids[0] >= 19


def test_short_lists_take_one_call() -> None:
    llm = Chat(by_number)
    assert octant.reranker("tournament", llm).rerank(QUERY, ranking([1, 3, 2])).ids == (3, 2, 1)
    assert len(llm.prompts) == 1


@pytest.mark.parametrize("answer", ["", "I'm sorry, I cannot.", "[99] > [-1]"])
def test_unusable_answers_keep_the_order(answer: str) -> None:
    first = ranking(random.Random(0).sample(range(60), 60))
    result = octant.reranker("tournament", lambda prompt: answer).rerank(QUERY, first)
    assert result.ids == first.ids
    assert {note.kind for note in result.report.outputs} == {"fell back"}


def test_answers_that_name_few_lose_nothing() -> None:
    def three(prompt: str) -> str:
        return " > ".join(by_number(prompt).split(" > ")[:3])

    result = octant.reranker("tournament(patience=9)", three).rerank(QUERY, ranking(list(range(50))))
    assert result.ids[:3] == (49, 48, 47)
    assert sorted(result.ids) == list(range(50))
