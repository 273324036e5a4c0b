"""What a client store asks of qdrant-client, whichever kind of client it has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qdrant_client import models
from qdrant_client.http.models import QueryResponse

from octant.errors import FilterError, InputError, StoreError
from octant.flow import Flow, arun, run
from octant.layout import (
    CollectionLayout,
    HnswSettings,
    PointBatch,
    QuerySettings,
    Stages,
    VectorQuery,
    lay_out,
)
from octant.records import Distance, NativeQuantization, SparseVector, StorageNeeds
from octant.store import client_models as translate
from octant.store.client import ClientStore

ONE = StorageNeeds(4, Distance.COSINE, "turbo8")
FILTER = {"must": [{"key": "city", "match": {"value": "Oslo"}}]}
INFO = models.CollectionInfo.model_validate(
    {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 2,
        "payload_schema": {},
        "config": {
            "params": {},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
        },
    }
)
ANSWERS: dict[str, Any] = {
    "info": models.VersionInfo(title="qdrant", version="1.20.0"),
    "collection_exists": False,
    "get_aliases": models.CollectionsAliasesResponse(aliases=[]),
    "get_collection": INFO,
    "query_batch_points": lambda requests: [QueryResponse(points=[]) for _ in requests],
    "query_points": lambda **_: QueryResponse(points=[]),
    "scroll": ([], None),
    "retrieve": [],
    "count": models.CountResult(count=7),
}


class Recorder:
    """A sync client that notes every call."""

    init_options = {"url": "http://recorder:6333"}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            answer = ANSWERS.get(name, True)
            return answer(**kwargs) if callable(answer) else answer

        return method

    def sent(self, name: str) -> list[dict[str, Any]]:
        return [kwargs for called, _, kwargs in self.calls if called == name]


class AsyncRecorder(Recorder):
    """The same, awaited."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        record = super().__getattr__(name)

        async def method(*args: Any, **kwargs: Any) -> Any:
            return record(*args, **kwargs)

        return method


def sync_store(**options: Any) -> tuple[ClientStore, Recorder]:
    recorder = Recorder()
    return ClientStore(recorder, None, "docs", **options), recorder


def batch(n: int, *, width: int = 4) -> PointBatch:
    x = np.arange(n * width, dtype=np.float32).reshape(n, width) / 8
    return PointBatch(list(range(n)), {"": x}, [{"n": i} for i in range(n)])


