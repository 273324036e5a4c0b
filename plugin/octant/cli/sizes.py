"""What a collection occupies and really holds, as tables and as JSON: for several commands."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict

from octant.cli.output import table
from octant.records import JSON, Component, Footprint, HeldComponent, Residency
from octant.units import size

UNKNOWN = "not measurable: the engine reports no sizes (local mode, a server before 1.18), or holds nothing yet"


def of_vector(part: Component | HeldComponent) -> str:
    """Name of a component, with its vector's."""
    return part.name + (f" of {part.vector!r}" if part.vector else "")


def components(footprint: Footprint) -> str:
    """One line a component, and the sums."""
    if not footprint.components:
        return UNKNOWN
    rows = [
        [of_vector(part), part.placement, size(part.bytes), _each(footprint, part.bytes)]
        for part in footprint.components
    ]
    sums = {"all in RAM": footprint.ram_bytes, "all on disk": footprint.disk_bytes}
    rows += [[label, "", size(count), _each(footprint, count)] for label, count in sums.items()]
    text = table(["component", "held", "size", "bytes/vector"], rows, left=2)
    return text + reserve(footprint)


def reserve(footprint: Footprint) -> str:
    """A line about empty space that is in memory too; nothing where there is none."""
    if not footprint.reserved_bytes:
        return ""
    return (
        f"\n{size(footprint.reserved_bytes)} more of RAM is empty space in files of cached parts, which Qdrant reads "
        "in steps of 32 MiB a segment"
    )


def against(before: Footprint, after: Footprint) -> str:
    """Components side by side, whatever their vectors are called, and how many times smaller they became."""
    if not before.components or not after.components:
        return UNKNOWN
    names = dict.fromkeys(part.name for part in (*before.components, *after.components))
    rows = [
        _side_by_side(
            name, f"{_held(before, name)} → {_held(after, name)}", (before, _bytes(before, name)),
            (after, _bytes(after, name)),
        )
        for name in names
    ]  # fmt: skip
    rows.append(_side_by_side("all in RAM", "", (before, before.ram_bytes), (after, after.ram_bytes)))
    rows.append(_side_by_side("all on disk", "", (before, before.disk_bytes), (after, after.disk_bytes)))
    header = ["component", "held", "before", "bytes/vector", "after", "bytes/vector", "ratio"]
    return table(header, rows, left=2)


def _side_by_side(name: str, held: str, before: tuple[Footprint, int], after: tuple[Footprint, int]) -> list[str]:
    cells = [cell for side, count in (before, after) for cell in (size(count), _each(side, count))]
    ratio = _ratio(*before, *after)
    return [name, held, *cells, "-" if ratio is None else f"{ratio:.2f}"]


def _ratio(before: Footprint, was: int, after: Footprint, now: int) -> float | None:
    """After over before, a vector: collections of different sizes compare."""
    if not was or not before.points or not after.points:
        return None
    return (now / after.points) / (was / before.points)


def _bytes(footprint: Footprint, name: str) -> int:
    return sum(part.bytes for part in footprint.components if part.name == name)


def _held(footprint: Footprint, name: str) -> str:
    found = dict.fromkeys(part.placement for part in footprint.components if part.name == name)
    return "/".join(found) or "none"


def _each(footprint: Footprint, count: int) -> str:
    each = footprint.per_vector(count)
    return "-" if math.isnan(each) else f"{each:.1f}"


def held(residency: Residency) -> str:
    """What really is in memory, one line a component, and what cannot be told."""
    lines = []
    columns = {
        "page cache": [part.cached_bytes for part in residency.components],
        "this process": [part.mapped_bytes for part in residency.components],
        "server heap": [part.heap_bytes for part in residency.components],
    }
    known = {title: counts for title, counts in columns.items() if any(count is not None for count in counts)}
    if known:
        rows = [
            [of_vector(part), part.placement, size(part.disk_bytes), *(_known(counts[i]) for counts in known.values())]
            for i, part in enumerate(residency.components)
        ]
        rows.append(["all", "", size(sum(part.disk_bytes for part in residency.components)),
                     *(_known(_sum(counts)) for counts in known.values())])  # fmt: skip
        lines.append(table(["in memory now", "asked for", "on disk", *known], rows, left=2))
    if residency.process_bytes is not None:
        lines.append(f"{size(residency.process_bytes)} is this process's own memory, all that Python does included")
    lines += [f"not known: {reason}" for reason in residency.unknown]
    return "\n".join(lines)


def _known(count: int | None) -> str:
    return "?" if count is None else size(count)


def _sum(counts: Iterable[int | None]) -> int:
    return sum(count for count in counts if count is not None)


# -- for programs --------------------------------------------------------------------------------


def footprint_json(footprint: Footprint) -> dict[str, JSON]:
    """A footprint with its sums."""
    return {
        "source": footprint.source,
        "points": footprint.points,
        "segments": footprint.segments,
        "ram_bytes": footprint.ram_bytes,
        "disk_bytes": footprint.disk_bytes,
        "reserved_bytes": footprint.reserved_bytes,
        "ram_bytes_per_vector": footprint.per_vector(footprint.ram_bytes),
        "disk_bytes_per_vector": footprint.per_vector(footprint.disk_bytes),
        "components": [
            {**asdict(part), "bytes_per_vector": footprint.per_vector(part.bytes)} for part in footprint.components
        ],
    }


def ratios_json(before: Footprint, after: Footprint) -> dict[str, JSON]:
    """After over before, a vector, by component; null where there was none."""
    names = dict.fromkeys(part.name for part in (*before.components, *after.components))
    found = {name: _ratio(before, _bytes(before, name), after, _bytes(after, name)) for name in names}
    return {
        "ram": _ratio(before, before.ram_bytes, after, after.ram_bytes),
        "disk": _ratio(before, before.disk_bytes, after, after.disk_bytes),
        "components": found,
    }


def residency_json(residency: Residency) -> dict[str, JSON]:
    """What is in memory now."""
    return {**asdict(residency), "unknown": list(residency.unknown)}
