"""Symmetric distances between composed binary codes: exact, from packed bits, without decoding either side.

A composed code is ``b = s_0 + s_1 / 2 + ... + s_u / 2^u`` with every ``s_i`` in {-1, +1}^dim (arXiv:2302.08714). Twice
its last digit up, ``z = 2^u b`` is a vector of odd whole numbers, and the dot product of two of them is exact:

- by bit planes, ``sum_ij 2^(2u - i - j) (dim - 2 hamming(s_i, t_j))``: XOR and population counts in numpy;
- by small integers, as ``z = 2 v - (2^(u + 1) - 1)`` with ``v`` of ``u + 1`` bits: one dot product of four-bit
  numbers in the SIMD kernels of the library numkong (extra ``kernels``), for up to four planes.

Both give the same numbers. With one plane this is the Hamming distance, as ``dim - 2 hamming``.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import DimensionError, InputError, MissingExtraError
from octant.records import FloatArray
from octant.vectors import as_matrix

Kernel: TypeAlias = Literal["numpy", "numkong"]
NIBBLE_PLANES = 4
"""Planes whose small integers fit four bits."""
_BLOCK = 4096
_POPULATION = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True, eq=False)
class ComposedCodes:
    """Composed binary codes, one bit a sign.

    Attributes
    ----------
    planes : (n, loops + 1, ceil(dim / 8)) uint8
        Bit planes, most significant first; a set bit is +1.
    dim : int
        Signs in a plane.
    """

    planes: NDArray[np.uint8]
    dim: int

    @classmethod
    def of(cls, signs: ArrayLike, planes: int) -> ComposedCodes:
        """Pack ``signs`` (n, planes * dim), one plane after another, as a recurrent codec stores them.

        Raises
        ------
        InputError
            If the width is not a multiple of ``planes``.
        VectorValueError
            If ``signs`` is not a matrix of numbers.

        Examples
        --------
        >>> codes = ComposedCodes.of([[1, 1, -1, 1], [-1, 1, -1, -1]], planes=2)
        >>> codes.integers().tolist()
        [[1, 3], [-3, 1]]
        """
        matrix = as_matrix(signs, what="codes")
        if planes < 1 or matrix.shape[1] % planes:
            raise InputError(
                f"codes of {matrix.shape[1]} signs do not fall into {planes} planes: pass the number of loops + 1"
            )
        split = matrix.reshape(len(matrix), planes, -1)
        return cls(np.packbits(split >= 0, axis=2), split.shape[2])

    def __len__(self) -> int:
        return len(self.planes)

    @property
    def loops(self) -> int:
        """Planes after the first."""
        return int(self.planes.shape[1]) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of all codes."""
        return int(self.planes.nbytes)

    def integers(self) -> NDArray[np.int32]:
        """``z = 2^loops b`` (n, dim): odd, of magnitude below ``2^(loops + 1)``."""
        return np.asarray(2 * self._levels().astype(np.int32) - (2 ** (self.loops + 1) - 1), np.int32)

    def _levels(self) -> NDArray[np.uint32]:
        """``v`` (n, dim): the planes read as binary digits."""
        bits = np.unpackbits(self.planes, axis=2, count=self.dim).astype(np.uint32)
        return np.asarray(np.einsum("npd,p->nd", bits, np.uint32(2) ** np.arange(self.loops, -1, -1, dtype=np.uint32)))

    def words(self) -> NDArray[np.uint64]:
        """The planes (n, loops + 1, words), filled up with zeros to whole words of 64 bits."""
        missing = -self.planes.shape[2] % 8
        return np.ascontiguousarray(np.pad(self.planes, ((0, 0), (0, 0), (0, missing)))).view(np.uint64)

    def nibbles(self) -> NDArray[np.uint8]:
        """``v`` as four-bit numbers, two a byte, the earlier in the lower half; an odd ``dim`` ends in a zero."""
        levels = self._levels().astype(np.uint8)
        levels = np.pad(levels, ((0, 0), (0, self.dim % 2)))
        return np.ascontiguousarray(levels[:, ::2] | levels[:, 1::2] << 4)

    def sums(self) -> NDArray[np.int64]:
        """Sum of ``v`` (n,)."""
        return np.asarray(self._levels().sum(axis=1, dtype=np.int64))


