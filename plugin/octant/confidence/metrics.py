"""How sure a model was of an answer, from the distributions of its tokens; each metric with its equation.

An answer has n tokens y_i; p_i is the distribution at place i over |V| outcomes. With whole distributions the outcomes
are the vocabulary and every value is exact. With the likeliest tokens only (hosted models) they are these and one
bucket for the rest, which is the truncated form: average log-probability and quantiles are still exact, the others are
those of the coarser distribution, and comparable only between answers with as many alternatives.

The functions return what their papers define; :data:`METRICS` turns them so that higher is surer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from octant.confidence.distributions import FLOOR, Distributions, Floats
from octant.errors import InputError


def average_logprob(answer: Distributions) -> float:
    """(1/n) sum_i log p_i(y_i), at most 0; higher is surer (2507.17442; Chow-Average of 2404.10136)."""
    return float(answer.chosen.mean())


def total_logprob(answer: Distributions) -> float:
    """sum_i log p_i(y_i), at most 0; higher is surer, but long answers are held against (Chow-Sum of 2404.10136)."""
    return float(answer.chosen.sum())


def quantile_logprob(answer: Distributions, alpha: float = 0.0) -> float:
    """The alpha-quantile of log p_i(y_i) over the tokens; higher is surer (Chow-Quantile of 2404.10136, eq. 5).

    ``alpha=0`` is the least certain token, which short answers are best judged by; ``.5`` is the median.

    Raises
    ------
    InputError
        If alpha is not in [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be in [0, 1], got {alpha}")
    return float(np.quantile(answer.chosen, alpha))


def gini(answer: Distributions) -> float:
    """(1/n) sum_i sum_j p_ij^2, in (0, 1]; higher is surer (2507.17442)."""
    return float((answer.probabilities**2).sum(axis=1).mean())


def entropy(answer: Distributions) -> float:
    """(1/n) sum_i H_i with H_i = -sum_j p_ij log p_ij, in nats, at least 0; LOWER is surer (2507.17442, 2503.01606)."""
    return float(_entropies(answer).mean())


def distributional_perplexity(answer: Distributions) -> float:
    """(1/n) sum_i exp(H_i), at least 1; LOWER is surer (2507.17442)."""
    return float(np.exp(_entropies(answer)).mean())


def self_certainty(answer: Distributions) -> float:
    """-(1/(n|V|)) sum_i sum_j log(|V| p_ij), the mean KL(uniform || p_i); at least 0, higher is surer (2507.17442).

    Probabilities below 1e-12 count as 1e-12, so that what sampling cut off does not make it infinite.
    """
    # What a row lacks to its number of outcomes has probability 0, as far as anybody knows: the floor.
    present = np.maximum(answer.steps, FLOOR)
    inside = np.arange(answer.steps.shape[1]) < answer.outcomes[:, None]
    sums = np.where(inside, present, 0.0).sum(axis=1)
    return float((-sums / answer.outcomes - np.log(answer.outcomes)).mean())


def _entropies(answer: Distributions) -> Floats:
    weighted: Floats = np.where(np.isfinite(answer.steps), answer.steps, 0.0) * answer.probabilities
    return np.asarray(np.maximum(-weighted.sum(axis=1), 0.0))


_QUANTILE = re.compile(r"quantile\(\s*(?:alpha\s*=\s*)?(\d*\.?\d+)\s*\)")


@dataclass(frozen=True)
class Metric:
    """A metric turned so that higher is surer.

    Attributes
    ----------
    name : str
        As it is asked for, e.g. ``"quantile(0.1)"``.
    score : callable
        From distributions to a float on the metric's own scale; higher is surer.
    share : callable
        From that score to a number in [0, 1] that orders alike. Not a probability of being right.
    whole : bool
        Whether it needs whole distributions to be exact.
    """

    name: str
    score: Callable[[Distributions], float]
    share: Callable[[float], float]
    whole: bool


def _negative(function: Callable[[Distributions], float], answer: Distributions) -> float:
    return -function(answer)


def _saturated(score: float) -> float:
    return 1 - math.exp(-max(score, 0.0))


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("average_logprob", average_logprob, math.exp, whole=False),
        Metric("total_logprob", total_logprob, math.exp, whole=False),
        Metric("self_certainty", self_certainty, _saturated, whole=True),
        Metric("gini", gini, float, whole=True),
        Metric("entropy", partial(_negative, entropy), math.exp, whole=True),
        Metric(
            "distributional_perplexity", partial(_negative, distributional_perplexity), lambda s: -1 / s, whole=True
        ),
        Metric("minimum", quantile_logprob, math.exp, whole=False),
    )
}
"""Every metric without an argument; ``"quantile(ALPHA)"`` is there too, through :func:`metric`."""


def metric(name: str | Metric) -> Metric:
    """The metric of a name.

    Parameters
    ----------
    name : str or Metric
        A key of :data:`METRICS`, or ``"quantile(ALPHA)"`` with alpha in [0, 1].

    Raises
    ------
    InputError
        If there is no such metric.

    Examples
    --------
    >>> metric("quantile(0.25)").name
    'quantile(0.25)'
    """
    if isinstance(name, Metric):
        return name
    if name in METRICS:
        return METRICS[name]
    read = _QUANTILE.fullmatch(name) if isinstance(name, str) else None
    if read is None or not 0 <= float(read[1]) <= 1:
        known = ", ".join((*METRICS, "quantile(ALPHA) with alpha in [0, 1]"))
        raise InputError(f"expected a confidence metric, one of {known}; got {name!r}")
    alpha = float(read[1])
    return Metric(f"quantile({alpha:g})", partial(quantile_logprob, alpha=alpha), math.exp, whole=False)
