"""How many candidates a coarse stage must hand to a fine one, from what was measured about the two.

**The law.** Take a collection at random apart and keep a share ``r`` of its points. Of the ``k / r`` nearest points
``k`` are left on average, and of the ``d`` points that the coarse stage ranks first, ``r d``. So the depth at which the
coarse ranking holds a given share of the true neighbours, in multiples of ``k``, is a function of the selectivity
``k / n`` alone: what 3,000 points say about the nearest one holds for the ten nearest of 30,000. Small ``k`` need a
few candidates more, because the number of points that get in between scatters; that is about a constant::

    depth(k, n) = slack + k factor(k / n)

Toward smaller ``k / n`` than were measured, ``factor - 1``, the intruders per neighbour, is continued as a power law
with the slope at the end of the curve, between a third and one. One is the slope of a fixed rate of intruders, whose
number grows with the collection; real neighbours lie the closer the more points there are, and curves of real vectors
rise with a third to a half.

``tests/benchmarks/two_stage.py --law`` compares the law with collections of 3,000 to 27,000 documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError

DEFAULT_COVERAGE = 0.99
"""Share of the fine stage's own answers that a two-stage search finds unless asked otherwise."""
MOST_CANDIDATES = 5_000
"""More are never read for one query, unless more answers are wanted: each is a random access to cold codes."""
TARGETS = (0.9, 0.95, 0.98, 0.99, 0.995)
RANKS = (1, 2, 5, 10, 20, 50, 100)
"""Numbers of neighbours, ``k``, that depths are measured for."""

FEW_POINTS = 500
"""As few as this are all read where nothing was measured: it costs next to nothing, and guesses may be wrong."""

_FLATTEST, _STEEPEST = 1 / 3, 1.0
_FEWEST = 0.1
"""Intruders per neighbour at the end of a curve, at least: none among few queries is not none at all."""
_ASSUMED_POINTS = 27_000
_ASSUMED_SHARES = (0.35, 0.5, 0.8, 1.0, 1.3)
"""Depth beyond ``k`` at each of TARGETS, relative to that at .99; typical of binary codes of real embeddings."""