OPERATIONS: dict[str, Callable[[ClientStore], Flow[Any]]] = {
    "exists": lambda store: store.exists(),
    "create": lambda store: store.create(lay_out(Stages.of(ONE, None), sparse="bm25"), {"format": 1}),
    "open": lambda store: store.open(),
    "write_manifest": lambda store: store.write_manifest({"format": 1}),
    "drop": lambda store: store.drop(),
    "upsert": lambda store: store.upsert(batch(5), batch_size=2),
    "query": lambda store: store.query([VectorQuery(np.ones(4, np.float32), "", 3, filter=FILTER)]),
    "retrieve": lambda store: store.retrieve([1, 2], with_vectors=("fine",)),
    "scroll": lambda store: store.scroll(filter=FILTER, limit=5, offset=3),
    "delete": lambda store: store.delete([1]),
    "delete_where": lambda store: store.delete_where(FILTER),
    "count": lambda store: store.count(FILTER),
    "index_payload": lambda store: store.index_payload("city", "keyword"),
    "segments": lambda store: store.segments(),
    "write_artifact": lambda store: store.write_artifact(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", b"abc"
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_sync_and_async_clients_are_asked_the_same(name: str) -> None:
    store, recorder = sync_store(parallel=1)
    aclient = AsyncRecorder()
    astore = ClientStore(None, aclient, "docs", parallel=1)
    expected = run(OPERATIONS[name](store))
    assert await arun(OPERATIONS[name](astore)) == expected
    assert repr(aclient.calls) == repr(recorder.calls)  # arrays have no single truth
    assert recorder.calls


# -- collections ---------------------------------------------------------------------------------


def created(layout: CollectionLayout, options: dict[str, Any] | None = None) -> dict[str, Any]:
    store, recorder = sync_store(collection_options=options)
    run(store.create(layout, {"format": 1}))
    (sent,) = recorder.sent("create_collection")
    return sent


def test_one_unnamed_vector_is_made_as_everybody_else_makes_it() -> None:
    sent = created(lay_out(Stages.of(ONE, None)))
    assert sent["vectors_config"] == models.VectorParams(
        size=4,
        distance=models.Distance.COSINE,
        datatype=models.Datatype.TURBO8,
        memory=models.Memory.CACHED,
        hnsw_config=models.HnswConfigDiff(
            m=16, ef_construct=100, full_scan_threshold=10_000, memory=models.Memory.CACHED
        ),
    )
    assert sent["payload"] == models.PayloadStorageParams(memory=models.Memory.COLD)
    assert sent["metadata"] == {"octant": {"format": 1}}
    assert "sparse_vectors_config" not in sent


def test_two_stages_pin_what_is_searched_and_keep_the_rest_cold_without_a_graph() -> None:
    coarse = StorageNeeds(64, Distance.DOT, "turbo4", NativeQuantization("binary", 1, query_bits=8), rescore=False)
    fine = StorageNeeds(8, Distance.DOT, "uint8", scored=False)
    sent = created(lay_out(Stages.of(coarse, fine), hnsw=HnswSettings(m=32, indexing_threshold=77), sparse="bm25"))
    vectors = sent["vectors_config"]
    assert list(vectors) == ["coarse", "fine"]
    assert vectors["coarse"].memory == models.Memory.COLD
    assert vectors["coarse"].hnsw_config.m == 32
    assert vectors["coarse"].quantization_config == models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            memory=models.Memory.PINNED,
            encoding=models.BinaryQuantizationEncoding.ONE_BIT,
            query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
        )
    )
    assert (vectors["fine"].datatype, vectors["fine"].memory) == (models.Datatype.UINT8, models.Memory.COLD)
    assert (vectors["fine"].hnsw_config.m, vectors["fine"].quantization_config) == (0, None)
    assert sent["optimizers_config"].indexing_threshold == 77
    assert sent["sparse_vectors_config"] == {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (NativeQuantization("scalar", 8), {"scalar": {"type": "int8", "memory": "pinned"}}),
        (NativeQuantization("product", 2, ratio=16), {"product": {"compression": "x16", "memory": "pinned"}}),
        (
            NativeQuantization("binary", 1.5),
            {"binary": {"encoding": "one_and_half_bits", "query_encoding": "binary", "memory": "pinned"}},
        ),
        (
            NativeQuantization("binary", 2, query_bits=4),
            {"binary": {"encoding": "two_bits", "query_encoding": "scalar4bits", "memory": "pinned"}},
        ),
        (NativeQuantization("turbo", 1), {"turbo": {"bits": "bits1", "memory": "pinned"}}),
        (NativeQuantization("turbo", 1.5), {"turbo": {"bits": "bits1_5", "memory": "pinned"}}),
        (NativeQuantization("turbo", 8), {"turbo": {"bits": "bits8", "memory": "pinned"}}),
    ],
    ids=str,
)
def test_second_copies(wanted: NativeQuantization, sent: dict[str, Any]) -> None:
    params = created(lay_out(Stages.of(StorageNeeds(4, Distance.DOT, "float16", wanted), None)))["vectors_config"]
    assert params.quantization_config.model_dump(mode="json", exclude_none=True) == sent


@pytest.mark.parametrize("distance", list(Distance))
def test_distances(distance: Distance) -> None:
    params = created(lay_out(Stages.of(StorageNeeds(4, distance), None)))["vectors_config"]
    assert params.distance.value == distance.value


def test_cluster_settings_pass_through() -> None:
    options = {"shard_number": 6, "replication_factor": 2, "write_consistency_factor": 2, "on_disk_payload": False}
    sent = created(lay_out(Stages.of(ONE, None)), options)
    assert {key: sent[key] for key in options} == options
    assert "payload" not in sent  # it would override on_disk_payload


def test_the_callers_optimizer_settings_win() -> None:
    own = models.OptimizersConfigDiff(default_segment_number=2)
    sent = created(lay_out(Stages.of(ONE, None)), {"optimizers_config": own})["optimizers_config"]
    assert (sent.default_segment_number, sent.indexing_threshold) == (2, 10_000)
    assert own.indexing_threshold is None  # the caller's object is not edited
    own = models.OptimizersConfigDiff(indexing_threshold=5)
    sent = created(lay_out(Stages.of(ONE, None)), {"optimizers_config": own})["optimizers_config"]
    assert sent.indexing_threshold == 5


# -- queries -------------------------------------------------------------------------------------


def test_a_query_on_its_own_travels_as_an_array() -> None:
    store, recorder = sync_store()
    inner = VectorQuery(np.float32([1, -1]), "coarse", 40, QuerySettings(rescore=False), filter=FILTER)
    vector = np.float32([0.5, 0.25, 0])
    settings = QuerySettings(hnsw_ef=64)
    outer = VectorQuery(
        vector, "fine", 10, settings, offset=3, prefetch=inner, score_threshold=0.5, with_vectors=("fine",)
    )
    run(store.query([outer]))
    (sent,) = recorder.sent("query_points")
    assert sent.pop("query") is vector
    prefetch = sent.pop("prefetch").model_dump(mode="json", exclude_none=True)
    assert (prefetch["query"], prefetch["using"], prefetch["limit"]) == ([1.0, -1.0], "coarse", 40)
    assert prefetch["filter"] == FILTER
    assert sent.pop("search_params").hnsw_ef == 64
    assert sent == {
        "using": "fine", "query_filter": None, "score_threshold": 0.5,
        "limit": 10, "offset": 3, "with_payload": True, "with_vectors": ["fine"],
    }  # fmt: skip


