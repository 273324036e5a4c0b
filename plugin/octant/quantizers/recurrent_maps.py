"""The maps of recurrent binary codes, and the recurrence itself, in numpy: what serves after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octant.records import FloatArray


@dataclass(frozen=True, eq=False)
class Maps:
    """Several maps of one shape, ``x -> A x + a + MLP(x)``; either part may be absent.

    The MLP is ``blocks`` times a linear layer and ReLU, then a linear layer. Batch normalisation is folded into the
    layer before it. The last column of every matrix is its bias.

    Attributes
    ----------
    skip : (maps, out, in + 1) or (maps, 0, in + 1) float32
        ``A`` and ``a``.
    first : (maps, hidden, in + 1) float32
        ``hidden`` is 0 where there is no MLP.
    middle : (maps, blocks - 1, hidden, hidden + 1) float32
    last : (maps, out, hidden + 1) float32
    """

    skip: FloatArray
    first: FloatArray
    middle: FloatArray
    last: FloatArray

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]], prefix: str) -> Maps:
        """The maps that :meth:`arrays` named."""
        return cls(*(np.asarray(state[f"{prefix}_{field.name}"], np.float32) for field in fields(cls)))

    def arrays(self, prefix: str) -> dict[str, FloatArray]:
        """The matrices by name, ``prefix`` first."""
        return {f"{prefix}_{field.name}": getattr(self, field.name) for field in fields(self)}

    def __len__(self) -> int:
        return len(self.skip)

    def __call__(self, which: int, x: FloatArray) -> FloatArray:
        """Map number ``which`` of ``x`` (n, in): (n, out)."""
        out = np.zeros((len(x), self.last.shape[1]), np.float32)
        if self.skip.shape[1]:
            out += _affine(self.skip[which], x)
        if self.first.shape[1]:
            hidden = np.maximum(_affine(self.first[which], x), 0)
            for layer in self.middle[which]:
                hidden = np.maximum(_affine(layer, hidden), 0)
            out += _affine(self.last[which], hidden)
        return out


def _affine(matrix: FloatArray, x: FloatArray) -> FloatArray:
    return np.asarray(x @ matrix[:, :-1].T + matrix[:, -1], np.float32)


def names(prefix: str) -> tuple[str, ...]:
    """What :meth:`Maps.arrays` calls its arrays."""
    return tuple(f"{prefix}_{field.name}" for field in fields(Maps))


def recurrent_signs(code: Maps, back: Maps, x: FloatArray) -> FloatArray:
    """Signs (n, loops + 1, dim) of ``x`` (n, in) by the recurrence of arXiv:2302.08714, one plane after another.

    ``b = s_0 + s_1 / 2 + s_2 / 4 ...`` with ``s_0 = sign W(x)`` and ``s_(i+1) = sign R_i(x - B_i(b) / |B_i(b)|)``: the
    residual is always that of ``x`` itself, after all of ``b`` so far.
    """
    planes = [_sign(code(0, x))]
    b = planes[0]
    for loop in range(len(back)):
        planes.append(_sign(code(loop + 1, x - unit(back(loop, b)))))
        b = b + np.float32(0.5 ** (loop + 1)) * planes[-1]
    return np.stack(planes, axis=1)


def composed(signs: FloatArray) -> FloatArray:
    """Codes ``b`` (n, dim) of ``signs`` (n, loops + 1, dim): odd multiples of ``2^-loops``."""
    weights = np.float32(0.5) ** np.arange(signs.shape[1], dtype=np.float32)
    return np.asarray(np.einsum("nld,l->nd", signs, weights), np.float32)


def unit(x: FloatArray) -> FloatArray:
    """Rows of ``x`` at unit length; rows of zeros stay."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norms == 0, 1, norms), np.float32)


def _sign(z: FloatArray) -> FloatArray:
    return np.where(z >= 0, 1, -1).astype(np.float32)
