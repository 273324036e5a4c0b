"""The auto-encoder: at least PCA, and more where vectors bend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import octant
from octant.quantizers.autoencoder import AutoEncoder
from octant.quantizers.reduce import PCA
from octant.vectors import unit_rows

pytest.importorskip("torch", reason="needs the extra [train]")


@pytest.fixture(scope="module")
def bent() -> tuple[Any, Any]:
    """Unit points (1500, 32) that four numbers decide, not linearly, and 200 more as queries."""
    rng = np.random.default_rng(4)
    inner, outer = rng.normal(size=(4, 64)), rng.normal(size=(64, 32)) / 8
    x = np.tanh(rng.normal(size=(1700, 4)) @ inner) @ outer
    return unit_rows(x[:1500].astype(np.float32)), unit_rows(x[1500:].astype(np.float32))


def recall(q: Any, x: Any, scores: Any) -> float:
    true, found = (np.argsort(-s, axis=1)[:, :10] for s in (q @ x.T, scores))
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / 10 for a, b in zip(true, found, strict=True)]))


def test_it_starts_as_pca_and_finds_more(bent: tuple[Any, Any]) -> None:
    x, q = bent
    plain, start, trained = PCA(4).fit(x), AutoEncoder(4, steps=1).fit(x), AutoEncoder(4, steps=400).fit(x)
    found = [recall(q, x, codec.encode_query(q).vectors @ codec.encode(x).T) for codec in (plain, start, trained)]
    assert abs(found[1] - found[0]) < 0.03
    assert found[2] > found[0] + 0.01
    lost = [float(np.square(x - codec.decode(codec.encode(x))).sum()) for codec in (plain, trained)]
    assert lost[1] < 0.8 * lost[0]


def test_scores_estimate_the_cosine_through_edge(bent: tuple[Any, Any]) -> None:
    x, q = (unit_rows(part + np.float32(0.1)) for part in bent)  # off the centre, as embeddings are
    with octant.Collection.create("c", represent="autoencoder(8, steps=100)|turbo8") as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=list(range(len(x))))
        rankings = collection.search_batch(list(q), 10)
    errors = np.array([hit.score - q[row] @ x[int(hit.id)] for row, hits in enumerate(rankings) for hit in hits])
    assert abs(errors.mean()) < 0.02
    assert np.abs(errors).mean() < 0.05


def test_queries_take_part_in_the_calibration_alone(bent: tuple[Any, Any]) -> None:
    x, q = bent
    without, given = (AutoEncoder(4, steps=5).fit(x, queries=asked) for asked in (None, q + np.float32(0.3)))
    assert np.array_equal(without.encode(x), given.encode(x))
    assert without.slope_ != given.slope_
