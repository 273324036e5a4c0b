"""Successive halving with a made laboratory and a made clock: the budget is kept, and the answer is the right one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from octant.layout import HnswSettings
from octant.recommendation import Expected
from octant.records import Distance
from octant.tuning.bench import REFERENCE
from octant.tuning.candidates import Family
from octant.tuning.choose import cost
from octant.tuning.deal import deal
from octant.tuning.halving import MARGIN, Progress, Search, first_sizes
from octant.tuning.kept import Ledger
from octant.tuning.laboratory import Laboratory, Outcome
from octant.tuning.shortlist import by_selection, confirmed, promising
from octant.tuning.sources import from_array
from octant.tuning.study import DISK, RAM, TIME, Candidate, Goal, Trial

GOAL = Goal(min_recall=0.95)


@dataclass(frozen=True)
class Truth:
    recall: float
    ram: float
    disk: float
    seconds: float = 3.0  # on 3,000 vectors


@dataclass
class MadeLab:
    """Answers from a table; every measurement takes its time on the made clock."""

    truths: dict[str, Truth]
    half: float = 0.004
    now: float = 0.0
    measured: list[tuple[str, int, int, str]] = field(default_factory=list)

    def trial(self, family: Family, size: int, rung: int, *, selecting: bool) -> Trial:
        truth = self.truths[family.represent]
        lost = 0.004 * max(0, 16 - family.hnsw.m) if family.hnsw.m else 0.0
        recall = truth.recall - lost
        half = self.half * (2 if selecting else 1)
        figures = {
            "recall@10": Expected(recall, recall - half, min(1.0, recall + half), False),
            RAM: Expected.certain(truth.ram + 3 * family.hnsw.m),
            DISK: Expected.certain(truth.disk + 3 * family.hnsw.m),
            TIME: Expected.certain(1.0),
        }
        components = {"graph": 3.0 * family.hnsw.m, "searched codes": truth.ram}
        seconds = truth.seconds * size / 3_000
        return Trial(
            Candidate(family.represent, family.hnsw), size, figures, figures, components, {}, {}, seconds, rung
        )

    def early(self, family: Family, size: int, rung: int) -> list[Outcome]:
        self._take(family, size, "early")
        return [Outcome(family, self.trial(family, size, rung, selecting=True), None)]

    def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
        self._take(family, size, "final")
        if before is not None:
            self._take(family, before, "before")
        stated = self.trial(family, size, rung, selecting=False)
        return [Outcome(family, self.trial(family, size, rung, selecting=True), stated)]

    def reference(self, size: int, rung: int, before: int | None) -> Outcome:
        return self.final(REFERENCE, size, rung, before)[0]

    @contextmanager
    def moved(self, represent: str, by: float) -> Iterator[None]:
        """Within, the recall of ``represent`` is higher ``by`` so much; float32's never moves."""
        kept = self.truths[represent]
        if represent != "float32":
            self.truths[represent] = replace(kept, recall=min(1.0, kept.recall + by))
        try:
            yield
        finally:
            self.truths[represent] = kept

    def leave(self, size: int) -> None:
        """Nothing is held."""

    def _take(self, family: Family, size: int, how: str) -> None:
        self.now += self.truths[family.represent].seconds * size / 3_000
        self.measured.append((family.represent, family.hnsw.m, size, how))


def family(name: str, m: int = 0) -> Family:
    return Family(name, HnswSettings(m))


def search(lab: MadeLab, most: int, budget: float, *, goal: Goal = GOAL, complete: bool = True) -> Search:
    lab.truths.setdefault("float32", Truth(1.0, 1600, 1600))

    def graphs(one: Family) -> list[Family]:
        return [replace(one, hnsw=HnswSettings(m)) for m in (16, 8, 4) if m != one.hnsw.m]

    return Search(lab, goal, most, complete, budget, lambda: lab.now, lambda _: None, graphs)


def many(count: int, seed: int, slowest: float = 6.0) -> dict[str, Truth]:
    rng = np.random.default_rng(seed)
    return {
        f"c{i:02d}": Truth(float(rng.uniform(0.8, 1.0)), float(rng.uniform(40, 400)), float(rng.uniform(400, 900)),
                           float(rng.uniform(1, slowest)))
        for i in range(count)
    }  # fmt: skip


def surely_found(lab: MadeLab, most: int, budget: float) -> bool:
    """Whether a search of everything in ``lab`` recommends "sure" within its budget."""
    names = list(lab.truths)
    found = search(lab, most, budget)
    found.run([family(name) for name in names])
    return found.chosen is not None and found.chosen.family.represent == "sure" and lab.now <= budget


def finals(lab: MadeLab) -> Iterable[str]:
    return dict.fromkeys(name for name, _, _, how in lab.measured if how == "final" and name != "float32")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("most", "complete"), [(1_500, True), (5_000, True), (14_000, True), (40_000, False)])
