"""Which of the measured candidates to recommend. Pure arithmetic on figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from octant.recommendation import Expected
from octant.tuning.study import DISK, RAM, TIME, Goal, Trial

SAME_COST = 0.01
"""Share of a cost within which two candidates cost the same, and the better one is chosen."""


@dataclass(frozen=True)
class Violation:
    """A bound that a candidate fails.

    Attributes
    ----------
    figure : str
        Name of the figure.
    bound : float
    reached : float
        The end of the interval that counts: the lower one of quality, the upper one of a cost.
    share : float
        By how much of the bound it fails, above 0.
    """

    figure: str
    bound: float
    reached: float
    share: float


def violations(figures: Mapping[str, Expected], goal: Goal) -> tuple[Violation, ...]:
    """Every bound of ``goal`` that ``figures`` do not surely keep; a figure that is missing is not kept.

    Quality must reach its bound with the lower end of its interval, a cost stay within it with the upper end.

    Examples
    --------
    >>> figures = {"recall@10": Expected(0.96, 0.94, 0.98, False)}
    >>> [one.figure for one in violations(figures, Goal(min_recall=0.95))]
    ['recall@10']
    >>> violations(figures, Goal(min_recall=0.93))
    ()
    """
    failed = []
    for name, bound in ((goal.recall, goal.min_recall), (goal.ndcg, goal.min_ndcg)):
        reached = figures[name].low if name in figures else 0.0
        if bound is not None and reached < bound:
            failed.append(Violation(name, bound, reached, 1 - reached / bound))
    for name, bound in ((RAM, goal.max_ram), (DISK, goal.max_disk), (TIME, goal.max_latency_ratio)):
        reached = figures[name].high if name in figures else float("inf")
        if bound is not None and reached > bound:
            failed.append(Violation(name, bound, reached, reached / bound - 1))
    return tuple(failed)


def cost(figures: Mapping[str, Expected], goal: Goal) -> float:
    """Bytes a vector that the objective counts; lower is better."""
    return goal.ram_weight * figures[RAM].value + figures[DISK].value


def quality_name(goal: Goal) -> str:
    """The figure that says what "best" means: nDCG where only it is bounded, recall otherwise."""
    by_labels = goal.min_ndcg is not None and goal.min_recall is None
    return goal.ndcg if by_labels else goal.recall


def quality(figures: Mapping[str, Expected], goal: Goal) -> float:
    """The figure that "best" goes by; higher is better."""
    return figures[quality_name(goal)].value


def ranked(trials: Iterable[Trial], goal: Goal) -> list[Trial]:
    """Trials in the order in which they would be recommended, by their figures at full size.

    Those that satisfy every bound come first, by the objective; then the others, by how far they are off. Costs within
    ``SAME_COST`` of the cheapest count as equal, so that a byte does not decide against a better recall.
    """
    measured = [trial for trial in trials if trial.failed is None]
    kept = [trial for trial in measured if not violations(trial.at_full_size, goal)]
    missed = [trial for trial in measured if violations(trial.at_full_size, goal)]
    return [*_by_objective(kept, goal), *sorted(missed, key=lambda trial: _distance_off(trial, goal))]


def _by_objective(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    def name(trial: Trial) -> str:
        return repr(trial.candidate)  # so that equals come in one order, whatever the order of measuring

    if goal.objective == "best":
        return sorted(
            trials, key=lambda t: (-quality(t.at_full_size, goal), cost(t.at_full_size, goal), name(t))
        )  # fmt: skip
    waiting = sorted(trials, key=lambda t: (cost(t.at_full_size, goal), name(t)))
    order = []
    while waiting:
        limit = (1 + SAME_COST) * cost(waiting[0].at_full_size, goal)
        equal = [trial for trial in waiting if cost(trial.at_full_size, goal) <= limit]
        best = max(equal, key=lambda t: quality(t.at_full_size, goal))
        order.append(best)
        waiting.remove(best)
    return order


def _distance_off(trial: Trial, goal: Goal) -> tuple[float, float, str]:
    failed = violations(trial.at_full_size, goal)
    # Missing recall .95 by .01 misses a fifth of what may be lost, not a hundredth: count from 1, as losses are felt.
    shares = [
        one.share if one.figure in (RAM, DISK, TIME) else (one.bound - one.reached) / (1 - one.bound) for one in failed
    ]
    return max(shares), cost(trial.at_full_size, goal), repr(trial.candidate)


def undominated(trials: Iterable[Trial], goal: Goal) -> list[Trial]:
    """Trials that no other one beats in cost without losing quality, cheapest first."""
    measured = [trial for trial in trials if trial.failed is None]
    front: list[Trial] = []
    for trial in sorted(
        measured, key=lambda t: (cost(t.at_full_size, goal), -quality(t.at_full_size, goal), repr(t.candidate))
    ):
        if not front or quality(trial.at_full_size, goal) > quality(front[-1].at_full_size, goal):
            front.append(trial)
    return front


SLOW = 2.0
"""Times float32's query time from which a recommendation says that it is slow, where no bound on time was set."""


