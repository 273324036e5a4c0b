"""The same files, held elsewhere: what leaves RAM when graph or codes are read from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from octant.layout import MemoryPlacement
from octant.recommendation import Expected
from octant.tuning.laboratory import Outcome
from octant.tuning.study import RAM, TIME, Trial

_STEPS: tuple[tuple[MemoryPlacement, tuple[str, ...]], ...] = (
    (MemoryPlacement(graph="cold"), ("graph",)),
    (MemoryPlacement(graph="cold", codes="cold"), ("graph", "searched codes")),
)


def colder(outcome: Outcome) -> list[Outcome]:
    """The outcome with its graph cold, and with its codes cold too: as many bytes on disk, and fewer in RAM.

    What is found does not depend on it. Time does, and is left out: on the machine that measures, a sample that was
    just written is in the page cache, which says nothing about reading a large collection from disk.
    """
    if outcome.selected.failed is not None:
        return []
    found = []
    for placement, parts in _STEPS:
        if placement.codes is None and not outcome.selected.components.get("graph"):
            continue
        stated = None if outcome.stated is None else _moved(outcome.stated, placement, parts)
        family = replace(outcome.family, placement=placement)
        found.append(Outcome(family, _moved(outcome.selected, placement, parts), stated))
    return found


def _moved(trial: Trial, placement: MemoryPlacement, parts: Sequence[str]) -> Trial:
    moved = [name for name in parts if trial.held_in_ram.get(name, "cold") != "cold"]
    full, here = trial.at_full_size, trial.figures
    spared = sum(trial.components[name] for name in moved)
    share = spared / full[RAM].value if full[RAM].value else 0.0
    return replace(
        trial,
        candidate=replace(trial.candidate, placement=placement),
        figures={name: one for name, one in here.items() if name not in (RAM, TIME)} | {RAM: _less(here[RAM], share)},
        at_full_size={name: one for name, one in full.items() if name not in (RAM, TIME)}
        | {RAM: _less(full[RAM], share)},
        held_in_ram={name: "cold" if name in moved else where for name, where in trial.held_in_ram.items()},
    )


def _less(one: Expected, share: float) -> Expected:
    value = max(0.0, one.value * (1 - share))
    return Expected(value, value, value, one.estimated)
