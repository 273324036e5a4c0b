"""What an Edge shard's files weigh, by component, and what of them is in memory.

The file names are those of qdrant-edge-py 0.9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from octant.layout import stored_as
from octant.records import Component, HeldComponent, Placement, Residency
from octant.schema import CollectionSchema
from octant.store import pages

Key: TypeAlias = tuple[str, "str | None", Placement]
"""Component, named vector, placement."""

_READ_AHEAD = ("page_", "tracker.dat", "chunk_")
"""Files that grow in steps and are read at their full length, empty space included."""
_HEAP = "Edge does not tell which part of this process's own memory is whose: pinned parts are in there"


@dataclass(frozen=True)
class _Size:
    stored: int = 0
    reserved: int = 0

    def __add__(self, other: _Size) -> _Size:
        return _Size(self.stored + other.stored, self.reserved + other.reserved)


def components(shard: Path, schema: CollectionSchema, live_segments: Iterable[str]) -> tuple[Component, ...]:
    """Bytes of every component.

    Parameters
    ----------
    shard : Path
    schema : CollectionSchema
        Tells where each component is held.
    live_segments : iterable of str
        Directories of the segments in use: a replaced one stays on disk for a moment and is not counted.
    """
    sizes: dict[Key, _Size] = defaultdict(_Size)
    for key, path in _files(shard, schema, live_segments):
        sizes[key] += _size(path)
    return tuple(
        Component(name, vector, placement, size.stored, size.reserved)
        for (name, vector, placement), size in sorted(sizes.items(), key=_by_name)
    )


def residency(shard: Path, schema: CollectionSchema, live_segments: Iterable[str]) -> Residency:
    """What of every component is in the page cache, and in this process; parameters as of :func:`components`."""
    reason = pages.reason_unknown()
    mapped = pages.mapped(shard)
    held: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    for key, path in _files(shard, schema, live_segments):
        sums = held[key]
        sums[0] += _size(path).stored
        sums[1] += 0 if reason is not None else pages.cached(path)
        sums[2] += 0 if mapped is None else mapped.get(path.resolve(), 0)
    parts = tuple(
        HeldComponent(
            name, vector, placement, disk, None if reason is not None else cached, None if mapped is None else touched
        )
        for (name, vector, placement), (disk, cached, touched) in sorted(held.items(), key=_by_name)
    )
    own = pages.own_memory()
    unknown = (reason, None if mapped is not None else pages.NO_MAPPINGS, None if own is None else _HEAP)
    return Residency(
        parts, "none" if reason is not None and mapped is None else "pages", own, tuple(filter(None, unknown))
    )


def _by_name(entry: tuple[Key, object]) -> tuple[str, str]:
    return entry[0][0], entry[0][1] or ""


# -- which file is whose -------------------------------------------------------------------------


def _files(shard: Path, schema: CollectionSchema, live_segments: Iterable[str]) -> Iterator[tuple[Key, Path]]:
    live = set(live_segments)
    for path in shard.rglob("*"):
        if not path.is_file():
            continue
        parts = path.relative_to(shard).parts
        if parts[0] == "wal":
            yield ("write-ahead log", None, "cold"), path
        elif parts[0] == "segments" and len(parts) > 2 and parts[1] in live:
            yield _component(parts[2:], schema), path
        elif parts[0] != "segments":
            yield ("bookkeeping", None, "cold"), path


def _component(parts: tuple[str, ...], schema: CollectionSchema) -> Key:
    folder, _, vector_name = parts[0].partition("-")
    if folder == "vector_storage":
        return _vector_component(vector_name, parts[1], schema)
    if folder == "vector_index":
        return _index_component(vector_name, schema)
    if folder == "payload_storage":
        return "payload", None, schema.payload_placement
    if folder == "payload_index":
        return "payload index", None, "cached"
    if parts[0].startswith(("id_tracker", "mutable_id_tracker")):
        return "ids", None, _set(schema.options.get("id_tracker"), "cached")
    return "bookkeeping", None, "cold"


def _vector_component(name: str, file: str, schema: CollectionSchema) -> Key:
    if any(entry.name == name for entry in schema.sparse):
        return "sparse vectors", name, "cold"
    vectors = [entry.layout for entry in schema.vectors]
    vector = next((entry for entry in vectors if entry.name == name), None)
    if vector is None:
        return "bookkeeping", name, "cold"  # of a vector that was dropped, until the segment is written anew
    if file.startswith("quantized"):
        return "searched codes", name, vector.quantization_placement
    return stored_as(vector, vectors), name, vector.placement


def _index_component(name: str, schema: CollectionSchema) -> Key:
    for entry in schema.sparse:
        if entry.name == name:
            return "sparse index", name, _set(entry.settings.get("index"), "pinned")
    vector = next((entry.layout for entry in schema.vectors if entry.name == name), None)
    return "graph", name, "cold" if vector is None else vector.graph_placement


def _set(settings: object, otherwise: Placement) -> Placement:
    found = settings if isinstance(settings, dict) else {}
    placement: Placement = found.get("memory") or ("cold" if found.get("on_disk") else otherwise)
    return placement


def _size(path: Path) -> _Size:
    # Qdrant reserves files by size and fills them later: what counts on disk is the blocks that exist.
    status = path.stat()
    blocks = getattr(status, "st_blocks", None)
    stored = status.st_size if blocks is None else min(status.st_size, blocks * 512)
    ahead = path.name.startswith(_READ_AHEAD)
    return _Size(stored, status.st_size - stored if ahead else 0)
