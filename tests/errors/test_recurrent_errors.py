"""What trained codecs refuse, and that a refusal leaves nothing half-fitted."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from octant import artifact
from octant.errors import (
    ArtifactError,
    DimensionError,
    InputError,
    MismatchError,
    MissingExtraError,
    NotFittedError,
    SpecError,
    TooFewVectorsError,
    VectorValueError,
)
from octant.quantizers import recurrent_fit
from octant.quantizers.autoencoder import AutoEncoder
from octant.quantizers.compatible import CompatibleQueries
from octant.quantizers.recurrent import RecurrentBinary
from octant.quantizers.symmetric import ComposedCodes, SymmetricIndex
from octant.records import Distance
from octant.representation import Representation

pytest.importorskip("torch", reason="needs the extra [train]")

SMALL = {"steps": 3}


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("recurrent_binary", "needs the argument dim"),
        ("recurrent_binary(0)", "dim must be a whole number of at least 1"),
        ("recurrent_binary(8, -1)", "loops must be a whole number from 0 to 7, got -1"),
        ("recurrent_binary(8, 1, deep)", "method must be one of linear, mlp, residual, float, got 'deep'"),
        ("recurrent_binary(8, 1, float)", "loops must be 0 for method float"),
        ("recurrent_binary(8, 0, float, decoder=mlp)", "decoder must be linear for method float"),
        ("recurrent_binary(8, decoder=tree)", "decoder must be one of linear, mlp"),
        ("recurrent_binary(8, contrast=mild)", "contrast must be one of soft, hard"),
        ("recurrent_binary(8, hidden=4)", "hidden has no part where maps and decoder are linear"),
        ("recurrent_binary(8, blocks=2)", "blocks has no part in method linear"),
        ("recurrent_binary(8, steps=0)", "steps must be a whole number of at least 1"),
        ("recurrent_binary(8, decoder=mlp)|turbo(1)", "is bytes|cannot be laid over"),
        ("coarse=recurrent_binary(8, decoder=mlp); fine=turbo8", "it can only be the fine stage"),
        ("autoencoder(0)", "m must be a whole number of at least 1"),
    ],
)
def test_a_spec_says_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Representation.parse(spec)


def test_fewer_vectors_than_bits_are_refused(x: Any) -> None:
    codec = RecurrentBinary(41, 1)
    with pytest.raises(TooFewVectorsError, match=r"recurrent_binary\(41\) needs at least 82 vectors .* got 80"):
        codec.fit(x)
    assert not codec.fitted
    with pytest.raises(TooFewVectorsError, match=r"needs at least 16 vectors .* got 10"):
        AutoEncoder(4).fit(x[:10])


@pytest.mark.parametrize("codec", [RecurrentBinary(8, **SMALL), AutoEncoder(4, **SMALL)], ids=repr)
def test_equal_huge_or_tiny_vectors_are_refused(codec: Any, x: Any) -> None:
    with pytest.raises(VectorValueError, match="all 50 are equal: pass a sample of the collection"):
        codec.fit(np.ones((50, 12)))
    for scale in (1e20, 1e-20):
        with pytest.raises(VectorValueError, match="scale the vectors to about unit length"):
            codec.fit(x * np.float32(scale))
    assert not codec.fitted


@pytest.mark.parametrize("codec", [RecurrentBinary(8, **SMALL), AutoEncoder(4, **SMALL)], ids=repr)
def test_duplicates_and_rank_deficient_vectors_work(codec: Any) -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(size=(6, 12)).astype(np.float32)[rng.integers(6, size=300)]
    flat = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 12))).astype(np.float32)
    for sample in (few, flat):
        fitted = codec.blank().fit(sample)
        assert np.isfinite(fitted.decode(fitted.encode(sample))).all()


def test_a_loss_that_is_not_finite_stops_the_fit_and_leaves_the_codec(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = RecurrentBinary(8, **SMALL).fit(x)
    before = codec.state
    monkeypatch.setattr(recurrent_fit, "TEMPERATURE", 0.0)
    with pytest.raises(VectorValueError, match=r"loss of recurrent_binary\(8, steps=3\) is not finite at step 1 of 3"):
        codec.fit(2 * x)
    assert all(np.array_equal(before[name], value) for name, value in codec.state.items())
    fresh = codec.blank()
    with pytest.raises(VectorValueError, match="not finite"):
        fresh.fit(x)
    with pytest.raises(NotFittedError, match="call fit"):
        fresh.encode(x)


def test_other_dimensions_and_distances_are_refused(x: Any) -> None:
    codec = RecurrentBinary(8, **SMALL).fit(x)
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 13"):
        codec.encode(np.ones((2, 13)))
    with pytest.raises(DimensionError, match="codes of 16 coordinates, got 9"):
        codec.decode(np.ones((2, 9)))
    with pytest.raises(InputError, match="keeps the order of cosine, dot, not of euclid"):
        codec.encode_query(x, Distance.EUCLID)
    reducer = AutoEncoder(4, **SMALL).fit(x)
    with pytest.raises(DimensionError, match="codes of 4 coordinates, got 5"):
        reducer.decode(np.ones((2, 5)))
    with pytest.raises(DimensionError, match=r"keeps 40 coordinates, but the vectors have 12"):
        AutoEncoder(40).fit(x)


def test_packed_codes_that_are_no_bytes_are_refused(x: Any) -> None:
    codec = RecurrentBinary(8, decoder="mlp", **SMALL).fit(x)
    with pytest.raises(VectorValueError, match="packed codes are bytes"):
        codec.decode(np.full((1, 2), 0.5))


def test_the_float_control_has_no_bits(x: Any) -> None:
    with pytest.raises(InputError, match="method float has no bits to compare"):
        RecurrentBinary(8, 0, "float", **SMALL).fit(x).symmetric(x)


def test_an_artifact_that_lost_an_array_is_refused(x: Any) -> None:
    data = artifact.dump(Representation.parse("recurrent_binary(8, steps=3)").fit(x), 12)
    with pytest.raises(ArtifactError, match="truncated, corrupt"):
        artifact.load(data[:-10])
    codec = RecurrentBinary(8, **SMALL).fit(x)
    with pytest.raises(InputError, match="holds the arrays"):
        RecurrentBinary.restore(codec.config, {"mean": codec.mean_})


# -- symmetric distances -------------------------------------------------------------------------


def test_codes_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="codes of 10 signs do not fall into 3 planes"):
        ComposedCodes.of(np.ones((2, 10)), 3)
    index = SymmetricIndex(ComposedCodes.of(np.ones((2, 10)), 2), "numpy")
    with pytest.raises(DimensionError, match="expected codes of 5 coordinates and 1 loops, got 10 and 0"):
        index.dots(ComposedCodes.of(np.ones((2, 10)), 1))


def test_a_kernel_is_known_installed_and_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = ComposedCodes.of(np.ones((2, 10)), 5)
    with pytest.raises(InputError, match="kernel must be numpy or numkong, got 'blas'"):
        SymmetricIndex(codes, "blas")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most 4 planes, got 5: use numpy"):
        SymmetricIndex(codes, "numkong")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    few = ComposedCodes.of(np.ones((2, 10)), 2)
    assert SymmetricIndex(few).kernel == "numpy"
    with pytest.raises(
        MissingExtraError, match=r"'numkong', which is not installed: pip install 'qdrant-octant\[kernels\]'"
    ):
        SymmetricIndex(few, "numkong")


# -- another model's queries ---------------------------------------------------------------------


def test_compatible_queries_refuse_what_does_not_belong_together(x: Any) -> None:
    codec = RecurrentBinary(8, **SMALL).fit(x)
    codes, new = codec.encode(x), x[:, :7] + 1
    blank = CompatibleQueries(steps=3)
    with pytest.raises(NotFittedError, match="call fit"):
        blank.encode(new)
    with pytest.raises(NotFittedError, match="call fit"):
        blank.dump()
    with pytest.raises(NotFittedError, match="call fit"):
        blank.fit(new, codes, codec.blank())
    with pytest.raises(InputError, match="of the same texts: got 79 and 80"):
        blank.fit(new[1:], codes, codec)
    with pytest.raises(TooFewVectorsError, match="at least 50 pairs are needed to learn from, got 20"):
        blank.fit(new[:20], codes[:20], codec)
    with pytest.raises(VectorValueError, match=r"NaN|inf|finite"):
        blank.fit(np.full_like(new, np.nan), codes, codec)
    fitted = blank.fit(new, codes, codec)
    with pytest.raises(DimensionError, match="expected queries of 7 coordinates, got 12"):
        fitted.encode(x)
    with pytest.raises(MismatchError, match="fit them again on its codes"):
        fitted.encode(new, RecurrentBinary(8, steps=4).fit(x + 1))
    for data in (fitted.dump()[:-9], b"", artifact.dump(Representation.parse("turbo8"), 4)):
        with pytest.raises(ArtifactError, match=r"expected what CompatibleQueries\.dump wrote"):
            CompatibleQueries.load(data)
