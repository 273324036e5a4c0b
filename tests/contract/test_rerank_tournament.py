"""The tournament: the top of a list for fewer tokens, an early end, a limit on calls."""

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


def long_ranking(grades: list[int]) -> Ranking:
    """Passages of some 90 tokens that begin with how relevant they are."""
    words = " and some more words" * 18
    return Ranking(tuple(Candidate(grade, 1 - i / 1000, f"passage {grade}{words}") for i, grade in enumerate(grades)))


def by_beginning(prompt: str) -> str:
    """The perfect judge of passages that begin with how relevant they are."""
    ordered = sorted(shown(prompt), key=lambda passage: -int(passage[1].split()[1]))
    return " > ".join(f"[{label}]" for label, _ in ordered)


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_top_of_any_order(seed: int) -> None:
    grades = random.Random(seed).sample(range(100), 100)
    result = octant.reranker("tournament(finals=4, patience=2)", Chat(by_number)).rerank(QUERY, ranking(grades))
    assert result.ids[0] == 99
    assert len(set(ALL) & set(result.ids[:10])) >= 9
    assert sorted(result.ids) == list(range(100))


def test_it_takes_less_than_half_the_tokens_of_a_window() -> None:
    reports = {}
    for spec in ("tournament", "listwise"):
        result = octant.reranker(spec, by_beginning).rerank(QUERY, long_ranking(roughly(100)))
        assert set(result.ids[:10]) == set(ALL)
        reports[spec] = result.report
    assert reports["tournament"].calls <= 7
    assert reports["tournament"].input_tokens < 0.5 * reports["listwise"].input_tokens


def test_groups_are_skimmed_and_finalists_read_in_full() -> None:
    llm = Chat(by_beginning)
    result = octant.reranker("tournament(skim=16, finals=1)", llm).rerank(QUERY, long_ranking(list(range(40, 0, -1))))
    sizes = [{len(text) for _, text in shown(prompt)} for prompt in llm.prompts]
    assert all(size <= 64 for groups in sizes[:2] for size in groups)
    assert all(size > 300 for size in sizes[2])
    assert {label for label, _ in shown(llm.prompts[2])} == {str(place) for place in range(1, 21)}
    assert result.report.statistics["finals"] == 1


def test_groups_are_dealt_so_that_strong_ones_meet_late() -> None:
    llm = Chat(by_number)
    octant.reranker("tournament", llm, concurrency=1).rerank(QUERY, ranking(list(range(99, -1, -1))))
    groups = [[int(text.split()[-1]) for _, text in shown(prompt)] for prompt in llm.prompts[:5]]
    assert groups == [list(range(99 - first, -1, -5)) for first in range(5)]


def test_it_stops_when_the_top_is_settled_and_tells_how_deep_it_looked() -> None:
    result = octant.reranker("tournament(finals=9)", Chat(by_number)).rerank(QUERY, ranking(list(range(99, -1, -1))))
    assert result.ids[:10] == ALL
    assert result.report.calls == 6
    assert result.report.statistics["candidates the model looked at"] == 100
    assert result.report.statistics["trust in the first stage"] > 0.5


def test_an_order_upside_down_is_not_trusted() -> None:
    result = octant.reranker("tournament(finals=4)", Chat(by_number)).rerank(QUERY, ranking(list(range(100))))
    assert len(set(ALL) & set(result.ids[:10])) >= 9
    assert result.report.statistics["trust in the first stage"] < 0.1


def test_one_answer_that_errs_does_not_decide() -> None:
    """The judge puts the best eleventh in its first final: the groups and the other finals speak for it."""
    asked = iter(range(100))

    def errs(prompt: str) -> str:
        order = by_number(prompt).split(" > ")
        return " > ".join(order[1:11] + order[:1] + order[11:] if next(asked) == 5 else order)

    result = octant.reranker("tournament(finals=3, patience=9)", errs, concurrency=1).rerank(
        QUERY, ranking(roughly(100))
    )
    assert result.report.calls == 8
    assert 99 in result.ids[:10]


@pytest.mark.parametrize(("calls", "seen"), [(1, 20), (2, 20), (3, 40), (5, 80), (6, 100)])
def test_calls_have_a_limit(calls: int, seen: int) -> None:
    llm = Chat(by_number)
    result = octant.reranker(f"tournament(calls={calls})", llm).rerank(QUERY, ranking(list(range(100))))
    assert len(llm.prompts) <= calls
    assert result.ids[seen:] == tuple(range(seen, 100))
    assert result.report.statistics["candidates the model looked at"] == seen
    assert sorted(result.ids) == list(range(100))
    assert result.ids[0] >= 19


def test_short_lists_take_one_call() -> None:
    llm = Chat(by_number)
    assert octant.reranker("tournament", llm).rerank(QUERY, ranking([1, 3, 2])).ids == (3, 2, 1)
    assert len(llm.prompts) == 1


def test_groups_are_asked_side_by_side_and_shuffled_alike() -> None:
    how = {"concurrency": 8, "shuffle": True, "seed": 5}
    rankings = [octant.reranker("tournament", by_number, **how).rerank(QUERY, ranking(roughly(100))) for _ in range(3)]
    assert rankings[0].ids == rankings[1].ids == rankings[2].ids


def test_only_the_places_that_are_wanted_have_to_settle() -> None:
    calls = []
    for k in (1, None):
        result = octant.reranker("tournament(finals=6)", Chat(by_number)).rerank(QUERY, ranking(roughly(100, 3)), k)
        assert result.ids[0] == 99
        calls.append(result.report.calls)
    assert calls[0] <= calls[1]


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
