"""A recommendation is a value that JSON keeps, and what a collection is made from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from octant import Collection, Distance, Expected, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.manifest import Manifest

DIM = 32
X = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)
CHOSEN = Recommendation(
    represent="turbo8|turbo(1)",
    hnsw=HnswSettings(m=8, ef_construct=64),
    placement=MemoryPlacement(graph="cold", codes="pinned", payload="cached"),
    knobs=SearchKnobs(oversampling=3.0, rescore=True),
    expected={
        "recall@10": Expected(0.97, 0.96, 0.98),
        "ram_bytes_per_vector": Expected.certain(61.5, estimated=True),
    },
    reference={"recall@10": Expected.certain(1.0)},
    dimension=DIM,
    points=1_000_000,
    goal={"min_recall": 0.95, "objective": "cheapest"},
    satisfied=False,
    unmet=("max_disk: 40 bytes a vector, the least is 52: relax it to 52",),
    source="3,000 of 1,000,000 vectors of a collection, held-out documents for queries",
)


def test_it_survives_json_and_a_file(tmp_path: Path) -> None:
    assert Recommendation.from_json(json.loads(json.dumps(CHOSEN.to_json()))) == CHOSEN
    CHOSEN.save(tmp_path / "recommendation.json")
    assert Recommendation.load(tmp_path / "recommendation.json") == CHOSEN
    assert Recommendation.of(str(tmp_path / "recommendation.json")) == CHOSEN
    assert Recommendation.of(CHOSEN) is CHOSEN


@pytest.mark.parametrize("as_path", [False, True])
async def test_a_collection_is_made_from_it_and_remembers(tmp_path: Path, as_path: bool) -> None:
    CHOSEN.save(tmp_path / "chosen.json")
    given = tmp_path / "chosen.json" if as_path else CHOSEN
    async with await Collection.acreate("c", location=tmp_path, recommendation=given) as collection:
        await collection.aadd(vectors=X, ids=range(300))
    with Collection.open("c", location=tmp_path, recommendation=given) as collection:
        manifest = collection.info().manifest
        assert manifest.represent == CHOSEN.represent
        assert (manifest.hnsw, manifest.placement, manifest.knobs) == (CHOSEN.hnsw, CHOSEN.placement, CHOSEN.knobs)
        assert (manifest.dimension, manifest.distance) == (DIM, Distance.COSINE)
    with Collection.create("c", location=tmp_path, recommendation=given, exist_ok=True) as collection:
        assert collection.count() == 300


def _questions(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The settings of every request that the engine gets from here on."""
    seen: list[object] = []
    store, query = collection._core.store, collection._core.store.query

    def spy(queries):
        seen.extend(one.settings for one in queries)
        return query(queries)

    monkeypatch.setattr(store, "query", spy)
    return seen


async def test_searches_without_knobs_use_those_of_the_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SearchKnobs(hnsw_ef=77, oversampling=5.0)
    with Collection.create("c", represent="turbo8|turbo(1)", dimension=DIM, knobs=kept) as collection:
        collection.add(vectors=X, ids=range(300))
        seen = _questions(collection, monkeypatch)
        collection.search(X[0])
        await collection.asearch(X[0])
        collection.search_batch(X[:2])
        assert [(one.hnsw_ef, one.oversampling) for one in seen] == [(77, 5.0)] * 4
        collection.search(X[0], knobs=SearchKnobs(hnsw_ef=9, oversampling=2.0))
        assert (seen[-1].hnsw_ef, seen[-1].oversampling) == (9, 2.0)


def test_manifests_of_earlier_releases_have_the_defaults(tmp_path: Path) -> None:
    with Collection.create("old", location=tmp_path, dimension=DIM) as collection:
        collection.add(vectors=X, ids=range(300))
    path = tmp_path / "old" / "octant.json"
    document = json.loads(path.read_text())
    for name in ("placement", "knobs", "coverage"):
        del document["octant"][name]
    for vector in document["layout"]["vectors"]:
        del vector["graph_placement"]
    path.write_text(json.dumps(document))
    with Collection.open("old", location=tmp_path) as collection:
        assert (collection.manifest.placement, collection.manifest.knobs) == (MemoryPlacement(), None)
        assert collection.search(X[3], k=1).ids == (3,)
        assert collection.footprint().ram_bytes > 0


def test_a_manifest_keeps_placement_and_knobs_in_json() -> None:
    with Collection.create("c", dimension=DIM, knobs=SearchKnobs(coverage=0.9)) as collection:
        manifest = replace(collection.manifest, placement=CHOSEN.placement)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
