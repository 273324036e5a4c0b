"""Other names of collections: switched in one step, followed on opening, gone with what they stood for."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from fake_server import FakeQdrant, Fault, serving
from octant import Collection
from octant.errors import (
    ArtifactError,
    CollectionExistsError,
    CollectionNotFoundError,
    LocalModeWarning,
    LockedError,
    UnsupportedError,
)
from octant.flow import run
from octant.layout import PointBatch, Stages, lay_out
from octant.records import Distance, StorageNeeds
from octant.store.base import Store
from octant.store.client import ClientStore
from octant.store.client_connection import RetrySettings
from octant.store.edge import EdgeStore

LAYOUT = lay_out(Stages.of(StorageNeeds(2, Distance.DOT), None))


@pytest.fixture(params=["edge", "local", "server"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    opened: list[Store] = []

    def keep(store: Store) -> Store:
        opened.append(store)
        return store

    if request.param == "edge":
        yield lambda name: keep(EdgeStore(tmp_path, name))
    elif request.param == "local":
        client = QdrantClient(":memory:")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LocalModeWarning)
            yield lambda name: keep(ClientStore(client, None, name))
    else:
        with serving() as fake:
            yield lambda name: keep(ClientStore.connect(fake.url, name, {"timeout": 5}))
            for store in opened:
                run(store.close())
            opened.clear()
    for store in opened:
        run(store.close())


def make(at: Any, name: str, count: int) -> None:
    store = at(name)
    run(store.create(LAYOUT, {"format": 1, "is": name}))
    run(store.upsert(PointBatch(range(count), {"": np.ones((count, 2), np.float32)}, [{}] * count), batch_size=99))
    run(store.close())


def test_an_alias_is_followed_and_switched(at: Any) -> None:
    make(at, "one", 1)
    make(at, "two", 2)
    run(at("one").switch_alias("current", "one"))
    assert run(at("current").aliases()) == {"current": "one"}
    store = at("current")
    assert run(store.exists())
    assert run(store.open()).manifests[""]["is"] == "one"
    assert store.collection == "one"
    run(store.switch_alias("current", "two"))
    run(store.write_state("k", 1))
    assert (run(store.count()), store.collection) == (1, "one")  # what is open stays open
    run(store.close())
    run(store.open())
    assert (run(store.count()), store.collection, run(store.read_state("k"))) == (2, "two", None)
    run(store.close())
    run(store.switch_alias("current", None))
    run(store.switch_alias("never", None))
    assert not run(at("current").exists())
    assert run(at("one").aliases()) == {}


def test_an_alias_needs_a_collection_behind_it_and_a_free_name(at: Any) -> None:
    make(at, "one", 1)
    make(at, "two", 2)
    with pytest.raises(
        CollectionNotFoundError, match=r"no collection 'three' .*: an alias stands for one that is there"
    ):
        run(at("one").switch_alias("current", "three"))
    with pytest.raises(CollectionExistsError, match="'two' is itself a collection"):
        run(at("one").switch_alias("two", "one"))
    run(at("one").switch_alias("current", "one"))
    with pytest.raises(CollectionNotFoundError, match="no collection 'current'"):
        run(at("one").switch_alias("again", "current"))
    with pytest.raises(CollectionExistsError, match="already a collection 'current'"):
        run(at("current").create(LAYOUT, {}))


def test_dropping_by_an_alias_drops_what_it_stands_for(at: Any) -> None:
    make(at, "one", 1)
    make(at, "two", 2)
    run(at("one").switch_alias("current", "one"))
    run(at("current").drop())
    assert run(at("two").aliases()) == {}
    assert not run(at("one").exists())
    assert run(at("two").exists())
    make(at, "current", 3)  # the name is free again
    store = at("current")
    run(store.open())
    assert run(store.count()) == 3
    run(store.close())


def test_dropping_what_is_open_spares_what_its_alias_stands_for_by_now(at: Any) -> None:
    make(at, "one", 1)
    make(at, "two", 2)
    run(at("one").switch_alias("current", "one"))
    store = at("current")
    run(store.open())
    run(store.switch_alias("current", "two"))
    run(store.drop())
    assert not run(at("one").exists())
    assert run(at("two").exists())
    assert run(at("two").aliases()) == {"current": "two"}


# -- Edge: the old name serves the new collection ------------------------------------------------


def test_a_collection_is_set_aside_for_an_alias_of_its_name(tmp_path: Path) -> None:
    def at(name: str) -> Store:
        return EdgeStore(tmp_path, name)

    make(at, "docs", 1)
    make(at, "docs.small", 2)
    held = at("docs")
    run(held.open())
    with pytest.raises(LockedError, match="open elsewhere"):
        run(at("x").switch_alias("docs", "docs.small", set_aside="docs.before"))
    assert run(at("docs").aliases()) == {}
    run(held.close())
    with pytest.raises(CollectionExistsError, match=r"'docs\.small' is taken"):
        run(at("x").switch_alias("docs", "docs.small", set_aside="docs.small"))
    run(at("x").switch_alias("docs", "docs.small", set_aside="docs.before"))
    for name, count in (("docs", 2), ("docs.small", 2), ("docs.before", 1)):
        store = at(name)
        run(store.open())
        assert run(store.count()) == count, name
        run(store.close())


def test_killed_between_the_alias_and_the_renaming_the_name_serves_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(name: str) -> Store:
        return EdgeStore(tmp_path, name)

    make(at, "docs", 1)
    make(at, "small", 2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(at("x").switch_alias("docs", "small", set_aside="before"))
    store = at("docs")
    run(store.open())
    assert run(store.count()) == 2
    run(store.close())
    run(at("x").switch_alias("docs", "small", set_aside="before"))
    assert run(at("before").exists())
    assert run(at("docs").aliases()) == {"docs": "small"}


def _killed(self: Path, target: Path) -> Path:
    raise KeyboardInterrupt


def test_an_alias_of_nothing_says_nothing(tmp_path: Path) -> None:
    (tmp_path / ".aliases.json").write_text(json.dumps({"current": "gone"}))
    store = EdgeStore(tmp_path, "current")
    assert not run(store.exists())
    assert run(store.aliases()) == {}
    run(store.create(LAYOUT, {}))
    run(store.close())
    (tmp_path / ".aliases.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"\.aliases\.json should hold .*restore the file, or delete it"):
        run(store.open())


def test_changes_of_several_processes_do_not_get_lost(tmp_path: Path) -> None:
    def at(name: str) -> Store:
        return EdgeStore(tmp_path, name)

    make(at, "one", 1)
    workers = [subprocess.Popen([sys.executable, "-c", _SWITCH, str(tmp_path), str(worker)]) for worker in range(3)]
    assert [worker.wait(timeout=250) for worker in workers] == [0, 0, 0]
    assert set(run(at("one").aliases())) == {f"{worker}-{row}" for worker in range(3) for row in range(5)}


_SWITCH = """
import sys
from octant.flow import run
from octant.store.edge import EdgeStore
for row in range(5):
    run(EdgeStore(sys.argv[1], "x").switch_alias(f"{sys.argv[2]}-{row}", "one"))
