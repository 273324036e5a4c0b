"""What several orders say together: strengths by the model of Plackett and Luce, with the first stage as the prior.

Plackett ("The analysis of permutations", 1975) has an order come about choice by choice: the next one is drawn from
those left, each with odds exp(strength). A candidate's strength is what its rank in the first stage lets expect, and an
own part under a normal prior. How far the first stage is to be trusted is learned from the same orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float64]

_OWN = 1.5
"""Standard deviation of a candidate's own part."""
_TRUST, _SPREAD = 0.5, 0.25
"""Mean and standard deviation of the prior of the trust in the first stage."""
_STEPS, _DAMPING = 30, 0.7


@dataclass(frozen=True)
class Reading:
    """One order of some candidates.

    Attributes
    ----------
    order : tuple of int
        Candidates, best first.
    named : int
        How many of them, from the front, were placed; the others are only known to come behind.
    weight : float
        What it counts: 1 where the passages were read in full.
    """

    order: tuple[int, ...]
    named: int
    weight: float = 1.0


@dataclass(frozen=True)
class Strengths:
    """What the readings say.

    Attributes
    ----------
    values : (n,) float64
        Of each candidate; higher is better.
    trust : float
        Strength that a candidate loses, all else equal, when its first-stage rank grows by the factor e; never below 0.
    """

    values: _Floats
    trust: float


def strengths(count: int, readings: Sequence[Reading]) -> Strengths:
    """Strengths of ``count`` candidates, who are numbered in the order of the first stage.

    The mode of the posterior, by damped Newton steps on the diagonal; the same readings give the same numbers.

    Examples
    --------
    >>> strengths(3, [Reading((2, 0, 1), 3)] * 4).values.argsort()[::-1].tolist()
    [2, 0, 1]
    """
    ranks = np.log(np.arange(1, count + 1))
    ranks -= ranks.mean()
    own, trust = np.zeros(count), _TRUST
    for _ in range(_STEPS):
        slope, bend = _derivatives(own - trust * ranks, readings)
        fall = -(slope @ ranks) - (trust - _TRUST) / _SPREAD**2
        trust = max(0.0, trust + _DAMPING * float(fall / (bend @ ranks**2 + 1 / _SPREAD**2)))
        own += _DAMPING * (slope - own / _OWN**2) / (bend + 1 / _OWN**2)
    return Strengths(own - trust * ranks, trust)


def _derivatives(values: _Floats, readings: Sequence[Reading]) -> tuple[_Floats, _Floats]:
    """Of the log-likelihood in each strength: the first, and minus the second."""
    slope, bend = np.zeros(len(values)), np.zeros(len(values))
    for reading in readings:
        order = np.asarray(reading.order)
        odds = np.exp(values[order] - values[order].max())
        left = np.cumsum(odds[::-1])[::-1]  # of those not placed yet, at each choice
        chosen = np.arange(len(order)) < reading.named
        share = odds * np.cumsum(np.where(chosen, 1 / left, 0.0))
        squares = odds**2 * np.cumsum(np.where(chosen, 1 / left**2, 0.0))
        slope[order] += reading.weight * (chosen - share)
        bend[order] += reading.weight * np.maximum(share - squares, 0.0)
    return slope, bend
