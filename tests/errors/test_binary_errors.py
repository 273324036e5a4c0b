"""What composed binary codes refuse, and that a refusal leaves nothing half-fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import octant
from octant import artifact
from octant.errors import (
    DimensionError,
    InputError,
    MismatchError,
    NotFittedError,
    SpecError,
    TooFewVectorsError,
    VectorValueError,
)
from octant.quantizers import binary_fit
from octant.quantizers.binary import ComposedBinary
from octant.records import Distance
from octant.representation import Representation


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)


@pytest.mark.parametrize("bits", [0, -8, 2.5, "many", True])
def test_bits_are_a_whole_number_of_at_least_one(bits: Any) -> None:
    with pytest.raises(InputError, match="bits must be a whole number of at least 1"):
        ComposedBinary(bits)


@pytest.mark.parametrize("spec", ["binary", "binary(0)", "binary(many)", "binary(8, 8)"])
def test_a_spec_says_what_is_wrong(spec: str) -> None:
    with pytest.raises(SpecError, match=r"binary|bits"):
        Representation.parse(spec)


def test_fewer_vectors_than_bits_are_refused(x: Any) -> None:
    codec = ComposedBinary(81)
    with pytest.raises(TooFewVectorsError, match=r"binary\(81\) needs at least 81 vectors .* got 80: pass a larger"):
        codec.fit(x)
    assert not codec.fitted
    assert ComposedBinary(80).fit(x).fitted


def test_equal_vectors_have_nothing_to_learn_from() -> None:
    for x in (np.ones((50, 4)), np.zeros((50, 4))):
        with pytest.raises(VectorValueError, match="all 50 are equal: pass a sample of the collection"):
            ComposedBinary(8).fit(x)


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_lengths_that_leave_float32_are_refused(scale: float, x: Any) -> None:
    with pytest.raises(VectorValueError, match="scale the vectors to about unit length"):
        ComposedBinary(8).fit(x * np.float32(scale))


def test_a_loss_that_is_not_finite_stops_the_fit(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ComposedBinary(8).fit(x)
    before = codec.state
    monkeypatch.setattr(binary_fit, "better_decoder", lambda code, *_: code.decoder * np.float32(np.nan))
    with pytest.raises(VectorValueError, match=r"loss of binary\(8\) is not finite after round 1 of"):
        codec.fit(2 * x)
    assert all(np.array_equal(before[name], value) for name, value in codec.state.items())
    fresh = ComposedBinary(8)
    with pytest.raises(VectorValueError, match="not finite"):
        fresh.fit(x)
    with pytest.raises(NotFittedError, match="call fit"):
        fresh.encode(x)


def test_a_fit_that_is_interrupted_leaves_nothing(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt("stopped")

    monkeypatch.setattr(binary_fit, "better_decoder", interrupt)
    codec = ComposedBinary(8)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        codec.fit(x)
    with pytest.raises(NotFittedError, match=r"binary\(8\) has to learn from vectors first"):
        codec.encode(x)


def test_other_dimensions_are_refused(x: Any) -> None:
    codec = ComposedBinary(8).fit(x)
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 13"):
        codec.encode(np.ones((2, 13)))
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 11"):
        codec.encode_query(np.ones((2, 11)))
    with pytest.raises(DimensionError, match="codes of 8 coordinates, got 9"):
        codec.decode(np.ones((2, 9)))


@pytest.mark.parametrize("distance", [Distance.EUCLID, Distance.MANHATTAN])
def test_distances_that_are_no_dot_product_are_refused(distance: Distance, x: Any) -> None:
    with pytest.raises(InputError, match=r"binary\(8\) keeps the order of cosine, dot, not of"):
        ComposedBinary(8).fit(x).encode_query(x, distance)
    with pytest.raises(InputError, match=r"binary\(8\) keeps the order of cosine, dot, not of"):
        Representation.parse("binary(8)").check(12, distance)


def test_an_artifact_of_another_dimension_is_refused_by_a_collection(x: Any) -> None:
    data = artifact.dump(Representation.parse("binary(8)").fit(x), 12)
    restored, dim = artifact.load(data)
    assert dim == 12
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 16"):
        restored.check(16, Distance.COSINE)


def test_vectors_of_another_width_are_refused_by_a_fitted_collection(x: Any) -> None:
    with octant.Collection.create("c", represent="binary(16)") as collection:
        collection.fit(x)
        with pytest.raises((DimensionError, MismatchError), match="12"):
            collection.add(vectors=np.ones((2, 13)))
