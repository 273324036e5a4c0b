"""How sure a mean over queries is: bootstrap intervals, paired across representations.

The queries of a test set are a draw from all that could be asked. Drawing them again with replacement, many
times, shows how much a mean depends on the draw. Every call with the same number of queries and the same seed
draws the same resamples, so two representations are always compared on the same queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

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
    means = bootstrap_means(sample[None], seed=seed, resamples=resamples)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(sample.mean()), float(low), float(high))


def bootstrap_means(values: NDArray[np.float64], *, seed: int = 0, resamples: int = 2000) -> NDArray[np.float64]:
    """Means (resamples, m) of ``values`` (m, n) over queries that are drawn again, the same ones for each row.

    Examples
    --------
    >>> bootstrap_means(np.array([[0.0, 1.0], [1.0, 0.0]]), resamples=3).sum(axis=1)
    array([1., 1., 1.])
    """
    n = values.shape[1]
    return np.concatenate([counts @ values.T / n for counts in _draws(n, resamples, seed)])


def bounded_mean(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of ``values`` (n,) between 0 and 1 with a score interval at confidence ``level``.

    Wilson's interval (10.1080/01621459.1927.10502953) for a share, where ``n`` is the number of independent yes-or-no
    questions that would scatter as ``values`` do, with Student's quantile for a variance that is itself measured.
    Recalls near 1 are the case: percentile and t intervals are short or empty there, because the few queries that lose
    much are missing from many samples; this one keeps its level from 50 queries on (``tests/oracle/test_statistics``).

    Raises
    ------
    InputError
        If ``values`` is empty, not one-dimensional, or not all between 0 and 1.

    Examples
    --------
    >>> one = bounded_mean([1.0] * 100)
    >>> one.value, round(one.low, 3), one.high
    (1.0, 0.962, 1.0)
    """
    sample = _checked(values)
    if sample.min() < 0 or sample.max() > 1 or not 0 < level < 1:
        raise InputError(f"expected values and a level between 0 and 1, got {sample.min()} to {sample.max()}, {level}")
    n, mean = len(sample), float(sample.mean())
    variance = float(sample.var(ddof=1)) if n > 1 else 0.0
    # Values that are all alike say nothing about their scatter: then each counts as one question.
    questions = n * mean * (1 - mean) / variance if variance > 0 else float(n)
    reach = student_quantile((1 + level) / 2, max(n - 1, 1)) ** 2 / questions
    middle = (mean + reach / 2) / (1 + reach)
    half = float(np.sqrt(reach * (mean * (1 - mean) + reach / 4))) / (1 + reach)
    return Estimate(mean, min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half)))


def student_quantile(share: float, freedom: int) -> float:
    """Quantile of Student's t with ``freedom`` degrees, expanded around the normal one.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5. Within 1 % from 5 degrees on, for shares between
    .9 and .995.

    Examples
    --------
    >>> round(student_quantile(0.975, 10), 2), round(student_quantile(0.975, 1000), 2)
    (2.23, 1.96)
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


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