def test_all_queries_travel_in_one_request() -> None:
    store, recorder = sync_store()
    inner = VectorQuery(
        np.float32([1, -1]), "coarse", 40, QuerySettings(hnsw_ef=64, rescore=False), filter=FILTER, with_payload=False
    )
    outer = VectorQuery(
        np.float32([0.5, 0.25, 0]), "fine", 10, QuerySettings(exact=True), prefetch=inner, with_vectors=("fine",)
    )
    sparse = VectorQuery(
        SparseVector(np.uint32([3, 9]), np.float32([1, 0.5])), "bm25", 20, offset=5, score_threshold=0.25
    )
    plain = VectorQuery(np.float32([1, 0]), "", 3, QuerySettings(rescore=True, oversampling=4.0), with_vectors=("",))
    assert run(store.query([outer, sparse, plain])) == [[], [], []]
    (sent,) = recorder.sent("query_batch_points")
    assert [request.model_dump(mode="json", exclude_none=True) for request in sent["requests"]] == [
        {
            "query": [0.5, 0.25, 0.0],
            "using": "fine",
            "limit": 10,
            "params": {"exact": True, "indexed_only": False},
            "prefetch": {
                "query": [1.0, -1.0],
                "using": "coarse",
                "limit": 40,
                "params": {
                    "hnsw_ef": 64,
                    "exact": False,
                    "indexed_only": False,
                    "quantization": {"ignore": False, "rescore": False},
                },
                "filter": FILTER,
            },
            "with_payload": True,
            "with_vector": ["fine"],
        },
        {
            "query": {"indices": [3, 9], "values": [1.0, 0.5]},
            "using": "bm25",
            "limit": 20,
            "offset": 5,
            "score_threshold": 0.25,
            "with_payload": True,
            "with_vector": False,
        },
        {
            "query": [1.0, 0.0],
            "limit": 3,
            "params": {
                "exact": False,
                "indexed_only": False,
                "quantization": {"ignore": False, "rescore": True, "oversampling": 4.0},
            },
            "with_payload": True,
            "with_vector": True,
        },
    ]


def test_no_queries_no_request() -> None:
    store, recorder = sync_store()
    assert run(store.query([])) == []
    assert recorder.calls == []


def test_local_mode_is_sent_no_search_settings() -> None:
    inner = VectorQuery(np.float32([1]), "coarse", 4, QuerySettings(hnsw_ef=8))
    query = VectorQuery(np.float32([1]), "fine", 2, QuerySettings(exact=True), prefetch=inner)
    sent = translate.request(query, local=True)
    assert (sent.params, sent.prefetch.params) == (None, None)


@pytest.mark.parametrize(
    "condition",
    [
        {"key": "n", "range": {"gte": 1, "lt": 5}},
        {"key": "day", "range": {"gte": "2024-01-01T00:00:00Z"}},
        {"key": "city", "match": {"any": ["Oslo", "Bergen"]}},
        {"key": "city", "match": {"except": ["Oslo"]}},
        {"key": "body", "match": {"text": "sea"}},
        {"has_id": [1, "00000000-0000-0000-0000-000000000002"]},
        {"is_empty": {"key": "city"}},
        {"is_null": {"key": "city"}},
        {"nested": {"key": "parts", "filter": {"must": [{"key": "n", "match": {"value": 1}}]}}},
        {"should": [{"key": "n", "match": {"value": True}}]},
        {"key": "place", "geo_radius": {"center": {"lon": 1.0, "lat": 2.0}, "radius": 10.0}},
    ],
    ids=lambda condition: next(iter(condition)),
)
def test_filters_arrive_as_they_were_written(condition: dict[str, Any]) -> None:
    sent = translate.filter_({"must": [condition]})
    assert sent.model_dump(mode="json", exclude_none=True, by_alias=True) == {"must": [condition]}


def test_a_filter_that_qdrant_does_not_know() -> None:
    with pytest.raises(FilterError, match=r"not a filter that Qdrant knows: .*rang"):
        translate.filter_({"must": [{"key": "n", "rang": {"gte": 1}}]})


# -- uploads -------------------------------------------------------------------------------------


