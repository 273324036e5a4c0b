"""Scores out of log-probabilities: two words, a grade, the mean over grades."""

from __future__ import annotations

import math

import pytest

from octant.rerankers.likelihoods import expected_grade, grade_likelihood, read_grade, share
from octant.token_logprobs import TokenLogprob


def token(text: str, probability: float, **others: float) -> TokenLogprob:
    top = tuple((word.replace("_", " "), math.log(p)) for word, p in others.items())
    return TokenLogprob(text, math.log(probability), top)


def test_yes_and_no_are_summed_over_their_spellings() -> None:
    found = share([token("Yes", 0.5, Yes=0.5, _yes=0.1, No=0.2, Maybe=0.1)], "yes", "no")
    assert found == pytest.approx(0.6 / 0.8)


def test_the_word_that_was_said_counts_even_where_it_is_not_among_the_alternatives() -> None:
    assert share([token("No", 0.3, Yes=0.1)], "yes", "no") == pytest.approx(0.25)
    assert share([token("No", 0.3)], "yes", "no") == 0.0


def test_reasoning_before_the_word_and_space_before_it_are_passed_over() -> None:
    tokens = [token("\n", 0.9), token("Hmm", 0.9, Yes=0.01), token(" yes", 0.4, no=0.1)]
    assert share(tokens, "yes", "no") == pytest.approx(0.8)


def test_another_first_word_still_tells_by_its_alternatives() -> None:
    assert share([token("Perhaps", 0.5, Yes=0.3, No=0.1)], "yes", "no") == pytest.approx(0.75)
    assert share([token("Perhaps", 0.5, Maybe=0.3)], "yes", "no") is None
    assert share([], "yes", "no") is None


def test_case_tells_labels_apart_where_it_is_said_to() -> None:
    assert share([token("M", 0.9, m=0.1)], "m", "M", case=True) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("7", 7), (" 10.", 10), ("0", 0), ("Score: 8", 8), ("8/10", 8), ("8 out of 10", 8), ("**Score:** 9", 9),
        ("Facts 3 and 4 fit. Score: 9/10. It names 2 causes.", 9), ("Between 3 and 6, so 5", 5), ("7.5", 7.5),
        ("0.85", 0.85), ("11", None), ("-3", None), ("95%", None), ("none", None), ("", None), ("9" * 5000, None),
        ("in 1998", None),
    ],
)  # fmt: skip
def test_a_grade_is_read(answer: str, grade: float | None) -> None:
    read = read_grade(answer, 10)
    assert (read and read[0]) == grade


def test_a_grade_of_several_tokens_has_the_probability_of_all() -> None:
    tokens = [token("Score", 0.9), token(":", 1.0), token(" ", 1.0), token("1", 0.5), token("0", 0.6)]
    assert grade_likelihood(tokens, 7, 9) == pytest.approx(0.3)
    assert grade_likelihood(tokens[:2], 7, 9) is None


def test_the_expectation_weighs_every_grade_in_range() -> None:
    tokens = [token("8", 0.5, **{"8": 0.5, "7": 0.25, " 9": 0.05, "42": 0.1, "high": 0.1})]
    assert expected_grade(tokens, 0, 1, 10) == pytest.approx((8 * 0.5 + 7 * 0.25 + 9 * 0.05) / 0.8)


def test_ten_in_two_tokens_is_not_taken_for_one() -> None:
    tokens = [token("1", 0.8, **{"1": 0.8, "9": 0.2}), token("0", 0.75)]
    assert expected_grade(tokens, 0, 2, 10) == pytest.approx(10 * 0.6 + 1 * 0.2 + 9 * 0.2)
