"""What a server says of its memory (Qdrant 1.18 and newer), part by part. It is read with suspicion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from octant.errors import CollectionNotFoundError, StoreError, UnavailableError
from octant.flow import Flow
from octant.layout import CollectionLayout, stored_as
from octant.records import JSON, Component, HeldComponent, Placement
from octant.store.client_connection import Connection


def report(connection: Connection, collection: str, name: str) -> Flow[Mapping[str, JSON]]:
    """The answer of ``GET /collections/{collection_name}/memory``; empty where nobody is told.

    ``name`` is what messages call the collection.
    """
    try:
        answer = yield from connection.ask(partial(_report, collection), name)
    except (UnavailableError, CollectionNotFoundError):
        raise
    except StoreError:
        return {}  # a proxy that hides it, or a key that may not ask: sizes are then unknown, and nothing is wrong
    return answer.get("result") or {}


def _report(name: str, client: Any) -> Any:
    # qdrant-client 1.20 has no method for this endpoint, but sends any request with its own credentials.
    return client.http.client.request(
        type_=dict[str, JSON],
        method="GET",
        url="/collections/{collection_name}/memory",
        path_params={"collection_name": name},
    )


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
