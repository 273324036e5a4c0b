"""The rule for candidates against rankings whose noise is known, and against slow counting."""

from __future__ import annotations

import numpy as np
import pytest

from octant.oversampling import MOST_CANDIDATES, RANKS, TARGETS, CoverageCurve, _places


def rankings(points, queries=300, noise=0.25, seed=0):
    """Fine scores that fall off like those of embeddings, and coarse ones that are the same with noise."""
    rng = np.random.default_rng(seed)
    fine = -np.log(rng.random((queries, points)))
    coarse = fine + noise * rng.standard_normal(fine.shape)
    return np.argsort(-coarse, axis=1), np.argsort(-fine, axis=1)


def curve_of(points, **options):
    coarse, fine = rankings(points, **options)
    return CoverageCurve.measured(
        coarse, fine[:, : 2 * max(RANKS)], points, source="held-out", rng=np.random.default_rng(0)
    )


@pytest.mark.parametrize("points", [1000, 9000])
@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_a_curve_of_three_thousand_points_holds_for_more_and_for_fewer(points, noise):
    curve = curve_of(3000, noise=noise)
    coarse, fine = rankings(points, queries=150, noise=noise, seed=1)
    for k in (1, 10, 100):
        for target in TARGETS:
            reads = curve.candidates(k, points, target)
            found = [np.isin(true[:k], first[:reads]).mean() for first, true in zip(coarse, fine, strict=True)]
            assert np.mean(found) >= target - (0.03 if k == 1 else 0.012)
            # Nor is it wasteful: three quarters of the candidates would not do, but where the fewest are read anyway.
            fewer = [
                np.isin(true[:k], first[: int(0.6 * reads)]).mean() for first, true in zip(coarse, fine, strict=True)
            ]
            assert np.mean(fewer) < target or reads <= k + 8


def test_places_are_what_counting_says():
    rng = np.random.default_rng(3)
    coarse = np.stack([rng.permutation(60)[:40] for _ in range(5)])
    fine = np.stack([rng.permutation(60)[:30] for _ in range(5)])
    kept = rng.random(60) < 0.6
    places = _places(coarse, fine, kept, 4)
    for row in range(5):
        seen = [point for point in coarse[row] if kept[point]]
        for column, point in enumerate([one for one in fine[row] if kept[one]][:4]):
            expected = seen.index(point) + 1 if point in seen else len(seen) + 1
            assert places[row, column] == expected


def test_candidates_grow_with_all_that_makes_them_harder_to_find():
    curve = curve_of(2000)
    by_points = [curve.candidates(10, points) for points in (100, 1000, 10_000, 100_000, 1_000_000)]
    assert by_points == sorted(by_points)
    assert by_points[-1] > by_points[1]
    by_limit = [curve.candidates(limit, 50_000) for limit in (1, 5, 10, 40, 100, 400)]
    assert by_limit == sorted(by_limit)
    by_target = [curve.candidates(10, 50_000, target) for target in (0.5, 0.9, 0.97, 0.99, 0.999)]
    assert by_target == sorted(by_target)
    assert by_target[-1] > by_target[-2] > by_target[1]


@pytest.mark.parametrize("curve", [CoverageCurve.assumed(8.0), CoverageCurve.assumed(1.0)])
def test_candidates_are_bounded(curve):
    assert curve.candidates(10, 0) >= 10
    assert curve.candidates(10, 12) <= 12
    assert curve.candidates(10, 3) == 10
    assert curve.candidates(200, 10**9, 0.99999) <= MOST_CANDIDATES
    assert curve.candidates(MOST_CANDIDATES + 1, 10**6) == MOST_CANDIDATES + 1


def test_without_a_measurement_ten_answers_of_some_ten_thousand_take_the_codecs_own_oversampling():
    assert CoverageCurve.assumed(8.0).candidates(10, 27_000) == 83
    assert CoverageCurve.assumed(2.0).candidates(10, 27_000) == 23


def test_equal_rankings_need_no_more_than_the_answers():
    _, fine = rankings(1000, queries=50)
    curve = CoverageCurve.measured(fine, fine[:, :200], 1000, source="fitted", rng=np.random.default_rng(0))
    assert [curve.candidates(k, 1000) for k in (10, 20)] == [10, 20]
    assert curve.candidates(10, 1_000_000) <= 20


def test_a_curve_survives_json():
    curve = curve_of(600, queries=40)
    assert CoverageCurve.from_json(curve.to_json()) == curve
