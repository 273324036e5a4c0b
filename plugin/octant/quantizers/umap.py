"""UMAP as a reducer: umap-learn lays out a sample, numpy places every other vector among it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError, MissingExtraError, TooFewVectorsError
from octant.quantizers import calibration
from octant.quantizers.arguments import count
from octant.quantizers.reduce import Reducer
from octant.quantizers.sample import check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds

SAMPLE = 4000
"""Most vectors that are laid out; all of them are kept in the artifact, and every other vector is placed by them."""
EPOCHS = 200
"""Rounds of the layout: umap-learn's own choice for large data; a round costs time in proportion to ``m``."""
_BLOCK = 1024
_BISECTIONS = 40


class UMAP(Reducer):
    """Coordinates in which near vectors are near, by UMAP (arXiv:1802.03426); far ones are only somewhere else.

    ``fit`` has umap-learn lay out a sample in ``m`` dimensions (Euclid's distance, ``min_dist`` 0, started from
    principal components, one thread, seeded). Everything else is numpy: a vector is placed at the weighted mean of the
    positions of its ``neighbours`` nearest vectors of the sample. The weights are UMAP's own memberships
    ``exp(-(d - d_1) / sigma)``, with ``d_1`` the distance of the nearest and ``sigma`` such that those of the others
    sum to ``log2(neighbours)``. That is where umap-learn's ``transform`` starts; the gradient steps that it adds are
    left out, and vectors of the sample are placed in the same way as all others. ``decode`` is the same step from
    positions back to vectors of the sample.

    UMAP keeps who is near, not how near: minus the squared distance of two places becomes that of the vectors by an
    affine map, learned from pairs (see :mod:`octant.quantizers.calibration`), of ``queries`` and the sample where they
    are given. Expect less recall than from ``pca`` at equal ``m``.

    Parameters
    ----------
    m : int
        Coordinates of a place.
    neighbours : int
        Of every vector, in the layout and when it is placed.

    Attributes
    ----------
    sample_ : (n, dim) float32
    places_ : (n, m) float32
    slope_, intercept_ : () float32
        Minus the squared distance of vectors = ``slope * minus that of their places + intercept``.
    """

    name = "umap"
    linear = False
    weighs_queries = True
    distances = frozenset({Distance.COSINE, Distance.EUCLID})
    cosine_as = Distance.EUCLID
    state_names: ClassVar[tuple[str, ...]] = ("sample", "places", "slope", "intercept")
    sample_: FloatArray
    places_: FloatArray
    slope_: FloatArray
    intercept_: FloatArray

    def __init__(self, m: int, neighbours: int = 15) -> None:
        super().__init__(m)
        self.neighbours = count("neighbours", neighbours)

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        return StorageNeeds(self.output_dim(dim), Distance.EUCLID)

    @override
    def vectors_needed(self, dim: int) -> int:
        """More than it has coordinates, and more than neighbours."""
        del dim
        return max(self.m, self.neighbours) + 2

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.sample_.shape[1] if self.fitted else None

    def _fit(self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        needed = self.vectors_needed(x.shape[1])
        # What plays the queries is not laid out: no query of a search will be.
        spare = min(calibration.QUERIES, len(x) // 10, len(x) - needed) if queries is None else 0
        order = rng.permutation(len(x))
        drawn = x[np.sort(order[spare : spare + SAMPLE])]
        check_varied(self.name, drawn)
        # Copies would be each other's only neighbours, and say nothing about where anything else belongs.
        sample = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
        if len(sample) < needed:
            raise TooFewVectorsError(
                f"{self!r} needs at least {needed} different vectors to fit, got {len(sample)} among {len(drawn)}: "
                f"pass a larger sample, or choose smaller m and neighbours"
            )
        places = _laid_out(sample, self.m, self.neighbours, int(rng.integers(2**31)))
        asked = x[order[:spare]] if spare else (sample if queries is None else queries)[: calibration.QUERIES]
        placed = (_placed(rows, sample, places, self.neighbours) for rows in (asked, drawn))
        slope, intercept = calibration.line(-_squared(*placed), -_squared(asked, drawn))
        return {"sample": sample, "places": places, "slope": np.asarray(slope), "intercept": np.asarray(intercept)}

    def _encode(self, x: FloatArray) -> CodeArray:
        return _placed(x, self.sample_, self.places_, self.neighbours)

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] != self.m:
            raise DimensionError(f"{self!r} makes codes of {self.m} coordinates, got {codes.shape[1]}")
        return _placed(np.asarray(codes, np.float32), self.places_, self.sample_, self.neighbours)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        places = _placed(q, self.sample_, self.places_, self.neighbours)
        slope, intercept = float(self.slope_), float(self.intercept_)
        if distance is Distance.COSINE:  # of unit vectors: one minus half of the squared distance
            slope, intercept = slope / 2, 1 + intercept / 2
        return EncodedQueries(places, *(np.full(len(q), value, np.float32) for value in (slope, intercept)))


def _laid_out(sample: FloatArray, m: int, neighbours: int, seed: int) -> FloatArray:
    """Positions (n, m) of ``sample`` (n, dim)."""
    if find_spec("umap") is None:
        raise MissingExtraError("the quantizer umap", module="umap", extra="umap")
    with warnings.catch_warnings():
        # Of umap's own import: it has a second, parametric UMAP, which alone needs tensorflow.
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        import umap  # takes seconds, and only a fit needs it
    layout = umap.UMAP(
        n_components=m, n_neighbors=neighbours, min_dist=0.0, n_epochs=EPOCHS, init="pca",
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    places = np.asarray(layout.fit_transform(sample), np.float32)
    return np.asarray(places - places.mean(axis=0), np.float32)


def _placed(x: FloatArray, sample: FloatArray, places: FloatArray, neighbours: int) -> FloatArray:
    """Means (n, width) of ``places`` (k, width), weighted by nearness of ``sample`` (k, dim) to ``x`` (n, dim)."""
    result = np.empty((len(x), places.shape[1]), np.float32)
    for rows in _blocks(len(x)):
        squared = _squared(x[rows], sample)
        nearest = np.argpartition(squared, neighbours - 1, axis=1)[:, :neighbours]
        weights = memberships(np.sqrt(np.take_along_axis(squared, nearest, axis=1)))
        result[rows] = np.einsum("nk,nkm->nm", weights / weights.sum(axis=1, keepdims=True), places[nearest])
    return result


def memberships(distances: FloatArray) -> FloatArray:
    """UMAP's weights (n, k) of neighbours at ``distances`` (n, k): the nearest's is 1, the others sum to log2 of k."""
    beyond = distances - distances.min(axis=1, keepdims=True)
    target = 1 + np.log2(distances.shape[1])
    # The sum grows with sigma, from the number of nearest ones to k: bisect in its logarithm.
    typical = np.maximum(beyond.mean(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    low, high = typical * 1e-4, typical * 1e4
    for _ in range(_BISECTIONS):
        sigma = np.sqrt(low * high)
        large = np.exp(-beyond / sigma).sum(axis=1, keepdims=True) > target
        low, high = np.where(large, low, sigma), np.where(large, sigma, high)
    return np.asarray(np.exp(-beyond / np.sqrt(low * high)), np.float32)


def _squared(x: FloatArray, y: FloatArray) -> FloatArray:
    """Squared distances (n, k) of rows (n, dim) and (k, dim)."""
    found = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.maximum(found, 0), np.float32)


def _blocks(n: int) -> Iterator[slice]:
    for first in range(0, n, _BLOCK):
        yield slice(first, min(first + _BLOCK, n))
