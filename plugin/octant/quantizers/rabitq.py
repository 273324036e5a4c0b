"""Rotated sign codes in the manner of RaBitQ: the control that learned binary codes have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError
from octant.quantizers.arguments import count
from octant.quantizers.base import Quantizer
from octant.quantizers.sample import check_varied
from octant.quantizers.sign_codes import carried_signs, sign_storage
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds

SAMPLE = 50_000
"""Most vectors that a fit looks at: it needs a mean, two averages and, below one bit a dimension, a covariance."""


class RaBitQ(Quantizer):
    """Signs of the centred vectors under a random rotation (arXiv:2405.12497), one bit each.

    With ``o = (x - mean) / |x - mean|`` and the code's own direction ``o' = signs / sqrt(bits)``, RaBitQ estimates
    ``o.q`` by ``o'.q / o'.o``, which is unbiased over rotations. It keeps ``|x - mean|`` and ``o'.o`` with every
    vector; Qdrant has no place for numbers of ours beside its codes, so both are constants here, their means over the
    sample (``o'.o`` hardly varies, near .8; the length varies as the collection does). The order of the points is that
    of the published estimator where these are equal for all.

    Below one bit a dimension the signs are of the largest principal directions, rotated. Qdrant stores and scores the
    codes as it does those of :class:`octant.quantizers.binary.ComposedBinary`.

    Parameters
    ----------
    bits : int, optional
        Bits a vector, at most one a dimension; one a dimension unless given. Qdrant stores whole words of 128.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (bits, dim) float32
        Orthonormal rows; the signs of ``(x - mean) basis.T`` are the code.
    step_ : () float32
        Mean length over mean ``o'.o``, divided by ``sqrt(bits)``: ``x`` is near ``mean + step * signs basis``.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    >>> RaBitQ().fit(x).encode(x).shape, RaBitQ(4).fit(x).encode(x).shape
    ((200, 8), (200, 4))
    """

    name = "rabitq"
    sample_size = SAMPLE
    usage = "rabitq or rabitq(bits)"
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = ("mean", "basis", "step")
    mean_: FloatArray
    basis_: FloatArray
    step_: FloatArray

    def __init__(self, bits: int | None = None) -> None:
        self.bits = None if bits is None else count("bits", bits)

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        self.check_distance(distance)
        self.output_dim(dim)
        return sign_storage(self.bits or dim)

    @override
    def output_dim(self, dim: int) -> int:
        if self.bits is not None and self.bits > dim:
            raise DimensionError(
                f"{self!r} makes at most one bit a coordinate, but the vectors have {dim}: choose bits <= {dim}, or "
                f"binary({self.bits})"
            )
        return dim

    @override
    def vectors_needed(self, dim: int) -> int:
        """Two for a mean and a spread; ``bits + 1`` to span as many principal directions."""
        return 2 if self.bits in (None, dim) else int(self.bits or dim) + 1

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return len(self.mean_) if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries
        check_varied(self.name, x)
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred, bits = x - mean, self.bits or x.shape[1]
        basis = np.asarray(_rotation(bits, rng) @ _directions(centred, bits), np.float32)
        return {"mean": mean, "basis": basis, "step": np.float32(_step(centred, basis))}

    def _encode(self, x: FloatArray) -> CodeArray:
        return np.where((x - self.mean_) @ self.basis_.T >= 0, 1, -1).astype(np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] != len(self.basis_):
            raise DimensionError(f"{self!r} makes codes of {len(self.basis_)} coordinates, got {codes.shape[1]}")
        signs = carried_signs(codes)
        return np.asarray(self.mean_ + self.step_ * (signs @ self.basis_), np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        seen = np.asarray(self.step_ * (q @ self.basis_.T), np.float32)
        return EncodedQueries(seen, np.ones(len(q), np.float32), np.asarray(q @ self.mean_, np.float32))


def _directions(centred: FloatArray, bits: int) -> NDArray[np.float64]:
    """The largest principal directions (bits, dim); all of space, where nothing is to be chosen."""
    dim = centred.shape[1]
    if bits == dim:
        return np.eye(dim)
    return np.asarray(np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, ::-1][:, :bits].T)


def _rotation(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # The QR factor of a Gaussian matrix is uniformly distributed once the signs of R's diagonal are taken out.
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.asarray(q * np.where(np.diag(r) < 0, -1, 1))


def _step(centred: FloatArray, basis: FloatArray) -> float:
    lengths = np.linalg.norm(centred, axis=1)
    agreement = np.abs(centred @ basis.T).sum(axis=1) / np.sqrt(len(basis))  # o'.o times the length
    some = lengths > 0  # a vector at the mean has no direction
    return float(lengths[some].mean() / (agreement[some] / lengths[some]).mean() / np.sqrt(len(basis)))
