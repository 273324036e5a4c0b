"""How many bytes the target will take: a few points are really stored in it, and the rest is multiplied out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from octant.errors import InputError
from octant.flow import Flow
from octant.layout import StoredPoint, VectorLayout
from octant.lifecycle.encode import encode
from octant.location import Location, store_at
from octant.records import CodeArray, Footprint
from octant.schema import CollectionSchema
from octant.store.base import Store
from octant.units import size

FEW = 1_000
"""Points that are stored for an estimate of bytes alone."""
CONSTANT = ("bookkeeping", "write-ahead log")
"""Components that do not grow with the number of points."""
_BYTES = {"float32": 4.0, "float16": 2.0, "turbo16": 2.0, "turbo4": 0.5}
HEADROOM = 2.0
"""An engine writes the new segment while the old one is still there."""


def scratch(kept: CollectionSchema, layouts: Sequence[VectorLayout], total: int) -> Flow[Store]:
    """An empty Edge collection as the target will be with ``total`` points, in a temporary directory.

    Close it after use.
    """
    indexed = [_indexed(layout, total) for layout in layouts]
    store = store_at(":memory:", "sample")
    try:
        yield from store.create_like(replace(kept, options={}, metadata={}, manifests={}), indexed)
    except BaseException:
        yield from store.close()
        raise
    return store


def _indexed(layout: VectorLayout, total: int) -> VectorLayout:
    """The layout, with a graph in a sample already if all points will have one."""
    stored_kib = total * layout.size * _BYTES.get(layout.datatype, 1.0) / 1024
    if stored_kib <= layout.hnsw.indexing_threshold:
        return layout
    return replace(layout, hnsw=replace(layout.hnsw, indexing_threshold=1))


def multiplied(sample: Footprint, points: int) -> Footprint:
    """What a collection of ``points`` takes if a sample of it takes so much."""
    factor = points / sample.points
    parts = tuple(
        part if part.name in CONSTANT else replace(part, bytes=round(part.bytes * factor)) for part in sample.components
    )
    return Footprint(points, sample.segments, parts, sample.source)


def estimate(
    points: Sequence[StoredPoint],
    kept: CollectionSchema,
    layouts: Sequence[VectorLayout],
    total: int,
) -> Flow[Footprint]:
    """Bytes of the target for ``total`` points, from a few of the source's; nothing need be fitted for that."""
    plain = encode(points, [], kept)
    rng = np.random.default_rng(0)
    codes = {layout.name: _any_codes(layout, len(points), rng) for layout in layouts}
    batch = replace(plain.batch, vectors={**plain.batch.vectors, **codes})
    store = yield from scratch(kept, layouts, total)
    try:
        yield from store.upsert(batch, batch_size=256)
        yield from store.optimize()
        return multiplied((yield from store.footprint()), total)
    finally:
        yield from store.close()


def _any_codes(layout: VectorLayout, count: int, rng: np.random.Generator) -> CodeArray:
    """Numbers of the right shape: how many bytes they take does not depend on what they are."""
    if layout.datatype == "uint8":
        return rng.integers(0, 256, (count, layout.size), dtype=np.uint8)
    return rng.standard_normal((count, layout.size), dtype=np.float32)


def free_bytes(location: Location) -> int | None:
    """Bytes free on the disk of a directory; None where the target is not in one of the caller's."""
    if not isinstance(location, str | PathLike):
        return None
    text = fspath(location)
    if text == ":memory:" or text.startswith(("http://", "https://")):
        return None
    path = Path(text).expanduser().absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def check_disk(location: Location, expected: int) -> None:
    """Refuse a directory whose disk is too small.

    Raises
    ------
    InputError
    """
    free = free_bytes(location)
    if free is not None and free < HEADROOM * expected:
        raise InputError(
            f"the target will take about {size(expected)} and, while it is written, up to {size(HEADROOM * expected)}; "
            f"the disk of {fspath(location)} has {size(free)} free: make room there, or name another place with --to"
        )
