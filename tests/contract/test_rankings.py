"""``Rankings``: what several embeddings gave, apart."""

from __future__ import annotations

import copy

import pytest

from octant import Candidate, Ranking, Rankings
from octant.errors import InputError


def ranking(*ids: str) -> Ranking:
    return Ranking(tuple(Candidate(name, 1.0 - place / 10) for place, name in enumerate(ids)), "a question")


@pytest.fixture
def found() -> Rankings:
    return Rankings(
        {"minilm": ranking("a", "b", "c"), "bm25": ranking("d", "a")}, {"bge": "TimeoutError: 5 s"}, "a question"
    )


def test_it_is_a_mapping_in_the_order_of_the_embeddings(found: Rankings) -> None:
    assert list(found) == ["minilm", "bm25"]
    assert found["bm25"].ids == ("d", "a")
    assert (len(found), "minilm" in found, "bge" in found) == (2, True, False)
    assert not found.complete


def test_every_document_comes_once_best_places_first(found: Rankings) -> None:
    assert found.ids == ("a", "d", "b", "c")
    assert Rankings({}).ids == ()


def test_a_name_that_is_not_there_is_told_why(found: Rankings) -> None:
    with pytest.raises(KeyError, match="'bge' failed \\(TimeoutError: 5 s\\); there are rankings of 'minilm', 'bm25'"):
        found["bge"]
    with pytest.raises(KeyError, match="'ada2' was not asked"):
        found["ada2"]


def test_a_part_of_it_keeps_the_failures_that_belong_to_it(found: Rankings) -> None:
    part = found.only("bm25", "bge")
    assert (list(part), list(part.failures), part.query) == (["bm25"], ["bge"], "a question")
    assert found.only("minilm").complete
    with pytest.raises(KeyError, match="'ada2' was not asked"):
        found.only("ada2")


def test_later_changes_of_the_callers_dict_change_nothing() -> None:
    mine = {"minilm": ranking("a")}
    found = Rankings(mine)
    mine["bge"] = ranking("b")
    assert list(found) == ["minilm"]


def test_an_embedding_cannot_answer_and_fail() -> None:
    with pytest.raises(InputError, match="'minilm' did both"):
        Rankings({"minilm": ranking("a")}, {"minilm": "no"})


def test_it_can_be_copied(found: Rankings) -> None:
    assert copy.deepcopy(found) == found
