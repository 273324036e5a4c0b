"""The same story on every kind of client: local mode sync, async, sync under async; a real server when there is one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from octant.errors import CollectionExistsError, CollectionNotFoundError, LocalModeWarning, StoreError
from octant.flow import Flow, arun, run
from octant.layout import PointBatch, QuerySettings, Stages, VectorQuery, lay_out
from octant.records import Distance, NativeQuantization, SparseVector, StorageNeeds
from octant.store.client import ClientStore

N, WIDTH = 60, 16
URL = "OCTANT_QDRANT_URL"


def server_url() -> str:
    url = os.environ.get(URL)
    if not url:
        pytest.skip(f"needs a Qdrant server: set {URL}")
    return url


def local(client: Any, aclient: Any) -> ClientStore:
    with pytest.warns(LocalModeWarning, match=r"stores plain float32 and scans it"):
        return ClientStore(client, aclient, "docs")


class Setting:
    """A store and the way to drive its flows."""

    def __init__(self, kind: str, name: str) -> None:
        self.store = self._store(kind, name)
        self.is_async = kind.endswith("async")
        self.loop = asyncio.new_event_loop()

    def _store(self, kind: str, name: str) -> ClientStore:
        if kind == "local sync":
            return local(QdrantClient(":memory:"), None)
        if kind == "local async":
            return local(None, AsyncQdrantClient(":memory:"))
        if kind == "local sync under async":
            return local(QdrantClient(":memory:"), None)
        options = {"timeout": 60, "prefer_grpc": "gRPC" in kind}
        return ClientStore.connect(server_url(), name, options, {"write_consistency_factor": 1}, parallel=3)

    def __call__(self, flow: Flow[Any]) -> Any:
        return self.loop.run_until_complete(arun(flow)) if self.is_async else run(flow)


@pytest.fixture(
    params=["local sync", "local async", "local sync under async", "server sync", "server async", "server gRPC async"]
)
def drive(request: pytest.FixtureRequest) -> Iterator[Setting]:
    setting = Setting(request.param, f"octant-test-{uuid.uuid4().hex[:12]}")
    yield setting
    setting(setting.store.drop())
    setting(setting.store.close())
    setting.loop.close()


def sample() -> PointBatch:
    x = np.random.default_rng(1).normal(size=(N, WIDTH)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    sparse = [SparseVector(np.uint32([7, 100 + i % 6]), np.float32([0.5, 1.0])) for i in range(N)]
    ids = [i if i % 2 else str(uuid.UUID(int=i)) for i in range(N)]
    payloads = [{"page_content": f"text {i}", "metadata": {"n": i, "even": i % 2 == 0}} for i in range(N)]
    codes = np.random.default_rng(2).integers(0, 256, (N, 5)).astype(np.uint8)
    return PointBatch(ids, {"coarse": x, "fine": codes}, payloads, {"bm25": sparse})  # codes are any bytes


LAYOUT = lay_out(
    Stages.of(
        StorageNeeds(WIDTH, Distance.DOT, "float32", NativeQuantization("scalar", 8)),
        StorageNeeds(5, Distance.DOT, "uint8", scored=False),
    ),
    sparse="bm25",
)
MANIFEST = {"format": 1, "represent": "…", "artifact": None, "nested": {"list": [1, 2.5, "x", True]}}


def test_the_whole_story(drive: Setting) -> None:
    store, batch = drive.store, sample()
    assert drive(store.exists()) is False
    with pytest.raises(CollectionNotFoundError, match="check name and location, or create it"):
        drive(store.open())

    drive(store.create(LAYOUT, MANIFEST))
    with pytest.raises(CollectionExistsError, match="open it, or create with overwrite=True"):
        drive(store.create(LAYOUT, MANIFEST))
    assert drive(store.open()).manifests == {"": MANIFEST}
    described = drive(store.describe())
    assert [vector.name for vector in described.vectors] == ["coarse", "fine"]
    assert (described.vectors[0].quantization, described.sparse) == (LAYOUT.vectors[0].quantization, "bm25")
    drive(store.write_manifest({"format": 1, "artifact": "abc"}))
    assert drive(store.open()).manifests == {"": {"format": 1, "artifact": "abc"}}

    seen: list[int] = []
    drive(store.upsert(batch, batch_size=16, progress=seen.append))
    drive(store.upsert(batch, batch_size=50))  # the same points again: nothing changes
    assert sorted(seen) == [12, 16, 16, 16]
    assert drive(store.count()) == N

    drive(store.index_payload("metadata.n", "integer"))
    drive(store.optimize())
    assert drive(store.footprint()).points == N


def test_queries_find_what_a_scan_finds(drive: Setting) -> None:
    store, batch = drive.store, sample()
    drive(store.create(LAYOUT, MANIFEST))
    drive(store.upsert(batch, batch_size=16))
    x = batch.vectors["coarse"]
    odd = {"must": [{"key": "metadata.even", "match": {"value": False}}]}
    exact = QuerySettings(exact=True)
    plain = VectorQuery(x[3], "coarse", 5, exact, with_vectors=("fine",))
    filtered = VectorQuery(x[3], "coarse", 5, exact, offset=1, filter=odd, with_payload=False)
    rare = VectorQuery(SparseVector(np.uint32([104]), np.float32([1.0])), "bm25", 3)
    found, some, sparse = drive(store.query([plain, filtered, rare]))

    scores = x @ x[3]
    best = np.argsort(-scores)
    assert [point.id for point in found] == [batch.ids[i] for i in best[:5]]
    np.testing.assert_allclose([point.score for point in found], scores[best[:5]], atol=1e-5)
    np.testing.assert_array_equal(found[1].vectors["fine"], batch.vectors["fine"][best[1]])
    assert found[0].payload == batch.payloads[3]
    odds = [i for i in best if i % 2][1:6]
    assert [point.id for point in some] == [batch.ids[i] for i in odds]
    assert some[0].payload == {}
    assert {batch.ids.index(point.id) % 6 for point in sparse} == {4}
    # 10 of 60 points have the token: ln((60 - 10 + .5) / (10 + .5) + 1)
    np.testing.assert_allclose([point.score for point in sparse], np.log(50.5 / 10.5 + 1), rtol=1e-4)


def test_a_coarse_stage_proposes_and_a_fine_one_decides(drive: Setting) -> None:
    store, batch = drive.store, sample()
    stages = Stages.of(StorageNeeds(4, Distance.DOT), StorageNeeds(WIDTH, Distance.COSINE))
    drive(store.create(lay_out(stages), {}))
    x = batch.vectors["coarse"]
    drive(store.upsert(PointBatch(batch.ids, {"coarse": x[:, :4], "fine": x}, batch.payloads), batch_size=64))
    inner = VectorQuery(x[9, :4], "coarse", 20, with_payload=False)
    (found,) = drive(store.query([VectorQuery(x[9], "fine", 3, prefetch=inner)]))
    proposed = np.argsort(-(x[:, :4] @ x[9, :4]))[:20]
    best = proposed[np.argsort(-(x[proposed] @ x[9]))][:3]
    assert [point.id for point in found] == [batch.ids[i] for i in best]


def test_reading_and_deleting(drive: Setting) -> None:
    store, batch = drive.store, sample()
    drive(store.create(LAYOUT, MANIFEST))
    drive(store.upsert(batch, batch_size=16))

    missing = str(uuid.uuid4())
    records = drive(store.retrieve([*batch.ids[:2], missing, 999_999], with_vectors=("coarse",)))
    assert {record.id for record in records} == set(batch.ids[:2])
    assert drive(store.retrieve([])) == []

    pages, offset = [], None
    while True:
        page, offset = drive(store.scroll(limit=25, offset=offset))
        pages.append([record.id for record in page])
        if offset is None:
            break
    assert [len(page) for page in pages] == [25, 25, 10]
    assert {point for page in pages for point in page} == set(batch.ids)

    below = {"must": [{"key": "metadata.n", "range": {"lt": 10}}]}
    assert drive(store.count(below)) == 10
    drive(store.delete([]))
    drive(store.delete([batch.ids[0], missing]))
    assert drive(store.count(below)) == 9
    drive(store.delete_where(below))
    assert (drive(store.count(below)), drive(store.count())) == (0, N - 10)


def test_a_fitted_state_travels_with_the_collection(drive: Setting) -> None:
    data = np.random.default_rng(3).bytes(1_500_000)
    digest = hashlib.sha256(data).hexdigest()
    drive(drive.store.write_artifact(digest, data))
    assert drive(drive.store.read_artifact(digest)) == data


def test_a_wrong_vector_name_is_one_of_our_errors(drive: Setting) -> None:
    drive(drive.store.create(LAYOUT, MANIFEST))
    with pytest.raises(StoreError, match="refused the request"):
        drive(drive.store.query([VectorQuery(np.ones(3, np.float32), "nowhere", 1)]))


# -- local mode ----------------------------------------------------------------------------------


def test_local_mode_warns_once_per_client_and_reports_no_sizes() -> None:
    client = QdrantClient(":memory:")
    store = local(client, None)
    assert store.engine == "local"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # neither Octant again, nor qdrant-client about what it ignores
        again = ClientStore(client, None, "docs")
        run(again.create(LAYOUT, {}))
        run(again.upsert(sample(), batch_size=64))
        run(again.index_payload("metadata.n", "integer"))
        settings = QuerySettings(hnsw_ef=8, exact=True, rescore=True, oversampling=2)
        run(again.query([VectorQuery(np.ones(WIDTH, np.float32), "coarse", 1, settings)]))
        run(again.optimize())
    footprint = run(store.footprint())
    assert (footprint.points, footprint.components, footprint.source) == (N, (), "none")
    assert run(store.segments()) == 0
    client.close()


def test_local_mode_on_disk(tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path))
    store = local(client, None)
    run(store.create(LAYOUT, MANIFEST))
    run(store.upsert(sample(), batch_size=16))
    client.close()
    client = QdrantClient(path=str(tmp_path))
    store = local(client, None)
    assert run(store.open()).manifests == {"": MANIFEST}
    assert asyncio.run(arun(store.count())) == N
    client.close()
    with pytest.raises(StoreError, match="closed"):
        run(store.count())


def test_langchain_qdrants_collections_are_understood() -> None:
    langchain = pytest.importorskip("langchain_qdrant", reason="needs the extra [test]")
    from langchain_core.embeddings import DeterministicFakeEmbedding

    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=models.VectorParams(size=8, distance=models.Distance.COSINE))
    embedding = DeterministicFakeEmbedding(size=8)
    theirs = langchain.QdrantVectorStore(client, "docs", embedding)
    theirs.add_texts(["one", "two"], [{"n": 1}, {"n": 2}])
    store = local(client, None)
    assert run(store.open()).manifests == {}
    (vector,) = run(store.describe()).vectors
    assert (vector.name, vector.size, vector.metric) == ("", 8, Distance.COSINE)
    query = np.float32(embedding.embed_query("two"))
    ((hit,),) = run(store.query([VectorQuery(query, "", 1, with_vectors=("",))]))
    assert hit.payload == {"page_content": "two", "metadata": {"n": 2}}
    np.testing.assert_allclose(hit.vectors[""], query / np.linalg.norm(query), atol=1e-6)

    # And the reverse: an uncompressed collection of ours opens there.
    ours = lay_out(Stages.of(StorageNeeds(8, Distance.COSINE), None))
    mine = ClientStore(client, None, "mine")
    run(mine.create(ours, {}))
    point = PointBatch([1], {"": query[None]}, [{"page_content": "two", "metadata": {"n": 2}}])
    run(mine.upsert(point, batch_size=1))
    (document,) = langchain.QdrantVectorStore(client, "mine", embedding).similarity_search("two", k=1)
    assert (document.page_content, document.metadata["n"]) == ("two", 2)
    client.close()


def test_two_hybrid_collections_share_the_unnamed_vector() -> None:
    client = QdrantClient(":memory:")
    store = local(client, None)
    layout = lay_out(Stages.of(StorageNeeds(WIDTH, Distance.COSINE), None), sparse="bm25")
    batch = sample()
    x = batch.vectors["coarse"]
    run(store.create(layout, {}))
    run(store.upsert(PointBatch(batch.ids, {"": x}, batch.payloads, batch.sparse), batch_size=64))
    dense = VectorQuery(x[5], "", 1, with_vectors=("",))
    sparse = VectorQuery(batch.sparse["bm25"][5], "bm25", 1, with_vectors=("",))
    ((hit,), (token,)) = run(store.query([dense, sparse]))
    assert hit.id == batch.ids[5]
    np.testing.assert_allclose(hit.vectors[""], x[5], atol=1e-6)
    assert list(token.vectors) == [""]
    client.close()
