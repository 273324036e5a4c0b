"""What was measured of every family, kept durably where a folder is given: a killed tuning goes on from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octant.errors import ArtifactError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.oversampling import CoverageCurve
from octant.records import JSON, Placement
from octant.report import Distortion
from octant.tuning import serial
from octant.tuning.candidates import Family
from octant.version import __version__

FILE = "trials.jsonl"
Column = tuple[float, ...]


@dataclass(frozen=True)
class Answers:
    """What one setting found: a value for each query, higher is better.

    Attributes
    ----------
    recall : tuple of float
    ndcg : tuple of float
        Empty without labels.
    ratio : float or None
        Query time as a multiple of float32's; None while it was not timed.
    seconds : float
        Of asking.
    """

    recall: Column
    ndcg: Column
    ratio: float | None
    seconds: float


@dataclass(frozen=True)
class Record:
    """A family on a sample of one size.

    Attributes
    ----------
    components : mapping
        Bytes, in all, by component.
    held : mapping
        Component to where most of it lives.
    ram : float
        Bytes, in all, that are pinned or cached.
    seconds : float
        Of fit and build.
    curve : CoverageCurve or None
        Of two stages.
    distortion : Distortion or None
    answers : mapping
        By search settings.
    failed : str or None
        Why it could not be built.
    """

    components: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, Placement] = field(default_factory=dict)
    ram: float = 0.0
    seconds: float = 0.0
    curve: CoverageCurve | None = None
    distortion: Distortion | None = None
    answers: Mapping[SearchKnobs, Answers] = field(default_factory=dict)
    failed: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """The record as JSON values."""
        return {
            "components": dict(self.components),
            "held": dict(self.held),
            "ram": self.ram,
            "seconds": self.seconds,
            "curve": None if self.curve is None else self.curve.to_json(),
            "distortion": None if self.distortion is None else self.distortion.as_json(),
            "answers": [[asdict(knobs), asdict(found)] for knobs, found in self.answers.items()],
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Record:
        """The record that ``to_json`` wrote; KeyError, TypeError or ValueError if ``value`` is none."""
        curve, distortion = value["curve"], value["distortion"]
        return cls(
            serial.numbers(value["components"]),
            serial.placements(value["held"]),
            float(value["ram"]),
            float(value["seconds"]),
            None if curve is None else CoverageCurve.from_json(curve),
            None if distortion is None else Distortion(**serial.numbers(distortion)),
            {SearchKnobs(**knobs): _answers(found) for knobs, found in value["answers"]},
            serial.optional_text(value["failed"]),
        )


def _answers(found: Mapping[str, JSON]) -> Answers:
    ratio = found["ratio"]
    columns = serial.columns({"recall": found["recall"], "ndcg": found["ndcg"]})
    return Answers(
        columns["recall"], columns["ndcg"], None if ratio is None else float(ratio), float(found["seconds"])
    )  # fmt: skip


class Ledger:
    """Records by family and size of sample.

    Parameters
    ----------
    folder : Path or None
        Where ``trials.jsonl`` is kept; None keeps nothing.
    digest : str
        Of everything that decides a measurement but the family: data, queries, seed, versions. Lines of other digests
        are left alone.
    """

    def __init__(self, folder: Path | None, digest: str) -> None:
        self._path = None if folder is None else folder / FILE
        self._digest = digest
        self._known: dict[tuple[Family, int], Record] = dict(self._read())
        self.resumed = len(self._known)

    def get(self, family: Family, size: int) -> Record:
        """What is known; an empty record where nothing is."""
        return self._known.get((family, size), Record())

    def knows(self, family: Family, size: int) -> bool:
        """Whether the family was built, or failed to be, on a sample of ``size``."""
        return (family, size) in self._known

    def put(self, family: Family, size: int, record: Record) -> None:
        """Keep ``record``: once this returns it is on disk."""
        self._known[family, size] = record
        if self._path is None:
            return
        line = {"digest": self._digest, "family": asdict(family), "points": size, "record": record.to_json()}
        with self._path.open("ab") as stream:
            stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def add_answers(self, family: Family, size: int, knobs: SearchKnobs, found: Answers) -> None:
        """Keep what one more setting found."""
        record = self.get(family, size)
        self.put(family, size, replace(record, answers={**record.answers, knobs: found}))

    def _read(self) -> dict[tuple[Family, int], Record]:
        if self._path is None or not self._path.exists():
            return {}
        known: dict[tuple[Family, int], Record] = {}
        lines = self._path.read_bytes().split(b"\n")
        if lines[-1]:
            # A kill in the middle of a write left half a line: it is cut off, or the next line would be lost with it.
            with self._path.open("rb+") as stream:
                stream.truncate(self._path.stat().st_size - len(lines[-1]))
        for number, line in enumerate(lines[:-1], start=1):
            self._take(known, line, number)
        return known

    def _take(self, known: dict[tuple[Family, int], Record], line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            if entry["digest"] != self._digest:
                return
            family = entry["family"]
            placed = Family(family["represent"], HnswSettings(**family["hnsw"]), MemoryPlacement(**family["placement"]))
            known[placed, int(entry["points"])] = Record.from_json(entry["record"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{self._path}:{number} is damaged ({type(error).__name__}: {error}): delete the file to start anew"
            ) from error


def digest(*parts: NDArray[np.float32] | str) -> str:
    """SHA-256, in hexadecimal, of arrays and texts and of the library's version."""
    total = hashlib.sha256(__version__.encode())
    for part in parts:
        if isinstance(part, str):
            total.update(len(part).to_bytes(8, "big") + part.encode())
        else:
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return total.hexdigest()