@dataclass(frozen=True)
class CoverageCurve:
    """How deep in the coarse ranking the neighbours that the fine stage ranks first lie.

    Attributes
    ----------
    source : {"held-out", "fitted", "assumed"}
        Measured on vectors that no codec learned from; on those they learned from, which flatters; or not measured:
        a typical curve through the codec's own oversampling.
    points, queries : int
        What was measured on; 0 queries where nothing was.
    targets : tuple of float
        Shares of the neighbours.
    ranks : tuple of int
        Numbers of neighbours, ascending.
    factors : tuple of tuple of float
        For each target and rank, candidates per neighbour at the selectivity ``rank / points``.
    slack : tuple of float
        For each target, candidates beside those.
    """

    source: Literal["held-out", "fitted", "assumed"]
    points: int
    queries: int
    targets: tuple[float, ...]
    ranks: tuple[int, ...]
    factors: tuple[tuple[float, ...], ...]
    slack: tuple[float, ...]

    def candidates(self, limit: int, points: int, coverage: float = DEFAULT_COVERAGE) -> int:
        """Candidates to read for ``limit`` answers among ``points``.

        Parameters
        ----------
        limit : int
            Answers wanted, offset included.
        points : int
            In the collection; 0 where unknown.
        coverage : float
            Share of the fine stage's own ``limit`` best answers that shall be among the candidates on average, over
            queries like the measured ones.

        Returns
        -------
        int
            At least ``limit``; at most ``MOST_CANDIDATES`` or ``limit`` if that is more, and never more than there are
            points to read. All of them where there are few and the curve is assumed.

        Notes
        -----
        Qdrant cuts the candidates of all segments of a shard to one list of that length, however many segments there
        are, so segments do not enter. Every shard of a cluster reads as many: more is covered then, never less.

        Examples
        --------
        >>> curve = CoverageCurve.assumed(8.0)
        >>> curve.candidates(10, 27_000), curve.candidates(10, 1_000_000), curve.candidates(10, 60)
        (83, 275, 60)
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage must lie between 0 and 1, got {coverage}: 0.99 is the default")
        if self.source == "assumed" and 0 < points <= FEW_POINTS:
            return max(limit, points)
        bound = max(limit, MOST_CANDIDATES if points < 1 else min(MOST_CANDIDATES, points))
        return min(bound, max(limit, ceil(self.depth(limit, points or self.points, coverage) - 1e-9)))

    def depth(self, limit: int, points: int, coverage: float = DEFAULT_COVERAGE) -> float:
        """The same before it is bounded and made whole."""
        selectivity = min(1.0, limit / max(points, 1))
        depths = [
            slack + limit * _factor(selectivity, [rank / self.points for rank in self.ranks], factors)
            for slack, factors in zip(self.slack, self.factors, strict=True)
        ]
        return _at_target(coverage, self.targets, depths)

    def to_json(self) -> dict[str, Any]:
        """The curve as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CoverageCurve:
        """The curve that ``to_json`` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If ``value`` is not one.
        """
        targets, ranks = tuple(map(float, value["targets"])), tuple(map(int, value["ranks"]))
        factors = tuple(tuple(map(float, row)) for row in value["factors"])
        slack, points = tuple(map(float, value["slack"])), int(value["points"])
        numbers = (*targets, *ranks, *slack, *(factor for row in factors for factor in row))
        if (
            points < 1
            or len(targets) < 2
            or not ranks
            or {len(slack), len(factors)} != {len(targets)}
            or {len(row) for row in factors} != {len(ranks)}
            or not np.isfinite(numbers).all()
            or min(ranks) < 1
            or min(map(min, factors)) <= 0
        ):
            raise ValueError("a coverage curve has a positive factor for every target and rank, and a slack a target")
        return cls(value["source"], points, int(value["queries"]), targets, ranks, factors, slack)

    @classmethod
    def assumed(cls, oversampling: float) -> CoverageCurve:
        """A typical curve that reads ``oversampling`` candidates an answer for 10 of 27,000 at a coverage of .99."""
        selectivities = np.array(RANKS) / _ASSUMED_POINTS
        growth = (selectivities / (10 / _ASSUMED_POINTS)) ** -_FLATTEST
        factors = tuple(
            tuple(np.maximum(1.0, 1 + (oversampling * growth - 1) * share).tolist()) for share in _ASSUMED_SHARES
        )
        return cls("assumed", _ASSUMED_POINTS, 0, TARGETS, RANKS, factors, tuple(3.0 * s for s in _ASSUMED_SHARES))

    @classmethod
    def measured(
        cls,
        coarse: NDArray[np.int64],
        fine: NDArray[np.int64],
        points: int,
        *,
        source: Literal["held-out", "fitted"],
        rng: np.random.Generator,
    ) -> CoverageCurve:
        """The curve behind the two rankings of the same points.

        Parameters
        ----------
        coarse : (m, depth) int
            For every query the points that the coarse stage ranks first, best first; -1 where there are no more.
        fine : (m, 2 * max(RANKS)) int
            The same of the fine stage; fewer columns measure fewer ranks.
        points : int
            Points that were ranked, numbered from 0.
        source : {"held-out", "fitted"}
        rng : Generator
            Of the halves that ``slack`` is measured by.
        """
        ranks = tuple(rank for rank in RANKS if 2 * rank <= fine.shape[1] and rank <= points // 4) or (1,)
        everything = _depths(coarse, fine, np.ones(points, bool), ranks)
        slack = _slack(coarse, fine, points, everything, ranks, rng)
        factors = np.maximum(1.0, (everything - slack[:, None]) / np.array(ranks))
        # What the few neighbours of small k say is noisy; rarer neighbours are never easier to find.
        factors = np.maximum.accumulate(factors[:, ::-1], axis=1)[:, ::-1]
        return cls(
            source, points, len(coarse), TARGETS, ranks,
            tuple(tuple(row) for row in np.round(factors, 3).tolist()), tuple(np.round(slack, 3).tolist()),
        )  # fmt: skip


# -- reading a curve -----------------------------------------------------------------------------


def _factor(selectivity: float, measured: Sequence[float], factors: Sequence[float]) -> float:
    if selectivity >= measured[0]:
        return float(np.exp(np.interp(np.log(selectivity), np.log(measured), np.log(factors))))
    intruders = np.maximum(np.array(factors) - 1, _FEWEST)
    middle = len(measured) // 2
    slope = _FLATTEST
    if middle:
        slope = float(np.log(intruders[0] / intruders[middle]) / np.log(measured[middle] / measured[0]))
    return 1 + float(intruders[0] * (measured[0] / selectivity) ** np.clip(slope, _FLATTEST, _STEEPEST))


def _at_target(coverage: float, targets: Sequence[float], depths: Sequence[float]) -> float:
    """Depths are about a straight line in the logarithms of depth and of what is missed."""
    missed, logs = -np.log1p(-np.array(targets)), np.log(np.maximum.accumulate(depths))
    wanted = -np.log1p(-coverage)
    if wanted > missed[-1]:
        # The last step alone is noisy, and a flat one would say that nothing more is missed.
        slope = max((logs[-1] - logs[place]) / (missed[-1] - missed[place]) for place in (-2, 0))
        return float(np.exp(logs[-1] + slope * (wanted - missed[-1])))
    return float(np.exp(np.interp(wanted, missed, logs)))


# -- measuring one -------------------------------------------------------------------------------


def _depths(
    coarse: NDArray[np.int64], fine: NDArray[np.int64], kept: NDArray[np.bool_], ranks: Sequence[int]
) -> NDArray[np.float64]:
    """Depths (targets, ranks) among the ``kept`` (points,) points."""
    places = _places(coarse, fine, kept, max(ranks))
    columns = [np.quantile(places[:, :rank], TARGETS, method="inverted_cdf") for rank in ranks]
    return np.stack(columns, axis=1).astype(np.float64)


def _places(
    coarse: NDArray[np.int64], fine: NDArray[np.int64], kept: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Coarse ranks (m, count), from 1, of the ``count`` kept points that the fine stage ranks first."""
    places = np.empty((len(coarse), count), np.int64)
    rank_of = np.empty(len(kept), np.int64)
    for row, (first, true) in enumerate(zip(coarse, fine, strict=True)):
        ranked = first[first >= 0]
        ranked = ranked[kept[ranked]]
        rank_of[:] = len(ranked) + 1  # deeper than was looked: the least it can be
        rank_of[ranked] = np.arange(1, len(ranked) + 1)
        true = true[true >= 0]
        true = true[kept[true]][:count]
        places[row, : len(true)] = rank_of[true]
        places[row, len(true) :] = rank_of[true[-1]] if len(true) else 1
    return places


def _slack(
    coarse: NDArray[np.int64],
    fine: NDArray[np.int64],
    points: int,
    depths: NDArray[np.float64],
    ranks: Sequence[int],
    rng: np.random.Generator,
    halvings: int = 4,
) -> NDArray[np.float64]:
    """What is left of a depth beside ``k factor``: half the points and half of ``k`` keep ``factor``, and so tell."""
    pairs = [(position, rank // 2) for position, rank in enumerate(ranks) if rank in (2, 10, 20, 50, 100)]
    if not pairs:
        return np.zeros(len(TARGETS))
    halved = []
    for _ in range(halvings):
        kept = np.zeros(points, bool)
        kept[rng.permutation(points)[: points // 2]] = True
        halved.append(_depths(coarse, fine, kept, [half for _, half in pairs]))
    full = depths[:, [position for position, _ in pairs]]
    estimates = 2 * np.mean(halved, axis=0) - full
    return np.asarray(np.maximum(0.0, np.median(estimates[:, : max(1, len(pairs) - 2)], axis=1)), np.float64)
