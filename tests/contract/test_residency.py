"""What is really in memory: page by page, on this machine, after the page cache was emptied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octant import Collection, HnswSettings, MemoryPlacement, Residency
from octant.store import pages

N, DIM = 1200, 128
X = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
GRAPH = HnswSettings(m=16, ef_construct=32, full_scan_threshold=1, indexing_threshold=1)

needs_mincore = pytest.mark.skipif(pages.reason_unknown() is not None, reason=str(pages.reason_unknown()))
needs_eviction = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this platform cannot empty a page cache")


def write(root: Path, represent: str, placement: MemoryPlacement, *, optimize: bool = True) -> None:
    payloads = [{"text": "x" * 100}] * N
    with Collection.create("c", location=root, represent=represent, placement=placement, hnsw=GRAPH) as collection:
        collection.add(vectors=X, ids=range(N), payloads=payloads, optimize=optimize)


def reopened(root: Path) -> tuple[dict[str, Any], Residency, Collection]:
    for path in (root / "c" / "shard").rglob("*"):
        if path.is_file():
            _evict(path)
    collection = Collection.open("c", location=root)
    held = collection.residency()
    return {part.name: part for part in held.components}, held, collection


def _evict(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _evicts(folder: Path) -> bool:
    probe = folder / "probe"
    probe.write_bytes(b"x" * 2**20)
    _evict(probe)
    return pages.cached(probe) == 0


@needs_mincore
def test_pages_are_counted_file_by_file(tmp_path: Path) -> None:
    path, empty = tmp_path / "f", tmp_path / "empty"
    path.write_bytes(b"x" * 100_000)
    empty.touch()
    assert path.read_bytes()
    assert pages.cached(path) == -(-100_000 // 4096) * 4096
    assert pages.cached(empty) == 0
    with pytest.raises(OSError, match="nothing"):
        pages.cached(tmp_path / "nothing")


@needs_mincore
@needs_eviction
@pytest.mark.parametrize(
    ("placement", "warm"),
    [
        (MemoryPlacement("cold", "cold"), set()),
        (MemoryPlacement("cached", "cold"), {"graph"}),
        (MemoryPlacement("cold", "cached"), {"searched codes"}),
        (MemoryPlacement("cold", "cold", originals="cached"), {"originals"}),
        (MemoryPlacement("cold", "cold", payload="cached"), {"payload"}),
        (MemoryPlacement("pinned", "pinned"), set()),  # in the heap: their files need not be in the page cache
    ],
    ids=lambda value: "-".join(map(str, vars(value).values())) if isinstance(value, MemoryPlacement) else "",
)
def test_an_opened_collection_holds_what_was_asked_for(
    tmp_path: Path, placement: MemoryPlacement, warm: set[str]
) -> None:
    if not _evicts(tmp_path):
        pytest.skip("the file system of the temporary folder does not let go of pages")
    write(tmp_path, "turbo8|turbo(1)", placement)
    parts, held, collection = reopened(tmp_path)
    footprint = {part.name: part for part in collection.footprint().components}
    collection.close()
    assert held.source == "pages"
    assert held.process_bytes is None or held.process_bytes > 10**6
    for name in ("graph", "searched codes", "originals", "payload"):
        part = parts[name]
        # A file that is not read ahead has a page or two in memory: its header was read.
        assert (part.cached_bytes > part.disk_bytes // 2) == (name in warm), (name, part)
        assert part.disk_bytes == footprint[name].bytes
        assert part.placement == footprint[name].placement


@needs_mincore
@needs_eviction
def test_empty_space_of_cached_parts_is_reported(tmp_path: Path) -> None:
    if not _evicts(tmp_path):
        pytest.skip("the file system of the temporary folder does not let go of pages")
    write(tmp_path, "turbo8", MemoryPlacement(payload="cached"), optimize=False)
    parts, _, collection = reopened(tmp_path)
    footprint = collection.footprint()
    collection.close()
    for part in footprint.components:
        if part.name in ("payload", "searched codes"):
            there = parts[part.name].cached_bytes
            assert there == pytest.approx(part.bytes + part.reserved, rel=0.05), part
    # It is no data: neither RAM nor disk a vector counts it.
    assert footprint.reserved_bytes > 32 * 2**20
    assert footprint.ram_bytes < footprint.disk_bytes < 4 * 2**20


def test_a_platform_that_does_not_tell_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "turbo8", MemoryPlacement(), optimize=False)
    monkeypatch.setattr(pages, "_mincore", lambda: None)
    monkeypatch.setattr(pages, "_SMAPS", tmp_path / "nothing")
    monkeypatch.setattr(pages, "_STATUS", tmp_path / "nothing")
    with Collection.open("c", location=tmp_path) as collection:
        held = collection.residency()
    assert held.source == "none"
    assert all(part.cached_bytes is None and part.mapped_bytes is None for part in held.components)
    assert sum(part.disk_bytes for part in held.components) > N * DIM
    assert "has no mincore" in held.unknown[0]
    assert "what this process has touched of a file cannot be told" in held.unknown[1]
    with pytest.raises(OSError, match="has no mincore"):
        pages.cached(tmp_path / "c" / "octant.json")


async def test_a_draft_holds_nothing() -> None:
    async with await Collection.acreate("c") as collection:
        assert (await collection.aresidency()).source == "none"
        assert (await collection.aschema()).vectors == ()
