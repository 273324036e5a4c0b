"""What a tuning found: every candidate that was tried, what it was measured at, and what was recommended.

Pure values. Bytes are per vector; a figure that was not measured at the size it speaks of is marked an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from octant import durable
from octant.errors import ArtifactError, InputError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.recommendation import Expected, Recommendation
from octant.records import JSON, Distance, Placement
from octant.report import Distortion
from octant.tuning import serial

FORMAT = 1
Objective: TypeAlias = Literal["cheapest", "best"]
RAM, DISK, TIME = "ram_bytes_per_vector", "disk_bytes_per_vector", "query_time_ratio"


@dataclass(frozen=True)
class Goal:
    """What a recommendation must satisfy, and what it is chosen by.

    Attributes
    ----------
    k : int
        Answers of a search that are judged.
    min_recall, min_ndcg : float or None
        Between 0 and 1; a candidate satisfies them only with the lower end of its interval.
    max_ram, max_disk : float or None
        Bytes a vector in the full collection, everything counted.
    max_latency_ratio : float or None
        Time of a query as a multiple of float32's.
    objective : {"cheapest", "best"}
        The least cost that satisfies every bound, or the best quality that does.
    ram_weight : float
        ``cost = ram_weight * RAM + disk``, in bytes a vector.
    """

    k: int = 10
    min_recall: float | None = None
    min_ndcg: float | None = None
    max_ram: float | None = None
    max_disk: float | None = None
    max_latency_ratio: float | None = None
    objective: Objective = "cheapest"
    ram_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k must be at least 1, got {self.k}")
        for name in ("min_recall", "min_ndcg"):
            bound = getattr(self, name)
            if bound is not None and not 0 < bound < 1:
                raise InputError(f"{name} must lie between 0 and 1, both excluded, got {bound}")
        for name in ("max_ram", "max_disk", "max_latency_ratio"):
            bound = getattr(self, name)
            if bound is not None and not 0 < bound < float("inf"):
                raise InputError(f"{name} must be a finite number above 0, got {bound}")
        if self.max_ram is not None and self.max_disk is not None and self.max_ram > self.max_disk:
            raise InputError(
                f"max_ram of {self.max_ram:g} bytes a vector allows more than max_disk of {self.max_disk:g}: whatever "
                "is held in RAM has its file on disk too; raise max_disk, or lower max_ram"
            )
        if self.objective not in ("cheapest", "best"):
            raise InputError(f"objective must be 'cheapest' or 'best', got {self.objective!r}")
        if not 0 <= self.ram_weight < float("inf"):
            raise InputError(f"ram_weight must be a finite number of at least 0, got {self.ram_weight}")

    @property
    def recall(self) -> str:
        """Name of the recall that is judged."""
        return f"recall@{self.k}"

    @property
    def ndcg(self) -> str:
        """Name of the nDCG that is judged where labels exist."""
        return f"ndcg@{self.k}"

    def to_json(self) -> dict[str, JSON]:
        """The goal as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """One way to store and search a collection.

    Attributes
    ----------
    represent : str
    hnsw : HnswSettings
    placement : MemoryPlacement
    knobs : SearchKnobs
    native : bool
        Whether it is one stage of Qdrant's own codecs only.
    """

    represent: str
    hnsw: HnswSettings = field(default_factory=HnswSettings)
    placement: MemoryPlacement = field(default_factory=MemoryPlacement)
    knobs: SearchKnobs = field(default_factory=SearchKnobs)
    native: bool = False

    def to_json(self) -> dict[str, JSON]:
        """The candidate as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Candidate:
        """The candidate that ``to_json`` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If ``value`` is not one.
        """
        return cls(
            str(value["represent"]),
            HnswSettings(**value["hnsw"]),
            MemoryPlacement(**value["placement"]),
            SearchKnobs(**value["knobs"]),
            bool(value["native"]),
        )


@dataclass(frozen=True)
class Trial:
    """One candidate, measured on a sample of one size.

    Attributes
    ----------
    candidate : Candidate
    points : int
        Vectors in the sample's collection.
    figures : mapping
        ``"recall@10"``, ``"ndcg@10"`` (with labels), ``"ram_bytes_per_vector"``, ``"disk_bytes_per_vector"`` and
        ``"query_time_ratio"`` (where it was timed), as measured on the sample. Empty where it failed.
    at_full_size : mapping
        The same carried to the full collection; equal to ``figures`` where the sample is all of it.
    components : mapping
        Disk bytes a vector at full size, by component; they add up to the figure.
    held_in_ram : mapping
        Component to where it lives: ``"pinned"``, ``"cached"`` or ``"cold"``.
    per_query : mapping
        ``"recall@10"`` and, with labels, ``"ndcg@10"`` of each query, in the order of :attr:`Study.query_ids`; empty
        for trials on smaller samples than the largest. Their mean is a little above the figure that is stated of a
        trial that was the first to pass (:mod:`octant.tuning.optimism`).
    seconds : float
        Fit, build and queries.
    rung : int
        From 0; later rungs have larger samples and fewer candidates.
    distortion : Distortion or None
        Of learned codes.
    failed : str or None
        Why it could not be measured.
    """

    candidate: Candidate
    points: int
    figures: Mapping[str, Expected]
    at_full_size: Mapping[str, Expected]
    components: Mapping[str, float]
    held_in_ram: Mapping[str, Placement]
    per_query: Mapping[str, tuple[float, ...]]
    seconds: float
    rung: int
    distortion: Distortion | None = None
    failed: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """The trial as JSON values."""
        return {
            "candidate": self.candidate.to_json(),
            "points": self.points,
            "figures": serial.figures(self.figures),
            "at_full_size": serial.figures(self.at_full_size),
            "components": dict(self.components),
            "held_in_ram": dict(self.held_in_ram),
            "per_query": {name: list(values) for name, values in self.per_query.items()},
            "seconds": self.seconds,
            "rung": self.rung,
            "distortion": None if self.distortion is None else self.distortion.as_json(),
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Trial:
        """The trial that ``to_json`` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If ``value`` is not one.
        """
        distortion = value["distortion"]
        return cls(
            Candidate.from_json(value["candidate"]),
            int(value["points"]),
            serial.read_figures(value["figures"]),
            serial.read_figures(value["at_full_size"]),
            serial.numbers(value["components"]),
            serial.placements(value["held_in_ram"]),
            serial.columns(value["per_query"]),
            float(value["seconds"]),
            int(value["rung"]),
            None if distortion is None else Distortion(**serial.numbers(distortion)),
            serial.optional_text(value["failed"]),
        )


@dataclass(frozen=True)
class Study:
    """A whole tuning.

    Attributes
    ----------
    name : str
    points : int
        Of the full collection that was asked about.
    dimension : int
    distance : Distance
    sample : int
        Vectors in the largest sample that was measured.
    queries : int
        Asked for the figures of the recommendation.
    stand_in : bool
        Whether held-out documents were asked for instead of queries.
    goal : Goal
    trials : tuple of Trial
        In the order of measuring.
    reference : Trial
        float32 with a graph of 16 edges, on the largest sample.
    recommendation : Recommendation
    query_ids : tuple of str
    query_texts : tuple of str or None
        None where only the vector is known.
    baseline_per_query : mapping
        What float32 reached, as in :attr:`Trial.per_query`.
    interrupted : bool
        Whether it ended before its plan did.
    seconds : float
    notes : tuple of str
        What a reader of the figures should know.
    """

    name: str
    points: int
    dimension: int
    distance: Distance
    sample: int
    queries: int
    stand_in: bool
    goal: Goal
    trials: tuple[Trial, ...]
    reference: Trial
    recommendation: Recommendation
    query_ids: tuple[str, ...]
    query_texts: tuple[str | None, ...]
    baseline_per_query: Mapping[str, tuple[float, ...]]
    interrupted: bool
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def finals(self) -> tuple[Trial, ...]:
        """For every candidate its trial on the largest sample, in the order of first trial; failed ones included."""
        last: dict[Candidate, Trial] = {}
        for trial in self.trials:
            known = last.get(trial.candidate)
            if known is None or (trial.points, trial.rung) >= (known.points, known.rung):
                last[trial.candidate] = trial
        return tuple(last.values())

    def table(self) -> str:
        """Lines of text: what was asked, the best candidates and the recommendation."""
        from octant.tuning.table import table

        return table(self)

    def to_json(self) -> dict[str, JSON]:
        """The study as JSON values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "points": self.points,
            "dimension": self.dimension,
            "distance": self.distance.value,
            "sample": self.sample,
            "queries": self.queries,
            "stand_in": self.stand_in,
            "goal": self.goal.to_json(),
            "trials": [trial.to_json() for trial in self.trials],
            "reference": self.reference.to_json(),
            "recommendation": self.recommendation.to_json(),
            "query_ids": list(self.query_ids),
            "query_texts": list(self.query_texts),
            "baseline_per_query": {name: list(values) for name, values in self.baseline_per_query.items()},
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Study:
        """The study that ``to_json`` wrote.

        Raises
        ------
        ArtifactError
            If it is of another format, or not a study.
        """
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            found = value.get("format") if isinstance(value, Mapping) else type(value).__name__
            raise ArtifactError(f"expected a study of format {FORMAT}, got {found!r}: was it written by octant tune?")
        try:
            return cls(
                name=str(value["name"]),
                points=int(value["points"]),
                dimension=int(value["dimension"]),
                distance=Distance.parse(value["distance"]),
                sample=int(value["sample"]),
                queries=int(value["queries"]),
                stand_in=bool(value["stand_in"]),
                goal=Goal(**value["goal"]),
                trials=tuple(Trial.from_json(trial) for trial in value["trials"]),
                reference=Trial.from_json(value["reference"]),
                recommendation=Recommendation.from_json(value["recommendation"]),
                query_ids=tuple(str(one) for one in value["query_ids"]),
                query_texts=tuple(serial.optional_text(one) for one in value["query_texts"]),
                baseline_per_query=serial.columns(value["baseline_per_query"]),
                interrupted=bool(value["interrupted"]),
                seconds=float(value["seconds"]),
                notes=tuple(str(one) for one in value["notes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"the study is damaged ({type(error).__name__}: {error})") from error

    def save(self, path: str | Path) -> None:
        """Write the study as one JSON file, whole or not at all."""
        durable.write(Path(path), serial.dump(self.to_json()))

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            If the file is not a study.
        """
        return cls.from_json(serial.load(Path(path), what="study"))
