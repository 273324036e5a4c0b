"""Which of the outcomes of a tuning go on, and which is confirmed. Pure decisions, on outcomes and a goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from octant.tuning.candidates import Family
from octant.tuning.choose import cost, quality, ranked, violations
from octant.tuning.laboratory import Outcome
from octant.tuning.study import DISK, RAM, Goal, Trial

HOPE = 0.015
"""Quality by which more effort, or better fits on more vectors, may raise a candidate above its small sample."""
KEPT = 12
"""Candidates that go on to the next sample."""
_ROOM = 0.2
_PLENTY = 0.75
"""Shares of what a bound allows to lose. What loses .015 on 3,000 vectors may lose thrice as much on 25,000."""
_TOLERANCE = 1.1
"""Bytes of a small sample may be so many times their bound: large ones have less overhead."""


def by_selection(outcomes: Sequence[Outcome], goal: Goal) -> list[Outcome]:
    """Outcomes in the order in which they would be recommended, by the queries that select.

    Those need to reach a bound with their mean only; to be sure of it is left to the queries that confirm. Asking both
    for certainty keeps the stated interval no more honest and costs a tenth more bytes (simulated with the spread of
    real recalls).
    """
    seen = [(_leaning(one.selected, goal), one) for one in outcomes]
    places = {id(trial): one for trial, one in seen}
    return [places[id(trial)] for trial in ranked([trial for trial, _ in seen], goal)]


def _leaning(trial: Trial, goal: Goal) -> Trial:
    judged = (goal.recall, goal.ndcg)
    figures = {
        name: replace(one, low=one.value) if name in judged else one for name, one in trial.at_full_size.items()
    }  # fmt: skip
    return replace(trial, at_full_size=figures)


def confirmed(outcomes: Sequence[Outcome], goal: Goal) -> Outcome | None:
    """The first in the order of selection that surely satisfies by the queries that confirm; None if none does.

    Of one family, whose bytes are the same whatever its search settings, the one with the least effort that does.
    """
    stated = [one for one in outcomes if one.stated is not None and satisfies(one, goal)]
    order = by_selection(stated, goal)
    if not order or goal.objective == "best":
        return order[0] if order else None
    return next(one for one in stated if one.family == order[0].family)


def satisfies(outcome: Outcome, goal: Goal) -> bool:
    """Whether it reaches every bound by the queries that select, and surely does by those that confirm."""
    if outcome.stated is None or outcome.stated.failed is not None:
        return False
    return reaches(outcome, goal) and not violations(outcome.stated.at_full_size, goal)


def reaches(outcome: Outcome, goal: Goal) -> bool:
    """Whether it reaches every bound by the queries that select."""
    return outcome.selected.failed is None and not violations(_leaning(outcome.selected, goal).at_full_size, goal)


def promising(outcomes: Sequence[Outcome], goal: Goal) -> list[Family]:
    """Families to go on with, in the order in which to measure them.

    What surely fails goes: quality whose upper end is below its bound by more than effort can mend, or bytes above
    theirs. Of the rest the cheapest go on, and with them the three cheapest that satisfy already and the one to fall
    back on; in search of the best, the best do.
    """
    measured = [one for one in outcomes if one.selected.failed is None]
    plausible = [one for one in measured if _may_satisfy(one, goal)]
    if not plausible:
        return [one.family for one in by_selection(measured, goal)[:KEPT]]
    if goal.objective == "best":
        order = sorted(plausible, key=lambda one: -quality(one.selected.at_full_size, goal))
        return [one.family for one in order[:KEPT]]
    order = sorted(plausible, key=lambda one: (cost(one.selected.at_full_size, goal), one.family.represent))
    sure = [one for one in order if not violations(one.selected.at_full_size, with_room(goal))]
    native = [one for one in sure if one.selected.candidate.native]
    kept = {id(one) for one in [*order[:KEPT], *sure[:3], *native[:1], fallback(order, goal)]}
    return [one.family for one in order if id(one) in kept]


def fallback(outcomes: Sequence[Outcome], goal: Goal) -> Outcome:
    """The cheapest with so much room that it will satisfy on larger samples too, or the one nearest to that.

    The cheapest that satisfy on a small sample may all of them lie near the bound, or below it, on a large one.
    """
    order = ranked([one.selected for one in outcomes], with_room(goal, _PLENTY))
    return next(one for one in outcomes if one.selected is order[0])


def _may_satisfy(outcome: Outcome, goal: Goal) -> bool:
    figures = outcome.selected.at_full_size
    for name, bound in ((goal.recall, goal.min_recall), (goal.ndcg, goal.min_ndcg)):
        if bound is not None and name in figures and figures[name].high + HOPE < bound:
            return False
    for name, bound in ((RAM, goal.max_ram), (DISK, goal.max_disk)):
        if bound is not None and figures[name].value > _TOLERANCE * bound:
            return False
    return True


def least(goal: Goal) -> float | None:
    """The bound of what :func:`octant.tuning.choose.quality` tells; None where there is none."""
    return goal.min_recall if goal.min_recall is not None else goal.min_ndcg


def worse(trial: Trial, by: float, goal: Goal) -> Trial:
    """``trial`` with quality that is lower ``by`` so much at full size."""
    figures = {
        name: replace(one, value=one.value - by, low=one.low - by, high=one.high - by)
        if name in (goal.recall, goal.ndcg) else one
        for name, one in trial.at_full_size.items()
    }  # fmt: skip
    return replace(trial, at_full_size=figures)


def with_room(goal: Goal, share: float = _ROOM) -> Goal:
    """``goal`` with only ``1 - share`` of the losses that it allows, without what small samples do not tell."""

    def raised(bound: float | None) -> float | None:
        return None if bound is None else min(0.9999, bound + share * (1 - bound))

    return replace(
        goal, min_recall=raised(goal.min_recall), min_ndcg=raised(goal.min_ndcg), max_latency_ratio=None
    )  # fmt: skip
