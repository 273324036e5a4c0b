"""How far a compression has come: written down with the target, so that a killed one goes on.

The journal is one small document and blocks of digests. A block is written before the document that counts it, and both
after the points they speak of are durable; so whatever the journal says is true, whenever the process dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from octant.errors import ArtifactError
from octant.flow import Flow
from octant.lifecycle.digests import Stretch
from octant.records import JSON
from octant.store.base import Store
from octant.unfinished import KEY

FORMAT = 1
BLOCK = 64
"""Stretches in a block: a few kilobytes, rewritten with every stretch."""

Phase: TypeAlias = Literal["learn", "copy", "verify", "done"]
"""What comes next. ``done`` means verified and open to everybody; the journal stays, to verify again by."""


@dataclass(frozen=True)
class Journal:
    """A compression that is not complete.

    Attributes
    ----------
    fingerprint : str
        Of the order; another order never goes on from this journal.
    command : str
        What to run again, in words.
    vectors : tuple of str
        Names of the representations that cannot be opened yet; none where the whole collection cannot.
    phase : {"learn", "copy", "verify", "done"}
    manifests : mapping
        By target vector, once it is fitted: its complete manifest.
    asked : mapping
        By target vector: ids of the points that recall is measured with, from which nothing has learned.
    stretch_points : int
        Points of a stretch.
    stretches : tuple of Stretch
        What is copied.
    before : mapping or None
        What the source occupied at the beginning.
    verified : mapping or None
        The report of the run that verified it, from ``done`` on.
    seconds : float
        Spent so far, by all runs.
    """

    fingerprint: str
    command: str
    vectors: tuple[str, ...]
    stretch_points: int
    phase: Phase = "learn"
    manifests: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    asked: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    stretches: tuple[Stretch, ...] = ()
    before: Mapping[str, JSON] | None = None
    verified: Mapping[str, JSON] | None = None
    seconds: float = 0.0

    @property
    def copied(self) -> int:
        """Points in complete stretches."""
        return sum(max(0, stretch.count) for stretch in self.stretches)

    @property
    def after(self) -> int | str | None:
        """Id after which copying goes on; None at the beginning."""
        return self.stretches[-1].last if self.stretches else None

    def document(self) -> dict[str, JSON]:
        """Everything but the stretches, as JSON values."""
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "command": self.command,
            "vectors": list(self.vectors),
            "stretch_points": self.stretch_points,
            "phase": self.phase,
            "manifests": {name: dict(manifest) for name, manifest in self.manifests.items()},
            "asked": {name: list(ids) for name, ids in self.asked.items()},
            "stretches": len(self.stretches),
            "before": None if self.before is None else dict(self.before),
            "verified": None if self.verified is None else dict(self.verified),
            "seconds": self.seconds,
        }


def block_key(block: int) -> str:
    """Name of the state that holds a block of stretches."""
    return f"{KEY}.{block}"


def save(store: Store, journal: Journal, *, changed: int | None = None) -> Flow[None]:
    """Write the journal down with the target.

    Parameters
    ----------
    store : Store
        Of the target, open.
    journal : Journal
    changed : int, optional
        Position of the stretch that is new or another than at the last save.
    """
    if changed is not None:
        block = changed // BLOCK
        rows = journal.stretches[block * BLOCK : (block + 1) * BLOCK]
        yield from store.write_state(block_key(block), [stretch.to_json() for stretch in rows])
    yield from store.write_state(KEY, journal.document())


def load(store: Store) -> Flow[Journal | None]:
    """The journal that is written down with the target; None where there is none.

    Raises
    ------
    ArtifactError
        If it is damaged, or of a later format.
    """
    found = yield from store.read_state(KEY)
    if found is None:
        return None
    count = found.get("stretches", 0)
    rows: list[JSON] = []
    for block in range(-(-count // BLOCK)):
        rows += (yield from store.read_state(block_key(block))) or []
    return _journal(found, rows[:count])


def _journal(found: Mapping[str, JSON], rows: Sequence[JSON]) -> Journal:
    if found.get("format") != FORMAT:
        raise ArtifactError(
            f"expected the journal of a compression in format {FORMAT}, got {found.get('format')!r}: another version "
            "of Octant began it; go on with that one, or begin again with --overwrite (overwrite=True)"
        )
    try:
        if len(rows) != found["stretches"]:
            raise ValueError(f"{len(rows)} of {found['stretches']} stretches")  # noqa: TRY301
        return Journal(
            fingerprint=found["fingerprint"],
            command=found["command"],
            vectors=tuple(found["vectors"]),
            stretch_points=int(found["stretch_points"]),
            phase=found["phase"],
            manifests=found["manifests"],
            asked=found["asked"],
            stretches=tuple(Stretch.from_json(row) for row in rows),
            before=found["before"],
            verified=found["verified"],
            seconds=float(found["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"the journal of an unfinished compression is damaged ({type(error).__name__}: {error}): begin again with "
            "--overwrite (overwrite=True)"
        ) from error


def with_stretch(journal: Journal, position: int, stretch: Stretch) -> Journal:
    """The journal with ``stretch`` at ``position``, which may be one past the end."""
    rows = (*journal.stretches[:position], stretch, *journal.stretches[position + 1 :])
    return replace(journal, stretches=rows)
