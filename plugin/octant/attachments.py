"""Trained parts beside the vectors they were trained for: kept with a collection, carried over when it is compressed.

Their bytes lie where the fitted states of representations do; one small note of the collection names them, and holds
the identity by which a part knows the collection again.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from octant.core import Core
from octant.errors import ArtifactError, InputError
from octant.flow import Flow
from octant.identity import same_model
from octant.records import JSON, EmbeddingIdentity
from octant.trained import TrainedPart

KEY = "attachments"
"""Name of the note."""

Part = TypeVar("Part", bound=TrainedPart)


class Keeper(Protocol):
    """What keeps notes and bytes with a collection."""

    def read_state(self, key: str) -> Flow[JSON | None]:
        """What was kept under ``key``, or None."""
        ...

    def write_state(self, key: str, value: JSON) -> Flow[None]:
        """Keep ``value`` under ``key``."""
        ...

    def read_artifact(self, digest: str) -> Flow[bytes]:
        """The bytes behind ``digest``."""
        ...

    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        """Keep ``data`` under its ``digest``."""
        ...


@dataclass(frozen=True)
class Attachment:
    """A trained part that is kept with a collection.

    Attributes
    ----------
    kind : str
        e.g. ``"learned"``, ``"cutoff"``.
    spec : str
        What it was trained for.
    digest : str
        SHA-256 of its bytes.
    embedding : EmbeddingIdentity or None
        Whose vectors and scores it reads.
    """

    kind: str
    spec: str
    digest: str
    embedding: EmbeddingIdentity | None = None


@dataclass(frozen=True)
class _Note:
    """What is written down.

    Attributes
    ----------
    corpus : str
    parts : tuple of Attachment
    """

    corpus: str
    parts: tuple[Attachment, ...] = ()

    def as_json(self) -> dict[str, JSON]:
        return {"corpus": self.corpus, "parts": [asdict(part) for part in self.parts]}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> _Note:
        try:
            return cls(str(value["corpus"]), tuple(_attachment(entry) for entry in value["parts"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"the collection's note on what is attached to it cannot be read ({error!r}): restore the collection "
                "from a backup, or detach everything and train again"
            ) from error


def _attachment(entry: Mapping[str, JSON]) -> Attachment:
    embedding = None if entry["embedding"] is None else EmbeddingIdentity(**entry["embedding"])
    return Attachment(str(entry["kind"]), str(entry["spec"]), str(entry["digest"]), embedding)


def corpus(core: Core) -> Flow[str]:
    """The collection's identity, 32 hexadecimal digits: made up when first asked for, kept from then on.

    It goes with the documents into a compressed copy, and does not change when documents are added.

    Raises
    ------
    InputError
        While the collection has not been made.
    """
    _check_made(core)
    note = yield from _read(core.store)
    if note is None:
        note = _Note(uuid.uuid4().hex)
        yield from core.store.write_state(KEY, note.as_json())
    return note.corpus


def attach(core: Core, part: TrainedPart) -> Flow[Attachment]:
    """Keep ``part`` with the collection, in place of one of the same kind and spec for the same embedding.

    Raises
    ------
    MismatchError
        If it was trained for another embedding.
    InputError
        While the collection has not been made.
    """
    part.check_embedding(core.manifest.embedding)
    identity = yield from corpus(core)
    data = part.dumps()
    entry = Attachment(part.kind, part.spec, part.digest, part.origin.embedding)
    # The bytes are there before the note names them.
    yield from core.store.write_artifact(entry.digest, data)
    note = (yield from _read(core.store)) or _Note(identity)
    others = tuple(kept for kept in note.parts if not _same_place(kept, entry))
    yield from core.store.write_state(KEY, _Note(note.corpus, (*others, entry)).as_json())
    return entry


def attached(core: Core) -> Flow[tuple[Attachment, ...]]:
    """What is kept with the collection for its embedding, sorted by kind and spec."""
    if core.draft:
        return ()
    note = yield from _read(core.store)
    found = () if note is None else note.parts
    fitting = (part for part in found if _fits(part.embedding, core.manifest.embedding))
    return tuple(sorted(fitting, key=lambda part: (part.kind, part.spec)))


def find(core: Core, cls: type[Part], spec: str | None = None) -> Flow[Part | None]:
    """The part of the class ``cls`` that was trained for ``spec``, or the only one of its kind; None if there is none.

    Raises
    ------
    InputError
        If there are several of the kind and no ``spec`` tells which.
    ArtifactError
        If its bytes are missing or damaged.
    """
    fitting = [part for part in (yield from attached(core)) if part.kind == cls.kind and spec in (None, part.spec)]
    if not fitting:
        return None
    if len(fitting) > 1:
        listed = ", ".join(repr(part.spec) for part in fitting)
        raise InputError(f"several parts of the kind {cls.kind!r} are attached, {listed}: say which one by its spec")
    data = yield from core.store.read_artifact(fitting[0].digest)
    return cls.loads(data, expected=fitting[0].digest)


def detach(core: Core, kind: str, spec: str | None = None) -> Flow[int]:
    """Forget the parts of ``kind``, or the one of ``spec`` among them; how many there were.

    Their bytes stay: what is addressed by content may belong to others too.
    """
    if core.draft:
        return 0
    note = yield from _read(core.store)
    if note is None:
        return 0
    gone = [part for part in (yield from attached(core)) if part.kind == kind and spec in (None, part.spec)]
    if gone:
        left = tuple(part for part in note.parts if part not in gone)
        yield from core.store.write_state(KEY, _Note(note.corpus, left).as_json())
    return len(gone)


def carry(source: Keeper, target: Keeper) -> Flow[None]:
    """Take what is attached to one collection over to a copy of it, with its identity; a second time changes nothing.

    What was attached to the copy itself meanwhile stays.
    """
    original = yield from _read(source)
    if original is None:
        return
    copied = (yield from _read(target)) or _Note(original.corpus)
    missing = [part for part in original.parts if not any(_same_place(part, kept) for kept in copied.parts)]
    for part in missing:
        yield from target.write_artifact(part.digest, (yield from source.read_artifact(part.digest)))
    yield from target.write_state(KEY, _Note(copied.corpus, (*copied.parts, *missing)).as_json())


def _read(store: Keeper) -> Flow[_Note | None]:
    value = yield from store.read_state(KEY)
    return None if value is None else _Note.from_json(value)


def _check_made(core: Core) -> None:
    if core.draft:
        raise InputError("the collection has no dimension yet: add its first documents, then train and attach")


def _same_place(one: Attachment, other: Attachment) -> bool:
    same = (one.kind, one.spec) == (other.kind, other.spec)
    return same and _fits(one.embedding, other.embedding)


def _fits(one: EmbeddingIdentity | None, other: EmbeddingIdentity | None) -> bool:
    return one is None or other is None or same_model(one, other) is None
