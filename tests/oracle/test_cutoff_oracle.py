"""The arithmetic of cutoffs against slow and obvious versions of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.cutoffs import controls, network
from octant.cutoffs.maps import FAMILIES, ScoreMaps, log_odds, probability
from octant.cutoffs.measures import Ordered, calibration_error
from octant.cutoffs.network import Shape
from octant.cutoffs.report import Curve

NAN = float("nan")


def slow_pr_auc(values: np.ndarray, relevant: np.ndarray) -> float:
    there = ~np.isnan(values)
    pairs = list(zip(values[there], relevant[there], strict=True))
    total, area, before = sum(good for _, good in pairs), 0.0, 0
    for threshold in sorted({value for value, _ in pairs}, reverse=True):
        kept = [good for value, good in pairs if value >= threshold]
        area += (sum(kept) - before) / total * sum(kept) / len(kept)
        before = sum(kept)
    return area


@st.composite
def told(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    values = np.array(
        draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7, NAN]), min_size=rows * width, max_size=rows * width))
    )
    relevant = np.array(draw(st.lists(st.booleans(), min_size=rows * width, max_size=rows * width)))
    values[0], relevant[0] = 0.2, True
    relevant &= ~np.isnan(values)
    return values.reshape(rows, width), relevant.reshape(rows, width)


@given(told())
def test_pr_auc_and_thresholds(made: tuple[np.ndarray, np.ndarray]) -> None:
    values, relevant = made
    ordered = Ordered(values, relevant)
    assert ordered.pr_auc() == pytest.approx(slow_pr_auc(values, relevant))
    for least in (0.1, 0.2, 0.25, 0.7, 0.9):
        kept = values >= least
        found = ordered.at(least)
        assert found.filtered == pytest.approx(1 - kept.sum() / (~np.isnan(values)).sum())
        assert found.recall == pytest.approx(relevant[kept].sum() / relevant.sum())
        assert found.precision == pytest.approx(relevant[kept].mean() if kept.any() else 0.0)
        assert found.empty == pytest.approx(1 - kept.any(axis=1).mean())
    for wanted in (0.3, 0.95, 1.0):
        least = ordered.for_recall(wanted)
        assert ordered.at(least).recall >= wanted
        higher = [value for value in np.unique(values[~np.isnan(values)]) if value > least]
        assert all(ordered.at(value).recall < wanted for value in higher)


@given(told())
def test_a_query_counts_as_often_as_it_is_drawn(made: tuple[np.ndarray, np.ndarray]) -> None:
    values, relevant = made
    counts = np.arange(len(values))[::-1].astype(float)
    counts[0] += 1
    drawn = np.repeat(np.arange(len(values)), counts.astype(int))
    expected = slow_pr_auc(values[drawn], relevant[drawn])
    assert Ordered(values, relevant).pr_auc(counts) == pytest.approx(expected)


def test_the_curve_holds_what_thresholds_do() -> None:
    rng = np.random.default_rng(0)
    odds, relevant = rng.normal(size=(12, 30)), rng.random((12, 30)) < 0.2
    curve, ordered = Curve.of(odds, relevant), Ordered(odds, relevant)
    for wanted in (0.1, 0.5, 0.95, 1.0):
        least = curve.for_recall(wanted)
        exact = ordered.at(ordered.for_recall(wanted))
        assert ordered.at(log_odds(least)).recall >= wanted
        assert curve.at(least, 0.0).filtered == pytest.approx(exact.filtered, abs=0.02)
    assert Curve.from_array(curve.as_array()).recall.tolist() == curve.recall.tolist()


@given(
    st.floats(0.1, 30),
    st.floats(-5, 5),
    st.sampled_from([0.5, 1.0, 2.0, 0.3, 1.7]),
    st.floats(0.05, 50),
    st.floats(-6, 6),
)
def test_maps_are_inverted(slope: float, shift: float, exponent: float, scale: float, odds: float) -> None:
    one = ScoreMaps(np.array([slope]), np.array([shift]), np.array([exponent]), scale)
    score = one.scores(odds)
    assert one.log_odds(score[:, None])[0, 0] == pytest.approx(odds, abs=1e-6)
    assert log_odds(float(probability(np.array([odds]))[0])) == pytest.approx(odds)


def test_probabilities_beyond_what_numbers_hold() -> None:
    assert probability(np.array([-800.0, -50.0, 0.0, 800.0])).tolist() == pytest.approx([0.0, 1.9287e-22, 0.5, 1.0])
    assert (log_odds(0.0), log_odds(1.0)) == (-np.inf, np.inf)
    one = ScoreMaps(np.array([1.0]), np.array([0.0]), np.array([0.5]), 1.0)
    assert one.scores(-np.inf).tolist() == [-np.inf]
    assert one.scores(np.inf).tolist() == [np.inf]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hidden", [0, 3])
def test_gradients_are_those_of_small_differences(family: str, hidden: int) -> None:
    rng = np.random.default_rng(1)
    shape = Shape(family, probe=3, hidden=hidden)
    vectors = rng.normal(size=(5, 4)).astype(np.float32)
    scores = np.sort(rng.normal(0.3, 0.4, size=(5, 7)))[:, ::-1].copy()
    scores[1, 5:] = NAN
    relevant = (rng.random((5, 7)) < 0.4) & ~np.isnan(scores)
    normal = network.normal_of(shape, vectors, scores, scores[:, :3])
    read = network.inputs(shape, normal, vectors, scores[:, :3])
    weights = {
        name: value + 0.3 * rng.normal(size=value.shape)
        for name, value in network.start(shape, read.shape[1], rng).items()
    }

    def loss(changed: dict[str, np.ndarray]) -> float:
        # Of what is served: the log-odds of the maps.
        odds = network.maps(shape, normal, changed, read).log_odds(scores)
        known, good = odds[~np.isnan(scores)], relevant[~np.isnan(scores)]
        decay = 0.005 * sum((changed[name] ** 2).sum() for name in ("hidden", "output", "linear"))
        return float(np.mean(np.logaddexp(0, known) - good * known) + decay)

    gradient = network.gradient(shape, normal, weights, read, scores, relevant, 0.01)
    for name, value in weights.items():
        for place in itertools.islice(np.ndindex(value.shape), 12):
            up, down = value.copy(), value.copy()
            up[place] += 1e-6
            down[place] -= 1e-6
            slope = (loss({**weights, name: up}) - loss({**weights, name: down})) / 2e-6
            assert gradient[name][place] == pytest.approx(slope, abs=1e-6)


def test_probe_features_of_short_lists() -> None:
    tops = np.array([[0.9, 0.5, 0.1], [0.7, NAN, NAN], [NAN, NAN, NAN]])
    found = network.probe_features(tops)
    assert found[0].tolist() == pytest.approx([0.9, 0.5, 0.1, np.log(np.std([0.9, 0.5, 0.1]) + 1e-6), 0.4, 0.4])
    assert found[1].tolist() == pytest.approx([0.7, 0.7, 0.7, np.log(1e-6), 0.0, 0.0])
    assert found[2].tolist() == pytest.approx([0.0, 0.0, 0.0, np.log(1e-6), 0.0, 0.0])


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_no_decreasing_sequence_is_nearer_than_the_isotonic_one(found: list[bool]) -> None:
    scores = np.linspace(1, 0, len(found))[None, :]
    best = controls.best_monotone(scores, np.array([found]))[0]
    assert (np.diff(best) <= 1e-12).all()
    distance = ((best - found) ** 2).sum()
    rng = np.random.default_rng(0)
    for _ in range(50):
        other = np.clip(best + rng.normal(0, 0.2, len(found)), 0, 1)
        other = np.minimum.accumulate(other)
        assert ((other - found) ** 2).sum() >= distance - 1e-12


def test_controls() -> None:
    scores = np.array([[0.9, 0.7, 0.5], [0.4, 0.4, NAN]])
    assert controls.fixed_k(scores)[0].tolist() == [0.0, -1.0, -2.0]
    assert np.isnan(controls.fixed_k(scores)[1, 2])
    assert controls.z_score(scores)[0].tolist() == pytest.approx([1.2247, 0.0, -1.2247], abs=1e-4)
    assert controls.z_score(scores, 2)[0].tolist() == pytest.approx([1.0, -1.0, -3.0])
    assert controls.z_score(scores)[1, :2].tolist() == [0.0, 0.0]


def test_calibration_error_is_the_gap_in_each_bin() -> None:
    told = np.array([[0.05, 0.05, 0.95, 0.95, NAN]])
    relevant = np.array([[False, True, True, True, False]])
    assert calibration_error(told, relevant) == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)
