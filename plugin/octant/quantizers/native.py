"""What Qdrant encodes by itself: datatypes, which are the only copy, and quantization, which is a second one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import InputError
from octant.quantizers.arguments import one_of
from octant.quantizers.base import Quantizer, SecondCopy
from octant.records import (
    CodeArray,
    Datatype,
    Distance,
    EncodedQueries,
    FloatArray,
    NativeQuantization,
    StorageNeeds,
)

# -- datatypes: the only copy --------------------------------------------------------------------


class _Stored(Quantizer):
    """Floats that Qdrant stores in a datatype of its own and scores by itself."""

    datatype: ClassVar[Datatype]
    oversampling: ClassVar[float] = 1.0
    """Candidates per answer that a fine stage should see when this is the coarse one."""

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(dim, distance, self.datatype, oversampling=self.oversampling)

    def _encode(self, x: FloatArray) -> CodeArray:
        return x

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(codes, np.float32)


class Float32(_Stored):
    """Four bytes a coordinate, exact.

    Examples
    --------
    >>> Float32().storage(384, Distance.COSINE).datatype
    'float32'
    """

    name = "float32"
    datatype = "float32"


class Float16(_Stored):
    """Two bytes a coordinate; scores within 1e-3 of float32's."""

    name = "float16"
    datatype = "float16"


class Turbo16(_Stored):
    """Two bytes a coordinate, rotated; scores within 1e-4 of float32's."""

    name = "turbo16"
    datatype = "turbo16"


class Turbo8(_Stored):
    """One byte a coordinate, rotated; scores within about 1e-3 of float32's."""

    name = "turbo8"
    datatype = "turbo8"
    oversampling = 1.5


class Turbo4(_Stored):
    """Half a byte a coordinate, rotated; scores within about 1e-2 of float32's."""

    name = "turbo4"
    datatype = "turbo4"
    oversampling = 2.0


