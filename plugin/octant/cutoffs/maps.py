"""Monotone maps from score to the log-odds of relevance, and back (2408.04887, section 3).

``log-odds = slope * bend(score / scale) + shift`` with a positive slope, where bending is ``sign(x) |x|**exponent``.
The families of the paper are its exponents: 1, 1/2, 2, or one between 0 and 2 that is learned for every query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

FAMILIES: Mapping[str, float | None] = {"linear": 1.0, "square root": 0.5, "quadratic": 2.0, "power": None}
"""A family's name to its exponent; None where every query has its own."""


def bend(x: Real, exponent: Real | float) -> Real:
    """``sign(x) |x|**exponent``: strictly increasing, zero at zero.

    Examples
    --------
    >>> bend(np.array([-4.0, 0.0, 4.0]), 0.5).tolist()
    [-2.0, 0.0, 2.0]
    """
    return np.asarray(np.sign(x) * np.abs(x) ** exponent)


def straighten(y: Real, exponent: Real | float) -> Real:
    """The ``x`` that bends to ``y``.

    Examples
    --------
    >>> straighten(np.array([-2.0, 0.0, 2.0]), 0.5).tolist()
    [-4.0, 0.0, 4.0]
    """
    with np.errstate(over="ignore"):
        return bend(y, 1 / np.asarray(exponent, np.float64))


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """One map for each of ``m`` queries.

    Attributes
    ----------
    slope : (m,) float64, positive
    shift : (m,) float64
    exponent : (m,) float64, positive
    scale : float
        What scores are divided by first, so that they are of the size of 1.
    """

    slope: Real
    shift: Real
    exponent: Real
    scale: float

    def log_odds(self, scores: Real) -> Real:
        """Log-odds of relevance (m, n) of ``scores`` (m, n); NaN stays NaN."""
        bent = bend(np.asarray(scores, np.float64) / self.scale, self.exponent[:, None])
        return np.asarray(self.slope[:, None] * bent + self.shift[:, None])

    def scores(self, log_odds: float) -> Real:
        """The score (m,) that has these log-odds, for each query; infinite beyond what a float64 holds.

        Examples
        --------
        >>> one = ScoreMaps(np.array([2.0]), np.array([-1.0]), np.array([1.0]), 0.5)
        >>> one.scores(0.0).tolist(), one.log_odds(np.array([[0.25]])).tolist()
        ([0.25], [[0.0]])
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self.scale * straighten((log_odds - self.shift) / self.slope, self.exponent)


def probability(log_odds: Real) -> Real:
    """The logistic function, exact far below zero too."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(log_odds, np.float64))))


def log_odds(probability: float) -> float:
    """The inverse of :func:`probability`; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability))
