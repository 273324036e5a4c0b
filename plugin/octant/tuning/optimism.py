"""How much better a candidate looks than it is because it was the first to pass.

On the largest sample candidates are asked one after the other until one surely keeps the bounds, and the queries that
let it pass are those that state its figures. Of several that are equally good, the one passes that these queries happen
to like: its figures are stated too high, by what Efron calls optimism (10.1080/01621459.1983.10477973). The bootstrap
tells how much: draw the queries again, let the candidates pass or fail again, and see how far those that now pass lie
above what they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from octant.recommendation import Expected
from octant.statistics import bootstrap_means
from octant.tuning.laboratory import Outcome
from octant.tuning.shortlist import by_selection, reaches, satisfies
from octant.tuning.study import Goal, Trial

RESAMPLES = 400


def without_optimism(outcome: Outcome, earlier: Sequence[Outcome], goal: Goal) -> Outcome:
    """``outcome`` with its stated quality lowered by what being the first to pass adds to it.

    The value and the lower end of the interval are lowered, and with that the bounds become harder to keep. The upper
    end stays: how much was luck is an estimate too, and lowering both ends was found to leave the truth above the
    interval more often (``tests/oracle/test_tuning_optimism.py`` draws such searches). What does not pass, or could not
    be chosen since something earlier would be, comes back as it is.

    Parameters
    ----------
    outcome : Outcome
        Just measured.
    earlier : sequence of Outcome
        Everything that was measured before it, without this correction or with it.
    goal : Goal
        Its bounds on quality are what candidates pass.
    """
    bounds = {name: bound for name, bound in ((goal.recall, goal.min_recall), (goal.ndcg, goal.min_ndcg)) if bound}
    if outcome.stated is None or not bounds or not satisfies(outcome, goal):
        return outcome
    rivals = [
        one for one in earlier if one.stated is not None and reaches(one, goal) and _preferred(one, outcome, goal)
    ]
    asked = [one.stated for one in (*rivals, outcome) if one.stated is not None]
    if any(satisfies(one, goal) for one in rivals) or not all(trial.per_query for trial in asked):
        return outcome
    return replace(outcome, stated=_lowered(outcome.stated, optimism(asked, bounds)))


def optimism(trials: Sequence[Trial], bounds: Mapping[str, float], *, seed: int = 0) -> dict[str, float]:
    """By how much each bounded figure of the first trial that passes is too high on average; never below 0.

    Parameters
    ----------
    trials : sequence of Trial
        In the order in which they are asked, with their values for each query.
    bounds : mapping of str to float
        From a figure to what the lower end of its interval has to reach.
    """
    passes: NDArray[np.bool_] = np.ones((RESAMPLES, len(trials)), bool)
    above = {}
    for name, bound in bounds.items():
        figures = [trial.at_full_size[name] for trial in trials]
        values = np.array([trial.per_query[name] for trial in trials], np.float64)
        above[name] = bootstrap_means(values, seed=seed, resamples=RESAMPLES) - values.mean(axis=1)
        passes &= np.array([one.low for one in figures]) + above[name] >= bound
    some = passes.any(axis=1)
    if not some.any():
        return dict.fromkeys(bounds, 0.0)
    first = passes[some].argmax(axis=1)
    return {name: max(0.0, float(found[some][np.arange(len(first)), first].mean())) for name, found in above.items()}


def _preferred(rival: Outcome, outcome: Outcome, goal: Goal) -> bool:
    """Whether ``rival`` would be chosen if both passed."""
    return rival.family == outcome.family or by_selection([rival, outcome], goal)[0] is rival


def _lowered(trial: Trial, by: Mapping[str, float]) -> Trial:
    def lower(figures: Mapping[str, Expected]) -> dict[str, Expected]:
        return {
            name: replace(one, value=max(0.0, one.value - by.get(name, 0.0)), low=max(0.0, one.low - by.get(name, 0.0)))
            for name, one in figures.items()
        }

    return replace(trial, figures=lower(trial.figures), at_full_size=lower(trial.at_full_size))
