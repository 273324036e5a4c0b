"""How sure a mean over queries is: bootstrap intervals, paired across representations.

The queries of a test set are a draw from all that could be asked. Drawing them again with replacement, many
times, shows how much a mean depends on the draw. Every call with the same number of queries and the same seed
draws the same resamples, so two representations are always compared on the same queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import InputError

_BLOCK = 1 << 22
"""Drawn numbers held at a time: 32 MiB."""


@dataclass(frozen=True)
class Estimate:
    """A mean over queries and its bootstrap interval.

    Attributes
    ----------
    value : float
        The mean over the queries as they are.
    low, high : float
        Ends of the percentile interval.
    """

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """``{"value", "low", "high"}``."""
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap_mean(values: ArrayLike, *, seed: int = 0, resamples: int = 2000, level: float = 0.95) -> Estimate:
    """Mean of ``values`` (n,) with its interval at confidence ``level``.

    Raises
    ------
    InputError
        If ``values`` is empty, not one-dimensional or not finite, or the level or count makes no sense.

    Examples
    --------
    >>> bootstrap_mean([0.5, 0.5, 0.5])
    Estimate(value=0.5, low=0.5, high=0.5)
    """
    sample = _checked(values)
    if resamples < 1 or not 0 < level < 1:
        raise InputError(f"expected resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    means = np.concatenate([counts @ sample / len(sample) for counts in _draws(len(sample), resamples, seed)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(sample.mean()), float(low), float(high))


def paired_difference(
    values: ArrayLike, reference: ArrayLike, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> Estimate:
    """Mean of ``values - reference`` (n,), query by query; above 0 means better than the reference.

    Raises
    ------
    InputError
        If the two do not hold one finite number for each of the same queries.
    """
    ours, theirs = _checked(values), _checked(reference)
    if ours.shape != theirs.shape:
        raise InputError(f"paired values must cover the same queries, got {len(ours)} and {len(theirs)}")
    return bootstrap_mean(ours - theirs, seed=seed, resamples=resamples, level=level)


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
        raise InputError(f"expected finite values of shape (n,) with n at least 1, got shape {sample.shape}")
    return sample


def _draws(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of ``n`` queries is drawn, (block, n), until ``resamples`` rows have come."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=rows).astype(np.float64)
