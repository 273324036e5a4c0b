"""The search for the bits of composed binary codes: coordinate descent, many vectors at once.

A vector ``x`` is near ``mean + b D`` with ``b`` in {-1, +1}^bits and a decoder ``D`` (bits, dim). What is minimised
is ``r M r + (eta - 1) (r . u)^2`` for the residual ``r = x - mean - b D`` and the direction ``u = x / |x|``: the part
of the error along ``x`` moves the scores of exactly those queries that ``x`` answers, so it weighs ``eta`` times the
rest (the anisotropic loss of arXiv:1908.10396). ``M`` is the identity, or leans towards the second moment of real
queries, so that directions in which nobody asks may be wrong (the idea of arXiv:2312.16335).

Flipping bit j changes the loss by ``4 b_j (g_j + (eta - 1) s p_j) + 4 (G_jj + (eta - 1) p_j^2)`` with ``g = D M r``,
``s = r . u``, ``p = D u`` and ``G = D M D^T``; a flip moves ``g`` by a column of ``G`` and ``s`` by ``p_j``, so no
residual is ever formed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from octant.quantizers.binary_sweep import Gram, compiled, search
from octant.quantizers.blas import one_thread
from octant.records import FloatArray

CHUNK = 1024
"""Vectors handled together: their state stays in a core's cache, and a flip costs no Python of its own."""
_STEP = 64
"""Rows of a chunk are padded to a multiple of this, so that a vector meets the same kernels in any batch."""


@dataclass(frozen=True, eq=False)
class Code:
    """A decoder and the loss it is used under.

    Attributes
    ----------
    mean : (dim,) float32
    decoder : (bits, dim) float32
    encoder : (dim, bits) float32
        The signs of ``(x - mean) encoder`` are where the search starts.
    eta : float
        Weight of the error along the vector; 1 is the squared error.
    metric : (dim, dim) float32 or None
        Weights ``M`` of the residual, of mean eigenvalue 1; None for the identity.
    """

    mean: FloatArray
    decoder: FloatArray
    encoder: FloatArray
    eta: float
    metric: FloatArray | None = None

    def encode(self, x: FloatArray, *, sweeps: int, kicks: int = 0, threads: int | None = None) -> FloatArray:
        """Codes (n, bits) of -1 and +1 for ``x`` (n, dim)."""
        return self._in_chunks(x, None, sweeps, kicks, threads)

    def improve(
        self, x: FloatArray, codes: FloatArray, *, sweeps: int, kicks: int = 0, threads: int | None = None
    ) -> FloatArray:
        """Codes (n, bits) that are never worse than ``codes`` (n, bits), from which the search starts."""
        return self._in_chunks(x, codes, sweeps, kicks, threads)

    def decode(self, codes: FloatArray) -> FloatArray:
        """Estimates (n, dim) of the vectors behind ``codes`` (n, bits)."""
        return np.asarray(self.mean + codes @ self.decoder, np.float32)

    def loss(self, x: FloatArray, codes: FloatArray) -> float:
        """Mean loss of ``codes`` (n, bits) for ``x`` (n, dim)."""
        residual = x - self.decode(codes)
        along = np.einsum("nd,nd->n", residual, directions(x))
        size = np.einsum("nd,nd->n", self.measured(residual), residual)
        return float(size.mean() + (self.eta - 1) * np.square(along).mean())

    def measured(self, rows: FloatArray) -> FloatArray:
        """``rows`` (n, dim) times the metric."""
        return rows if self.metric is None else rows @ self.metric

    def _in_chunks(
        self, x: FloatArray, start: FloatArray | None, sweeps: int, kicks: int, threads: int | None
    ) -> FloatArray:
        measured = self.measured(self.decoder)
        gram = Gram.of(measured @ self.decoder.T)
        codes = np.empty((len(x), len(self.decoder)), np.float32)
        compiled()  # once, not by every thread

        def one(rows: slice) -> None:
            part = _padded(x[rows])
            bits = self._start(part) if start is None else _padded(start[rows]).copy()
            if sweeps:
                self._descend(part, bits, measured, gram, sweeps, kicks)
            codes[rows] = bits[: rows.stop - rows.start]

        _for_each(one, _slices(len(x)), threads)
        return codes

    def _start(self, x: FloatArray) -> FloatArray:
        return np.where((x - self.mean) @ self.encoder >= 0, 1, -1).astype(np.float32)

    def _descend(
        self, x: FloatArray, bits: FloatArray, measured: FloatArray, gram: Gram, sweeps: int, kicks: int
    ) -> None:
        """At most ``sweeps`` rounds over all ``bits`` (n, bits), then ``kicks``; in place."""
        unit = directions(x)
        residual = (x - self.mean) - bits @ self.decoder
        g, p = residual @ measured.T, unit @ self.decoder.T
        search(bits, g, np.einsum("nd,nd->n", residual, unit), p, gram, self.eta - 1, sweeps, kicks)


def directions(x: FloatArray) -> FloatArray:
    """Rows of ``x`` (n, dim) at unit length; rows of zeros, which have no direction, stay zeros."""
    norms = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))[:, None]
    return np.asarray(x / np.where(norms == 0, 1, norms), np.float32)


def _padded(rows: FloatArray) -> FloatArray:
    missing = -len(rows) % _STEP
    if not missing:
        return rows
    return np.concatenate([rows, np.broadcast_to(rows[:1], (missing, rows.shape[1]))])


def _slices(n: int) -> Iterator[slice]:
    for first in range(0, n, CHUNK):
        yield slice(first, min(first + CHUNK, n))


def _for_each(work: Callable[[slice], None], parts: Iterator[slice], threads: int | None) -> None:
    """Run ``work`` on every part; numpy lets go of the interpreter, so threads are cores, and BLAS needs none."""
    with one_thread(), ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for done in [pool.submit(work, part) for part in parts]:
            done.result()
