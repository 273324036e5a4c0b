"""What a quantizer refuses, and that a refusal changes nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from octant.errors import DimensionError, InputError, NotFittedError, TooFewVectorsError, VectorValueError
from octant.quantizers import Chain
from octant.quantizers.formats import Float8, Int4
from octant.quantizers.native import Binary, Float32, Product, Turbo, Uint8
from octant.quantizers.reduce import PCA, Truncate
from octant.records import Distance
from octant.representation import Representation, quantizer


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)


LEARNING = ["pca(4)|float8", "whiten(4)", "random_projection(4)", "truncate(4)|turbo8", "uint8"]


@pytest.mark.parametrize("spec", LEARNING)
def test_nothing_works_before_fit(spec: str, x: Any) -> None:
    chain = quantizer(spec)
    message = re.escape(repr(chain)) + " has to learn from vectors first: call fit"
    for use in (
        lambda: chain.encode(x),
        lambda: chain.decode(np.zeros((1, 8))),
        lambda: chain.encode_query(x),
        lambda: chain.score(x[:1], np.zeros((1, 8))),
        lambda: chain.state,
    ):
        with pytest.raises(NotFittedError, match=message):
            use()


@pytest.mark.parametrize(
    ("spec", "needed"), [("pca(8)|float8", 9), ("whiten(8)", 9), ("uint8", 16), ("truncate(8)|uint8", 16)]
)
def test_too_few_vectors_say_how_many_are_needed(spec: str, needed: int, x: Any) -> None:
    message = f"needs at least {needed} vectors of 12 coordinates to fit, got {needed - 1}: pass a larger sample"
    with pytest.raises(TooFewVectorsError, match=message):
        quantizer(spec).fit(x[: needed - 1])
    representation = Representation.parse(spec)
    with pytest.raises(TooFewVectorsError, match=message):
        representation.fit(x[: needed - 1])
    assert not representation.fitted
    assert representation.fit(x[:needed]).fitted


@pytest.mark.parametrize("name", ["pca", "whiten", "truncate", "random_projection"])
def test_a_reducer_larger_than_the_dimension_is_refused_early_and_late(name: str, x: Any) -> None:
    message = rf"{name}\(13\) keeps 13 coordinates, but the vectors have 12: choose m <= 12"
    representation = Representation.parse(f"{name}(13)|turbo8")
    for use in (
        lambda: representation.check(12, Distance.COSINE),
        lambda: representation.needs(12, Distance.DOT),
        lambda: representation.fit(x),
    ):
        with pytest.raises(DimensionError, match=message):
            use()


def test_the_second_of_two_reducers_is_measured_by_the_first() -> None:
    with pytest.raises(DimensionError, match=r"pca\(8\) keeps 8 coordinates, but the vectors have 6"):
        Representation.parse("truncate(6)|pca(8)").check(12, Distance.COSINE)


@pytest.mark.parametrize("spec", LEARNING)
def test_vectors_of_another_width_than_the_fitted_are_refused(spec: str, x: Any) -> None:
    chain = quantizer(spec).fit(x)
    with pytest.raises(DimensionError, match="was fitted on vectors of 12 coordinates, got 13"):
        chain.encode(np.ones((2, 13)))
    with pytest.raises(DimensionError, match="was fitted on vectors of 12 coordinates, got 11"):
        chain.encode_query(np.ones((2, 11)), Distance.EUCLID if spec != "whiten(4)" else Distance.DOT)
    with pytest.raises(DimensionError, match="was fitted on vectors of 12 coordinates, got 13"):
        Representation.parse(spec).fit(x).check(13, Distance.COSINE)


@pytest.mark.parametrize(
    ("spec", "distance", "message"),
    [
        ("uint8", Distance.DOT, "uint8 keeps the order of cosine, euclid, manhattan, not of dot"),
        ("pca(4)|turbo8", Distance.MANHATTAN, r"pca\(4\) keeps the order of cosine, dot, euclid, not of manhattan"),
        ("whiten(4)|turbo8", Distance.EUCLID, r"whiten\(4\) keeps the order of cosine, dot, not of euclid"),
        ("pca(4)|uint8", Distance.DOT, "uint8 keeps the order of cosine, euclid, manhattan, not of dot"),
        (
            "whiten(4)|uint8",
            Distance.COSINE,
            r"uint8 after a reducer compares by euclid, whose order whiten\(4\) does not",
        ),
        ("coarse=turbo4; fine=whiten(4)|int8", Distance.EUCLID, r"whiten\(4\) keeps the order of cosine, dot"),
    ],
)
def test_a_distance_that_is_not_kept_is_refused(spec: str, distance: Distance, message: str, x: Any) -> None:
    with pytest.raises(InputError, match=message):
        Representation.parse(spec).check(12, distance)
    with pytest.raises(InputError, match=message):
        Representation.parse(spec).needs(12, distance)


BAD = [
    ([[1.0, np.nan]], "row 0 holds NaN or inf"),
    ([[1.0, 2.0], [np.inf, 0.0]], "row 1 holds NaN or inf"),
    ([[1e39, 0.0]], "row 0 holds NaN or inf"),
    ([[1.0], [1.0, 2.0]], "same number of coordinates|shape"),
    ([["a", "b"]], "must be numbers"),
    ([], "with n and dim at least 1"),
    (np.zeros((2, 2, 2)), r"shape \(n, dim\)"),
]


@pytest.mark.parametrize(("vectors", "message"), BAD)
@pytest.mark.parametrize("spec", ["float8", "pca(1)|int4", "turbo8"])
def test_vectors_that_are_no_finite_matrix_are_refused(spec: str, vectors: Any, message: str) -> None:
    chain = quantizer(spec)
    with pytest.raises(VectorValueError, match=message):
        chain.fit(vectors)
    chain = quantizer(spec).fit(np.eye(2))
    for use in (chain.encode, chain.encode_query):
        with pytest.raises(VectorValueError, match=message):
            use(vectors)


def test_a_failed_fit_leaves_everything_as_it_was(x: Any) -> None:
    spec = "coarse=pca(4)|turbo4; fine=pca(4)|uint8"
    representation = Representation.parse(spec).fit(x)
    before = Representation.parse(spec).fit(x)
    with pytest.raises(TooFewVectorsError, match="needs at least 16"):
        representation.fit(x[:10])
    with pytest.raises(VectorValueError, match="queries must be finite"):
        representation.fit(x, queries=[[np.nan] * 12])
    assert representation == before


@pytest.mark.parametrize("codec", [Float8(), Int4()], ids=repr)
def test_bytes_that_are_no_codes_are_refused(codec: Any) -> None:
    with pytest.raises(DimensionError, match="codes have more than 4 bytes each, got 4"):
        codec.decode(np.zeros((2, 4), np.uint8))
    for wrong in (0.5, 256.0, -1.0):
        with pytest.raises(VectorValueError, match="codes are bytes: whole numbers"):
            codec.decode(np.full((1, 9), wrong))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCA(0), "m must be a whole number of at least 1, got 0"),
        (lambda: Truncate(2.0), r"m must be a whole number of at least 1, got 2\.0"),
        (lambda: PCA(True), "m must be a whole number of at least 1, got True"),
        (lambda: Float8("e3m4"), "variant must be one of e4m3, e5m2, got 'e3m4'"),
        (lambda: Product(16), "ratio must be one of x4, x8, x16, x32, x64, got 16"),
        (lambda: Turbo(3), "bits must be one of 1, 1.5, 2, 4, 8, got 3"),
        (lambda: Binary(None), "bits must be one of 1, 1.5, 2, got None"),
    ],
)
def test_a_constructor_opens_its_message_with_the_argument(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_a_second_copy_needs_floats_beneath_it() -> None:
    chain = Chain((), Uint8(), Turbo(1))
    with pytest.raises(InputError, match=r"turbo\(1\) needs a stored vector of float32, float16 or turbo beneath it"):
        chain.storage(12, Distance.COSINE)
    with pytest.raises(InputError, match=r"bq\(1\) needs a stored vector"):
        Binary(1).over(Turbo(1).over(Float32().storage(12, Distance.COSINE)))


def test_state_that_does_not_belong_is_refused(x: Any) -> None:
    state = PCA(4).fit(x).state
    del state["mean"]
    with pytest.raises(
        InputError, match=r"pca\(4\) holds the arrays \['basis', 'mean', 'residual'\], got \['basis', 're"
    ):
        PCA.restore({"m": 4}, state)


def test_a_chain_is_rebuilt_from_its_artifact(x: Any) -> None:
    chain = quantizer("pca(4)|float8").fit(x)
    with pytest.raises(InputError, match=r"a chain is rebuilt by octant\.artifact\.load"):
        Chain.restore(chain.config, chain.state)


def test_a_stage_has_one_of_two_names(x: Any) -> None:
    with pytest.raises(InputError, match="stage must be 'coarse' or 'fine', got 'medium'"):
        Representation.parse("turbo8").decode(x, "medium")  # type: ignore[arg-type]
