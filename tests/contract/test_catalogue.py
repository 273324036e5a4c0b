"""Rotated signs, OPQ, LeanVec, kernel PCA and UMAP: what each is for, and that it outlives the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import octant
from octant import artifact
from octant.layout import HnswSettings, SearchKnobs
from octant.quantizers import Chain, calibration
from octant.quantizers.kernel_pca import KernelPCA
from octant.quantizers.leanvec import LeanVec
from octant.quantizers.native import Float32
from octant.quantizers.opq import OPQ
from octant.quantizers.rabitq import RaBitQ
from octant.quantizers.reduce import PCA
from octant.quantizers.umap import UMAP
from octant.records import Distance
from octant.representation import Representation, quantizer
from octant.vectors import unit_rows

GRAPH = HnswSettings(indexing_threshold=1, full_scan_threshold=1)
N, DIM = 2500, 32


def embeddings(n: int, rng: np.random.Generator, spread: Any, offset: float = 0.2) -> Any:
    """Unit rows (n, len(spread)) of variances that fall along the coordinates, which stay in order."""
    return unit_rows((rng.normal(size=(n, len(spread))) * spread + offset).astype(np.float32))


@pytest.fixture(scope="module")
def points() -> tuple[Any, Any]:
    """Points (N, DIM) whose first coordinates vary most, as after PCA, and queries (150, DIM) near some of them."""
    rng = np.random.default_rng(5)
    spread = np.geomspace(2, 0.1, DIM)
    x = embeddings(N, rng, spread)
    return x, unit_rows((x[:150] + 0.1 * rng.normal(size=(150, DIM)) * spread).astype(np.float32))


def recall(scores: Any, true: Any, k: int = 10) -> float:
    best = (np.argsort(-one, axis=1)[:, :k] for one in (scores, true))
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / k for a, b in zip(*best, strict=True)]))


# -- opq ------------------------------------------------------------------------------------------


def found_on_edge(spec: str, x: Any, q: Any) -> float:
    with octant.Collection.create("c", represent=spec, hnsw=GRAPH) as collection:
        collection.add(vectors=x, ids=range(len(x)), optimize=True)
        rankings = collection.search_batch(list(q), 10, knobs=SearchKnobs(hnsw_ef=256, rescore=False))
    true = np.argsort(-(q @ x.T), axis=1)[:, :10]
    pairs = zip(rankings, true, strict=True)
    return float(np.mean([len({int(hit.id) for hit in hits} & set(row.tolist())) / 10 for hits, row in pairs]))


def test_a_rotation_lets_qdrants_product_quantization_find_more(points: tuple[Any, Any]) -> None:
    x, q = points
    alone = found_on_edge("product(x32)", x, q)
    rotated = found_on_edge("opq(x32)|float32|product(x32)", x, q)
    assert rotated > alone + 0.1


@pytest.mark.parametrize("dim", [5, 32, 33])
def test_the_rotation_keeps_products_distances_and_vectors(dim: int) -> None:
    x = np.random.default_rng(1).normal(size=(100, dim)).astype(np.float32)
    codec = OPQ("x16").fit(x)
    codes = codec.encode(x)
    assert np.allclose(codec.rotation_ @ codec.rotation_.T, np.eye(dim), atol=1e-5)
    assert np.allclose(codes @ codes.T, x @ x.T, atol=1e-4)
    assert np.allclose(codec.decode(codes), x, atol=1e-5)


# -- rabitq ---------------------------------------------------------------------------------------


def test_signs_of_principal_directions_find_more_than_of_any(points: tuple[Any, Any]) -> None:
    x, q = points
    codec = RaBitQ(16).fit(x)
    anywhere = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][:, :16]
    random = np.where((x - x.mean(axis=0)) @ anywhere >= 0, 1, -1) @ anywhere.T
    assert recall(q @ codec.decode(codec.encode(x)).T, q @ x.T) > recall(q @ random.T, q @ x.T) + 0.05


def test_a_vectors_score_for_itself_is_right_on_average(points: tuple[Any, Any]) -> None:
    x, _ = points
    for codec in (RaBitQ().fit(x), RaBitQ(16).fit(x)):
        own = np.einsum("nd,nd->n", x - codec.mean_, codec.decode(codec.encode(x)) - codec.mean_)
        assert own.mean() == pytest.approx(np.square(x - codec.mean_).sum(axis=1).mean(), rel=0.1)


# -- leanvec --------------------------------------------------------------------------------------


def test_queries_of_another_distribution_are_worth_knowing() -> None:
    rng = np.random.default_rng(2)
    x = embeddings(N, rng, np.geomspace(2, 0.2, DIM), offset=0)
    asked = embeddings(600, rng, np.geomspace(0.1, 2, DIM), offset=0)
    seen, q = asked[:400], asked[400:]
    aware, plain = LeanVec(12).fit(x, queries=seen), LeanVec(12).fit(x)
    true = q @ x.T
    scores = [codec.encode_query(q).vectors @ codec.encode(x).T for codec in (aware, plain)]
    errors = [float(np.square(one - true).mean()) for one in scores]
    assert errors[0] < 0.9 * errors[1]
    assert recall(scores[0], true) > recall(scores[1], true) + 0.1


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_queries_do_little_harm(count: int, points: tuple[Any, Any]) -> None:
    x, q = points
    plain, aware = LeanVec(12).fit(x), LeanVec(12).fit(x, queries=q[:count])
    scores = [q[count:] @ codec.decode(codec.encode(x)).T for codec in (aware, plain)]
    true = q[count:] @ x.T
    assert recall(scores[0], true) > recall(scores[1], true) - 0.02
    assert float(plain.shrinkage_) == 1
    assert (float(aware.shrinkage_) == 1) or count > 1


# -- reducers that bend the space -------------------------------------------------------------------


def test_more_components_find_more(points: tuple[Any, Any]) -> None:
    x, q = points
    found = []
    for m in (4, 24):
        chain = quantizer(f"kernel_pca({m}, landmarks=400)").fit(x[: N // 2])
        found.append(recall(chain.score(q, chain.encode(x)), q @ x.T))
    assert found[1] > max(0.6, found[0] + 0.1)


@pytest.mark.parametrize("spec", ["kernel_pca(8)", "kernel_pca(16, poly)", "kernel_pca(16, cosine)"])
def test_estimates_of_what_is_found_are_right_on_average(spec: str, points: tuple[Any, Any]) -> None:
    x, q = points
    chain = quantizer(spec).fit(x[: N // 2])
    scores, true = chain.score(q, chain.encode(x)), q @ x.T
    best = np.argsort(-scores, axis=1)[:, :10]
    found, meant = (np.take_along_axis(one, best, axis=1) for one in (scores, true))
    assert abs(float((found - meant).mean())) < 0.25 * float(true.std())


def test_the_line_goes_through_the_mean_of_what_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(20, 400)).astype(np.float32)
    raw = (true - 3) / 5
    slope, intercept = calibration.line(raw, true)
    assert (float(slope), float(intercept)) == (pytest.approx(5, rel=1e-4), pytest.approx(3, rel=1e-4))
    bent = np.exp(2 * true)
    slope, intercept = calibration.line(bent, true)
    best = np.argsort(-bent, axis=1)[:, :10]
    estimates, meant = (np.take_along_axis(one, best, axis=1) for one in (slope * bent + intercept, true))
    assert float(estimates.mean()) == pytest.approx(float(meant.mean()), abs=1e-3)


def test_edge_returns_the_calibrated_score(points: tuple[Any, Any]) -> None:
    x, q = points
    with octant.Collection.create("c", represent="kernel_pca(16)|turbo8") as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=range(N), optimize=True)
        rankings = collection.search_batch(list(q[:20]), 10)
        chain = collection.representation.coarse
        estimate = chain.score(q[:20], chain.encode(x))
    errors = [abs(hit.score - estimate[row, int(hit.id)]) for row, hits in enumerate(rankings) for hit in hits]
    assert max(errors) < 0.01


# -- artifacts --------------------------------------------------------------------------------------

ELSEWHERE = """
import sys
import numpy as np
from octant import artifact
folder = sys.argv[1]
with np.load(folder + "/x.npz") as data:
    x = data["x"]
