"""The client store through the real qdrant-client, over HTTP and gRPC, against a server in this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import grpc as messages

from fake_server import FakeQdrant, Request, serving
from octant.errors import UnavailableError
from octant.flow import arun, run
from octant.layout import (
    CollectionLayout,
    HnswSettings,
    MemoryPlacement,
    PointBatch,
    Stages,
    VectorQuery,
    lay_out,
)
from octant.records import Component, Distance, NativeQuantization, StorageNeeds
from octant.store.client import ClientStore
from octant.store.client_connection import RetrySettings

QUICK = RetrySettings(attempts=3, first_wait_s=0.01, longest_wait_s=0.05)
TURBO = StorageNeeds(4, Distance.DOT, "turbo4", NativeQuantization("turbo", 1))
LAYOUTS = {
    "unnamed": lay_out(Stages.of(StorageNeeds(4, Distance.COSINE, "turbo8"), None)),
    "unnamed and sparse": lay_out(Stages.of(StorageNeeds(4, Distance.COSINE, "float16"), None), sparse="bm25"),
    "named": lay_out(
        Stages.of(TURBO, None, "text"),
        hnsw=HnswSettings(8, 50, 20, 30),
        placement=MemoryPlacement("pinned", "cached", "cached", payload="cached"),
    ),
    "two stages": lay_out(Stages.of(TURBO, StorageNeeds(8, Distance.DOT, "uint8", scored=False)), sparse="bm25"),
    "scalar": lay_out(Stages.of(StorageNeeds(4, Distance.EUCLID, "float32", NativeQuantization("scalar", 8)), None)),
    "product": lay_out(
        Stages.of(StorageNeeds(4, Distance.DOT, "float32", NativeQuantization("product", 2, ratio=16)), None)
    ),
    "binary": lay_out(
        Stages.of(StorageNeeds(4, Distance.DOT, "turbo4", NativeQuantization("binary", 1, query_bits=8)), None)
    ),
}


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as fake:
        yield fake


def connect(server: FakeQdrant, **options: Any) -> ClientStore:
    return ClientStore.connect(server.url, "docs", {"timeout": 5, "verify": False}, retry=QUICK, **options)


def points(n: int) -> PointBatch:
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    return PointBatch(list(range(n)), {"": x}, [{"n": i} for i in range(n)])


# -- collections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_comes_back_as_it_was_made(server: FakeQdrant, layout: CollectionLayout) -> None:
    store = connect(server)
    run(store.create(layout, {"format": 1, "artifact": None}))
    assert run(store.describe()) == layout
    run(store.close())


async def test_the_manifest_lives_in_the_collections_metadata(server: FakeQdrant) -> None:
    store = connect(server)
    await arun(store.create(LAYOUTS["unnamed"], {"format": 1, "artifact": None}))
    server.collections["docs"]["metadata"]["theirs"] = 1
    assert (await arun(store.open())).manifests == {"": {"format": 1, "artifact": None}}
    await arun(store.write_manifest({"format": 1, "artifact": "abc"}))
    assert server.collections["docs"]["metadata"] == {"octant": {"format": 1, "artifact": "abc"}, "theirs": 1}
    assert (await arun(store.open())).manifests == {"": {"format": 1, "artifact": "abc"}}
    await arun(store.close())


def test_a_collection_that_others_made_has_no_manifest(server: FakeQdrant) -> None:
    server.collections["docs"] = {"vectors": {"size": 4, "distance": "Cosine", "on_disk": True}}
    server.points["docs"] = {}
    store = connect(server)
    assert run(store.open()).manifests == {}
    (vector,) = run(store.describe()).vectors
    assert (vector.name, vector.size, vector.metric, vector.datatype) == ("", 4, Distance.COSINE, "float32")
    assert (vector.placement, vector.quantization) == ("cold", None)
    run(store.close())


def test_deprecated_flags_of_others_are_understood(server: FakeQdrant) -> None:
    server.collections["docs"] = {
        "vectors": {
            "dense": {
                "size": 4,
                "distance": "Dot",
                "on_disk": True,
                "hnsw_config": {"m": 48},
                "quantization_config": {"turbo": {"always_ram": True}},
            },
            "colbert": {"size": 8, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}},
        },
        "sparse_vectors": {"plain": {}, "weighted": {"modifier": "idf"}},
        "on_disk_payload": False,
    }
    server.points["docs"] = {}
    layout = run(connect(server).describe())
    (vector,) = layout.vectors  # multivectors have no place in a layout
    assert vector.quantization == NativeQuantization("turbo", 4)
    assert (vector.quantization_placement, vector.hnsw.m, vector.hnsw.ef_construct) == ("pinned", 48, 100)
    assert (layout.sparse, layout.payload_placement) == ("weighted", "cached")


def test_placement_is_asked_for_by_memory_and_never_by_deprecated_flags(server: FakeQdrant) -> None:
    for name, layout in LAYOUTS.items():
        store = ClientStore.connect(server.url, name, {"timeout": 5})
        run(store.create(layout, {}))
    sent = json.dumps([request.body for request in server.seen("PUT")])
    assert '"memory": "pinned"' in sent
    assert not any(flag in sent for flag in ("on_disk", "always_ram"))


def test_drop_leaves_what_others_may_use(server: FakeQdrant) -> None:
    store = connect(server)
    run(store.create(LAYOUTS["unnamed"], {}))
    digest = hashlib.sha256(b"state").hexdigest()
    run(store.write_artifact(digest, b"state"))
    run(store.drop())
    assert not run(store.exists())
    run(store.drop())  # nothing there: no error
    assert run(store.read_artifact(digest)) == b"state"


# -- points --------------------------------------------------------------------------------------


async def test_points_arrive_and_come_back(server: FakeQdrant) -> None:
    store = connect(server)
    await arun(store.create(LAYOUTS["unnamed"], {}))
    batch = points(10)
    await arun(store.upsert(batch, batch_size=3))
    assert await arun(store.count()) == 10
    assert len([request for request in server.requests if request.writes_points]) == 4
    (found,) = await arun(store.retrieve([7], with_vectors=("",)))
    assert (found.id, found.payload) == (7, {"n": 7})
    np.testing.assert_array_equal(found.vectors[""], batch.vectors[""][7])
    await arun(store.close())


def test_a_request_carries_what_the_connection_was_given(server: FakeQdrant) -> None:
    store = ClientStore.connect(server.url, "docs", {"headers": {"x-tenant": "blue"}, "timeout": 5})
    run(store.exists())
    assert server.requests[-1].headers["x-tenant"] == "blue"


async def test_one_store_serves_sync_and_async_callers_and_several_loops(server: FakeQdrant) -> None:
    store = connect(server)
    assert await arun(store.exists()) is False

    def elsewhere() -> bool:
        return asyncio.run(arun(store.exists()))

    assert await asyncio.to_thread(elsewhere) is False
    assert await asyncio.to_thread(run, store.exists()) is False
    assert len(server.seen("GET", "/exists")) == 3
    await arun(store.close())


def test_connecting_costs_nothing_until_something_is_asked() -> None:
    ClientStore.connect("http://127.0.0.1:1", "docs")  # nobody listens there


def test_the_callers_clients_stay_open(server: FakeQdrant) -> None:
    client = QdrantClient(server.url, check_compatibility=False)
    store = ClientStore(client, None, "docs")
    run(store.close())
    assert client.collection_exists("docs") is False
    client.close()


async def test_own_clients_are_closed(server: FakeQdrant) -> None:
    store = connect(server)
    await arun(store.exists())
    await arun(store.close())
    await arun(store.close())  # a second time does nothing
    assert await arun(store.exists()) is False  # and a new client is made when one is needed again
    await arun(store.close())


@pytest.mark.parametrize(
    ("arguments", "location"),
    [
        ({"url": "https://db.example:6333", "api_key": "k"}, "https://db.example:6333"),
        ({"host": "db.example", "port": 7000}, "http://db.example:7000"),
        ({"host": "db.example", "api_key": "k", "https": True}, "https://db.example:6333"),
        ({"location": "http://me:secret@db.example:1"}, "http://db.example:1"),
        ({}, "http://localhost:6333"),
    ],
)
def test_messages_name_the_server_without_its_secrets(arguments: dict[str, Any], location: str) -> None:
    client = QdrantClient(**arguments, check_compatibility=False)
    assert ClientStore(client, None, "docs")._connection.location == location
    client.close()


# -- upkeep --------------------------------------------------------------------------------------


async def test_optimize_waits_for_a_green_that_lasts(server: FakeQdrant) -> None:
    store = connect(server)
    await arun(store.create(LAYOUTS["unnamed"], {}))
    server.statuses = ["green", "yellow", "yellow", "green", "green"]
    await arun(store.optimize())
    assert server.statuses == []
    assert await arun(store.segments()) == 3
    await arun(store.close())


def test_optimize_wakes_a_restarted_server(server: FakeQdrant) -> None:
    store = connect(server)
    run(store.create(LAYOUTS["unnamed"], {}))
    server.statuses = ["grey", "green", "green"]
    run(store.optimize())
    assert [request.body for request in server.seen("PATCH")] == [{"optimizers_config": {}}]


def test_optimize_does_not_wait_for_ever_nor_ask_without_pause(server: FakeQdrant) -> None:
    store = connect(server, optimize_timeout_s=0.3)
    run(store.create(LAYOUTS["unnamed"], {}))
    server.status = "yellow"
    with pytest.raises(UnavailableError, match=r"still being optimized after 0.3 s: the server goes on"):
        run(store.optimize())
    assert len(server.seen("GET", "/docs")) <= 4  # at 0, 0.1, 0.25 and 0.475 s; fewer where each takes long


def usage(disk: int, ram: int = 0, cache: int = 0) -> dict[str, int]:
    return {"disk_bytes": disk, "ram_bytes": ram, "cached_bytes": 1, "expected_cache_bytes": cache}


MEMORY = {
    "total": usage(3000, 700),
    "vectors": [
        {"name": "coarse", "storage": usage(1000), "index": usage(300, 0, 300), "quantized": usage(400, 400)},
        {"name": "fine", "storage": usage(900, 100), "index": usage(0)},
    ],
    "sparse_vectors": [{"name": "bm25", "storage": usage(50), "index": usage(60, 60)}],
    "payload": usage(200),
    "payload_index": [{"name": "city", "usage": usage(10, 10)}],
    "other": {"id_tracker": usage(80, 130)},
}


async def test_the_footprint_is_what_the_server_reports(server: FakeQdrant) -> None:
    store = connect(server)
    await arun(store.create(LAYOUTS["two stages"], {}))
    server.points["docs"] = {i: {} for i in range(10)}
    server.memory = MEMORY
    measured = await arun(store.footprint())
    assert (measured.points, measured.segments, measured.source) == (10, 3, "api")
    assert set(measured.components) == {
        Component("originals", "coarse", "cold", 1000),
        Component("searched codes", "coarse", "pinned", 400),
        Component("graph", "coarse", "cached", 300),
        Component("rescoring codes", "fine", "pinned", 100),
        Component("rescoring codes", "fine", "cold", 800),
        Component("sparse vectors", "bm25", "cold", 50),
        Component("sparse index", "bm25", "pinned", 60),
        Component("payload", None, "cold", 200),
        Component("payload index", None, "pinned", 10),
        Component("ids", None, "pinned", 130),
    }
    assert measured.ram_bytes == 400 + 300 + 100 + 60 + 10 + 130
    await arun(store.close())


@pytest.mark.parametrize("version", ["1.17.3", "1.18.0"])
def test_a_server_without_a_memory_report_measures_nothing(version: str) -> None:
    broken = {"vectors": "none", "payload": {"disk_bytes": "many"}, "other": []}
    with serving(version=version, memory=broken) as server:
        server.collections["docs"] = {"vectors": {"size": 4, "distance": "Dot"}}
        server.points["docs"] = {1: {}}
        measured = run(connect(server).footprint())
        assert (measured.points, measured.components, measured.source) == (1, (), "none")
        assert len(server.seen("GET", "/memory")) == (version == "1.18.0")


# -- artifacts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, (1 << 20), (1 << 20) + 1])
async def test_artifacts_come_back_whole(server: FakeQdrant, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    digest = hashlib.sha256(data).hexdigest()
    store = connect(server)
    await arun(store.write_artifact(digest, data))
    await arun(store.write_artifact(digest, data))
    assert len(server.points["octant_artifacts"]) == max(1, -(-size // (1 << 20)))
    assert server.collections["octant_artifacts"] == {"vectors": {}}
    assert await arun(store.read_artifact(digest)) == data
    await arun(store.close())


def test_two_processes_may_make_the_artifact_collection_at_once(server: FakeQdrant) -> None:
    def race(request: Request) -> None:
        if request.method == "PUT" and request.path == "/collections/octant_artifacts":
            server.collections["octant_artifacts"], server.points["octant_artifacts"] = {"vectors": {}}, {}

    server.trouble = race
    digest = hashlib.sha256(b"x").hexdigest()
    run(connect(server).write_artifact(digest, b"x"))
    assert len(server.points["octant_artifacts"]) == 1


# -- gRPC ----------------------------------------------------------------------------------------


class GrpcQdrant(messages.QdrantServicer, messages.CollectionsServicer, messages.PointsServicer):
    """Answers the calls below and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.HealthCheckReply(title="qdrant", version="1.20.0")

    def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=False))

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.sent.append(request)
        return messages.CollectionOperationResponse(result=True)

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.sent.append(request)
        if len(self.sent) == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        done = messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)
        return messages.PointsOperationResponse(result=done)

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.sent.append(request)
        return messages.QueryResponse(result=[messages.ScoredPoint(id=messages.PointId(num=7), score=0.25)])

    def QueryBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.sent.append(request)
        hit = messages.ScoredPoint(id=messages.PointId(num=3), score=0.5)
        return messages.QueryBatchResponse(result=[messages.BatchResult(result=[hit]) for _ in request.query_points])


