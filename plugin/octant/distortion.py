"""How much of a vector a code loses, and how much any code of its size must."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import InputError
from octant.records import FloatArray, StorageNeeds

_STORED_BITS = {"float32": 32, "uint8": 8}
"""Bits a coordinate of datatypes that keep codes as they are: a float vector, or whole numbers."""
_ROWS = 16_384
"""Vectors centred at a time."""


def variances(x: FloatArray) -> NDArray[np.float64]:
    """Eigenvalues (dim,) of the covariance of ``x`` (n, dim), rising; they add up to the variance of its rows."""
    mean = x.mean(axis=0, dtype=np.float64)
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _ROWS):
        centred = x[start : start + _ROWS] - mean
        total += centred.T @ centred
    return np.clip(np.linalg.eigvalsh(total / len(x)), 0, None)


def gaussian_bound(spectrum: ArrayLike, bits: float) -> float:
    """Least mean squared error of any code of ``bits`` bits a vector, if the vectors were Gaussian.

    Reverse water-filling: components of a variance above the water level keep the level as their error, the
    others their whole variance (Cover and Thomas, Elements of Information Theory, theorem 10.3.3). No Gaussian
    source can be coded better; of all sources of one covariance the Gaussian is the hardest, so vectors with more
    structure than their covariance shows may do better still.

    Parameters
    ----------
    spectrum : (dim,) array_like of float
        Eigenvalues of the covariance, in any order; what is not above 0 counts as 0. See :func:`variances`.
    bits : float
        Of a whole vector, not of a coordinate.

    Returns
    -------
    float
        In the units of ``spectrum``: between 0 and their sum. Lower is better.

    Raises
    ------
    InputError
        If ``spectrum`` is not one-dimensional and finite, or ``bits`` is negative or not finite.

    Examples
    --------
    >>> gaussian_bound([1.0, 1.0], bits=2)
    0.5
    >>> gaussian_bound([4.0, 0.5], bits=1)  # all bits go to the larger component
    1.5
    """
    values = np.asarray(spectrum, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"expected finite variances of shape (dim,), got shape {values.shape}")
    if not 0 <= bits < float("inf"):
        raise InputError(f"bits must be a finite number of at least 0, got {bits}")
    positive: NDArray[np.float64] = np.sort(values[values > 0])[::-1]
    for kept in range(len(positive), 1, -1):
        # The level at which exactly ``kept`` components share the bits.
        level = float(np.exp(np.log(positive[:kept]).mean() - 2 * np.log(2) * bits / kept))
        if level <= positive[kept - 1]:
            return kept * level + float(positive[kept:].sum())
    return float(positive[:1].sum() * 4.0**-bits + positive[1:].sum())


def code_bits(needs: StorageNeeds) -> float | None:
    """Bits a vector of what is searched, where its codec decodes it as exactly as the engine scores it.

    None where the engine makes a code of its own from what it is given: turbo datatypes, float16, and second
    copies whose candidates are rescored from the stored vectors.
    """
    if needs.quantization is not None:
        return None if needs.rescore else needs.width * needs.quantization.bits
    bits = _STORED_BITS.get(needs.datatype)
    return None if bits is None else float(needs.width * bits)
