"""Arguments of the rerankers that ask a language model."""

from __future__ import annotations

import pytest

import octant
from octant.errors import InputError


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("listwise(window=1)", "window must be 0 .the whole list. or at least 2, got 1"),
        ("listwise(window=-3)", "window must be 0"),
        ("listwise(window=20, step=20)", "step must be from 1 to 19 with a window of 20, got 20"),
        ("listwise(step=0)", "step must be from 1 to 19"),
        ("listwise(passes=0)", "passes must be at least 1, got 0"),
        ("listwise(passage_tokens=0)", "passage_tokens must be at least 1, got 0"),
        ("listwise(context=10)", "context must be at least 256 tokens, got 10"),
        ("listwise(labels=letters)", "labels must be numbers or unguessable, got 'letters'"),
        ("pointwise(stars)", "mode must be grade or yes_no, got 'stars'"),
        ("pointwise(yes_no, expectation=true)", "expectation is over grades"),
        ("pointwise(highest=0)", "highest must be from 1 to 100, got 0"),
        ("pointwise(alternatives=21)", "alternatives must be from 0 to 20, got 21"),
        ("pointwise(passage_tokens=0)", "passage_tokens must be at least 1, got 0"),
        ("pairwise(bubble)", "method must be sliding, heap or all, got 'bubble'"),
        ("pairwise(best=0)", "best must be at least 1, got 0"),
        ("pairwise(mode=letters)", "mode must be generation or likelihood, got 'letters'"),
        ("pairwise(passage_tokens=0)", "passage_tokens must be at least 1, got 0"),
        ("tournament(best=0)", "best must be at least 1, got 0"),
        ("tournament(best=10, group=10)", "group must be above best, 10"),
        ("tournament(patience=0)", "patience must be at least 1, got 0"),
        ("tournament(finals=0)", "finals must be at least 1, got 0"),
        ("tournament(skim=-1)", "or a number of tokens, got -1"),
        ("tournament(calls=0)", "calls must be at least 1, got 0"),
        ("tournament(labels=letters)", "labels must be numbers or unguessable, got 'letters'"),
    ],
)
def test_a_wrong_argument_is_named(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        octant.reranker(spec, llm=lambda prompt: prompt)
