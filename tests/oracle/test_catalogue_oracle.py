"""The catalogue's codecs against the slow or foreign version of what they compute."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from octant.quantizers.kernel_pca import KernelPCA
from octant.quantizers.leanvec import LeanVec, maps, second_moment
from octant.quantizers.opq import OPQ, alternate, balanced, error, lloyd_step, runs
from octant.quantizers.rabitq import RaBitQ


@pytest.fixture(scope="module")
def x() -> Any:
    """Vectors (3000, 16) whose variance lies in the first coordinates."""
    return (np.random.default_rng(0).normal(size=(3000, 16)) * np.geomspace(2, 0.1, 16)).astype(np.float32)


def variances_of_runs(z: Any, parts: Any) -> Any:
    return np.array([np.log(z[:, part].var(axis=0)).sum() for part in parts])


# -- opq --------------------------------------------------------------------------------------------


def test_variances_are_dealt_out_evenly(x: Any) -> None:
    parts = runs(16, 4)
    assert [(part.start, part.stop) for part in runs(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    rotation = balanced(x - x.mean(axis=0), parts)
    assert np.allclose(rotation.T @ rotation, np.eye(16), atol=1e-5)
    before, after = (variances_of_runs(z, parts) for z in (x, x @ rotation))
    assert np.ptp(after) < 0.1 * np.ptp(before)


def test_a_step_of_k_means_is_the_slow_one() -> None:
    rng = np.random.default_rng(1)
    z, book = rng.normal(size=(200, 3)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    book[8] = 50  # nobody is nearest to it
    means, codes = lloyd_step(z, book)
    slow = [int(np.argmin([np.sum((row - center) ** 2) for center in book])) for row in z]
    assert codes.tolist() == slow
    wanted = [z[np.array(slow) == k].mean(axis=0) if k in slow else book[k] for k in range(9)]
    assert np.allclose(means, wanted, atol=1e-5)


def test_turns_find_structure_that_no_covariance_shows() -> None:
    rng = np.random.default_rng(3)
    hidden = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    # White, but made of few clusters in each of two planes: only one rotation puts a plane into a run.
    x = (rng.choice([-1, 1], size=(4000, 8)) @ hidden + 0.05 * rng.normal(size=(4000, 8))).astype(np.float32)
    parts = runs(8, 4)
    start = balanced(x, parts)
    turned = alternate(x, start, parts, 12, np.random.default_rng(0))
    errors = [error(one, x[:3000], x[3000:], parts, np.random.default_rng(0)) for one in (start, turned)]
    assert errors[1] < errors[0]


def test_the_rotation_is_as_good_as_that_of_faiss(x: Any) -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed: pip install faiss-cpu")

    def lost(rotation: Any) -> float:
        z = np.ascontiguousarray(x @ rotation)
        quantizer = faiss.ProductQuantizer(16, 2, 8)
        quantizer.train(z[:2500])
        unseen = np.ascontiguousarray(z[2500:])
        return float(np.square(quantizer.decode(quantizer.compute_codes(unseen)) - unseen).sum(axis=1).mean())

    theirs = faiss.OPQMatrix(16, 2)
    theirs.niter, theirs.verbose = 10, False
    theirs.train(np.ascontiguousarray(x[:2500]))
    reference = lost(faiss.vector_to_array(theirs.A).reshape(16, 16).T)
    ours, none = lost(OPQ("x32").fit(x[:2500]).rotation_), lost(np.eye(16, dtype=np.float32))
    assert ours < 0.8 * none
    assert ours < 1.05 * reference


# -- rabitq -----------------------------------------------------------------------------------------


def test_codes_and_scores_are_those_of_the_paper_with_its_two_factors_averaged(x: Any) -> None:
    codec = RaBitQ().fit(x)
    centred = x.astype(np.float64) - codec.mean_
    lengths = np.linalg.norm(centred, axis=1)
    direction = centred / lengths[:, None]
    signs = np.where(centred @ codec.basis_.T >= 0, 1, -1)
    assert np.array_equal(codec.encode(x), signs)
    quantized = signs @ codec.basis_ / np.sqrt(16)
    factor = np.einsum("nd,nd->n", quantized, direction)
    assert 0.7 < factor.mean() < 0.9
    q = np.random.default_rng(4).normal(size=(3, 16)).astype(np.float32)
    wanted = q @ codec.mean_[:, None] + lengths.mean() / factor.mean() * (q @ quantized.T)
    coded = codec.encode_query(q)
    assert np.allclose(coded.vectors @ signs.T + coded.offset[:, None], wanted, atol=1e-3)
    # With its own factors instead, the estimate is unbiased: the constants' is, on average.
    exact = lengths / factor * (q @ quantized.T)
    assert np.abs((exact - (wanted - q @ codec.mean_[:, None])).mean()) < 0.05 * np.abs(exact).mean()


# -- leanvec ----------------------------------------------------------------------------------------


def test_without_queries_it_is_pca_without_centring(x: Any) -> None:
    shifted = x + 1
    codec = LeanVec(5).fit(shifted)
    _, _, right = np.linalg.svd(shifted.astype(np.float64), full_matrices=False)
    assert np.allclose(codec.query_map_, codec.document_map_, atol=1e-4)
    assert np.allclose(codec.decode(codec.encode(shifted)), shifted @ right[:5].T @ right[:5], atol=1e-3)


def test_no_other_pair_of_maps_has_a_smaller_error(x: Any) -> None:
    rng = np.random.default_rng(6)
    x = x[:400, :6].astype(np.float64)
    q = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))).astype(np.float64)
    a, b = maps(second_moment(q), second_moment(x), 3)

    def lost(a: Any, b: Any) -> float:
        return float(np.square(q @ x.T - (q @ a.T) @ (x @ b.T).T).mean())

    least = lost(a, b)
    for _ in range(50):
        step = 0.05 * rng.normal(size=(2, 3, 6))
        assert lost(a + step[0], b + step[1]) >= least
    # Alternating least squares from a random start ends at the same error.
    other = rng.normal(size=(3, 6))
    for _ in range(300):
        z = x @ other.T
        mine = np.linalg.lstsq(z, x @ (q.T @ q), rcond=None)[0] @ np.linalg.inv(q.T @ q)
        w = q @ mine.T
        other = np.linalg.lstsq(w, q @ (x.T @ x), rcond=None)[0] @ np.linalg.inv(x.T @ x)
    assert lost(mine, other) == pytest.approx(least, rel=1e-3)


# -- kernel pca -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "gamma"), [("rbf", 0.1), ("poly", 0.05), ("cosine", None)])
def test_with_every_vector_a_landmark_it_is_kernel_pca(kernel: str, gamma: float | None, x: Any) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
    few, others = x[:150], x[150:200]
    theirs = decomposition.KernelPCA(4, kernel=kernel, gamma=gamma).fit(few.astype(np.float64))
    codec = KernelPCA(4, kernel, gamma, landmarks=150).fit(few)
    ours, wanted = codec.encode(others), theirs.transform(others.astype(np.float64))
    signs = np.sign(np.einsum("nm,nm->m", ours, wanted))
    assert np.allclose(ours * signs, wanted, atol=0.01 * np.abs(wanted).max())


def test_query_times_code_plus_offset_is_the_kernel(x: Any) -> None:
    few, q = x[:100], x[2000:2010]
    codec = KernelPCA(16, "rbf", 0.02, landmarks=100).fit(few)
    coded = codec.encode_query(q)
    kernel = (coded.vectors @ codec.encode(few).T) + ((coded.offset - codec.intercept_) / codec.slope_)[:, None]
    wanted = np.exp(-0.02 * np.square(q[:, None] - few[None]).sum(axis=2))
    assert np.abs(kernel - wanted).mean() < 0.03


# -- umap -------------------------------------------------------------------------------------------


def test_memberships_are_those_of_umap_learn(x: Any) -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed: pip install 'qdrant-octant[umap]'")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    from octant.quantizers.umap import memberships

    distances = np.sort(np.linalg.norm(x[:40, None] - x[None, 100:400], axis=2), axis=1)[:, :12].astype(np.float32)
    # Their Python, before it is compiled, which would take half a minute.
    sigmas, nearest = smooth_knn_dist.py_func(distances, 12.0)
    indices = np.arange(12, dtype=np.int32)[None].repeat(40, axis=0)
    _, _, values, _ = compute_membership_strengths.py_func(indices, distances, sigmas, nearest, bipartite=True)
    assert np.allclose(memberships(distances), values.reshape(40, 12), atol=2e-3)
