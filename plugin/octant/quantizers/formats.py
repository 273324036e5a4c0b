"""Number formats that Qdrant does not know, with one scale a vector: bytes, scored by who decodes them.

The bytes of a vector are its scale (float32, little-endian) and then its coordinates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError, VectorValueError
from octant.quantizers.arguments import one_of
from octant.quantizers.base import Quantizer
from octant.records import CodeArray, Distance, FloatArray, StorageNeeds

SCALE_BYTES = 4


class _Scaled(Quantizer):
    """Coordinates divided by a scale of their vector's own, then rounded to a small format."""

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        del distance  # Qdrant only keeps the bytes, and returns them as they are under every metric
        return StorageNeeds(SCALE_BYTES + self._bytes(dim), Distance.DOT, "uint8", scored=False)

    def _encode(self, x: FloatArray) -> CodeArray:
        body = self._pack(x)
        header = np.ascontiguousarray(_unbiased_scales(x, self._unpack(body))[:, None], "<f4").view(np.uint8)
        return np.concatenate([header, body], axis=1)

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] <= SCALE_BYTES:
            raise DimensionError(f"{self!r} codes have more than {SCALE_BYTES} bytes each, got {codes.shape[1]}")
        with np.errstate(invalid="ignore"):  # what does not fit a byte is refused below, with better words
            raw = codes.astype(np.uint8)
        if not np.array_equal(raw, codes):
            raise VectorValueError(f"{self!r} codes are bytes: whole numbers from 0 to 255")
        scales = np.ascontiguousarray(raw[:, :SCALE_BYTES]).view("<f4")
        return np.asarray(self._unpack(raw[:, SCALE_BYTES:]) * scales, np.float32)

    @abstractmethod
    def _bytes(self, dim: int) -> int:
        """Bytes of ``dim`` coordinates."""

    @abstractmethod
    def _pack(self, x: FloatArray) -> NDArray[np.uint8]:
        """Coordinates (n, bytes) of ``x`` (n, dim), rounded in units of a scale that suits each row."""

    @abstractmethod
    def _unpack(self, body: NDArray[np.uint8]) -> FloatArray:
        """Coordinates (n, dim) in units of the scale."""


def _unbiased_scales(x: FloatArray, units: FloatArray) -> FloatArray:
    """Scales (n,) with which ``units`` has the same dot product with ``x`` as ``x`` itself.

    Rounding that minimises the squared error shortens vectors, and with them every score, by the share of
    the squared error; with this scale the error of a dot product has mean zero instead.
    """
    wide = x.astype(np.float64)
    products = (wide * units).sum(axis=1)
    exact = np.divide((wide * wide).sum(axis=1), products, out=np.zeros_like(products), where=products > 0)
    largest = np.finfo(np.float32).max * (1 - 1e-6) / np.maximum(np.abs(units).max(axis=1), 1)
    return np.asarray(np.minimum(exact, largest), np.float32)


def _scales(x: FloatArray, limit: float) -> NDArray[np.float64]:
    """The scale (n,) that takes the largest coordinate of each row to ``limit``."""
    return np.asarray(np.abs(x).max(axis=1).astype(np.float64) / limit)


def _divide(x: FloatArray, scales: NDArray[np.float64], limit: float) -> FloatArray:
    """``x`` in units of its rows' scales, within ``limit``."""
    safe = np.where(scales > 0, scales, 1)[:, None]  # a row of zeros has no scale
    return np.asarray(np.clip(x / safe, -limit, limit), np.float32)


class Float8(_Scaled):
    """One byte a coordinate, OCP float8: the relative error is the same for large and small coordinates.

    Parameters
    ----------
    variant : {"e4m3", "e5m2"}
        Bits of exponent and mantissa; e4m3 is more precise, e5m2 reaches further down.

    Examples
    --------
    >>> codec = Float8()
    >>> codec.encode([[3.0, -1.5, 0.0]]).shape
    (1, 7)
    >>> codec.decode(codec.encode([[3.0, -1.5, 0.0]])).tolist()
    [[3.0, -1.5, 0.0]]
    """

    name = "float8"
    usage = "float8(e4m3|e5m2)"
    _LIMITS: ClassVar[Mapping[str, float]] = {"e4m3": 448.0, "e5m2": 57344.0}

    def __init__(self, variant: str = "e4m3") -> None:
        self.variant = one_of("variant", variant, ("e4m3", "e5m2"))

    @property
    def _dtype(self) -> Any:
        return {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[self.variant]

    def _bytes(self, dim: int) -> int:
        return dim

    def _pack(self, x: FloatArray) -> NDArray[np.uint8]:
        limit = self._LIMITS[self.variant]
        return _divide(x, _scales(x, limit), limit).astype(self._dtype).view(np.uint8)

    def _unpack(self, body: NDArray[np.uint8]) -> FloatArray:
        return np.asarray(np.ascontiguousarray(body).view(self._dtype), np.float32)


class Int8(_Scaled):
    """One byte a coordinate, levels -127 to 127."""

    name = "int8"

    def _bytes(self, dim: int) -> int:
        return dim

    def _pack(self, x: FloatArray) -> NDArray[np.uint8]:
        return np.rint(_divide(x, _scales(x, 127), 127)).astype(np.int8).view(np.uint8)

    def _unpack(self, body: NDArray[np.uint8]) -> FloatArray:
        return np.asarray(np.ascontiguousarray(body).view(np.int8), np.float32)


class Int4(_Scaled):
    """Half a byte a coordinate, levels -7 to 7, two coordinates a byte, the earlier in the lower half.

    The scale is the one that loses least on its vector: it may cut a few large coordinates off.
    """

    name = "int4"
    _RATIOS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the scale that cuts nothing off
    _ABSENT = 0x8  # the level -8, which no coordinate takes, fills the last byte of an odd dimension

    def _bytes(self, dim: int) -> int:
        return (dim + 1) // 2

    def _pack(self, x: FloatArray) -> NDArray[np.uint8]:
        nibbles = np.rint(_divide(x, self._best_scales(x), 7)).astype(np.int8).view(np.uint8) & 0xF
        if nibbles.shape[1] % 2:
            nibbles = np.pad(nibbles, ((0, 0), (0, 1)), constant_values=self._ABSENT)
        return np.asarray(nibbles[:, ::2] | nibbles[:, 1::2] << 4, np.uint8)

    def _best_scales(self, x: FloatArray) -> NDArray[np.float64]:
        widest = _scales(x, 7)
        best, least = widest, np.full(len(x), np.inf)
        for ratio in self._RATIOS:
            scales = widest * ratio
            lost = np.square(np.rint(_divide(x, scales, 7)) * scales[:, None] - x).sum(axis=1)
            best, least = np.where(lost < least, scales, best), np.minimum(lost, least)
        return best

    def _unpack(self, body: NDArray[np.uint8]) -> FloatArray:
        nibbles = np.stack([body & 0xF, body >> 4], axis=2).reshape(len(body), -1)
        if (nibbles[:, -1] == self._ABSENT).all():
            nibbles = nibbles[:, :-1]
        # Sign extension: levels 8 to 15 stand for -8 to -1.
        return np.asarray(nibbles.astype(np.int8) ^ 8, np.float32) - 8