# -- in words ------------------------------------------------------------------------------------

_OPTIONS = {RAM: "--max-ram", DISK: "--max-disk", TIME: "--max-latency-ratio"}
_WHAT = {RAM: "RAM bytes a vector", DISK: "disk bytes a vector", TIME: "times float32's query time"}


def unmet(figures: Mapping[str, Expected], goal: Goal) -> tuple[str, ...]:
    """For every bound that ``figures`` fail: what was reached, and the value that the bound would have to take.

    Examples
    --------
    >>> print(*unmet({"recall@10": Expected(0.96, 0.944, 0.98, False)}, Goal(min_recall=0.95)))
    recall@10 is surely above 0.944 only, not 0.95: relax --min-recall to 0.944
    """
    return tuple(_in_words(one, goal) for one in violations(figures, goal))


def slowness(chosen: Trial, trials: Iterable[Trial], goal: Goal) -> str | None:
    """What a user who set no bound on query time should know of ``chosen``; None if it is quick enough.

    Parameters
    ----------
    chosen : Trial
    trials : iterable of Trial
        What could be recommended in its place.
    goal : Goal
    """
    time = chosen.at_full_size.get(TIME)
    if goal.max_latency_ratio is not None or time is None or time.value <= SLOW:
        return None
    said = f"A query takes about {time.value:.1f} times as long as with float32: no {_OPTIONS[TIME]} was set."
    bounded = replace(goal, max_latency_ratio=SLOW)
    quick = next((one for one in ranked(trials, bounded) if not violations(one.at_full_size, bounded)), None)
    if quick is None:
        return f"{said} Nothing else that was tried is surely within {SLOW:g} times."
    mine, its = (one.at_full_size[RAM].value + one.at_full_size[DISK].value for one in (chosen, quick))
    return (
        f"{said} With {_OPTIONS[TIME]} {SLOW:g} it would be {quick.candidate.represent}: "
        f"{its:.0f} bytes of RAM and disk a vector in place of {mine:.0f}."
    )


def _in_words(one: Violation, goal: Goal) -> str:
    if one.figure in _OPTIONS:
        option, what = _OPTIONS[one.figure], _WHAT[one.figure]
        if one.reached == float("inf"):
            return f"{what} were not measured: run it longer, or leave {option} out"
        relaxed = _up(one.reached, 3 if one.figure == TIME else 0)
        return f"it takes up to {relaxed} {what}, not {one.bound:g}: relax {option} to {relaxed}"
    option = "--min-recall" if one.figure == goal.recall else "--min-ndcg"
    relaxed = _down(one.reached, 3)
    if one.reached <= 0:
        return f"{one.figure} was not shown to be above 0: are there enough queries?"
    return f"{one.figure} is surely above {relaxed} only, not {one.bound:g}: relax {option} to {relaxed}"


def _down(value: float, digits: int) -> str:
    scale = 10**digits
    return f"{int(value * scale + 1e-9) / scale:g}"


def _up(value: float, digits: int) -> str:
    scale = 10**digits
    return f"{-int(-value * scale // 1) / scale:g}" if value * scale % 1 else f"{value:g}"
