"""FAISS's own codes at equal bytes, as references: no engine, all codes scored against float queries.

``OPQ``: a learned rotation and product quantization, 8 bits a sub-vector. ``RQ``: residual quantization, 8 bits a
stage. ``ITQ``: principal directions under a learned rotation, one sign each; scored asymmetrically, the float query in
the rotated directions against the signs, which finds more than Hamming distance does. FAISS's defaults but for what
would take hours here: OPQ learns its rotation in 20 rounds, not 50; RQ trains its stages one after the other, greedily,
in 10 rounds without growing dimensions, and only encoding keeps a beam of 5.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from codes_results import version_of_package

OPQ_ROUNDS = 20
RQ_ROUNDS, RQ_BEAM = 10, 5

Coded: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"
"""Scores (m, n) of queries against documents, and the documents decoded (n, dim) where that is defined."""


def missing() -> str | None:
    """Why these references cannot be measured here, or None."""
    if find_spec("faiss") is None:
        return "FAISS is not installed: pip install 'qdrant-octant[benchmarks]'"
    return None


def version() -> str:
    """What results depend on."""
    return version_of_package("faiss-cpu", Path(__file__))


def opq(learn: np.ndarray, documents: np.ndarray, queries: np.ndarray, size: int, seed: int) -> Coded:
    """``size`` bytes a vector."""
    import faiss

    dim = learn.shape[1]
    rotation = faiss.OPQMatrix(dim, size)
    rotation.niter = OPQ_ROUNDS
    rotation.pq = coder = faiss.ProductQuantizer(dim, size, 8)
    begin(coder.cp, seed)
    rotation.train(learn)
    final = faiss.ProductQuantizer(dim, size, 8)
    begin(final.cp, seed)
    final.train(rotation.apply(learn))
    decoded = rotation.reverse_transform(final.decode(final.compute_codes(rotation.apply(documents))))
    return queries @ decoded.T, decoded


def rq(learn: np.ndarray, documents: np.ndarray, queries: np.ndarray, size: int, seed: int) -> Coded:
    """``size`` bytes a vector, one for each stage."""
    import faiss

    coder = faiss.ResidualQuantizer(learn.shape[1], size, 8)
    begin(coder.cp, seed)
    coder.train_type = coder.Train_default
    coder.cp.niter, coder.max_beam_size = RQ_ROUNDS, 1
    coder.train(learn)
    coder.max_beam_size = RQ_BEAM
    decoded = coder.decode(coder.compute_codes(documents))
    return queries @ decoded.T, decoded


def itq(learn: np.ndarray, documents: np.ndarray, queries: np.ndarray, size: int, seed: int) -> Coded:
    """8 ``size`` signs a vector."""
    import faiss

    del seed  # FAISS starts the rotation from a constant of its own
    transform = faiss.ITQTransform(learn.shape[1], 8 * size, True)
    transform.train(learn)
    return transform.apply(queries) @ np.sign(transform.apply(documents)).T, None


def begin(clustering: object, seed: int) -> None:
    clustering.seed = 1234 + seed  # FAISS's own default, for seed 0
    clustering.min_points_per_centroid = 1  # warns on every sub-vector otherwise


METHODS = {"OPQ": opq, "RQ": rq, "ITQ": itq}
