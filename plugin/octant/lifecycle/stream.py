"""Copies the source into the target, stretch by stretch, and notes after each what it held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from octant.flow import Flow, step
from octant.layout import StoredPoint
from octant.lifecycle.cursor import Cursor
from octant.lifecycle.digests import UNKNOWN, RunningDigest, Stretch
from octant.lifecycle.encode import encode
from octant.lifecycle.journal import with_stretch
from octant.lifecycle.run import Progress, Run

BATCH = 256
"""Points in one request to the engine."""


def copy(run: Run, progress: Progress | None = None) -> Flow[None]:
    """Copy what is not copied yet; each stretch is durable before the journal says so.

    Raises
    ------
    VectorValueError
        If a vector of the source cannot be represented: the ids. What was copied before stays.
    PartialUploadError, UnavailableError, StoreError
    """
    journal = run.journal
    cursor = source_cursor(run, journal.after)
    while not (yield from cursor.ended()):
        running, last = RunningDigest(), None
        while running.count < journal.stretch_points:
            points = yield from cursor.take(min(run.page, journal.stretch_points - running.count))
            if not points:
                break
            yield from write(run, points)
            _digest(run, running, points)
            last = points[-1].id
            yield from run.let_go()
            if progress is not None:
                progress(len(points))
        position = len(run.journal.stretches)
        stretch = Stretch(last, running.count, running.value)
        yield from run.note(with_stretch(run.journal, position, stretch), changed=position)
    # Later points belong to the last stretch, so that a comparison finds them.
    position = len(run.journal.stretches)
    closed = with_stretch(run.journal, position, Stretch(None, 0, RunningDigest().value))
    yield from run.note(replace(closed, phase="verify"), changed=position)


def recopy(run: Run, position: int, extra: Sequence[int | str]) -> Flow[None]:
    """Copy one stretch again, and delete from the target the points ``extra``, which the source has no more."""
    stretches = run.journal.stretches
    stretch = stretches[position]
    cursor = source_cursor(run, stretches[position - 1].last if position else None)
    # Killed from here on, nobody knows what the target holds between these two ids.
    unknown = Stretch(stretch.last, UNKNOWN, "")
    yield from run.note(with_stretch(run.journal, position, unknown), changed=position)
    if extra and not run.order.in_place:
        yield from run.target.delete(list(extra))
    running = RunningDigest()
    while points := (yield from cursor.within(stretch)):
        yield from write(run, points)
        _digest(run, running, points)
        yield from run.let_go()
    again = Stretch(stretch.last, running.count, running.value)
    yield from run.note(with_stretch(run.journal, position, again), changed=position)


def source_cursor(run: Run, after: int | str | None) -> Cursor:
    """The source from ``after`` on, with everything that is encoded or carried over."""
    return Cursor(run.source.store, run.page, vectors=run.read_names, with_payload=not run.order.in_place, after=after)


def write(run: Run, points: Sequence[StoredPoint]) -> Flow[None]:
    """Encode ``points`` of the source and write them to the target; returns when they are durable."""
    if run.order.in_place:
        yield from _add(run, points)
        return
    encoded = yield from step(lambda: encode(points, run.encoders, run.kept))
    yield from run.target.upsert(encoded.batch, batch_size=BATCH)


def _add(run: Run, points: Sequence[StoredPoint]) -> Flow[None]:
    for encoder in run.encoders:
        rows, x = encoder.read(points)
        if rows:
            codes = yield from step(partial(encoder.codes, x))
            yield from run.target.write_vectors([points[row].id for row in rows], codes, batch_size=BATCH)


def _digest(run: Run, running: RunningDigest, points: Sequence[StoredPoint]) -> None:
    for point in points:
        running.add(run.digest(point))
