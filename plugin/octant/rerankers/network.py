"""A small network over a set of candidates: the same answer whatever their order, in numpy.

Deep sets (1703.06114): a layer on every candidate, their mean beside it, another layer, and a linear term past both
that starts as the score of the search. Trained with listwise softmax (ListNet, 10.1145/1273496.1273513) and RankNet
(10.1145/1102351.1102363).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.records import FloatArray

Weights: TypeAlias = "dict[str, FloatArray]"
HIDDEN = 16
RANKNET = 0.5
"""Weight of RankNet where the listwise softmax weighs 1."""
_CLIP = 6.0
"""Standard deviations beyond which a feature counts no more."""


@dataclass(frozen=True, eq=False)
class Example:
    """One query.

    Attributes
    ----------
    x : (n, features) float32
    shares : (n,) float32
        Gains over their sum.
    above, below : (pairs,) int64
        Rows of every pair of candidates whose gains differ: the better, and the other.
    """

    x: FloatArray
    shares: FloatArray
    above: NDArray[np.int64]
    below: NDArray[np.int64]

    @classmethod
    def of(cls, x: FloatArray, gains: FloatArray) -> Example:
        """The query whose candidates have the features ``x`` (n, features) and ``gains`` (n,), not all 0."""
        above, below = np.nonzero(gains[:, None] > gains[None, :])
        return cls(x, gains / gains.sum(), above, below)


@dataclass(frozen=True, eq=False)
class Batch:
    """Several queries at once, the candidates of one behind those of the other.

    Attributes
    ----------
    x : (n, features) float32
    shares : (n,) float32
    starts, counts : (queries,) int64
        Where the candidates of a query begin, and how many they are.
    owner : (n,) int64
        Which query a candidate belongs to.
    above, below : (pairs,) int64
        As of the queries, counted through.
    weight : (pairs,) float32
        One over the pairs of their query.
    """

    x: FloatArray
    shares: FloatArray
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    owner: NDArray[np.int64]
    above: NDArray[np.int64]
    below: NDArray[np.int64]
    weight: FloatArray

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Batch:
        """``examples``, at least one, in their order."""
        counts = np.array([len(one.x) for one in examples])
        starts = np.cumsum(counts) - counts
        pairs = np.array([len(one.above) for one in examples])
        shift = np.repeat(starts, pairs)
        return cls(
            np.concatenate([one.x for one in examples]), np.concatenate([one.shares for one in examples]),
            starts, counts, np.repeat(np.arange(len(examples)), counts),
            np.concatenate([one.above for one in examples]) + shift,
            np.concatenate([one.below for one in examples]) + shift,
            np.repeat(1 / np.maximum(pairs, 1), pairs).astype(np.float32),
        )  # fmt: skip


def start(features: int, skip: int, hidden: int, rng: np.random.Generator) -> Weights:
    """Weights that give the feature ``skip`` back as the score; ``hidden`` of 0 is a linear model."""
    linear = np.zeros(features, np.float32)
    linear[skip] = 1.0
    weights = {"linear": linear}
    if hidden:
        weights |= {
            "w1": rng.normal(0, features**-0.5, (features, hidden)).astype(np.float32),
            "b1": np.zeros(hidden, np.float32),
            "w2": rng.normal(0, hidden**-0.5, (hidden, hidden)).astype(np.float32),
            "u2": rng.normal(0, hidden**-0.5, (hidden, hidden)).astype(np.float32),
            "b2": np.zeros(hidden, np.float32),
            "out": np.zeros(hidden, np.float32),
        }
    return weights


def copied(weights: Mapping[str, FloatArray]) -> Weights:
    """The same numbers, which training changes no more."""
    return {name: value.copy() for name, value in weights.items()}


def average(models: Sequence[Weights]) -> Weights:
    """One model whose scores are the mean of those of ``models``, all linear or all networks.

    Networks side by side are a wider one, whose second layer reads only the part of the first that is its own.
    """
    merged = {"linear": np.mean([one["linear"] for one in models], axis=0)}
    if "w1" in models[0]:
        merged |= {name: np.concatenate([one[name] for one in models], axis=-1) for name in ("w1", "b1", "b2")}
        merged |= {name: _diagonal([one[name] for one in models]) for name in ("w2", "u2")}
        merged["out"] = np.concatenate([one["out"] for one in models]) / len(models)
    return {name: np.asarray(value, np.float32) for name, value in merged.items()}


def _diagonal(blocks: Sequence[FloatArray]) -> FloatArray:
    """Square ``blocks`` along the diagonal of a larger square of zeros."""
    size = len(blocks[0])
    whole = np.zeros((size * len(blocks), size * len(blocks)), np.float32)
    for place, block in enumerate(blocks):
        whole[place * size : (place + 1) * size, place * size : (place + 1) * size] = block
    return whole


def scaling(rows: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (features,) of every feature, from ``rows`` (n, features) of every query."""
    everything = np.concatenate(rows)
    spread = everything.std(0)
    return everything.mean(0), np.where(spread > 1e-6, spread, 1.0).astype(np.float32)


