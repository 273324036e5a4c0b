"""What an Edge shard's files weigh, by component. The file names are those of qdrant-edge-py 0.9."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from octant.layout import CollectionLayout, VectorLayout
from octant.records import Component, Placement

_KEY = tuple[str, "str | None", Placement]


def components(shard: Path, layout: CollectionLayout, live_segments: Iterable[str]) -> tuple[Component, ...]:
    """Bytes of every component.

    Parameters
    ----------
    shard : Path
    layout : CollectionLayout
        Tells where each component is held.
    live_segments : iterable of str
        Directories of the segments in use: a replaced one stays on disk for a moment and is not counted.
    """
    live = set(live_segments)
    sizes: dict[_KEY, int] = defaultdict(int)
    for path in shard.rglob("*"):
        if not path.is_file():
            continue
        parts = path.relative_to(shard).parts
        if parts[0] == "wal":
            sizes["write-ahead log", None, "cold"] += _allocated(path)
        elif parts[0] == "segments" and len(parts) > 2 and parts[1] in live:
            sizes[_component(parts[2:], layout)] += _allocated(path)
        elif parts[0] != "segments":
            sizes["bookkeeping", None, "cold"] += _allocated(path)
    return tuple(Component(name, vector, placement, size) for (name, vector, placement), size in sorted(
        sizes.items(), key=lambda item: (item[0][0], item[0][1] or "")))  # fmt: skip


def _component(parts: tuple[str, ...], layout: CollectionLayout) -> _KEY:
    folder, _, vector_name = parts[0].partition("-")
    if folder == "vector_storage":
        return _vector_component(vector_name, parts[1], layout)
    if folder == "vector_index":
        if vector_name == layout.sparse:
            return "sparse index", vector_name, "pinned"
        vector = next(entry for entry in layout.vectors if entry.name == vector_name)
        return "graph", vector_name, vector.graph_placement if vector.hnsw.m else "cold"
    if folder == "payload_storage":
        return "payload", None, layout.payload_placement
    if folder == "payload_index":
        return "payload index", None, "cached"
    if parts[0].startswith(("id_tracker", "mutable_id_tracker")):
        return "ids", None, "cached"
    return "bookkeeping", None, "cold"


def _vector_component(name: str, file: str, layout: CollectionLayout) -> _KEY:
    if name == layout.sparse:
        return "sparse vectors", name, "cold"
    vector = next(entry for entry in layout.vectors if entry.name == name)
    if file.startswith("quantized"):
        return "searched codes", name, vector.quantization_placement
    return _stored_name(vector, layout), name, vector.placement


def _stored_name(vector: VectorLayout, layout: CollectionLayout) -> str:
    if vector is not layout.vectors[0]:
        return "rescoring codes"
    return "searched codes" if vector.quantization is None else "originals"


def _allocated(path: Path) -> int:
    # Qdrant reserves files by size and fills them later: what counts is the blocks that exist.
    status = path.stat()
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else min(status.st_size, blocks * 512)
