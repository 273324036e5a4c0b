"""How composed binary codes learn: codes and decoder take turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octant.errors import VectorValueError
from octant.quantizers.binary_choice import Choice, choose, metric, tilted
from octant.quantizers.binary_encode import Code, directions
from octant.quantizers.binary_start import Start, encoder, rotated_signs
from octant.quantizers.sample import check_varied
from octant.records import FloatArray
from octant.work import QUIET, Work, fingerprint

SAMPLE = 20_000
"""Most vectors that a fit looks at."""
ROUNDS = 8
"""Turns of codes and decoder."""
_TRIAL_ROUNDS = 3
_SWEEPS, _KICKS = 2, 4
_SOLVER_STEPS = 4
_MIXED = 0.3
"""Share of the variance of a mixture that the second vector brings."""
_SCALED_BY = 3000
"""Vectors that tell how long decoded vectors should be."""


def learn(
    x: FloatArray, queries: FloatArray | None, bits: int, rng: np.random.Generator, work: Work = QUIET
) -> tuple[Code, FloatArray]:
    """A code of ``bits`` bits for vectors like ``x`` (n, dim), and the decoder (bits, dim) that finds most with it.

    An interrupted fit goes on after the last turn that ``work`` kept, to the same result.

    Raises
    ------
    VectorValueError
        If the vectors do not differ, or the loss is no longer a finite number.
    """
    key = fingerprint(f"binary({bits})", rng, x, queries)
    kept = work.restore(key) or {}
    choosing, starting = rng.spawn(2)
    check_varied("binary", x)
    if "choice" in kept:
        choice = Choice.of(kept["choice"])
    else:
        choice = choose(x, queries, bits, _ShortFit(bits, int(choosing.integers(2**63))), choosing, work)
        work.save(key, {"choice": choice.numbers()})
    signs = rotated_signs(x, bits, starting) if choice.signs else None
    if signs is None:
        weights = metric(queries, choice.share)
        code = _Turns(bits, choice, weights, ROUNDS).run(_stretched(x, starting), starting, work, key, kept)
    else:
        code = signs
    work.done(key)
    return code, _reader(code, x, choice.tilt)


@dataclass(frozen=True)
class _ShortFit:
    """A fit that is only compared with others: a few turns, always from the same start."""

    bits: int
    seed: int

    def __call__(self, x: FloatArray, choice: Choice, weights: FloatArray | None) -> Code:
        return _Turns(self.bits, choice, weights, _TRIAL_ROUNDS).run(x, np.random.default_rng(self.seed))


@dataclass(frozen=True, eq=False)
class _Turns:
    """Codes for the decoder, then a decoder for the codes, ``rounds`` times; last the encoder that starts a search."""

    bits: int
    choice: Choice
    metric: FloatArray | None
    rounds: int

    def run(
        self,
        x: FloatArray,
        rng: np.random.Generator,
        work: Work = QUIET,
        key: str = "",
        kept: Mapping[str, NDArray[Any]] | None = None,
    ) -> Code:
        """The code that ``x`` (n, dim) teaches; from the state that ``kept`` holds of an interrupted fit, if any."""
        mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
        if kept and "round" in kept:
            first, codes, decoder = int(kept["round"]), kept["codes"].astype(np.float32), kept["decoder"]
        else:
            start = Start.of(x, self.bits, rng)
            first, codes, decoder = 0, start.codes, start.decoder
        nowhere = np.zeros((x.shape[1], self.bits), np.float32)
        code = Code(mean, decoder, nowhere, self.choice.eta, self.metric)
        turns = work.steps(range(first, self.rounds), what=f"binary({self.bits})", total=self.rounds, first=first)
        for turn in turns:
            codes = code.improve(x, codes, sweeps=_SWEEPS, kicks=_KICKS)
            code = replace(code, decoder=better_decoder(code, x, codes, self.choice.ridge))
            self._check(code, x, codes, turn)
            state = {"round": np.int64(turn + 1), "codes": codes.astype(np.int8), "decoder": code.decoder}
            work.save(key, {"choice": self.choice.numbers(), **state})
        return replace(code, encoder=encoder(x - mean, codes))

    def _check(self, code: Code, x: FloatArray, codes: FloatArray, turn: int) -> None:
        if np.isfinite(code.decoder).all() and np.isfinite(code.loss(x, codes)):
            return
        raise VectorValueError(
            f"the loss of binary({self.bits}) is not finite after round {turn + 1} of {self.rounds}: "
            "scale the vectors to about unit length"
        )


def _stretched(x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """``x`` (n, dim) and, up to as many or to ``SAMPLE`` in all, mixtures of two of its rows.

    A decoder has bits * dim numbers, and a small sample is learned by heart. Mixtures around the mean have the same
    mean and covariance as ``x``; with them the squared error on other vectors falls.
    """
    count = min(len(x), SAMPLE - len(x))
    if count <= 0:
        return x
    mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
    one, other = (x[rng.permutation(len(x))[:count]] - mean for _ in range(2))
    mixed = mean + np.float32(np.sqrt(1 - _MIXED)) * one + np.float32(np.sqrt(_MIXED)) * other
    return np.concatenate([x, mixed])


def better_decoder(code: Code, x: FloatArray, codes: FloatArray, ridge: float) -> FloatArray:
    """The decoder (bits, dim) of least loss for ``codes`` (n, bits), by conjugate gradients from the present one.

    Every vector has a weight matrix of its own, ``M + (eta - 1) u u^T``, so the normal equations do not separate;
    with the mean of these weights in their place they do, and that solution is the preconditioner. ``ridge`` holds
    the decoder's rows back by a share of their own moment, which is 1.
    """
    count, weight, held = np.float32(len(x)), np.float32(code.eta - 1), np.float32(ridge)
    unit = directions(x)
    mean_weight = code.measured(np.eye(x.shape[1], dtype=np.float32)) + weight * (unit.T @ unit) / count
    moment = codes.T @ codes / count + held * np.eye(codes.shape[1], dtype=np.float32)
    before, after = np.linalg.inv(moment), np.linalg.inv(mean_weight)

    def weighed(error: FloatArray) -> FloatArray:
        along = weight * np.einsum("nd,nd->n", error, unit)
        return np.asarray(codes.T @ (code.measured(error) + along[:, None] * unit) / count, np.float32)

    decoder = code.decoder
    gradient = weighed(x - code.mean - codes @ decoder) - held * decoder @ mean_weight
    step = improved = before @ gradient @ after
    size = float(np.vdot(gradient, improved))
    for _ in range(_SOLVER_STEPS):
        curved = weighed(codes @ step) + held * step @ mean_weight
        curvature = float(np.vdot(step, curved))
        if curvature <= 0:  # nothing left to gain
            break
        rate = np.float32(size / curvature)
        decoder, gradient = decoder + rate * step, gradient - rate * curved
        improved = before @ gradient @ after
        size, last = float(np.vdot(gradient, improved)), size
        step = improved + np.float32(size / last) * step
    return np.asarray(decoder, np.float32)


def _reader(code: Code, x: FloatArray, power: float) -> FloatArray:
    """The tilted decoder (bits, dim), scaled so that a vector's score for itself is right on average."""
    seen = x[:_SCALED_BY]
    weighed, centred = tilted(code, x, power), seen - code.mean
    found = float(np.vdot(centred, code.encode(seen, sweeps=4) @ weighed))
    return np.asarray(weighed * np.float32(np.vdot(centred, centred) / found), np.float32)
