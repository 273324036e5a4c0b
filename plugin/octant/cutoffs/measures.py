"""How well numbers tell relevant candidates from others, over all queries together: what a cutoff is judged by."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs.maps import Real
from octant.records import JSON
from octant.statistics import Estimate

_RESAMPLES = 500


@dataclass(frozen=True)
class Filtering:
    """How well one way of filtering does; shares lie between 0 and 1.

    Attributes
    ----------
    pr_auc : float
        Area under the curve of precision over recall, as average precision over all pairs together; higher is better.
    precision : float
        Of what is kept, at the threshold; higher is better.
    recall : float
        Share of the relevant candidates that is kept there.
    filtered : float
        Share of all candidates that is left out there; higher saves more.
    empty : float
        Share of the queries that keep no candidate there; lower is better.
    """

    pr_auc: float
    precision: float
    recall: float
    filtered: float
    empty: float

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return asdict(self)


class Ordered:
    """All pairs, by one number that says how probably each is relevant.

    Parameters
    ----------
    values : (m, n) float64
        Higher is more probably relevant, across queries; NaN where there is no candidate.
    relevant : (m, n) bool
    """

    def __init__(self, values: Real, relevant: NDArray[np.bool_]) -> None:
        there = ~np.isnan(values)
        order = np.argsort(-values[there], kind="stable")
        self.queries = len(values)
        self.values = values[there][order]
        self.relevant = relevant[there][order].astype(np.float64)
        self.query = np.broadcast_to(np.arange(self.queries)[:, None], values.shape)[there][order]
        # Equal values are one threshold: all of them come before anything is counted.
        self._ends = np.flatnonzero(np.append(np.diff(self.values) != 0, True))

    def pr_auc(self, counts: Real | None = None) -> float:
        """Average precision; each query counts as often as ``counts`` (m,) says."""
        weights = np.ones(len(self.values)) if counts is None else counts[self.query]
        found = np.cumsum(weights * self.relevant)[self._ends]
        kept = np.cumsum(weights)[self._ends]
        if not len(found) or found[-1] == 0:
            return 0.0
        precision = np.divide(found, kept, out=np.zeros_like(found), where=kept > 0)
        return float(np.diff(found, prepend=0.0) @ precision / found[-1])

    def curve(self) -> tuple[Real, Real, Real, Real]:
        """At every distinct value, highest first: the value, precision, recall, and share of candidates kept."""
        found, kept = np.cumsum(self.relevant)[self._ends], self._ends + 1.0
        return self.values[self._ends], found / kept, found / max(self.relevant.sum(), 1), kept / len(self.values)

    def at(self, least: float) -> Filtering:
        """What keeping every value of at least ``least`` does."""
        kept = int(np.searchsorted(-self.values, -least, side="right"))
        found = float(self.relevant[:kept].sum())
        return Filtering(
            pr_auc=self.pr_auc(),
            precision=found / kept if kept else 0.0,
            recall=found / max(float(self.relevant.sum()), 1.0),
            filtered=1 - kept / len(self.values),
            empty=1 - len(np.unique(self.query[:kept])) / self.queries,
        )

    def for_recall(self, wanted: float) -> float:
        """The highest value that still keeps at least the share ``wanted`` of the relevant candidates."""
        values, _, recall, _ = self.curve()
        return float(values[np.argmax(recall >= wanted - 1e-12)])

    def for_precision(self, wanted: float) -> float | None:
        """The lowest value at which precision is at least ``wanted``; None if it never is."""
        values, precision, _, _ = self.curve()
        reached = np.flatnonzero(precision >= wanted - 1e-12)
        return float(values[reached[-1]]) if len(reached) else None


def gain_over(one: Ordered, other: Ordered, *, seed: int = 0) -> Estimate:
    """Difference of the PR-AUC of two numbers for the same pairs, with its 95 % interval over queries."""
    counts = _draws(one.queries, seed)
    differences = np.array([one.pr_auc(row) - other.pr_auc(row) for row in counts])
    low, high = np.quantile(differences, [0.025, 0.975])
    return Estimate(one.pr_auc() - other.pr_auc(), float(low), float(high))


def ratio_to(one: Ordered, other: Ordered, *, seed: int = 0) -> Estimate:
    """PR-AUC of one number, relative to that of another for the same pairs, with its 95 % interval over queries."""
    counts = _draws(one.queries, seed)
    ratios = np.array([one.pr_auc(row) / max(other.pr_auc(row), 1e-12) for row in counts])
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Estimate(one.pr_auc() / max(other.pr_auc(), 1e-12), float(low), float(high))


def calibration_error(probabilities: Real, relevant: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error of ``probabilities`` (m, n), in bins of equal width; 0 is best.

    Examples
    --------
    >>> calibration_error(np.array([[0.5, 0.5]]), np.array([[True, False]]))
    0.0
    """
    there = ~np.isnan(probabilities)
    told, true = probabilities[there], relevant[there]
    place = np.minimum((told * bins).astype(int), bins - 1)
    gaps = np.bincount(place, told - true, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(told), 1))


def _draws(queries: int, seed: int) -> Real:
    rng = np.random.default_rng(seed)
    return rng.multinomial(queries, np.full(queries, 1 / queries), size=_RESAMPLES).astype(np.float64)
