"""The small network: from a query's vector, and its best scores where they are probed, to the parameters of its map.

Inputs are the coordinates of the vector, scaled to about unit length, and standardised features of the probed scores.
One hidden layer of tanh units beside a linear path gives three numbers: the logarithm of the slope, the shift, and what
the exponent of the power family comes from. A network of zeros gives every query the same map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs.maps import FAMILIES, Real, ScoreMaps, bend, probability
from octant.records import FloatArray

Weights = dict[str, NDArray[np.float64]]
FEATURES = 6
"""Numbers that :func:`probe_features` gives."""
OUTPUTS = 3
_STEEPEST = 6.0
"""Largest absolute logarithm of a slope, in units of the scores' spread."""


@dataclass(frozen=True)
class Shape:
    """What a network looks at and how large it is.

    Attributes
    ----------
    family : {"linear", "square root", "quadratic", "power"}
    vector : bool
        Whether it reads the query's vector.
    probe : int
        Best scores that it reads; 0 for none.
    hidden : int
        Units of the hidden layer; 0 leaves the linear path alone.
    """

    family: str = "linear"
    vector: bool = True
    probe: int = 0
    hidden: int = 16

    @property
    def fixed(self) -> bool:
        """Whether it reads nothing: every query has the same map."""
        return not self.vector and not self.probe


FIXED = Shape(vector=False, hidden=0)


@dataclass(frozen=True)
class Normal:
    """Units of the inputs and scores, measured on the queries that were fitted on.

    Attributes
    ----------
    scale : float
        Root mean square of the scores.
    middle, spread : float
        Mean and standard deviation of the bent scores.
    length : float
        Root mean square length of the vectors.
    mean, deviation : (features,) float64
        Of the features of the probed scores.
    """

    scale: float
    middle: float
    spread: float
    length: float
    mean: Real
    deviation: Real


def probe_features(tops: Real) -> Real:
    """Six numbers (m, 6) of the best scores (m, n), best first and NaN where there are fewer; 0 where there are none.

    The best, the mean, the lowest, the logarithm of the standard deviation, the gap between the best two, and between
    the best and the mean.
    """
    counts = np.maximum((~np.isnan(tops)).sum(axis=1), 1)
    filled = np.nan_to_num(tops, nan=0.0)
    mean = filled.sum(axis=1) / counts
    there = ~np.isnan(tops)
    spread = np.sqrt((np.where(there, tops - mean[:, None], 0.0) ** 2).sum(axis=1) / counts)
    lowest = np.where(there, tops, np.inf).min(axis=1)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    second = filled[:, 1] if tops.shape[1] > 1 else filled[:, 0]
    second = np.where(counts > 1, second, filled[:, 0])
    return np.stack(
        [filled[:, 0], mean, lowest, np.log(spread + 1e-6), filled[:, 0] - second, filled[:, 0] - mean], axis=1
    )


def normal_of(shape: Shape, vectors: FloatArray, scores: Real, tops: Real) -> Normal:
    """The units of queries' vectors (m, dim), scores (m, n) and probed scores (m, probe)."""
    known = scores[~np.isnan(scores)]
    scale = float(np.sqrt(np.mean(known**2))) or 1.0
    # The power family starts from the exponent 1.
    bent = bend(known / scale, FAMILIES[shape.family] or 1.0)
    length = float(np.sqrt(np.mean(np.sum(vectors.astype(np.float64) ** 2, axis=1)))) or 1.0
    features = probe_features(tops) if shape.probe else np.zeros((1, 0))
    deviation = features.std(axis=0)
    return Normal(
        scale, float(bent.mean()), float(bent.std()) or 1.0, length, features.mean(axis=0),
        np.where(deviation > 0, deviation, 1.0),
    )  # fmt: skip


def inputs(shape: Shape, normal: Normal, vectors: FloatArray, tops: Real) -> Real:
    """What the network reads (m, width) of vectors (m, dim) and probed scores (m, probe)."""
    parts = [np.zeros((len(vectors), 0))]
    if shape.vector:
        parts.append(vectors.astype(np.float64) / normal.length)
    if shape.probe:
        parts.append((probe_features(tops) - normal.mean) / normal.deviation)
    return np.concatenate(parts, axis=1)


