"""From a confidence that orders to a probability: Platt's sigmoid for few labels, isotonic regression for many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from octant.calibration.logistic import Floats, sigmoid
from octant.calibration.measures import checked
from octant.errors import InputError
from octant.records import JSON

LEAST = 20
"""Labels below which nothing is calibrated."""
LEAST_OF_EACH = 3
"""Of what came true, and of what did not."""
ISOTONIC_FROM = 500
"""Labels from which a free monotone curve is tried: below, its steps follow the noise (Niculescu-Mizil and Caruana,
10.1145/1102351.1102430)."""
_FOLDS = 5
_CLIP = 8.0


@dataclass(frozen=True, eq=False)
class Calibrator:
    """A monotone map from scores to probabilities.

    Attributes
    ----------
    kind : {"platt", "isotonic"}
    labels : int
        What it was fitted on.
    slope, intercept : float
        Of the sigmoid over the standardised score.
    mean, scale : float
        Of the scores it was fitted on.
    covariance : (2, 2) float64
        Of intercept and slope (Laplace): what few labels leave open.
    knots, values : (m,) float64
        Isotonic only: scores and probabilities, between which it is linear.
    """

    kind: Literal["platt", "isotonic"]
    labels: int
    slope: float
    intercept: float
    mean: float
    scale: float
    covariance: Floats
    knots: Floats
    values: Floats

    def probabilities(self, scores: ArrayLike) -> Floats:
        """Probabilities of scores of any shape."""
        x = np.asarray(scores, np.float64)
        if self.kind == "isotonic":
            return np.asarray(np.interp(x, self.knots, self.values), np.float64)
        return sigmoid(self._logits(x))

    def probability(self, score: float) -> float:
        """Probability of one score."""
        return float(self.probabilities([score])[0])

    def interval(self, score: float) -> tuple[float, float]:
        """Ends of the 95 % interval of that probability: wide where there were few labels, or few near this score."""
        x = np.array([1.0, self._standard(np.asarray(score, np.float64))])
        if self.kind == "isotonic":
            at = min(max(self.probability(score), 1e-6), 1 - 1e-6)
            middle = float(np.log(at / (1 - at)))
        else:
            middle = float(self._logits(np.asarray(score, np.float64)))
        reach = 1.96 * float(np.sqrt(max(x @ self.covariance @ x, 0.0)))
        low, high = sigmoid([middle - reach, middle + reach])
        return float(low), float(high)

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return {
            "kind": self.kind, "labels": self.labels, "slope": self.slope, "intercept": self.intercept,
            "mean": self.mean, "scale": self.scale, "covariance": self.covariance.tolist(),
            "knots": self.knots.tolist(), "values": self.values.tolist(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Self:
        """What :meth:`as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        knots, values = (np.array(value[name], np.float64) for name in ("knots", "values"))
        covariance = np.array(value["covariance"], np.float64)
        numbers = [float(value[name]) for name in ("slope", "intercept", "mean", "scale")]
        whole = knots.ndim == 1 and knots.shape == values.shape and covariance.shape == (2, 2)
        arrays = (knots, values, covariance, np.array(numbers))
        if value["kind"] not in ("platt", "isotonic") or not whole or not all(np.isfinite(a).all() for a in arrays):
            raise ValueError("these are not the numbers of a calibrator")
        if value["kind"] == "isotonic" and not len(knots):
            raise ValueError("an isotonic calibrator has knots")
        if numbers[3] <= 0:
            raise ValueError("the scale of a calibrator is above 0")
        slope, intercept, mean, scale = numbers
        return cls(value["kind"], int(value["labels"]), slope, intercept, mean, scale, covariance, knots, values)

    def _standard(self, scores: Floats) -> Floats:
        standard: Floats = np.clip((scores - self.mean) / self.scale, -_CLIP, _CLIP)
        return standard

    def _logits(self, scores: Floats) -> Floats:
        logits: Floats = self._standard(scores) * self.slope + self.intercept
        return logits


def fit_calibrator(
    scores: ArrayLike, events: ArrayLike, *, kind: Literal["platt", "isotonic"] | None = None, least: int = LEAST
) -> Calibrator:
    """The map from scores to probabilities that labelled examples show.

    Platt's sigmoid with his targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep few labels from certainty
    (Platt 1999; Lin, Lin and Weng, 10.1007/s10994-007-5018-6); from 500 labels on isotonic regression where
    cross-validation finds its log loss lower.

    Parameters
    ----------
    scores : (n,) float
        Any scale; higher means more probable.
    events : (n,) bool
    kind : {"platt", "isotonic"}, optional
        Without it, chosen as said.
    least : int
        Labels below which it is refused.

    Raises
    ------
    InputError
        If there are too few labels, or too few of one outcome, a score is not finite, or shapes differ.

    Examples
    --------
    >>> scores = [i / 40 for i in range(40)]
    >>> calibrator = fit_calibrator(scores, [i % 3 > 0 if i > 20 else i % 3 == 0 for i in range(40)])
    >>> calibrator.kind, calibrator.probability(0.1) < 0.5 < calibrator.probability(0.9)
    ('platt', True)
    """
    x, came = checked(scores, events)
    few = min(int(came.sum()), int((~came).sum()))
    if len(x) < least or few < LEAST_OF_EACH:
        raise InputError(
            f"calibrating needs at least {least} labels, {LEAST_OF_EACH} of each outcome; got {int(came.sum())} that "
            f"came true and {int((~came).sum())} that did not: label more queries"
        )
    if kind == "platt" or (kind is None and (len(x) < ISOTONIC_FROM or not _isotonic_is_better(x, came))):
        return _platt(x, came)
    return _isotonic(x, came)


def _platt(x: Floats, came: NDArray[np.bool_]) -> Calibrator:
    mean, scale = float(x.mean()), float(x.std())
    scale = scale if scale > 1e-12 * (1 + abs(mean)) else 1.0
    standard = np.clip((x - mean) / scale, -_CLIP, _CLIP)
    positive, negative = int(came.sum()), int((~came).sum())
    target = np.where(came, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.column_stack([np.ones(len(x)), standard])
    found = np.array([np.log((positive + 1) / (negative + 1)), 0.0])
    # A weak prior keeps separable labels finite; a calibrator never turns the order round, so no slope below 0.
    prior = np.diag([0.0, 0.1])
    for _ in range(60):
        p = sigmoid(design @ found)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + prior + 1e-9 * np.eye(2)
        move = np.linalg.solve(hessian, design.T @ (p - target) + prior @ found)
        found = found - move / max(1.0, float(np.abs(move).max()) / 2)
        if np.abs(move).max() < 1e-9:
            break
    if found[1] < 0:
        found = np.array([np.log((positive + 1) / (negative + 1)), 0.0])
    p = sigmoid(design @ found)
    covariance = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design + prior + 1e-9 * np.eye(2))
    none = np.zeros(0)
    return Calibrator("platt", len(x), float(found[1]), float(found[0]), mean, scale, covariance, none, none)


def _isotonic(x: Floats, came: NDArray[np.bool_]) -> Calibrator:
    """Pool adjacent violators (Ayer et al., 1955), joined by straight lines, and kept from 0 and 1."""
    base = _platt(x, came)
    order = np.argsort(x, kind="stable")
    levels: list[list[float]] = []  # sum of scores, sum of events, count
    for score, event in zip(x[order], came[order], strict=True):
        levels.append([float(score), float(event), 1.0])
        while len(levels) > 1 and levels[-2][1] * levels[-1][2] >= levels[-1][1] * levels[-2][2]:
            last = levels.pop()
            levels[-1] = [a + b for a, b in zip(levels[-1], last, strict=True)]
    knots = np.array([total / count for total, _, count in levels])
    values = np.array([(true + 0.5) / (count + 1) for _, true, count in levels])
    values = np.maximum.accumulate(values)
    return Calibrator(
        "isotonic", len(x), base.slope, base.intercept, base.mean, base.scale, base.covariance, knots, values
    )


def _isotonic_is_better(x: Floats, came: NDArray[np.bool_]) -> bool:
    fold = np.arange(len(x)) % _FOLDS
    losses = {"platt": 0.0, "isotonic": 0.0}
    for number in range(_FOLDS):
        train, test = fold != number, fold == number
        for kind, fit in (("platt", _platt), ("isotonic", _isotonic)):
            p = np.clip(fit(x[train], came[train]).probabilities(x[test]), 1e-6, 1 - 1e-6)
            losses[kind] -= float(np.log(np.where(came[test], p, 1 - p)).sum())
    return losses["isotonic"] < losses["platt"]
