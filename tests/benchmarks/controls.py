"""Formats as arXiv:2505.00105 ran them, to stand beside Octant's: each turns documents and queries into scores.

The paper's int8 and fp4 lose more than those formats must. Its int8 codes are compared raw, without the offset and
the step of each dimension that made them, which come from another corpus; its fp4 is a cast without a scale, and
coordinates of about 0.05 fall under the smallest step of 0.5. These functions repeat that on purpose.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np


def int8_raw(
    documents: np.ndarray, queries: np.ndarray, sample: np.ndarray | None = None, *, clip: bool = False
) -> tuple[np.ndarray, float]:
    """255 steps between a dimension's extremes, as sentence-transformers' ``quantize_embeddings`` makes them.

    Parameters
    ----------
    sample : (s, dim) float32, optional
        Vectors that tell the ranges; by default the documents themselves, which is kinder than the paper, whose
        sample came from another corpus.
    clip : bool
        What lies outside of the ranges is moved to their ends, as sentence-transformers 6 does; 3.4, of the time of
        the paper, lets it wrap around.

    Returns
    -------
    scores : (m, n) float32
        Cosines of raw codes.
    bytes_per_vector : float
    """
    ranged = documents if sample is None else sample
    low, high = ranged.min(axis=0), ranged.max(axis=0)

    def codes(x: np.ndarray) -> np.ndarray:
        levels = np.floor((x - low) / ((high - low) / 255)) - 128
        wide = np.clip(levels, -128, 127) if clip else levels
        return wide.astype(np.int64).astype(np.int8).astype(np.float32)

    return cosines(codes(queries), codes(documents)), documents.shape[1]


def fp4_cast(documents: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """A plain cast to float4 e2m1."""
    return _cast(documents, queries, ml_dtypes.float4_e2m1fn), documents.shape[1] / 2


def fp8_cast(documents: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """A plain cast to float8 e4m3."""
    return _cast(documents, queries, ml_dtypes.float8_e4m3fn), documents.shape[1]


def binary_zero_one(documents: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """Signs as 0 and 1 on both sides, without rescoring."""
    return cosines((queries > 0).astype(np.float32), (documents > 0).astype(np.float32)), documents.shape[1] / 8


def _cast(documents: np.ndarray, queries: np.ndarray, dtype: type) -> np.ndarray:
    return cosines(queries.astype(dtype).astype(np.float32), documents.astype(dtype).astype(np.float32))


def cosines(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Cosines (m, n); 0 for a vector that the format turned into zeros."""
    return _unit(queries) @ _unit(documents).T


def _unit(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms == 0, 1, norms)
