"""From families to outcomes: search settings are tried on what was built until the goal is met, or cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from octant.errors import StoreError
from octant.layout import SearchKnobs
from octant.oversampling import CoverageCurve
from octant.recommendation import Expected
from octant.representation import Representation
from octant.tuning.bench import REFERENCE, Bench, Probe
from octant.tuning.candidates import MOST_READS, Family, affordable, less_effort, more_effort
from octant.tuning.choose import violations
from octant.tuning.deal import Deal
from octant.tuning.extrapolate import bytes_at, carried, measured
from octant.tuning.kept import Answers, Ledger, Record
from octant.tuning.study import DISK, RAM, TIME, Goal, Trial

NEAR = 0.05
"""Quality below a bound from which more effort is tried; a search finds no more than its codes can tell apart."""


@dataclass(frozen=True)
class Outcome:
    """One candidate on one sample, seen by both parts of the queries.

    Attributes
    ----------
    selected : Trial
        With the figures of the queries that select.
    stated : Trial or None
        With the figures of the others, per query too; None on the smaller samples, where those are not asked.
    coverage : CoverageCurve or None
        By which two stages read.
    """

    family: Family
    selected: Trial
    stated: Trial | None
    coverage: CoverageCurve | None = None

    @property
    def trial(self) -> Trial:
        """What a study keeps."""
        return self.stated or self.selected


class Laboratory:
    """Measures families on samples of several sizes.

    Parameters
    ----------
    deal : Deal
    goal : Goal
    seed : int
    ledger, rough : Ledger
        For samples whose figures are stated, and for those that only sort out what surely fails.
    """

    def __init__(
        self,
        deal: Deal,
        goal: Goal,
        seed: int,
        ledger: Ledger,
        rough: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deal, self.goal, self._clock = deal, goal, clock
        self._seed, self._ledger, self._rough = seed, ledger, rough
        self._benches: dict[int, Bench] = {}

    def early(self, family: Family, size: int, rung: int) -> list[Outcome]:
        """Outcomes on a small sample: default settings only, and only the queries that select."""
        with self._bench(size, roughly=True).probe(family) as probe:
            record = probe.build()
            knobs = self._affordable(SearchKnobs(), record)
            if record.failed is not None or knobs is None:
                return [self._failed(family, rung, probe)]
            found = _part(probe.ask(knobs, self.deal.selecting), slice(0, self.deal.selecting))
            return [Outcome(family, self._trial(family, rung, knobs, [probe], [found], None), None, record.curve)]

    def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
        """Outcomes on the largest sample: settings of rising effort until the goal is met, each timed.

        Parameters
        ----------
        family : Family
        size, rung : int
        before : int or None
            Size of a smaller sample to measure too, from which figures are carried to the full size.
        """
        with ExitStack() as stack:
            sizes = [size] if before is None else [before, size]
            probes = [stack.enter_context(self._bench(one).probe(family)) for one in sizes]
            for probe in probes:
                if probe.build().failed is not None:
                    return [self._failed(family, rung, probe)]
            outcomes: list[Outcome] = []
            for knobs in self._settings(family, probes[-1].record, outcomes):
                outcomes.append(self._outcome(family, rung, knobs, probes))  # noqa: PERF401  # it looks at the last
            return outcomes or [self._failed(family, rung, probes[-1])]

    def reference(self, size: int, rung: int, before: int | None) -> Outcome:
        """What float32 does on the largest sample.

        Raises
        ------
        StoreError
            If the engine cannot build even that.
        """
        with ExitStack() as stack:
            sizes = [size] if before is None else [before, size]
            probes = [stack.enter_context(self._bench(one).probe(REFERENCE)) for one in sizes]
            for probe in probes:
                failed = probe.build().failed
                if failed is not None:
                    raise StoreError(f"not even float32 could be measured on {probe.size} vectors: {failed}")
            return self._outcome(REFERENCE, rung, SearchKnobs(), probes)

    def leave(self, size: int) -> None:
        """Free what a sample holds; it can be asked again."""
        bench = self._benches.pop(size, None)
        if bench is not None:
            bench.close()

    def close(self) -> None:
        """Free everything."""
        for size in [*self._benches]:
            self.leave(size)

    # -- search settings ---------------------------------------------------------------------------

    def _settings(self, family: Family, record: Record, seen: list[Outcome]) -> Iterator[SearchKnobs]:
        """Settings to try; each next one depends on what the last one brought, which the caller puts into ``seen``."""
        needs = Representation.parse(family.represent).needs(self.deal.dimension, self.deal.distance)
        tried: set[SearchKnobs] = set()

        def fresh(steps: list[SearchKnobs]) -> Iterator[SearchKnobs]:
            for step in steps:
                knobs = self._affordable(step, record)
                if knobs is not None and knobs not in tried:
                    tried.add(knobs)
                    yield knobs

        for knobs in fresh(more_effort(needs, family.hnsw.m)):
            yield knobs
            if not self._deserves_more(seen[-1]):
                break
        if seen and all(self._fails_only(one, TIME) for one in seen):
            for knobs in fresh(less_effort(needs, family.hnsw.m)):
                yield knobs
                if not self._fails_only(seen[-1], TIME):
                    break

    def _deserves_more(self, outcome: Outcome) -> bool:
        """Whether either part of the queries finds too little, and so near the bound that effort may mend it.

        Effort costs no bytes. Where the queries that select are the easier ones, only the others show what is missing.
        """
        views = [view.at_full_size for view in (outcome.selected, outcome.stated) if view is not None]
        failed = [(figures, one) for figures in views for one in violations(figures, self.goal)]
        if any(one.figure in (RAM, DISK, TIME) for _, one in failed):
            return False
        if self.goal.objective == "best":
            return True
        return bool(failed) and all(
            figures[one.figure].value > one.bound - NEAR for figures, one in failed if one.figure in figures
        )

    def _fails_only(self, outcome: Outcome, figure: str) -> bool:
        return {one.figure for one in violations(outcome.selected.at_full_size, self.goal)} == {figure}

    def _affordable(self, knobs: SearchKnobs, record: Record) -> SearchKnobs | None:
        return affordable(knobs, record.curve, self.goal.k, self.deal.points)

    # -- outcomes ----------------------------------------------------------------------------------

    def _bench(self, size: int, *, roughly: bool = False) -> Bench:
        if size not in self._benches:
            ledger = self._rough if roughly else self._ledger
            self._benches[size] = Bench(
                self.deal, size, self.goal.k, self._seed, ledger, roughly=roughly, clock=self._clock
            )
        return self._benches[size]

    def _outcome(self, family: Family, rung: int, knobs: SearchKnobs, probes: Sequence[Probe]) -> Outcome:
        """``probes`` are of rising size; the last two carry the figures to the full one."""
        everyone = len(self.deal.query_ids)
        found = [probe.ask(knobs, everyone) for probe in probes]
        ratio = probes[-1].time(knobs)
        split = self.deal.selecting
        views = [
            self._trial(family, rung, knobs, probes, [_part(one, part) for one in found], ratio)
            for part in (slice(0, split), slice(split, everyone))
        ]
        columns = {self.goal.recall: found[-1].recall[split:], self.goal.ndcg: found[-1].ndcg[split:]}
        per_query = {name: values for name, values in columns.items() if values}
        return Outcome(family, views[0], replace(views[1], per_query=per_query), probes[-1].record.curve)

    def _trial(
        self,
        family: Family,
        rung: int,
        knobs: SearchKnobs,
        probes: Sequence[Probe],
        found: Sequence[Answers],
        ratio: float | None,
    ) -> Trial:
        records, sizes = [probe.record for probe in probes], [probe.size for probe in probes]
        record, size = records[-1], sizes[-1]
        here = self.deal.complete and size == len(self.deal.documents)
        timed = {} if ratio is None else {TIME: Expected(ratio, ratio, ratio, False)}
        figures = {
            **self._quality(found[-1:], sizes[-1:], size),
            **_weights(record.ram, record.components, size),
            **timed,
        }
        full = figures
        components = {name: total / size for name, total in record.components.items()}
        if not here:
            points = self.deal.points
            components = bytes_at([one.components for one in records], sizes, points)
            ram = bytes_at([{RAM: one.ram} for one in records], sizes, points)[RAM]
            bytes_ = {RAM: Expected(ram, ram, ram, True)}
            disk = sum(components.values())
            bytes_[DISK] = Expected(disk, disk, disk, True)
            timed = {name: replace(one, estimated=True) for name, one in timed.items()}
            full = {**self._quality(found, sizes, points), **bytes_, **timed}
        return Trial(
            family.candidate(knobs), size, figures, full, components, record.held, {},
            sum(one.seconds for one in records) + sum(one.seconds for one in found), rung, record.distortion,
        )  # fmt: skip

    def _quality(self, found: Sequence[Answers], sizes: Sequence[int], points: int) -> dict[str, Expected]:
        columns = {
            self.goal.recall: [one.recall for one in found],
            self.goal.ndcg: [one.ndcg for one in found if one.ndcg],
        }
        quality = {}
        for name, seen in columns.items():
            if not seen:
                continue
            if points == sizes[-1]:
                quality[name] = measured(seen[-1])
            elif len(seen) < 2:
                quality[name] = replace(measured(seen[-1]), estimated=True)
            else:
                quality[name] = carried(seen[-2], seen[-1], (sizes[-2], sizes[-1]), points)
        return quality

    def _failed(self, family: Family, rung: int, probe: Probe) -> Outcome:
        reason = probe.record.failed or f"it would have to read more than {MOST_READS} stored codes an answer"
        trial = Trial(family.candidate(), probe.size, {}, {}, {}, {}, {}, probe.record.seconds, rung, failed=reason)
        return Outcome(family, trial, None)


def _part(found: Answers, part: slice) -> Answers:
    return replace(found, recall=found.recall[part], ndcg=found.ndcg[part])


def _weights(ram: float, components: Mapping[str, float], size: int) -> dict[str, Expected]:
    return {
        RAM: Expected(ram / size, ram / size, ram / size, False),
        DISK: Expected.certain(sum(components.values()) / size),
    }
