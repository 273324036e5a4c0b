"""Learn a choice and its confidence from judged queries, and say on others how good both are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.calibration import (
    Bin,
    RiskCoverage,
    area_under_roc,
    brier_score,
    expected_calibration_error,
    reliability,
    risk_coverage,
)
from octant.errors import InputError
from octant.judged import folds
from octant.records import JSON, PointId, Ranking
from octant.selectors.base import DEPTH, WITHIN, Selected, Selector
from octant.selectors.judgements import JudgedSearch, JudgedSearches
from octant.selectors.pool import ndcg
from octant.selectors.signals import Floats
from octant.selectors.weak_retrieval import Calibration, outcomes
from octant.statistics import Estimate, bootstrap_mean, paired_difference

_RESAMPLES = 500
_Measure: TypeAlias = Callable[[Floats, NDArray[np.bool_]], float]


@dataclass(frozen=True)
class CalibrationReport:
    """What was learned, and how it did on queries that it has not seen.

    Attributes
    ----------
    spec : str
        The selector.
    embeddings : tuple of str
    learned_from, held_out : int
        Queries; none in both.
    quality : Estimate
        nDCG@10 of what the selector returns.
    best_single : str
        The embedding that was best on the queries learned from.
    best_single_quality : Estimate
    gain : Estimate
        Of the selector over that embedding, query by query.
    searches : float
        Mean number of embeddings that a query needs.
    event : str
        What the confidences are of.
    share : float
        How often it came true.
    auroc : Estimate or None
        Of the confidences; None where all held-out queries ended alike.
    calibration_error, brier : Estimate
        Lower is better.
    risk : RiskCoverage
        Of answering only the surest; the event not coming true is the risk.
    bins : tuple of Bin
        For a reliability diagram.
    learned : str
        What the selector has learned, in words.
    """

    spec: str
    embeddings: tuple[str, ...]
    learned_from: int
    held_out: int
    quality: Estimate
    best_single: str
    best_single_quality: Estimate
    gain: Estimate
    searches: float
    event: str
    share: float
    auroc: Estimate | None
    calibration_error: Estimate
    brier: Estimate
    risk: RiskCoverage
    bins: tuple[Bin, ...]
    learned: str

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return {
            "selector": self.spec, "embeddings": list(self.embeddings), "learned": self.learned,
            "learned_from": self.learned_from, "held_out": self.held_out, "ndcg@10": self.quality.as_json(),
            "best_single": self.best_single, "best_single_ndcg@10": self.best_single_quality.as_json(),
            "gain": self.gain.as_json(), "searches": self.searches, "event": self.event, "share": self.share,
            "auroc": None if self.auroc is None else self.auroc.as_json(),
            "expected_calibration_error": self.calibration_error.as_json(), "brier": self.brier.as_json(),
            "risk_coverage": [list(pair) for pair in zip(self.risk.coverage, self.risk.risk, strict=True)],
            "risk_coverage_area": self.risk.area,
            "reliability": [
                {"low": one.low, "high": one.high, "count": one.count, "confidence": one.confidence, "share": one.share}
                for one in self.bins
            ],
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What came out.

    Attributes
    ----------
    selector : Selector
        Learned from all queries, with the calibration.
    calibration : Calibration
        From all queries too.
    report : CalibrationReport
        Of a twin that has seen only a part of them.
    """

    selector: Selector
    calibration: Calibration
    report: CalibrationReport


def calibrate(
    selector: Selector,
    judged: JudgedSearches,
    *,
    within: int = WITHIN,
    held_out: float = 0.3,
    depth: int = DEPTH,
    seed: int = 0,
) -> Calibrated:
    """Learn on one part of the queries, report on the other, then learn on all of them.

    Parameters
    ----------
    selector : Selector
        Of any kind; what it has learned before is not used.
    judged : JudgedSearches
        At least 60 or so with something judged relevant: the detector needs 40 of those it learns from.
    within : int
        Of how many first passages one must be relevant.
    held_out : float
        Share of the queries that the report is about, between 0 and 1; groups stay together.
    depth : int
        Candidates of each embedding that are looked at.
    seed : int
        Of the split and of the folds.

    Raises
    ------
    InputError
        If there are too few judged queries on either side.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out must lie between 0 and 1, got {held_out}")
    useful = judged.judged(least=2)
    parts = max(2, round(1 / held_out)) if held_out <= 0.5 else max(2, round(1 / (1 - held_out)))
    fold = folds([one.group for one in useful], parts, seed=seed) == 0
    test = np.flatnonzero(fold if held_out <= 0.5 else ~fold)
    train = np.flatnonzero(~fold if held_out <= 0.5 else fold)
    if not len(test) or not len(train):
        raise InputError("the queries cannot be split: they are all of one group")
    twin, detector = _learned(selector, useful.at(train), within, depth, seed)
    report = _report(twin, detector, useful.at(train), useful.at(test))
    whole, calibration = _learned(selector, useful, within, depth, seed)
    return Calibrated(whole.using(calibration=calibration, corpus=judged.corpus), calibration, report)


def _learned(
    selector: Selector, judged: JudgedSearches, within: int, depth: int, seed: int
) -> tuple[Selector, Calibration]:
    several = len(judged.embeddings) > 1
    twin: Selector = selector
    if several and selector.learns:
        twin = selector.learn(judged, depth=depth, seed=seed)
    return twin, Calibration.learn(judged, twin, within=within, seed=seed)


def _report(
    selector: Selector, detector: Calibration, seen: JudgedSearches, fresh: JudgedSearches
) -> CalibrationReport:
    names = seen.embeddings
    checked = selector.using(calibration=detector, corpus=fresh.corpus)
    best = max(names, key=lambda name: _mean([_alone(one.rankings.get(name), one.gains) for one in seen]))
    done = [_searched(checked, one) for one in fresh]
    ours = [ndcg(one.ranking.ids, query.gains) for one, query in zip(done, fresh, strict=True)]
    single = [_alone(one.rankings.get(best), one.gains) for one in fresh]
    confidences = np.array([one.decision.confidence for one in done])
    events = outcomes(fresh, selector, detector.within)
    learned = "nothing" if selector.learned is None else selector.learned.report.learned
    return CalibrationReport(
        repr(selector), names, len(seen), len(fresh), bootstrap_mean(ours), best, bootstrap_mean(single),
        paired_difference(ours, single), _mean([one.decision.cost["searches"] for one in done]), detector.event,
        float(events.mean()), _resampled(area_under_roc, confidences, events),
        _sure(_resampled(expected_calibration_error, confidences, events)),
        _sure(_resampled(brier_score, confidences, events)), risk_coverage(confidences, ~events),
        reliability(confidences, events), learned,
    )  # fmt: skip


def _searched(selector: Selector, one: JudgedSearch) -> Selected:
    """As it would be searched: a cascade asks for what it needs, and its cost is that."""
    return selector.search(lambda names, _: one.rankings.only(*names), tuple(one.rankings))


def _alone(ranking: Ranking | None, gains: Mapping[PointId, float]) -> float:
    return ndcg(ranking.ids, gains) if ranking else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _resampled(measure: _Measure, confidences: Floats, events: NDArray[np.bool_]) -> Estimate | None:
    """``measure`` with its bootstrap interval; None where all events are alike and it cannot be."""
    try:
        value = measure(confidences, events)
    except InputError:
        return None
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(events), len(events))
        try:
            drawn.append(measure(confidences[rows], events[rows]))
        except InputError:
            continue
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def _sure(estimate: Estimate | None) -> Estimate:
    if estimate is None:
        raise InputError("expected held-out queries, got none")
    return estimate
