"""``octant inspect``: what a collection is, what it occupies, and whether it is well."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import typer

from octant.cli.options import LOCATION, ApiKey, Location, Name, open_collection
from octant.cli.output import AsJson, echo_json, size, table
from octant.collection import ANSWERS, CollectionInfo
from octant.core import describe
from octant.oversampling import DEFAULT_COVERAGE
from octant.records import JSON, Footprint


@dataclass(frozen=True)
class Check:
    """One thing that should be so.

    Attributes
    ----------
    name : str
    ok : bool
    detail : str
        What was seen, and what to do where it is not well.
    """

    name: str
    ok: bool
    detail: str


def inspect(name: Name, location: Location = LOCATION, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Describe a collection: representation, model, artifact, footprint by component, and health."""
    with open_collection(name, location, api_key) as collection:
        info, footprint = collection.info(), collection.footprint()
    checks = [_artifact(info), _embedding(info), _indexes(info, footprint), _measured(footprint)]
    if as_json:
        echo_json(_as_json(info, footprint, checks))
        return
    typer.echo(_facts(info))
    typer.echo("\n" + _components(footprint) + "\n")
    for check in checks:
        typer.echo(f"{'ok  ' if check.ok else 'note'}  {check.name}: {check.detail}")


# -- health --------------------------------------------------------------------------------------


def _artifact(info: CollectionInfo) -> Check:
    if info.manifest.artifact is not None:
        # Opening the collection has read it and compared its hash.
        return Check("artifact", ok=True, detail=f"readable, SHA-256 {info.manifest.artifact[:12]}… as recorded")
    if info.fitted:
        return Check("artifact", ok=True, detail="none: the representation learns nothing")
    return Check("artifact", ok=False, detail="none yet: the representation learns from the first vectors added")


def _embedding(info: CollectionInfo) -> Check:
    model = info.manifest.embedding
    if model is None:
        return Check("embedding", ok=False, detail="not recorded: text queries need --embedding, and nothing checks it")
    if model.probe is None:
        return Check("embedding", ok=True, detail=f"{describe(model)}; checked by name, it may cost money to probe it")
    return Check("embedding", ok=True, detail=f"{describe(model)}; another one will be refused")


def _indexes(info: CollectionInfo, footprint: Footprint) -> Check:
    """Whether graphs exist where Qdrant's thresholds ask for them."""
    stored = sum(part.bytes for part in footprint.components if part.name in ("originals", "searched codes"))
    graph = sum(part.bytes for part in footprint.components if part.name == "graph")
    threshold = 1024 * info.manifest.hnsw.indexing_threshold
    if graph:
        return Check("indexes", ok=True, detail=f"a graph of {size(graph)}")
    if stored <= threshold or not info.manifest.hnsw.m:
        return Check("indexes", ok=True, detail="none needed: small enough to be scanned")
    return Check(
        "indexes", ok=False, detail="not built: searches scan everything; run octant index again, or optimize()"
    )


def _measured(footprint: Footprint) -> Check:
    if footprint.source == "none":
        return Check("footprint", ok=False, detail="not measurable: this engine keeps plain float32, or holds nothing")
    source = "files on disk" if footprint.source == "files" else "what the server reports"
    return Check("footprint", ok=True, detail=f"measured from {source}")


# -- printing ------------------------------------------------------------------------------------


def _facts(info: CollectionInfo) -> str:
    manifest = info.manifest
    facts = {
        "collection": f"{info.name} ({info.engine}{', made by another client' if info.foreign else ''})",
        "representation": manifest.represent,
        "distance": manifest.distance.value.lower(),
        "dimension": str(manifest.dimension or "not known yet"),
        "embedding": "not recorded" if manifest.embedding is None else manifest.embedding.name,
        "sparse": manifest.sparse or "none",
        "artifact": manifest.artifact or "none",
        "two stages": _reads(info),
        "points": f"{info.points:,}",
        "segments": str(info.segments),
        "made by": f"qdrant-octant {manifest.octant}",
    }
    facts = {key: value for key, value in facts.items() if value}
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items())


def _reads(info: CollectionInfo) -> str:
    """Say what a search reads, and how that is known; nothing for one stage."""
    curve = info.coverage
    if curve is None:
        return ""
    known = {
        "held-out": f"measured on {curve.points:,} vectors that nothing was learned from",
        "fitted": f"measured on {curve.points:,} of the vectors that were learned from, which flatters",
        "assumed": "assumed, not measured",
    }[curve.source]
    return f"a search reads {info.candidates} candidates for {ANSWERS} answers, coverage {DEFAULT_COVERAGE} ({known})"


def _components(footprint: Footprint) -> str:
    rows = [
        [part.name + (f" of {part.vector!r}" if part.vector else ""), part.placement, size(part.bytes),
         f"{footprint.per_vector(part.bytes):.1f}"]
        for part in footprint.components
    ]  # fmt: skip
    for label, count in (("in RAM", footprint.ram_bytes), ("on disk", footprint.disk_bytes)):
        rows.append([f"all {label}", "", size(count), f"{footprint.per_vector(count):.1f}"])
    return table(["component", "held", "size", "bytes/vector"], rows, left=2)


def _as_json(info: CollectionInfo, footprint: Footprint, checks: list[Check]) -> JSON:
    return {
        "name": info.name, "engine": info.engine, "foreign": info.foreign, "points": info.points,
        "segments": info.segments, "fitted": info.fitted, "manifest": info.manifest.to_json(),
        "coverage": None if info.coverage is None else info.coverage.to_json(),
        "candidates_for_10": info.candidates,
        "footprint": {
            "source": footprint.source,
            "ram_bytes": footprint.ram_bytes,
            "disk_bytes": footprint.disk_bytes,
            "ram_bytes_per_vector": footprint.per_vector(footprint.ram_bytes),
            "disk_bytes_per_vector": footprint.per_vector(footprint.disk_bytes),
            "components": [
                {**asdict(part), "bytes_per_vector": footprint.per_vector(part.bytes)} for part in footprint.components
            ],
        },
        "health": [asdict(check) for check in checks],
    }  # fmt: skip