@pytest.fixture
def grpc_server() -> Iterator[tuple[int, GrpcQdrant]]:
    service = GrpcQdrant()
    server = grpc.server(ThreadPoolExecutor(2))
    messages.add_QdrantServicer_to_server(service, server)
    messages.add_CollectionsServicer_to_server(service, server)
    messages.add_PointsServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, service
    server.stop(None).wait()


@pytest.mark.parametrize("native", [False, True])
async def test_the_same_travels_over_grpc(grpc_server: tuple[int, GrpcQdrant], native: bool) -> None:
    port, service = grpc_server
    options = {"prefer_grpc": True, "grpc_port": port, "timeout": 5}
    store = ClientStore.connect("http://127.0.0.1:1", "docs", options, {"shard_number": 3}, retry=QUICK, parallel=1)

    async def do(flow: Any) -> Any:
        return await arun(flow) if native else await asyncio.to_thread(run, flow)

    await do(store.create(LAYOUTS["two stages"], {"format": 1, "nested": {"a": [1, None, 2.5]}}))
    created = service.sent[0]
    coarse = created.vectors_config.params_map.map["coarse"]
    assert created.shard_number == 3
    assert coarse.datatype == messages.Datatype.Turbo4
    assert coarse.memory == messages.Memory.Cold
    assert coarse.quantization_config.turboquant.memory == messages.Memory.Pinned
    assert created.metadata["octant"].struct_value.fields["format"].integer_value == 1

    await do(store.upsert(points(2), batch_size=2))
    assert len(service.sent) == 3  # the first attempt found the server restarting
    assert [point.id.num for point in service.sent[2].points] == [0, 1]

    query = VectorQuery(np.ones(4, np.float32), "coarse", 1)
    ((hit,),) = await do(store.query([query]))
    assert (hit.id, hit.score) == (7, 0.25)
    assert list(service.sent[-1].query.nearest.dense.data) == [1, 1, 1, 1]
    ((hit,), *_) = await do(store.query([query, query]))
    assert (hit.id, hit.score) == (3, 0.5)
    await do(store.close())


def test_two_clients_one_store(server: FakeQdrant) -> None:
    client = QdrantClient(server.url, check_compatibility=False)
    aclient = AsyncQdrantClient(server.url, check_compatibility=False)
    store = ClientStore(client, aclient, "docs")

    async def ask() -> bool:
        try:
            return await arun(store.exists())
        finally:
            await aclient.close()

    assert run(store.exists()) is asyncio.run(ask()) is False
    client.close()
