"""An Edge collection that is opened only to be read: the same bytes, nothing loaded, nothing touched."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from octant import Collection, HnswSettings
from octant.errors import StoreError
from octant.flow import run
from octant.layout import PointBatch, Stages, lay_out
from octant.records import Distance, StorageNeeds
from octant.store import pages
from octant.store.edge import EdgeStore


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def held_in_memory(tmp_path: Path) -> Path:
    """A collection whose vectors are loaded when it is opened, with a graph, a second segment and a deleted point."""
    rng = np.random.default_rng(0)
    settings = HnswSettings(m=4, ef_construct=8, full_scan_threshold=10)
    with Collection.create("docs", location=tmp_path, represent="float32", dimension=1024, hnsw=settings) as made:
        made.add([f"text {row}" for row in range(3000)], vectors=rng.normal(size=(3000, 1024)), ids=range(3000))
        made.optimize()
        made.add(["late"], vectors=rng.normal(size=(1, 1024)), ids=[5000], optimize=False)
        made.delete([7])
    return tmp_path


def test_what_is_opened_to_be_read_reads_the_same_and_is_not_touched(held_in_memory: Path) -> None:
    shard = held_in_memory / "docs" / "shard"
    before = files_of(shard)
    assert any(b"InRamMmap" in data for data in before.values()), "the graph's segment must be held in memory"
    plain, viewed = EdgeStore(held_in_memory, "docs"), EdgeStore(held_in_memory, "docs")
    schema = run(plain.open())
    expected, _ = run(plain.read(limit=4000))
    run(plain.close())
    before = files_of(shard)
    assert run(viewed.open_to_read()) == schema
    segments = [path.read_text() for path in (held_in_memory / "docs" / "view").rglob("segment.json")]
    assert segments
    assert not any("InRam" in text or '"cached"' in text for text in segments)
    found, _ = run(viewed.read(limit=4000))
    assert [point.id for point in found] == [point.id for point in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.payload == other.payload
        assert np.array_equal(one.vectors[""], other.vectors[""])
    run(viewed.let_go())
    run(viewed.close())
    assert not (held_in_memory / "docs" / "view").exists()
    assert files_of(shard) == before, "reading through a view must not touch the shard"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
@pytest.mark.parametrize("count", [2000, 5000])
def test_a_sample_does_not_keep_what_it_was_drawn_from_in_memory(held_in_memory: Path, count: int) -> None:
    store = EdgeStore(held_in_memory, "docs")
    run(store.open_to_read())
    assert len(run(store.sample(count, vectors=[""], with_payload=False))) == min(count, 3000)
    resident = pages.mapped(held_in_memory)
    assert resident is not None
    assert sum(resident.values()) < 3000 * 1024 * 4 // 8, "of 12 MB of vectors next to nothing may stay"
    run(store.close())


def test_what_is_opened_to_be_read_refuses_to_be_written(held_in_memory: Path) -> None:
    store = EdgeStore(held_in_memory, "docs")
    run(store.open_to_read())
    late = PointBatch([9000], {"": np.ones((1, 1024), np.float32)}, [{}])
    for write in (store.delete([1]), store.optimize(), store.upsert(late, batch_size=1)):
        with pytest.raises(StoreError, match="'docs' was opened to be read: open it again to write"):
            run(write)
    run(store.close())


def test_a_view_that_a_kill_left_behind_is_swept(held_in_memory: Path) -> None:
    left = held_in_memory / "docs" / "view" / "segments"
    left.mkdir(parents=True)
    (left / "half").write_text("made")
    with Collection.open("docs", location=held_in_memory) as docs:
        assert docs.count() == 3000
    assert not (held_in_memory / "docs" / "view").exists()


def test_a_collection_with_a_log_is_opened_as_it_is(tmp_path: Path) -> None:
    """Its log may hold points that no segment has yet."""
    store = EdgeStore(tmp_path, "docs", wal=True)
    layout = lay_out(Stages.of(StorageNeeds(4, Distance.COSINE), None, ""))
    run(store.create(layout, {"vector_name": ""}))
    run(store.close())
    again = EdgeStore(tmp_path, "docs")
    run(again.open_to_read())
    assert not (tmp_path / "docs" / "view").exists()
    run(again.close())


def test_without_hard_links_a_collection_is_opened_as_it_is(
    held_in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = EdgeStore(held_in_memory, "docs")
    run(store.open_to_read())
    assert not (held_in_memory / "docs" / "view").exists()
    assert len(run(store.read(limit=10))[0]) == 10
    run(store.close())
