"""What the first candidate to pass owes to luck: against the slow way, and on drawn searches whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from octant.layout import HnswSettings
from octant.recommendation import Expected
from octant.tuning.candidates import Family
from octant.tuning.extrapolate import measured
from octant.tuning.halving import Search
from octant.tuning.laboratory import Outcome
from octant.tuning.optimism import RESAMPLES, optimism, without_optimism
from octant.tuning.shortlist import confirmed, satisfies
from octant.tuning.study import DISK, RAM, Candidate, Goal, Trial

GOAL = Goal(min_recall=0.95)
RECALL = GOAL.recall


def trial(family: Family, values: Sequence[float], cost: float) -> Trial:
    figures = {RECALL: measured(values), RAM: Expected.certain(cost), DISK: Expected.certain(cost)}
    candidate = Candidate(family.represent, family.hnsw)
    return Trial(candidate, 1_000, figures, figures, {}, {}, {RECALL: tuple(values)}, 1.0, 0)


def outcome(name: str, selected: Sequence[float], stated: Sequence[float], cost: float) -> Outcome:
    family = Family(name, HnswSettings(0))
    return Outcome(family, trial(family, selected, cost), trial(family, stated, cost))


def recalls(rng: np.random.Generator, means: Sequence[float], queries: int) -> np.ndarray:
    """Recalls in tenths (m, queries) that are hard for the same queries; ``means`` are met on average."""
    hard, spread = rng.standard_normal(queries), 0.6
    own = rng.standard_normal((len(means), queries))
    lost = np.exp(spread * (np.sqrt(0.6) * hard + np.sqrt(0.4) * own) - spread**2 / 2)
    return 1 - np.minimum(rng.poisson(10 * (1 - np.array(means))[:, None] * lost), 10) / 10


def first_to_pass(rng: np.random.Generator, means: Sequence[float]) -> tuple[Outcome | None, Outcome | None]:
    """What a search that asks the cheapest first would choose: as it was measured, and without optimism."""
    asked = zip(recalls(rng, means, 200), recalls(rng, means, 600), strict=True)
    plain: list[Outcome] = []
    corrected: list[Outcome] = []
    for place, (selected, stated) in enumerate(asked):
        plain.append(outcome(f"c{place:02d}", selected, stated, 100.0 + 10 * place))
        corrected.append(without_optimism(plain[-1], corrected, GOAL))
        if confirmed(corrected, GOAL) is not None:
            break
    return confirmed(plain, GOAL), confirmed(corrected, GOAL)


def test_optimism_is_that_of_drawing_and_choosing_again():
    values = recalls(np.random.default_rng(1), [0.955, 0.957, 0.962], 300)
    trials = [outcome(f"c{i}", row, row, 100.0 + i).trial for i, row in enumerate(values)]
    rng = np.random.default_rng(7)
    excess = []
    for _ in range(4_000):
        drawn = values[:, rng.integers(300, size=300)].mean(axis=1)
        for place, mean in enumerate(values.mean(axis=1)):
            figure = trials[place].at_full_size[RECALL]
            if drawn[place] - (figure.value - figure.low) >= 0.95:
                excess.append(drawn[place] - mean)
                break
    assert len(excess) > 400
    assert optimism(trials, {RECALL: 0.95})[RECALL] == pytest.approx(np.mean(excess), abs=4 * np.std(excess) / 20)
    assert RESAMPLES >= 400


@pytest.mark.parametrize(
    "means",
    [
        [0.94, 0.943, 0.946, 0.948, 0.95, 0.952, 0.953, 0.955, 0.957, 0.96, 0.965, 0.97],
        [0.945, 0.9545, 0.956, 0.9572, 0.9585, 0.962, 0.97],
    ],
    ids=["many", "steps"],
)
def test_what_is_chosen_from_many_is_stated_as_it_is(means):
    rng = np.random.default_rng(5)
    truth = np.mean([recalls(rng, means, 2_000).mean(axis=1) for _ in range(20)], axis=0)
    too_high: dict[str, list[float]] = {"plain": [], "corrected": []}
    inside: list[bool] = []
    for _ in range(100):
        for name, chosen in zip(too_high, first_to_pass(rng, means), strict=True):
            if chosen is None:
                continue
            figure, true = chosen.trial.at_full_size[RECALL], truth[int(chosen.family.represent[1:])]
            too_high[name].append(figure.value - true)
            if name == "corrected":
                inside.append(figure.low <= true <= figure.high)
    assert np.mean(too_high["corrected"]) < 0.6 * np.mean(too_high["plain"])
    assert np.mean(inside) > 0.92  # of 95 % intervals


def test_the_upper_end_and_the_bytes_stay():
    values = recalls(np.random.default_rng(3), [0.951, 0.962], 600)
    earlier = [outcome("a", values[0] * 0 + 1, values[0], 100.0)]
    before = outcome("b", values[1] * 0 + 1, values[1], 110.0)
    after = without_optimism(before, earlier, GOAL)
    was, now = before.trial.at_full_size, after.trial.at_full_size
    assert now[RECALL].value < was[RECALL].value
    assert was[RECALL].value - now[RECALL].value == pytest.approx(was[RECALL].low - now[RECALL].low)
    assert now[RECALL].high == was[RECALL].high
    assert {name: now[name] for name in (RAM, DISK)} == {name: was[name] for name in (RAM, DISK)}
    assert after.trial.figures[RECALL] == now[RECALL]
    assert after.trial.per_query == before.trial.per_query
    assert after.selected == before.selected


def test_what_passes_with_room_owes_nothing_to_luck():
    values = recalls(np.random.default_rng(3), [0.93, 0.99], 600)
    earlier = [outcome("a", values[1], values[0], 100.0)]
    before = outcome("b", values[1], values[1], 110.0)
    after = without_optimism(before, earlier, GOAL)
    assert after.trial.at_full_size[RECALL].value == pytest.approx(before.trial.at_full_size[RECALL].value, abs=1e-4)


def test_what_fails_or_cannot_be_chosen_comes_back_as_it_is():
    rng = np.random.default_rng(4)
    low, high = recalls(rng, [0.94], 600)[0], recalls(rng, [0.97], 600)[0]
    failing, passing = outcome("a", high, low, 100.0), outcome("b", high, high, 90.0)
    assert without_optimism(failing, [], GOAL) is failing
    costlier = outcome("c", high, recalls(rng, [0.958], 600)[0], 120.0)
    assert satisfies(costlier, GOAL)
    assert without_optimism(costlier, [passing], GOAL) is costlier
    assert without_optimism(costlier, [], GOAL) is not costlier
    assert without_optimism(costlier, [], Goal(objective="best", max_ram=200.0)) is costlier
    unselected = outcome("d", low * 0.9, high, 80.0)
    assert without_optimism(unselected, [], GOAL) is unselected


def test_only_what_would_have_been_taken_in_its_place_counts():
    rng = np.random.default_rng(6)
    near = recalls(rng, [0.955, 0.9565], 600)
    one = outcome("b", near[1] * 0 + 1, near[1], 110.0)
    alone = without_optimism(one, [], GOAL)
    dearer = outcome("z", near[0] * 0 + 1, near[0], 500.0)
    assert without_optimism(one, [dearer], GOAL) == alone
    cheaper = outcome("a", near[0] * 0 + 1, near[0] - (near[0].mean() - 0.953), 100.0)
    assert not satisfies(cheaper, GOAL)
    assert without_optimism(one, [cheaper], GOAL) != alone


def test_a_search_states_what_it_chose_without_optimism():
    class Lab:
        """Three candidates of which only the last passes, and that barely."""

        def __init__(self) -> None:
            drawn = recalls(np.random.default_rng(2), [0.951, 0.954, 0.9585], 600)
            self.values = dict(zip("abc", drawn, strict=True))

        def final(self, family: Family, size: int, rung: int, before: int | None) -> list[Outcome]:
            place = "abc".find(family.represent)
            values = self.values.get(family.represent, np.ones(600))
            return [outcome(family.represent, values * 0 + 1, values, 100.0 + 100 * place)]

        def reference(self, size: int, rung: int, before: int | None) -> Outcome:
            return outcome("float32", np.ones(600), np.ones(600), 1_600.0)

        def early(self, family: Family, size: int, rung: int) -> list[Outcome]:
            raise AssertionError("three candidates need no small sample")

        def leave(self, size: int) -> None:
            """Nothing is held."""

    lab = Lab()
    found = Search(lab, GOAL, 1_000, True, 60.0, lambda: 0.0, lambda _: None, lambda _: [])
    found.run([Family(name, HnswSettings(0)) for name in "abc"])
    plain = measured(lab.values["c"])
    assert plain.low >= 0.95
    stated = {one.family.represent: one.trial.at_full_size[RECALL] for one in found.outcomes}
    assert stated["c"].value < plain.value
    assert stated["a"] == measured(lab.values["a"])
