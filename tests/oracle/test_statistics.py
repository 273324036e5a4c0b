"""Bootstrap intervals against a loop, and against what theory says of them."""

from __future__ import annotations

import numpy as np
import pytest

from octant import statistics
from octant.statistics import bootstrap_mean, paired_difference


def slow_interval(values, seed, resamples, level):
    """The textbook loop, fed by the same draws of the generator."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        drawn = np.repeat(values, rng.multinomial(len(values), np.full(len(values), 1 / len(values))))
        means.append(drawn.mean())
    means.sort()
    tail = (1 - level) / 2
    return np.quantile(means, tail), np.quantile(means, 1 - tail)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_equals_the_slow_one(level):
    values = np.random.default_rng(3).random(37)
    fast = bootstrap_mean(values, seed=11, resamples=300, level=level)
    assert (fast.low, fast.high) == pytest.approx(slow_interval(values, 11, 300, level))
    assert fast.value == pytest.approx(values.mean())


def test_blocks_draw_what_one_piece_draws(monkeypatch):
    values = np.random.default_rng(3).random(37)
    whole = bootstrap_mean(values, seed=11, resamples=300)
    monkeypatch.setattr(statistics, "_BLOCK", 37 * 7)
    assert bootstrap_mean(values, seed=11, resamples=300) == whole


def test_interval_agrees_with_the_normal_one_on_many_queries():
    values = np.random.default_rng(0).normal(size=4000)
    estimate = bootstrap_mean(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    intervals = [bootstrap_mean(rng.random(60), resamples=400) for _ in range(300)]
    covered = np.mean([one.low <= 0.5 <= one.high for one in intervals])
    assert 0.90 < covered < 0.98


def test_pairing_removes_what_the_queries_share():
    rng = np.random.default_rng(1)
    difficulty = rng.random(200)
    ours = difficulty - 0.02 + rng.normal(0, 0.01, 200)
    difference = paired_difference(ours, difficulty)
    alone = bootstrap_mean(ours)
    assert difference.low < difference.value < difference.high < 0
    assert difference.high - difference.low < (alone.high - alone.low) / 5


def test_same_seed_same_interval():
    values = np.random.default_rng(3).random(50)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)


def test_a_value_lies_in_its_interval_and_equal_sides_differ_by_nothing():
    values = np.random.default_rng(3).random(50)
    estimate = bootstrap_mean(values)
    assert estimate.low < estimate.value < estimate.high
    assert paired_difference(values, values).as_json() == {"value": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, np.nan]])
def test_values_that_are_not_one_finite_number_a_query_are_refused(values):
    with pytest.raises(ValueError, match="expected finite values of shape"):
        bootstrap_mean(values)


def test_pairs_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="same queries, got 2 and 3"):
        paired_difference([1, 2], [1, 2, 3])


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 0}, {"level": 1}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected resamples >= 1 and 0 < level < 1"):
        bootstrap_mean([1.0], **wrong)