for name in sys.argv[2:]:
    representation, dim = artifact.load(open(f"{folder}/{name}", "rb").read())
    codes, queries = representation.encode(x)[0], representation.encode_query(x)[0].vectors
    np.savez(f"{folder}/{name}.npz", codes=codes, queries=queries)
heavy = {"torch", "umap", "numba", "sklearn", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_another_process_encodes_alike_with_numpy_alone(points: tuple[Any, Any], tmp_path: Path) -> None:
    x = points[0][:300]
    specs = ["rabitq(16)", "opq(x16)", "leanvec(8)", "kernel_pca(8, landmarks=64)"]
    fitted = {f"{i}": Representation.parse(spec).fit(x) for i, spec in enumerate(specs)}
    # A layout from elsewhere: umap-learn makes one, and takes half a minute to compile itself.
    laid_out = {"sample": x, "places": x[:, :4], "slope": np.float32(1), "intercept": np.float32(0)}
    placed = UMAP.restore({"m": 4, "neighbours": 8}, laid_out)
    fitted["umap"] = Representation(Chain((placed,), Float32()))
    np.savez(tmp_path / "x.npz", x=x)
    for name, representation in fitted.items():
        (tmp_path / name).write_bytes(artifact.dump(representation, DIM))
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path), *fitted], check=True)
    for name, representation in fitted.items():
        with np.load(tmp_path / f"{name}.npz") as there:
            assert np.array_equal(there["codes"], representation.encode(x)[0]), representation
            assert np.array_equal(there["queries"], representation.encode_query(x)[0].vectors), representation


@pytest.mark.parametrize("spec", ["kernel_pca(8, landmarks=64)", "leanvec(8)", "opq(x16)", "rabitq"])
def test_duplicates_and_rank_deficient_vectors_work(spec: str) -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(size=(6, DIM)).astype(np.float32)
    flat = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    for x in (few[rng.integers(6, size=300)], flat):
        chain = quantizer(spec).fit(x)
        decoded = chain.decode(chain.encode(x))
        assert np.isfinite(decoded).all()
        assert np.isfinite(chain.score(x[:5], chain.encode(x))).all()
        if spec != "rabitq":
            assert float(np.square(x - decoded).sum()) < 0.3 * float(np.square(x - x.mean(axis=0)).sum())


def test_a_pca_of_a_linear_kernel_is_pca(points: tuple[Any, Any]) -> None:
    x, q = points
    kernel, plain = KernelPCA(10, "linear", landmarks=200).fit(x), PCA(10).fit(x)
    assert np.allclose(kernel.decode(kernel.encode(x)), plain.decode(plain.encode(x)), atol=5e-3)
    one, other = (codec.encode_query(q, Distance.DOT).vectors @ codec.encode(x).T for codec in (kernel, plain))
    assert np.allclose(one, other, atol=5e-3)
