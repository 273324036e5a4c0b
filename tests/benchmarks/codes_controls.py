"""What learned codes have to beat: signs of rotated principal directions, and native settings Octant leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from octant.errors import DimensionError
from octant.quantizers.base import Chain, Quantizer
from octant.quantizers.native import Binary, Float32
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, NativeQuantization, StorageNeeds
from octant.representation import Representation


class RotatedSigns(Quantizer):
    """Signs of the first ``bits`` principal directions under a random rotation.

    One step for all bits turns them back into vectors: a least-squares decoder has a smaller error, but finds less.
    Stored like ``binary``.
    """

    name = "rotated_signs"
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = ("mean", "basis", "step")
    mean_: FloatArray
    basis_: FloatArray
    step_: FloatArray

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def output_dim(self, dim: int) -> int:
        if self.bits > dim:
            raise DimensionError(f"{self!r}: there are only {dim} principal directions")
        return dim

    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        del dim, distance
        return StorageNeeds(
            self.bits, Distance.DOT, "turbo4", NativeQuantization("binary", 1, query_bits=8),
            rescore=False, raw_slope=1.0, raw_slope_by_query_peak=True,
        )  # fmt: skip

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, Any]:
        del queries
        mean = x.mean(axis=0)
        directions = np.linalg.eigh(np.cov(x, rowvar=False))[1][:, ::-1][:, : self.bits]
        basis = directions @ np.linalg.qr(rng.standard_normal((self.bits, self.bits)))[0]
        step = np.abs((x - mean) @ basis).mean()
        return {"mean": mean, "basis": basis.astype(np.float32), "step": np.float32(step)}

    def _encode(self, x: FloatArray) -> CodeArray:
        return np.where((x - self.mean_) @ self.basis_ >= 0, 1, -1).astype(np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(self.mean_ + self.step_ * np.sign(codes) @ self.basis_.T, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        vectors = np.asarray(self.step_ * (q @ self.basis_), np.float32)
        return EncodedQueries(vectors, np.ones(len(q), np.float32), np.asarray(q @ self.mean_, np.float32))


class RawBinary(Binary):
    """Qdrant's binary quantization searched without rescoring, which Octant refuses: the scores rank, but say nothing.

    Parameters
    ----------
    bits : {1, 1.5, 2}
    query_bits : {None, 4, 8}
        None encodes queries like points, Qdrant's default.
    """

    def __init__(self, bits: float, query_bits: int | None = None) -> None:
        super().__init__(bits)
        self.query_bits = query_bits

    def quantization(self) -> NativeQuantization:
        return NativeQuantization("binary", self.bits, query_bits=self.query_bits)

    def raw_slope(self, metric: Distance) -> float | None:
        del metric
        return 1.0


def rotated_signs(bits: int) -> Representation:
    return Representation(Chain([], RotatedSigns(bits)))


def raw_binary(bits: float, query_bits: int | None) -> Representation:
    return Representation(Chain([], Float32(), RawBinary(bits, query_bits)))
