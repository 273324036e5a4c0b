"""Judged rankings: read, split the same way every time, and measured as trec_eval measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_lessons import lessons
from octant import Candidate, Question, Ranking
from octant.errors import InputError
from octant.judged import Judged, JudgedRankings, ndcg, read_questions
from octant.rerankers.trained import reciprocal_rank


def test_a_split_takes_every_query_once_and_does_not_depend_on_their_order() -> None:
    judged = lessons(40)
    fit, validation = judged.split(0.25, seed=3)
    assert len(validation) == 10
    assert sorted(one.name for one in (*fit, *validation)) == sorted(one.name for one in judged)
    shuffled = replace(judged, queries=judged.queries[::-1])
    assert {one.name for one in shuffled.split(0.25, seed=3)[1]} == {one.name for one in validation}
    assert {one.name for one in judged.split(0.25, seed=4)[1]} != {one.name for one in validation}


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.floats(0.05, 0.95))
def test_a_split_leaves_groups_whole_and_no_side_empty(groups: list[int], share: float) -> None:
    base = lessons(len(groups), depth=2)
    named = tuple(replace(one, group=f"g{group}") for one, group in zip(base, groups, strict=True))
    judged = JudgedRankings(named)
    if len(set(groups)) == 1:
        with pytest.raises(InputError, match="at least two groups"):
            judged.split(share)
        return
    fit, validation = judged.split(share)
    assert fit
    assert validation
    assert not {one.group for one in fit} & {one.group for one in validation}


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(2, 6))
def test_folds_hold_every_query_out_once_and_leave_groups_whole(groups: list[int], count: int) -> None:
    base = lessons(len(groups), depth=2)
    judged = JudgedRankings(tuple(replace(one, group=f"g{group}") for one, group in zip(base, groups, strict=True)))
    if len(set(groups)) == 1:
        with pytest.raises(InputError, match="at least two groups"):
            judged.folds(count)
        return
    sides = judged.folds(count)
    assert len(sides) == min(count, len(set(groups)))
    assert sorted(one.name for _, held in sides for one in held) == sorted(one.name for one in judged)
    for fit, held in sides:
        assert fit
        assert held
        assert len(fit) + len(held) == len(judged)
        assert not {one.group for one in fit} & {one.group for one in held}
    shuffled = replace(judged, queries=judged.queries[::-1]).folds(count)
    assert [{one.group for one in held} for _, held in shuffled] == [{one.group for one in held} for _, held in sides]


def test_folds_are_about_equally_large_and_those_of_the_seed() -> None:
    judged = lessons(40)
    assert [len(held) for _, held in judged.folds(5)] == [8] * 5
    assert [{one.name for one in held} for _, held in judged.folds(5, seed=1)] != [
        {one.name for one in held} for _, held in judged.folds(5, seed=2)
    ]
    with pytest.raises(InputError, match="at least 2 folds"):
        judged.folds(1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=15), st.integers(0, 4), st.randoms(use_true_random=False))
def test_ndcg_and_reciprocal_rank_are_those_of_trec_eval(gains: list[int], missed: int, random: object) -> None:
    found = tuple(Candidate(f"d{place}", 1 - place / 100) for place in range(len(gains)))
    judgements = {f"d{place}": gain for place, gain in enumerate(gains)} | {f"m{i}": 1 for i in range(missed)}
    one = Judged("q", Ranking(found), {point: float(gain) for point, gain in judgements.items()})
    order = list(range(len(gains)))
    random.shuffle(order)  # type: ignore[attr-defined]
    run = {"q": {f"d{place}": float(-rank) for rank, place in enumerate(order)}}
    ours = ndcg(one, order), reciprocal_rank(one, order)
    for measure, value in zip((ir_measures.nDCG @ 10, ir_measures.RR @ 10), ours, strict=True):
        expected = ir_measures.calc_aggregate([measure], {"q": judgements}, run)[measure]
        assert value == pytest.approx(expected)


def test_questions_are_read_with_their_judgements_and_groups(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "a", "text": "who?"}\n{"_id": "b", "text": "unjudged"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\na\t7\t2\na\t8\t0\n")
    (tmp_path / "groups.tsv").write_text("a\tarticle one\n")
    read = read_questions(tmp_path / "queries.jsonl", tmp_path / "qrels.tsv", tmp_path / "groups.tsv")
    assert read == (Question("a", "who?", {"7": 2.0, "8": 0.0}, "article one"),)


@pytest.mark.parametrize(
    ("groups", "message"),
    [("a article\n", "between tabs"), ("", "at least one group"), ("a\tb\tc\n", "between tabs")],
)
def test_groups_that_are_none_are_refused(groups: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "a", "text": "who?"}\n')
    (tmp_path / "qrels.tsv").write_text("a\t7\t2\n")
    (tmp_path / "groups.tsv").write_text(groups)
    with pytest.raises(InputError, match=message):
        read_questions(tmp_path / "queries.jsonl", tmp_path / "qrels.tsv", tmp_path / "groups.tsv")


def test_judgements_of_other_queries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "a", "text": "who?"}\n')
    (tmp_path / "qrels.tsv").write_text("b\t7\t2\n")
    with pytest.raises(InputError, match="judges none of the queries"):
        read_questions(tmp_path / "queries.jsonl", tmp_path / "qrels.tsv")


@pytest.mark.parametrize("share", [0, 1, -1, 2])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        lessons(4).split(share)


def test_found_gains_follow_the_ranking_and_know_no_negative() -> None:
    one = Judged("q", Ranking((Candidate("a", 1.0), Candidate(7, 0.5), Candidate("c", 0.1))), {7: 2.0, "c": -1.0})
    assert np.array_equal(one.found_gains, [0, 2, 0])
