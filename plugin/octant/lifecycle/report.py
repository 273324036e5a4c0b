"""What a compression did, as values, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from octant.records import JSON, Component, Footprint
from octant.report import aligned
from octant.statistics import Estimate
from octant.units import duration, size


@dataclass(frozen=True)
class CompressReport:
    """A compression that is complete and verified.

    Attributes
    ----------
    source, target : str
        Collections; the same one in place.
    source_engine, target_engine : {"edge", "server", "local"}
    represent : mapping from vector name in the target to spec
    artifacts : mapping from vector name in the target to str or None
        SHA-256 of what was learned; None where nothing is.
    fingerprint : str
        SHA-256 of the order: equal orders give equal targets.
    copied : int
        Points of the source, every one of which is in the target.
    without : mapping from vector name in the target to int
        Points that had no such vector, or one that cannot be represented, and were carried over without it.
    passes : int
        Comparisons of source and target: one, and one more after each that found something to catch up with.
    caught_up : mapping
        ``{"new", "changed", "deleted"}``: points of the source that were written to meanwhile.
    before, after : Footprint
        Of source and target; in place, of the collection before and now.
    recall : mapping from vector name in the target to Estimate
        Recall@10 against an exact search of the source's vectors, asked with stored points that nothing has learned
        from.
    min_recall : float or None
        What the lower limits were held to.
    seconds : float
        All runs together.
    resumed : bool
        Whether an earlier run had begun it.
    switched : tuple of str
        What was done once it was verified: aliases, deletions; one line each.
    notes : tuple of str
        What is left to do, or worth knowing; one line each.
    """

    source: str
    target: str
    source_engine: str
    target_engine: str
    represent: Mapping[str, str]
    artifacts: Mapping[str, str | None]
    fingerprint: str
    copied: int
    without: Mapping[str, int]
    passes: int
    caught_up: Mapping[str, int]
    before: Footprint
    after: Footprint
    recall: Mapping[str, Estimate]
    min_recall: float | None
    seconds: float
    resumed: bool
    switched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, JSON]:
        """The report as JSON values."""
        return {
            **asdict(self),
            "before": footprint_json(self.before),
            "after": footprint_json(self.after),
            "recall": {name: estimate.as_json() for name, estimate in self.recall.items()},
            "switched": list(self.switched),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> CompressReport:
        """The report that :meth:`as_json` wrote.

        Raises
        ------
        KeyError, TypeError
            If ``value`` is none.
        """
        known = {entry.name: value[entry.name] for entry in fields(cls)}
        known["before"], known["after"] = (footprint(value[side]) for side in ("before", "after"))
        known["recall"] = {name: Estimate(**estimate) for name, estimate in value["recall"].items()}
        known["switched"], known["notes"] = tuple(value["switched"]), tuple(value["notes"])
        return cls(**known)

    def table(self) -> str:
        """The report for people."""
        lines = [f"{self.copied:,} points of {self.source!r} ({self.source_engine}) are in {self.target!r} "
                 f"({self.target_engine}), verified one by one in {self.passes} "
                 f"{'pass' if self.passes == 1 else 'passes'}; {duration(self.seconds)}"]  # fmt: skip
        for name, spec in self.represent.items():
            lines.append(f"{shown(name)}: {spec}, recall@10 {interval(self.recall.get(name))}"
                         + _missing(self.without.get(name, 0)))  # fmt: skip
        if any(self.caught_up.values()):
            counts = ", ".join(f"{count:,} {what}" for what, count in self.caught_up.items())
            lines.append(f"caught up with the source: {counts} points")
        lines += ["", *comparison(self.before, self.after), "", *self.switched, *self.notes]
        return "\n".join(lines).rstrip()

    def __str__(self) -> str:
        return self.table()


def comparison(before: Footprint, after: Footprint) -> list[str]:
    """Bytes of every component, before and after, as lines of a table."""
    if not before.components and not after.components:
        return ["what it occupies is not known: a server before 1.18, or local mode, which compresses nothing"]
    rows = [["component", "held", "before", "B/vector", "after", "B/vector"]]
    known = dict.fromkeys((_label(part), part.placement) for part in (*before.components, *after.components))
    for label, held in known:
        one, other = (
            sum(part.bytes for part in side.components if (_label(part), part.placement) == (label, held))
            for side in (before, after)
        )
        rows.append([label, held, *_bytes(before, one), *_bytes(after, other)])
    rows.append(["all in RAM", "", *_bytes(before, before.ram_bytes), *_bytes(after, after.ram_bytes)])
    rows.append(["all on disk", "", *_bytes(before, before.disk_bytes), *_bytes(after, after.disk_bytes)])
    return aligned(rows, left=2)


def _label(part: Component) -> str:
    return part.name + (f" of {part.vector!r}" if part.vector else "")


def _bytes(side: Footprint, count: int) -> list[str]:
    if not side.components:
        return ["?", "?"]
    return [size(count), f"{side.per_vector(count):.1f}"] if count else ["-", "-"]


def footprint_json(found: Footprint) -> dict[str, JSON]:
    """A footprint as JSON values, with its sums."""
    return {**asdict(found), "ram_bytes": found.ram_bytes, "disk_bytes": found.disk_bytes}


def footprint(value: Mapping[str, JSON]) -> Footprint:
    """The footprint that :func:`footprint_json` wrote."""
    parts = tuple(Component(**part) for part in value["components"])
    return Footprint(value["points"], value["segments"], parts, value["source"])


def interval(estimate: Estimate | None) -> str:
    """An estimate with its interval."""
    return "not measured" if estimate is None else f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def shown(name: str) -> str:
    """A vector's name for people."""
    return f"vector {name!r}" if name else "the unnamed vector"


def _missing(count: int) -> str:
    return f"; {count:,} points were carried over without it" if count else ""
