"""Reducers: float vectors to shorter float vectors, with queries mapped so that scores stay estimates.

The linear ones share one form: ``z = (x - mean) A.T`` is stored and ``x`` is near ``mean + z S``, so the dot
product with a query is ``q.mean + (q S.T).z``, up to the part of ``x`` that was dropped.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError
from octant.quantizers.arguments import count
from octant.quantizers.base import Quantizer
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds


class Reducer(Quantizer):
    """A codec from ``dim`` to ``m`` coordinates.

    Parameters
    ----------
    m : int
        Coordinates to keep.
    """

    role = "reduce"
    distances = frozenset({Distance.COSINE, Distance.DOT, Distance.EUCLID})

    def __init__(self, m: int) -> None:
        self.m = count("m", m)

    @override
    def output_dim(self, dim: int) -> int:
        if self.m > dim:
            raise DimensionError(f"{self!r} keeps {self.m} coordinates, but the vectors have {dim}: choose m <= {dim}")
        return self.m

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(self.output_dim(dim), Distance.DOT if distance is Distance.COSINE else distance)


_SAMPLE = 100_000
"""Most vectors that mean and covariance are taken from: more change neither, and a file of them stays unread."""


class Linear(Reducer):
    """``z = (x - mean) A.T``.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (m, dim) float32
        Orthonormal rows.
    """

    sample_size = _SAMPLE
    state_names: ClassVar[tuple[str, ...]] = ("mean", "basis")
    mean_: FloatArray
    basis_: FloatArray

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.basis_.shape[1] if self.fitted else None

    def _encode(self, x: FloatArray) -> CodeArray:
        return np.asarray((x - self.mean_) @ self._analysis().T, np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(self.mean_ + codes @ self._synthesis(), np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        scale = np.ones(len(q), np.float32)
        if distance is Distance.EUCLID:
            centred = q - self.mean_
            w = np.asarray(centred @ self._analysis().T, np.float32)
            return EncodedQueries(w, scale, -self._dropped(centred, w))
        w = np.asarray(q @ self._synthesis().T, np.float32)
        return EncodedQueries(w, np.float32(self._gain()) * scale, np.asarray(q @ self.mean_, np.float32))

    @abstractmethod
    def _analysis(self) -> FloatArray:
        """``A`` (m, dim)."""

    @abstractmethod
    def _synthesis(self) -> FloatArray:
        """``S`` (m, dim)."""

    def _gain(self) -> float:
        """Factor from the kept part of a dot product to an estimate of the whole."""
        return 1.0

    def _dropped(self, centred: FloatArray, w: FloatArray) -> FloatArray:
        """Mean squared distance (n,) between queries and points outside of what ``w`` sees."""
        del centred
        return np.zeros(len(w), np.float32)


class PCA(Linear):
    """The ``m`` directions of largest variance.

    Parameters
    ----------
    m : int
        Coordinates to keep.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (m, dim) float32
        Directions, largest variance first; the largest component of each is positive.
    residual_ : () float32
        Mean squared length of what is dropped.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 8))
    >>> PCA(3).fit(x).encode(x).shape
    (50, 3)
    """

    name = "pca"
    state_names = ("mean", "basis", "residual")
    residual_: FloatArray

    @override
    def vectors_needed(self, dim: int) -> int:
        """``m + 1`` points span ``m`` directions."""
        del dim
        return self.m + 1

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries, rng
        mean, basis, variances = _principal(x, self.m)
        return {"mean": mean, "basis": basis, "residual": np.float32(variances[self.m :].sum())}

    def _analysis(self) -> FloatArray:
        return self.basis_

    def _synthesis(self) -> FloatArray:
        return self.basis_

    def _dropped(self, centred: FloatArray, w: FloatArray) -> FloatArray:
        missed = np.maximum(np.square(centred).sum(axis=1) - np.square(w).sum(axis=1), 0)
        return np.asarray(missed + self.residual_, np.float32)


class Whiten(Linear):
    """PCA with every kept coordinate scaled to unit variance, for coders that treat coordinates alike.

    Queries are scaled the other way, so the dot product stays what it was; Euclid's distance does not.

    Parameters
    ----------
    m : int
        Coordinates to keep.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (m, dim) float32
        As in :class:`PCA`.
    deviation_ : (m,) float32
        Standard deviation along each direction, at least a thousandth of the largest.
    """

    name = "whiten"
    state_names = ("mean", "basis", "deviation")
    distances = frozenset({Distance.COSINE, Distance.DOT})
    deviation_: FloatArray

    @override
    def vectors_needed(self, dim: int) -> int:
        """``m + 1`` points span ``m`` directions."""
        del dim
        return self.m + 1

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries, rng
        mean, basis, variances = _principal(x, self.m)
        # Directions that the sample does not fill (rank below m) would otherwise blow up on other vectors.
        floor = variances[0] * 1e-6 if variances[0] > 0 else 1.0
        deviation = np.sqrt(np.maximum(variances[: self.m], floor))
        return {"mean": mean, "basis": basis, "deviation": deviation.astype(np.float32)}

    def _analysis(self) -> FloatArray:
        return np.asarray(self.basis_ / self.deviation_[:, None], np.float32)

    def _synthesis(self) -> FloatArray:
        return np.asarray(self.basis_ * self.deviation_[:, None], np.float32)


class RandomProjection(Linear):
    """``m`` random orthonormal directions around the mean; unbiased for dot product and squared distance.

    Parameters
    ----------
    m : int
        Coordinates to keep.

    Attributes
    ----------
    mean_ : (dim,) float32
    basis_ : (m, dim) float32
    """

    name = "random_projection"
    # The error grows with the lengths compared: a difference between neighbours is shorter than the vectors.
    cosine_as = Distance.EUCLID

    @override
    def vectors_needed(self, dim: int) -> int:
        """One, to know the dimension; the mean is better with more."""
        del dim
        return 1

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries
        # Rows of a QR factor with the signs of R's diagonal taken out are uniformly distributed.
        q, r = np.linalg.qr(rng.standard_normal((x.shape[1], self.m)))
        basis = (q * np.where(np.diag(r) < 0, -1, 1)).T
        return {"mean": x.mean(axis=0, dtype=np.float64).astype(np.float32), "basis": basis.astype(np.float32)}

    def _gain(self) -> float:
        # A random subspace sees m / dim of a squared length on average.
        return float(self.basis_.shape[1] / self.m)

    def _analysis(self) -> FloatArray:
        return np.asarray(self.basis_ * np.sqrt(self._gain()), np.float32)

    def _synthesis(self) -> FloatArray:
        return np.asarray(self.basis_ / np.sqrt(self._gain()), np.float32)


class Truncate(Reducer):
    """The first ``m`` coordinates at the length of the whole vector, for Matryoshka models.

    So the dot product of two truncated unit vectors is the cosine of their heads. A vector whose head is all
    zeros becomes zero.

    Parameters
    ----------
    m : int
        Coordinates to keep.

    Attributes
    ----------
    dim_ : () int64
        Coordinates of the whole vectors; nothing else is learned.

    Examples
    --------
    >>> x = [[3.0, 4.0, 12.0]]
    >>> Truncate(2).fit(x).encode(x).tolist()
    [[7.800000190734863, 10.399999618530273]]
    """

    name = "truncate"
    state_names = ("dim",)
    dim_: NDArray[np.int64]

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return int(self.dim_) if self.fitted else None

    @override
    def vectors_needed(self, dim: int) -> int:
        """One, to know the dimension."""
        del dim
        return 1

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries, rng
        return {"dim": np.array(x.shape[1])}

    def _encode(self, x: FloatArray) -> CodeArray:
        head = x[:, : self.m]
        return np.asarray(head * _ratio(_lengths(x), _lengths(head)), np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(np.pad(codes, ((0, 0), (0, int(self.dim_) - self.m))), np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        return EncodedQueries.plain(np.asarray(self._encode(q), np.float32))


def _lengths(x: FloatArray) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _principal(x: FloatArray, m: int) -> tuple[FloatArray, FloatArray, NDArray[np.float64]]:
    """Mean (dim,), first ``m`` directions (m, dim), and all variances (dim,), largest first."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), 4096):  # in blocks: a float64 copy of everything can be too much
        block = x[start : start + 4096] - mean
        covariance += block.T @ block
    variances, vectors = np.linalg.eigh(covariance / len(x))
    basis = vectors[:, ::-1][:, :m].T
    # An eigenvector is only known up to its sign; fixing it makes equal fits equal.
    peaks = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    basis = basis * np.where(peaks < 0, -1, 1)
    return mean.astype(np.float32), basis.astype(np.float32), np.maximum(variances[::-1], 0)
