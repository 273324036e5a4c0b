"""Native settings that Octant leaves out, to be compared with all the same."""

from __future__ import annotations

from octant.quantizers.chain import Chain
from octant.quantizers.native import Binary, Float32
from octant.records import Distance, NativeQuantization
from octant.representation import Representation


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


def raw_binary(bits: float, query_bits: int | None) -> Representation:
    return Representation(Chain([], Float32(), RawBinary(bits, query_bits)))