def test_with_time_enough_the_cheapest_that_satisfies_is_found(seed, most, complete):
    truths = many(30, seed)
    lab = MadeLab(dict(truths))
    found = search(lab, most, 1e6, complete=complete)
    found.run([family(name) for name in truths])
    holding = [truth for truth in truths.values() if truth.recall - lab.half >= 0.95]
    best = min(truth.ram + truth.disk for truth in holding)
    assert found.chosen is not None
    assert cost(found.chosen.trial.at_full_size, GOAL) <= 1.01 * best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [60.0, 300.0, 600.0])
@pytest.mark.parametrize(("most", "complete"), [(5_000, True), (27_000, True), (50_000, False)])
def test_the_budget_is_kept_and_an_answer_is_always_there(seed, budget, most, complete):
    truths = many(45, seed, slowest=12.0)
    lab = MadeLab(dict(truths))
    found = search(lab, most, budget, complete=complete)
    found.run([family(name) for name in truths])
    assert any(one.stated is not None for one in found.outcomes)
    # One measurement may begin shortly before the margin; the first candidate on the last sample is always measured.
    assert lab.now <= budget or len(list(finals(lab))) == 1
    if budget >= 300:
        assert lab.now <= budget


def test_a_tiny_budget_still_confirms_one_candidate():
    lab = MadeLab(many(20, 0))
    found = search(lab, 2_500, 1.0)
    found.run([family(name) for name in list(lab.truths) if name != "float32"])
    assert len(list(finals(lab))) == 1
    assert found.reference is not None


def test_what_took_long_before_is_not_begun_when_little_time_is_left():
    truths = {f"quick{i}": Truth(0.97, 100 + i, 400, 1.0) for i in range(4)} | {"slow": Truth(0.99, 20, 100, 30.0)}
    lab = MadeLab(dict(truths))
    found = search(lab, 10_000, 150.0)
    found.run([family(name) for name in truths])
    assert found.chosen is not None
    assert lab.now <= 150 * MARGIN
    assert "slow" not in finals(lab)


def test_time_is_left_for_one_that_surely_satisfies():
    """Cheap ones that just fail, one after the other, must not eat the time of the dearer one that does not."""
    truths = {f"near{i}": Truth(0.951, 100 + i, 400, 6.0) for i in range(12)} | {"sure": Truth(0.99, 300, 500, 6.0)}
    assert surely_found(MadeLab(truths), 10_000, 400.0)


@pytest.mark.parametrize("budget", range(260, 620, 40))
def test_one_that_surely_satisfies_is_not_cut_where_a_sample_has_no_time_for_all(budget):
    """It is dearer than those near the bound and so the last of them; without it the answer would be float32."""
    truths = {f"near{i:02d}": Truth(0.951, 100 + i, 400, 4.0) for i in range(12)} | {"sure": Truth(0.99, 300, 500, 4.0)}
    assert surely_found(MadeLab(truths), 27_000, budget)


class GrowingLab(MadeLab):
    """The larger a sample, the more of what is stored lies close to a query: losses grow with its size."""

    def trial(self, family: Family, size: int, rung: int, *, selecting: bool) -> Trial:
        lost = 1 - self.truths[family.represent].recall
        with self.moved(family.represent, lost - lost * (size / 27_000) ** 0.5):
            return super().trial(family, size, rung, selecting=selecting)


@pytest.mark.parametrize("budget", [580, 640, 700, 800, 1e6])
def test_one_with_room_stays_where_all_that_satisfy_on_small_samples_fail_in_the_end(budget):
    """It is dearer than those; were it not taken along for its room, the answer would be float32."""
    truths = {f"near{i:02d}": Truth(0.951, 100 + i, 400, 4.0) for i in range(20)} | {"sure": Truth(0.99, 300, 500, 4.0)}
    assert surely_found(GrowingLab(truths), 27_000, budget)


def test_the_budget_is_kept_where_the_last_sample_takes_longer_than_smaller_ones_led_to_expect():
    class Slow(MadeLab):
        def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
            found = super().final(family, size, rung, before)
            self.now += 4 * self.truths[family.represent].seconds * size / 3_000  # one search setting after the other
            return found

    truths = {f"near{i}": Truth(0.951, 100 + i, 400, 2.0) for i in range(12)} | {"sure": Truth(0.99, 300, 500, 2.0)}
    assert surely_found(Slow(truths), 8_000, 300.0)


