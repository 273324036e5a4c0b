"""The border for vectors: what comes in is a finite float32 matrix, or it is refused."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import DimensionError, VectorValueError
from octant.records import Distance, FloatArray

CHUNK = 16_384
"""Rows that are looked at together where all are, so that a large matrix costs no second one beside it."""


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
    array = _numbers(x, dim, what)
    if array.dtype == np.float32:
        matrix = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(array, dtype=np.float32)
    _check_finite(matrix, what)
    return matrix


def as_rows(x: ArrayLike, *, dim: int | None = None, what: str = "vectors") -> NDArray[Any]:
    """What :func:`as_matrix` gives, save that a memory map of other numbers than float32 stays on disk as it is.

    Whoever takes rows of it has them by :func:`as_matrix`. Every row is checked here.

    Raises
    ------
    VectorValueError, DimensionError
        As for :func:`as_matrix`.
    """
    if not isinstance(x, np.memmap):
        return as_matrix(x, dim=dim, what=what)
    if x.dtype == np.float32:
        rows: NDArray[Any] = as_matrix(x, dim=dim, what=what)
    else:
        rows = _numbers(x, dim, what)
        _check_finite(rows, what)
    _let_go(x)
    return rows


def _let_go(x: np.memmap[Any, Any]) -> None:
    """Take the pages of a file that was just read out of this process's memory; they are read again when needed."""
    # A copy-on-write map holds changes that are nowhere else.
    if isinstance(x.base, mmap.mmap) and x.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        x.base.madvise(mmap.MADV_DONTNEED)


def drawn(x: NDArray[Any], most: int | None, rng: np.random.Generator) -> FloatArray:
    """Float32 matrix of the rows of ``x`` (n, dim): all, or ``most`` of them without replacement, in their order."""
    if most is None or len(x) <= most:
        return as_matrix(x)
    return as_matrix(x[np.sort(rng.choice(len(x), most, replace=False))])


def _numbers(x: ArrayLike, dim: int | None, what: str) -> NDArray[Any]:
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
    return array


def _check_finite(x: NDArray[Any], what: str) -> None:
    if _all_finite(x):
        return
    good = np.concatenate([np.isfinite(part).all(axis=1) for part in _parts(x)])
    bad = np.flatnonzero(~good)
    raise VectorValueError(
        f"{what} must be finite float32 numbers; row {bad[0]} holds NaN or inf ({len(bad)} such rows)"
    )


def _all_finite(x: NDArray[Any]) -> bool:
    return all(bool(np.isfinite(part).all()) for part in _parts(x))


def _parts(x: NDArray[Any]) -> Iterator[FloatArray]:
    """Rows of ``x`` as float32, ``CHUNK`` at a time; what float32 cannot hold becomes inf."""
    for first in range(0, len(x), CHUNK):
        with np.errstate(over="ignore"):
            yield np.asarray(x[first : first + CHUNK], np.float32)


def _is_ready(x: object, dim: int | None) -> TypeGuard[FloatArray]:
    """Whether ``x`` is what :func:`as_matrix` returns."""
    return (
        type(x) is np.ndarray
        and x.dtype == np.float32
        and x.ndim == 2
        and x.size > 0
        and (dim is None or x.shape[1] == dim)
        and x.flags.c_contiguous
        and _all_finite(x)
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
