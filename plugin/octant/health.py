"""Is a collection as it should be? Every known trap is one check: what was seen, and what to do about it.

Anybody's collection can be examined, all of its vectors: what Octant did not write down itself the engine tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from octant import families
from octant.collection import Collection, CollectionInfo, describing
from octant.collection.describing import ANSWERS
from octant.drift import differences, flags
from octant.errors import ArtifactError, OctantError
from octant.flow import Flow, awaitable, blocking
from octant.identity import describe
from octant.layout import SearchKnobs, VectorLayout
from octant.manifest import Manifest
from octant.oversampling import FEW_POINTS
from octant.records import Footprint
from octant.representation import Representation
from octant.schema import CollectionSchema, DenseVector
from octant.units import size

_USUAL = 3
"""Oversampling that is a good first try where nothing was measured."""
_FEWEST_EDGES = 4


@dataclass(frozen=True)
class Check:
    """One thing that should be so.

    Attributes
    ----------
    name : str
    ok : bool
    detail : str
        What was seen.
    advice : str
        What to do; empty where all is well.
    vector : str or None
        The named vector that it is about; None where it is about the collection.
    saves : int
        Bytes of memory that following the advice saves at most, where that can be told.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""
    vector: str | None = None
    saves: int = 0


@dataclass(frozen=True)
class Evidence:
    """What a diagnosis is made from.

    Attributes
    ----------
    info : CollectionInfo
    footprint : Footprint
    schema : CollectionSchema
    broken : mapping from str to str
        Representations that are not open whose fitted state cannot be read, and why.
    """

    info: CollectionInfo
    footprint: Footprint
    schema: CollectionSchema
    broken: Mapping[str, str]

    def bytes(self, *names: str, vector: str | None = None, in_ram: bool = False) -> int:
        """Measured bytes of the components ``names``, of one vector or of all."""
        return sum(
            part.bytes
            for part in self.footprint.components
            if part.name in names and vector in (None, part.vector) and not (in_ram and part.placement == "cold")
        )

    def shown(self, count: int) -> str:
        """Bytes, and how many a vector."""
        return f"{size(count)} ({self.footprint.per_vector(count):.0f} bytes a vector)"


def _checks(collection: Collection) -> Flow[tuple[Check, ...]]:
    """Everything that could be wrong with a collection, and whether it is.

    Parameters
    ----------
    collection : Collection
        Open; anybody's. All of its vectors are examined, not only the one it was opened for.

    Returns
    -------
    tuple of Check
        Those that are not well have ``ok=False`` and an ``advice``. Traps that cannot be there are left out.

    Examples
    --------
    >>> import numpy as np
    >>> with Collection.create("demo", dimension=8) as collection:
    ...     ids = collection.add(vectors=np.eye(8))
    ...     [check.name for check in checks(collection) if not check.ok]
    ['embedding']
    """
    info = yield from describing.info(collection)
    footprint = yield from describing.footprint(collection)
    schema = yield from describing.schema(collection)
    broken = yield from _broken(collection, schema)
    return diagnose(Evidence(info, footprint, schema, broken))


checks = blocking(_checks)
achecks = awaitable(_checks)


def _broken(collection: Collection, schema: CollectionSchema) -> Flow[dict[str, str]]:
    """Opening a collection has read one fitted state; this reads those of its other representations."""
    found: dict[str, str] = {}
    for name, manifest in schema.manifests.items():
        digest = manifest.get("artifact")
        if not digest or digest == collection.artifact:
            continue
        try:
            yield from describing.fitted_state(collection, digest)
        except ArtifactError as error:
            found[name] = str(error)
    return found


def diagnose(evidence: Evidence) -> tuple[Check, ...]:
    """The checks of :func:`checks`, from what was seen. Pure."""
    return tuple(_all(evidence))