"""


# -- servers -------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as fake:
        yield fake


def test_a_switch_is_one_request(server: FakeQdrant) -> None:
    store = ClientStore.connect(server.url, "one")
    for name in ("one", "two"):
        make(lambda name: ClientStore.connect(server.url, name), name, 1)
    run(store.switch_alias("current", "one"))
    run(store.switch_alias("current", "two"))
    first, second = (request.body["actions"] for request in server.seen("POST", "/collections/aliases"))
    assert first == [{"create_alias": {"collection_name": "one", "alias_name": "current"}}]
    assert second == [
        {"delete_alias": {"alias_name": "current"}},
        {"create_alias": {"collection_name": "two", "alias_name": "current"}},
    ]
    with pytest.raises(UnsupportedError, match="a server cannot rename a collection"):
        run(store.switch_alias("current", "one", set_aside="before"))
    run(store.close())


def test_credentials_that_may_not_see_aliases_open_by_name(server: FakeQdrant) -> None:
    make(lambda name: ClientStore.connect(server.url, name), "one", 1)
    server.trouble = lambda request: Fault(403, "Forbidden") if request.path == "/aliases" else None
    store = ClientStore.connect(server.url, "one", retry=RetrySettings(attempts=1))
    assert run(store.open()).manifests[""]["is"] == "one"
    run(store.close())


def test_a_collection_says_what_its_alias_stands_for(tmp_path: Path) -> None:
    with Collection.create("docs.v1", location=tmp_path, dimension=3, represent="float32") as made:
        made.add(vectors=np.eye(3), ids=[0, 1, 2])
    run(EdgeStore(tmp_path, "x").switch_alias("docs", "docs.v1"))
    with Collection.open("docs", location=tmp_path) as opened:
        assert opened.info().collection == "docs.v1"
        assert opened.search([1, 0, 0], k=1)[0].id == 0
    with Collection.open("docs.v1", location=tmp_path) as opened:
        assert opened.info().collection == "docs.v1"
