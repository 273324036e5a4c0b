"""``octant inspect``: what a collection is, and whether it is well. What it weighs in detail: ``octant footprint``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import typer

from octant import SearchKnobs
from octant.cli.options import LOCATION, ApiKey, Location, Name, open_any
from octant.cli.output import AsJson, echo_json, table
from octant.cli.sizes import components, footprint_json
from octant.collection.describing import ANSWERS, CollectionInfo
from octant.health import Check, checks
from octant.oversampling import DEFAULT_COVERAGE
from octant.records import JSON, Footprint
from octant.schema import CollectionSchema, DenseVector
from octant.several_embeddings import EmbeddingInfo


def inspect(name: Name, location: Location = LOCATION, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Describe a collection, anybody's: representation, model, vectors, footprint by component, and health."""
    with open_any(name, location, api_key) as collection:
        info, footprint, schema = collection.info(), collection.footprint(), collection.schema()
        embeddings = collection.embeddings
        health = checks(collection)
    if as_json:
        echo_json({**_as_json(info, footprint, schema, health), "embeddings": _embeddings_json(embeddings)})
        return
    parts = [
        _facts(info),
        _embeddings(embeddings),
        _vectors(schema),
        components(footprint),
        "\n".join(map(_line, health)),
    ]
    typer.echo("\n\n".join(filter(None, parts)))


def _line(check: Check) -> str:
    where = f" of {check.vector!r}" if check.vector else ""
    do = f". To do: {check.advice}" if check.advice else ""
    return f"{'ok  ' if check.ok else 'note'}  {check.name}{where}: {check.detail}{do}"


def _facts(info: CollectionInfo) -> str:
    manifest = info.manifest
    facts = {
        "collection": f"{info.name} ({info.engine}{', made by another client' if info.foreign else ''})",
        "vector": repr(manifest.vector_name) if manifest.vector_name else "",
        "representation": manifest.represent,
        "distance": manifest.distance.value.lower(),
        "dimension": str(manifest.dimension or "not known yet"),
        "embedding": "not recorded" if manifest.embedding is None else manifest.embedding.name,
        "sparse": manifest.sparse or "none",
        "artifact": manifest.artifact or "none",
        "placement": ", ".join(f"{part} {held}" for part, held in asdict(manifest.placement).items() if held),
        "searches with": _knobs(info),
        "two stages": _reads(info),
        "points": f"{info.points:,}",
        "segments": str(info.segments),
        "made by": "" if info.foreign else f"qdrant-octant {manifest.octant}",
    }
    facts = {key: value for key, value in facts.items() if value}
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items())


def _knobs(info: CollectionInfo) -> str:
    """Search settings that are kept with the collection; nothing where there are none."""
    kept = info.manifest.knobs
    given = {} if kept is None else {name: value for name, value in asdict(kept).items() if value not in (None, False)}
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _reads(info: CollectionInfo) -> str:
    """Say what a search reads, and how that is known; nothing for one stage."""
    curve, kept = info.coverage, info.manifest.knobs or SearchKnobs()
    if curve is None:
        return ""
    if kept.oversampling is not None:
        return f"a search reads {info.candidates} candidates for {ANSWERS} answers, as its settings say"
    known = {
        "held-out": f"measured on {curve.points:,} vectors that nothing was learned from",
        "fitted": f"measured on {curve.points:,} of the vectors that were learned from, which flatters",
        "assumed": "assumed, not measured",
    }[curve.source]
    wanted = kept.coverage or DEFAULT_COVERAGE
    return f"a search reads {info.candidates} candidates for {ANSWERS} answers, coverage {wanted} ({known})"


def _embeddings(found: Mapping[str, EmbeddingInfo]) -> str:
    """One line an embedding, where there are several; the first one is what a search asks that names none."""
    if sum(info.sparse is None for info in found.values()) < 2:
        return ""
    rows = [
        [name, "sparse" if info.represent is None else info.represent, str(info.dimension or ""),
         info.sparse or ("not recorded" if info.model is None else info.model.name),
         "" if info.complete else "being added: run octant index again"]
        for name, info in found.items()
    ]  # fmt: skip
    return table(["embedding", "stored as", "dimension", "model", ""], rows, left=5)


def _embeddings_json(found: Mapping[str, EmbeddingInfo]) -> JSON:
    said = ("model", "represent", "distance", "dimension", "sparse", "complete")
    return {name: {key: value for key, value in asdict(info).items() if key in said} for name, info in found.items()}


def _vectors(schema: CollectionSchema) -> str:
    """Every named vector as the engine has it."""
    rows = [_row(vector) for vector in schema.vectors]
    rows += [[entry.name, "sparse", "", "idf" if entry.idf else "", "", ""] for entry in schema.sparse]
    if not rows:
        return ""
    return table(["vector", "stored as", "held", "second copy", "held", "graph"], rows, left=6)


def _row(vector: DenseVector) -> list[str]:
    layout = vector.layout
    copy = layout.quantization
    return [
        layout.name or "(unnamed)",
        f"{'multi ' if vector.multivector else ''}{layout.size} x {layout.datatype}",
        layout.placement,
        "none" if copy is None else f"{copy.kind} {f'x{copy.ratio}' if copy.ratio else f'{copy.bits:g} bits'}",
        "" if copy is None else layout.quantization_placement,
        f"m={layout.hnsw.m}, {layout.graph_placement}" if layout.hnsw.m else "none",
    ]


def _as_json(info: CollectionInfo, footprint: Footprint, schema: CollectionSchema, health: tuple[Check, ...]) -> JSON:
    return {
        "name": info.name, "engine": info.engine, "foreign": info.foreign, "points": info.points,
        "segments": info.segments, "fitted": info.fitted, "manifest": info.manifest.to_json(),
        "coverage": None if info.coverage is None else info.coverage.to_json(),
        "candidates_for_10": info.candidates,
        "vectors": [asdict(vector) for vector in schema.vectors],
        "sparse": [asdict(entry) for entry in schema.sparse],
        "footprint": footprint_json(footprint),
        "health": [asdict(check) for check in health],
    }  # fmt: skip
