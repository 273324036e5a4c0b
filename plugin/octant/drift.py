"""Where the parts of a collection are said to live, twice over: which of the two says otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octant.errors import OctantError
from octant.layout import Stages, VectorLayout, lay_out
from octant.manifest import Manifest
from octant.records import JSON
from octant.representation import Representation
from octant.schema import CollectionSchema


def flags(schema: CollectionSchema) -> Iterator[tuple[str, str]]:
    """Vectors whose deprecated flags contradict their ``memory``: the vector, and what contradicts what."""
    for vector in schema.vectors:
        settings = vector.settings
        yield from _flag(vector.name, "the vectors", settings, "on_disk", {True: ("cold",), False: _WARM})
        yield from _flag(vector.name, "the graph", settings.get("hnsw_config"), "on_disk", _GRAPH)
        for copy in (settings.get("quantization_config") or {}).values():
            yield from _flag(vector.name, "the second copy", copy, "always_ram", {True: ("pinned",), False: _OTHERS})
    for entry in schema.sparse:
        index = entry.settings.get("index")
        yield from _flag(entry.name, "the sparse index", index, "on_disk", {True: _OTHERS, False: ("pinned",)})


_WARM, _OTHERS = ("cached", "pinned"), ("cached", "cold")
_GRAPH = {True: ("cold",), False: _WARM}


def _flag(
    vector: str, part: str, settings: Mapping[str, JSON] | None, flag: str, meant: Mapping[bool, tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    memory, value = (settings or {}).get("memory"), (settings or {}).get(flag)
    if memory is not None and value is not None and memory not in meant[value]:
        yield vector, f"of {part}, {flag}={str(value).lower()} says another thing than memory={memory!r}"


def differences(manifest: Manifest, schema: CollectionSchema) -> Iterator[tuple[str, str]]:
    """Parts that the engine holds otherwise than the manifest says: the vector, and what differs."""
    for wanted in _recorded(manifest):
        there = next((vector.layout for vector in schema.vectors if vector.name == wanted.name), None)
        for part, said, found in () if there is None else _between(wanted, there):
            yield wanted.name, f"{part} was made {said}, and the engine holds it {found}"
    if manifest.placement.payload != schema.payload_placement:
        yield "", f"payload was made {manifest.placement.payload}, and the engine holds it {schema.payload_placement}"


def _recorded(manifest: Manifest) -> tuple[VectorLayout, ...]:
    if not manifest.dimension:
        return ()
    try:
        needs = Representation.parse(manifest.represent).needs(manifest.dimension, manifest.distance)
        stages = Stages.of(*needs, manifest.vector_name)
        return lay_out(stages, hnsw=manifest.hnsw, placement=manifest.placement).vectors
    except OctantError:  # of a plugin that is not installed here
        return ()


def _between(wanted: VectorLayout, there: VectorLayout) -> Iterator[tuple[str, str, str]]:
    parts = [("what is stored", wanted.placement, there.placement)]
    if wanted.hnsw.m and there.hnsw.m:
        parts.append(("the graph", wanted.graph_placement, there.graph_placement))
    if wanted.quantization is not None and there.quantization is not None:
        parts.append(("the second copy", wanted.quantization_placement, there.quantization_placement))
    yield from (part for part in parts if part[1] != part[2])
