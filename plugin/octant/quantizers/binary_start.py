"""Where composed binary codes start: signs of principal directions, rotated until signs lose least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from octant.quantizers.binary_encode import Code
from octant.quantizers.blas import one_thread
from octant.records import FloatArray

_ROTATIONS = 5
"""Turns of rotation and signs (ITQ); what more of them gain is gone after the first turns of codes and decoder."""
_RIDGE = 1e-2


@dataclass(frozen=True, eq=False)
class Start:
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
    @one_thread()
    def of(cls, x: FloatArray, bits: int, rng: np.random.Generator) -> Start:
        """As many bits as there are directions, then as many again for what is left, until all are placed."""
        mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
        centred = x - mean
        codes = np.ones((len(x), bits), np.float32)
        decoder = np.zeros((bits, x.shape[1]), np.float32)
        residual, placed = centred, 0
        while placed < bits:
            basis = _rotated_directions(residual, bits - placed, rng)
            if basis is None:  # nothing is left to describe: the other bits keep a row of zeros
                break
            block = _signs(np.asarray(residual @ basis, np.float32))
            codes[:, placed : placed + block.shape[1]] = block
            placed += block.shape[1]
            decoder[:placed] = _least_squares(codes[:, :placed], centred)
            residual = centred - codes[:, :placed] @ decoder[:placed]
        return cls(x, mean, codes, decoder)


@one_thread()
def rotated_signs(x: FloatArray, bits: int, rng: np.random.Generator) -> Code | None:
    """The code that a fit has to beat: signs of rotated principal directions of ``x`` (n, dim), one step for all.

    Its decoder's rows are orthogonal, so no flip helps and the search leaves the signs as they are. None where ``x``
    has fewer directions than ``bits``.
    """
    mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
    kept = _directions(x - mean, bits)
    if kept is None or kept.shape[1] < bits:
        return None
    basis = kept @ np.linalg.qr(rng.standard_normal((bits, bits)))[0].astype(np.float32)
    step = np.abs((x - mean) @ basis).mean()
    return Code(mean, np.ascontiguousarray(step * basis.T), basis, 1.0)


@one_thread()
def encoder(centred: FloatArray, codes: FloatArray, anchor: FloatArray | None = None, held: float = 0.0) -> FloatArray:
    """The linear map (dim, bits) from vectors (n, dim) to their codes (n, bits).

    ``held`` draws it to ``anchor``, as that many evenly spread vectors per vector would which ``anchor`` maps.
    """
    moment, target = centred.T @ centred, centred.T @ codes
    size = max(np.trace(moment) / len(moment), np.finfo(np.float32).tiny / _RIDGE)
    moment.flat[:: len(moment) + 1] += (_RIDGE + held) * size
    if anchor is not None:
        target += held * size * anchor
    return np.asarray(np.linalg.solve(moment, target), np.float32)


def _rotated_directions(x: FloatArray, bits: int, rng: np.random.Generator) -> FloatArray | None:
    """Largest principal directions (dim, at most bits), rotated to lose least by signs; None where ``x`` is 0."""
    kept = _directions(x, bits)
    if kept is None:
        return None
    z = x @ kept
    rotation = np.linalg.qr(rng.standard_normal((z.shape[1], z.shape[1])))[0].astype(np.float32)
    for _ in range(_ROTATIONS):
        left, _, right = np.linalg.svd(z.T @ _signs(np.asarray(z @ rotation, np.float32)))
        rotation = left @ right
    return np.asarray(kept @ rotation, np.float32)


def _directions(x: FloatArray, most: int) -> FloatArray | None:
    variances, directions = np.linalg.eigh((x.T @ x).astype(np.float64))
    kept = np.flatnonzero(variances > 1e-6 * max(variances[-1], np.finfo(np.float32).tiny))[::-1][:most]
    return directions[:, kept].astype(np.float32) if len(kept) else None


def _signs(z: FloatArray) -> FloatArray:
    return np.where(z >= 0, 1, -1).astype(np.float32)


def _least_squares(codes: FloatArray, targets: FloatArray) -> FloatArray:
    moment = codes.T @ codes
    moment.flat[:: len(moment) + 1] += _RIDGE * len(codes)
    return np.asarray(np.linalg.solve(moment, codes.T @ targets), np.float32)
