"""The sweeps of the search for bits: in numpy, many vectors at once, and compiled, one vector after the other.

Both give the same bits. A flip adds a column of the Gram matrix to ``g``, and sums of floating point numbers depend on
their order; here they do not, because :class:`Gram` and the first ``g`` are whole multiples of one power of two, so
small that float32 holds every sum exactly. What else is computed for a bit is computed in one order in both.

Where no single flip helps any more, kicks go on: the bit whose flip costs least is flipped all the same, the others
answer, and what all of it together does not improve is taken back; then the next cheapest bit. So pairs and larger
groups of bits are found that only pay together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from octant.records import FloatArray

_BLOCK = 16
"""Bits whose flips are gathered before they are multiplied into the state of all bits."""
_DENSE = 2
"""Rounds in which numpy tries every bit of every vector at once; later few flip, and those are looked for."""
_ROWS = 256
"""Vectors that are looked at together then: their state stays in a core's cache."""
_AFTER_KICK = 2
"""Rounds over all bits after one was flipped on trial."""
_TOLERANCE = np.float32(1e-5)
"""Share of a bit's own weight that a flip must gain; less may be rounding, and could flip to and fro."""

Search: TypeAlias = Callable[
    [FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, float, int, int], None
]


@dataclass(frozen=True, eq=False)
class Gram:
    """``D M D^T`` in steps that float32 adds without error.

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
    def of(cls, products: FloatArray) -> Gram:
        """From the ``products`` (bits, bits) of all rows of a decoder."""
        exact = products.astype(np.float64)
        exact = (exact + exact.T) / 2
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
    bits: FloatArray, g: FloatArray, s: FloatArray, p: FloatArray, gram: Gram, weight: float, sweeps: int, kicks: int
) -> None:
    """Flip what lowers the loss, in place.

    Parameters
    ----------
    bits : (n, bits) float32
        -1 and +1.
    g : (n, bits) float32
        ``D M r``; used up. A vector so far from all others that a sum would be rounded is left to numpy.
    s : (n,) float32
        ``r . u``; used up.
    p : (n, bits) float32
        ``D u``.
    gram : Gram
    weight : float
        ``eta - 1``.
    sweeps : int
        Most rounds over all bits.
    kicks : int
        Bits that are flipped on trial afterwards.
    """
    own = np.asarray((1 + _TOLERANCE) * np.diag(gram.values), np.float32)
    chosen: Search = _in_numpy
    if np.abs(g).max(initial=0) <= gram.reach:
        g = gram.rounded(g)
        chosen = compiled() or _in_numpy
    chosen(bits, g, s, p, gram.values, own, np.float32(weight), sweeps, min(kicks, bits.shape[1]))


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
    kicks: int,
) -> None:
    """The search of one vector after the other: a flip costs a row of ``gram``, no flip nearly nothing."""
    count = bits.shape[1]
    cost, flipped = np.empty(count, np.float32), np.empty((max(sweeps, _AFTER_KICK) + 1) * count, np.int64)

    def change(row: int, j: int, along: Any) -> Any:
        weighted = weight * p[row, j]
        return (along * weighted + g[row, j]) * bits[row, j] + (weighted * p[row, j] + own[j])

    def flip(row: int, j: int) -> Any:
        move = np.float32(2) * bits[row, j]
        bits[row, j] = -bits[row, j]
        for k in range(count):
            g[row, k] += move * gram[j, k]
        return move * p[row, j]

    for row in range(bits.shape[0]):
        along = s[row]
        # The first attempt is the descent itself: nothing is flipped on trial, and nothing taken back.
        for attempt in range(-1, kicks):
            before, total, done, kicked, rounds = along, np.float32(0), 0, -1, sweeps
            if attempt == 0:
                for j in range(count):
                    cost[j] = change(row, j, along)
            if attempt >= 0:
                kicked, rounds = int(np.argmin(cost)), _AFTER_KICK
                cost[kicked] = np.inf
                total = change(row, kicked, along)
                along += flip(row, kicked)
                flipped[0], done = kicked, 1
            for _ in range(rounds):
                last = done
                for j in range(count):
                    gain = change(row, j, along)
                    if gain < 0 and j != kicked:
                        total += gain
                        along += flip(row, j)
                        flipped[done] = j
                        done += 1
                if done == last:
                    break
            if attempt >= 0 and not total < 0:
                along = before
                while done:
                    done -= 1
                    flip(row, flipped[done])


def _in_numpy(
    bits: FloatArray,
    g: FloatArray,
    s: FloatArray,
    p: FloatArray,
    gram: FloatArray,
    own: FloatArray,
    weight: float,
    sweeps: int,
    kicks: int,
) -> None:
    """The search of all vectors together."""
    # As columns: a bit of all vectors is then contiguous.
    columns, g_columns, p_columns = (np.ascontiguousarray(rows.T) for rows in (bits, g, p))
    weighted = np.asarray(weight * p_columns, np.float32)
    need = np.asarray(weighted * p_columns + own[:, None], np.float32)
    dense = min(sweeps, _DENSE)
    changed = all(_sweep(columns, g_columns, s, p_columns, weighted, need, gram) for _ in range(dense))
    for first in range(0, len(bits), _ROWS):
        part = slice(first, first + _ROWS)
        several = (columns, g_columns, p_columns, weighted, need)
        signs, near, mine, share, least = (np.ascontiguousarray(one[:, part].T) for one in several)
        state = _State(signs, near, mine, share, least, s[part], gram)
        if changed:
            state.settle(sweeps - dense, None, np.zeros_like(s[part]))
        for kicked in np.argsort(state.changes(slice(None)), axis=1, kind="stable")[:, :kicks].T:
            state.kick(kicked)
        bits[part] = state.bits


@dataclass(eq=False)
class _State:
    """Vectors near the end of their search: few bits flip, so those are looked for and nothing else is touched.

    Attributes
    ----------
    bits, g, p : (n, bits) float32
    weighted : (n, bits) float32
        ``(eta - 1) p``.
    need : (n, bits) float32
        What a flip must gain from the residual: the flipped bit's own weight.
    s : (n,) float32
    gram : (bits, bits) float32
    """

    bits: FloatArray
    g: FloatArray
    p: FloatArray
    weighted: FloatArray
    need: FloatArray
    s: FloatArray
    gram: FloatArray

    def changes(self, rows: NDArray[np.int64] | slice) -> FloatArray:
        """A quarter of what flipping each bit would add to the loss of ``rows`` (m, bits)."""
        change = self.s[rows, None] * self.weighted[rows]
        change += self.g[rows]
        change *= self.bits[rows]
        change += self.need[rows]
        return change

    def flip(self, rows: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        """Flip bit ``j`` (m,) of each of ``rows`` (m,)."""
        move = 2 * self.bits[rows, j]
        self.bits[rows, j] *= -1
        self.s[rows] += move * self.p[rows, j]
        self.g[rows] += move[:, None] * self.gram[j]

    def settle(self, rounds: int, kicked: NDArray[np.int64] | None, total: FloatArray) -> FloatArray:
        """At most ``rounds`` over all bits but ``kicked``; ``total`` (n,) and a quarter of what they add to losses."""
        total = total.copy()
        place, left = np.zeros(len(total), np.int64), np.full(len(total), rounds)
        moved = np.zeros(len(total), bool)
        order = np.arange(self.bits.shape[1])
        active = np.arange(len(total)) if rounds else np.arange(0)
        while len(active):
            change = self.changes(active)
            helps = change < 0
            helps &= order >= place[active, None]
            if kicked is not None:
                helps[np.arange(len(active)), kicked[active]] = False
            next_bit = helps.argmax(axis=1)
            found = helps[np.arange(len(active)), next_bit]
            rows, ended = active[found], active[~found]
            total[rows] += change[found, next_bit[found]]
            self.flip(rows, next_bit[found])
            place[rows], moved[rows] = next_bit[found] + 1, True
            left[ended] -= 1
            again = moved[ended] & (left[ended] > 0)
            place[ended], moved[ended] = 0, False
            active = np.concatenate([rows, ended[again]])
        return total

    def kick(self, kicked: NDArray[np.int64]) -> None:
        """Flip bit ``kicked`` (n,) of every vector, let the others answer, take back what did not pay."""
        before = self.bits.copy(), self.g.copy(), self.s.copy()
        rows = np.arange(len(kicked))
        first = self.changes(slice(None))[rows, kicked]
        self.flip(rows, kicked)
        lost = ~(self.settle(_AFTER_KICK, kicked, first) < 0)
        for now, then in zip((self.bits, self.g, self.s), before, strict=True):
            now[lost] = then[lost]


def _sweep(
    bits: FloatArray,
    g: FloatArray,
    s: FloatArray,
    p: FloatArray,
    weighted: FloatArray,
    need: FloatArray,
    gram: FloatArray,
) -> bool:
    """Try every bit (as rows) of every vector once, in place; whether any flipped."""
    changed = False
    for first in range(0, len(bits), _BLOCK):
        block = slice(first, min(first + _BLOCK, len(bits)))
        near, moves = g[block].copy(), np.zeros_like(g[block])
        inner = gram[block, block]
        for i, j in enumerate(range(block.start, block.stop)):
            change = s * weighted[j]
            change += near[i]
            change *= bits[j]
            change += need[j]
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