def scaled(x: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Features (n, features) as the network reads them."""
    return ((x - mean) / spread).clip(-_CLIP, _CLIP)


def forward(weights: Mapping[str, FloatArray], x: FloatArray) -> FloatArray:
    """Scores (n,) of scaled features (n, features)."""
    scores = x @ weights["linear"]
    if "w1" in weights:
        first = np.maximum(x @ weights["w1"] + weights["b1"], 0)
        second = np.maximum(first @ weights["w2"] + first.mean(0) @ weights["u2"] + weights["b2"], 0)
        scores = scores + second @ weights["out"]
    return np.asarray(scores, np.float32)


def loss_of(scores: FloatArray, batch: Batch) -> tuple[float, FloatArray]:
    """The mean loss of the queries, and its gradient (n,) by the scores (n,).

    Listwise softmax: cross entropy between the gains, as shares, and the softmax of the scores. RankNet: the mean of
    log(1 + exp(lower - higher)) over the pairs whose gains differ.
    """
    shifted = scores - np.maximum.reduceat(scores, batch.starts)[batch.owner]
    exponential = np.exp(shifted)
    total = np.add.reduceat(exponential, batch.starts)
    loss = -float(batch.shares @ (shifted - np.log(total)[batch.owner]))
    gradient = exponential / total[batch.owner] - batch.shares
    margin = scores[batch.above] - scores[batch.below]
    loss += RANKNET * float(batch.weight @ np.logaddexp(0, -margin))
    pull = -RANKNET * batch.weight / (1 + np.exp(margin.clip(-60, 60)))
    gradient += np.bincount(batch.above, pull, len(scores)) - np.bincount(batch.below, pull, len(scores))
    return loss / len(batch.starts), np.asarray(gradient / len(batch.starts), scores.dtype)


def gradients(weights: Mapping[str, FloatArray], batch: Batch) -> tuple[float, Weights]:
    """Mean loss of the queries, and its gradient by every weight."""
    x = batch.x
    if "w1" not in weights:
        loss, by_score = loss_of(x @ weights["linear"], batch)
        return loss, {"linear": x.T @ by_score}
    counts = batch.counts[:, None].astype(x.dtype)
    first = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    pooled = np.add.reduceat(first, batch.starts) / counts
    second = np.maximum(first @ weights["w2"] + (pooled @ weights["u2"])[batch.owner] + weights["b2"], 0)
    loss, by_score = loss_of(x @ weights["linear"] + second @ weights["out"], batch)
    by_second = np.where(second > 0, by_score[:, None] * weights["out"], 0)
    summed = np.add.reduceat(by_second, batch.starts)
    by_first = by_second @ weights["w2"].T + (summed @ weights["u2"].T / counts)[batch.owner]
    by_first = np.where(first > 0, by_first, 0)
    return loss, {
        "linear": x.T @ by_score,
        "w1": x.T @ by_first,
        "b1": by_first.sum(0),
        "w2": first.T @ by_second,
        "u2": pooled.T @ summed,
        "b2": by_second.sum(0),
        "out": second.T @ by_score,
    }


class Adam:
    """Steps downhill (1412.6980), with decoupled decay towards where the weights started.

    Parameters
    ----------
    weights : mapping
        Changed in place.
    rate : float
    decay : float
        Share of the way back to the start that every step takes, times ``rate``.
    """

    def __init__(self, weights: Weights, rate: float, decay: float = 0.0) -> None:
        self._weights, self._rate, self._decay = weights, rate, decay
        self._start = {name: value.copy() for name, value in weights.items()}
        self._first = {name: np.zeros_like(value) for name, value in weights.items()}
        self._second = {name: np.zeros_like(value) for name, value in weights.items()}
        self._steps = 0

    def step(self, gradient: Mapping[str, NDArray[np.floating]]) -> None:
        """One step against ``gradient``."""
        self._steps += 1
        for name, slope in gradient.items():
            weight, first, second = self._weights[name], self._first[name], self._second[name]
            first += 0.1 * (slope - first)
            second += 0.001 * (slope * slope - second)
            mean = first / (1 - 0.9**self._steps)
            scale = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            weight -= self._rate * (mean / scale + self._decay * (weight - self._start[name]))


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Positions 0 to ``count - 1`` in a random order, ``size`` at a time."""
    order = rng.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))
