"""How composed binary codes learn: where they start, how codes and decoder take turns, what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from octant.errors import VectorValueError
from octant.quantizers.binary_encode import Code, directions
from octant.records import FloatArray

SAMPLE = 20_000
"""Most vectors that a fit looks at; more are drawn from, without replacement."""
ROUNDS = 8
"""Turns of codes and decoder."""
ETAS = (1.0, 2.0, 4.0, 8.0)
"""Weights of the error along the vector that compete on held-out vectors."""
TILTS = (0.0, 0.1, 0.2, 0.3)
"""Powers of the inverse variance that compete as weights of directions in scores."""
_USUAL_ETA, _USUAL_TILT = 4.0, 0.0
_TRIAL, _TRIAL_ROUNDS, _TRIAL_QUERIES = 3000, 3, 1000
_LEAST_TO_HOLD_OUT = 1000
_ROTATIONS = 15
_SOLVER_STEPS = 4
_RIDGE = 1e-3
_MIXED = 0.3
"""Share of the variance of a mixture that the second vector brings."""
_ENCODER_RIDGE = 1e-2


def learn(x: FloatArray, bits: int, rng: np.random.Generator) -> tuple[Code, FloatArray]:
    """A code of ``bits`` bits for vectors like ``x`` (n, dim), and the decoder (bits, dim) that finds most with it.

    Raises
    ------
    VectorValueError
        If the vectors do not differ, or the loss is no longer a finite number.
    """
    sample = x if len(x) <= SAMPLE else x[np.sort(rng.choice(len(x), SAMPLE, replace=False))]
    _check_spread(sample)
    eta, tilt = _choose(sample, bits, rng)
    code = _alternate(_Start.of(_stretched(sample, rng), bits, rng), eta, ROUNDS)
    return code, _reader(code, sample, tilt)


def _check_spread(x: FloatArray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        size, spread = float(np.square(x).sum(axis=1).mean()), float(x.var(axis=0).sum())
    if not np.isfinite(size) or 0 < float(np.abs(x).max()) < 1e-15:
        raise VectorValueError(
            f"binary codes learn from squared lengths, which leave float32 here (the largest coordinate is "
            f"{np.abs(x).max():.3g}): scale the vectors to about unit length"
        )
    if spread <= 1e-10 * size:
        raise VectorValueError(
            f"binary codes learn from how vectors differ, but all {len(x)} are equal: pass a sample of the collection"
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


# -- the start: principal directions, rotated until signs lose least ---------------------------------


@dataclass(frozen=True, eq=False)
class _Start:
    """Vectors with first codes and a first decoder.

    Attributes
    ----------
    x : (n, dim) float32
    mean : (dim,) float32
    codes : (n, bits) float32
        -1 and +1.
    decoder : (bits, dim) float32
    """

    x: FloatArray
    mean: FloatArray
    codes: FloatArray
    decoder: FloatArray

    @classmethod
    def of(cls, x: FloatArray, bits: int, rng: np.random.Generator) -> _Start:
        """As many bits as there are directions, then as many again for what is left, until all are placed."""
        mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
        centred = x - mean
        codes = np.ones((len(x), bits), np.float32)
        decoder = np.zeros((bits, x.shape[1]), np.float32)
        residual, placed = centred, 0
        while placed < bits:
            block = _rotated_signs(residual, bits - placed, rng)
            if block is None:  # nothing is left to describe: the other bits keep a row of zeros
                break
            codes[:, placed : placed + block.shape[1]] = block
            placed += block.shape[1]
            decoder[:placed] = _least_squares(codes[:, :placed], centred)
            residual = centred - codes[:, :placed] @ decoder[:placed]
        return cls(x, mean, codes, decoder)


def _rotated_signs(x: FloatArray, bits: int, rng: np.random.Generator) -> FloatArray | None:
    """Signs (n, at most bits) of ``x`` in its largest principal directions, rotated (ITQ); None where ``x`` is 0."""
    variances, directions_ = np.linalg.eigh((x.T @ x).astype(np.float64))
    kept = np.flatnonzero(variances > 1e-6 * max(variances[-1], np.finfo(np.float32).tiny))[::-1][:bits]
    if not len(kept):
        return None
    z = x @ directions_[:, kept].astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((len(kept), len(kept))))[0].astype(np.float32)
    for _ in range(_ROTATIONS):
        left, _, right = np.linalg.svd(z.T @ _signs(z @ rotation))
        rotation = left @ right
    return _signs(z @ rotation)


def _signs(z: FloatArray) -> FloatArray:
    return np.where(z >= 0, 1, -1).astype(np.float32)


def _least_squares(codes: FloatArray, targets: FloatArray) -> FloatArray:
    moment = codes.T @ codes
    moment.flat[:: len(moment) + 1] += _ENCODER_RIDGE * len(codes)
    return np.asarray(np.linalg.solve(moment, codes.T @ targets), np.float32)


# -- the turns ---------------------------------------------------------------------------------------


def _alternate(start: _Start, eta: float, rounds: int) -> Code:
    """Codes for the decoder, then a decoder for the codes, ``rounds`` times; last the encoder that starts a search."""
    x, centred, codes = start.x, start.x - start.mean, start.codes
    nowhere = np.zeros((x.shape[1], codes.shape[1]), np.float32)
    code = Code(start.mean, start.decoder, nowhere, eta)
    for step in range(rounds):
        codes = code.improve(x, codes, sweeps=2)
        code = replace(code, decoder=better_decoder(code, x, codes))
        if not np.isfinite(code.decoder).all() or not np.isfinite(code.loss(x, codes)):
            raise VectorValueError(
                f"the loss of binary({codes.shape[1]}) is not finite after round {step + 1} of {rounds}: "
                "scale the vectors to about unit length"
            )
    return replace(code, encoder=_encoder(centred, codes))


def better_decoder(code: Code, x: FloatArray, codes: FloatArray) -> FloatArray:
    """The decoder (bits, dim) of least loss for ``codes`` (n, bits), by conjugate gradients from the present one.

    Every vector has a weight matrix of its own, ``I + (eta - 1) u u^T``, so the normal equations do not separate;
    with the mean of these weights in their place they do, and that solution is the preconditioner.
    """
    count, weight, ridge = np.float32(len(x)), np.float32(code.eta - 1), np.float32(_RIDGE)
    unit = directions(x)
    mean_weight = np.eye(x.shape[1], dtype=np.float32) + weight * (unit.T @ unit) / count
    moment = codes.T @ codes / count + ridge * np.eye(codes.shape[1], dtype=np.float32)
    before, after = np.linalg.inv(moment), np.linalg.inv(mean_weight)

    def weighed(error: FloatArray) -> FloatArray:
        along = weight * np.einsum("nd,nd->n", error, unit)
        return np.asarray(codes.T @ (error + along[:, None] * unit) / count, np.float32)

    decoder = code.decoder
    gradient = weighed(x - code.mean - codes @ decoder) - ridge * decoder @ mean_weight
    step = improved = before @ gradient @ after
    size = float(np.vdot(gradient, improved))
    for _ in range(_SOLVER_STEPS):
        curved = weighed(codes @ step) + ridge * step @ mean_weight
        curvature = float(np.vdot(step, curved))
        if curvature <= 0:  # nothing left to gain
            break
        rate = np.float32(size / curvature)
        decoder, gradient = decoder + rate * step, gradient - rate * curved
        improved = before @ gradient @ after
        size, last = float(np.vdot(gradient, improved)), size
        step = improved + np.float32(size / last) * step
    return np.asarray(decoder, np.float32)


def _encoder(centred: FloatArray, codes: FloatArray) -> FloatArray:
    """The linear map (dim, bits) from vectors to their codes."""
    moment = centred.T @ centred
    moment.flat[:: len(moment) + 1] += max(_ENCODER_RIDGE * np.trace(moment) / len(moment), np.finfo(np.float32).tiny)
    return np.asarray(np.linalg.solve(moment, centred.T @ codes), np.float32)


# -- what is chosen on held-out vectors ----------------------------------------------------------------


def _choose(sample: FloatArray, bits: int, rng: np.random.Generator) -> tuple[float, float]:
    """The eta and tilt whose short fit on one half finds most true neighbours in the other; the usual ones if few."""
    if len(sample) < max(_LEAST_TO_HOLD_OUT, 2 * bits):
        return _USUAL_ETA, _USUAL_TILT
    shuffled = sample[rng.permutation(len(sample))]
    half = len(sample) // 2
    seen, held_out = shuffled[: min(half, _TRIAL)], shuffled[half:]
    start = _Start.of(seen, bits, rng)
    recalls: dict[tuple[float, float], float] = {}
    for eta in ETAS:
        code = _alternate(start, eta, _TRIAL_ROUNDS)
        codes = code.encode(held_out, sweeps=4)
        recalls |= {(eta, tilt): _recall(codes @ _tilted(code, seen, tilt), held_out) for tilt in TILTS}
    return max(recalls, key=lambda choice: recalls[choice])


def _tilted(code: Code, x: FloatArray, power: float) -> FloatArray:
    """The decoder (bits, dim) with the directions of small variance, which squared error shrinks most, made larger.

    What tells neighbours apart lies in all directions, what a short code keeps is mostly the largest: weighing
    directions by their inverse variance to a small power gives back some of what was lost.
    """
    centred = x - code.mean
    variances, directions_ = np.linalg.eigh((centred.T @ centred / len(x)).astype(np.float64))
    weights = np.maximum(variances / variances[-1], 1e-6) ** -power
    return np.asarray((code.decoder @ directions_ * weights) @ directions_.T, np.float32)


def _reader(code: Code, x: FloatArray, power: float) -> FloatArray:
    """The tilted decoder (bits, dim), scaled so that a vector's score for itself is right on average."""
    seen = x[:_TRIAL]
    tilted, centred = _tilted(code, x, power), seen - code.mean
    found = float(np.vdot(centred, code.encode(seen, sweeps=4) @ tilted))
    return np.asarray(tilted * np.float32(np.vdot(centred, centred) / found), np.float32)


def _recall(decoded: FloatArray, x: FloatArray, k: int = 10) -> float:
    """Share of the ``k`` best by dot product among ``x`` (n, dim) that ``decoded`` finds too, for some as queries."""
    count = min(_TRIAL_QUERIES, len(x) // 5)
    queries, points = x[:count], x[count:]
    pairs = zip(_best(queries @ points.T, k), _best(queries @ decoded[count:].T, k), strict=True)
    return sum(len(set(true.tolist()) & set(found.tolist())) for true, found in pairs) / (k * count)


def _best(scores: FloatArray, k: int) -> Sequence[np.ndarray]:
    return list(np.argpartition(-scores, k, axis=1)[:, :k])
