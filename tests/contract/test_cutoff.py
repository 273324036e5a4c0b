"""What a trained cutoff promises: probabilities that compare across queries, thresholds that agree with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_judged import DIM, judged
from octant import Cutoff
from octant.cutoffs.maps import FAMILIES
from octant.cutoffs.measures import Ordered
from octant.cutoffs.pairs import Pairs
from octant.judged import JudgedRankings

VECTORS = st.lists(st.floats(-1, 1), min_size=DIM, max_size=DIM).filter(lambda vector: np.linalg.norm(vector) > 0.1)
QUICK = {"families": ["linear"], "hidden": 8}


@pytest.fixture(scope="module")
def by_vector() -> Cutoff:
    return Cutoff.train(judged(), **QUICK)


@pytest.fixture(scope="module")
def by_probe() -> Cutoff:
    return Cutoff.train(judged(by_vector=0.0, by_chance=0.4), probe=10, **QUICK)


def pr_auc(cutoff: Cutoff, asked: JudgedRankings) -> tuple[float, float]:
    """Of probabilities, and of the scores, on other questions."""
    pairs = Pairs.of(asked, 1.0)
    told = np.array([cutoff.probability(one.vector, one.ranking.scores) for one in asked])
    return Ordered(told, pairs.relevant).pr_auc(), Ordered(pairs.scores, pairs.relevant).pr_auc()


def test_it_learns_from_the_vector_what_a_score_means(by_vector: Cutoff) -> None:
    ours, theirs = pr_auc(by_vector, judged(seed=1))
    assert ours > 0.95
    assert theirs < 0.7
    assert by_vector.report.figures[0].difference.low > 0
    assert "the query's vector" in by_vector.report.learned


def test_it_learns_from_the_best_scores_what_the_vector_does_not_tell(by_probe: Cutoff) -> None:
    ours, theirs = pr_auc(by_probe, judged(by_vector=0.0, by_chance=0.4, seed=1))
    assert ours > 0.9
    assert theirs < 0.7
    assert by_probe.probe == 10
    assert by_probe.spec == "cutoff(probe=10)"


def test_where_nothing_is_to_be_learned_it_is_a_fixed_threshold() -> None:
    cutoff = Cutoff.train(judged(30, by_vector=0.0), **QUICK)
    thresholds = cutoff.score_thresholds(np.eye(DIM, dtype=np.float32))
    assert np.ptp(thresholds) == 0
    assert "one map for all queries" in cutoff.report.learned
    assert "no network was surely better" in str(cutoff.report)
    one = judged(1).queries[0]
    assert cutoff.measures.rows["cutoff"] == cutoff.measures.rows["fixed threshold"]
    assert (np.diff(cutoff.probability(one.vector, one.ranking.scores)) <= 0).all()


@given(VECTORS, st.data())
def test_more_is_never_less_probable(by_vector: Cutoff, vector: list[float], data: st.DataObject) -> None:
    scores = np.sort(data.draw(st.lists(st.floats(-1, 1), min_size=2, max_size=8)))
    told = by_vector.probability(vector, scores)
    assert ((told >= 0) & (told <= 1)).all()
    assert (np.diff(told) >= 0).all()


@given(
    st.lists(st.floats(-1, 1), min_size=DIM, max_size=DIM).filter(lambda v: np.linalg.norm(v) > 0.1),
    st.floats(0.01, 0.99),
)
def test_the_threshold_has_the_least_probability(by_vector: Cutoff, vector: list[float], least: float) -> None:
    cutoff = by_vector.at(probability=least)
    threshold = cutoff.score_threshold(vector)
    assert cutoff.probability(vector, [threshold])[0] == pytest.approx(least, abs=1e-9)
    assert cutoff.score_threshold(np.array(vector) * 7) == pytest.approx(threshold, rel=1e-5)  # cosine knows no length


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_asked_for(family: str) -> None:
    cutoff = Cutoff.train(judged(40), families=[family], hidden=0)
    assert f"a {family} map" in cutoff.report.learned
    assert pr_auc(cutoff, judged(30, seed=1))[0] > 0.85


def test_thresholds_are_chosen_by_what_held_out_queries_showed(by_vector: Cutoff) -> None:
    kept = [by_vector.at(recall=share) for share in (0.5, 0.9, 1.0)]
    assert [cutoff.expected().recall >= share for cutoff, share in zip(kept, (0.5, 0.9, 1.0), strict=True)] == [
        True
    ] * 3
    assert kept[0].least > kept[1].least > kept[2].least
    sure = by_vector.at(precision=0.9)
    assert sure.expected().precision >= 0.9
    assert by_vector.least == by_vector.at(recall=0.95).least
    # On other questions too, nearly.
    asked = judged(60, seed=2)
    pairs = Pairs.of(asked, 1.0)
    keeps = pairs.scores >= kept[1].score_thresholds(pairs.vectors)[:, None]
    assert keeps[pairs.relevant].mean() > 0.8
    assert by_vector.at(probability=0.0).score_threshold(asked[0].vector) == -np.inf
    assert by_vector.at(probability=1.0).score_threshold(asked[0].vector) == np.inf


@pytest.mark.parametrize("which", ["by_vector", "by_probe"])
def test_its_file_gives_the_same_cutoff(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cutoff: Cutoff = request.getfixturevalue(which)
    cutoff.save(tmp_path / "c")
    again = Cutoff.load(tmp_path / "c")
    assert again == cutoff
    assert again.dumps() == cutoff.dumps()
    one = judged(1, seed=3).queries[0]
    told = cutoff.probability(one.vector, one.ranking.scores)
    assert again.probability(one.vector, one.ranking.scores).tolist() == told.tolist()
    assert str(again.measures) == str(cutoff.measures)
    assert again.at(recall=0.7) == cutoff.at(recall=0.7)


def test_the_same_again_gives_the_same() -> None:
    few = judged(30)
    assert Cutoff.train(few, families=["linear"], hidden=2) == Cutoff.train(few, families=["linear"], hidden=2)


def test_only_found_candidates_count_and_queries_that_found_nothing_do_not(by_vector: Cutoff) -> None:
    full = judged()
    empty = replace(full.queries[0], ranking=replace(full.queries[0].ranking, candidates=()))
    assert Cutoff.train(replace(full, queries=(empty, *full.queries)), **QUICK) == by_vector


def test_groups_stay_together() -> None:
    asked = replace(judged(40), queries=tuple(replace(one, group=f"g{row % 7}") for row, one in enumerate(judged(40))))
    pairs = Pairs.of(asked, 1.0)
    folds = pairs.folds(5, 0)
    assert all(len(set(folds[pairs.groups == group])) == 1 for group in range(7))
    assert set(folds) == set(range(5))


def test_the_report_tells_figures_beside_controls(by_vector: Cutoff) -> None:
    told = by_vector.measures
    assert list(told.rows) == ["cutoff", "fixed threshold", "fixed k", "z-score"]
    assert (told.queries, told.pairs, told.relevant) == (60, 1200, 240)
    assert all(row.recall >= 0.95 for row in told.rows.values())
    assert told.rows["cutoff"].pr_auc > told.rows["fixed threshold"].pr_auc
    assert told.calibration_error < 0.1
    assert "PR-AUC" in str(told)
    assert "keeping 95 % of the relevant candidates leaves out" in str(by_vector.report)
    assert "a teacher's answers" in str(
        Cutoff.train(judged(30), labels="teacher", families=["linear"], hidden=0).report
    )
