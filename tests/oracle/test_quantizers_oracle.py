"""Codecs against slow and obvious versions of themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from octant.quantizers.formats import Float8, Int4, Int8
from octant.quantizers.native import Uint8
from octant.quantizers.reduce import PCA, RandomProjection, Truncate, Whiten
from octant.records import Distance
from octant.representation import quantizer
from octant.vectors import unit_rows


@pytest.fixture(scope="module")
def x() -> Any:
    rng = np.random.default_rng(11)
    return (rng.normal(size=(300, 20)) * np.linspace(2, 0.2, 20) + 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def q() -> Any:
    return np.random.default_rng(12).normal(size=(7, 20)).astype(np.float32)


# -- formats -------------------------------------------------------------------------------------


def minifloat(byte: int, exponent_bits: int) -> float:
    """The value of a float8 byte by the definition of the OCP formats; NaN and inf as NaN."""
    mantissa_bits = 7 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1
    sign = -1.0 if byte >> 7 else 1.0
    exponent = (byte >> mantissa_bits) & (2**exponent_bits - 1)
    mantissa = byte & (2**mantissa_bits - 1)
    largest = 2**exponent_bits - 1
    if exponent_bits == 5 and exponent == largest:
        return math.nan  # e5m2 has infinities and NaNs, as IEEE
    if exponent_bits == 4 and exponent == largest and mantissa == 7:
        return math.nan  # e4m3 gives up one code only
    if exponent == 0:
        return sign * mantissa / 2**mantissa_bits * 2.0 ** (1 - bias)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


def nearest_even(value: float, table: list[tuple[float, int]]) -> int:
    """The byte whose value is nearest; of two equally near, the even one."""
    return min(table, key=lambda entry: (abs(entry[0] - value), entry[1] & 1))[1]


@pytest.mark.parametrize(("variant", "exponent_bits", "limit"), [("e4m3", 4, 448.0), ("e5m2", 5, 57344.0)])
def test_float8_rounds_each_coordinate_to_the_nearest_value(variant: str, exponent_bits: int, limit: float) -> None:
    rng = np.random.default_rng(0)
    # Coordinates over many binades, so that subnormals take part.
    x = (rng.normal(size=(30, 12)) * 2.0 ** rng.integers(-20, 1, size=(30, 12))).astype(np.float32)
    table = [(minifloat(byte, exponent_bits), byte) for byte in range(256)]
    table = [entry for entry in table if not math.isnan(entry[0])]
    assert max(value for value, _ in table) == limit
    codes = Float8(variant).encode(x)
    for row, code in zip(x, codes, strict=True):
        scale = float(np.abs(row).max()) / limit
        values = [minifloat(int(byte), exponent_bits) for byte in code[4:]]
        wanted = [minifloat(nearest_even(np.float32(float(v) / scale), table), exponent_bits) for v in row]
        assert values == wanted
        stored = sum(float(v) ** 2 for v in row) / sum(float(v) * u for v, u in zip(row, values, strict=True))
        assert float(code[:4].view("<f4")[0]) == pytest.approx(stored, rel=1e-6)


def test_int8_rounds_each_coordinate_to_the_nearest_level(x: Any) -> None:
    for row, code in zip(x, Int8().encode(x), strict=True):
        scale = float(np.abs(row).max()) / 127
        assert code[4:].view(np.int8).tolist() == [round(float(v) / scale) for v in row]


def test_int4_packs_the_levels_of_the_scale_that_loses_least(x: Any) -> None:
    x = x[:40, :19]  # an odd dimension: the last half byte is filled up
    for row, code in zip(x, Int4().encode(x), strict=True):
        widest = float(np.abs(row).max()) / 7
        found = []
        for ratio in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
            scale = widest * ratio
            levels = [max(-7, min(7, round(float(v) / scale))) for v in row]
            found.append((sum((level * scale - float(v)) ** 2 for level, v in zip(levels, row, strict=True)), levels))
        levels = min(found, key=lambda entry: entry[0])[1]
        nibbles = []
        for byte in code[4:]:
            nibbles += [int(byte) & 15, int(byte) >> 4]
        assert [n - 16 if n > 8 else n for n in nibbles[:-1]] == levels
        assert nibbles[-1] == 8


@pytest.mark.parametrize("codec", [Float8(), Float8("e5m2"), Int8(), Int4()], ids=repr)
def test_the_scale_keeps_the_length_along_the_vector(codec: Any, x: Any) -> None:
    decoded = codec.decode(codec.encode(x)).astype(np.float64)
    assert np.allclose((decoded * x).sum(1), np.square(x.astype(np.float64)).sum(1), rtol=1e-5)


# -- native --------------------------------------------------------------------------------------


def test_uint8_is_one_grid_around_the_mean(x: Any, q: Any) -> None:
    codec = Uint8().fit(x)
    center = x.astype(np.float64).mean(0)
    assert np.allclose(codec.center_, center, atol=1e-6)
    step = float(codec.step_)
    wanted = [[min(255, max(0, round((v - c) / step + 127.5))) for v, c in zip(row, center, strict=True)] for row in x]
    assert (codec.encode(x).astype(int) != np.array(wanted)).mean() < 0.002  # ties, and the mean's last digit
    coded = codec.encode_query(q, Distance.EUCLID)
    assert np.array_equal(coded.vectors, np.rint(coded.vectors)), "the engine cuts fractions off"
    raw = -np.square(coded.vectors[:, None] - codec.encode(x)[None].astype(np.float64)).sum(2)
    estimate = coded.scale[:, None] * raw + coded.offset[:, None]
    true = -np.square(q[:, None].astype(np.float64) - x[None]).sum(2)
    assert np.abs(estimate - true).mean() < 0.02 * true.std()
    assert abs((estimate - true).mean()) < 0.002 * true.std()


# -- reducers ------------------------------------------------------------------------------------


def test_pca_is_the_singular_value_decomposition(x: Any) -> None:
    codec = PCA(5).fit(x)
    wide = x.astype(np.float64)
    _, singular, rows = np.linalg.svd(wide - wide.mean(0), full_matrices=False)
    assert np.allclose(np.abs(codec.basis_ @ rows[:5].T), np.eye(5), atol=1e-4)
    assert np.allclose(codec.basis_ @ codec.basis_.T, np.eye(5), atol=1e-5)
    assert (codec.basis_[np.arange(5), np.abs(codec.basis_).argmax(1)] > 0).all()
    assert float(codec.residual_) == pytest.approx(float((singular[5:] ** 2).sum() / len(x)), rel=1e-4)
    reconstructed = wide.mean(0) + (wide - wide.mean(0)) @ rows[:5].T @ rows[:5]
    assert np.allclose(codec.decode(codec.encode(x)), reconstructed, atol=1e-4)


@pytest.mark.parametrize("codec", [PCA(6), Whiten(6)], ids=repr)
def test_a_linear_reducer_scores_what_it_decodes_to(codec: Any, x: Any, q: Any) -> None:
    codec.fit(x)
    coded = codec.encode_query(q, Distance.DOT)
    scores = coded.scale[:, None] * (coded.vectors @ codec.encode(x).T) + coded.offset[:, None]
    assert np.allclose(scores, q @ codec.decode(codec.encode(x)).T, atol=1e-3)


def test_pca_adds_the_mean_of_what_it_drops_to_a_squared_distance(x: Any, q: Any) -> None:
    codec = PCA(6).fit(x)
    coded = codec.encode_query(q, Distance.EUCLID)
    for row in range(len(q)):
        centred = q[row].astype(np.float64) - codec.mean_
        outside = np.square(centred - codec.basis_.T @ (codec.basis_ @ centred)).sum()
        dropped = np.square(x - codec.decode(codec.encode(x))).sum(1).mean()
        assert coded.offset[row] == pytest.approx(-(outside + dropped), rel=1e-3)


def test_whitened_coordinates_have_unit_variance_and_no_correlation(x: Any) -> None:
    codec = Whiten(8).fit(x)
    assert np.allclose(np.cov(codec.encode(x), rowvar=False, bias=True), np.eye(8), atol=1e-3)


def test_whitening_stays_finite_where_the_data_has_no_width() -> None:
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(100, 3)) @ rng.normal(size=(3, 20))).astype(np.float32)
    other = rng.normal(size=(50, 20)).astype(np.float32)
    for data in (flat, np.ones((100, 20), np.float32)):
        codec = Whiten(8).fit(data)
        z = codec.encode(other)
        assert np.isfinite(z).all()
        coded = codec.encode_query(other, Distance.DOT)
        kept = codec.mean_ + (other - codec.mean_) @ codec.basis_.T @ codec.basis_
        scores = coded.vectors @ z.T + coded.offset[:, None]
        assert np.allclose(scores, other @ kept.T, atol=1e-2)


def test_random_projections_estimate_products_and_distances_without_bias(x: Any, q: Any) -> None:
    dot, square = np.zeros((len(q), 30)), np.zeros((len(q), 30))
    for seed in range(300):
        codec = RandomProjection(8).fit(x, rng=seed)
        z = codec.encode(x[:30])
        coded = codec.encode_query(q, Distance.DOT)
        dot += (coded.scale[:, None] * (coded.vectors @ z.T) + coded.offset[:, None]) / 300
        near = codec.encode_query(q, Distance.EUCLID)
        square += np.square(near.vectors[:, None] - z[None]).sum(2) / 300
    assert np.allclose(codec.basis_ @ codec.basis_.T, np.eye(8), atol=1e-5)
    true = q @ x[:30].T
    assert np.abs(dot - true).mean() < 0.1 * true.std()
    distances = np.square(q[:, None] - x[None, :30]).sum(2)
    assert np.abs(square / distances - 1).mean() < 0.04


def test_truncation_keeps_lengths_and_gives_the_cosine_of_the_heads(x: Any, q: Any) -> None:
    x = x.copy()
    x[0, :5] = 0
    codec = Truncate(5).fit(x)
    z = codec.encode(x)
    for row, short in zip(x[1:], z[1:], strict=True):
        head = [float(v) for v in row[:5]]
        factor = math.sqrt(sum(float(v) ** 2 for v in row)) / math.sqrt(sum(v * v for v in head))
        assert np.allclose(short, [v * factor for v in head], rtol=1e-5)
    assert (z[0] == 0).all(), "a vector without a head has no direction left"
    coded = codec.encode_query(unit_rows(q), Distance.COSINE)
    scores = coded.vectors @ codec.encode(unit_rows(x)).T
    heads = unit_rows(q[:, :5]) @ unit_rows(x[1:, :5]).T
    assert np.allclose(scores[:, 1:], heads, atol=1e-5)
    assert codec.decode(z).shape == x.shape


# -- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["pca(6)|float8", "truncate(12)|pca(6)|int8", "random_projection(9)|float8", "uint8"])
@pytest.mark.parametrize("distance", [Distance.COSINE, Distance.EUCLID], ids=lambda distance: distance.value)
def test_a_chain_scores_codes_as_its_encoded_queries_do(spec: str, distance: Distance, x: Any, q: Any) -> None:
    x, q = unit_rows(x), unit_rows(q)
    chain = quantizer(spec).fit(x)
    codes = chain.encode(x)
    coded = chain.encode_query(q, distance)
    stored = codes.astype(np.float64) if spec == "uint8" else chain.coder.decode(codes).astype(np.float64)
    for row in range(len(q)):
        for point in range(0, len(x), 40):
            w = coded.vectors[row].astype(np.float64)
            if spec == "uint8" or chain.inner_distance(distance) is Distance.EUCLID:
                raw = -np.square(w - stored[point]).sum()
            else:
                raw = float(w @ stored[point])
            similarity = coded.scale[row] * raw + coded.offset[row]
            if distance is Distance.EUCLID:
                similarity = -math.sqrt(max(-similarity, 0))
            got = chain.score(q[row], codes[point], distance)[0, 0]
            # uint8 scores its decoded codes here and rounded queries in the engine.
            assert got == pytest.approx(similarity, abs=2e-2 if spec == "uint8" else 1e-4)
