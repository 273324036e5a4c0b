"""Composed binary codes: the contract, what a fit buys, and scores that come back from Edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import octant
from octant.layout import HnswSettings, SearchKnobs
from octant.quantizers.binary import ComposedBinary
from octant.records import Distance
from octant.testing import check_quantizer
from octant.vectors import unit_rows

GRAPH = HnswSettings(indexing_threshold=1, full_scan_threshold=1)
N, DIM = 2000, 32


@pytest.fixture(scope="module")
def points() -> tuple[Any, Any]:
    """Unit points (N, DIM) whose variance falls along rotated axes, and queries (200, DIM) near some of them."""
    rng = np.random.default_rng(5)
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    spread = np.geomspace(2, 0.2, DIM)
    x = (rng.normal(size=(N, DIM)) * spread) @ rotation + 0.2
    q = x[:200] + 0.3 * (rng.normal(size=(200, DIM)) * spread) @ rotation
    return unit_rows(x.astype(np.float32)), unit_rows(q.astype(np.float32))


def best(scores: Any, k: int = 10) -> Any:
    return np.argsort(-scores, axis=1)[:, :k]


def overlap(one: Any, other: Any) -> float:
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / len(a) for a, b in zip(one, other, strict=True)]))


def rotated_signs(x: Any, fitted_on: Any, bits: int) -> Any:
    """What learned codes must beat: signs of principal directions in a random rotation."""
    mean = fitted_on.mean(axis=0)
    directions = np.linalg.eigh((fitted_on - mean).T @ (fitted_on - mean))[1][:, ::-1][:, :bits]
    basis = directions @ np.linalg.qr(np.random.default_rng(0).normal(size=(bits, bits)))[0]
    return mean + 0.1 * np.where((x - mean) @ basis >= 0, 1, -1) @ basis.T


@pytest.mark.parametrize("spec", ["binary(24)", "binary(64)", "binary(100)", "pca(16)|binary(40)"])
def test_it_keeps_the_contract(spec: str) -> None:
    check_quantizer(octant.quantizer(spec), n=300)


@pytest.mark.parametrize(("bits", "least"), [(16, 0.03), (32, 0.06)])
def test_it_finds_more_than_rotated_signs_of_as_many_bits(bits: int, least: float, points: tuple[Any, Any]) -> None:
    x, q = points
    codec = ComposedBinary(bits).fit(x[: N // 2])
    true = best(q @ x.T)
    learned = overlap(best(q @ codec.decode(codec.encode(x)).T), true)
    control = overlap(best(q @ rotated_signs(x, x[: N // 2], bits).T), true)
    assert learned > control + least


def test_more_bits_are_a_smaller_error(points: tuple[Any, Any]) -> None:
    x, _ = points
    errors = []
    for bits in (8, 32, 96):
        codec = ComposedBinary(bits).fit(x[:1000])
        errors.append(float(np.square(x[1000:] - codec.decode(codec.encode(x[1000:]))).sum(axis=1).mean()))
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.4 * errors[1]


def test_decoding_reads_only_signs(points: tuple[Any, Any]) -> None:
    codec = ComposedBinary(16).fit(points[0])
    codes = codec.encode(points[0][:5])
    assert set(np.unique(codes)) == {-1.0, 1.0}
    assert np.array_equal(codec.decode(codes * np.float32(0.8)), codec.decode(codes))


@pytest.mark.parametrize(("bits", "distance"), [(64, "cosine"), (100, "cosine"), (64, "dot")])
def test_edge_scores_are_the_query_against_the_decoded_vector(
    bits: int, distance: str, points: tuple[Any, Any]
) -> None:
    x, q = points
    factor = 3.0 if distance == "dot" else 1.0
    x = x * np.float32(factor)
    with octant.Collection.create("c", represent=f"binary({bits})", distance=distance, hnsw=GRAPH) as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=list(range(N)))
        collection.optimize()
        rankings = collection.search_batch(list(q), 10, knobs=SearchKnobs(hnsw_ef=256))
        codec = collection.representation
        estimate = q @ codec.decode(codec.encode(x)[0]).T
        searched = {part.name: part.bytes for part in collection.footprint().components}["searched codes"]
    errors = [abs(hit.score - estimate[row, int(hit.id)]) for row, hits in enumerate(rankings) for hit in hits]
    assert max(errors) < 0.01 * factor  # a query coordinate keeps 8 bits
    found = [np.array([int(hit.id) for hit in hits]) for hits in rankings]
    assert overlap(found, best(estimate)) > 0.93
    assert overlap(found, best(q @ x.T)) > 0.6
    # One bit each, in whole words of 128, and what the engine notes once per coordinate.
    assert 16 * N <= searched <= 16 * N + 200 * bits


def test_two_stages_find_what_float32_finds(points: tuple[Any, Any]) -> None:
    x, q = points
    spec = "coarse=binary(64); fine=turbo8"
    with octant.Collection.create("c", represent=spec, hnsw=GRAPH) as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=list(range(N)))
        collection.optimize()
        rankings = collection.search_batch(list(q), 10)
    true = q @ x.T
    found = [np.array([int(hit.id) for hit in hits]) for hits in rankings]
    assert overlap(found, best(true)) > 0.97
    errors = [abs(hit.score - true[row, int(hit.id)]) for row, hits in enumerate(rankings) for hit in hits]
    assert max(errors) < 5e-3


@pytest.mark.parametrize("bits", [8, 48])
def test_duplicates_and_rank_deficient_vectors_work(bits: int) -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(size=(6, DIM)).astype(np.float32)
    duplicated = few[rng.integers(6, size=300)]
    flat = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    for x in (duplicated, flat):
        codec = ComposedBinary(bits).fit(x)
        codes = codec.encode(x)
        spread = float(np.square(x - x.mean(axis=0)).sum())
        assert float(np.square(x - codec.decode(codes)).sum()) < (0.3 if bits == 8 else 0.02) * spread
    same = np.unique(ComposedBinary(bits).fit(duplicated).encode(duplicated), axis=0)
    assert len(same) == len(np.unique(duplicated, axis=0))


def test_the_scores_of_one_query_do_not_depend_on_the_others(points: tuple[Any, Any]) -> None:
    x, q = points
    codec = ComposedBinary(32).fit(x)
    together = codec.encode_query(q, Distance.COSINE)
    alone = codec.encode_query(q[3], Distance.COSINE)
    np.testing.assert_allclose(alone.vectors[0], together.vectors[3], atol=1e-6)
    np.testing.assert_allclose(alone.offset[0], q[3] @ codec.mean_, atol=1e-6)
