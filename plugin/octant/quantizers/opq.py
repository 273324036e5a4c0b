"""A learned rotation ahead of Qdrant's product quantization (OPQ)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.quantizers.arguments import one_of
from octant.quantizers.base import Quantizer
from octant.quantizers.sample import check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds

SAMPLE = 8192
"""Most vectors that a fit looks at; more are drawn from, without replacement."""
ROUNDS = 8
"""Turns of codebooks and rotation."""
CENTROIDS = 256
"""Of each codebook: Qdrant keeps one byte for a run of coordinates."""
_LEAST_TO_ALTERNATE = 8 * CENTROIDS
"""With fewer vectors the codebooks would learn them by heart."""
_HELD_OUT = 4
"""One vector in so many decides between the two solutions."""


class OPQ(Quantizer):
    """Rotate vectors so that product quantization loses little of them (Ge et al., CVPR 2013).

    Qdrant cuts a vector into runs of ``ratio / 4`` coordinates and keeps a byte for each, whatever the coordinates
    mean. The rotation spreads the variance: the directions of the covariance are dealt out so that the products of the
    variances of all runs are balanced (the paper's parametric solution). From 2,048 vectors on, codebooks by k-means
    and the rotation by orthogonal Procrustes then take turns on a sample (the non-parametric one), and what comes of
    it is kept where it has the smaller error on a quarter of the sample that it did not see. Distances and products
    stay what they were. Qdrant learns codebooks of its own on what it is given.

    Parameters
    ----------
    ratio : {"x4", "x8", "x16", "x32", "x64"}
        That of the ``product`` behind it: ``opq(x32)|float32|product(x32)``.

    Attributes
    ----------
    rotation_ : (dim, dim) float32
        Orthogonal; ``x rotation`` is stored.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    >>> codec = OPQ("x16").fit(x)
    >>> bool(np.allclose(codec.decode(codec.encode(x)), x, atol=1e-5))
    True
    """

    name = "opq"
    sample_size = SAMPLE
    usage = "opq(x4|x8|x16|x32|x64)"
    role = "reduce"
    distances = frozenset({Distance.COSINE, Distance.DOT, Distance.EUCLID})
    state_names: ClassVar[tuple[str, ...]] = ("rotation",)
    rotation_: FloatArray

    def __init__(self, ratio: str) -> None:
        self.ratio = one_of("ratio", ratio, ("x4", "x8", "x16", "x32", "x64"))

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(dim, Distance.DOT if distance is Distance.COSINE else distance)

    @override
    def vectors_needed(self, dim: int) -> int:
        """Two, that they may differ; far more are better."""
        del dim
        return 2

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return len(self.rotation_) if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        del queries
        check_varied(self.name, x)
        centred = np.asarray(x - x.mean(axis=0, dtype=np.float64), np.float32)
        parts = runs(x.shape[1], int(self.ratio[1:]) // 4)
        return {"rotation": balanced(centred, parts) if len(x) < _LEAST_TO_ALTERNATE else _better(centred, parts, rng)}

    def _encode(self, x: FloatArray) -> CodeArray:
        return np.asarray(x @ self.rotation_, np.float32)

    def _decode(self, codes: CodeArray) -> FloatArray:
        return np.asarray(codes @ self.rotation_.T, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        return EncodedQueries.plain(np.asarray(q @ self.rotation_, np.float32))


def runs(dim: int, size: int) -> list[slice]:
    """Qdrant's cut of ``dim`` coordinates: ``size`` to a byte, the last run what is left."""
    return [slice(first, min(first + size, dim)) for first in range(0, dim, size)]


def balanced(centred: FloatArray, parts: list[slice]) -> FloatArray:
    """Rotation (dim, dim) to principal directions, dealt out so that the runs' products of variances are alike.

    The largest variance that is left goes to the run whose product is the smallest, until that run is full.
    """
    variances, directions = np.linalg.eigh((centred.T @ centred / len(centred)).astype(np.float64))
    # Every factor at least 1, as in the paper, so that each direction makes its run's product larger.
    logs = np.log(np.maximum(variances, 1e-6 * variances[-1]))
    logs -= logs.min()
    room = np.array([part.stop - part.start for part in parts])
    product = np.zeros(len(parts))
    rotation = np.empty_like(directions)
    for which in np.argsort(-variances, kind="stable"):
        run = int(np.argmin(np.where(room > 0, product, np.inf)))
        rotation[:, parts[run].stop - room[run]] = directions[:, which]
        product[run] += logs[which]
        room[run] -= 1
    # An eigenvector is only known up to its sign; fixing it makes equal fits equal.
    peaks = np.take_along_axis(rotation, np.abs(rotation).argmax(axis=0)[None], axis=0)
    return np.asarray(rotation * np.where(peaks < 0, -1, 1), np.float32)


def alternate(
    centred: FloatArray, rotation: FloatArray, parts: list[slice], rounds: int, rng: np.random.Generator
) -> FloatArray:
    """``rotation`` after ``rounds`` turns: a step of k-means in every run, then the best rotation for what it gives."""
    books = _first_books(centred @ rotation, parts, rng)
    for _ in range(rounds):
        rebuilt = _rebuilt(centred @ rotation, books, parts, learn=True)
        left, _, right = np.linalg.svd(centred.T @ rebuilt)
        rotation = np.asarray(left @ right, np.float32)
    return rotation


def _better(centred: FloatArray, parts: list[slice], rng: np.random.Generator) -> FloatArray:
    """The rotation of smaller error on held-out vectors: the balanced one, or what the turns make of it."""
    shuffled = rng.permutation(len(centred))
    unseen, seen = centred[shuffled[::_HELD_OUT]], centred[np.delete(shuffled, np.s_[::_HELD_OUT])]
    start = balanced(seen, parts)
    rotations = (start, alternate(seen, start, parts, ROUNDS, rng))
    seed = int(rng.integers(2**63))  # one start of the codebooks for both
    errors = [error(rotation, seen, unseen, parts, np.random.default_rng(seed)) for rotation in rotations]
    return rotations[int(np.argmin(errors))]


def error(
    rotation: FloatArray, seen: FloatArray, unseen: FloatArray, parts: list[slice], rng: np.random.Generator
) -> float:
    """Mean squared error of product quantization of rotated ``unseen`` (m, dim), codebooks learned on ``seen``."""
    z = seen @ rotation
    books = _first_books(z, parts, rng)
    for _ in range(ROUNDS):
        _rebuilt(z, books, parts, learn=True)
    target = unseen @ rotation
    return float(np.square(target - _rebuilt(target, books, parts, learn=False)).sum(axis=1).mean())


def _first_books(z: FloatArray, parts: list[slice], rng: np.random.Generator) -> list[FloatArray]:
    start = np.sort(rng.choice(len(z), CENTROIDS, replace=False))
    return [z[start, part] for part in parts]


def _rebuilt(z: FloatArray, books: list[FloatArray], parts: list[slice], *, learn: bool) -> FloatArray:
    """``z`` (n, dim) as its codes say; with ``learn`` the books, in place, after a step of k-means."""
    rebuilt = np.empty_like(z)
    for run, part in enumerate(parts):
        means, codes = lloyd_step(z[:, part], books[run])
        if learn:
            books[run] = means
        rebuilt[:, part] = books[run][codes]
    return rebuilt


def lloyd_step(z: FloatArray, book: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Means (k, d) of the rows of ``z`` (n, d) nearest to each row of ``book`` (k, d), and which is nearest (n,)."""
    codes = np.argmin(np.square(book).sum(axis=1) - 2 * (z @ book.T), axis=1)
    counts = np.bincount(codes, minlength=len(book))
    sums = np.stack([np.bincount(codes, z[:, column], len(book)) for column in range(z.shape[1])], axis=1)
    # A centroid that nobody is nearest to stays where it is.
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book)
    return np.asarray(means, np.float32), codes
