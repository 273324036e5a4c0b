"""From recurrent binary codes back to vectors: a decoder that is learned on the final codes.

The linear part is ridge regression, then read like :class:`octant.quantizers.binary.ComposedBinary` reads: directions
of small variance, which least squares shrinks most, are weighed up as far as held-out recall wants it, and all of it is
scaled so that a vector's score for itself is right on average. An MLP of the signs may correct it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octant.descent import Schedule, arrays, tensor, train
from octant.quantizers.held_out import Split
from octant.quantizers.recurrent_fit import least_squares
from octant.quantizers.recurrent_maps import Maps
from octant.records import FloatArray
from octant.work import Work

if TYPE_CHECKING:
    import torch

SAMPLE = 20_000
"""Most codes that the decoder learns from."""
TILTS = (0.0, 0.1, 0.2, 0.3)
"""Powers of the inverse variance that compete as weights of directions in scores."""
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Shares of the codes' mean variance that compete as regularisation."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """What a decoder decodes, for the vectors of a split.

    Attributes
    ----------
    seen, points : (n, bits) float32
    vectors : (n, dim) float32
        Those behind ``seen``.
    """

    seen: FloatArray
    vectors: FloatArray
    points: FloatArray

    @classmethod
    def of(cls, split: Split, read: Callable[[FloatArray], FloatArray]) -> Coordinates:
        """Codes by ``read`` of what was seen, and of the held-out points."""
        vectors = split.seen[:: max(1, len(split.seen) // SAMPLE)][:SAMPLE]
        return cls(read(vectors), vectors, read(split.points))


@dataclass(frozen=True, eq=False)
class Detail:
    """How the MLP of a decoder is trained."""

    hidden: int
    schedule: Schedule
    what: str
    key: str
    work: Work


def learn(codes: Coordinates, split: Split, rng: np.random.Generator, detail: Detail | None) -> dict[str, NDArray[Any]]:
    """Arrays ``mean``, ``decoder`` and ``detail_...`` of the decoder that finds most held-out neighbours."""
    affine = _linear(codes, split)
    correction = _nothing(affine) if detail is None else _train_detail(codes, split, affine, rng, detail)
    gain = _gain(codes.vectors, codes.seen @ affine[:-1] + affine[-1] + _applied(correction, codes.seen))
    if detail is None:
        affine, gain = _tilted(codes, split, affine), 1.0
    scaled = Maps(correction.skip, correction.first, correction.middle, correction.last * gain)
    return {"mean": affine[-1] * gain, "decoder": affine[:-1] * gain, **scaled.arrays("detail")}


def _linear(codes: Coordinates, split: Split) -> FloatArray:
    """The affine decoder (bits + 1, dim) whose ridge has the smallest error on held-out vectors."""
    fits = [least_squares(codes.seen, codes.vectors, ridge * len(codes.seen) / 100) for ridge in RIDGES]
    errors = [float(np.square(split.points - codes.points @ fit[:-1] - fit[-1]).mean()) for fit in fits]
    return fits[int(np.argmin(errors))]


def _tilted(codes: Coordinates, split: Split, affine: FloatArray) -> FloatArray:
    """``affine`` with directions weighed by their inverse variance to the power that finds most."""
    centred = codes.vectors - codes.vectors.mean(axis=0)
    variances, directions = np.linalg.eigh((centred.T @ centred / len(centred)).astype(np.float64))
    shares = np.maximum(variances / variances[-1], 1e-6)

    def tilt(power: float) -> FloatArray:
        turned = (affine[:-1] @ directions * shares**-power) @ directions.T
        decoder = np.asarray(turned, np.float32)
        gain = _gain(centred, codes.seen @ decoder)
        return np.concatenate([decoder * gain, affine[-1:]])

    fits = [tilt(power) for power in TILTS]
    recalls = [split.recall(split.queries @ (codes.points @ fit[:-1]).T) for fit in fits]
    return fits[int(np.argmax(recalls))]


def _gain(x: FloatArray, decoded: FloatArray) -> float:
    """Factor with which ``decoded`` has the same dot product with ``x`` as ``x`` itself, on average."""
    found = float(np.vdot(x, decoded))
    return float(np.vdot(x, x)) / found if found > 0 else 1.0


def _nothing(affine: FloatArray) -> Maps:
    bits, dim = len(affine) - 1, affine.shape[1]
    first, middle = np.zeros((1, 0, bits + 1), np.float32), np.zeros((1, 0, 0, 1), np.float32)
    return Maps(first, first, middle, np.zeros((1, dim, 1), np.float32))


def _applied(maps: Maps, codes: FloatArray) -> FloatArray:
    return maps(0, codes)


# -- the MLP -----------------------------------------------------------------------------------------


def _train_detail(
    codes: Coordinates, split: Split, affine: FloatArray, rng: np.random.Generator, detail: Detail
) -> Maps:
    learner = _DetailLearner(codes, split, affine, detail.hidden, rng)
    seed = int(rng.integers(2**62))
    state = train(learner, detail.schedule, what=detail.what, seed=seed, key=detail.key, work=detail.work)
    return _maps(state, learner.unit)


class _DetailLearner:
    """An MLP of the signs that takes away squared error of the linear decoder; it starts at zero."""

    def __init__(
        self, codes: Coordinates, split: Split, affine: FloatArray, hidden: int, rng: np.random.Generator
    ) -> None:
        self.codes, self.split, self.affine = codes, split, affine
        self.inputs = tensor(codes.seen)
        missing = codes.vectors - codes.seen @ affine[:-1] - affine[-1]
        # In units of what is missing: an MLP that starts at zero must not overshoot it in its first steps.
        self.unit = max(float(missing.std()), float(np.finfo(np.float32).tiny))
        self.wanted = tensor(missing / np.float32(self.unit))
        self.rows = len(codes.seen)
        bits, dim = codes.seen.shape[1], codes.vectors.shape[1]
        first = np.concatenate([rng.standard_normal((hidden, bits)) / np.sqrt(bits), np.zeros((hidden, 1))], axis=1)
        self.parameters = {
            "first": tensor(first.astype(np.float32)).requires_grad_(True),
            "last": tensor(np.zeros((dim, hidden + 1), np.float32)).requires_grad_(True),
        }
        self.buffers: dict[str, torch.Tensor] = {}

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Squared error over that of the linear decoder."""
        import torch

        del noise
        rows = rows.to(self.inputs.device)
        first, last = self.parameters["first"], self.parameters["last"]
        hidden = torch.relu(self.inputs[rows] @ first[:, :-1].T + first[:, -1])
        error = self.wanted[rows] - hidden @ last[:, :-1].T - last[:, -1]
        return error.square().mean()

    def quality(self) -> float:
        """Minus the squared error on held-out vectors: the codes are fixed, so what is near decides what is found."""
        points = self.codes.points
        correction = _applied(_maps(arrays(self.parameters), self.unit), points)
        decoded = points @ self.affine[:-1] + self.affine[-1] + correction
        return -float(np.square(self.split.points - decoded).sum(axis=1).mean())


def _maps(state: dict[str, FloatArray], unit: float) -> Maps:
    hidden, bits = state["first"].shape[0], state["first"].shape[1] - 1
    skip, middle = np.zeros((1, 0, bits + 1), np.float32), np.zeros((1, 0, hidden, hidden + 1), np.float32)
    return Maps(skip, state["first"][None], middle, state["last"][None] * np.float32(unit))
