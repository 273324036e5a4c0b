"""A store is made from what ``octant tune`` recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from octant import HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.errors import InputError, MismatchError
from octant_langchain import OctantVectorStore

MODEL = DeterministicFakeEmbedding(size=16)
CHOSEN = Recommendation(
    "turbo8|turbo(1)", HnswSettings(m=8), MemoryPlacement("cold", payload="cached"),
    SearchKnobs(hnsw_ef=33, oversampling=4.0), dimension=16, points=1000,
)  # fmt: skip


@pytest.fixture(params=["value", "text", "path"])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    CHOSEN.save(tmp_path / "recommendation.json")
    path = tmp_path / "recommendation.json"
    return {"value": CHOSEN, "text": str(path), "path": path}[request.param]


def _is_as_recommended(store: OctantVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = store.collection.manifest
    assert manifest.represent == CHOSEN.represent
    assert (manifest.hnsw, manifest.placement, manifest.knobs) == (CHOSEN.hnsw, CHOSEN.placement, CHOSEN.knobs)
    asked: list[Any] = []
    engine = store.collection._core.store
    query = engine.query
    monkeypatch.setattr(engine, "query", lambda queries: asked.extend(queries) or query(queries))
    store.similarity_search("one")
    store.as_retriever().invoke("two")
    assert [(one.settings.hnsw_ef, one.settings.oversampling) for one in asked] == [(33, 4.0)] * 2


def test_every_way_of_making_a_store_takes_it(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"path": tmp_path / "data", "collection_name": "animals", "recommendation": given}
    with OctantVectorStore.from_texts(["one", "two"], MODEL, **place) as store:
        _is_as_recommended(store, monkeypatch)
    for again in (OctantVectorStore.construct_instance, lambda model, **o: OctantVectorStore(embedding=model, **o)):
        with again(MODEL, **place) as store:
            _is_as_recommended(store, monkeypatch)
    with OctantVectorStore.from_existing_collection(embedding=MODEL, **place) as store:
        _is_as_recommended(store, monkeypatch)


async def test_and_every_awaited_one(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"path": tmp_path / "data", "collection_name": "animals", "recommendation": given}
    async with await OctantVectorStore.afrom_texts(["one", "two"], MODEL, **place) as store:
        _is_as_recommended(store, monkeypatch)
    async with await OctantVectorStore.afrom_existing_collection(embedding=MODEL, **place) as store:
        _is_as_recommended(store, monkeypatch)


def test_an_existing_store_must_be_as_recommended(tmp_path: Path) -> None:
    place = {"path": tmp_path, "collection_name": "plain"}
    OctantVectorStore.from_texts(["one"], MODEL, **place).close()
    with pytest.raises(MismatchError, match=r"represent is 'turbo8', expected 'turbo8\|turbo\(1\)'|hnsw is"):
        OctantVectorStore.from_existing_collection(embedding=MODEL, recommendation=CHOSEN, **place)
    with pytest.raises(MismatchError, match=r"represent is 'turbo8', expected 'turbo8\|turbo\(1\)'|hnsw is"):
        OctantVectorStore.from_texts(["one"], MODEL, recommendation=CHOSEN, **place)
    for name, value in {"placement": MemoryPlacement(), "knobs": SearchKnobs()}.items():
        with pytest.raises(InputError, match=f"{name} say how a new collection is made"):
            OctantVectorStore.from_existing_collection(embedding=MODEL, **{name: value}, **place)


def test_it_is_not_given_beside_what_it_decides(tmp_path: Path) -> None:
    for name, value in {"represent": "turbo8", "placement": MemoryPlacement(), "knobs": SearchKnobs()}.items():
        with pytest.raises(InputError, match=f"a recommendation decides .*: leave {name} out"):
            OctantVectorStore.from_texts(["one"], MODEL, path=tmp_path, recommendation=CHOSEN, **{name: value})
    with pytest.raises(InputError, match="a Recommendation or the path of its JSON, got dict"):
        OctantVectorStore.from_texts(["one"], MODEL, path=tmp_path, recommendation={})
