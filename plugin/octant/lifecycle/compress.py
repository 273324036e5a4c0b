"""From a float collection to a compressed one: planned, streamed, resumed, verified, switched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from octant import attachments
from octant.embedders import Embedder, embedder
from octant.errors import InputError, VerificationError
from octant.flow import Flow, awaitable, blocking
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.lifecycle import learn, recall, sizing, stream, switch, target, verify
from octant.lifecycle.neighbours import Neighbours
from octant.lifecycle.order import Choice, Order, Wish, resolve
from octant.lifecycle.plan import CompressPlan, plan
from octant.lifecycle.report import CompressReport, footprint, footprint_json
from octant.lifecycle.run import Run
from octant.lifecycle.source import Source, open_source
from octant.lifecycle.switch import Ending
from octant.location import Location, store_at
from octant.recommendation import Recommendation
from octant.records import EmbeddingIdentity
from octant.schema import CollectionSchema
from octant.statistics import Estimate
from octant.store.base import Store
from octant.work import Work, progress_bar

MAX_PASSES = 5


@dataclass(frozen=True, eq=False)
class Places:
    """Where source and target are, and how to reach them."""

    location: Location
    to: Location
    client_options: Mapping[str, Any] | None
    to_client_options: Mapping[str, Any] | None
    collection_options: Mapping[str, Any] | None

    @classmethod
    def of(
        cls,
        location: Location,
        to: Location | None,
        client_options: Mapping[str, Any] | None,
        to_client_options: Mapping[str, Any] | None,
        collection_options: Mapping[str, Any] | None,
    ) -> Places:
        """The target is where the source is unless ``to`` says otherwise."""
        if to == ":memory:":
            raise InputError("a collection in memory is gone once it is made: name a directory or a server with --to")
        if to is None or _words(to) == _words(location):
            return cls(location, location, client_options, to_client_options or client_options, collection_options)
        return cls(location, to, client_options, to_client_options, collection_options)

    @property
    def same(self) -> bool:
        """Whether both are in one place."""
        return _words(self.location) == _words(self.to)

    @property
    def origin(self) -> str:
        """Where the source is, in words."""
        return _words(self.location)

    def store(self, name: str) -> Store:
        """A collection where the target is."""
        options = self.collection_options
        return store_at(self.to, name, client_options=self.to_client_options, collection_options=options)


def _words(location: Location) -> str:
    if isinstance(location, str | PathLike):
        text = fspath(location)
        return text if text.startswith(("http://", "https://")) or text == ":memory:" else str(Path(text).absolute())
    return f"client {id(location)}"


def _compress(
    name: str,
    *,
    location: Location,
    into: str | None = None,
    to: Location | None = None,
    in_place: bool = False,
    represent: str | None = None,
    vectors: Mapping[str, Choice] | None = None,
    recommendation: Recommendation | str | Path | None = None,
    drop_vectors: Sequence[str] = (),
    hnsw: HnswSettings | None = None,
    placement: MemoryPlacement | None = None,
    knobs: SearchKnobs | None = None,
    embedding: object | None = None,
    text_key: str | None = None,
    seed: int = 0,
    min_recall: float | None = None,
    catch_up: bool = False,
    max_passes: int = MAX_PASSES,
    alias: str | None = None,
    delete_source: bool = False,
    drop_originals: bool = False,
    overwrite: bool = False,
    from_codes: bool = False,
    skip_invalid: bool = False,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    client_options: Mapping[str, Any] | None = None,
    to_client_options: Mapping[str, Any] | None = None,
    collection_options: Mapping[str, Any] | None = None,
) -> Flow[CompressReport]:
    """Compress the vectors of a collection that anybody made, into a new collection or beside the originals.

    Points stream through in pages, so memory does not depend on how many there are. Killed at any moment, the same
    call goes on where it was. Before anything is switched, every point is compared with the source and recall is
    measured against an exact search of the source's vectors. Nothing of the source is deleted unless asked for.

    Parameters
    ----------
    name : str
        Of the collection, or of an alias.
    location : Location
        As for :meth:`Collection.create`.
    into : str, optional
        Name of a new collection; an unfinished one of the same order is gone on with.
    to : Location, optional
        Where the new collection shall be, if elsewhere.
    in_place : bool
        Add the compressed vectors to the collection itself, under the name of the original and ``octant``. Servers
        from 1.18 on, and Edge.
    represent : str, optional
        Spec for the only dense vector. One of this, ``vectors`` and ``recommendation``.
    vectors : mapping, optional
        From names of vectors to specs, recommendations, or paths of recommendations. The others go over unchanged.
    recommendation : Recommendation, str or Path, optional
        What ``octant tune`` recommends, for the only dense vector.
    drop_vectors : sequence of str
        Vectors that the new collection does not get.
    hnsw, placement, knobs : optional
        Of the target; by default the source's graph, and codes where :class:`MemoryPlacement` puts them.
    embedding : optional
        The model that made the vectors, to be recorded; what the source records goes over anyway.
    text_key : str, optional
        Payload key of the text; by default the source's, or ``"page_content"``.
    seed : int
        Of everything random.
    min_recall : float, optional
        Refuse to switch where the lower 95 % limit of recall@10 is below it; by default the bound that the
        recommendation was asked for, if any.
    catch_up : bool
        Copy again what was written to the source meanwhile, deletions included, until a pass finds nothing.
    max_passes : int
        Most such passes.
    alias : str, optional
        Let this name stand for the new collection once it is verified.
    delete_source, drop_originals : bool
        Once it is verified, delete the source; in place, the original vectors.
    overwrite : bool
        Begin anew if the target is there.
    from_codes : bool
        Accept a source that is compressed already: its codes are decoded and lose a second time.
    skip_invalid : bool
        Carry over points whose vector is all zeros (under cosine) or not finite without it, instead of refusing.
    progress : bool
        Show progress bars on standard error.
    checkpoint : str or Path, optional
        Folder for what an interrupted fit resumes from; an Edge target keeps that itself.
    client_options, to_client_options, collection_options : mapping, optional
        See :func:`octant.location.store_at`; the last one is for the new collection.

    Returns
    -------
    CompressReport

    Raises
    ------
    InputError, SpecError, DimensionError, TooFewVectorsError, MismatchError, ArtifactError
        Before anything is written, if the order is impossible.
    CollectionNotFoundError, CollectionExistsError, LockedError, UnsupportedError, UnavailableError
    VectorValueError
        If a vector cannot be represented: the ids.
    VerificationError
        If the copy differs from its source or finds too little; nothing is switched or deleted then.
    """
    _check_numbers(min_recall, max_passes)
    wish = Wish(
        into, in_place, represent, recommendation, vectors or {}, tuple(drop_vectors), hnsw, placement, knobs,
        text_key, seed, from_codes, skip_invalid,
    )  # fmt: skip
    wish.check()
    model = embedder(embedding)
    places = Places.of(location, to, client_options, to_client_options, collection_options)
    ending = Ending(alias, delete_source, drop_originals)
    how = _How(_bound(min_recall, wish), catch_up, max_passes, overwrite, progress, checkpoint, ending)
    source = yield from open_source(name, location, client_options, in_place=in_place)
    try:
        order = resolve(wish, source, places.origin, same_place=places.same)
        store = source.store if in_place else places.store(order.target)
        try:
            return (yield from _into(order, source, store, places, model, how))
        finally:
            yield from store.close()
    finally:
        yield from source.store.close()


compress = blocking(_compress)
acompress = awaitable(_compress)


def _plan_compression(
    name: str,
    *,
    location: Location,
    into: str | None = None,
    to: Location | None = None,
    in_place: bool = False,
    represent: str | None = None,
    vectors: Mapping[str, Choice] | None = None,
    recommendation: Recommendation | str | Path | None = None,
    drop_vectors: Sequence[str] = (),
    hnsw: HnswSettings | None = None,
    placement: MemoryPlacement | None = None,
    knobs: SearchKnobs | None = None,
    embedding: object | None = None,
    text_key: str | None = None,
    seed: int = 0,
    alias: str | None = None,
    delete_source: bool = False,
    drop_originals: bool = False,
    overwrite: bool = False,
    from_codes: bool = False,
    skip_invalid: bool = False,
    progress: bool = False,
    client_options: Mapping[str, Any] | None = None,
    to_client_options: Mapping[str, Any] | None = None,
    collection_options: Mapping[str, Any] | None = None,
) -> Flow[CompressPlan]:
    """What :func:`compress` with the same arguments would bring: bytes, time and recall; nothing is written.

    A sample of the source is really learned from, encoded, stored on Edge in a temporary directory, indexed and
    searched; what it took is multiplied out. What ``compress`` would refuse at once is refused here too.

    Returns
    -------
    CompressPlan

    Raises
    ------
    InputError, SpecError, DimensionError, TooFewVectorsError, MismatchError, ArtifactError, VectorValueError
    CollectionNotFoundError, CollectionExistsError, LockedError, UnsupportedError, UnavailableError
    """
    wish = Wish(
        into, in_place, represent, recommendation, vectors or {}, tuple(drop_vectors), hnsw, placement, knobs,
        text_key, seed, from_codes, skip_invalid,
    )  # fmt: skip
    wish.check()
    model = embedder(embedding)
    places = Places.of(location, to, client_options, to_client_options, collection_options)
    ending = Ending(alias, delete_source, drop_originals)
    source = yield from open_source(name, location, client_options, in_place=in_place)
    try:
        order = resolve(wish, source, places.origin, same_place=places.same)
        store = source.store if in_place else places.store(order.target)
        try:
            identity = yield from _checked(order, source, store, places, model, ending)
            found = yield from target.find(order, store, overwrite=overwrite)
            kept = target.kept_schema(order, source, store)
            return (
                yield from plan(
                    order, source, store, kept, identity,
                    free=sizing.free_bytes(places.to), resumes=found is not None, work=Work(progress=progress),
                )
            )  # fmt: skip
        finally:
            yield from store.close()
    finally:
        yield from source.store.close()


plan_compression = blocking(_plan_compression)
aplan_compression = awaitable(_plan_compression)


def _checked(
    order: Order, source: Source, store: Store, places: Places, model: Embedder | None, ending: Ending
) -> Flow[EmbeddingIdentity | None]:
    """Refuse what can be refused before anything is written; which model made the vectors, where that is told."""
    named = None if ending.alias is None else places.store(ending.alias)
    yield from switch.check(ending, order, source, store, named, same_place=places.same)
    return (yield from learn.identity_of(model, order, source))


_COMPLETE = (
    "it was complete already: nothing was copied or compared; --catch-up copies what was written to the source since"
)


@dataclass(frozen=True, eq=False)
class _How:
    """What does not change the target."""

    min_recall: float | None
    catch_up: bool
    max_passes: int
    overwrite: bool
    progress: bool
    checkpoint: str | Path | None
    ending: Ending


def _check_numbers(min_recall: float | None, max_passes: int) -> None:
    if min_recall is not None and not 0 <= min_recall <= 1:
        raise InputError(f"min_recall is a share between 0 and 1, got {min_recall}")
    if max_passes < 1:
        raise InputError(f"max_passes must be at least 1, got {max_passes}")


def _bound(min_recall: float | None, wish: Wish) -> float | None:
    """The recall that is asked for, by the caller or by the goal of the recommendation."""
    if min_recall is not None or wish.recommendation is None:
        return min_recall
    asked = Recommendation.of(wish.recommendation).goal.get("min_recall")
    return float(asked) if isinstance(asked, int | float) else None


def _into(
    order: Order, source: Source, store: Store, places: Places, model: Embedder | None, how: _How
) -> Flow[CompressReport]:
    identity = yield from _checked(order, source, store, places, model, how.ending)
    found = yield from target.find(order, store, overwrite=how.overwrite)
    kept = target.kept_schema(order, source, store)
    journal = found
    yield from _probe(order, source)
    if journal is None:
        yield from _check_disk(order, source, kept, places)
        before = yield from source.store.footprint()
        journal = yield from target.begin(order, source, store, kept, before, overwrite=how.overwrite)
    elif not journal.stretches:
        yield from target.go_on(order, source, store, kept)
    run = Run(source, store, order, kept, journal, learn.cores(order, source, store, kept, identity))
    if journal.phase == "done" and not (how.ending.deletes or how.catch_up):
        report = CompressReport.from_json(journal.verified or {})
        recall.check(order, list(report.recall.values()), how.min_recall)
        report = replace(report, min_recall=how.min_recall, notes=(_COMPLETE,))
    else:
        report = yield from _run(run, how, resumed=found is not None)
    switched = yield from switch.switch(how.ending, order, source, store, same_place=places.same)
    notes = switch.notes(how.ending, order, source, same_place=places.same)
    return replace(report, switched=switched, notes=(*report.notes, *notes))


def _probe(order: Order, source: Source) -> Flow[None]:
    """Ask for a little of what will be asked for: an engine that refuses does so before anything is written."""
    yield from source.store.read(limit=1, vectors=source.schema.names, with_payload=not order.in_place)
    if order.in_place and source.store.engine != "edge":
        yield from source.store.add_vectors(())


def _check_disk(order: Order, source: Source, kept: CollectionSchema, places: Places) -> Flow[None]:
    if sizing.free_bytes(places.to) is None:
        return
    points = yield from source.store.sample(
        sizing.FEW, seed=order.seed, vectors=kept.names, with_payload=not order.in_place
    )
    expected = yield from sizing.estimate(points, kept, target.all_layouts(order, source), source.points)
    sizing.check_disk(places.to, expected.disk_bytes)


def _run(run: Run, how: _How, *, resumed: bool) -> Flow[CompressReport]:
    yield from run.let_go()  # an engine reads what it keeps cached as soon as it opens
    nears = yield from learn.fit(run, Work(progress=how.progress, checkpoint=how.checkpoint))
    if run.journal.phase == "copy":
        with progress_bar(run.source.points, title="copy", unit="point", show=how.progress) as advance:
            if advance is not None:
                advance(run.journal.copied)
            yield from stream.copy(run, advance)
    again = run.journal.phase == "done"
    found, passes, caught_up, fresh = yield from _verified(run, nears, how)
    estimates = yield from _recalls(run, fresh)
    recall.check(run.order, estimates, how.min_recall)
    report = yield from _report(run, how, found, passes, caught_up, estimates, resumed=resumed)
    if not again:
        for core in run.cores:
            yield from run.target.write_manifest(core.manifest.to_json())
    if not run.order.in_place:
        yield from attachments.carry(run.source.store, run.target)
    yield from run.note(replace(run.journal, phase="done", verified=report.as_json()))
    return report


def _verified(
    run: Run, nears: Sequence[Neighbours], how: _How
) -> Flow[tuple[verify.Findings, int, dict[str, int], tuple[Neighbours, ...]]]:
    """Compare until a pass finds nothing that moved; the last findings, passes, what moved, what recall needs."""
    caught_up = {"new": 0, "changed": 0, "deleted": 0}
    for passed in range(1, how.max_passes + 1):
        with progress_bar(1, title="index", unit="target", show=how.progress) as advance:
            yield from run.target.optimize()
            yield from run.let_go()
            if advance is not None:
                advance(1)
        fresh = tuple(near.anew() for near in nears)
        with progress_bar(run.source.points, title="verify", unit="point", show=how.progress) as advance:
            found = yield from verify.compare(run, fresh, catch_up=how.catch_up, progress=advance)
        found.check()
        if not found.moved:
            return found, passed, caught_up, fresh
        if not how.catch_up:
            raise VerificationError(_moved(found, "run the same command with --catch-up (catch_up=True)"))
        for what in caught_up:
            caught_up[what] += getattr(found, what)
    raise VerificationError(
        _moved(found, f"it went on through {how.max_passes} passes: stop who writes to it, then run the same command")
    )


def _moved(found: verify.Findings, remedy: str) -> str:
    return (
        f"the source was written to while it was copied: {found.new} points are new, {found.changed} changed, "
        f"{found.deleted} deleted (ids {', '.join(map(str, found.examples))}). Nothing was switched: {remedy}"
    )


def _recalls(run: Run, nears: Sequence[Neighbours]) -> Flow[list[Estimate]]:
    found = []
    for core, near in zip(run.cores, nears, strict=True):
        core.forget_count()
        found.append((yield from recall.measure(core, near)))
    return found


def _report(
    run: Run,
    how: _How,
    found: verify.Findings,
    passes: int,
    caught_up: Mapping[str, int],
    estimates: Sequence[Estimate],
    *,
    resumed: bool,
) -> Flow[CompressReport]:
    parts = run.order.parts
    after = yield from run.target.footprint()
    yield from run.note(run.journal)
    return CompressReport(
        source=run.order.source,
        target=run.order.target,
        source_engine=run.source.store.engine,
        target_engine=run.target.engine,
        represent={part.target: part.represent for part in parts},
        artifacts={core.manifest.vector_name: core.manifest.artifact for core in run.cores},
        fingerprint=run.order.fingerprint,
        copied=found.points,
        without={part.target: count for part, count in zip(parts, found.without, strict=True)},
        passes=passes,
        caught_up=dict(caught_up),
        before=footprint(run.journal.before or footprint_json(after)),
        after=after,
        recall={part.target: estimate for part, estimate in zip(parts, estimates, strict=True)},
        min_recall=how.min_recall,
        seconds=run.journal.seconds,
        resumed=resumed,
    )
