"""The border for vectors: what comes in is a finite float32 matrix, or it is refused."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from octant.errors import DimensionError, VectorValueError
from octant.records import Distance, FloatArray


def as_matrix(x: ArrayLike, *, dim: int | None = None, what: str = "vectors") -> FloatArray:
    """Float32 matrix (n, dim) of ``x``; a single vector (dim,) becomes one row. ``x`` is not changed.

    Parameters
    ----------
    x : array_like of numbers
    dim : int, optional
        Expected number of coordinates.
    what : str
        How the message calls them.

    Raises
    ------
    VectorValueError
        If ``x`` is ragged, empty, not numeric, or holds NaN or inf.
    DimensionError
        If a row does not have ``dim`` coordinates.

    Examples
    --------
    >>> as_matrix([1, 2, 3]).shape
    (1, 3)
    """
    if _is_ready(x, dim):  # every search comes by here several times, nearly always with what this function made
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise VectorValueError(f"{what} must all have the same number of coordinates: {error}") from error
    if array.dtype.kind not in "fiu" and array.dtype.name not in {"bfloat16", "float8_e4m3fn", "float8_e5m2"}:
        raise VectorValueError(
            f"{what} must be numbers of shape (n, dim), got dtype {array.dtype}: are some rows of another length?"
        )
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or 0 in array.shape:
        raise VectorValueError(f"{what} must have shape (n, dim) with n and dim at least 1, got {array.shape}")
    if dim is not None and array.shape[1] != dim:
        raise DimensionError(
            f"expected {what} of {dim} coordinates, got {array.shape[1]}: is this another embedding model?"
        )
    if array.dtype == np.float32:
        matrix = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(matrix).all():
        bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        raise VectorValueError(
            f"{what} must be finite float32 numbers; row {bad[0]} holds NaN or inf ({len(bad)} such rows)"
        )
    return matrix


def _is_ready(x: object, dim: int | None) -> TypeGuard[FloatArray]:
    """Whether ``x`` is what :func:`as_matrix` returns."""
    return (
        type(x) is np.ndarray
        and x.dtype == np.float32
        and x.ndim == 2
        and x.size > 0
        and (dim is None or x.shape[1] == dim)
        and x.flags.c_contiguous
        and bool(np.isfinite(x).all())
    )


def unit_rows(x: FloatArray, *, what: str = "vectors") -> FloatArray:
    """Rows of ``x`` (n, dim) at unit length, for cosine.

    Raises
    ------
    VectorValueError
        If a row is all zeros: it has no direction, so its cosine is undefined.
    """
    # Squares of float32 can overflow float32; summing in float64 costs no copy of the matrix.
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))[:, None]
    if not norms.all():
        zero = np.flatnonzero(norms[:, 0] == 0)
        raise VectorValueError(f"{what} must not be all zeros under cosine; row {zero[0]} is ({len(zero)} such rows)")
    return np.asarray(np.divide(x, norms, dtype=np.float32, casting="same_kind"))


def similarity(q: FloatArray, x: FloatArray, distance: Distance) -> FloatArray:
    """Scores (m, n) of queries (m, dim) against points (n, dim); higher is better.

    Cosine expects unit rows and is then the dot product; Euclid and Manhattan come back negative.
    """
    if distance is Distance.EUCLID:
        squared = (q**2).sum(1)[:, None] + (x**2).sum(1)[None, :] - 2 * q @ x.T
        return np.asarray(-np.sqrt(np.maximum(squared, 0)), np.float32)
    if distance is Distance.MANHATTAN:
        return -np.stack([np.abs(row - x).sum(1) for row in q])
    return np.asarray(q @ x.T)
