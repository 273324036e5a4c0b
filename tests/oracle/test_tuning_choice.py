"""Choosing, against brute force; extrapolation, against known lines; intervals, against what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octant.recommendation import Expected
from octant.statistics import bounded_mean, student_quantile
from octant.tuning.choose import SAME_COST, cost, ranked, slowness, undominated, unmet, violations
from octant.tuning.extrapolate import bytes_at, carried, measured
from octant.tuning.study import DISK, RAM, TIME, Candidate, Goal, Trial


def trial(name: str, recall: float, ram: float, disk: float, *, half: float = 0.0, time: float | None = 1.0) -> Trial:
    figures = {
        "recall@10": Expected(recall, max(0.0, recall - half), min(1.0, recall + half), False),
        RAM: Expected.certain(ram),
        DISK: Expected.certain(disk),
    }
    if time is not None:
        figures[TIME] = Expected.certain(time)
    return Trial(Candidate(name), 100, figures, figures, {}, {}, {}, 1.0, 0)


rows_of = st.tuples(st.floats(0.5, 1.0), st.integers(1, 30), st.integers(1, 60), st.floats(0.0, 0.05))
measurements = st.lists(rows_of, min_size=1, max_size=12)


@given(measurements, st.sampled_from([0.8, 0.9, 0.95]), st.sampled_from([None, 10, 40]))
def test_the_first_is_the_cheapest_that_surely_satisfies(rows, least, most):
    goal = Goal(min_recall=least, max_ram=most)
    trials = [trial(f"c{i}", r, 10 * ram, 10 * (ram + more), half=half) for i, (r, ram, more, half) in enumerate(rows)]
    goal = replace(goal, max_ram=None if most is None else 10.0 * most)
    holding = [
        one
        for one in trials
        if one.figures["recall@10"].low >= least and (most is None or one.figures[RAM].value <= 10 * most)
    ]
    order = ranked(trials, goal)
    assert len(order) == len(trials)
    if not holding:
        assert violations(order[0].at_full_size, goal)
        return
    cheapest = min(one.figures[RAM].value + one.figures[DISK].value for one in holding)
    first = order[0]
    assert first in holding
    equal = [one for one in holding if cost(one.figures, goal) <= (1 + SAME_COST) * cheapest]
    assert first.figures["recall@10"].value == max(one.figures["recall@10"].value for one in equal)
    assert {id(one) for one in order[: len(holding)]} == {id(one) for one in holding}


@given(measurements, st.integers(0, 5))
def test_the_order_of_measuring_does_not_matter(rows, seed):
    goal = Goal(min_recall=0.9)
    trials = [trial(f"c{i}", r, 10 * ram, 10 * (ram + more), half=half) for i, (r, ram, more, half) in enumerate(rows)]
    shuffled = [trials[i] for i in np.random.default_rng(seed).permutation(len(trials))]
    # Equal figures are told apart by their candidates, so the order of figures is what must not depend on it.
    assert [one.figures for one in ranked(trials, goal)] == [one.figures for one in ranked(shuffled, goal)]


@given(measurements)
def test_nothing_undominated_is_beaten_and_everything_else_is(rows):
    goal = Goal()
    trials = [trial(f"c{i}", r, 10 * ram, 10 * (ram + more)) for i, (r, ram, more, _) in enumerate(rows)]
    front = undominated(trials, goal)

    def beaten(one: Trial) -> bool:
        mine, recall = cost(one.figures, goal), one.figures["recall@10"].value
        return any(
            cost(other.figures, goal) <= mine
            and other.figures["recall@10"].value >= recall
            and (cost(other.figures, goal), -other.figures["recall@10"].value) != (mine, -recall)
            for other in trials
        )

    assert not any(beaten(one) for one in front)
    costs = {(cost(one.figures, goal), one.figures["recall@10"].value) for one in front}
    for one in trials:
        assert beaten(one) or (cost(one.figures, goal), one.figures["recall@10"].value) in costs


def test_the_best_is_the_best_within_the_budget():
    goal = Goal(objective="best", max_ram=100)
    trials = [trial("big", 0.999, 120, 300), trial("good", 0.98, 90, 300), trial("small", 0.95, 30, 40)]
    assert ranked(trials, goal)[0].candidate.represent == "good"


def test_a_bound_counts_with_the_end_of_its_interval():
    goal = Goal(min_recall=0.95, max_latency_ratio=2.0)
    assert [one.figure for one in violations(trial("a", 0.96, 1, 1, half=0.02).figures, goal)] == ["recall@10"]
    assert violations(trial("a", 0.96, 1, 1, half=0.005).figures, goal) == ()
    assert [one.figure for one in violations(trial("a", 0.99, 1, 1, time=None).figures, goal)] == [TIME]


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (Goal(min_recall=0.99), "recall@10 is surely above 0.943 only, not 0.99: relax --min-recall to 0.943"),
        (Goal(max_ram=50), "it takes up to 101 RAM bytes a vector, not 50: relax --max-ram to 101"),
        (Goal(max_latency_ratio=1), "it takes up to 1.235 times float32's query time, not 1: relax --max-latency"),
    ],
)
def test_what_is_unmet_says_what_to_relax_to_a_value_that_is_met(goal, words):
    figures = trial("a", 0.95, 100.2, 300, half=0.0065, time=1.2345).figures
    (said,) = unmet(figures, goal)
    assert words in said
    relaxed = float(said.rsplit(" ", 1)[1])
    name = {"min_recall": "min_recall"}.get(said.split("--")[1].split(" ")[0].replace("-", "_"))
    field = name or said.split("--")[1].split(" ")[0].replace("-", "_")
    assert violations(figures, Goal(**{field: relaxed})) == ()


# -- carrying to the full size ------------------------------------------------------------------------


def test_a_line_in_the_logarithm_is_continued_exactly():
    small, large = [0.98, 0.96, 0.90], [0.96, 0.94, 0.88]
    found = carried(small, large, (1_000, 10_000), 1_000_000)
    assert found.value == pytest.approx(np.mean(large) - 2 * 0.02)
    assert found.estimated
    assert found.low <= found.value <= found.high


def test_noise_that_rises_is_not_continued_upward():
    rng = np.random.default_rng(0)
    small, large = rng.choice([0.9, 1.0], 200), rng.choice([0.9, 1.0], 200, p=[0.3, 0.7])
    found, here = carried(small, large, (3_000, 10_000), 10_000_000), measured(large)
    assert found.value <= here.value
    assert found.high <= here.high


def test_unsure_slopes_widen_the_interval():
    rng = np.random.default_rng(1)
    large, noise = rng.choice([0.4, 0.5, 0.6], 300), rng.permutation([-0.3, 0.3] * 150)
    alike = carried(large + 0.01, large, (3_000, 10_000), 1_000_000)
    torn = carried(large + 0.01 + noise, large, (3_000, 10_000), 1_000_000)
    assert torn.value == pytest.approx(alike.value)
    assert torn.high - torn.low > 1.5 * (alike.high - alike.low)


@given(st.floats(0, 1e6), st.floats(0, 1e3), st.integers(10, 1000), st.integers(2, 50), st.integers(2, 1000))
def test_bytes_are_a_constant_and_a_share(constant, each, size, factor, further):
    sizes, points = (size, size * factor), size * factor * further
    totals = [{"graph": constant + each * n} for n in sizes]
    assert bytes_at(totals, sizes, points)["graph"] == pytest.approx(each + constant / points, rel=1e-6, abs=1e-6)


# -- intervals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0.01, 0.05, 0.12])
@pytest.mark.parametrize("queries", [60, 300])
def test_the_interval_holds_the_truth_as_often_as_it_says(lost, queries):
    # Recalls of ten answers as real ones are: most queries lose nothing, a few lose much.
    rng = np.random.default_rng(int(1000 * lost) + queries)
    chance = np.clip(1 - lost * rng.gamma(0.5, 2.0, 20_000), 0, 1)
    population = rng.binomial(10, chance) / 10
    truth = population.mean()
    drawn = rng.choice(population, (1_500, queries))
    found = [bounded_mean(sample) for sample in drawn]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.93
    # What a bound goes by is the lower end: it may be too high in one case of forty.
    assert np.mean([one.low > truth for one in found]) <= 0.045


def test_equal_values_still_leave_doubt():
    one = bounded_mean([1.0] * 200)
    assert one.high == 1.0
    assert 0.95 < one.low < 0.99


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
@settings(max_examples=60)
def test_an_interval_lies_between_0_and_1_and_around_its_mean(values):
    one = bounded_mean(values)
    assert 0 <= one.low <= one.value <= one.high <= 1


@pytest.mark.parametrize(("freedom", "expected"), [(5, 2.5706), (10, 2.2281), (30, 2.0423), (200, 1.9719)])
def test_quantiles_of_student_are_those_of_the_tables(freedom, expected):
    assert student_quantile(0.975, freedom) == pytest.approx(expected, rel=0.004)


def test_what_is_slow_says_so_and_what_a_bound_would_choose() -> None:
    slow = trial("transform(3)", 0.97, 60, 150, time=5.2)
    quick, dear = trial("turbo4|turbo(1)", 0.96, 100, 300, time=1.8), trial("turbo8", 0.99, 400, 400, time=1.0)
    lossy = trial("bq(1)", 0.7, 50, 50, time=0.5)
    trials = [slow, lossy, dear, quick]
    goal = Goal(min_recall=0.95)
    assert slowness(slow, trials, goal) == (
        "A query takes about 5.2 times as long as with float32: no --max-latency-ratio was set. With "
        "--max-latency-ratio 2 it would be turbo4|turbo(1): 400 bytes of RAM and disk a vector in place of 210."
    )
    alone = slowness(slow, [slow, lossy], goal)
    assert alone is not None
    assert alone.endswith("Nothing else that was tried is surely within 2 times.")
    assert slowness(quick, trials, goal) is None
    assert slowness(slow, trials, replace(goal, max_latency_ratio=6.0)) is None
    assert slowness(trial("float32", 1.0, 1536, 1536, time=None), trials, goal) is None
