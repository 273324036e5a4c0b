"""Where marks lie, against the slow and obvious way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_study import CHOSEN, GRAPHS, made_study
from octant.tuning import view
from octant.tuning.axes import Axis, linear_axis, log_axis, recall_axis, size_axis
from octant.tuning.view import Size

sizes = st.lists(st.floats(0.01, 1e12), min_size=1, max_size=20)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def keeps_order(axis: Axis, values: list[float]) -> None:
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert axis.at(axis.low) == pytest.approx(0)
    assert axis.at(axis.high) == pytest.approx(1)
    assert all(0 <= axis.at(value) <= 1 for value, _ in axis.ticks)
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@given(sizes)
def test_sizes(values: list[float]) -> None:
    axis = size_axis(values)
    keeps_order(axis, values)
    assert len(axis.ticks) <= 6


@given(shares)
def test_recalls(values: list[float]) -> None:
    axis = recall_axis(values)
    keeps_order(axis, values)
    assert ((1.0, "100 %") in axis.ticks) == (max(values) > 1 - 1e-9)


@given(sizes)
def test_errors(values: list[float]) -> None:
    keeps_order(log_axis(values, "{:.6g}".format), values)


@given(shares)
def test_scores(values: list[float]) -> None:
    axis = linear_axis(values, "{:.9g}".format)
    keeps_order(axis, values)
    if max(values) > min(values):
        middle = (max(values) + min(values)) / 2
        assert axis.at(middle) == pytest.approx((axis.at(max(values)) + axis.at(min(values))) / 2)


def test_nine_tenths_lost_less_is_one_step_everywhere() -> None:
    axis = recall_axis([0.5, 0.9999])
    steps = [axis.at(b) - axis.at(a) for a, b in ((0.9, 0.99), (0.99, 0.999))]
    assert steps[0] == pytest.approx(steps[1])


@pytest.mark.parametrize("size", Size)
@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10"])
def test_the_front_is_what_nothing_beats(size: Size, metric: str) -> None:
    trials = view.drawn(made_study(), metric)

    def beaten(one: object, other: object) -> bool:
        a, b = (size.of(one), -one.at_full_size[metric].value), (size.of(other), -other.at_full_size[metric].value)
        return b != a and b[0] <= a[0] and b[1] <= a[1]

    slow = {(size.of(one), one.at_full_size[metric].value) for one in trials if not any(beaten(one, o) for o in trials)}
    front = view.front(trials, metric, size)
    assert [(size.of(one), one.at_full_size[metric].value) for one in front] == sorted(slow)


def test_the_series_has_each_m_once_with_the_recommended_settings() -> None:
    study = made_study()
    series = view.graph_series(study)
    assert [trial.candidate.hnsw.m for trial in series] == list(GRAPHS)
    assert {trial.candidate.knobs for trial in series} == {study.recommendation.knobs}
    assert {trial.candidate.represent for trial in series} == {CHOSEN}
    assert sum(view.recommends(study, trial) for trial in series) == 1