@pytest.mark.parametrize("budget", range(240, 420, 20))
def test_what_takes_unexpectedly_long_does_not_take_the_turn_of_what_surely_satisfies(budget):
    """Where a machine gets busy on the largest sample, an answer is confirmed before time runs out."""

    class Busy(MadeLab):
        def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
            found = super().final(family, size, rung, before)
            if family != REFERENCE:
                self.now += 2 * self.truths[family.represent].seconds * size / 3_000
            return found

    truths = {f"near{i}": Truth(0.951, 100 + i, 400, 6.0) for i in range(8)} | {"sure": Truth(0.99, 300, 500, 6.0)}
    assert surely_found(Busy(truths), 27_000, budget)


@dataclass
class FallingLab(MadeLab):
    """On the largest sample more vectors lie close to a query: quality is lower there than on smaller ones."""

    falls: dict[str, float] = field(default_factory=dict)
    fall: float = 0.03

    def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
        with self.moved(family.represent, -self.falls.get(family.represent, self.fall)):
            return super().final(family, size, rung, before)


def test_what_falls_as_others_did_has_to_wait():
    """The first to be measured on all vectors tells how much quality falls; who would fail then is not tried next."""
    truths = {f"near{i}": Truth(0.965, 100 + i, 400, 6.0) for i in range(9)} | {"holds": Truth(0.99, 300, 500, 6.0)}
    lab = FallingLab(dict(truths))
    found = search(lab, 10_000, 1e6)
    found.run([family(name) for name in truths])
    assert list(finals(lab))[:2] == ["near0", "holds"]
    assert found.chosen is not None
    assert found.chosen.family.represent == "holds"


@dataclass
class EasyLab(MadeLab):
    """The queries that select are easier than those that confirm."""

    easier: float = 0.012

    def trial(self, family: Family, size: int, rung: int, *, selecting: bool) -> Trial:
        with self.moved(family.represent, self.easier if selecting else 0.0):
            return super().trial(family, size, rung, selecting=selecting)


def test_what_easy_queries_flatter_has_to_wait():
    """The first whose confirmation falls short tells how much easier the queries are that select."""
    truths = {f"near{i}": Truth(0.945, 100 + i, 400, 6.0) for i in range(9)} | {"holds": Truth(0.96, 300, 500, 6.0)}
    lab = EasyLab(dict(truths))
    found = search(lab, 10_000, 1e6)
    found.run([family(name) for name in truths])
    assert found.chosen is not None
    assert found.chosen.family.represent == "holds"
    assert [name for name, _, _, how in lab.measured if how == "final"][1:3] == ["near0", "holds"]


def effort(selected: float, stated: float, goal: Goal = GOAL, ram: float = 100.0) -> bool:
    """Whether a candidate with these recalls is asked again with more effort."""
    one = MadeLab({"a": Truth(selected, ram, 400)}).final(family("a"), 1_000, 0, None)[0]
    other = MadeLab({"a": Truth(stated, ram, 400)}, half=0.002).final(family("a"), 1_000, 0, None)[0]
    x = np.eye(100, dtype=np.float32)
    dealt = deal(from_array("made", x, distance=Distance.COSINE, seed=0), 0)
    lab = Laboratory(dealt, goal, 0, Ledger(None, "a"), Ledger(None, "b"))
    return lab._deserves_more(replace(one, stated=other.stated))


def test_effort_ends_where_both_parts_of_the_queries_are_satisfied():
    assert not effort(0.97, 0.97)
    assert effort(0.94, 0.97)
    assert effort(0.97, 0.951)  # its lower end is below the bound
    assert effort(0.97, 0.94)


def test_effort_is_not_spent_on_what_it_cannot_mend():
    assert not effort(0.80, 0.80)
    assert not effort(0.97, 0.80)
    assert not effort(0.94, 0.94, Goal(min_recall=0.95, max_ram=50.0))


def test_what_had_to_wait_is_measured_after_all_where_it_may_be_cheaper():
    truths = {"first": Truth(0.965, 100, 400), "steady": Truth(0.96, 101, 400), "holds": Truth(0.99, 300, 500)}
    lab = FallingLab(dict(truths), falls={"steady": 0.0})
    found = search(lab, 10_000, 1e6)
    # So few are measured on the largest sample at once: two more that surely fail make a smaller one worth its time.
    lab.truths |= {"far": Truth(0.5, 50, 100), "farther": Truth(0.4, 50, 100)}
    found.run([family(name) for name in lab.truths if name != "float32"])
    assert list(finals(lab))[:3] == ["first", "holds", "steady"]
    assert found.chosen is not None
    assert found.chosen.family.represent == "steady"


@pytest.mark.parametrize("budget", range(84, 200, 12))
def test_what_others_lost_counts_in_what_time_is_left_for(budget):
    """All but one lose so much that they fail; time must be left for that one, whatever the budget."""
    truths = {f"c{i}": Truth(0.999, 100 + i, 400, 6.0) for i in range(5)} | {"holds": Truth(0.9995, 400, 600, 1.5)}
    lab = FallingLab(dict(truths), falls={"holds": 0.0}, fall=0.06)
    found = search(lab, 8_000, float(budget))
    found.run([family(name) for name in truths])
    assert found.chosen is not None
    assert found.chosen.family.represent == "holds"
    assert lab.now <= budget


