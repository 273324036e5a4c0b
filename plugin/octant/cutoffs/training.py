"""Fitting the small network, and choosing its shape by queries that it has not seen.

Few queries are judged as a rule, so every one serves twice: the queries are divided into folds, each fold is told
by networks fitted on the others, and shapes, the length of training and the threshold are chosen by those answers. What
is kept is then fitted on all queries. A network has to be surely better than one fixed map for all queries: the lower
end of the interval of the difference must lie above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs import network
from octant.cutoffs.maps import Real
from octant.cutoffs.measures import Ordered, gain_over
from octant.cutoffs.network import FIXED, Normal, Shape, Weights
from octant.cutoffs.pairs import Pairs
from octant.quantizers.blas import one_thread
from octant.statistics import Estimate
from octant.work import Work

FOLDS = 4
STEPS = 200
EVERY = 20
"""Steps between two looks at the queries that are not fitted on."""
PATIENCE = 4
"""Looks without a gain after which a fit ends."""
_BATCH = 256
_RATE = 0.03


@dataclass(frozen=True)
class Recipe:
    """One way of fitting.

    Attributes
    ----------
    shape : Shape
    decay : float
        Of the network's weights.
    steps : int
        Steps of gradient descent.
    """

    shape: Shape
    decay: float = 1e-3
    steps: int = STEPS


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network with its units."""

    shape: Shape
    normal: Normal
    weights: Weights


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and how it did on queries that it had not seen.

    Attributes
    ----------
    fitted : Fitted
        On all queries.
    unseen : (m, n) float64
        Log-odds of every pair from networks that had not seen its query; NaN where there is no candidate.
    gain : Estimate
        PR-AUC of ``unseen`` over that of the raw score, with its 95 % interval.
    tried : int
        Recipes that were compared.
    """

    fitted: Fitted
    unseen: Real
    gain: Estimate
    tried: int


def shapes(probe: int, hidden: int) -> list[Shape]:
    """What to try: without and with a hidden layer; where scores are probed, these alone and beside the vector."""
    if not probe:
        return [Shape(hidden=0), *([Shape(hidden=hidden)] if hidden else [])]
    alone = Shape(vector=False, probe=probe, hidden=0)
    return [alone, *([replace(alone, hidden=hidden)] if hidden else []), Shape(probe=probe, hidden=hidden)]


@one_thread()
def choose(pairs: Pairs, tries: Sequence[Shape], families: Sequence[str], *, seed: int, work: Work) -> Choice:
    """Choose among ``tries``, decays and ``families``, or a fixed map where none is surely better; fit on all queries.

    The inputs and the decay are chosen with the first family, then the family.
    """
    folds = pairs.folds(min(FOLDS, len(np.unique(pairs.groups))), seed)
    raw = Ordered(pairs.scores, pairs.relevant)
    tried: list[tuple[float, Recipe, Real]] = []

    def compare(recipes: Sequence[Recipe]) -> Recipe:
        for recipe in work.steps(recipes, what="cutoff"):
            unseen, steps = _cross_fit(pairs, folds, recipe, seed)
            tried.append((Ordered(unseen, pairs.relevant).pr_auc(), replace(recipe, steps=steps), unseen))
        return max(tried, key=lambda one: one[0])[1]

    first = [replace(shape, family=families[0]) for shape in tries]
    best = compare([Recipe(shape, decay) for shape in first for decay in (1e-3, 1e-2)])
    others = [replace(best, shape=replace(best.shape, family=family), steps=STEPS) for family in families[1:]]
    best = compare(others)
    unseen = next(one[2] for one in tried if one[1] == best)
    gain = gain_over(Ordered(unseen, pairs.relevant), raw, seed=seed)
    if gain.low <= 0:
        # Two numbers for all queries together: what they tell of those they were fitted on is no less true.
        fixed = fit(pairs, Recipe(FIXED), seed)
        return Choice(fixed, told(fixed, pairs), Estimate(0.0, 0.0, 0.0), len(tried))
    return Choice(fit(pairs, best, seed), unseen, gain, len(tried))


def fit(pairs: Pairs, recipe: Recipe, seed: int) -> Fitted:
    """Fit one network on all of ``pairs``."""
    descent = _Descent(pairs, recipe, seed)
    descent.go(recipe.steps)
    return descent.fitted


def told(fitted: Fitted, pairs: Pairs) -> Real:
    """Log-odds (m, n) of every pair."""
    tops = pairs.tops(fitted.shape.probe)
    read = network.inputs(fitted.shape, fitted.normal, pairs.vectors, tops)
    return network.maps(fitted.shape, fitted.normal, fitted.weights, read).log_odds(pairs.scores)


def _cross_fit(pairs: Pairs, folds: NDArray[np.int64], recipe: Recipe, seed: int) -> tuple[Real, int]:
    """Log-odds of every pair by a network that has not seen its query, after as many steps as are best; and the steps.

    As many as give the least cross-entropy over all queries: one number for all folds, chosen among a few.
    """
    sides = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    descents = [_Descent(pairs.take(theirs), recipe, seed) for theirs, _ in sides]
    asked = [pairs.take(ours) for _, ours in sides]
    best, best_loss, best_steps = np.full_like(pairs.scores, np.nan), np.inf, EVERY
    for steps in range(EVERY, recipe.steps + 1, EVERY):
        unseen = np.full_like(pairs.scores, np.nan)
        for (_, ours), descent, part in zip(sides, descents, asked, strict=True):
            descent.go(EVERY)
            unseen[ours] = told(descent.fitted, part)
        loss = _cross_entropy(unseen, pairs)
        if loss < best_loss:
            best, best_loss, best_steps = unseen, loss, steps
        if steps - best_steps >= PATIENCE * EVERY:
            break
    return best, best_steps


def _cross_entropy(odds: Real, pairs: Pairs) -> float:
    known, relevant = odds[pairs.there], pairs.relevant[pairs.there]
    return float(np.mean(np.logaddexp(0.0, known) - np.where(relevant, known, 0.0)))


class _Descent:
    """Adam (1412.6980) on one network, in numpy: small enough that a framework would cost more than it gives."""

    def __init__(self, pairs: Pairs, recipe: Recipe, seed: int) -> None:
        shape = recipe.shape
        tops = pairs.tops(shape.probe)
        self._pairs, self._decay = pairs, recipe.decay
        self._rng = np.random.default_rng(seed)
        normal = network.normal_of(shape, pairs.vectors, pairs.scores, tops)
        self._read = network.inputs(shape, normal, pairs.vectors, tops)
        start = network.start(shape, self._read.shape[1], self._rng)
        # One run of numbers, which the weights are views of: a step is then a few operations, however many weights.
        self._numbers = np.concatenate([value.ravel() for value in start.values()])
        places = np.cumsum([value.size for value in start.values()])[:-1]
        parts = zip(start.items(), np.split(self._numbers, places), strict=True)
        self.fitted = Fitted(shape, normal, {name: part.reshape(value.shape) for (name, value), part in parts})
        self._first, self._second = np.zeros_like(self._numbers), np.zeros_like(self._numbers)
        self._step = 0

    def go(self, steps: int) -> None:
        """So many steps more."""
        pairs, fitted = self._pairs, self.fitted
        for _ in range(steps):
            rows = np.arange(len(pairs))
            if len(rows) > _BATCH:
                rows = self._rng.choice(len(rows), _BATCH, replace=False)
            gradient = network.gradient(
                fitted.shape, fitted.normal, fitted.weights, self._read[rows], pairs.scores[rows],
                pairs.relevant[rows], self._decay,
            )  # fmt: skip
            slope = np.concatenate([gradient[name].ravel() for name in fitted.weights])
            self._step += 1
            # In place: a vector's coordinates make thousands of weights, and fresh memory costs more than the sums.
            self._first *= 0.9
            self._first += 0.1 * slope
            slope *= slope
            self._second *= 0.99
            self._second += 0.01 * slope
            np.sqrt(self._second, out=slope)
            slope /= np.sqrt(1 - 0.99**self._step)
            slope += 1e-8
            np.divide(self._first, slope, out=slope)
            slope *= _RATE / (1 - 0.9**self._step)
            self._numbers -= slope
