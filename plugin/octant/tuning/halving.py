"""In which order candidates are measured, on how many vectors, and when to stop.

Successive halving (arXiv:1502.07943) with a twist: bytes are known surely from a small sample, only quality is not. So
small samples sort out what surely fails, and on the largest one what remains is measured in the order of its cost: the
first candidate that satisfies the goal, and is confirmed by queries that no choice has seen, is the cheapest. How much
quality falls from one sample to the next, and how much harder the queries that confirm are, shows with the first that
are measured on both: whatever would fall below the bound, did it lose as much, has to wait for the others. One with
room to spare goes along from sample to sample, so that there is something to recommend where all cheaper ones fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Protocol

from octant.tuning.bench import REFERENCE
from octant.tuning.candidates import GRAPHS, Family
from octant.tuning.choose import cost, quality, quality_name, ranked, violations
from octant.tuning.laboratory import Outcome
from octant.tuning.optimism import without_optimism
from octant.tuning.shortlist import by_selection, confirmed, fallback, least, promising, satisfies, with_room, worse
from octant.tuning.study import Goal

FIRST = 3_000
"""Vectors of the smallest sample."""
MIDDLE = 12_000
"""Vectors from which a third sample is worth its time between the smallest and the largest."""
SHARES = ((0.45,), (0.35, 0.55))
"""Shares of the budget that are spent at the end of the first rungs, where there is one and where there are two."""
AGAIN, BEFORE_EDGES = 0.85, 0.7
"""Shares of the budget until which candidates that had to wait get their turn; the second where what satisfies has
edges, so that there is time to take some away."""
MARGIN = 0.92
"""Share of the budget after which nothing new begins."""
FEW = 3
"""So few candidates are all measured on the largest sample at once."""
SLOWER = 1.5
"""How much longer than expected two candidates may take without the second, which surely satisfies, losing its turn."""
EXPECTED_FINALS = 8
_POWER = 1.1
"""Time of fit, build and queries grows about with this power of the sample."""
_LEARNED_SECONDS, _PLAIN_SECONDS = 12.0, 2.5


class Measures(Protocol):
    """What :class:`octant.tuning.laboratory.Laboratory` does."""

    def early(self, family: Family, size: int, rung: int) -> list[Outcome]:
        """On a small sample."""

    def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
        """On the largest sample."""

    def reference(self, size: int, rung: int, before: int | None) -> Outcome:
        """float32 on the largest sample."""

    def leave(self, size: int) -> None:
        """A sample is not needed any more."""


@dataclass(frozen=True)
class Progress:
    """What is being done.

    Attributes
    ----------
    rung, rungs : int
        From 1.
    size : int
        Vectors in the sample.
    done, total : int
        Candidates on this rung; the total of the last one is a guess.
    trying : str
    best : Outcome or None
        Best so far.
    """

    rung: int
    rungs: int
    size: int
    done: int
    total: int
    trying: str
    best: Outcome | None


@dataclass
class Search:
    """One tuning in its course; what it has found stays readable when it is interrupted.

    Parameters
    ----------
    lab : Measures
    goal : Goal
    most : int
        Vectors at hand.
    complete : bool
        Whether they are the full collection.
    budget : float
        Seconds.
    clock : callable
        Seconds, from any origin.
    tell : callable
        Called with a :class:`Progress` before every measurement.
    graphs : callable
        From a family to the same one with other numbers of edges.

    Attributes
    ----------
    pace : float
        Seconds that candidates took on the largest sample, relative to what smaller ones had led to expect.
    """

    lab: Measures
    goal: Goal
    most: int
    complete: bool
    budget: float
    clock: Callable[[], float]
    tell: Callable[[Progress], None]
    graphs: Callable[[Family], Sequence[Family]]
    outcomes: list[Outcome] = field(default_factory=list)
    reference: Outcome | None = None
    chosen: Outcome | None = None
    waiting: list[Family] = field(default_factory=list)
    rungs: int = 1
    pace: float = 1.5

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def left_out(self) -> int:
        """Candidates that there was no time for."""
        return len(self.waiting)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._started

    # -- rungs ---------------------------------------------------------------------------------------

    def run(self, families: Sequence[Family]) -> None:
        """Measure ``families``, fewer on larger samples, and choose."""
        sizes = first_sizes(self.most) if len(families) > FEW else []
        self.rungs = len(sizes) + 1
        remaining = list(families)
        for rung, size in enumerate(sizes):
            self.tell(Progress(rung + 1, self.rungs, size, 0, len(remaining), "float32", self.best))
            self.reference = self.lab.early(REFERENCE, size, rung)[0]
            measured = self._rung(remaining, rung, size, SHARES[len(sizes) - 1][rung])
            self.lab.leave(size)
            remaining = promising(measured, self.goal)
        last = self._last_size(sizes[-1] if sizes else None)
        before = self._before(sizes, last)
        self._last(remaining, len(sizes), last, before)
        if sizes:
            remaining += self._second_helping(sizes, last, before)
        if self.goal.objective == "cheapest":
            self._thin_out(remaining, len(sizes), last, before)
        self._for_comparison(remaining, len(sizes), last, before)
        if self.chosen is None and self.reference is not None and satisfies(self.reference, self.goal):
            self.chosen = self.reference  # nothing cheaper was shown to keep the bounds

    def _rung(self, families: Sequence[Family], rung: int, size: int, share: float) -> list[Outcome]:
        """Measure ``families`` on one sample as far as time goes, before the others the one to fall back on.

        They come in the order of their cost. Where the dearest were cut, those near the bound would be left, and in the
        end none of them may reach it.
        """
        known = [one for one in map(self._known, families) if one is not None]
        first = fallback(known, self.goal).family if known else None
        measured: list[Outcome] = []
        for done, family in enumerate(sorted(families, key=lambda one: one != first)):
            if done and self.elapsed + self._expect(family, size) > share * self.budget:
                self.waiting.append(family)
                continue
            self.tell(Progress(rung + 1, self.rungs, size, done, len(families), family.represent, self.best))
            found = self.lab.early(family, size, rung)
            measured += found
            self.outcomes += found
        return measured

    def _last(self, families: Sequence[Family], rung: int, size: int, before: int | None) -> None:
        self._tell_last(rung, size, 0, "float32")
        self.reference = self.lab.reference(size, rung, before)
        left = self._quick_enough(families, size, before)
        while left:
            family = self._next(left, size, before)
            left.remove(family)
            if not self._affordable(family, size, before) and any(one.stated is not None for one in self.outcomes):
                self.waiting.append(family)
                continue
            self._final(family, rung, size, before)
            if self.chosen is not None and rung and self.goal.objective == "cheapest":
                # They come in the order of their cost, once a smaller sample has told it: only what was passed over
                # may be cheaper, and taking edges away needs time too.
                cheaper = [one for one in left if self._could_be_better(one)]
                left = [one for one in cheaper if self._affordable(one, size, before, share=self._again)]
                self.waiting += [one for one in cheaper if one not in left]

    def _next(self, left: Sequence[Family], size: int, before: int | None) -> Family:
        """The cheapest that may satisfy, or the surest where none may or no time would be left for it then."""
        hopeful, surest = self._hopeful(left), self._surest(left)
        if not hopeful or surest == hopeful[0]:
            return surest
        in_time = self.chosen is not None or self._affordable(hopeful[0], size, before, then=surest)
        return hopeful[0] if in_time else surest

    def _hopeful(self, families: Sequence[Family]) -> Sequence[Family]:
        """Those that would surely satisfy if their quality fell as that of the others did."""
        bound, fall = least(self.goal), self._fall()
        if bound is None or fall is None:
            return families
        early = [(family, self._early(family)) for family in families]
        enough = bound + fall + self._unsure()
        return [family for family, reached in early if reached is None or reached >= enough]

    def _surest(self, families: Sequence[Family]) -> Family:
        """The cheapest that satisfies with room to spare on a smaller sample, or the one nearest to that."""
        fall = max(0.0, self._fall() or 0.0)
        known = {family: self._known(family) for family in families}
        fallen = {family: worse(one.selected, fall, self.goal) for family, one in known.items() if one is not None}
        order = ranked(fallen.values(), with_room(self.goal))
        return next((family for family, trial in fallen.items() if order and trial is order[0]), families[0])

    def _unsure(self) -> float:
        """By how much a quality has to lie above its bound for the lower end of its interval to reach it."""
        figures = [one.stated.at_full_size for one in self.outcomes if one.stated is not None]
        name = quality_name(self.goal)
        return median(one[name].value - one[name].low for one in figures if name in one)

    def _fall(self) -> float | None:
        """By how much quality was lower on the largest sample than on the one before; None where none is on both.

        On the largest it is that of the queries that confirm, on the other that of those that select: where one part of
        the queries is easier than the other, that is so for every candidate.
        """
        measured = {one.family for one in self.outcomes if one.stated is not None}
        falls = []
        for family in measured:
            early, late = self._early(family), self._reached(family, final=True)
            if early is not None and late is not None:
                falls.append(early - late)
        return median(falls) if falls else None

    def _early(self, family: Family) -> float | None:
        """Best quality on the last of the smaller samples; None where it was on none."""
        return self._reached(family, final=False)

    def _reached(self, family: Family, *, final: bool) -> float | None:
        mine = [
            one.trial
            for one in self.outcomes
            if one.family == family and (one.stated is not None) == final and one.trial.failed is None
        ]
        size = max((trial.points for trial in mine), default=0)
        return max((quality(trial.at_full_size, self.goal) for trial in mine if trial.points == size), default=None)

    def _is_final(self, family: Family) -> bool:
        return any(one.family == family and one.stated is not None for one in self.outcomes)

    def _second_helping(self, sizes: Sequence[int], last: int, before: int | None) -> list[Family]:
        """Candidates that the first sample had no time for, while there is time left after all."""
        rung, size = len(sizes), sizes[0]
        known = {one.family for one in self.outcomes}
        waiting = [family for family in self.waiting if family not in known]
        if not waiting or self.elapsed + self._expect(waiting[0], size) > self._again * self.budget:
            return []
        self.waiting = [family for family in self.waiting if family in known]
        seen = self._rung(waiting, 0, size, self._again)
        self.lab.leave(size)
        taken = []
        for family in promising(seen, self.goal):
            if self._could_be_better(family) and self._affordable(family, last, before):
                self._final(family, rung, last, before)
                taken.append(family)
        return taken

    @property
    def _again(self) -> float:
        return BEFORE_EDGES if self.chosen is not None and self.chosen.family.hnsw.m else AGAIN

    def _could_be_better(self, family: Family) -> bool:
        known, best = self._known(family), self.chosen
        if known is None or best is None or self.goal.objective == "best":
            return known is not None
        return cost(known.selected.at_full_size, self.goal) < cost(best.trial.at_full_size, self.goal)

    def _quick_enough(self, families: Sequence[Family], size: int, before: int | None) -> list[Family]:
        """Those that the time left is enough for, or the quickest: one answer is always confirmed."""
        enough = [family for family in families if self._affordable(family, size, before)]
        if not enough:
            enough = sorted(families, key=lambda family: self._expect(family, size))[:1]
        self.waiting += [family for family in families if family not in enough]
        return enough

    def _final(self, family: Family, rung: int, size: int, before: int | None) -> None:
        """Measure a family on the largest sample unless it was."""
        if self._is_final(family):
            return
        self._tell_last(rung, size, sum(one.stated is not None for one in self.outcomes), family.represent)
        expected, began = self._expect_final(family, size, before), self.elapsed
        for found in self.lab.final(family, size, rung, before):
            self.outcomes.append(without_optimism(found, self.outcomes, self.goal))
        self.chosen = confirmed(self.outcomes, self.goal)
        # How many search settings a candidate is tried with shows only now: later ones are expected to take as long.
        self.pace = (self.pace + max(1.0, self.pace * (self.elapsed - began) / max(expected, 1e-6))) / 2

    def _thin_out(self, families: Sequence[Family], rung: int, size: int, before: int | None) -> None:
        """Take edges away from what satisfies, as long as it does; the bytes of a graph often outweigh the codes."""
        for family in self._worth_thinning(families):
            for thinner in self.graphs(family):
                if thinner.hnsw.m > family.hnsw.m or not self._affordable(thinner, size, before):
                    continue
                self._final(thinner, rung, size, before)
                mine = [one for one in self.outcomes if one.family == thinner and one.stated is not None]
                if not any(satisfies(one, self.goal) for one in mine):
                    break  # with still fewer edges it finds no more

    def _worth_thinning(self, families: Sequence[Family]) -> list[Family]:
        """The chosen one, then others whose quality leaves room and whose fewest edges would make them cheaper."""
        best = self.chosen
        if best is None:
            return []
        others = []
        for family in families:
            known = self._known(family)
            if known is None or family == best.family or not family.hnsw.m:
                continue
            figures, components = known.selected.at_full_size, known.selected.components
            spared = components.get("graph", 0.0) * (1 - GRAPHS[-1] / family.hnsw.m)
            least = cost(figures, self.goal) - (self.goal.ram_weight + 1) * spared
            room = replace(self.goal, max_ram=None, max_disk=None, max_latency_ratio=None)
            if least < cost(best.trial.at_full_size, self.goal) and not violations(figures, room):
                others.append(family)
        return [best.family, *others[:3]]

    def _for_comparison(self, families: Sequence[Family], rung: int, size: int, before: int | None) -> None:
        """What a reader will want to see beside the choice: its other graphs, Qdrant's own best, better ones."""
        wanted: list[Family] = []
        if self.chosen is not None:
            wanted += self.graphs(self.chosen.family)
        known = [one for one in map(self._known, families) if one is not None]
        wanted += [one.family for one in known if one.trial.candidate.native][:1]
        wanted += [one.family for one in sorted(known, key=lambda one: -quality(one.selected.at_full_size, self.goal))][
            :3
        ]
        for family in wanted:
            if self._affordable(family, size, before, share=0.8):
                self._final(family, rung, size, before)

    # -- sizes and times -----------------------------------------------------------------------------

    def _last_size(self, previous: int | None) -> int:
        """All vectors, or as many as leave time for several candidates."""
        if previous is None:
            return self.most
        took = sorted(
            one.trial.seconds for one in self.outcomes if one.trial.points == previous and not one.trial.failed
        )
        typical = took[len(took) // 2] if took else _PLAIN_SECONDS
        measurements = EXPECTED_FINALS * (1 if self.complete else 1.4)
        left = max(0.0, MARGIN * self.budget - self.elapsed)
        grown = math.pow(left / (measurements * max(typical, 1e-3)), 1 / _POWER)
        return int(min(self.most, max(previous, grown * previous)))

    def _before(self, sizes: Sequence[int], last: int) -> int | None:
        """A smaller sample to carry figures from; None where the last one is everything."""
        if self.complete and last == self.most:
            return None
        return max([size for size in sizes if size <= last // 2], default=max(1, last // 2))

    def _expect(self, family: Family, size: int) -> float:
        """Seconds that a family will take."""
        mine = [one.trial for one in self.outcomes if one.family.represent == family.represent]
        if mine:
            latest = max(mine, key=lambda trial: trial.points)
            return latest.seconds * math.pow(size / latest.points, _POWER)
        guess = _LEARNED_SECONDS if "binary" in family.represent else _PLAIN_SECONDS
        return guess * math.pow(size / FIRST, _POWER)

    def _affordable(
        self, family: Family, size: int, before: int | None, share: float = MARGIN, then: Family | None = None
    ) -> bool:
        """Whether there is time for ``family``, and with some to spare for another one ``then``."""
        expected = self._expect_final(family, size, before)
        if then is not None:
            expected = SLOWER * (expected + self._expect_final(then, size, before))
        return self.elapsed + expected <= share * self.budget

    def _expect_final(self, family: Family, size: int, before: int | None) -> float:
        """Seconds that a family will take on the largest sample, and on the one to carry figures from."""
        sizes = [size] if before is None else [size, before]
        return self.pace * sum(self._expect(family, points) for points in sizes)

    # -- what is known -------------------------------------------------------------------------------

    def _known(self, family: Family) -> Outcome | None:
        """The outcome on the largest sample so far."""
        mine = [one for one in self.outcomes if one.family == family and one.trial.failed is None]
        return max(mine, key=lambda one: (one.trial.points, one.stated is not None), default=None)

    @property
    def best(self) -> Outcome | None:
        """What would be recommended now."""
        if self.chosen is not None:
            return self.chosen
        latest = max((one.trial.rung for one in self.outcomes if one.trial.failed is None), default=None)
        order = by_selection([one for one in self.outcomes if one.trial.rung == latest], self.goal)
        return order[0] if order else None

    def _tell_last(self, rung: int, size: int, done: int, trying: str) -> None:
        self.tell(Progress(rung + 1, self.rungs, size, done, max(done + 1, EXPECTED_FINALS), trying, self.best))


def first_sizes(most: int) -> list[int]:
    """Sizes of the samples before the last, rising; all there is where it is little.

    Examples
    --------
    >>> first_sizes(1_000), first_sizes(5_000), first_sizes(50_000)
    ([1000], [2500], [3000, 12247])
    """
    if most < 2 * FIRST // 3:
        return [most]
    if most < 2 * FIRST:
        return [most // 2]
    if most < 2 * MIDDLE:
        return [FIRST]
    return [FIRST, int((FIRST * most) ** 0.5)]
