"""What a collection says of itself: settings, points, bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from octant.core import Core
from octant.flow import Flow
from octant.layout import SearchKnobs
from octant.manifest import Manifest
from octant.oversampling import DEFAULT_COVERAGE, CoverageCurve
from octant.records import Footprint, Residency
from octant.schema import CollectionSchema

if TYPE_CHECKING:
    from octant.collection.collection import Collection


ANSWERS = 10
"""Answers for which a description says what a search reads."""


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection says of itself.

    Attributes
    ----------
    name : str
    engine : {"edge", "server", "local"}
    manifest : Manifest
        Representation, distance, dimension, embedding, artifact and the rest of what is written down.
    points, segments : int
    fitted : bool
        Whether codes can be made: nothing has to be learned, or it has been.
    foreign : bool
        Whether somebody else made the collection.
    coverage : CoverageCurve or None
        Of two stages: how many candidates what share of the fine stage's answers takes, measured or assumed.
    candidates : int or None
        What a search for 10 answers reads by default; None where there is one stage.
    collection : str
        The engine's own name of the collection: another than ``name`` where that is an alias.
    """

    name: str
    engine: str
    manifest: Manifest
    points: int
    segments: int
    fitted: bool
    foreign: bool
    coverage: CoverageCurve | None = None
    candidates: int | None = None
    collection: str = ""


def info(collection: Collection) -> Flow[CollectionInfo]:
    """Points, segments and everything that is written down."""
    core = collection._core
    points = 0 if core.draft else (yield from core.store.count())
    found = yield from segments(collection)
    known = CollectionInfo(
        collection.name, core.store.engine, core.manifest, points, found, core.representation.fitted, core.foreign,
        collection=core.store.collection,
    )  # fmt: skip
    if core.draft or core.sparse_only or core.stages.fine is None:
        return known
    return replace(known, coverage=core.coverage, candidates=_reads(core, points))


def segments(collection: Collection) -> Flow[int]:
    """Number of segments: what a search visits one by one."""
    return 0 if collection._core.draft else (yield from collection._core.store.segments())


def footprint(collection: Collection) -> Flow[Footprint]:
    """Bytes by component: searched codes, originals, graph, payload, ids, log; in RAM or cold."""
    if collection._core.draft:
        return Footprint(0, 0, (), source="none")
    return (yield from collection._core.store.footprint())


def residency(collection: Collection) -> Flow[Residency]:
    """What is really in memory now: page by page for Edge, as reported by a server.

    :meth:`footprint` says what was asked to be held; this is what the operating system and the server do hold.
    """
    if collection._core.draft:
        return Residency((), "none", unknown=("the collection is not made before its first vector",))
    return (yield from collection._core.store.residency())


def schema(collection: Collection) -> Flow[CollectionSchema]:
    """Every vector, payload index and setting of the collection, other people's included."""
    if collection._core.draft:
        return CollectionSchema()
    return (yield from collection._core.store.schema())


def fitted_state(collection: Collection, digest: str) -> Flow[bytes]:
    """What one of the collection's representations has learned, read and checked.

    Raises
    ------
    ArtifactError
        If it is missing or damaged.
    """
    return (yield from collection._core.store.read_artifact(digest))


def _reads(core: Core, points: int) -> int:
    """Candidates that a search for ``ANSWERS`` reads if it is given no knobs."""
    knobs = core.manifest.knobs or SearchKnobs()
    if knobs.oversampling is not None:
        return ceil(ANSWERS * knobs.oversampling)
    return core.coverage.candidates(ANSWERS, points, knobs.coverage or DEFAULT_COVERAGE)
