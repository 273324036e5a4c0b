"""Principal components in the feature space of a kernel, through landmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError, InputError
from octant.quantizers import calibration
from octant.quantizers.arguments import count, one_of
from octant.quantizers.reduce import Reducer
from octant.quantizers.sample import bounded, check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray

SAMPLE = 20_000
"""Most vectors that a fit looks at; more are drawn from, without replacement."""
_FLOOR = 1e-6
"""Eigenvalues of the landmarks' kernel below this share of the largest are rounding."""
_RIDGE = 1e-3
_BLOCK = 4096
_HEURISTIC = 1000
"""Vectors whose distances to each other the median is taken of."""

Kernel = Callable[[FloatArray, FloatArray, float], FloatArray]
"""Kernel values (n, k) of rows (n, dim) and (k, dim), with gamma."""


def _rbf(x: FloatArray, y: FloatArray, gamma: float) -> FloatArray:
    squared = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.exp(-gamma * np.maximum(squared, 0)), np.float32)


def _cosine(x: FloatArray, y: FloatArray, gamma: float) -> FloatArray:
    del gamma
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return np.asarray(np.divide(x @ y.T, lengths, out=np.zeros_like(lengths), where=lengths > 0), np.float32)


def _poly(x: FloatArray, y: FloatArray, gamma: float) -> FloatArray:
    return np.asarray((gamma * (x @ y.T) + 1) ** 3, np.float32)


def _linear(x: FloatArray, y: FloatArray, gamma: float) -> FloatArray:
    del gamma
    return np.asarray(x @ y.T, np.float32)


KERNELS: dict[str, Kernel] = {"rbf": _rbf, "cosine": _cosine, "poly": _poly, "linear": _linear}
_WITH_GAMMA = ("rbf", "poly")


