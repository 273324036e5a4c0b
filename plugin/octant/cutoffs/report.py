"""What a cutoff was measured to do on queries that it had not seen, beside the controls that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.cutoffs import controls
from octant.cutoffs.maps import Real, probability
from octant.cutoffs.measures import Filtering, Ordered, calibration_error
from octant.cutoffs.pairs import Pairs
from octant.cutoffs.training import Choice
from octant.errors import InputError
from octant.records import JSON
from octant.trained import Figure, TrainingReport

REPORTED_RECALL = 0.95
_POINTS = 200


@dataclass(frozen=True, eq=False)
class Curve:
    """What every threshold did on held-out queries, highest first.

    Attributes
    ----------
    least, precision, recall, filtered, empty : (p,) float64
        The probability from which candidates are kept, and the shares of a :class:`Filtering` there.
    """

    least: Real
    precision: Real
    recall: Real
    filtered: Real
    empty: Real

    @classmethod
    def of(cls, odds: Real, relevant: NDArray[np.bool_]) -> Curve:
        """The curve of log-odds (m, n), at points evenly spread over recall and over what is kept."""
        pairs = Ordered(odds, relevant)
        values, _, recall, kept = pairs.curve()
        wanted = np.linspace(0, 1, _POINTS)
        chosen = np.unique(np.concatenate([np.searchsorted(recall, wanted), np.searchsorted(kept, wanted)]))
        values = values[np.minimum(chosen, len(values) - 1)]
        at = [pairs.at(value) for value in values]
        columns = [[getattr(point, name) for point in at] for name in ("precision", "recall", "filtered", "empty")]
        # A hair less: the way back to log-odds must not round a threshold above the pair that it was chosen by.
        return cls(probability(values) * (1 - 1e-12), *map(np.asarray, columns))

    def for_recall(self, wanted: float) -> float:
        """The highest probability that kept at least ``wanted`` of the relevant candidates."""
        return float(self.least[np.argmax(self.recall >= min(wanted, self.recall[-1]) - 1e-12)])

    def for_precision(self, wanted: float) -> float:
        """The lowest probability from which precision was at least ``wanted``.

        Raises
        ------
        InputError
            If it never was.
        """
        reached = np.flatnonzero(self.precision >= wanted - 1e-12)
        if not len(reached):
            raise InputError(
                f"no threshold reached a precision of {wanted:g} on held-out queries, the best was "
                f"{self.precision.max():.3f}: ask for less, or choose by recall"
            )
        return float(self.least[reached[-1]])

    def at(self, least: float, pr_auc: float) -> Filtering:
        """What keeping probabilities of at least ``least`` did, by the nearest threshold that keeps no more."""
        kept = int(np.searchsorted(-self.least, -least, side="right")) - 1
        if kept < 0:
            return Filtering(pr_auc, 0.0, 0.0, 1.0, 1.0)
        columns = (self.precision, self.recall, self.filtered, self.empty)
        return Filtering(pr_auc, *(float(column[kept]) for column in columns))

    def as_array(self) -> Real:
        """All columns (5, p)."""
        return np.stack([self.least, self.precision, self.recall, self.filtered, self.empty])

    @classmethod
    def from_array(cls, values: Real) -> Curve:
        """The curve that :meth:`as_array` gave; ValueError for anything else."""
        if not values.size or values.min() < 0 or values.max() > 1:
            raise ValueError("a curve holds shares")
        return cls(*values)


@dataclass(frozen=True, eq=False)
class CutoffReport:
    """Figures of one training, by queries that were not fitted on.

    Attributes
    ----------
    queries, pairs, relevant : int
        Judged queries, their candidates, and how many of these are relevant.
    labels : str
        Where relevance comes from.
    chosen : str
        What the map is and what it reads, in words.
    rows : mapping from name to Filtering
        ``"cutoff"`` and the controls ``"fixed threshold"``, ``"fixed k"``, ``"z-score"``; each at the threshold that
        keeps 95 % of the relevant candidates.
    calibration_error : float
        Expected calibration error of the probabilities; 0 is best.
    curve : Curve
    """

    queries: int
    pairs: int
    relevant: int
    labels: str
    chosen: str
    rows: Mapping[str, Filtering]
    calibration_error: float
    curve: Curve

    def as_json(self) -> dict[str, JSON]:
        """JSON values, without the curve."""
        return {
            "queries": self.queries, "pairs": self.pairs, "relevant": self.relevant, "labels": self.labels,
            "chosen": self.chosen, "calibration_error": self.calibration_error,
            "rows": [[name, row.as_json()] for name, row in self.rows.items()],
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, JSON], curve: Curve) -> CutoffReport:
        """The report that :meth:`as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        rows = {str(name): Filtering(**row) for name, row in value["rows"]}
        if "cutoff" not in rows:
            raise ValueError("the report has no row of the cutoff")
        return cls(
            int(value["queries"]), int(value["pairs"]), int(value["relevant"]), str(value["labels"]),
            str(value["chosen"]), rows, float(value["calibration_error"]), curve,
        )  # fmt: skip

    def __str__(self) -> str:
        """A table for people."""
        header = f"{'':<16} {'PR-AUC':>7} {'P@R95':>7} {'filtered':>9} {'empty':>7}"
        lines = [
            f"{name:<16} {row.pr_auc:7.4f} {row.precision:7.4f} {row.filtered:9.1%} {row.empty:7.1%}"
            for name, row in self.rows.items()
        ]
        return "\n".join([header, *lines])


def measured(pairs: Pairs, chosen: Choice, curve: Curve, *, probe: int, labels: str, relevant: float) -> CutoffReport:
    """The figures of a training."""
    ways = {
        "cutoff": chosen.unseen,
        "fixed threshold": controls.fixed_threshold(pairs.scores),
        "fixed k": controls.fixed_k(pairs.scores),
        "z-score": controls.z_score(pairs.scores, probe or None),
    }
    rows = {}
    for name, values in ways.items():
        ordered = Ordered(values, pairs.relevant)
        rows[name] = ordered.at(ordered.for_recall(REPORTED_RECALL))
    shape = chosen.fitted.shape
    reads = ["the query's vector"] * shape.vector + [f"its best {shape.probe} scores"] * bool(shape.probe)
    words = "one map for all queries" if shape.fixed else f"a {shape.family} map by {' and '.join(reads)}"
    names = {
        "judgements": "judgements",
        "teacher": "a teacher's answers",
        "source": "the documents that questions came from",
    }
    return CutoffReport(
        len(pairs), int(pairs.there.sum()), int(pairs.relevant.sum()),
        f"{names[labels]} with a gain of at least {relevant:g}", words, rows,
        calibration_error(probability(chosen.unseen), pairs.relevant), curve,
    )  # fmt: skip


def training_report(told: CutoffReport, chosen: Choice) -> TrainingReport:
    """The same in the words of every trained part."""
    before, after = told.rows["fixed threshold"], told.rows["cutoff"]
    fixed = chosen.fitted.shape.fixed
    remarks = [
        f"labels: {told.labels}; {told.relevant:,} of {told.pairs:,} candidates are relevant",
        f"keeping 95 % of the relevant candidates leaves out {after.filtered:.1%} of all "
        f"({before.filtered:.1%} by a fixed threshold) and {after.empty:.1%} of the queries without any "
        f"({before.empty:.1%}); precision {after.precision:.4f} ({before.precision:.4f})",
        "recall is of what the search found",
    ]
    if fixed:
        remarks.append("no network was surely better than a fixed threshold, so it is a fixed threshold")
    return TrainingReport(
        learned=f"a cutoff with {told.chosen}, chosen among {chosen.tried} recipes",
        fitted_on=told.queries, validated_on=told.queries,
        figures=(Figure("PR-AUC", before.pr_auc, after.pr_auc, chosen.gain),), remarks=tuple(remarks), crossed=True,
    )  # fmt: skip