def _all(evidence: Evidence) -> Iterator[Check]:
    yield from _artifacts(evidence)
    yield _embedding(evidence.info)
    if evidence.info.engine == "local":
        yield _local()
        return
    yield from _indexes(evidence)
    for vector in evidence.schema.vectors:
        yield from _originals(vector, evidence)
        yield from _rescoring(vector, evidence)
        yield from _graph(vector, evidence)
    yield from _candidates(evidence.info)
    yield from _payload(evidence)
    yield from _log(evidence)
    yield from _settings(evidence)
    yield _measured(evidence.footprint)


# -- what is written down ------------------------------------------------------------------------


def _artifacts(evidence: Evidence) -> Iterator[Check]:
    info = evidence.info
    if info.manifest.artifact is not None:
        # Opening the collection has read it and compared its hash.
        yield Check("artifact", ok=True, detail=f"readable, SHA-256 {info.manifest.artifact[:12]}… as recorded")
    elif info.fitted:
        yield Check("artifact", ok=True, detail="none: the representation learns nothing")
    else:
        yield Check(
            "artifact", ok=False, detail="none yet: the representation learns from the first vectors added",
            advice="call fit() with a sample, or add the first documents",
        )  # fmt: skip
    for name, reason in evidence.broken.items():
        yield Check(
            "artifact", ok=False, vector=name, detail=reason,
            advice="restore it from a copy of the collection: the codes of this vector mean nothing without it",
        )  # fmt: skip


def _embedding(info: CollectionInfo) -> Check:
    model = info.manifest.embedding
    if model is None:
        return Check(
            "embedding", ok=False, detail="not recorded: nothing checks which model a query comes from",
            advice="pass --embedding, or embedding= in Python, to search with texts",
        )  # fmt: skip
    if model.probe is None:
        return Check("embedding", ok=True, detail=f"{describe(model)}; checked by name, it may cost money to probe it")
    return Check("embedding", ok=True, detail=f"{describe(model)}; another one will be refused")


def _candidates(info: CollectionInfo) -> Iterator[Check]:
    if info.coverage is None or info.points <= FEW_POINTS:
        return
    if info.coverage.source == "assumed":
        yield Check(
            "candidates", ok=False,
            detail=f"a search reads {info.candidates} candidates for {ANSWERS} answers, by a curve that is assumed",
            advice="add 500 or more vectors first, or fit(), so that it is measured; until then "
            "SearchKnobs(oversampling=…) decides it by hand",
        )  # fmt: skip


# -- what the engine has built -------------------------------------------------------------------


def _local() -> Check:
    return Check(
        "engine", ok=False,
        detail="qdrant-client's local mode stores plain float32 and scans it, whatever is asked for: nothing is "
        "compressed, and its sizes and speed say nothing about a server",
        advice="give a directory (Qdrant Edge, embedded) or the URL of a server as the location",
    )  # fmt: skip


def _indexes(evidence: Evidence) -> Iterator[Check]:
    """Whether graphs and second copies exist where the engine's thresholds ask for them."""
    if evidence.footprint.source == "none":
        return
    asked = [vector for vector in evidence.schema.vectors if _wanted(vector)]
    for vector in asked:
        yield _built(vector, evidence)
    if not asked:
        yield Check("indexes", ok=True, detail="none asked for: searches scan everything")


def _wanted(vector: DenseVector) -> list[str]:
    layout = vector.layout
    copy = ["second copy"] if layout.quantization is not None else []
    return (["graph"] if layout.hnsw.m else []) + copy


