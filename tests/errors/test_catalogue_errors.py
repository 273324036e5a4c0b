"""What the catalogue's codecs refuse, and that a refusal changes nothing."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from octant.errors import (
    DimensionError,
    InputError,
    MissingExtraError,
    NotFittedError,
    SpecError,
    TooFewVectorsError,
    VectorValueError,
)
from octant.quantizers import calibration, umap
from octant.quantizers.kernel_pca import KernelPCA
from octant.quantizers.opq import OPQ
from octant.quantizers.rabitq import RaBitQ
from octant.records import Distance
from octant.representation import Representation, quantizer


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)


SPECS = ["rabitq(6)", "opq(x16)", "leanvec(6)", "kernel_pca(6)", "umap(6, neighbours=5)"]
NUMPY_ONLY = SPECS[:-1]


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_works_before_fit(spec: str, x: Any) -> None:
    codec = quantizer(spec).links[0]
    for use in (lambda: codec.encode(x), lambda: codec.encode_query(x), lambda: codec.state):
        with pytest.raises(NotFittedError, match="has to learn from vectors first: call fit"):
            use()


@pytest.mark.parametrize(
    ("spec", "needed"), [("rabitq(6)", 7), ("opq(x16)", 2), ("leanvec(6)", 6), ("kernel_pca(6)", 7), ("umap(6)", 17)]
)
def test_too_few_vectors_are_refused(spec: str, needed: int, x: Any) -> None:
    codec = quantizer(spec).links[0]
    with pytest.raises(TooFewVectorsError, match=f"needs at least {needed} vectors of 12 .* got {needed - 1}: pass a"):
        codec.fit(x[: needed - 1])
    assert not codec.fitted


@pytest.mark.parametrize("spec", SPECS)
def test_equal_vectors_have_nothing_to_learn_from(spec: str) -> None:
    codec = quantizer(spec).links[0]
    for x in (np.ones((50, 12)), np.zeros((50, 12))):
        with pytest.raises(VectorValueError, match=r"learns from how vectors differ, but all .* are equal: pass a"):
            codec.fit(x)
    assert not codec.fitted


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("scale", [1e20, 1e-20])
def test_lengths_that_leave_float32_are_refused(spec: str, scale: float, x: Any) -> None:
    with pytest.raises(VectorValueError, match=r"leave float32 .* scale the vectors to about unit length"):
        quantizer(spec).links[0].fit(x * np.float32(scale))


@pytest.mark.parametrize("spec", NUMPY_ONLY)
def test_a_failed_fit_leaves_the_codec_as_it_was(spec: str, x: Any) -> None:
    codec, before = (quantizer(spec).links[0].fit(x) for _ in range(2))
    with pytest.raises(VectorValueError, match="row 0 holds NaN or inf"):
        codec.fit(np.full((40, 12), np.nan))
    with pytest.raises(VectorValueError, match="queries must be finite"):
        codec.fit(x, queries=[[np.inf] * 12])
    with pytest.raises(DimensionError, match="expected queries of 12 coordinates, got 13"):
        codec.fit(x, queries=np.ones((5, 13)))
    assert codec == before


@pytest.mark.parametrize("spec", NUMPY_ONLY)
def test_other_dimensions_are_refused(spec: str, x: Any) -> None:
    codec = quantizer(spec).links[0].fit(x)
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 13"):
        codec.encode(np.ones((2, 13)))
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 14"):
        codec.encode_query(np.ones((2, 14)))


@pytest.mark.parametrize("spec", ["rabitq(6)", "kernel_pca(6)"])
def test_codes_of_another_width_are_refused(spec: str, x: Any) -> None:
    with pytest.raises(DimensionError, match="makes codes of 6 coordinates, got 7"):
        quantizer(spec).links[0].fit(x).decode(np.ones((2, 7)))


@pytest.mark.parametrize("name", ["leanvec", "kernel_pca", "umap"])
def test_more_coordinates_than_there_are_is_refused(name: str, x: Any) -> None:
    with pytest.raises(DimensionError, match=rf"{name}\(13\) keeps 13 coordinates, but the vectors have 12"):
        Representation.parse(f"{name}(13)").check(12, Distance.COSINE)


def test_more_bits_than_coordinates_are_refused(x: Any) -> None:
    message = (
        r"rabitq\(13\) makes at most one bit a coordinate, but the vectors have 12: choose bits <= 12, or binary\(13"
    )
    with pytest.raises(DimensionError, match=message):
        Representation.parse("rabitq(13)").check(12, Distance.COSINE)
    with pytest.raises(DimensionError, match=message):
        RaBitQ(13).fit(x)


@pytest.mark.parametrize(
    ("spec", "distance", "kept"),
    [
        ("rabitq", Distance.EUCLID, "cosine, dot"),
        ("leanvec(6)", Distance.EUCLID, "cosine, dot"),
        ("kernel_pca(6)", Distance.EUCLID, "cosine, dot"),
        ("opq(x16)", Distance.MANHATTAN, "cosine, dot, euclid"),
        ("umap(6)", Distance.DOT, "cosine, euclid"),
    ],
)
def test_a_distance_that_is_not_kept_is_refused(spec: str, distance: Distance, kept: str) -> None:
    with pytest.raises(InputError, match=f"keeps the order of {kept}, not of {distance.value.lower()}"):
        Representation.parse(spec).check(12, distance)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("opq", "opq needs the argument ratio"),
        ("opq(x5)", "ratio must be one of x4, x8, x16, x32, x64, got 'x5'"),
        ("rabitq(0)", "bits must be a whole number of at least 1, got 0"),
        ("leanvec", "leanvec needs the argument m"),
        ("kernel_pca(4, sigmoid)", "kernel must be one of rbf, cosine, poly, linear, got 'sigmoid'"),
        ("kernel_pca(4, rbf, 0)", "gamma must be a positive number, got 0"),
        ("kernel_pca(4, linear, gamma=0.5)", "gamma has no part in the kernel linear: leave it out"),
        ("kernel_pca(8, landmarks=7)", "landmarks must be at least m, 8: .* got 7"),
        ("umap(4, neighbours=0)", "neighbours must be a whole number of at least 1, got 0"),
    ],
)
def test_a_spec_says_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Representation.parse(spec)


def test_constructors_open_their_message_with_the_argument() -> None:
    with pytest.raises(InputError, match=r"^gamma must be a positive number, got inf"):
        KernelPCA(4, gamma=float("inf"))
    with pytest.raises(InputError, match=r"^ratio must be one of"):
        OPQ(32)  # type: ignore[arg-type]


def test_umap_says_which_extra_it_needs(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(umap, "find_spec", lambda name: None if name == "umap" else find(name))
    codec = umap.UMAP(4, neighbours=5)
    with pytest.raises(MissingExtraError, match=r"quantizer umap .* pip install 'qdrant-octant\[umap\]'"):
        codec.fit(x)
    assert not codec.fitted


def test_umap_counts_different_vectors() -> None:
    few = np.random.default_rng(0).normal(size=(6, 12)).astype(np.float32)
    with pytest.raises(TooFewVectorsError, match=r"needs at least 17 different vectors to fit, got 6 among"):
        umap.UMAP(4).fit(np.tile(few, (20, 1)))


def test_scores_that_fall_with_the_similarity_are_refused() -> None:
    true = np.random.default_rng(0).normal(size=(10, 50)).astype(np.float32)
    for raw in (-true, np.zeros_like(true)):
        with pytest.raises(VectorValueError, match=r"should rise with the similarity .* pass a larger sample"):
            calibration.line(raw, true)
    with pytest.raises(VectorValueError, match="at least 2 vectors are needed to calibrate scores, got 1"):
        calibration.split(true[:1], None, np.random.default_rng(0))
