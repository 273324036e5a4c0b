"""Measures of confidence against slow obvious versions, and calibrators against probabilities that are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octant import calibration
from octant.errors import InputError

pairs = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), min_size=2, max_size=30)


def drawn(n: int, slope: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, events, and the probability that each event had."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    truth = 1 / (1 + np.exp(-(slope * scores - 0.5)))
    return 10 + 3 * scores, rng.random(n) < truth, truth


@given(pairs)
def test_area_under_roc_counts_pairs(drawn: list[tuple[float, bool]]) -> None:
    true = [value for value, came in drawn if came]
    false = [value for value, came in drawn if not came]
    if not true or not false:
        with pytest.raises(InputError, match="events of both kinds"):
            calibration.area_under_roc(*zip(*drawn, strict=True))
        return
    slow = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in true for b in false])
    assert calibration.area_under_roc(*zip(*drawn, strict=True)) == pytest.approx(slow)


@given(pairs)
def test_calibration_error_is_the_mean_distance_over_bins(drawn: list[tuple[float, bool]]) -> None:
    slow = 0.0
    for number in range(10):
        inside = [pair for pair in drawn if min(int(pair[0] * 10), 9) == number]
        if inside:
            said, came = np.mean([value for value, _ in inside]), np.mean([event for _, event in inside])
            slow += len(inside) / len(drawn) * abs(said - came)
    assert calibration.expected_calibration_error(*zip(*drawn, strict=True)) == pytest.approx(slow)


@given(pairs)
def test_risk_is_that_of_the_surest(drawn: list[tuple[float, bool]]) -> None:
    curve = calibration.risk_coverage([value for value, _ in drawn], [not came for _, came in drawn])
    for coverage, risk in zip(curve.coverage, curve.risk, strict=True):
        answered = sorted(drawn, key=lambda pair: -pair[0])[: round(coverage * len(drawn))]
        least = min(value for value, _ in answered)
        assert sum(value >= least for value, _ in drawn) == len(answered), "equal confidences are answered together"
        assert risk == pytest.approx(np.mean([not came for _, came in answered]))
    assert curve.coverage[-1] == 1.0
    assert curve.at(1.0) == curve.risk[-1]


def test_logistic_is_where_its_gradient_is_zero() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3)) * [1, 10, 0.1] + [0, 5, 0]
    y = rng.random(200) < 1 / (1 + np.exp(-(x[:, 0] - 0.2 * (x[:, 1] - 5))))
    model = calibration.fit_logistic(x, y, ridge=2.0)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    error = model.probabilities(x) - y
    assert np.abs(standard.T @ error + 2.0 * model.weights).max() < 0.05
    assert abs(error.sum()) < 0.05


def test_logistic_keeps_the_signs_that_are_known() -> None:
    x = np.column_stack([np.arange(30.0), -np.arange(30.0)])
    y = np.arange(30) < 15
    free = calibration.fit_logistic(x, y)
    held = calibration.fit_logistic(x, y, signs=[1, 0])
    assert free.weights[0] < 0
    assert held.weights[0] == 0.0
    assert held.weights[1] > 0
    assert calibration.fit_logistic(x, y, signs=[1, -1]).probabilities(x) == pytest.approx(0.5, abs=1e-6)


def test_logistic_reads_an_unknown_feature_as_its_mean() -> None:
    x, y = [[0.0, math.nan], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], [0, 0, 1, 1]
    model = calibration.fit_logistic(x, y)
    assert model.probabilities([[2.0, math.nan]]) == pytest.approx(model.probabilities([[2.0, 4.0]]))
    assert np.isfinite(model.probabilities([[math.inf, 1e300]])).all()


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_calibrated_probabilities_are_near_the_true_ones(n: int) -> None:
    fresh, _, truth = drawn(4000, seed=99)
    made = [calibration.fit_calibrator(*drawn(n, seed=seed)[:2]) for seed in range(10)]
    errors = [np.abs(calibrator.probabilities(fresh) - truth).mean() for calibrator in made]
    assert np.mean(errors) < 0.7 / math.sqrt(n)


def test_intervals_hold_the_truth_and_shrink_with_labels() -> None:
    inside, widths = [], {}
    for n in (30, 300):
        for seed in range(40):
            scores, events, _ = drawn(n, seed=seed)
            calibrator = calibration.fit_calibrator(scores, events, kind="platt")
            low, high = calibrator.interval(11.5)
            inside.append(low <= 1 / (1 + math.exp(-0.5)) <= high)
            widths.setdefault(n, []).append(high - low)
    assert np.mean(inside) > 0.85
    assert np.mean(widths[30]) > 2 * np.mean(widths[300])


def test_many_labels_that_no_sigmoid_fits_get_a_free_curve() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(3000)
    events = rng.random(3000) < np.where(scores < 0.9, 0.3, 0.9)
    calibrator = calibration.fit_calibrator(scores, events)
    assert calibrator.kind == "isotonic"
    assert calibrator.probability(0.2) == pytest.approx(0.3, abs=0.06)
    assert calibrator.probability(0.97) == pytest.approx(0.9, abs=0.06)
    low, high = calibrator.interval(0.2)
    assert low < calibrator.probability(0.2) < high


@settings(max_examples=30)
@given(st.integers(20, 700), st.integers(0, 5), st.sampled_from(["platt", "isotonic"]))
def test_a_calibrator_never_turns_the_order_round_and_survives_json(n: int, seed: int, kind: str) -> None:
    scores, events, _ = drawn(n, slope=-1.0 if seed == 0 else 1.0, seed=seed)
    events[:3], events[3:6] = True, False
    calibrator = calibration.fit_calibrator(scores, events, kind=kind)  # type: ignore[arg-type]
    asked = np.linspace(-50, 60, 99)
    found = calibrator.probabilities(asked)
    assert (np.diff(found) >= 0).all()
    assert found.min() > 0
    assert found.max() < 1
    again = calibration.Calibrator.from_json(json.loads(json.dumps(calibrator.as_json())))
    assert np.array_equal(again.probabilities(asked), found)


def test_separable_and_identical_scores_stay_finite() -> None:
    separable = calibration.fit_calibrator(np.arange(40.0), np.arange(40) >= 20)
    assert 0 < separable.probability(-5) < 0.1 < 0.9 < separable.probability(50) < 1
    alike = calibration.fit_calibrator(np.full(40, 3.0), np.arange(40) < 10)
    assert alike.probability(3.0) == pytest.approx(0.26, abs=0.02)


@pytest.mark.parametrize(
    ("scores", "events", "message"),
    [
        ([0.1] * 19, [True] * 10 + [False] * 9, "needs at least 20 labels"),
        ([0.1] * 40, [True] * 38 + [False] * 2, "got 38 that came true and 2 that did not"),
        ([0.1, math.nan] * 20, [True, False] * 20, "expected finite numbers"),
        ([0.1] * 20, [True] * 19, "two lists of one length"),
        ([0.1] * 20, [0.5] * 20, "events are true or false"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(scores: list[float], events: list[bool], message: str) -> None:
    with pytest.raises(InputError, match=message):
        calibration.fit_calibrator(scores, events)


def test_scores_are_no_probabilities() -> None:
    with pytest.raises(InputError, match=r"must lie in \[0, 1\], got 1 to 7: calibrate first"):
        calibration.brier_score([1, 7], [True, False])


@pytest.mark.parametrize("change", [{"kind": "magic"}, {"knots": [1.0]}, {"scale": 0.0}, {"slope": math.nan}])
def test_damaged_numbers_are_no_calibrator(change: dict[str, object]) -> None:
    whole = calibration.fit_calibrator(np.arange(40.0), np.arange(40) % 2 == 0).as_json()
    with pytest.raises(ValueError, match="calibrator"):
        calibration.Calibrator.from_json({**whole, **change})


def test_a_diagram_shows_every_bin(tmp_path: Path) -> None:
    bins = calibration.reliability([0.05, 0.72, 0.78, 1.0], [False, True, False, True])
    assert [(one.count, one.share) for one in bins] == [(1, 0.0), (2, 0.5), (1, 1.0)]
    assert len(calibration.reliability_text(bins).splitlines()) == 4
    picture = ElementTree.fromstring(calibration.reliability_svg(bins, title='a <b> & "c"'))
    assert len(picture.findall("{http://www.w3.org/2000/svg}circle")) == 3
    for name, opens in (("d.svg", b"<svg"), ("d.png", b"\x89PNG")):
        calibration.save_reliability(bins, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(opens)
    with pytest.raises(InputError, match=r"ends in \.svg or \.png, got 'd\.pdf'"):
        calibration.save_reliability(bins, tmp_path / "d.pdf")
    with pytest.raises(InputError, match="cannot be written"):
        calibration.save_reliability(bins, tmp_path / "no folder" / "d.png")
