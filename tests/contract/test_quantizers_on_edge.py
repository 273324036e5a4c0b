"""Scores that leave an Edge collection estimate the similarity of the float vectors, for every built-in.

The engine's own codecs take part, so these bounds hold them as well as ours.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import octant
from octant import registry
from octant.layout import HnswSettings, SearchKnobs
from octant.records import Distance
from octant.testing import check_quantizer
from octant.vectors import similarity, unit_rows

N, DIM, K = 900, 64, 10

# (spec, largest mean absolute error of cosine scores, least recall@10)
COSINE = [
    ("float32", 1e-6, 1.0),
    ("float16", 1e-4, 0.99),
    ("turbo16", 1e-5, 0.99),
    ("turbo8", 7e-4, 0.95),
    ("turbo4", 1e-2, 0.84),
    ("uint8", 4e-3, 0.94),
    ("float8", 3e-3, 0.93),
    ("float8(e5m2)", 6e-3, 0.9),
    ("int8", 7e-4, 0.97),
    ("int4", 1.2e-2, 0.84),
    ("scalar", 1e-6, 0.98),
    ("product(x4)", 1e-6, 0.98),
    ("product(x8)", 1e-6, 0.98),
    ("product(x16)", 1e-6, 0.97),
    ("product(x32)", 1e-6, 0.97),
    ("product(x64)", 1e-6, 0.97),
    ("bq(1)", 1e-6, 0.97),
    ("bq(1.5)", 1e-6, 0.97),
    ("bq(2)", 1e-6, 0.97),
    ("turbo(1)", 1e-6, 0.97),
    ("turbo(1.5)", 1e-6, 0.97),
    ("turbo(2)", 1e-6, 0.97),
    ("turbo(4)", 1e-6, 0.98),
    ("turbo(8)", 1e-6, 0.98),
    ("turbo8|turbo(1)", 7e-4, 0.95),
    ("pca(32)", 3e-2, 0.7),
    ("pca(32)|float8", 3e-2, 0.7),
    ("pca(32)|uint8", 3e-2, 0.7),
    ("whiten(32)|turbo8", 3e-2, 0.7),
    ("truncate(48)", 1.2e-2, 0.88),
    ("truncate(48)|float8", 1.2e-2, 0.88),
    ("random_projection(48)", 3e-2, 0.72),
    ("random_projection(48)|float8", 3e-2, 0.72),
    ("random_projection(64)|int4", 1e-2, 0.83),
    ("coarse=pca(16)|turbo8; fine=turbo8", 7e-4, 0.95),
    ("coarse=turbo4|turbo(1); fine=int8", 7e-4, 0.95),
    ("binary(128)", 6e-2, 0.5),
    ("coarse=binary(64); fine=turbo8", 7e-4, 0.9),
    ("rabitq", 8e-2, 0.4),
    ("transform(4)", 1e-2, 0.9),
    ("pca(48)|transform(5)", 1.2e-2, 0.85),
    ("rabitq(48)", 8e-2, 0.35),
    ("kernel_pca(32, landmarks=256)", 4e-2, 0.65),
    ("kernel_pca(32, poly)|turbo4", 5e-2, 0.6),
    ("leanvec(32)", 3e-2, 0.7),
    ("leanvec(32)|turbo4", 3e-2, 0.68),
    ("opq(x32)|float32|product(x32)", 1e-6, 0.97),
    ("umap(12)", 0.12, 0.2),
    ("recurrent_binary(64, 1, steps=20)", 7e-2, 0.55),
    ("coarse=binary(64); fine=recurrent_binary(64, 1, decoder=mlp, steps=20)", 7e-2, 0.5),
    ("autoencoder(32, steps=20)|turbo8", 3e-2, 0.7),
    ("toy_sign", 0.1, 0.4),
]
OTHER = [
    (Distance.DOT, "turbo8", 4e-3, 0.95),
    (Distance.DOT, "float8", 2e-2, 0.93),
    (Distance.DOT, "pca(32)|turbo8", 0.15, 0.78),
    (Distance.EUCLID, "turbo8", 6e-3, 0.95),
    (Distance.EUCLID, "int8", 7e-3, 0.96),
    (Distance.EUCLID, "uint8", 3e-2, 0.95),
    (Distance.EUCLID, "pca(32)|turbo8", 0.3, 0.72),
    (Distance.EUCLID, "pca(32)|int8", 0.3, 0.72),
    (Distance.EUCLID, "random_projection(48)|turbo8", 0.3, 0.72),
    (Distance.MANHATTAN, "turbo8", 8e-3, 0.95),
    (Distance.MANHATTAN, "uint8", 2e-2, 0.93),
    (Distance.MANHATTAN, "int8", 1e-2, 0.94),
]


RAW = [("scalar", 7e-3), ("turbo(1)", 0.2), ("turbo(2)", 0.07), ("turbo(4)", 1e-2), ("product(x4)", 4e-3)]


@pytest.fixture(scope="module")
def vectors() -> tuple[Any, Any]:
    """Points and queries in clusters around a common mean, their variance falling along the coordinates."""
    rng = np.random.default_rng(7)
    spread = np.linspace(1.5, 0.3, DIM)
    centers = rng.normal(size=(30, DIM)) * spread + 0.4
    x = centers[rng.integers(30, size=N)] + 0.5 * spread * rng.normal(size=(N, DIM))
    q = x[:25] + 0.4 * spread * rng.normal(size=(25, DIM))
    return x.astype(np.float32), q.astype(np.float32)


def measured(
    spec: str, vectors: tuple[Any, Any], distance: Distance, knobs: SearchKnobs | None = None
) -> tuple[float, float]:
    """Mean absolute error of scores, and recall@10."""
    x, q = vectors
    # From the first KiB on, graph and second copy are built: below the default threshold everything is scanned.
    hnsw = HnswSettings(indexing_threshold=1, full_scan_threshold=1)
    with octant.Collection.create("c", represent=spec, distance=distance, hnsw=hnsw) as collection:
        collection.add(vectors=x, ids=list(range(len(x))))
        collection.optimize()
        rankings = collection.search_batch(list(q), K, knobs=knobs or SearchKnobs())
    unit = distance is Distance.COSINE
    true = similarity(unit_rows(q), unit_rows(x), distance) if unit else similarity(q, x, distance)
    errors = [abs(hit.score - true[row, int(hit.id)]) for row, ranking in enumerate(rankings) for hit in ranking]
    best = np.argsort(-true, axis=1)[:, :K]
    found = [len(set(ranking.ids) & set(ids.tolist())) for ranking, ids in zip(rankings, best, strict=True)]
    return float(np.mean(errors)), float(np.mean(found)) / K


@pytest.mark.parametrize(("spec", "error", "recall"), COSINE, ids=[spec for spec, _, _ in COSINE])
def test_scores_estimate_the_cosine(spec: str, error: float, recall: float, vectors: tuple[Any, Any]) -> None:
    if spec == "toy_sign" and spec not in registry.names("quantizers"):
        pytest.skip("the toy plugin is not installed: pip install tests/toy_plugin")
    if "umap" in spec and find_spec("umap") is None:
        pytest.skip("umap-learn is not installed: pip install 'qdrant-octant[umap]'")
    got_error, got_recall = measured(spec, vectors, Distance.COSINE)
    assert got_error <= error
    assert got_recall >= recall


def test_umap_keeps_the_contract() -> None:
    """Here, so that the process that has compiled umap-learn for the scores above need not do it twice."""
    if find_spec("umap") is None:
        pytest.skip("umap-learn is not installed: pip install 'qdrant-octant[umap]'")
    check_quantizer(octant.quantizer("umap(8)"))
    check_quantizer(octant.quantizer("umap(8)").links[0], seed=1)


@pytest.mark.parametrize(("distance", "spec", "error", "recall"), OTHER, ids=[f"{d.value}-{s}" for d, s, _, _ in OTHER])
def test_scores_estimate_the_other_distances(
    distance: Distance, spec: str, error: float, recall: float, vectors: tuple[Any, Any]
) -> None:
    # Errors are relative to how much the true scores differ between points.
    got_error, got_recall = measured(spec, vectors, distance)
    x, q = vectors
    assert got_error <= error * float(similarity(q, x, distance).std())
    assert got_recall >= recall


@pytest.mark.parametrize(("spec", "error"), RAW)
def test_the_raw_scores_of_a_second_copy_estimate_the_cosine_where_it_says_so(
    spec: str, error: float, vectors: tuple[Any, Any]
) -> None:
    got_error, _ = measured(spec, vectors, Distance.COSINE, SearchKnobs(rescore=False))
    assert 0 < got_error <= error


def test_a_binary_copy_without_rescoring_is_refused(vectors: tuple[Any, Any]) -> None:
    with pytest.raises(octant.errors.InputError, match=r"binary quantization .* leave rescore on"):
        measured("bq(1)", vectors, Distance.COSINE, SearchKnobs(rescore=False))


def test_every_built_in_is_measured_above() -> None:
    own = {info.name for info in registry.describe("quantizers") if info.package == "qdrant-octant"}
    text = " ".join(spec for spec, _, _ in COSINE)
    assert [name for name in own if name not in text] == []
