"""How good confidences are: whether they order, and whether they are probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import InputError

BINS = 10
"""Of equal width, as in Guo et al. (1706.04599)."""


@dataclass(frozen=True)
class Bin:
    """Confidences that lie close together, and what came true of them.

    Attributes
    ----------
    low, high : float
        The bin's ends.
    count : int
    confidence : float
        Mean of the confidences in it.
    share : float
        How many of the events came true, in [0, 1].
    """

    low: float
    high: float
    count: int
    confidence: float
    share: float


@dataclass(frozen=True)
class RiskCoverage:
    """What is wrong among what is answered, where the least confident are left unanswered first.

    Attributes
    ----------
    coverage : tuple of float
        Share that is answered, rising to 1.
    risk : tuple of float
        Share of the answered that is wrong; lower is better.
    area : float
        Mean risk over all coverages (Geifman and El-Yaniv, 1705.08500): lower is better.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float

    def at(self, coverage: float) -> float:
        """Risk where at least the share ``coverage`` is answered."""
        place = int(np.searchsorted(self.coverage, min(coverage, 1.0) - 1e-12))
        return self.risk[min(place, len(self.risk) - 1)]


def area_under_roc(confidences: ArrayLike, events: ArrayLike) -> float:
    """Probability that an event that came true has the higher confidence than one that did not; ties count half.

    Parameters
    ----------
    confidences : (n,) float
        Any scale; higher is surer.
    events : (n,) bool

    Returns
    -------
    float
        1 is a perfect order, .5 is chance.

    Raises
    ------
    InputError
        If the shapes differ, a number is not finite, or all events are alike.

    Examples
    --------
    >>> area_under_roc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
    0.875
    """
    values, came = checked(confidences, events)
    true, false = values[came], values[~came]
    if not len(true) or not len(false):
        raise InputError(f"expected events of both kinds, got {len(true)} that came true and {len(false)} that did not")
    ordered = np.sort(false)
    below = np.searchsorted(ordered, true, side="left")
    level = np.searchsorted(ordered, true, side="right") - below
    return float((below + level / 2).mean() / len(false))


def reliability(confidences: ArrayLike, events: ArrayLike, *, bins: int = BINS) -> tuple[Bin, ...]:
    """The bins that hold something, of ``bins`` of equal width.

    Raises
    ------
    InputError
        As for :func:`brier_score`.
    """
    values, came = _probabilities(confidences, events)
    edges = np.linspace(0, 1, bins + 1)
    place = np.minimum((values * bins).astype(int), bins - 1)
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = place == number
        if inside.any():
            count, mean, share = int(inside.sum()), float(values[inside].mean()), float(came[inside].mean())
            found.append(Bin(float(low), float(high), count, mean, share))
    return tuple(found)


def expected_calibration_error(confidences: ArrayLike, events: ArrayLike, *, bins: int = BINS) -> float:
    """Mean distance between the confidence and the share that came true, over bins of equal width (1706.04599, eq. 3).

    0 is perfect. With few events even perfect confidences are some way off: about ``sqrt(bins / n) / 3``.

    Raises
    ------
    InputError
        As for :func:`brier_score`.

    Examples
    --------
    >>> round(expected_calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, False, False]), 2)
    0.25
    """
    found = reliability(confidences, events, bins=bins)
    total = sum(one.count for one in found)
    return float(sum(one.count * abs(one.confidence - one.share) for one in found) / total)


def brier_score(confidences: ArrayLike, events: ArrayLike) -> float:
    """Mean squared difference between the confidence and what happened (Brier, 1950); 0 is perfect, lower is better.

    Raises
    ------
    InputError
        If there is no event, the shapes differ, or a confidence is not in [0, 1].

    Examples
    --------
    >>> brier_score([1.0, 0.5], [True, False])
    0.125
    """
    values, came = _probabilities(confidences, events)
    return float(((values - came) ** 2).mean())


def risk_coverage(confidences: ArrayLike, losses: ArrayLike) -> RiskCoverage:
    """What answering only the surest would have cost.

    Parameters
    ----------
    confidences : (n,) float
        Higher is surer; equal ones are answered together.
    losses : (n,) float in [0, 1]
        1 where the answer was wrong.

    Raises
    ------
    InputError
        If the shapes differ, nothing is there, or a number is not finite.

    Examples
    --------
    >>> curve = risk_coverage([0.9, 0.8, 0.3, 0.1], [0, 0, 1, 0])
    >>> curve.risk, curve.at(0.5)
    ((0.0, 0.0, 0.3333333333333333, 0.25), 0.0)
    """
    values, lost = np.asarray(confidences, np.float64), np.asarray(losses, np.float64)
    _check_shapes(values, lost)
    order = np.argsort(-values, kind="stable")
    values, lost = values[order], lost[order]
    last = np.append(values[1:] != values[:-1], True)  # equal confidences cannot be told apart
    answered = np.flatnonzero(last) + 1
    risk = np.cumsum(lost)[answered - 1] / answered
    steps = np.diff(answered, prepend=0) / len(values)
    return RiskCoverage(tuple(map(float, answered / len(values))), tuple(map(float, risk)), float(risk @ steps))


def checked(confidences: ArrayLike, events: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Both as arrays (n,).

    Raises
    ------
    InputError
        If the shapes differ, nothing is there, or a number is not finite.
    """
    values, came = np.asarray(confidences, np.float64), np.asarray(events, np.float64)
    _check_shapes(values, came)
    if not np.isin(came, (0.0, 1.0)).all():
        raise InputError("events are true or false, one for each confidence; got other values")
    return values, came.astype(bool)


def _probabilities(confidences: ArrayLike, events: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, came = checked(confidences, events)
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"probabilities must lie in [0, 1], got {values.min():g} to {values.max():g}: calibrate first")
    return values, came


def _check_shapes(values: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    if values.ndim != 1 or values.shape != others.shape or not len(values):
        raise InputError(f"expected two lists of one length, at least 1; got shapes {values.shape} and {others.shape}")
    if not (np.isfinite(values).all() and np.isfinite(others).all()):
        raise InputError("expected finite numbers, got NaN or infinity among them")