def test_float32_is_recommended_where_nothing_cheaper_is_confirmed():
    lab = MadeLab({"near": Truth(0.951, 100, 400), "far": Truth(0.8, 50, 300)})
    found = search(lab, 2_500, 1e6)
    found.run([family("near"), family("far")])
    assert found.chosen is not None
    assert found.chosen.family == REFERENCE


def test_the_largest_sample_shrinks_with_the_budget():
    sizes = []
    for budget in (120.0, 600.0, 6_000.0):
        lab = MadeLab(many(40, 1))
        search(lab, 50_000, budget, complete=False).run(
            [family(name) for name in list(lab.truths) if name != "float32"]
        )
        sizes.append(max(size for _, _, size, how in lab.measured if how == "final"))
    assert sizes[0] < sizes[1] <= sizes[2] == 50_000


def test_edges_are_taken_away_as_long_as_recall_holds():
    truths = {"lean": Truth(0.985, 50, 300), "rich": Truth(0.999, 52, 305), "poor": Truth(0.93, 10, 50)}
    lab = MadeLab(dict(truths))
    found = search(lab, 10_000, 1e5)
    found.run([family(name, m=16) for name in truths])
    assert found.chosen is not None
    # lean is cheaper with as many edges, but keeps .95 with no fewer than 16; rich keeps it with 8.
    assert (found.chosen.family.represent, found.chosen.family.hnsw.m) == ("rich", 8)
    assert ("lean", 8) in {(name, m) for name, m, _, how in lab.measured if how == "final"}


def test_the_graph_of_the_chosen_one_is_measured_at_every_number_of_edges():
    lab = MadeLab({"only": Truth(0.99, 50, 300)})
    found = search(lab, 4_500, 1e5)
    found.run([family("only", m=0)])
    assert {m for name, m, _, how in lab.measured if name == "only" and how == "final"} == {0, 4, 8, 16}


def test_a_lucky_choice_is_confirmed_by_others_or_passed_over():
    lucky, honest = family("lucky"), family("honest")
    lab = MadeLab({"lucky": Truth(0.96, 10, 100), "honest": Truth(0.97, 20, 200)})
    outcomes = [lab.final(one, 1_000, 0, None)[0] for one in (lucky, honest)]
    worse = replace(outcomes[0].stated, at_full_size={**outcomes[0].stated.at_full_size,
                    "recall@10": Expected(0.951, 0.945, 0.957, False)})  # fmt: skip
    outcomes[0] = replace(outcomes[0], stated=worse)
    assert by_selection(outcomes, GOAL)[0].family == lucky
    chosen = confirmed(outcomes, GOAL)
    assert chosen is not None
    assert chosen.family == honest


def test_what_surely_fails_does_not_go_on():
    lab = MadeLab({"fails": Truth(0.90, 1, 2), "near": Truth(0.945, 30, 60), "holds": Truth(0.99, 300, 600)})
    seen = [lab.early(family(name), 1_000, 0)[0] for name in lab.truths]
    assert [one.represent for one in promising(seen, GOAL)] == ["near", "holds"]
    assert [one.represent for one in promising(seen, replace(GOAL, max_ram=100))] == ["near"]


def test_where_nothing_may_satisfy_the_closest_go_on():
    lab = MadeLab({"far": Truth(0.5, 1, 2), "nearer": Truth(0.8, 30, 60)})
    seen = [lab.early(family(name), 1_000, 0)[0] for name in lab.truths]
    assert [one.represent for one in promising(seen, GOAL)] == ["nearer", "far"]
    lab.truths["float32"] = Truth(0.95, 1600, 1600)  # no graph of it finds enough either
    found = search(lab, 1_000, 1e4)
    found.run([family("far"), family("nearer")])
    assert found.chosen is None
    assert found.best is not None
    assert found.best.family.represent == "nearer"


def test_progress_tells_what_is_tried_and_what_is_best():
    lab, told = MadeLab(many(12, 3)), []
    made = search(lab, 10_000, 1e5)
    made.tell = told.append
    made.run([family(name) for name in list(lab.truths) if name != "float32"])
    assert all(isinstance(one, Progress) and one.done <= one.total for one in told)
    assert {one.rung for one in told} == {1, 2}
    assert told[0].best is None
    assert told[-1].best is not None


@pytest.mark.parametrize("most", [200, 1_999, 2_000, 6_000, 24_000, 50_000, 1_000_000])
def test_samples_rise_and_stay_below_what_there_is(most):
    sizes = first_sizes(most)
    assert sizes == sorted(sizes)
    assert all(0 < size <= most for size in sizes)