def _built(vector: DenseVector, evidence: Evidence) -> Check:
    name, layout = vector.name or None, vector.layout
    copy = _copy(layout, evidence)
    stored = _stored(layout, evidence)
    there = {"graph": evidence.bytes("graph", vector=layout.name), "second copy": copy}
    missing = [part for part in _wanted(vector) if not there[part]]
    if not missing:
        parts = " and ".join(f"a {part} of {size(there[part])}" for part in _wanted(vector))
        return Check("indexes", ok=True, detail=parts, vector=name)
    absent = " and ".join(f"no {part}" for part in missing)
    if not layout.hnsw.indexing_threshold:
        return Check(
            "indexes", ok=False, vector=name, detail=f"{absent}: indexing is switched off (indexing_threshold 0)",
            advice="set indexing_threshold back, e.g. to 10,000 KiB, and let the engine optimize",
        )  # fmt: skip
    threshold = 1024 * layout.hnsw.indexing_threshold
    # Every segment may stay below the threshold; Octant's embedded collections are kept in one.
    due = threshold * (1 if evidence.info.engine == "edge" else max(1, evidence.info.segments))
    if stored <= due:
        small = f"{absent} needed yet: {size(stored)} of vectors are below the indexing threshold of {size(threshold)}"
        return Check("indexes", ok=True, detail=f"{small} and are scanned", vector=name)
    return Check(
        "indexes", ok=False, vector=name,
        detail=f"{absent} built for {size(stored)} of vectors, above the indexing threshold of {size(threshold)}: "
        "searches scan everything" + (", and the originals are what is scanned" if "second copy" in missing else ""),
        advice="run octant index again, or call optimize()" if evidence.info.engine == "edge"
        else "wait until the collection is green, and look at its optimizer_status; optimize() waits for it",
    )  # fmt: skip


def _copy(layout: VectorLayout, evidence: Evidence) -> int:
    """Bytes of the second copy: where there is none yet, what is searched are the stored vectors themselves."""
    originals = evidence.bytes("originals", vector=layout.name)
    return evidence.bytes("searched codes", vector=layout.name) if layout.quantization and originals else 0


def _stored(layout: VectorLayout, evidence: Evidence) -> int:
    return evidence.bytes("originals", vector=layout.name) or evidence.bytes(
        "searched codes", "rescoring codes", vector=layout.name
    )


# -- what is held, and what for ------------------------------------------------------------------


def _originals(vector: DenseVector, evidence: Evidence) -> Iterator[Check]:
    layout = vector.layout
    if layout.quantization is None:
        return
    held = evidence.bytes("originals", vector=layout.name, in_ram=True)
    name = vector.name or None
    if layout.placement == "cold" and not held:
        yield Check("originals", ok=True, detail="cold: only rescoring reads them", vector=name)
        return
    copy = _copy(layout, evidence)
    beside = f" beside their second copy of {size(copy)}" if copy else ""
    yield Check(
        "originals", ok=False, vector=name, saves=held,
        detail=f"{evidence.shown(held) if held else 'all'} of original vectors are held in RAM{beside}: the "
        "quantization saves no RAM",
        advice="place them cold: MemoryPlacement(originals='cold') in a new collection, or on a server "
        f"update_collection with memory='cold' for this vector; that saves {size(held)} of RAM",
    )  # fmt: skip


def _rescoring(vector: DenseVector, evidence: Evidence) -> Iterator[Check]:
    layout, schema = vector.layout, evidence.schema
    if layout.quantization is None:
        return
    name = vector.name or None
    family = next((one for one in schema.manifests if layout.name in families.members(schema, one)), None)
    if family is None:
        yield Check(
            "rescoring", ok=False, vector=name,
            detail="made by another client: a search that does not ask for oversampling rescores only the k points "
            "that the second copy found, which changes their scores and finds nothing that it missed",
            advice=f"search with quantization params rescore=true and oversampling={_USUAL}, or more; octant tune "
            "measures how much, octant compress makes a collection that remembers it",
        )  # fmt: skip
        return
    times = _oversampling(Manifest.from_json(schema.manifests[family]))
    if times is None:
        return
    if times > 1:
        yield Check("rescoring", ok=True, detail=f"of {times:g} candidates for every answer", vector=name)
        return
    yield Check(
        "rescoring", ok=False, vector=name,
        detail="of as many candidates as answers: that changes their scores and finds nothing that the second copy "
        "missed",
        advice=f"create with knobs=SearchKnobs(oversampling={_USUAL}), or search with it; octant tune measures more",
    )  # fmt: skip


def _oversampling(manifest: Manifest) -> float | None:
    """Candidates for every answer; None where a search rescores nothing, or a fine stage does it."""
    try:
        coarse, fine = Representation.parse(manifest.represent).needs(manifest.dimension or 1, manifest.distance)
    except OctantError:  # of a plugin that is not installed here
        return None
    knobs = manifest.knobs or SearchKnobs()
    rescored = coarse.rescore if knobs.rescore is None else knobs.rescore
    if fine is not None or coarse.quantization is None or not rescored or knobs.exact:
        return None
    return knobs.oversampling or coarse.oversampling


