"""Every registered quantizer, a stranger's among them, keeps the contract; a broken one is told what it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from octant import registry
from octant.quantizers import Quantizer
from octant.quantizers.formats import Float8, Int4, Int8
from octant.quantizers.native import Float32
from octant.records import Distance, EncodedQueries, StorageNeeds
from octant.representation import Representation, quantizer
from octant.testing import check_quantizer

SPECS = {
    "autoencoder": ["autoencoder(24, steps=10)", "autoencoder(16, hidden=8, steps=5)|turbo8"],
    "binary": ["binary(24)"],
    "bq": ["bq(1)", "bq(1.5)", "bq(2)"],
    "float16": ["float16"],
    "float32": ["float32"],
    "float8": ["float8", "float8(e5m2)"],
    "int4": ["int4"],
    "int8": ["int8"],
    "kernel_pca": [
        "kernel_pca(16)",
        "kernel_pca(16, poly)|turbo4",
        "kernel_pca(48, cosine)|int8",
        "kernel_pca(16, linear)",
        "kernel_pca(16, rbf, 0.3, landmarks=100)",
        "pca(48)|kernel_pca(32)",
    ],
    "leanvec": ["leanvec(16)", "leanvec(64)", "leanvec(40)|int8", "pca(48)|leanvec(20)|turbo4"],
    "opq": ["opq(x32)", "opq(x64)|float32|product(x64)", "pca(20)|opq(x16)|turbo4"],
    "pca": ["pca(16)", "pca(64)", "pca(16)|float8", "pca(16)|uint8", "pca(32)|pca(16)|turbo4"],
    "product": ["product(x4)", "product(x64)"],
    "recurrent_binary": [
        "recurrent_binary(32, steps=10)",
        "recurrent_binary(20, 2, mlp, contrast=hard, hidden=16, blocks=2, steps=5)",
        "recurrent_binary(48, 0, residual, decoder=mlp, hidden=16, steps=5)",
        "recurrent_binary(64, 0, float, steps=3)",
        "pca(32)|recurrent_binary(24, 1, steps=3)",
    ],
    "rabitq": ["rabitq", "rabitq(24)", "pca(32)|rabitq"],
    "random_projection": ["random_projection(48)", "random_projection(48)|int8"],
    "scalar": ["scalar", "turbo16|scalar"],
    "toy_sign": ["toy_sign", "pca(32)|toy_sign"],
    "transform": ["transform(3)", "transform(1.5)", "pca(32)|transform(5)"],
    "truncate": ["truncate(32)", "truncate(32)|uint8", "truncate(48)|pca(16)|turbo8"],
    "turbo": ["turbo(1)", "turbo(1.5)", "turbo(2)", "turbo(4)", "turbo(8)", "turbo8|turbo(1)"],
    "turbo16": ["turbo16"],
    "turbo4": ["turbo4"],
    "turbo8": ["turbo8"],
    "uint8": ["uint8"],
    "umap": [],  # in test_quantizers_on_edge.py: umap-learn compiles itself for half a minute, once in a process
    "whiten": ["whiten(16)", "whiten(16)|turbo8|bq(1)", "whiten(16)|int4"],
}


def installed(spec: str) -> str:
    if "toy_sign" in spec and "toy_sign" not in registry.names("quantizers"):
        pytest.skip("the toy plugin is not installed: pip install tests/toy_plugin")
    return spec


@pytest.mark.parametrize("spec", [spec for specs in SPECS.values() for spec in specs])
def test_a_quantizer_keeps_the_contract(spec: str) -> None:
    chain = quantizer(installed(spec))
    check_quantizer(chain)
    check_quantizer(chain.links[0], seed=1)


def test_no_built_in_is_forgotten_above() -> None:
    own = {info.name for info in registry.describe("quantizers") if info.package == "qdrant-octant"}
    assert own <= set(SPECS)


@pytest.mark.parametrize("dim", [33, 1])
def test_odd_and_smallest_dimensions_work(dim: int) -> None:
    x = np.random.default_rng(0).normal(size=(50, dim)).astype(np.float32)
    for spec in ("float8", "int8", "int4", "uint8", "pca(1)|int4", "random_projection(1)", "truncate(1)|float8"):
        chain = quantizer(spec).fit(x)
        assert chain.decode(chain.encode(x)).shape == x.shape, spec


# -- what the check says to a broken quantizer ---------------------------------------------------


class Fine(Float32):
    """A coder to break in one place."""

    name = "fine"


class LosesRows(Fine):
    def _encode(self, x: Any) -> Any:
        return x[:-1]


class WrongWidth(Fine):
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(dim + 1, distance)


class WritesOnItsInput(Fine):
    def _encode(self, x: Any) -> Any:
        x /= 2
        return x


class DecodesElsewhere(Fine):
    def _decode(self, codes: Any) -> Any:
        return codes[:, ::-1].copy()


class DecodesToFloat64(Fine):
    def _decode(self, codes: Any) -> Any:
        return codes.astype(np.float64)


class RawScores(Fine):
    def _encode_query(self, q: Any, distance: Distance) -> EncodedQueries:
        return EncodedQueries.plain(q * 100)

    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(dim, Distance.DOT)


class WeighsInSecret(Fine):
    state_names = ("height",)

    def _fit(self, x: Any, queries: Any, rng: Any) -> dict[str, Any]:
        return {"height": np.float32(0 if queries is None else queries.max())}


class Dithers(Fine):
    state_names = ("noise",)

    def _fit(self, x: Any, queries: Any, rng: Any) -> dict[str, Any]:
        return {"noise": np.random.default_rng().normal(size=x.shape[1]).astype(np.float32)}


class LearnsInSecret(Fine):
    """State that is not declared does not survive."""

    def _fit(self, x: Any, queries: Any, rng: Any) -> dict[str, Any]:
        self.mean = x.mean(axis=0)
        return {}

    def _encode(self, x: Any) -> Any:
        return np.asarray(x - getattr(self, "mean", 0), np.float32)


class TakesNaN(Fine):
    def encode(self, x: Any) -> Any:
        return np.asarray(x, np.float32)


BROKEN: list[tuple[Callable[[], Quantizer], str]] = [
    (LosesRows, "must give one code a vector, got 599 for 600"),
    (WrongWidth, "asks to store 65 coordinates, but codes have 64"),
    (WritesOnItsInput, "encode must not change the vectors"),
    (DecodesElsewhere, "under Cosine: scores of encode_query .* their rank correlation is"),
    (DecodesToFloat64, "must decode to float32, got float64"),
    (RawScores, "must estimate the similarity of the vectors; its mean error is"),
    (Dithers, "fitted twice with one seed must be equal"),
    (WeighsInSecret, "learned something from queries: it must say so with weighs_queries = True"),
    (LearnsInSecret, "a rebuilt codec must give the same codes"),
    (TakesNaN, "must refuse to encode NaN with VectorValueError"),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_the_check_names_what_is_broken(
    make: Callable[[], Quantizer], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = {"fine": make, "float32": Float32}
    monkeypatch.setattr("octant.testing.quantizer_class", registered.__getitem__)
    monkeypatch.setattr("octant.artifact.quantizer_class", registered.__getitem__)
    with pytest.raises(AssertionError, match=message):
        check_quantizer(make())


def test_the_check_wants_the_name_registered() -> None:
    with pytest.raises(AssertionError, match=r"must register 'fine' as an entry point in octant\.quantizers"):
        check_quantizer(Fine())


def test_the_check_leaves_the_object_as_it_was() -> None:
    codec = quantizer("pca(4)|float8")
    check_quantizer(codec, dim=16, n=100)
    assert not codec.fitted


# -- properties ----------------------------------------------------------------------------------

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=finite)
# Relative to the largest coordinate of the vector: half a step, and the scale's own rounding.
FORMATS = [(Float8("e4m3"), 2**-4), (Float8("e5m2"), 2**-3), (Int8(), 0.5 / 127), (Int4(), 1.0)]


@pytest.mark.parametrize(("codec", "step"), FORMATS, ids=repr)
@given(x=matrices)
@settings(deadline=None)
def test_any_finite_vector_comes_back_near_itself(codec: Quantizer, step: float, x: Any) -> None:
    codes = codec.encode(x)
    assert codes.dtype == np.uint8
    assert codes.shape == (len(x), codec.storage(x.shape[1], Distance.COSINE).width)
    decoded = codec.decode(codes)
    assert decoded.shape == x.shape
    assert np.isfinite(decoded).all()
    peaks = np.abs(x).max(axis=1, keepdims=True).astype(np.float64)
    # Below the smallest normal float32 the stored scale itself has few digits.
    tiny = 1e-36
    # One step of rounding, and at most two more by which the unbiased scale stretches nine coordinates.
    assert (np.abs(decoded.astype(np.float64) - x) <= 3 * step * peaks + tiny).all()
    assert (decoded[(x == 0).all(axis=1)] == 0).all()


@pytest.mark.parametrize("codec", [codec for codec, _ in FORMATS], ids=repr)
@given(x=matrices, factor=st.sampled_from([2.0**-20, 0.25, 2.0, 2.0**20]))
@settings(deadline=None)
def test_a_scaled_vector_has_the_same_codes(codec: Quantizer, x: Any, factor: float) -> None:
    x = np.where(np.abs(x) < 1e-20, 0, np.clip(x, -1e20, 1e20)).astype(np.float32)
    one, other = codec.encode(x), codec.encode(x * np.float32(factor))
    assert np.array_equal(one[:, 4:], other[:, 4:])


@given(x=matrices, seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_same_seed_same_codes(x: Any, seed: int) -> None:
    x = np.concatenate([np.clip(x, -1e6, 1e6)] * 4)
    spec = f"random_projection({x.shape[1]})|int4"
    one, other = quantizer(spec).fit(x, rng=seed), quantizer(spec).fit(x, rng=np.random.default_rng(seed))
    assert np.array_equal(one.encode(x), other.encode(x))


# -- representations -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(3).normal(size=(200, 24)).astype(np.float32)


def test_reducers_that_both_stages_share_are_fitted_once(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[str] = []
    fit = Quantizer.fit
    monkeypatch.setattr(Quantizer, "fit", lambda self, *a, **k: fits.append(repr(self)) or fit(self, *a, **k))
    spec = "coarse=pca(12)|random_projection(6)|turbo4; fine=pca(12)|random_projection(8)|int8"
    representation = Representation.parse(spec).fit(x, rng=5)
    assert fits.count("pca(12)") == 1
    assert representation.shared_reducers == 1
    assert representation.fine is not None
    assert representation.fine.reducers[0] == representation.coarse.reducers[0]
    alone = quantizer("pca(12)|random_projection(8)|int8").fit(x, rng=5)
    assert representation.fine == alone
    again = Representation.parse(spec).fit(x, rng=5)
    assert again == representation
    assert Representation.parse(spec).fit(x, rng=6) != representation


def test_a_representation_asks_for_both_stages(x: Any) -> None:
    representation = Representation.parse("coarse=pca(6)|turbo8|turbo(2); fine=pca(12)|float8")
    coarse, fine = representation.needs(24, Distance.COSINE)
    assert (coarse.width, coarse.metric, coarse.datatype) == (6, Distance.DOT, "turbo8")
    assert coarse.quantization is not None
    assert coarse.quantization.bits == 2
    assert fine is not None
    assert (fine.width, fine.datatype, fine.scored) == (4 + 12, "uint8", False)
    # turbo8 confuses few neighbours, but half of the fine stage's coordinates are missing from the coarse one.
    assert fine.oversampling == 1.5 * 2
    codes, bytes_ = representation.fit(x).encode(x)
    assert codes.shape == (200, 6)
    assert bytes_ is not None
    assert bytes_.shape == (200, 16)
    searched, rescored = representation.encode_query(x[:3])
    assert searched.vectors.shape == (3, 6)
    assert rescored is None, "the engine does not score bytes"
    assert representation.decode(bytes_).shape == x.shape
    assert representation.decode(codes, "coarse").shape == x.shape


def test_a_fine_stage_that_the_engine_scores_gets_queries_of_its_own(x: Any) -> None:
    representation = Representation.parse("coarse=pca(6)|turbo8; fine=turbo8").fit(x)
    _, rescored = representation.encode_query(x[:3])
    assert rescored is not None
    assert rescored.vectors.shape == (3, 24)


def test_what_learns_and_what_does_not() -> None:
    assert not Representation.parse("float8").learns
    assert Representation.parse("float8").fitted
    assert Representation.parse("float8").vectors_needed(384) == 0
    assert Representation.parse("pca(8)|float8").learns
    assert Representation.parse("coarse=turbo4; fine=pca(8)|float8").vectors_needed(384) == 9
    assert Representation.parse("truncate(8)|uint8").vectors_needed(384) == 16


def test_reduced_cosine_is_dot_or_euclid() -> None:
    assert quantizer("turbo8").inner_distance(Distance.COSINE) is Distance.COSINE
    assert quantizer("pca(8)|turbo8").inner_distance(Distance.COSINE) is Distance.DOT
    assert quantizer("pca(8)|uint8").inner_distance(Distance.COSINE) is Distance.EUCLID
    assert quantizer("random_projection(8)|turbo8").inner_distance(Distance.COSINE) is Distance.EUCLID
    assert quantizer("whiten(9)|random_projection(8)").inner_distance(Distance.COSINE) is Distance.DOT
    assert quantizer("pca(8)|uint8").inner_distance(Distance.EUCLID) is Distance.EUCLID
