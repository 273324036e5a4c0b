"""Pairwise reranking: both orders asked, conflicts are ties, three ways to sort."""

from __future__ import annotations

import random
import re

import pytest

import octant
from octant.records import Candidate, Ranking
from scripted_models import Chat

QUERY = "which is larger?"
METHODS = ["sliding", "heap", "all"]


def ranking(grades: list[int]) -> Ranking:
    return Ranking(tuple(Candidate(grade, 1.0 - i / 1000, f"passage {grade}") for i, grade in enumerate(grades)), QUERY)


def pair(prompt: str) -> tuple[int, int]:
    first, second = re.findall(r"passage (\d+)</passage>", prompt)
    return int(first), int(second)


def larger(prompt: str) -> str:
    first, second = pair(prompt)
    return "A" if first > second else "B"


@pytest.mark.parametrize("method", METHODS)
def test_the_best_come_first(method: str) -> None:
    grades = random.Random(1).sample(range(24), 24)
    result = octant.reranker(f"pairwise({method}, best=5)", larger).rerank(QUERY, ranking(grades))
    assert result.ids[:5] == (23, 22, 21, 20, 19)
    assert sorted(result.ids) == list(range(24))
    assert {note.kind for note in result.report.outputs} == {"parsed"}


def test_calls_are_what_the_method_says() -> None:
    grades = random.Random(2).sample(range(20), 20)
    calls = {
        method: octant.reranker(f"pairwise({method}, best=5)", larger).rerank(QUERY, ranking(grades)).report.calls
        for method in METHODS
    }
    assert calls["all"] == 20 * 19
    assert calls["sliding"] <= 2 * 5 * 19
    assert calls["heap"] < calls["sliding"]


@pytest.mark.parametrize("method", METHODS)
def test_a_judge_that_always_takes_the_first_changes_nothing(method: str) -> None:
    first = ranking(random.Random(3).sample(range(12), 12))
    result = octant.reranker(f"pairwise({method}, best=12)", lambda prompt: "A").rerank(QUERY, first)
    assert result.ids == first.ids
    assert result.report.statistics["share of pairs decided alike in both orders"] == 0.0
    assert result.report.statistics["share of answers for the passage shown first"] == 1.0


def test_all_pairs_score_by_what_was_won_and_ties_count_half() -> None:
    def larger_by_two(prompt: str) -> str:
        first, second = pair(prompt)
        return larger(prompt) if abs(first - second) >= 2 else "A"

    result = octant.reranker("pairwise(all)", larger_by_two).rerank(QUERY, ranking([0, 2, 1]))
    assert result.ids == (2, 1, 0)
    assert result.scores == (0.75, 0.5, 0.25)
    assert result.score_kind == "grade"


def test_the_likelier_letter_counts_where_it_is_asked_for() -> None:
    def likely(prompt: str) -> tuple[str, list[tuple[str, dict[str, float]]]]:
        sure = 0.8 if larger(prompt) == "A" else 0.3
        return "A", [("A", {"A": sure, "B": 1 - sure})]  # what is written is always A

    llm = Chat(likely)
    result = octant.reranker("pairwise(all, mode=likelihood)", llm).rerank(QUERY, ranking([1, 3, 2]))
    assert result.ids == (3, 2, 1)
    assert llm.asked_for[0] == {"logprobs": True, "top_logprobs": 5}
    without = octant.reranker("pairwise(all, mode=likelihood)", larger).rerank(QUERY, ranking([1, 3, 2]))
    assert without.ids == (3, 2, 1)
    assert {note.what for note in without.report.outputs} == {"no log-probabilities of A and B"}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("{}", "parsed"),
        ("[{}].", "parsed"),
        ("Passage {}", "repaired"),
        ("A passage like Passage {} wins.", "repaired"),
    ],
)
def test_letters_are_read(written: str, kind: str) -> None:
    result = octant.reranker("pairwise", lambda prompt: written.format(larger(prompt))).rerank(QUERY, ranking([1, 2]))
    assert result.ids == (2, 1)
    assert {note.kind for note in result.report.outputs} == {kind}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", ["", "Neither is relevant.", "I'm sorry, I can't.", "42"])
def test_unusable_answers_keep_the_order(method: str, answer: str) -> None:
    first = ranking([1, 3, 2])
    result = octant.reranker(f"pairwise({method})", lambda prompt: answer).rerank(QUERY, first)
    assert result.ids == first.ids
    assert {note.kind for note in result.report.outputs} == {"fell back"}


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_ends_early_without_losing_anything(method: str) -> None:
    grades = random.Random(4).sample(range(15), 15)
    result = octant.reranker(f"pairwise({method})", larger, max_calls=41).rerank(QUERY, ranking(grades))
    assert result.report.calls <= 41
    assert result.report.ended_early
    assert result.report.statistics["pairs compared"] == 20
    assert sorted(result.ids) == list(range(15))