def start(shape: Shape, width: int, rng: np.random.Generator) -> Weights:
    """Weights that give every query the same map, with something for the hidden layer to begin with."""
    return {
        "hidden": rng.normal(0, 1 / np.sqrt(max(width, 1)), (width, shape.hidden)),
        "hidden_shift": np.zeros(shape.hidden),
        "output": np.zeros((shape.hidden, OUTPUTS)),
        "linear": np.zeros((width, OUTPUTS)),
        "shift": np.array([0.0, -1.0, 0.0]),
    }


def maps(shape: Shape, normal: Normal, weights: Mapping[str, Real], read: Real) -> ScoreMaps:
    """The map of every query from what the network reads (m, width)."""
    steep, shift, exponent = _parameters(shape, weights, read)[0]
    slope = np.exp(steep) / normal.spread
    return ScoreMaps(slope, shift - slope * normal.middle, exponent, normal.scale)


def gradient(
    shape: Shape, normal: Normal, weights: Weights, read: Real, scores: Real, relevant: NDArray[np.bool_], decay: float
) -> Weights:
    """Gradient of the loss by every weight.

    The loss is the mean binary cross-entropy over the pairs, with ``decay`` times half the squared weights.

    Parameters
    ----------
    read : (m, width) float64
    scores : (m, n) float64
        NaN where there is no candidate.
    relevant : (m, n) bool
    decay : float
        Of the weights that make queries differ, not of the shifts.
    """
    (steep, shift, exponent), (hidden, raw) = _parameters(shape, weights, read)
    own = FAMILIES[shape.family]
    slope = np.exp(steep)
    there = ~np.isnan(scores)
    x = np.where(there, scores, 0.0) / normal.scale
    bent = bend(x, exponent[:, None] if own is None else own)
    unit = (bent - normal.middle) / normal.spread
    odds = slope[:, None] * unit + shift[:, None]
    # The logistic function by one exponential, which never overflows: it is most of what a step costs.
    small = np.exp(-np.abs(odds))
    pull = np.where(odds >= 0, 1.0, small) / (1.0 + small)
    pull -= relevant
    pull *= there / max(int(there.sum()), 1)
    # Through the parameters of each query; a clipped slope does not move.
    out = np.zeros((len(read), OUTPUTS))
    out[:, 0] = np.where(np.abs(raw[:, 0]) < _STEEPEST, np.einsum("ij,ij->i", pull, unit) * slope, 0.0)
    out[:, 1] = pull.sum(axis=1)
    if own is None:
        size = np.abs(x)
        logs = np.log(size, out=np.zeros_like(size), where=size > 0)
        grown = exponent * (1 - exponent / 2)
        out[:, 2] = (pull * bent * logs).sum(axis=1) * slope / normal.spread * grown
    found = {
        "output": hidden.T @ out + decay * weights["output"],
        "linear": read.T @ out + decay * weights["linear"],
        "shift": out.sum(axis=0),
    }
    back = (out @ weights["output"].T) * (1 - hidden**2)
    found["hidden"] = read.T @ back + decay * weights["hidden"]
    found["hidden_shift"] = back.sum(axis=0)
    return found


def _parameters(
    shape: Shape, weights: Mapping[str, Real], read: Real
) -> tuple[tuple[Real, Real, Real], tuple[Real, Real]]:
    """Logarithm of the slope, shift and exponent (m,); and the hidden units (m, h) and outputs (m, 3) behind them."""
    hidden = np.tanh(read @ weights["hidden"] + weights["hidden_shift"])
    raw = hidden @ weights["output"] + read @ weights["linear"] + weights["shift"]
    own = FAMILIES[shape.family]
    exponent = 2 * probability(raw[:, 2]) if own is None else np.full(len(raw), own)
    # A learned exponent stays off its ends, where maps become flat or cannot be inverted.
    exponent = np.clip(exponent, 0.05, 2.0)
    return (np.clip(raw[:, 0], -_STEEPEST, _STEEPEST), raw[:, 1], exponent), (hidden, raw)