class SymmetricIndex:
    """Codes laid out for fast dot products with other codes.

    Parameters
    ----------
    codes : ComposedCodes
        Of the points.
    kernel : {"numpy", "numkong"}, optional
        By default numkong where it is installed and the codes have at most four planes.

    Raises
    ------
    MissingExtraError
        If numkong is asked for and not installed.
    InputError
        If the kernel is unknown, or numkong is asked for with more than four planes.

    Examples
    --------
    >>> codes = ComposedCodes.of([[1, 1, -1, 1], [-1, 1, -1, -1]], planes=2)
    >>> SymmetricIndex(codes, "numpy").dots(codes).tolist()
    [[10, 0], [0, 10]]
    """

    def __init__(self, codes: ComposedCodes, kernel: Kernel | None = None) -> None:
        self.codes, self.kernel = codes, _choose(codes, kernel)
        self._norms = _norms(codes)
        if self.kernel == "numkong":
            import numkong

            self._sums = codes.sums()
            self._packed: Any = numkong.dots_pack(codes.nibbles(), dtype="uint4")
        else:
            # A word of one plane of all points is contiguous, so that a query runs along it.
            self._columns = np.ascontiguousarray(codes.words().transpose(1, 2, 0))

    def dots(self, queries: ComposedCodes) -> NDArray[np.int64]:
        """Exact dot products (m, n) of ``z`` of ``queries`` and of the points.

        Raises
        ------
        DimensionError
            If the queries are of another shape than the points.
        """
        if (queries.dim, queries.loops) != (self.codes.dim, self.codes.loops):
            raise DimensionError(
                f"expected codes of {self.codes.dim} coordinates and {self.codes.loops} loops, got {queries.dim} and "
                f"{queries.loops}: encode both sides with one codec"
            )
        return self._by_nibbles(queries) if self.kernel == "numkong" else self._by_planes(queries)

    def cosines(self, queries: ComposedCodes) -> FloatArray:
        """Cosines (m, n) between codes: the similarity that the codes were trained for."""
        products = self.dots(queries).astype(np.float32)
        return np.asarray(products / _norms(queries)[:, None] / self._norms, np.float32)

    def _by_nibbles(self, queries: ComposedCodes) -> NDArray[np.int64]:
        import numkong

        top = 2 ** (self.codes.loops + 1) - 1
        products = np.asarray(numkong.dots_packed(queries.nibbles(), self._packed)).astype(np.int64)
        # z z' = (2 v - top) (2 v' - top), summed over coordinates.
        return np.asarray(
            4 * products - 2 * top * (queries.sums()[:, None] + self._sums) + top * top * self.codes.dim, np.int64
        )

    def _by_planes(self, queries: ComposedCodes) -> NDArray[np.int64]:
        out = np.empty((len(queries), len(self.codes)), np.int64)
        for row, planes in enumerate(queries.words()):
            for first in range(0, len(self.codes), _BLOCK):
                rows = slice(first, first + _BLOCK)
                out[row, rows] = self._row(planes, self._columns[:, :, rows])
        return out

    def _row(self, query: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Dot products (block,) of one query's planes (planes, words) with ``columns`` (planes, words, block)."""
        loops = self.codes.loops
        total = np.zeros(columns.shape[2], np.int64)
        for i, mine in enumerate(query):
            for j, theirs in enumerate(columns):
                hamming = np.zeros(columns.shape[2], np.uint16 if self.codes.dim < 65_536 else np.uint32)
                for word, column in zip(mine, theirs, strict=True):
                    hamming += _ones(word ^ column)
                total += 2 ** (2 * loops - i - j) * (self.codes.dim - 2 * hamming.astype(np.int64))
        return total


def _choose(codes: ComposedCodes, kernel: Kernel | None) -> Kernel:
    installed, fits = importlib.util.find_spec("numkong") is not None, codes.loops < NIBBLE_PLANES
    if kernel is None:
        return "numkong" if installed and fits else "numpy"
    if kernel not in ("numpy", "numkong"):
        raise InputError(f"kernel must be numpy or numkong, got {kernel!r}")
    if kernel == "numkong" and not fits:
        raise InputError(
            f"kernel numkong takes codes of at most {NIBBLE_PLANES} planes, got {codes.loops + 1}: use numpy"
        )
    if kernel == "numkong" and not installed:
        raise MissingExtraError("the kernel numkong", module="numkong", extra="kernels")
    return kernel


def _norms(codes: ComposedCodes) -> FloatArray:
    """Lengths (n,) of ``z``; odd numbers are never all zero."""
    return np.asarray(np.sqrt(np.square(codes.integers().astype(np.int64)).sum(axis=1)), np.float32)


def _ones(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Bits set in each word."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.asarray(np.bitwise_count(words))
    octets = np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)
    return np.asarray(_POPULATION[octets].sum(axis=1, dtype=np.uint8))