class KernelPCA(Reducer):
    """The ``m`` principal components of vectors in a kernel's feature space.

    The space is that of the landmarks (Nyström): ``phi(x) = L^(-1/2) k(landmarks, x)`` with the kernel matrix ``L`` of
    the landmarks, which are drawn from the sample. A point is stored as ``z = P (phi(x) - phi_mean)`` and a query asked
    as ``P phi(q)``, so that the engine's product, plus ``phi(q).phi_mean``, is near ``k(q, x)``. The kernel follows the
    similarity of the vectors but is not it: an affine map, learned from pairs of the sample, or of ``queries`` and the
    sample where they are given, makes it an estimate of the dot product. ``linear`` gives plain PCA. ``rbf`` and
    ``cosine`` follow angles and distances: under the dot product of vectors of very different lengths they lose order.

    The pre-image, for ``decode``, is the ridge regression of the sample's vectors on their components.

    Parameters
    ----------
    m : int
        Components to keep; at most as many as coordinates and landmarks.
    kernel : {"rbf", "cosine", "poly", "linear"}
        ``exp(-gamma |x - y|^2)``, the cosine, ``(gamma x.y + 1)^3``, ``x.y``.
    gamma : float, optional
        For ``rbf`` and ``poly``; otherwise one over twice the median squared distance of two vectors for ``rbf`` (its
        width is then the median distance), and one over the median squared length for ``poly``.
    landmarks : int
        A kernel value for each is computed whenever a vector is encoded, and all are stored in the artifact.

    Attributes
    ----------
    landmarks_ : (landmarks, dim) float32
    gamma_ : () float32
    basis_ : (m, landmarks) float32
        ``P L^(-1/2)``.
    center_ : (m,) float32
        ``P phi_mean``.
    mean_weights_ : (landmarks,) float32
        ``k(landmarks, q)`` times these is ``phi(q).phi_mean``.
    preimage_ : (m + 1, dim) float32
        Rows for the components, and last the constant.
    slope_, intercept_ : () float32
        Similarity = ``slope * kernel + intercept``.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    >>> KernelPCA(4, "rbf", landmarks=50).fit(x).encode(x).shape
    (200, 4)
    """

    name = "kernel_pca"
    sample_size = SAMPLE
    usage = "kernel_pca(m, rbf|cosine|poly|linear, gamma=…, landmarks=…)"
    linear = False
    weighs_queries = True
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = (
        "landmarks", "gamma", "basis", "center", "mean_weights", "preimage", "slope", "intercept",
    )  # fmt: skip
    landmarks_: FloatArray
    gamma_: FloatArray
    basis_: FloatArray
    center_: FloatArray
    mean_weights_: FloatArray
    preimage_: FloatArray
    slope_: FloatArray
    intercept_: FloatArray

    def __init__(self, m: int, kernel: str = "rbf", gamma: float | None = None, landmarks: int = 1024) -> None:
        super().__init__(m)
        self.kernel = one_of("kernel", kernel, tuple(KERNELS))
        self.gamma = None if gamma is None else _positive("gamma", gamma)
        self.landmarks = count("landmarks", landmarks)
        if self.gamma is not None and kernel not in _WITH_GAMMA:
            raise InputError(f"gamma has no part in the kernel {kernel}: leave it out, or choose rbf or poly")
        if self.landmarks < self.m:
            raise InputError(f"landmarks must be at least m, {self.m}: fewer span fewer components, got {landmarks}")

    @override
    def vectors_needed(self, dim: int) -> int:
        """``m + 1`` points span ``m`` components."""
        del dim
        return self.m + 1

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.landmarks_.shape[1] if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        check_varied(self.name, x)
        gamma = self.gamma or _usual_gamma(self.kernel, x, rng)
        landmarks = bounded(x, self.landmarks, rng)
        whiten = _whitening(KERNELS[self.kernel](landmarks, landmarks, gamma))
        phi = np.concatenate([
            KERNELS[self.kernel](x[start : start + _BLOCK], landmarks, gamma) @ whiten
            for start in range(0, len(x), _BLOCK)
        ])  # fmt: skip
        mean = phi.mean(axis=0, dtype=np.float64).astype(np.float32)
        directions = _principal(phi - mean, self.m)
        state = {
            "landmarks": landmarks,
            "gamma": np.float32(gamma),
            "basis": directions @ whiten.T,
            "center": directions @ mean,
            "mean_weights": whiten @ mean,
            "preimage": _ridge((phi - mean) @ directions.T, x),
        }
        return {**state, **self._calibrated(state, x, queries, rng)}

    def _calibrated(
        self,
        state: Mapping[str, NDArray[Any]],
        sample: FloatArray,
        queries: FloatArray | None,
        rng: np.random.Generator,
    ) -> Mapping[str, NDArray[Any]]:
        trial = type(self).restore(self.config, {**state, "slope": np.float32(1), "intercept": np.float32(0)})
        asked, points = calibration.split(sample, queries, rng)
        coded = trial._encode_query(asked, Distance.DOT)
        raw = coded.vectors @ np.asarray(trial._encode(points), np.float32).T + coded.offset[:, None]
        slope, intercept = calibration.line(np.asarray(raw, np.float32), np.asarray(asked @ points.T, np.float32))
        return {"slope": np.asarray(slope), "intercept": np.asarray(intercept)}

    def _encode(self, x: FloatArray) -> CodeArray:
        codes = np.empty((len(x), len(self.basis_)), np.float32)
        for start in range(0, len(x), _BLOCK):
            codes[start : start + _BLOCK] = self._kernel(x[start : start + _BLOCK]) @ self.basis_.T - self.center_
        return codes

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] != self.m:
            raise DimensionError(f"{self!r} makes codes of {self.m} coordinates, got {codes.shape[1]}")
        return np.asarray(codes @ self.preimage_[:-1] + self.preimage_[-1], np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        values = self._kernel(q)
        offset = np.asarray(self.slope_ * (values @ self.mean_weights_) + self.intercept_, np.float32)
        return EncodedQueries(
            np.asarray(values @ self.basis_.T, np.float32), np.full(len(q), self.slope_, np.float32), offset
        )

    def _kernel(self, x: FloatArray) -> FloatArray:
        return KERNELS[self.kernel](x, self.landmarks_, float(self.gamma_))


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise InputError(f"{name} must be a positive number, got {value!r}")
    return value


def _usual_gamma(kernel: str, sample: FloatArray, rng: np.random.Generator) -> float:
    """The median heuristic; 1 for a kernel without gamma."""
    if kernel not in _WITH_GAMMA:
        return 1.0
    some = bounded(sample, _HEURISTIC, rng)
    lengths = np.square(some).sum(axis=1, dtype=np.float64)
    if kernel == "poly":
        return 1.0 / float(np.median(lengths[lengths > 0]))
    squared = lengths[:, None] + lengths - 2 * (some @ some.T)
    apart = squared[squared > 1e-6 * lengths.max()]  # neither a vector and itself, nor duplicates
    return 0.5 / float(np.median(apart))


def _whitening(kernel: FloatArray) -> FloatArray:
    """``W`` (k, rank) with ``W W' = K^+`` for the landmarks' kernel ``K`` (k, k)."""
    values, vectors = np.linalg.eigh(kernel.astype(np.float64))
    kept = values > _FLOOR * values[-1]
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]), np.float32)


def _principal(centred: FloatArray, m: int) -> FloatArray:
    """The ``m`` directions (m, rank) of largest variance; rows of zeros where there are fewer."""
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    basis = vectors[:, ::-1][:, :m].T
    # An eigenvector is only known up to its sign; fixing it makes equal fits equal.
    peaks = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    basis = basis * np.where(peaks < 0, -1, 1)
    return np.asarray(np.pad(basis, ((0, m - len(basis)), (0, 0))), np.float32)


def _ridge(z: FloatArray, x: FloatArray) -> FloatArray:
    """Coefficients (m + 1, dim) of ``x`` (n, dim) on ``z`` (n, m), whose means are zero, and the constant."""
    moment = (z.T @ z).astype(np.float64)
    moment.flat[:: len(moment) + 1] += max(_RIDGE * float(np.trace(moment)) / len(moment), np.finfo(np.float32).tiny)
    mean = x.mean(axis=0, dtype=np.float64)
    slopes = np.linalg.solve(moment, z.T @ (x - mean))
    return np.asarray(np.concatenate([slopes, mean[None]]), np.float32)
