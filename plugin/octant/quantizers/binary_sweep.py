"""The sweeps of the search for bits: in numpy, many vectors at once, and compiled, one vector after the other.

Both give the same bits. A flip adds a column of the Gram matrix to ``g``, and sums of floating point numbers depend on
their order; here they do not, because :class:`Gram` and the first ``g`` are whole multiples of one power of two, so
small that float32 holds every sum exactly. What else is computed for a bit is computed in one order in both.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TypeAlias, cast

import numpy as np

from octant.records import FloatArray

_BLOCK = 16
"""Bits whose flips are gathered before they are multiplied into the state of all bits."""
_TOLERANCE = np.float32(1e-5)
"""Share of a bit's own weight that a flip must gain; less may be rounding, and could flip to and fro."""

Search: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, float, int], None]


@dataclass(frozen=True, eq=False)
class Gram:
    """``D D^T`` in steps that float32 adds without error.

    Attributes
    ----------
    values : (bits, bits) float32
        Multiples of ``step``.
    step : float
        A power of two.
    reach : float
        As long as every element of the first ``g`` is at most so large, all sums are exact.
    """

    values: FloatArray
    step: float
    reach: float

    @classmethod
    def of(cls, decoder: FloatArray) -> Gram:
        """The Gram matrix of ``decoder`` (bits, dim)."""
        exact = (decoder @ decoder.T).astype(np.float64)
        largest = max(float(np.abs(exact).sum(axis=1).max()), float(np.finfo(np.float32).tiny) * 2.0**30)
        # Flips move g by at most twice the row sums: twice as much again is left for where it starts.
        step = 2.0 ** (np.ceil(np.log2(4 * largest)) - 23)
        values = np.asarray(np.rint(exact / step) * step, np.float32)
        return cls(values, step, 2 * largest)

    def rounded(self, g: FloatArray) -> FloatArray:
        """The nearest multiples of ``step``."""
        step = np.float32(self.step)
        return np.asarray(np.rint(g / step) * step, np.float32)


def search(
    bits: FloatArray, g: FloatArray, s: FloatArray, p: FloatArray, gram: Gram, weight: float, sweeps: int
) -> None:
    """Flip what lowers the loss, in place, for at most ``sweeps`` rounds over all bits.

    Parameters
    ----------
    bits : (n, bits) float32
        -1 and +1.
    g : (n, bits) float32
        ``D r``; used up. A vector so far from all others that a sum would be rounded is left to numpy.
    s : (n,) float32
        ``r . u``; used up.
    p : (n, bits) float32
        ``D u``.
    gram : Gram
    weight : float
        ``eta - 1``.
    sweeps : int
    """
    own = np.asarray((1 + _TOLERANCE) * np.diag(gram.values), np.float32)
    chosen: Search = _in_numpy
    if np.abs(g).max(initial=0) <= gram.reach:
        g = gram.rounded(g)
        chosen = compiled() or _in_numpy
    chosen(bits, g, s, p, gram.values, own, np.float32(weight), sweeps)


@cache
def compiled() -> Search | None:
    """The compiled search, where numba can be imported."""
    if find_spec("numba") is None:
        return None
    try:
        import numba
    except ImportError as error:  # numba refuses numpy versions that are newer than itself
        warnings.warn(
            f"numba is installed but cannot be imported ({error}): codes are searched by numpy, which finds the same "
            "bits in more time",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    # Without fastmath nothing is reordered or fused, so that the bits are those of numpy.
    try:
        return cast(Search, numba.njit(_one_by_one, nogil=True, cache=True))
    except RuntimeError:  # there is no folder that the compiled code could be kept in
        return cast(Search, numba.njit(_one_by_one, nogil=True))


def _one_by_one(
    bits: FloatArray,
    g: FloatArray,
    s: FloatArray,
    p: FloatArray,
    gram: FloatArray,
    own: FloatArray,
    weight: float,
    sweeps: int,
) -> None:
    """The search of one vector after the other: a flip costs a row of ``gram``, no flip nearly nothing."""
    two = np.float32(2)
    for row in range(bits.shape[0]):
        along = s[row]
        for _ in range(sweeps):
            changed = False
            for j in range(bits.shape[1]):
                bit, mine = bits[row, j], p[row, j]
                weighted = weight * mine
                if (along * weighted + g[row, j]) * bit + (weighted * mine + own[j]) < 0:
                    move = two * bit
                    bits[row, j] = -bit
                    along += move * mine
                    for k in range(bits.shape[1]):
                        g[row, k] += move * gram[j, k]
                    changed = True
            if not changed:
                break


def _in_numpy(
    bits: FloatArray,
    g: FloatArray,
    s: FloatArray,
    p: FloatArray,
    gram: FloatArray,
    own: FloatArray,
    weight: float,
    sweeps: int,
) -> None:
    """The search of all vectors together."""
    # As columns: a bit of all vectors is then contiguous.
    columns, g, p = (np.ascontiguousarray(rows.T) for rows in (bits, g, p))
    weighted = weight * p
    need = weighted * p + own[:, None]
    for _ in range(sweeps):
        if not _sweep(columns, g, s, p, weighted, need, gram):
            break
    bits[:] = columns.T


def _sweep(
    bits: FloatArray,
    g: FloatArray,
    s: FloatArray,
    p: FloatArray,
    weighted: FloatArray,
    own: FloatArray,
    gram: FloatArray,
) -> bool:
    """Try every bit of every vector once, in place; whether any flipped."""
    changed = False
    for first in range(0, len(bits), _BLOCK):
        block = slice(first, min(first + _BLOCK, len(bits)))
        near, moves = g[block].copy(), np.zeros_like(g[block])
        inner = gram[block, block]
        for i, j in enumerate(range(block.start, block.stop)):
            change = s * weighted[j]
            change += near[i]
            change *= bits[j]
            change += own[j]
            flips = change < 0
            if not flips.any():
                continue
            np.multiply(bits[j], flips, out=moves[i])
            moves[i] *= 2
            bits[j] -= moves[i]
            s += moves[i] * p[j]
            near[i + 1 :] += inner[i + 1 :, i, None] * moves[i]
            changed = True
        if moves.any():
            g += gram[:, block] @ moves
    return changed
