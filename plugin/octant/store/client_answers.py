"""What a server answers, in Octant's nouns. Everything it says about itself is read with suspicion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import models

from octant.layout import CollectionLayout, StoredPoint, stored_as
from octant.records import JSON, Component, FloatArray, HeldComponent, Placement, SparseVector

# -- points --------------------------------------------------------------------------------------


def stored(point: Any, names: Sequence[str]) -> StoredPoint:
    """A scored point or a record, with the dense vectors among ``names``."""
    given = point.vector
    vectors = {"": given} if isinstance(given, list) else dict(given or {})
    dense: dict[str, FloatArray] = {
        name: np.asarray(vectors[name], np.float32) for name in names if _is_flat(vectors.get(name))
    }
    identity = point.id if isinstance(point.id, int) else str(point.id)
    return StoredPoint(identity, float(getattr(point, "score", 0.0)), point.payload or {}, dense)


def _is_flat(vector: Any) -> bool:
    return isinstance(vector, list) and not (vector and isinstance(vector[0], list))


def complete(point: Any, names: Sequence[str] | None) -> StoredPoint:
    """A record with vectors of every kind; those among ``names``, or all."""
    given = point.vector
    vectors = {"": given} if isinstance(given, list) else dict(given or {})
    found = {name: value for name, value in vectors.items() if names is None or name in names}
    arrays = {name: np.asarray(value, np.float32) for name, value in found.items() if isinstance(value, list)}
    return StoredPoint(
        id=point.id if isinstance(point.id, int) else str(point.id),
        score=0.0,
        payload=point.payload or {},
        vectors={name: value for name, value in arrays.items() if value.ndim == 1},
        sparse={
            name: SparseVector(np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32))
            for name, value in found.items()
            if isinstance(value, models.SparseVector)
        },
        multi={name: value for name, value in arrays.items() if value.ndim == 2},
    )


# -- memory report -------------------------------------------------------------------------------


def components(report: Mapping[str, JSON], known: CollectionLayout) -> tuple[Component, ...]:
    """The parts of a collection as ``GET /collections/{name}/memory`` reports them, zero bytes left out.

    A part that is held in several ways becomes one component per way: ``pinned`` is the heap the server
    counts, ``cached`` what it means to keep in the page cache, ``cold`` the rest of the files.
    """
    found: list[Component] = []
    for name, vector, usage in _parts(report, known):
        found.extend(_split(name, vector, usage))
    return tuple(found)


def _parts(report: Mapping[str, JSON], known: CollectionLayout) -> Iterator[tuple[str, str | None, JSON]]:
    for entry in _entries(report, "vectors"):
        vector = str(entry.get("name", ""))
        yield _storage_name(vector, entry.get("quantized"), known), vector, entry.get("storage")
        yield "searched codes", vector, entry.get("quantized")
        yield "graph", vector, entry.get("index")
    for entry in _entries(report, "sparse_vectors"):
        vector = str(entry.get("name", ""))
        yield "sparse vectors", vector, entry.get("storage")
        yield "sparse index", vector, entry.get("index")
    yield "payload", None, report.get("payload")
    for entry in _entries(report, "payload_index"):
        yield "payload index", None, entry.get("usage")
    other = report.get("other")
    for name, usage in other.items() if isinstance(other, Mapping) else ():
        yield "ids" if name == "id_tracker" else str(name), None, usage


def _entries(report: Mapping[str, JSON], key: str) -> list[Mapping[str, JSON]]:
    listed = report.get(key)
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _storage_name(name: str, quantized: JSON, known: CollectionLayout) -> str:
    if quantized:
        return "originals"
    vector = next((vector for vector in known.vectors if vector.name == name), None)
    # What a multivector's storage holds is searched, and a second copy that is not there yet makes no originals.
    return "searched codes" if vector is None else stored_as(replace(vector, quantization=None), known.vectors)


def _split(name: str, vector: str | None, usage: JSON) -> Iterator[Component]:
    if not isinstance(usage, Mapping):
        return
    disk, ram, cache = (_count(usage.get(key)) for key in ("disk_bytes", "ram_bytes", "expected_cache_bytes"))
    held: tuple[tuple[Placement, int], ...] = (
        ("pinned", ram), ("cached", cache), ("cold", max(disk - ram - cache, 0)),
    )  # fmt: skip
    for placement, count in held:
        if count:
            yield Component(name, vector, placement, count)


def held(report: Mapping[str, JSON], known: CollectionLayout) -> tuple[HeldComponent, ...]:
    """What of every part the server has in its heap and finds in the page cache, zero bytes left out."""
    found: list[HeldComponent] = []
    for name, vector, usage in _parts(report, known):
        if not isinstance(usage, Mapping):
            continue
        disk, heap, cached, wanted = (
            _count(usage.get(key)) for key in ("disk_bytes", "ram_bytes", "cached_bytes", "expected_cache_bytes")
        )
        placement: Placement = "pinned" if heap else "cached" if wanted else "cold"
        if disk or heap or cached:
            known_cache = cached if "cached_bytes" in usage else None
            found.append(HeldComponent(name, vector, placement, disk, known_cache, heap_bytes=heap))
    return tuple(found)


def _count(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 0
