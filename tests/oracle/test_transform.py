"""Transform coding against the slow obvious versions of its parts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.errors import DimensionError, InputError, TooFewVectorsError, VectorValueError
from octant.quantizers.transform import TransformCoding, allocation, distortion, gaussian_levels
from octant.records import Distance
from octant.representation import quantizer

DIM = 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Directions whose variance falls, around a mean that is not zero, as embeddings have them."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    x = (rng.standard_normal((1200, DIM)) * np.linspace(1, 0.1, DIM) ** 2) @ turn + 0.05
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)


def test_levels_are_those_that_max_printed() -> None:
    """Table I of Quantizing for Minimum Distortion, J. Max, IRE Transactions on Information Theory 6 (1960)."""
    assert gaussian_levels(3)[4:] == pytest.approx([0.2451, 0.7560, 1.344, 2.152], abs=1e-3)
    assert [distortion(width) for width in (1, 2, 3, 4)] == pytest.approx([0.3634, 0.1175, 0.03454, 0.009497], rel=2e-3)
    high_rate = 3**0.5 * np.pi / 2 * 4.0 ** -np.array([6, 7, 8])  # Panter and Dite (1951)
    assert [distortion(width) for width in (6, 7, 8)] == pytest.approx(high_rate, rel=0.08)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=4), st.integers(0, 9))
def test_bits_go_where_they_take_away_most(variances: list[float], total: int) -> None:
    widths = allocation(np.array(variances), total)
    assert widths.sum() == min(total, 8 * len(variances))
    splits = [split for split in product(range(9), repeat=len(variances)) if sum(split) == widths.sum()]

    def error(split: tuple[int, ...]) -> float:
        return sum(variance * distortion(width) for variance, width in zip(variances, split, strict=True))

    assert error(tuple(widths.tolist())) <= min(map(error, splits)) * (1 + 1e-9)


@pytest.mark.parametrize("bits", [0.5, 1, 2.3, 5, 8])
def test_every_level_comes_back_from_its_bits(vectors: np.ndarray, bits: float) -> None:
    codec = TransformCoding(bits).fit(vectors)
    rng = np.random.default_rng(1)
    levels = np.stack([rng.integers(0, 1 << int(width), 50) for width in codec.widths_], axis=1).astype(np.uint8)
    assert np.array_equal(codec._unpack(codec._pack(levels)), levels)
    assert codec.encode(vectors).shape[1] == codec.storage(DIM, Distance.COSINE).width


@pytest.mark.parametrize("bits", [1, 3])
def test_moving_levels_brings_every_vector_nearer(vectors: np.ndarray, bits: float) -> None:
    codec = TransformCoding(bits).fit(vectors)
    decoded = codec.decode(codec.encode(vectors))
    turned = (vectors - codec.mean_) @ codec.basis_.T
    nearest = np.empty_like(turned)
    for place, width in enumerate(codec.widths_):
        levels = codec.spread_[place] * gaussian_levels(int(width))
        nearest[:, place] = levels[np.abs(turned[:, [place]] - levels).argmin(axis=1)]
    plain = codec.mean_ + nearest @ codec.basis_
    assert (cosines(vectors, decoded) >= cosines(vectors, plain) - 1e-5).all()
    assert (1 - cosines(vectors, decoded)).mean() < 0.95 * (1 - cosines(vectors, plain)).mean()
    scales = (vectors * decoded).sum(1) / (decoded * decoded).sum(1)
    assert scales == pytest.approx(1, abs=1e-3)  # no other length comes nearer


def test_scores_are_right_on_average_and_rank_better_than_as_many_bits_of_a_plain_format(vectors: np.ndarray) -> None:
    x, q = vectors[:1000], vectors[1000:]
    exact = q @ x.T
    true = np.argsort(-exact, axis=1)[:, :10]

    def found(spec: str) -> tuple[float, np.ndarray]:
        chain = quantizer(spec).fit(x)
        scores = chain.score(q, chain.encode(x))
        best = np.argsort(-scores, axis=1)[:, :10]
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(best, true, strict=True)])), scores

    ours, scores = found("transform(4)")
    assert ours > found("int4")[0] + 0.02
    assert abs((scores * exact).sum() / np.square(exact).sum() - 1) < 0.01
    _, rough = found("transform(1)")
    assert abs((rough * exact).sum() / np.square(exact).sum() - 1) < 0.1


@pytest.mark.parametrize("bits", [0, 0.4, 9, True, "3", float("nan")])
def test_impossible_bits_are_refused(bits: object) -> None:
    with pytest.raises(InputError, match=r"bits must be a number from 0\.5 to 8, got"):
        TransformCoding(bits)  # type: ignore[arg-type]


def test_what_is_no_code_is_refused(vectors: np.ndarray) -> None:
    codec = TransformCoding(3).fit(vectors)
    codes = codec.encode(vectors[:2])
    with pytest.raises(DimensionError, match=r"transform\(3\) makes codes of 13 bytes, got 12"):
        codec.decode(codes[:, :-1])
    with pytest.raises(VectorValueError, match="codes are bytes: whole numbers from 0 to 255"):
        codec.decode(codes.astype(np.float32) + 0.5)
    with pytest.raises(TooFewVectorsError, match="25"):
        TransformCoding(3).fit(vectors[:DIM])
    with pytest.raises(VectorValueError, match="all 30 are equal"):
        TransformCoding(3).fit(np.ones((30, DIM), np.float32))


def test_a_vector_of_zeros_stays_one(vectors: np.ndarray) -> None:
    codec = TransformCoding(3).fit(vectors)
    assert not codec.decode(codec.encode(np.zeros((1, DIM), np.float32))).any()