def _graph(vector: DenseVector, evidence: Evidence) -> Iterator[Check]:
    layout = vector.layout
    graph = evidence.bytes("graph", vector=layout.name)
    held = evidence.bytes("graph", vector=layout.name, in_ram=True)
    codes = evidence.bytes("searched codes", vector=layout.name)
    if not graph or not codes:
        return
    name, seen = vector.name or None, f"{evidence.shown(graph)}, the codes that it searches {evidence.shown(codes)}"
    if not held or held <= codes:
        where = "" if held else ", cold: not in RAM"
        yield Check("graph", ok=True, detail=f"{seen}{where}", vector=name)
        return
    m = layout.hnsw.m
    fewer = max(_FEWEST_EDGES, int(m * codes / held) // 2 * 2)
    thin = f"m={fewer} instead of {m} saves about {size(held * (1 - fewer / m))}, " if fewer < m else ""
    yield Check(
        "graph", ok=False, vector=name, saves=held,
        detail=f"{seen}: it is {held / codes:.1f} times their size, and in RAM",
        advice=f"{thin}placing it cold, MemoryPlacement(graph='cold'), saves {size(held)} and costs time; "
        "octant tune measures both",
    )  # fmt: skip


def _payload(evidence: Evidence) -> Iterator[Check]:
    held = evidence.bytes("payload", in_ram=True)
    if not held:
        return
    empty = sum(part.reserved for part in evidence.footprint.components if part.name == "payload")
    codes = evidence.bytes("searched codes", in_ram=True)
    beside = f", and {size(empty)} of empty space that is read with it" if empty else ""
    seen = f"{evidence.shown(held)} of payload in RAM{beside}"
    if held + empty <= codes:
        yield Check("payload", ok=True, detail=seen)
        return
    yield Check(
        "payload", ok=False, saves=held + empty,
        detail=f"{seen}: more than the {size(codes)} of codes that are searched",
        advice="place it cold: MemoryPlacement(payload='cold'), on a server update_collection with payload memory "
        f"'cold'; that saves {size(held + empty)} of RAM",
    )  # fmt: skip


def _log(evidence: Evidence) -> Iterator[Check]:
    log = evidence.bytes("write-ahead log", "wal")
    if not log:
        return
    data = evidence.footprint.disk_bytes - log
    if log <= data:
        yield Check("write-ahead log", ok=True, detail=f"{size(log)} on disk")
        return
    how = (
        "Octant's embedded collections need none: create without collection_options={'wal': True}"
        if evidence.info.engine == "edge"
        else "create with collection_options={'wal_config': {'wal_capacity_mb': …}} of less than the default 32"
    )
    yield Check(
        "write-ahead log", ok=False, detail=f"{size(log)} on disk, more than the {size(data)} of everything else",
        advice=how,
    )  # fmt: skip


def _settings(evidence: Evidence) -> Iterator[Check]:
    for vector, contradiction in flags(evidence.schema):
        yield Check(
            "settings", ok=False, vector=vector or None, detail=contradiction,
            advice="leave the deprecated flag out: where both are given, memory counts",
        )  # fmt: skip
    if evidence.info.foreign:
        return
    for vector, difference in differences(evidence.info.manifest, evidence.schema):
        yield Check(
            "placement", ok=False, vector=vector or None, detail=difference,
            advice="these settings were given or changed otherwise than by MemoryPlacement: change them back, or go by "
            "what the footprint says",
        )  # fmt: skip


def _measured(footprint: Footprint) -> Check:
    if footprint.source == "none":
        return Check(
            "footprint", ok=False, detail="not measurable: the engine reports no sizes, or holds nothing",
            advice="add documents; a server must be at least 1.18",
        )  # fmt: skip
    source = "files on disk" if footprint.source == "files" else "what the server reports"
    return Check("footprint", ok=True, detail=f"measured from {source}")