def test_batches_hold_every_column() -> None:
    store, recorder = sync_store(parallel=1)
    codes = np.uint8([[1, 255], [0, 7], [3, 4]])
    sparse = [SparseVector(np.uint32([i]), np.float32([0.5])) for i in range(3)]
    points = PointBatch(
        [1, "00000000-0000-0000-0000-000000000002", 3],
        {"coarse": np.float32([[1], [2], [3]]), "fine": codes},
        [{"a": 1}, {"a": None}, {}],
        {"bm25": sparse},
    )
    seen: list[int] = []
    run(store.upsert(points, batch_size=2, progress=seen.append))
    first, second = (sent["points"] for sent in recorder.sent("upsert"))
    assert all(sent["wait"] is True for sent in recorder.sent("upsert"))
    assert seen == [2, 1]
    assert first.ids == [1, "00000000-0000-0000-0000-000000000002"]
    assert first.vectors["coarse"] == [[1.0], [2.0]]
    assert first.vectors["fine"] == [[1.0, 255.0], [0.0, 7.0]]
    assert [vector.indices for vector in first.vectors["bm25"]] == [[0], [1]]
    assert first.payloads == [{"a": 1}, {"a": None}]
    assert second.ids == [3]


def test_an_unnamed_vector_is_sent_bare() -> None:
    store, recorder = sync_store()
    run(store.upsert(batch(2), batch_size=10))
    (sent,) = recorder.sent("upsert")
    assert sent["points"].vectors == [[0.0, 0.125, 0.25, 0.375], [0.5, 0.625, 0.75, 0.875]]


class Busy(AsyncRecorder):
    """Counts how many uploads are under way, and whether anything ran outside the event loop's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def method(*args: Any, **kwargs: Any) -> Any:
            self.threads.add(threading.get_ident())
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.01)
            self.running -= 1
            return True

        return method


@pytest.mark.parametrize("parallel", [1, 3])
async def test_async_uploads_overlap_without_threads(parallel: int) -> None:
    client = Busy()
    store = ClientStore(None, client, "docs", parallel=parallel)
    seen: list[int] = []
    await arun(store.upsert(batch(20), batch_size=2, progress=seen.append))
    assert client.most == parallel
    assert client.threads == {threading.get_ident()}
    assert seen == [2] * 10


def test_sync_uploads_overlap() -> None:
    meeting = threading.Barrier(3, timeout=120)  # passes only when three requests are under way at once

    class Waiting(Recorder):
        def upsert(self, *args: Any, **kwargs: Any) -> bool:
            meeting.wait()
            return True

    store = ClientStore(Waiting(), None, "docs", parallel=3)
    run(store.upsert(batch(6), batch_size=2))


async def test_async_callers_of_a_sync_client_do_not_block_the_loop() -> None:
    class Slow(Recorder):
        def count(self, *args: Any, **kwargs: Any) -> models.CountResult:
            assert threading.current_thread() is not threading.main_thread()
            return models.CountResult(count=3)

    store = ClientStore(Slow(), None, "docs")
    assert await arun(store.count()) == 3


# -- what is refused before anything is sent -----------------------------------------------------


def test_sync_callers_of_an_async_client_are_told_what_to_do() -> None:
    store = ClientStore(None, AsyncRecorder(), "docs")
    with pytest.raises(StoreError, match=r"AsyncQdrantClient only: use the methods that start with a"):
        run(store.count())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"collection_options": {"shards": 3}}, r"takes the options shard_number, .*; got shards"),
        ({"parallel": 0}, r"parallel must be at least 1, got 0"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sync_store(**arguments)


@pytest.mark.parametrize("name", ["", "octant_artifacts"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InputError, match=r"needs a name other than 'octant_artifacts'"):
        ClientStore(Recorder(), None, name)


def test_no_client_at_all() -> None:
    with pytest.raises(InputError, match=r"needs a QdrantClient, an AsyncQdrantClient, or both; got neither"):
        ClientStore(None, None, "docs")


def test_a_batch_size_of_nothing() -> None:
    store, recorder = sync_store()
    with pytest.raises(InputError, match=r"batch_size must be at least 1, got 0"):
        run(store.upsert(batch(2), batch_size=0))
    assert recorder.calls == []


def test_an_id_that_is_none_of_qdrants() -> None:
    store, recorder = sync_store()
    points = PointBatch([1.5], {"": np.ones((1, 4), np.float32)}, [{}])
    with pytest.raises(InputError, match=r"these points are none that Qdrant takes"):
        run(store.upsert(points, batch_size=4))
    assert recorder.sent("upsert") == []


def test_an_index_of_unknown_kind() -> None:
    store, _ = sync_store()
    with pytest.raises(InputError, match=r"one of keyword, .*; got 'number'"):
        run(store.index_payload("n", "number"))
