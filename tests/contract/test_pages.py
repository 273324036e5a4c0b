"""Mapped files leave the resident set when they are let go, with nothing lost."""

from __future__ import annotations

import mmap
import sys

import pytest

from octant.store import pages


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_pages_are_let_go_and_come_back_as_they_were_written(tmp_path):
    inside, outside = tmp_path / "shard" / "a file", tmp_path / "other"
    inside.parent.mkdir()
    size = 1 << 22
    maps = []
    for path in (inside, outside):
        path.write_bytes(bytes(size))
        with path.open("r+b") as handle:
            maps.append(mmap.mmap(handle.fileno(), size))
        maps[-1][:] = b"x" * size  # written, not flushed
    assert pages.mapped(tmp_path) == {inside: size, outside: size}
    pages.let_go(tmp_path / "shard")
    found = pages.mapped(tmp_path)
    assert found.get(inside, 0) < size // 8
    assert found[outside] == size
    assert maps[0][:] == b"x" * size
    maps[0][5] = 65
    pages.let_go(tmp_path / "shard")
    maps[0].flush()
    assert inside.read_bytes() == b"xxxxxA" + b"x" * (size - 6)
    for mapped in maps:
        mapped.close()


def test_where_nothing_is_told_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_MAPS", tmp_path / "not there")
    pages.let_go(tmp_path)
    assert list(tmp_path.iterdir()) == []
