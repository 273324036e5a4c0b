"""Where a number lies along an axis, and which numbers are written beside it; for the page and the picture alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from octant.tuning import words

_SHARES = (0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Recalls worth a tick, besides all of it."""
_LEAST_LOSS = 1e-5
"""Losses below it are drawn as it."""


@dataclass(frozen=True)
class Axis:
    """From values to fractions of a length.

    Attributes
    ----------
    low, high : float
        Values at 0 and at 1.
    ticks : tuple of (float, str)
        Values to write, and how.
    bend : callable
        What is linear along the axis.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    bend: Callable[[float], float]

    def at(self, value: float) -> float:
        """Where ``value`` lies, between 0 and 1; what lies beyond an end is put there."""
        low, high = self.bend(self.low), self.bend(self.high)
        return (self.bend(min(self.high, max(self.low, value))) - low) / (high - low)


def size_axis(values: Iterable[float], most: int = 6) -> Axis:
    """A logarithmic axis of bytes, with at most ``most`` ticks where powers of two are ticks."""
    known = [max(value, 1.0) for value in values] or [1.0]
    widened = max(1.25, 2 * math.sqrt(min(known) / max(known)))  # so that two powers of two fit in
    low, high = min(known) / widened, max(known) * widened
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    ticks = [2.0**power for power in powers[:: max(1, math.ceil(len(powers) / most))]]
    return Axis(low, high, tuple((tick, words.size(tick)) for tick in ticks), math.log2)


def recall_axis(values: Iterable[float]) -> Axis:
    """An axis that stretches towards 1: what is lost counts, so .9, .99 and .999 are equally far apart.

    Where a recall of 1 occurs it is put where a little would still be lost, less than anything that was seen.
    """
    known = list(values)
    losses = [max(1 - value, _LEAST_LOSS) for value in known if value < 1 - 1e-9] or [0.01]
    perfect = not known or max(known) >= 1 - 1e-9
    least, most = min(losses), max(losses)
    low, high = max(0.0, 1 - 1.3 * most), 1.0 if perfect else 1 - least / 1.3

    def bend(value: float) -> float:
        return -math.log10(max(1 - value, least / 2.5))

    last = min(high, 1 - least / 1.5)
    shown = [share for share in _SHARES if low <= share <= last]
    if len(shown) < 3:
        shown = [share for share in _round_numbers(low, high, 5) if low <= share <= last]
    ticks = [(1.0, "100 %")] * perfect + [(share, words.share(share)) for share in reversed(shown)]
    return Axis(low, high, _apart(ticks, Axis(low, high, (), bend)), bend)


def linear_axis(values: Iterable[float], write: Callable[[float], str]) -> Axis:
    """An axis with a little room at both ends; ``write`` turns a tick into text."""
    known = list(values) or [0.0, 1.0]
    span = max(max(known) - min(known), 1e-6)
    low, high = min(known) - 0.08 * span, max(known) + 0.08 * span
    return Axis(low, high, tuple((tick, write(tick)) for tick in _round_numbers(low, high, 6)), float)


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` multiples of 1, 2 or 5 times a power of ten between ``low`` and ``high``."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _apart(ticks: Sequence[tuple[float, str]], axis: Axis, gap: float = 0.065) -> tuple[tuple[float, str], ...]:
    """The first of the ticks, and those that keep a distance to the one kept before and read otherwise."""
    kept: list[tuple[float, str]] = []
    for tick in ticks:
        if not kept or (tick[1] != kept[-1][1] and abs(axis.at(tick[0]) - axis.at(kept[-1][0])) >= gap):
            kept.append(tick)
    return tuple(kept)


def quality_axis(metric: str, values: Iterable[float]) -> Axis:
    """Of a recall the axis that stretches towards 1; of nDCG, which never gets there, a linear one."""
    return recall_axis(values) if metric.startswith("recall") else linear_axis(values, words.score)


def log_axis(values: Iterable[float], write: Callable[[float], str]) -> Axis:
    """A logarithmic axis with 1, 2 and 5 times powers of ten as ticks."""
    known = [value for value in values if value > 0] or [1.0]
    low, high = min(known) / 1.3, max(known) * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]
    axis = Axis(low, high, (), math.log10)
    return Axis(low, high, _apart([(tick, write(tick)) for tick in ticks], axis, 0.09), math.log10)
