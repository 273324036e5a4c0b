"""The rate-distortion bound against the water level found by bisection, and against codes that are known to be good."""

from __future__ import annotations

import numpy as np
import pytest

from octant import Representation, distortion
from octant.distortion import code_bits, gaussian_bound, variances
from octant.errors import InputError
from octant.records import Distance


def by_bisection(spectrum, bits):
    """Lower the water until the components above it need all bits."""
    low, high = 0.0, float(max(spectrum))
    for _ in range(200):
        level = (low + high) / 2
        needed = sum(0.5 * np.log2(v / level) for v in spectrum if v > level)
        low, high = (level, high) if needed > bits else (low, level)
    return sum(min(v, level) for v in spectrum)


@pytest.mark.parametrize("bits", [0.25, 1, 7.5, 40, 300])
@pytest.mark.parametrize("dim", [1, 2, 50])
def test_the_bound_is_that_of_bisection(dim, bits):
    spectrum = np.random.default_rng(dim).gamma(0.3, size=dim)
    assert gaussian_bound(spectrum, bits) == pytest.approx(by_bisection(spectrum, bits), rel=1e-9, abs=1e-12)


def test_no_bits_leave_all_of_the_variance():
    spectrum = np.random.default_rng(0).gamma(0.5, size=20)
    assert gaussian_bound(spectrum, 0) == pytest.approx(spectrum.sum())
    for value in spectrum:  # rounding must not turn a lone component into a free one
        assert gaussian_bound([value], 0) == value


def test_each_bit_a_component_divides_equal_variances_by_four():
    assert gaussian_bound(np.full(8, 3.0), 8) == pytest.approx(24 / 4)
    assert gaussian_bound(np.full(8, 3.0), 16) == pytest.approx(24 / 16)


def test_components_without_variance_take_no_bits():
    padded = [0.0, 2.0, -1e-18, 1.0, 0.0]
    assert gaussian_bound(padded, 3) == pytest.approx(gaussian_bound([2.0, 1.0], 3))
    assert gaussian_bound([0.0, 0.0], 3) == 0


def test_signs_of_gaussian_vectors_lie_above_the_bound_by_their_known_factor():
    x = np.random.default_rng(0).normal(size=(20_000, 6))
    error = np.square(x - np.sqrt(2 / np.pi) * np.sign(x)).sum(axis=1).mean()
    bound = gaussian_bound(variances(x), 6)
    # A one-bit quantizer of a Gaussian loses 1 - 2/pi of it, no code less than 1/4.
    assert error / bound == pytest.approx((1 - 2 / np.pi) * 4, rel=0.02)


def test_the_spectrum_is_that_of_the_covariance_in_blocks_too(monkeypatch):
    x = np.random.default_rng(1).normal(size=(300, 5)) @ np.diag([3, 2, 1, 0.1, 0]) + 7
    slow = np.linalg.eigvalsh(np.cov(x, rowvar=False, bias=True))
    assert variances(x) == pytest.approx(slow, abs=1e-12)
    monkeypatch.setattr(distortion, "_ROWS", 77)
    assert variances(x) == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize(
    ("spec", "bits"),
    [
        ("binary(24)", 24), ("float32", 32 * 16), ("pca(4)|uint8", 8 * 4),
        ("turbo4", None), ("float16", None), ("float32|turbo(1)", None), ("float32|bq(1)", None),
    ],
)  # fmt: skip
def test_bits_are_known_where_the_codec_decodes_what_is_scored(spec, bits):
    needs, _ = Representation.parse(spec).needs(16, Distance.COSINE)
    assert code_bits(needs) == bits


@pytest.mark.parametrize("spectrum", [[[1.0, 2.0]], [1.0, np.nan], 3.0])
def test_variances_that_are_none_are_refused(spectrum):
    with pytest.raises(InputError, match="finite variances of shape"):
        gaussian_bound(spectrum, 4)


@pytest.mark.parametrize("bits", [-1, float("nan"), float("inf")])
def test_impossible_rates_are_refused(bits):
    with pytest.raises(InputError, match="bits must be a finite number of at least 0"):
        gaussian_bound([1.0], bits)
