"""What composed binary codes leave to held-out vectors: the shape of the loss, how decoders are held back, the reader.

Short fits on a part of the sample compete on the other part. What is compared is not recall, which needs many
thousands of vectors to tell two good codes apart, but the correlation of estimated and true scores among the best
points of each query: recall follows it, and it is several times as steady.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np

from octant.quantizers.binary_encode import Code
from octant.quantizers.binary_start import rotated_signs
from octant.quantizers.blas import one_thread
from octant.records import FloatArray
from octant.work import QUIET, Work

ETAS = (2.0, 3.0, 4.0, 6.0)
"""Weights of the error along the vector."""
RIDGES = (1e-3, 3e-2)
"""How strongly the decoder's rows are held back, in shares of a bit's own moment."""
SHARES = (0.25, 0.5)
"""Shares of real queries' second moment in the metric, where queries are many."""
TILTS = (0.0, 0.1)
"""Powers of the inverse variance that weigh directions in scores."""
_TRIAL, _HELD_OUT = 6000, 4000
_LEAST_TO_HOLD_OUT = 200
_ASKED, _NEAR = 500, 30


@dataclass(frozen=True)
class Choice:
    """What a fit is told.

    Attributes
    ----------
    eta : float
        Weight of the error along the vector.
    ridge : float
    share : float
        Of the queries' second moment in the metric.
    tilt : float
        Power of the inverse variance in the reader.
    signs : bool
        Plain rotated signs did better than anything learned.
    """

    eta: float = 4.0
    ridge: float = RIDGES[0]
    share: float = 0.0
    tilt: float = 0.0
    signs: bool = False

    def numbers(self) -> FloatArray:
        """The fields as an array, for a checkpoint."""
        return np.array(astuple(self), np.float64).astype(np.float32)

    @classmethod
    def of(cls, numbers: FloatArray) -> Choice:
        """What ``numbers`` gave."""
        eta, ridge, share, tilt, signs = (float(value) for value in numbers)
        return cls(eta, ridge, share, tilt, bool(signs))


Learner = Callable[[FloatArray, Choice, "FloatArray | None"], Code]
"""A short fit: vectors, what it is told, and the metric of the loss."""


def choose(
    x: FloatArray, queries: FloatArray | None, bits: int, learn: Learner, rng: np.random.Generator, work: Work = QUIET
) -> Choice:
    """What does best on vectors of ``x`` (n, dim) that the short fits did not see; the usual where ``x`` is too small.

    One thing at a time: eta, then the queries' share, then the ridge, each with the best tilt; at last rotated signs.
    """
    if len(x) < _LEAST_TO_HOLD_OUT:
        return Choice()
    exam = _Exam.of(x, queries, rng)
    options: list[tuple[str, float]] = [("eta", eta) for eta in ETAS]
    if queries is not None:
        options += [("share", share) for share in SHARES]
    options += [("ridge", ridge) for ridge in RIDGES[1:]]
    best, mark = Choice(), -np.inf
    for name, value in work.steps(options, what=f"binary({bits}): trials"):
        told = replace(best, **{name: value})  # type: ignore[arg-type]
        code = learn(exam.seen, told, metric(exam.known, told.share))
        codes = code.encode(exam.points, sweeps=4)
        for tilt in TILTS:
            reached = exam.mark(codes @ tilted(code, exam.seen, tilt))
            if reached > mark:
                best, mark = replace(told, tilt=tilt), reached
    signs = rotated_signs(exam.seen, bits, rng)
    if signs is not None and exam.mark(signs.encode(exam.points, sweeps=0) @ signs.decoder) > mark:
        return replace(best, tilt=0.0, signs=True)
    return best


def metric(queries: FloatArray | None, share: float) -> FloatArray | None:
    """The identity leaning by ``share`` towards the second moment of ``queries`` (m, dim); None where it does not.

    Few queries say little about all directions, so their share shrinks with ``m / (m + dim)``.
    """
    if queries is None or share == 0:
        return None
    count, dim = queries.shape
    moment = queries.T @ queries
    certain = share * count / (count + dim)
    weights = certain * dim / np.trace(moment) * moment
    weights.flat[:: dim + 1] += 1 - certain
    return np.asarray(weights, np.float32)


@one_thread()
def tilted(code: Code, x: FloatArray, power: float) -> FloatArray:
    """The decoder (bits, dim) with the directions of small variance, which squared error shrinks most, made larger.

    What tells neighbours apart lies in all directions, what a short code keeps is mostly the largest: weighing
    directions by their inverse variance to a small power gives back some of what was lost.
    """
    if power == 0:
        return code.decoder
    centred = x - code.mean
    variances, directions = np.linalg.eigh((centred.T @ centred / len(x)).astype(np.float64))
    weights = np.maximum(variances / variances[-1], 1e-6) ** -power
    return np.asarray((code.decoder @ directions * weights) @ directions.T, np.float32)


@dataclass(frozen=True, eq=False)
class _Exam:
    """Vectors to learn from and others to be judged on.

    Attributes
    ----------
    seen : (n, dim) float32
    known : (m, dim) float32 or None
        Real queries that may be learned from.
    asked : (a, dim) float32
        Queries of the exam: other real ones, or held-out vectors.
    points : (p, dim) float32
        Held-out vectors to find.
    """

    seen: FloatArray
    known: FloatArray | None
    asked: FloatArray
    points: FloatArray

    @classmethod
    def of(cls, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator) -> _Exam:
        shuffled = x[rng.permutation(len(x))]
        held = min(max(len(x) // 4, _LEAST_TO_HOLD_OUT // 2), _HELD_OUT)
        points, seen = shuffled[:held], shuffled[held : held + _TRIAL]
        if queries is None or len(queries) < 2:
            count = min(_ASKED, held // 4)
            return cls(seen, queries, points[:count], points[count:])
        mixed = queries[rng.permutation(len(queries))]
        count = min(_ASKED, len(mixed) // 2)
        return cls(seen, mixed[count:], mixed[:count], points)

    def mark(self, decoded: FloatArray) -> float:
        """Correlation of true scores and those of ``decoded`` (p, dim) among the best points of each query."""
        true = self.asked @ self.points.T
        near = np.argpartition(-true, min(_NEAR, len(self.points) - 1), axis=1)[:, :_NEAR]
        pairs = (np.take_along_axis(scores, near, axis=1) for scores in (true, self.asked @ decoded.T))
        one, other = (part - part.mean(axis=1, keepdims=True) for part in pairs)
        size = float(np.sqrt(np.vdot(one, one) * np.vdot(other, other)))
        return float(np.vdot(one, other)) / size if size > 0 else 0.0
