"""What a compression asks of a server: in which order, and what becomes of a refusal."""

from __future__ import annotations

import numpy as np
import pytest

import octant
from fake_server import FakeQdrant, Fault, serving
from octant import Collection
from octant.errors import CollectionExistsError, StoreError, UnfinishedError, UnsupportedError

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
ORDER = {"into": "small", "represent": "turbo8", "client_options": {"timeout": 5}}


@pytest.fixture
def server():
    with serving() as fake:
        fake.collections["docs"] = {
            "vectors": {"size": 4, "distance": "Dot"},
            "sparse_vectors": {"s": {"modifier": "idf"}},
            "metadata": {"owner": "somebody"},
        }
        fake.points["docs"] = {
            row: {
                "id": row,
                "vector": {"": X[row].tolist(), "s": {"indices": [row % 3], "values": [1.0]}},
                "payload": {"n": row},
            }
            for row in range(len(X))
        }
        yield fake


def compress(server, **order):
    return octant.compress("docs", location=server.url, **{**ORDER, **order})


def position(server, method, ending):
    return next(
        place
        for place, request in enumerate(server.requests)
        if request.method == method and request.path.endswith(ending)
    )


def test_the_alias_is_switched_after_everything_and_in_one_request(server):
    server.aliases["live"] = "docs"
    report = compress(server, alias="live")
    assert report.switched == ("the alias 'live' now stands for 'small' instead of 'docs'",)
    assert server.aliases == {"live": "small"}
    (switch,) = server.seen("POST", "/collections/aliases")
    assert len(switch.body["actions"]) == 2
    last_write = max(place for place, request in enumerate(server.requests) if request.writes_points)
    ends = "small/points/scroll"
    last_read = max(place for place, request in enumerate(server.requests) if request.path.endswith(ends))
    assert last_write < last_read < position(server, "POST", "/collections/aliases")
    assert server.collections["small"]["metadata"]["owner"] == "somebody"
    assert server.collections["small"]["sparse_vectors"]["s"]["modifier"] == "idf"
    assert {row: point["payload"] for row, point in server.points["small"].items()} == {
        row: {"n": row} for row in range(len(X))
    }
    assert "docs" in server.collections
    assert not server.seen("DELETE")


async def test_the_awaited_twin_asks_the_same(server):
    report = await octant.acompress("docs", location=server.url, alias="live", **ORDER)
    assert server.aliases == {"live": "small"}
    assert report.copied == len(X)


def test_a_source_that_is_opened_through_its_alias_is_deleted_by_its_own_name(server):
    server.aliases["live"] = "docs"
    report = octant.compress("live", location=server.url, alias="live", delete_source=True, **ORDER)
    assert set(server.collections) == {"small"}
    assert server.aliases == {"live": "small"}
    assert report.source == "docs"


def test_a_server_that_fails_half_way_leaves_what_the_same_command_completes(server):
    failing = [True]

    def trouble(request):
        last = request.writes_points and request.path.endswith("small/points") and failing[0]
        return Fault(400, "disk full") if last else None

    server.trouble = trouble
    with pytest.raises(StoreError, match="disk full"):
        compress(server, alias="live")
    failing[0] = False
    assert server.aliases == {}
    with pytest.raises(UnfinishedError, match="next: copy"):
        Collection.open("small", location=server.url)
    assert compress(server, alias="live").resumed
    assert server.aliases == {"live": "small"}


def test_killed_between_the_collection_and_its_journal_it_is_taken_up(server):
    def trouble(request):
        is_journal = request.method == "PATCH" and "octant/state/compress" in str(request.body)
        return Fault(400, "killed") if is_journal else None

    server.trouble = trouble
    with pytest.raises(StoreError, match="killed"):
        compress(server)
    assert "small" in server.collections
    server.trouble = lambda request: None
    assert compress(server).copied == len(X)


def test_in_place_adds_vectors_and_writes_nothing_else(server):
    report = octant.compress("docs", location=server.url, in_place=True, represent="turbo8")
    assert report.represent == {"octant": "turbo8"}
    assert not [request for request in server.requests if request.writes_points and request.method == "PUT"]
    assert all("octant" in point["vector"] for point in server.points["docs"].values())
    metadata = server.collections["docs"]["metadata"]
    assert metadata["owner"] == "somebody"
    # What others read under the collection's plain name is untouched, and named in the manifest.
    assert [value["source"] for value in metadata.values() if isinstance(value, dict) and "represent" in value] == [""]


def test_a_server_too_old_for_in_place_is_refused_before_anything_is_written(server):
    server.version = "1.17.0"
    with pytest.raises(UnsupportedError, match=r"1\.18"):
        octant.compress("docs", location=server.url, in_place=True, represent="scalar")
    assert not server.seen("PUT")
    assert not server.seen("PATCH")


def test_strict_mode_is_quoted_with_what_to_change(server):
    words = "Forbidden: Unindexed scans are disabled in strict mode"
    server.trouble = lambda request: Fault(403, words) if request.path.endswith("scroll") else None
    with pytest.raises(StoreError, match="strict mode"):
        compress(server)
    assert "small" not in server.collections


def test_the_target_of_a_server_may_not_be_there(server):
    server.collections["small"] = {"vectors": {"size": 4, "distance": "Dot"}}
    server.points["small"] = {1: {"id": 1, "vector": {"": [1.0] * 4}, "payload": {}}}
    with pytest.raises(CollectionExistsError, match="no compression of 'docs' began it"):
        compress(server)
    assert len(server.points["small"]) == 1


def test_from_a_server_into_a_directory(server, tmp_path):
    report = compress(server, to=tmp_path)
    assert (report.source_engine, report.target_engine) == ("server", "edge")
    with Collection.open("small", location=tmp_path) as made:
        assert made.count() == len(X)
        assert made.search(X[3], k=1)[0].payload == {"n": 3}


def test_from_a_directory_to_a_server(tmp_path):
    with Collection.create("docs", location=tmp_path, represent="float32", dimension=4) as source:
        source.add(vectors=X, ids=[f"d{row}" for row in range(len(X))])
    with serving() as fake:
        report = octant.compress(
            "docs", location=tmp_path, into="small", to=fake.url, represent="turbo8", to_client_options={"timeout": 5}
        )
        assert (report.target_engine, len(fake.points["small"])) == ("server", len(X))
        assert isinstance(fake, FakeQdrant)
