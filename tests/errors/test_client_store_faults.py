"""A server that fails: what is tried again, what is said, what was stored, how to go on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from fake_server import FakeQdrant, Fault, Request, serving
from octant.errors import (
    AccessDeniedError,
    ArtifactError,
    CollectionExistsError,
    CollectionNotFoundError,
    InputError,
    PartialUploadError,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from octant.flow import Flow, arun, run
from octant.layout import PointBatch, Stages, VectorQuery, lay_out
from octant.records import Datatype, Distance, NativeQuantization, StorageNeeds
from octant.store.client import ClientStore
from octant.store.client_connection import RetrySettings

NEVER = 600.0
"""Seconds that no test lives to see; the server hangs up when the test ends."""
QUICK = RetrySettings(attempts=3, first_wait_s=0.01, longest_wait_s=0.05)
LAYOUT = lay_out(Stages.of(StorageNeeds(2, Distance.COSINE, "turbo8"), None))

Drive = Callable[[Flow[Any]], Any]


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as fake:
        fake.collections["docs"] = {"vectors": {"size": 2, "distance": "Cosine"}}
        fake.points["docs"] = {}
        yield fake


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    return run if request.param == "sync" else lambda flow: asyncio.run(arun(flow))


def connect(server: FakeQdrant, timeout: int = 60, **options: Any) -> ClientStore:
    return ClientStore.connect(server.url, "docs", {"timeout": timeout, "verify": False}, retry=QUICK, **options)


def points(ids: list[int]) -> PointBatch:
    return PointBatch(ids, {"": np.ones((len(ids), 2), np.float32)}, [{"n": i} for i in ids])


def failing(times: float, fault: Fault, *, after: int = 0, on: str = "/points") -> Callable[[Request], Fault | None]:
    """Fails ``times`` requests to a path, once ``after`` of them have gone well."""
    counted = itertools.count()
    return lambda request: fault if request.path.endswith(on) and after <= next(counted) < after + times else None


# -- what passes by itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Fault(503), Fault(500), Fault(429), Fault(429, headers={"Retry-After": "1"}), Fault(0), Fault(0, seconds=NEVER)],
    ids=["503", "500", "429", "429 with Retry-After", "connection dropped", "timeout"],
)
def test_a_passing_fault_is_waited_out(server: FakeQdrant, drive: Drive, fault: Fault) -> None:
    server.trouble = failing(1, fault)
    drive(connect(server, timeout=2 if fault.seconds else 60).upsert(points([1, 2]), batch_size=2))
    assert sorted(server.points["docs"]) == [1, 2]
    sent = len(server.seen("PUT", "/points"))
    assert sent >= 2 if fault.seconds else sent == 2  # where a slow machine lets another one time out too


def test_a_server_that_asks_for_patience_gets_it(server: FakeQdrant) -> None:
    server.trouble = failing(1, Fault(429, headers={"Retry-After": "1"}), on="/count")
    store = ClientStore.connect(server.url, "docs", retry=RetrySettings(2, first_wait_s=0.01, longest_wait_s=5))
    started = time.monotonic()
    assert run(store.count()) == 0
    assert time.monotonic() - started >= 1


def test_reads_are_tried_again_too(server: FakeQdrant, drive: Drive) -> None:
    server.trouble = failing(2, Fault(502), on="/query")
    assert drive(connect(server).query([VectorQuery(np.ones(2, np.float32), "", 3)])) == [[]]


async def test_waiting_between_attempts_leaves_the_loop_free(server: FakeQdrant) -> None:
    server.trouble = failing(2, Fault(503), on="/count")
    patient = RetrySettings(3, first_wait_s=1.0, longest_wait_s=2.0)
    store = ClientStore.connect(server.url, "docs", retry=patient)
    gaps = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    ticking = asyncio.create_task(tick())
    await arun(store.count())
    ticking.cancel()
    await arun(store.close())
    assert len(gaps) > 10  # it ticked on while the store waited 2 s and more


@pytest.mark.parametrize(("status", "attempts"), [(503, 3), (429, 3), (400, 1), (403, 1), (404, 1), (413, 1), (422, 1)])
def test_only_what_may_pass_is_tried_again(server: FakeQdrant, drive: Drive, status: int, attempts: int) -> None:
    server.trouble = failing(99, Fault(status), on="/count")
    with pytest.raises(StoreError, match="made to fail"):
        drive(connect(server).count())
    assert len(server.seen("POST", "/count")) == attempts


def test_a_creation_is_not_repeated(server: FakeQdrant) -> None:
    # One that timed out may have been carried out; repeating it would report a collection in the way.
    server.trouble = failing(99, Fault(504), on="/new")
    store = ClientStore.connect(server.url, "new", retry=QUICK)
    with pytest.raises(UnavailableError, match="HTTP 504"):
        run(store.create(LAYOUT, {}))
    assert len(server.seen("PUT", "/new")) == 1


# -- half-way ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(503), Fault(0), Fault(507)], ids=["503", "dropped", "507"])
def test_an_upload_that_stops_half_way_says_how_to_resume(server: FakeQdrant, drive: Drive, fault: Fault) -> None:
    ids = list(range(100, 110))
    server.trouble = failing(99, fault, after=2)
    store = connect(server, parallel=1)
    acknowledged: list[int] = []
    with pytest.raises(PartialUploadError, match=r"6 of 10 points were stored, then: .*missing_ids") as caught:
        drive(store.upsert(points(ids), batch_size=3, progress=acknowledged.append))
    assert (caught.value.stored, caught.value.total) == (6, 10)
    assert caught.value.missing_ids == (106, 107, 108, 109)
    assert sorted(server.points["docs"]) == ids[:6]
    assert acknowledged == [3, 3]
    assert isinstance(caught.value.__cause__, UnavailableError)
    # Nothing is sent after a request has failed for good: two went well, the third was tried three times.
    assert len(server.seen("PUT", "/points")) == 5

    server.trouble = lambda request: None
    drive(store.upsert(points(list(caught.value.missing_ids)), batch_size=3))
    assert sorted(server.points["docs"]) == ids


def test_acknowledged_requests_count_wherever_they_stand(server: FakeQdrant, drive: Drive) -> None:
    def second(request: Request) -> Fault | None:
        wanted = request.writes_points and 2 in request.body["batch"]["ids"]
        return Fault(503) if wanted else None

    server.trouble = second
    with pytest.raises(PartialUploadError, match="were stored, then") as caught:
        drive(connect(server, parallel=4).upsert(points(list(range(8))), batch_size=2))
    missing = set(caught.value.missing_ids)
    assert {2, 3} <= missing
    assert sorted(server.points["docs"]) == sorted(set(range(8)) - missing)
    assert caught.value.stored == 8 - len(missing)


def test_a_refused_batch_stops_the_upload_at_once(server: FakeQdrant) -> None:
    server.trouble = failing(99, Fault(400, "Wrong input: Vector dimension error"), after=1)
    with pytest.raises(PartialUploadError, match=r"2 of 6 points .*Vector dimension error"):
        run(connect(server, parallel=1).upsert(points(list(range(6))), batch_size=2))
    assert len(server.seen("PUT", "/points")) == 2


def test_a_payload_too_large_hints_at_the_batch_size(server: FakeQdrant) -> None:
    server.trouble = failing(99, Fault(413, "Payload reached size limit"))
    with pytest.raises(StoreError, match=r"Payload reached size limit \(lower batch_size\)"):
        run(connect(server).upsert(points([1]), batch_size=2))


def test_an_upload_of_which_nothing_arrived_raises_its_cause(server: FakeQdrant, drive: Drive) -> None:
    server.trouble = failing(99, Fault(503))
    with pytest.raises(UnavailableError, match="HTTP 503"):
        drive(connect(server).upsert(points([1, 2, 3]), batch_size=1))


def test_an_error_of_the_callers_own_is_not_dressed_up(server: FakeQdrant, drive: Drive) -> None:
    def progress(count: int) -> None:
        raise KeyError("the caller's bug")

    with pytest.raises(KeyError, match="the caller's bug"):
        drive(connect(server).upsert(points([1]), batch_size=1, progress=progress))


# -- nobody there --------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("grpc", [False, True], ids=["REST", "gRPC"])
def test_a_server_that_is_down(closed_port: int, drive: Drive, grpc: bool) -> None:
    options = {"prefer_grpc": grpc, "grpc_port": closed_port, "timeout": 1}
    store = ClientStore.connect(f"http://127.0.0.1:{closed_port}", "docs", options, retry=QUICK)
    expected = rf"http://127.0.0.1:{closed_port} is unavailable: .*Check that Qdrant runs there"
    with pytest.raises(UnavailableError, match=expected):
        drive(store.open())


def test_a_server_that_never_answers(server: FakeQdrant) -> None:
    server.trouble = lambda request: Fault(0, seconds=NEVER)
    store = ClientStore.connect(server.url, "docs", {"timeout": 1}, retry=RetrySettings(1))
    with pytest.raises(UnavailableError, match=r"ReadTimeout"):
        run(store.count())


def test_something_else_that_listens_there(server: FakeQdrant) -> None:
    server.trouble = lambda request: Fault(200, "hello")
    with pytest.raises(StoreError, match=r"does not answer as Qdrant does: .*Check URL and port"):
        run(connect(server).count())


# -- what the server says ------------------------------------------------------------------------


def test_no_such_collection(server: FakeQdrant, drive: Drive) -> None:
    store = ClientStore.connect(server.url, "nothing", retry=QUICK)
    expected = rf"no collection 'nothing' at {server.url}: check name .*Collection `nothing` doesn't exist"
    with pytest.raises(CollectionNotFoundError, match=expected):
        drive(store.open())


def test_already_there(server: FakeQdrant, drive: Drive) -> None:
    with pytest.raises(CollectionExistsError, match=r"already a collection 'docs' at http.*overwrite=True"):
        drive(connect(server).create(LAYOUT, {}))
    assert server.seen("PUT") == []


def test_already_there_since_a_moment(server: FakeQdrant) -> None:
    server.trouble = failing(1, Fault(409, "Wrong input: Collection `new` already exists!"), on="/new")
    with pytest.raises(CollectionExistsError, match=r"already a collection 'new'"):
        run(ClientStore.connect(server.url, "new", retry=QUICK).create(LAYOUT, {}))


def test_credentials_refused(server: FakeQdrant) -> None:
    server.trouble = failing(9, Fault(401, "Invalid API key or JWT"), on="/count")
    with pytest.raises(AccessDeniedError, match=r"refused the credentials: HTTP 401: Invalid API key .*Check api_key"):
        run(connect(server).count())


def test_strict_mode_speaks_for_itself(server: FakeQdrant) -> None:
    said = (
        'Bad request: Index required but not found for "city" of one of the following types: [keyword]. '
        "Help: Create an index for this key or use a different filter."
    )
    server.trouble = failing(9, Fault(400, said), on="/count")
    with pytest.raises(UnsupportedError, match=r'strict mode.*Index required but not found for "city".*relax that'):
        run(connect(server).count({"must": [{"key": "city", "match": {"value": "Oslo"}}]}))


def test_a_servers_words_are_quoted_not_interpreted(server: FakeQdrant) -> None:
    said = "{0} {self} %s %(name)s \x1b[31m\nred" + "x" * 10_000
    server.trouble = failing(9, Fault(400, said), on="/count")
    with pytest.raises(StoreError, match=r"\{0\} \{self\} %s %\(name\)s \[31m red") as caught:
        run(connect(server).count())
    assert len(str(caught.value)) < 700
    assert "\x1b" not in str(caught.value)


def test_an_optimizer_that_failed(server: FakeQdrant) -> None:
    server.statuses = ["red"]
    with pytest.raises(StoreError, match=r"the optimizer of collection 'docs' at .* failed: "):
        run(connect(server).optimize())


# -- old servers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "datatype", "copy", "message"),
    [
        ("1.18.4", "turbo4", None, r"needs Qdrant 1.19 or newer, http\S+ runs 1.18"),
        ("1.15.0", "float32", None, r"memory placement needs Qdrant 1.19 or newer, .* runs 1.15"),
        ("1.19.0", "turbo8", None, r"datatype turbo8 needs Qdrant 1.20 or newer, .* runs 1.19"),
        ("1.19.2-dev", "turbo16", None, r"datatype turbo16 needs Qdrant 1.20"),
        ("1.19.0", "turbo4", NativeQuantization("turbo", 8), r"turbo quantization at 8 bits needs Qdrant 1.20"),
        ("v1.9.1", "float32", None, r"needs Qdrant 1.19 or newer, .* runs 1.9"),
    ],
)
def test_a_server_too_old_is_told_before_anything_is_made(
    drive: Drive, version: str, datatype: Datatype, copy: NativeQuantization | None, message: str
) -> None:
    with serving(version=version) as server:
        layout = lay_out(Stages.of(StorageNeeds(2, Distance.DOT, datatype, copy), None))
        with pytest.raises(UnsupportedError, match=message):
            drive(connect(server).create(layout, {}))
        assert server.seen("PUT") == []


@pytest.mark.parametrize("version", ["1.19.0", "1.20.1", "2.0.0", "main"])
def test_a_server_new_enough_or_unknown_is_trusted(version: str) -> None:
    with serving(version=version) as server:
        layout = lay_out(Stages.of(StorageNeeds(2, Distance.DOT, "turbo4"), None))
        run(connect(server).create(layout, {}))
        assert list(server.collections) == ["docs"]


def test_a_client_library_too_old_for_a_datatype(server: FakeQdrant, monkeypatch: pytest.MonkeyPatch) -> None:
    older = Enum("Datatype", {"FLOAT32": "float32", "TURBO4": "turbo4"})
    monkeypatch.setattr(models, "Datatype", older)
    with pytest.raises(UnsupportedError, match=r"turbo8 is unknown to the installed qdrant-client 1\..*pip install"):
        run(ClientStore.connect(server.url, "new", retry=QUICK).create(LAYOUT, {}))
    assert server.requests == []


def test_a_server_without_the_query_api() -> None:
    with serving(version="1.9.7") as server, pytest.raises(UnsupportedError, match=r"the query API needs Qdrant 1.10"):
        run(connect(server).open())


def test_the_version_is_asked_once(server: FakeQdrant) -> None:
    store = connect(server)
    run(store.open())
    run(store.open())
    assert len(server.seen("GET", "/")) == 1


def test_a_proxy_that_hides_the_version_does_not_lock_anybody_out(server: FakeQdrant) -> None:
    server.trouble = lambda request: Fault(403) if request.path == "/" else None
    assert run(connect(server).open()).manifests == {}


# -- artifacts -----------------------------------------------------------------------------------

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_an_artifact_that_nobody_wrote(server: FakeQdrant) -> None:
    with pytest.raises(ArtifactError, match=r"'octant_artifacts' at http\S+: there is no such collection"):
        run(connect(server).read_artifact(DIGEST))
    run(connect(server).write_artifact(DIGEST, DATA))
    with pytest.raises(ArtifactError, match=r"chunk 0 is missing. Restore that collection"):
        run(connect(server).read_artifact("0" * 64))


def test_an_artifact_under_a_wrong_digest_is_not_written(server: FakeQdrant) -> None:
    with pytest.raises(ArtifactError, match=rf"SHA-256 is {DIGEST}, not 000.*: nothing was written"):
        run(connect(server).write_artifact("0" * 64, DATA))
    assert server.requests == []


def chunks(server: FakeQdrant) -> list[dict[str, Any]]:
    stored = server.points["octant_artifacts"].values()
    return [point["payload"] for point in sorted(stored, key=lambda point: point["payload"]["chunk"])]


def flip(server: FakeQdrant) -> None:
    data = bytearray(base64.b64decode(chunks(server)[1]["data"]))
    data[17] ^= 1
    chunks(server)[1]["data"] = base64.b64encode(data).decode()


def lose(server: FakeQdrant) -> None:
    last = [key for key, point in server.points["octant_artifacts"].items() if point["payload"]["chunk"] == 1]
    del server.points["octant_artifacts"][last[0]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, r"its SHA-256 is [0-9a-f]{64}"),
        (lose, r"chunk 1 is missing"),
        (lambda server: chunks(server)[0].update(chunks=1), r"its SHA-256 is"),
        (lambda server: chunks(server)[0].update(chunks=10**9), r"it claims to have 1000000000 chunks"),
        (lambda server: chunks(server)[0].update(chunks="2"), r"it claims to have '2' chunks"),
        (lambda server: chunks(server)[1].update(data="%%%"), r"a chunk holds no base64 data"),
        (lambda server: chunks(server)[1].pop("data"), r"a chunk holds no base64 data"),
    ],
    ids=["bit flipped", "chunk lost", "truncated", "count absurd", "count not a number", "not base64", "no data"],
)
def test_a_damaged_artifact_is_refused(server: FakeQdrant, damage: Callable[[FakeQdrant], None], message: str) -> None:
    store = connect(server)
    run(store.write_artifact(DIGEST, DATA))
    assert len(chunks(server)) == 2
    damage(server)
    with pytest.raises(ArtifactError, match=rf"the fitted state {DIGEST} cannot be read .*{message}"):
        run(store.read_artifact(DIGEST))
    run(store.write_artifact(DIGEST, DATA))  # and writing it again heals it
    assert run(store.read_artifact(DIGEST)) == DATA


# -- the caller's mistakes -----------------------------------------------------------------------


@pytest.mark.parametrize("location", ["localhost:6333", "ftp://host", "http://", "./folder"])
def test_a_location_that_is_no_url(location: str) -> None:
    with pytest.raises(InputError, match=r"is an http\(s\) URL such as http://localhost:6333, got"):
        ClientStore.connect(location, "docs")


def test_a_url_given_twice() -> None:
    with pytest.raises(InputError, match=r"given as the location already; leave host, url out"):
        ClientStore.connect("http://here", "docs", {"host": "there", "url": "http://there"})


def test_an_option_that_no_client_takes() -> None:
    store = ClientStore.connect("http://here", "docs", {"api_kee": "k"})
    with pytest.raises(InputError, match=r"QdrantClient refused the client options: .*api_kee"):
        run(store.count())


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first_wait_s": -1}, {"longest_wait_s": -1}])
def test_retries_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"at least one attempt and waits of 0 s or more"):
        RetrySettings(**settings)


async def test_two_local_modes_are_two_databases() -> None:
    client, aclient = QdrantClient(":memory:"), AsyncQdrantClient(":memory:")
    with pytest.raises(InputError, match=r"two clients in local mode are two separate databases"):
        ClientStore(client, aclient, "docs")
    client.close()
    await aclient.close()
