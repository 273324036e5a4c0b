"""Logistic regression for few labels: shrunk, and with the signs that are known before any label is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import InputError

Floats = NDArray[np.float64]
STEPS = 400
"""Of the accelerated gradient, at most."""
_STILL = 1e-5


@dataclass(frozen=True, eq=False)
class Logistic:
    """``P = 1 / (1 + exp(-(intercept + ((x - mean) / scale) @ weights)))``.

    Attributes
    ----------
    weights : (f,) float64
        Of the standardised features.
    intercept : float
    mean, scale : (f,) float64
        Of the features it was fitted on.
    """

    weights: Floats
    intercept: float
    mean: Floats
    scale: Floats

    def logits(self, features: ArrayLike) -> Floats:
        """Log-odds (n,) of features (n, f); an unknown feature (NaN) counts as its mean."""
        x = np.asarray(features, np.float64)
        standard = np.nan_to_num((x - self.mean) / self.scale, nan=0.0, posinf=0.0, neginf=0.0)
        # Beyond four deviations nothing was seen: an outlier does not decide alone.
        logits: Floats = np.clip(standard, -4, 4) @ self.weights + self.intercept
        return logits

    def probabilities(self, features: ArrayLike) -> Floats:
        """Probabilities (n,) of features (n, f)."""
        return sigmoid(self.logits(features))


def fit_logistic(
    features: ArrayLike,
    events: ArrayLike,
    *,
    ridge: float = 1.0,
    signs: Sequence[int] | None = None,
    sample_weights: ArrayLike | None = None,
) -> Logistic:
    """The most probable weights under a normal prior.

    Parameters
    ----------
    features : (n, f) float
        NaN where a feature is unknown.
    events : (n,) float in [0, 1]
    ridge : float
        Precision of the prior on every weight of a standardised feature, at least 0; more shrinks more.
    signs : sequence of f {-1, 0, 1}, optional
        Which weights may not be negative (1) or positive (-1). What is known beforehand, that a higher score does not
        make a passage less relevant, costs no labels to learn.
    sample_weights : (n,) float, optional

    Raises
    ------
    InputError
        If shapes do not fit, nothing is there, or the ridge is negative.

    Examples
    --------
    >>> model = fit_logistic([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> bool(model.probabilities([[3.0]])[0] > 0.7)
    True
    """
    x, y = np.asarray(features, np.float64), np.asarray(events, np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise InputError(f"expected features (n, f) and events (n,), got shapes {x.shape} and {y.shape}")
    if not 0 <= ridge < np.inf or not ((y >= 0) & (y <= 1)).all():
        raise InputError(f"expected a ridge of at least 0 and events in [0, 1], got {ridge} and {y.min()} to {y.max()}")
    mean, scale = _moments(x)
    standard = np.clip(np.nan_to_num((x - mean) / scale, nan=0.0, posinf=0.0, neginf=0.0), -4, 4)
    each = np.ones(len(y)) if sample_weights is None else np.asarray(sample_weights, np.float64)
    weights, intercept = _fitted(standard, y, each, ridge, np.zeros(x.shape[1]) if signs is None else np.array(signs))
    return Logistic(weights, intercept, mean, scale)


def sigmoid(logits: ArrayLike) -> Floats:
    """``1 / (1 + exp(-x))``, without overflow."""
    x = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(x))
    result: Floats = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return result


def _moments(x: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, x, 0.0)
    mean = filled.sum(axis=0) / count
    deviation = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1.0)


def _fitted(x: Floats, y: Floats, each: Floats, ridge: float, signs: Floats) -> tuple[Floats, float]:
    """Accelerated projected gradient (Beck and Teboulle, 10.1137/080716542); the intercept is not shrunk."""
    total = each.sum()
    design = np.column_stack([x, np.ones(len(x))])
    shrink = np.append(np.full(x.shape[1], ridge), 0.0) / total
    slope = 0.25 * float(np.linalg.eigvalsh((design * each[:, None]).T @ design / total)[-1]) + shrink.max()
    low = np.append(np.where(signs > 0, 0.0, -np.inf), -np.inf)
    high = np.append(np.where(signs < 0, 0.0, np.inf), np.inf)
    current = ahead = np.zeros(design.shape[1])
    momentum = 1.0
    for _ in range(STEPS):
        gradient = design.T @ (each * (sigmoid(design @ ahead) - y)) / total + shrink * ahead
        following = np.clip(ahead - gradient / slope, low, high)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - current)
        still = float(np.abs(following - current).max()) < _STILL
        current, momentum = following, faster
        if still:
            break
    return current[:-1], float(current[-1])
