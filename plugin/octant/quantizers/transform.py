"""Transform coding: principal coordinates, each with as many bits as its variance deserves. Bytes, scored by decoding.

The bytes of a vector are a scale (float32, little-endian) and then the levels of its coordinates, packed bit by bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from functools import cache
from math import ceil, erf
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError, InputError, VectorValueError
from octant.quantizers.base import Quantizer
from octant.quantizers.sample import check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.vectors import similarity

SCALE_BYTES = 4
WIDEST = 8
"""Most bits that one coordinate gets."""
SAMPLE = 50_000
"""Most vectors that a fit looks at: it needs a mean and a covariance."""
PASSES = 2
"""Turns over all coordinates in which levels are moved; a third one changes next to nothing."""
_JUDGED = 2_000
"""Vectors, about, that the gain is taken from."""
_SETTLED = 200
"""Turns of Lloyd's algorithm: the start is near its end."""


class TransformCoding(Quantizer):
    """Rotation onto the principal directions, bits by reverse water-filling, levels moved until the angle is least.

    Every coordinate is rounded to the Lloyd-Max levels of a Gaussian of its variance (Max 1960), and bits go one after
    the other to where they take away most squared error, which is how transform coding spends a budget (Brandt, CVPR
    2010). Rounding each coordinate to its nearest level leaves the error that ranks neighbours wrongly, the one in the
    angle between vector and code, larger than it need be: levels then move up or down by one wherever that brings the
    decoded direction nearer (the code adjustment of SAQ, arXiv:2509.12086). A scale a vector takes what is left of the
    error along the vector to where its square is least: scores that are unbiased for every single vector rank worse,
    because the vectors that lost most scatter most and so come out on top. What scores then lack on average, ``gain``
    gives back to all alike.

    For a fine stage, between ``turbo4`` and ``turbo8`` in size: Qdrant keeps the bytes and Octant scores them.

    Parameters
    ----------
    bits : float
        A coordinate, on average over all: at least 0.5, at most 8.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (dim, dim) float32
        Orthonormal rows, principal directions of falling variance.
    spread_ : (dim,) float32
        Standard deviation along each.
    widths_ : (dim,) uint8
        Bits of each coordinate; they add up to ``bits * dim``, rounded.
    gain_ : () float32
        Dot product of a vector with itself over that with its decoded self, the mean of the sample; above 1.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32) * [8, 4, 2, 1, 1, 1, 1, 1]
    >>> codec = TransformCoding(2).fit(x)
    >>> codec.encode(x).shape, codec.widths_.tolist()
    ((200, 6), [5, 4, 2, 1, 1, 1, 1, 1])
    """

    name = "transform"
    sample_size = SAMPLE
    usage = "transform(bits)"
    state_names: ClassVar[tuple[str, ...]] = ("mean", "basis", "spread", "widths", "gain")
    mean_: FloatArray
    basis_: FloatArray
    spread_: FloatArray
    widths_: NDArray[np.uint8]
    gain_: FloatArray

    def __init__(self, bits: float) -> None:
        if isinstance(bits, bool) or not isinstance(bits, int | float) or not 0.5 <= bits <= WIDEST:
            raise InputError(f"bits must be a number from 0.5 to {WIDEST}, got {bits!r}")
        self.bits = bits

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        del distance  # Qdrant only keeps the bytes, and returns them as they are under every metric
        return StorageNeeds(SCALE_BYTES + ceil(self._total(dim) / 8), Distance.DOT, "uint8", scored=False)

    @override
    def vectors_needed(self, dim: int) -> int:
        """As many as span every direction: one whose variance is unknown would get no bits."""
        return dim + 1

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return len(self.mean_) if self.fitted else None

    def _total(self, dim: int) -> int:
        return max(1, round(self.bits * dim))

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries, rng
        check_varied(self.name, x)
        mean = x.mean(axis=0, dtype=np.float64)
        centred = x - mean.astype(np.float32)
        variances, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(x))
        variances = np.clip(variances[::-1], 0, None)
        # The sign of an eigenvector is the library's choice: fix it, so that every machine makes the same codes.
        basis = directions[:, ::-1].T
        basis = basis * np.where(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)] < 0, -1, 1)[:, None]
        widths = allocation(variances, self._total(x.shape[1]))
        basis, spread = basis.astype(np.float32), np.sqrt(variances).astype(np.float32)
        table = _table(np.asarray(basis @ mean, np.float32), spread, widths)
        some = np.asarray(x[:: 1 + len(x) // _JUDGED] @ basis.T, np.float32)
        _, decoded, scales = _rounded(some, table, widths)
        kept = scales.astype(np.float64) * np.einsum("ij,ij->i", some, decoded)
        squares = np.einsum("ij,ij->i", some, some)
        gain = np.float32(squares.sum() / kept.sum())
        return {"mean": mean.astype(np.float32), "basis": basis, "spread": spread, "widths": widths, "gain": gain}

    def _encode(self, x: FloatArray) -> CodeArray:
        codes, _, scales = _rounded(np.asarray(x @ self.basis_.T, np.float32), self._table, self.widths_)
        header = np.ascontiguousarray(scales[:, None], "<f4").view(np.uint8)
        return np.concatenate([header, self._pack(codes)], axis=1)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(self._turned(codes) @ self.basis_, np.float32)

    def _compare(self, q: FloatArray, codes: CodeArray, distance: Distance) -> FloatArray:
        if distance is Distance.MANHATTAN:
            return super()._compare(q, codes, distance)  # the one that does not survive a rotation
        # One query is turned instead of all the candidates.
        return similarity(np.asarray(q @ self.basis_.T, np.float32), self._turned(codes), distance)

    def _turned(self, codes: CodeArray) -> FloatArray:
        """Decoded vectors (n, dim) along the principal directions."""
        width = SCALE_BYTES + ceil(len(self._coordinate) / 8)
        if codes.shape[1] != width:
            raise DimensionError(f"{self!r} makes codes of {width} bytes, got {codes.shape[1]}")
        with np.errstate(invalid="ignore"):  # what does not fit a byte is refused below, with better words
            raw = codes.astype(np.uint8)
        if not np.array_equal(raw, codes):
            raise VectorValueError(f"{self!r} codes are bytes: whole numbers from 0 to 255")
        scales = np.ascontiguousarray(raw[:, :SCALE_BYTES]).view("<f4")
        levels = self._table[np.arange(len(self.widths_)), self._unpack(raw[:, SCALE_BYTES:])]
        return np.asarray(levels * scales, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        products = distance in (Distance.COSINE, Distance.DOT)
        scale = np.full(len(q), self.gain_ if products else 1, np.float32)
        return EncodedQueries(q, scale, np.zeros(len(q), np.float32))

    @override
    def _accept_state(self, state: dict[str, NDArray[Any]]) -> None:
        super()._accept_state(state)
        # Worked out once: a search scores a few candidates, and must not pay for this every time.
        self._table = _table(np.asarray(self.basis_ @ self.mean_, np.float32), self.spread_, self.widths_)
        widths = self.widths_.astype(np.int64)
        self._coordinate = np.repeat(np.arange(len(widths)), widths)
        self._shift = np.concatenate([np.arange(width, dtype=np.uint8) for width in widths])
        self._starts = (np.cumsum(widths) - widths)[widths > 0]

    def _pack(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.packbits((codes[:, self._coordinate] >> self._shift) & 1, axis=1)

    def _unpack(self, body: NDArray[np.uint8]) -> NDArray[np.uint8]:
        bits = np.unpackbits(body, axis=1, count=len(self._coordinate)) << self._shift
        codes = np.zeros((len(body), len(self.widths_)), np.uint8)
        codes[:, self.widths_ > 0] = np.add.reduceat(bits, self._starts, axis=1, dtype=np.uint8)
        return codes


def allocation(variances: NDArray[np.float64], total: int) -> NDArray[np.uint8]:
    """Bits (dim,) of coordinates with ``variances``, ``total`` in all: each goes to where it takes away most error."""
    widths = np.zeros(len(variances), np.uint8)
    gains = [-(distortion(width) - distortion(width + 1)) for width in range(WIDEST)]
    waiting = [(variance * gains[0], place) for place, variance in enumerate(variances.tolist())]
    heapq.heapify(waiting)
    for _ in range(min(total, WIDEST * len(widths))):
        _, place = heapq.heappop(waiting)
        widths[place] += 1
        if widths[place] < WIDEST:
            heapq.heappush(waiting, (float(variances[place]) * gains[widths[place]], place))
    return widths


@cache
def gaussian_levels(width: int) -> FloatArray:
    """The ``2**width`` levels, rising, that round a standard Gaussian with the least squared error.

    Examples
    --------
    >>> [round(float(level), 4) for level in gaussian_levels(2)]
    [-1.5104, -0.4528, 0.4528, 1.5104]
    """
    count = 1 << width
    wide = NormalDist(sigma=3**0.5)  # many levels lie as densely as the cube root of the density (Panter and Dite 1951)
    levels = np.array([wide.inv_cdf((place + 0.5) / count) for place in range(count)])
    for _ in range(_SETTLED):
        levels = _centroids(levels)
    found: FloatArray = ((levels - levels[::-1]) / 2).astype(np.float32)
    found.setflags(write=False)
    return found


@cache
def distortion(width: int) -> float:
    """Squared error of rounding a standard Gaussian to those levels.

    Examples
    --------
    >>> [round(distortion(width), 4) for width in (0, 1, 2, 4)]
    [1.0, 0.3634, 0.1175, 0.0095]
    """
    levels = gaussian_levels(width).astype(np.float64)
    return float(1 + (_masses(levels) * levels * (levels - 2 * _centroids(levels))).sum())


def _edges(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])


def _masses(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.array([0.5 * (1 + erf(edge / 2**0.5)) for edge in _edges(levels)])
    return np.diff(below)


def _centroids(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    density = np.exp(-np.square(_edges(levels)) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(-np.diff(density) / _masses(levels))


def _table(offset: FloatArray, spread: FloatArray, widths: NDArray[np.uint8]) -> FloatArray:
    """Levels (dim, most) of every coordinate, rising; a row that has fewer ends in NaN."""
    table = np.full((len(offset), 1 << int(widths.max())), np.nan, np.float32)
    for row, width in enumerate(widths.tolist()):
        table[row, : 1 << width] = offset[row] + spread[row] * gaussian_levels(width)
    return table


def _rounded(
    turned: FloatArray, table: FloatArray, widths: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
    """Codes (n, dim) of ``turned`` (n, dim), the levels (n, dim) that they stand for, and the scales (n,)."""
    codes = _nearest(turned, table, widths)
    decoded = _adjust(turned, codes, table, widths)
    return codes, decoded, _scales(turned, decoded)


def _nearest(turned: FloatArray, table: FloatArray, widths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    codes = np.zeros(turned.shape, np.uint8)
    for place in np.flatnonzero(widths):
        levels = table[place, : 1 << int(widths[place])]
        codes[:, place] = np.searchsorted((levels[1:] + levels[:-1]) / 2, turned[:, place])
    return codes


def _adjust(turned: FloatArray, codes: NDArray[np.uint8], table: FloatArray, widths: NDArray[np.uint8]) -> FloatArray:
    """Move ``codes`` (n, dim), in place, to where the cosine with ``turned`` is largest; the levels they mean.

    One coordinate at a time, for all rows at once, each to the best of its level and the two beside it.
    """
    decoded = table[np.arange(len(widths)), codes]
    dot = np.einsum("ij,ij->i", turned, decoded)
    square = np.einsum("ij,ij->i", decoded, decoded)
    for place in np.tile(np.flatnonzero(widths), PASSES):
        wanted, now, last = turned[:, place], decoded[:, place], (1 << int(widths[place])) - 1
        best, moved = _cosine(dot, square), codes[:, place].copy()
        best_dot, best_square = dot, square
        for step in (-1, 1):
            tried = np.clip(codes[:, place].astype(np.int16) + step, 0, last)
            change = table[place, tried] - now
            new_dot, new_square = dot + change * wanted, square + change * (2 * now + change)
            cosine = _cosine(new_dot, new_square)
            better = cosine > best
            best = np.where(better, cosine, best)
            moved = np.where(better, tried, moved).astype(np.uint8)
            best_dot, best_square = np.where(better, new_dot, best_dot), np.where(better, new_square, best_square)
        codes[:, place], decoded[:, place] = moved, table[place, moved]
        dot, square = best_dot, best_square
    return decoded


def _cosine(dot: FloatArray, square: FloatArray) -> FloatArray:
    """Up to the length of the vector, which is the same for all its codes."""
    return np.asarray(dot / np.sqrt(np.maximum(square, np.finfo(np.float32).tiny)))


def _scales(turned: FloatArray, decoded: FloatArray) -> FloatArray:
    """Scales (n,) with which ``decoded`` comes nearest to ``turned``."""
    products = np.einsum("ij,ij->i", turned, decoded, dtype=np.float64)
    squares = np.einsum("ij,ij->i", decoded, decoded, dtype=np.float64)
    return np.asarray(np.divide(products, squares, out=np.zeros_like(products), where=squares > 0), np.float32)
