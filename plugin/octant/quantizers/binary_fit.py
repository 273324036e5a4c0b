"""How composed binary codes learn: codes and decoder take turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octant.errors import VectorValueError
from octant.quantizers.binary_choice import SHARES, Choice, choose, metric, tilted
from octant.quantizers.binary_encode import Code, directions
from octant.quantizers.binary_start import Start, encoder, rotated_signs
from octant.quantizers.blas import one_thread
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


@dataclass(frozen=True, eq=False)
class Learned:
    """What a fit ends with.

    Attributes
    ----------
    code : Code
    reader : (bits, dim) float32
        The decoder that finds most.
    choice : Choice
    seen : int
        Vectors learned from, by all fits together; no more than a sample counts.
    """

    code: Code
    reader: FloatArray
    choice: Choice
    seen: int


def learn(
    x: FloatArray, queries: FloatArray | None, bits: int, rng: np.random.Generator, work: Work = QUIET
) -> Learned:
    """A code of ``bits`` bits for vectors like ``x`` (n, dim).

    An interrupted fit goes on after the last turn that ``work`` kept, to the same result.

    Raises
    ------
    VectorValueError
        If the vectors do not differ, or the loss is no longer a finite number.
    """
    check_varied("binary", x)
    key = fingerprint(f"binary({bits})", rng, x, queries)
    kept = work.restore(key) or {}
    # A resumed fit passes over the choice: what the choice draws must not change what the start draws.
    choosing, starting = rng.spawn(2)
    if "choice" in kept:
        choice = Choice.of(kept["choice"])
    else:
        choice = choose(x, queries, bits, _ShortFit(bits, int(choosing.integers(2**63))), choosing, work)
        work.save(key, {"choice": choice.numbers()})
    code = rotated_signs(x, bits, starting) if choice.signs else None
    if code is None:
        stretched = _stretched(x, starting)
        start = _restored(stretched, kept, bits) if "round" in kept else Start.of(stretched, bits, starting)
        turns = _Turns(choice, metric(queries, choice.share), range(int(kept.get("round", 0)), ROUNDS))
        code = turns.run(start, work, key)
    work.done(key)
    return Learned(code, _reader(code, x, choice.tilt), choice, len(x))


def go_on(before: Learned, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work) -> Learned:
    """``before`` after more turns on ``x`` (n, dim); what it had seen holds its decoder back, vector for vector.

    Raises
    ------
    VectorValueError
        As for :func:`learn`.
    """
    check_varied("binary", x)
    bits = len(before.code.decoder)
    key = fingerprint(f"binary({bits}), continued", rng, x, queries, before.code.decoder)
    kept = work.restore(key) or {}
    choice, weights = replace(before.choice, signs=False), before.code.metric
    if queries is not None:
        choice = replace(choice, share=choice.share or SHARES[0])
        weights = metric(queries, choice.share)
    code = replace(before.code, eta=choice.eta, metric=weights)
    stretched = _stretched(x, rng)
    if "round" in kept:
        start = _restored(stretched, kept, bits)
    else:
        codes = code.encode(stretched, sweeps=_SWEEPS, kicks=_KICKS)
        start = Start(stretched, code.mean, codes, code.decoder)
    rounds = range(int(kept.get("round", 0)), ROUNDS)
    after = _Turns(choice, weights, rounds, anchor=code, held=before.seen / len(x)).run(start, work, key)
    work.done(key)
    reader = _weighed_alike(code.decoder, before.reader, after.decoder)
    return Learned(after, reader, choice, min(before.seen + len(x), SAMPLE))


def _weighed_alike(decoder: FloatArray, reader: FloatArray, after: FloatArray) -> FloatArray:
    """The reader of ``after``, weighing directions as before: more vectors than the new ones taught that."""
    old = decoder.astype(np.float64)
    length = np.vdot(old, reader) / np.vdot(old, old)
    # Directions that no row of the old decoder reached get the length alone.
    weights = np.linalg.lstsq(old, reader - length * old, rcond=None)[0]
    return np.asarray(length * after + after @ weights, np.float32)


def _restored(x: FloatArray, kept: Mapping[str, NDArray[Any]], bits: int) -> Start:
    ones = np.unpackbits(kept["codes"], axis=1, count=bits)
    return Start(x, kept["mean"], np.where(ones, 1, -1).astype(np.float32), kept["decoder"])


@dataclass(frozen=True)
class _ShortFit:
    """A fit that is only compared with others: a few turns, always from the same start."""

    bits: int
    seed: int

    def __call__(self, x: FloatArray, choice: Choice, weights: FloatArray | None) -> Code:
        start = Start.of(x, self.bits, np.random.default_rng(self.seed))
        return _Turns(choice, weights, range(_TRIAL_ROUNDS)).run(start)


@dataclass(frozen=True, eq=False)
class _Turns:
    """Codes for the decoder, then a decoder for the codes, once for each of ``rounds``.

    Attributes
    ----------
    choice : Choice
    metric : (dim, dim) float32 or None
    rounds : range
    anchor : Code or None
        What to stay near; None for zeros.
    held : float
        How strongly, besides the chosen ridge.
    """

    choice: Choice
    metric: FloatArray | None
    rounds: range
    anchor: Code | None = None
    held: float = 0.0

    def run(self, start: Start, work: Work = QUIET, key: str = "") -> Code:
        """The code that ``start`` leads to, with the encoder that starts a search; ``work`` keeps every turn."""
        x, codes, bits = start.x, start.codes, len(start.decoder)
        nowhere = np.zeros((x.shape[1], bits), np.float32)
        code = Code(start.mean, start.decoder, nowhere, self.choice.eta, self.metric)
        last, ridge = self.rounds.stop, self.choice.ridge + self.held
        near = (None, None) if self.anchor is None else (self.anchor.decoder, self.anchor.encoder)
        for turn in work.steps(self.rounds, what=f"binary({bits})", total=last, first=self.rounds.start):
            codes = code.improve(x, codes, sweeps=_SWEEPS, kicks=_KICKS)
            code = replace(code, decoder=better_decoder(code, x, codes, ridge, near[0]))
            if not np.isfinite(code.decoder).all() or not np.isfinite(code.loss(x, codes)):
                raise VectorValueError(
                    f"the loss of binary({bits}) is not finite after round {turn + 1} of {last}: "
                    "scale the vectors to about unit length"
                )
            state: dict[str, NDArray[Any]] = {"choice": self.choice.numbers(), "round": np.asarray(turn + 1)}
            packed = np.packbits(codes > 0, axis=1)
            work.save(key, {**state, "mean": code.mean, "decoder": code.decoder, "codes": packed})
        return replace(code, encoder=encoder(x - code.mean, codes, near[1], self.held))


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


@one_thread()
def better_decoder(
    code: Code, x: FloatArray, codes: FloatArray, ridge: float, anchor: FloatArray | None = None
) -> FloatArray:
    """The decoder (bits, dim) of least loss for ``codes`` (n, bits), by conjugate gradients from the present one.

    Every vector has a weight matrix of its own, ``M + (eta - 1) u u^T``, so the normal equations do not separate;
    with the mean of these weights in their place they do, and that solution is the preconditioner. ``ridge`` draws
    the decoder to ``anchor``, by default to zeros, as that many vectors per vector of ``x`` would whose codes are
    uncorrelated and whom ``anchor`` describes exactly.
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
    away = decoder if anchor is None else decoder - anchor
    gradient = weighed(x - code.mean - codes @ decoder) - held * away @ mean_weight
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