class Uint8(Quantizer):
    """One byte a coordinate on a grid of one step for all coordinates, compared by Euclid's distance.

    The grid is centred on each coordinate's mean. Offsets cancel in a difference, steps that differ would
    not: so Euclid and Manhattan keep their order on the codes, cosine keeps it as the Euclid distance of unit
    vectors, and the dot product of vectors of any length is refused.

    Attributes
    ----------
    center_ : (dim,) float32
        Where the grid's middle lies.
    step_ : () float32
        Width of one level.
    gap_ : () float32
        Mean squared length of the decoded, centred vectors minus that of the vectors themselves.
    """

    name = "uint8"
    state_names = ("center", "step", "gap")
    distances = frozenset({Distance.COSINE, Distance.EUCLID, Distance.MANHATTAN})
    center_: FloatArray
    step_: FloatArray
    gap_: FloatArray

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        metric = Distance.MANHATTAN if distance is Distance.MANHATTAN else Distance.EUCLID
        return StorageNeeds(dim, metric, "uint8", oversampling=1.5)

    @override
    def vectors_needed(self, dim: int) -> int:
        """Enough to see the spread of the coordinates, which share one grid."""
        del dim
        return 16

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return len(self.center_) if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries, rng
        center = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = x - center
        steps = _steps(np.abs(centred))
        lost = [float(np.square(_on_grid(centred, step) - centred).sum()) for step in steps]
        step = steps[int(np.argmin(lost))]
        gap = np.square(_on_grid(centred, step)).sum(axis=1).mean() - np.square(centred).sum(axis=1).mean()
        return {"center": center, "step": np.float32(step), "gap": np.float32(gap)}

    def _encode(self, x: FloatArray) -> CodeArray:
        return _levels(x - self.center_, self.step_).astype(np.uint8)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(self.center_ + (codes - np.float32(127.5)) * self.step_, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        # Whole numbers: the engine cuts a uint8 query's fractions off instead of rounding them.
        levels = _levels(q - self.center_, self.step_)
        ones = np.ones(len(q), np.float32)
        if distance is Distance.MANHATTAN:
            return EncodedQueries(levels, self.step_ * ones, 0 * ones)
        # |q - x|^2 = |q|^2 + |x|^2 - 2 q.x, with q.x read off the grid, where its error has mean zero, and the
        # lengths corrected by what rounding changed: exactly for the query, by its mean for the points.
        centred = q - self.center_
        changed = np.square(centred).sum(axis=1) - np.square(_on_grid(centred, self.step_)).sum(axis=1)
        scale, offset = self.step_**2 * ones, np.asarray(self.gap_ - changed, np.float32)
        if distance is Distance.EUCLID:
            return EncodedQueries(levels, scale, offset)
        half = np.float32(0.5)
        return EncodedQueries(levels, half * scale, np.float32(1) + half * offset)


def _steps(magnitudes: FloatArray) -> list[np.float32]:
    """Candidate widths: the grid ends at the largest magnitude, or cuts a few outliers off."""
    ends = np.quantile(magnitudes, [1.0, 0.99999, 0.9999, 0.999])
    return [np.float32(end / 127.5) if end > 0 else np.float32(1) for end in ends]


def _levels(centred: FloatArray, step: FloatArray | np.float32) -> FloatArray:
    return np.asarray(np.clip(np.rint(centred / step + np.float32(127.5)), 0, 255), np.float32)


def _on_grid(centred: FloatArray, step: FloatArray | np.float32) -> FloatArray:
    return np.asarray((_levels(centred, step) - np.float32(127.5)) * step, np.float32)


# -- quantization: a second copy -----------------------------------------------------------------


class _Native(SecondCopy):
    """A second copy that Qdrant builds, searches, and rescores from the stored vectors.

    ``oversampling`` is set so that the rescored answers keep nearly all of the exact ones: rescoring alone
    changes the scores of the ``k`` found, not which they are.
    """

    @override
    def over(self, needs: StorageNeeds) -> StorageNeeds:
        if not needs.scored or needs.quantization is not None or needs.datatype == "uint8":
            raise InputError(f"{self!r} needs a stored vector of float32, float16 or turbo beneath it")
        return replace(
            needs,
            quantization=self.quantization(),
            oversampling=self.oversampling(),
            raw_slope=self.raw_slope(needs.metric),
        )

    @abstractmethod
    def quantization(self) -> NativeQuantization:
        """Qdrant's configuration."""

    @abstractmethod
    def oversampling(self) -> float:
        """Candidates to rescore per answer."""

    def raw_slope(self, metric: Distance) -> float | None:
        """Whether the copy's own scores estimate the metric: 1, or None where they do not."""
        del metric
        return 1.0


class Scalar(_Native):
    """One byte a coordinate in RAM, Qdrant's int8.

    Examples
    --------
    >>> Scalar().over(Float32().storage(384, Distance.COSINE)).quantization.kind
    'scalar'
    """

    name = "scalar"

    @override
    def quantization(self) -> NativeQuantization:
        return NativeQuantization("scalar", 8)

    @override
    def oversampling(self) -> float:
        return 2.0


class Product(_Native):
    """Qdrant's product quantization.

    Parameters
    ----------
    ratio : {"x4", "x8", "x16", "x32", "x64"}
        How many times smaller than float32 the copy is.
    """

    name = "product"
    usage = "product(x4|x8|x16|x32|x64)"

    def __init__(self, ratio: str) -> None:
        self.ratio = one_of("ratio", ratio, ("x4", "x8", "x16", "x32", "x64"))

    @override
    def quantization(self) -> NativeQuantization:
        ratio = int(self.ratio[1:])
        return NativeQuantization("product", 32 / ratio, ratio=ratio)

    @override
    def oversampling(self) -> float:
        return {"x4": 2.0, "x8": 3.0, "x16": 4.0, "x32": 12.0, "x64": 32.0}[self.ratio]


class Binary(_Native):
    """Qdrant's binary quantization, with queries kept at eight bits a coordinate.

    Its own scores count signs and estimate nothing: it is always rescored.

    Parameters
    ----------
    bits : {1, 1.5, 2}
        Bits a coordinate.
    """

    name = "bq"
    usage = "bq(1|1.5|2)"

    def __init__(self, bits: float) -> None:
        self.bits = one_of("bits", bits, (1, 1.5, 2))

    @override
    def quantization(self) -> NativeQuantization:
        return NativeQuantization("binary", self.bits, query_bits=8)

    @override
    def oversampling(self) -> float:
        return 6.0 if self.bits == 2 else 8.0

    @override
    def raw_slope(self, metric: Distance) -> float | None:
        del metric
        return None


class Turbo(_Native):
    """Qdrant's TurboQuant as a second copy.

    Parameters
    ----------
    bits : {1, 1.5, 2, 4, 8}
        Bits a coordinate.
    """

    name = "turbo"
    usage = "turbo(1|1.5|2|4|8)"

    def __init__(self, bits: float) -> None:
        self.bits = one_of("bits", bits, (1, 1.5, 2, 4, 8))

    @override
    def quantization(self) -> NativeQuantization:
        return NativeQuantization("turbo", self.bits)

    @override
    def oversampling(self) -> float:
        return {1: 8.0, 1.5: 6.0, 2: 4.0, 4: 2.0, 8: 2.0}[self.bits]

    @override
    def raw_slope(self, metric: Distance) -> float | None:
        # Rotated codes of few bits estimate products and Euclid's distance, but hardly a sum of magnitudes.
        return None if metric is Distance.MANHATTAN and self.bits < 4 else 1.0
