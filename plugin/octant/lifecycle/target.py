"""The target comes to be, or is taken up where a killed run left it."""

from __future__ import annotations

from dataclasses import replace

from octant.errors import CollectionExistsError, InputError
from octant.flow import Flow
from octant.layout import VectorLayout
from octant.lifecycle import journal as journals
from octant.lifecycle.journal import Journal
from octant.lifecycle.order import Order, carried, layouts
from octant.lifecycle.report import footprint_json
from octant.lifecycle.run import stretch_points
from octant.lifecycle.source import Source
from octant.records import Footprint
from octant.schema import CollectionSchema
from octant.store.base import Store


def kept_schema(order: Order, source: Source, target: Store) -> CollectionSchema:
    """What of the source goes into the target as it is; nothing in place, where it is there already."""
    if order.in_place:
        return CollectionSchema()
    kept = carried(order, source)
    placement = order.parts[0].placement.payload
    # What only one engine has (shards, strict mode …) says nothing to another.
    options = kept.options if source.store.engine == target.engine else {}
    return replace(kept, payload_placement=placement, options=options)


def all_layouts(order: Order, source: Source) -> tuple[VectorLayout, ...]:
    """Every named vector that is made for the order."""
    return tuple(layout for part in order.parts for layout in layouts(part, source))


def find(order: Order, target: Store, *, overwrite: bool) -> Flow[Journal | None]:
    """The journal to go on from, the target then being open; None where there is nothing yet.

    Nothing is written.

    Raises
    ------
    CollectionExistsError
        If the target is there, and not the unfinished one of this very order, and ``overwrite`` is not set.
    InputError
        If its name is an alias.
    """
    if order.in_place:
        found = yield from journals.load(target)
        if found is not None and found.phase == "done" and found.fingerprint != order.fingerprint:
            found = None  # another one, long complete: its vectors stay, and keep their names
        return _own(order, found, overwrite=overwrite)
    if order.target in (yield from target.aliases()):
        raise InputError(
            f"{order.target!r} is an alias: give the new collection a name of its own, and the alias with --alias "
            f"{order.target} (alias=)"
        )
    if not (yield from target.exists()):
        return None
    yield from target.open()
    found = yield from journals.load(target)
    if found is None and not overwrite and (yield from _is_blank(target)):
        return None
    if found is None and not overwrite:
        raise CollectionExistsError(
            f"there is already a collection {order.target!r}, and no compression of {order.source!r} began it: choose "
            "another name, or replace it with --overwrite (overwrite=True)"
        )
    return _own(order, found, overwrite=overwrite)


def _own(order: Order, found: Journal | None, *, overwrite: bool) -> Journal | None:
    if overwrite or found is None:
        return None
    if found.fingerprint != order.fingerprint:
        raise CollectionExistsError(
            f"{order.target!r} is the target of another compression ({found.command}; {found.phase}): run that one to "
            "its end, choose another name, or begin anew with --overwrite (overwrite=True)"
        )
    return found


def _is_blank(target: Store) -> Flow[bool]:
    """Whether the process was killed between the making of the collection and the first line of its journal."""
    schema = yield from target.schema()
    return not schema.manifests and not (yield from target.count())


def begin(
    order: Order, source: Source, target: Store, kept: CollectionSchema, before: Footprint, *, overwrite: bool
) -> Flow[Journal]:
    """Make the target, or the new vectors of the source, with an empty journal.

    Raises
    ------
    CollectionExistsError
        In place, if the collection has vectors of these names already.
    UnsupportedError
        If the engine cannot hold it.
    """
    made = all_layouts(order, source)
    journal = Journal(
        fingerprint=order.fingerprint,
        command=order.command,
        vectors=tuple(part.target for part in order.parts) if order.in_place else (),
        stretch_points=stretch_points(source.points),
        before=footprint_json(before),
    )
    if order.in_place:
        yield from _begin_in_place(order, source, made, journal, overwrite=overwrite)
        return journal
    if (yield from target.exists()):
        yield from target.drop()
    yield from target.create_like(kept, made)
    yield from _copy_artifacts(source.store, target, kept)
    yield from journals.save(target, journal)
    return journal


def _begin_in_place(
    order: Order, source: Source, made: tuple[VectorLayout, ...], journal: Journal, *, overwrite: bool
) -> Flow[None]:
    names = {layout.name for layout in made}
    there = sorted(names & set((yield from source.store.schema()).names))
    if there and not overwrite:
        raise CollectionExistsError(
            f"the collection {order.source!r} has vectors called {', '.join(map(repr, there))} already: replace them "
            "with --overwrite (overwrite=True), or compress into a new collection with --into"
        )
    if there:
        for part in order.parts:
            yield from source.store.drop_manifest(part.target)
        yield from source.store.drop_vectors(there)
    # First the journal: vectors without one would be taken for somebody else's.
    yield from journals.save(source.store, journal)
    yield from source.store.add_vectors(made)


def go_on(order: Order, source: Source, target: Store, kept: CollectionSchema) -> Flow[None]:
    """Make what a run that was killed at the very beginning may not have made any more."""
    if order.in_place:
        yield from target.add_vectors(all_layouts(order, source))
        return
    for index in kept.indexes:
        yield from target.create_index(index)
    yield from _copy_artifacts(source.store, target, kept)


def _copy_artifacts(source: Store, target: Store, kept: CollectionSchema) -> Flow[None]:
    """What Octant's representations that go over unchanged have learned goes with them."""
    for manifest in kept.manifests.values():
        digest = manifest.get("artifact")
        if digest is not None:
            yield from target.write_artifact(digest, (yield from source.read_artifact(digest)))
