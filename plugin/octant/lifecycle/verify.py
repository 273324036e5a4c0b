"""Compares source and target, point by point, in one pass over both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.errors import VerificationError
from octant.flow import Flow, step
from octant.layout import StoredPoint
from octant.lifecycle.cursor import Cursor
from octant.lifecycle.digests import UNKNOWN, RunningDigest, Stored, Stretch
from octant.lifecycle.encode import SHOWN, Encoder
from octant.lifecycle.neighbours import Neighbours
from octant.lifecycle.run import Progress, Run
from octant.lifecycle.stream import recopy
from octant.records import JSON, CodeArray, Distance, FloatArray, SparseVector
from octant.representation import StageName

TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "uint8": 0.0, "turbo16": 2e-3, "turbo8": 0.05, "turbo4": 0.3}
"""By datatype: how far, relative to its length, a vector may be from what was written. Engines normalise under cosine,
and compressed datatypes come back as the floats they decode to."""
ENCODED_ALIKE = 0.02
"""The same of codes that come out equal whenever they are made, and are bytes."""
ENCODED_DIFFERENTLY = 0.6
"""The same of codes whose numbers depend in their last digits on what else is encoded with them, as matrix products do:
what is told apart are codes of other vectors, which are farther away than this."""
ENCODED_AGAIN = 64
"""Points of every stretch whose codes are made a second time and compared; the presence of codes is checked for all."""

_See: TypeAlias = Callable[[list[StoredPoint]], None]
"""What looks at every page of the source."""


@dataclass
class Findings:
    """What one pass over source and target found.

    Attributes
    ----------
    points : int
        Of the source.
    without : list of int
        Points that have no vector to compress, by part of the order.
    new, changed, deleted : int
        Points of the source that were written to since they were copied.
    missing, extra, differing : int
        Points of the target that are not as they were written, though the source is as it was.
    examples : list of int or str
        Ids of some of all these.
    """

    points: int = 0
    without: list[int] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    deleted: int = 0
    missing: int = 0
    extra: int = 0
    differing: int = 0
    examples: list[int | str] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """Points of the source that were written to."""
        return self.new + self.changed + self.deleted

    def check(self) -> None:
        """Refuse a target that is not what was written to it.

        Raises
        ------
        VerificationError
        """
        if self.missing or self.extra or self.differing:
            raise VerificationError(
                f"the target differs from what was written to it: {self.missing} points are missing, {self.extra} are "
                f"there that were never copied, {self.differing} have another payload or vector (ids "
                f"{', '.join(map(str, self.examples))}). Source and target are left as they are: find out who writes "
                "to the target, then begin again with --overwrite (overwrite=True)"
            )


@dataclass
class Differences:
    """Ids of one stretch that differ, before it is known whether the source moved or the target is damaged.

    Attributes
    ----------
    missing, extra, differing : list of int or str
    met : int
        Points that both have.
    """

    missing: list[int | str] = field(default_factory=list)
    extra: list[int | str] = field(default_factory=list)
    differing: list[int | str] = field(default_factory=list)
    met: int = 0

    @property
    def ids(self) -> list[int | str]:
        """All of them."""
        return [*self.missing, *self.differing, *self.extra]


def compare(
    run: Run, neighbours: Sequence[Neighbours], *, catch_up: bool = False, progress: Progress | None = None
) -> Flow[Findings]:
    """One pass over source and target; every vector of the source also passes by ``neighbours``.

    A stretch of the source that is not what was copied is counted as new, changed and deleted points, and with
    ``catch_up`` copied again. Anything else that differs is damage.

    Parameters
    ----------
    run : Run
        Copied.
    neighbours : sequence of Neighbours
        One for each part of the order.
    catch_up : bool
    progress : callable, optional
        Called with the number of points just compared.
    """
    found = Findings(without=[0] * len(run.encoders))
    ours, theirs = _cursors(run, None)
    for position, stretch in enumerate(run.journal.stretches):
        running = RunningDigest()

        def see(points: list[StoredPoint], running: RunningDigest = running) -> None:
            for point in points:
                running.add(run.digest(point))
            _pass_by(run, points, neighbours, found)
            if progress is not None:
                progress(len(points))

        differences = yield from _stretch(run, stretch, ours, theirs, see, ENCODED_AGAIN)
        found.points += running.count
        if running.value == stretch.digest:
            _count_damage(found, differences)
            continue
        yield from _moved(run, position, running.count, found)
        if catch_up:
            found.check()
            yield from recopy(run, position, differences.extra)
    return found


def _moved(run: Run, position: int, count: int, found: Findings) -> Flow[None]:
    """Count what was written to in a stretch that now has ``count`` points, by comparing everything in it again."""
    stretches = run.journal.stretches
    ours, theirs = _cursors(run, stretches[position - 1].last if position else None)
    everything = 1 << 62
    differences = yield from _stretch(run, stretches[position], ours, theirs, _unseen, everything)
    new, changed, deleted = (len(ids) for ids in (differences.missing, differences.differing, differences.extra))
    if run.order.in_place:
        # There is no other collection whose points could be missing: what the numbers say is all there is.
        new, deleted = max(0, count - stretches[position].count), max(0, stretches[position].count - count)
        changed = max(0, changed - new)
    elif stretches[position].count not in (UNKNOWN, differences.met + deleted):
        # Copied was another number of points than there are: somebody writes to the target.
        found.extra += abs(differences.met + deleted - stretches[position].count)
    found.new += new
    found.deleted += deleted
    # A vector may have changed so little that its code is the same.
    found.changed += changed or int(not new and not deleted)
    _show(found, differences)


def _unseen(points: list[StoredPoint]) -> None:
    """Look at points that were seen before."""


def _count_damage(found: Findings, differences: Differences) -> None:
    found.missing += len(differences.missing)
    found.extra += len(differences.extra)
    found.differing += len(differences.differing)
    _show(found, differences)


def _show(found: Findings, differences: Differences) -> None:
    found.examples += differences.ids[: SHOWN - len(found.examples)]


def _cursors(run: Run, after: int | str | None) -> tuple[Cursor, Cursor | None]:
    """The source, and the target: none in place, where a point of the source has its codes with it."""
    codes = [name for encoder in run.encoders for name in encoder.names]
    if run.order.in_place:
        both = [*run.read_names, *codes]
        return Cursor(run.source.store, run.page, vectors=both, with_payload=False, after=after), None
    ours = Cursor(run.source.store, run.page, vectors=run.read_names, after=after)
    return ours, Cursor(run.target, run.page, vectors=[*codes, *run.kept.names], after=after)


def _stretch(
    run: Run,
    stretch: Stretch,
    ours: Cursor,
    theirs: Cursor | None,
    see: Callable[[list[StoredPoint]], None],
    encoded_again: int,
) -> Flow[Differences]:
    """Lockstep through one stretch: each page of the source with the points of the target up to its last id."""
    found = Differences()
    while points := (yield from ours.within(stretch)):
        yield from step(partial(see, points))
        there = {point.id: point for point in points}
        if theirs is not None:
            there = yield from _up_to(theirs, Stretch(points[-1].id, 0, ""))
        yield from step(partial(_meet, run, points, there, found, encoded_again))
        encoded_again = max(0, encoded_again - len(points))
        yield from run.let_go()
    if theirs is not None:
        found.extra += yield from _up_to(theirs, stretch)
    return found


def _up_to(cursor: Cursor, end: Stretch) -> Flow[dict[int | str, StoredPoint]]:
    there: dict[int | str, StoredPoint] = {}
    while points := (yield from cursor.within(end)):
        there |= {point.id: point for point in points}
    return there


def _pass_by(run: Run, points: list[StoredPoint], neighbours: Sequence[Neighbours], found: Findings) -> None:
    for part, (encoder, near) in enumerate(zip(run.encoders, neighbours, strict=True)):
        rows, x = encoder.read(points)
        found.without[part] += len(points) - len(rows)
        near.add([points[row].id for row in rows], x)


def _meet(
    run: Run, points: Sequence[StoredPoint], there: dict[int | str, StoredPoint], found: Differences, encoded_again: int
) -> None:
    known = {point.id for point in points}
    found.extra += [point for point in there if point not in known]
    met = [point for point in points if point.id in there]
    found.missing += [point.id for point in points if point.id not in there]
    wrong = {point.id for point in met if not run.order.in_place and not _as_kept(run, point, there[point.id])}
    for encoder in run.encoders:
        wrong |= _wrong_codes(encoder, met, there, encoded_again)
    found.differing += [point.id for point in met if point.id in wrong]
    found.met += len(met)


def _as_kept(run: Run, point: StoredPoint, copy: StoredPoint) -> bool:
    """Whether payload and vectors that go over unchanged did."""
    if not same_payload(dict(point.payload), dict(copy.payload)):
        return False
    ours: dict[str, Stored] = {**point.vectors, **point.sparse, **point.multi}
    theirs: dict[str, Stored] = {**copy.vectors, **copy.sparse, **copy.multi}
    for name in run.kept.names:
        if (name in ours) != (name in theirs):
            return False
        if name in ours and not _same(ours[name], theirs[name], _datatype(run, name)):
            return False
    return True


def same_payload(one: JSON, other: JSON) -> bool:
    """Whether two JSON values are equal, save for the last digit of fractions.

    Edge 0.9 reads some of the fractions that it is given as the next one of the same precision.

    Examples
    --------
    >>> same_payload({"a": [90.28571428571429]}, {"a": [90.28571428571428]}), same_payload({"a": 1}, {"a": True})
    (True, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_payload(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_payload, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=4e-16, abs_tol=0.0)
    return type(one) is type(other) and bool(one == other)


def _datatype(run: Run, name: str) -> str:
    for vector in run.kept.vectors:
        if vector.name == name:
            return str(vector.settings.get("datatype") or "float32")
    sparse = next(vector for vector in run.kept.sparse if vector.name == name)
    return str((sparse.settings.get("index") or {}).get("datatype") or "float32")


def _wrong_codes(
    encoder: Encoder, met: Sequence[StoredPoint], there: dict[int | str, StoredPoint], encoded_again: int
) -> set[int | str]:
    rows, x = encoder.read(met)
    has = set(rows)
    wrong = {
        point.id
        for row, point in enumerate(met)
        for name in encoder.names
        if (name in there[point.id].vectors) != (row in has)
    }
    rows = [row for row in rows if met[row].id not in wrong][:encoded_again]
    if not rows:
        return wrong
    kept = np.isin(np.flatnonzero([row in has for row in range(len(met))]), rows)
    again = encoder.codes(x[kept])
    for stage in encoder.representation.stages:
        name, tolerance = encoder.name_of(stage), _tolerance(encoder, stage)
        stored = np.stack([there[met[row].id].vectors[name] for row in rows])
        close = _close(_comparable(encoder, stage, again[name]), _comparable(encoder, stage, stored), tolerance)
        wrong |= {met[row].id for row, is_close in zip(rows, close, strict=True) if not is_close}
    return wrong


def _tolerance(encoder: Encoder, stage: StageName) -> float:
    chain = encoder.representation.stages[stage]
    if chain.reducers or chain.learns:
        return ENCODED_DIFFERENTLY
    return TOLERANCE.get(encoder.needs_of(stage).datatype, 0.0) or ENCODED_ALIKE


def _comparable(encoder: Encoder, stage: StageName, codes: CodeArray) -> FloatArray:
    """Codes (n, width) as vectors whose distance means something: bytes decoded, of unit length under cosine."""
    needs = encoder.needs_of(stage)
    if needs.datatype == "uint8":
        return encoder.representation.decode(np.asarray(codes, np.uint8), stage)
    x = np.asarray(codes, np.float32)
    if needs.metric is not Distance.COSINE:
        return x
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1))


def _close(one: FloatArray, other: FloatArray, tolerance: float) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(one - other, axis=1) <= tolerance * np.linalg.norm(one, axis=1))


def _same(written: Stored, stored: Stored, datatype: str) -> bool:
    """Whether ``stored`` is what an engine makes of ``written``."""
    if isinstance(written, SparseVector) or isinstance(stored, SparseVector):
        return (
            isinstance(written, SparseVector)
            and isinstance(stored, SparseVector)
            and _same_sparse(written, stored, datatype)
        )
    if written.shape != stored.shape:
        return False
    one, other = np.asarray(written, np.float64), np.asarray(stored, np.float64)
    return bool(np.linalg.norm(one - other) <= TOLERANCE[datatype] * np.linalg.norm(one))


def _same_sparse(written: SparseVector, stored: SparseVector, datatype: str) -> bool:
    one, other = np.argsort(written.indices), np.argsort(stored.indices)
    if not np.array_equal(written.indices[one], stored.indices[other]):
        return False
    tolerance = 0.01 if datatype == "uint8" else TOLERANCE.get(datatype, 0.0)
    a, b = written.values[one], stored.values[other]
    return bool(np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a))
