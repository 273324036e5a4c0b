"""What changes from query to query is learned where the rankings tell, and left alone where they do not."""

from __future__ import annotations

import numpy as np
import pytest

import octant
from octant import Candidate, Ranking, Rankings
from octant.selectors import JudgedSearch, JudgedSearches, Selector
from octant.selectors.pool import ndcg


def told(seed: int, count: int, *, honest: bool = True) -> JudgedSearches:
    """For each query one of two embeddings is good; where it is ``honest``, a good one's scores lie further apart."""
    rng = np.random.default_rng(seed)
    queries = []
    for number in range(count):
        gains = {str(place): float(place < 2) for place in range(12)}
        good = int(rng.integers(2))
        rankings = {}
        for place, name in enumerate(("one", "two")):
            skill = 3.0 if place == good else 0.0
            scores = rng.normal(size=12) + skill * np.array(list(gains.values()))
            spread = (1.0 if place == good else 0.2) if honest else 0.5
            order = np.argsort(-scores)[:10]
            rankings[name] = Ranking(tuple(Candidate(str(row), float(10 + spread * scores[row])) for row in order))
        queries.append(JudgedSearch(Rankings(rankings), gains, str(number)))
    return JudgedSearches(tuple(queries))


def quality(selector: Selector, judged: JudgedSearches) -> float:
    return float(np.mean([ndcg(selector.select(one.rankings).ranking.ids, one.gains) for one in judged]))


@pytest.fixture(scope="module")
def fresh() -> JudgedSearches:
    return told(1, 60)


@pytest.fixture(scope="module")
def plain(fresh: JudgedSearches) -> float:
    return quality(octant.selector("fuse").learn(told(0, 60)), fresh)


def test_weights_follow_the_query_where_its_signals_tell(fresh: JudgedSearches, plain: float) -> None:
    weight = octant.selector("weight").learn(told(0, 240))
    assert np.abs(weight.learned.state["slopes"]).max() > 0
    assert quality(weight, fresh) > plain + 0.03
    [first, *_] = fresh
    weights = weight.select(first.rankings).decision.alternatives
    better = max(first.rankings, key=lambda name: np.std(first.rankings[name].scores))
    assert max(weights, key=lambda name: weights[name]) == better


def test_few_queries_change_no_weights(fresh: JudgedSearches, plain: float) -> None:
    weight = octant.selector("weight").learn(told(0, 60))
    assert not weight.learned.state["slopes"].any()
    assert quality(weight, fresh) == pytest.approx(plain)


def test_the_better_embedding_is_selected_where_its_signals_tell(fresh: JudgedSearches) -> None:
    select = octant.selector("select").learn(told(0, 120))
    alone = [np.mean([ndcg(one.rankings[name].ids, one.gains) for one in fresh]) for name in ("one", "two")]
    assert quality(select, fresh) > max(alone) + 0.1
    assert not select.learned.report.no_change


def test_one_embedding_is_selected_for_all_where_signals_do_not_tell() -> None:
    select = octant.selector("select").learn(told(0, 120, honest=False))
    chosen = {select.select(one.rankings).decision.chosen for one in told(2, 30, honest=False)}
    assert select.learned.report.no_change == (len(chosen) == 1)


def test_quantities_of_a_report_are_of_held_out_queries() -> None:
    report = octant.selector("fuse").learn(told(3, 60)).learned.report
    [figure] = report.figures
    assert figure.name == "nDCG@10"
    assert figure.difference.low <= figure.difference.value <= figure.difference.high
    assert figure.difference.value == pytest.approx(figure.after - figure.before)
