"""The weak-retrieval detector: how probable it is that something relevant was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from octant.calibration import Calibrator, Logistic, area_under_roc, brier_score, fit_calibrator, fit_logistic
from octant.decision import Decision
from octant.errors import InputError
from octant.judged import folds
from octant.rankings import Rankings
from octant.records import JSON, EmbeddingIdentity, Ranking
from octant.selectors import evidence
from octant.selectors.judgements import JudgedSearches
from octant.selectors.learned import as_json, check_models, from_json
from octant.selectors.signals import Floats
from octant.statistics import bootstrap_mean
from octant.trained import Figure, Origin, TrainedPart, TrainingReport

if TYPE_CHECKING:
    from octant.selectors.base import Selector

LEAST = 40
"""Judged queries below which no detector is learned; one that was learned elsewhere is recalibrated from 20 on."""
SPEC = "weak retrieval"
"""The place it has among what is attached to a collection: one for all selectors, the last that was attached."""
_SETS: Mapping[str, tuple[str, ...]] = {
    "top scores": ("top score", "gap to the 10th"),
    "dispersion": evidence.DISPERSION,
    "scores": ("top score", "gap", "gap to the 10th", *evidence.DISPERSION, "entropy"),
    "scores and agreement": ("top score", "gap to the 10th", *evidence.DISPERSION, *evidence.OF_SEVERAL),
    "everything": tuple(evidence.EVERY),
}
"""Which signals to use is chosen by cross-validation, and so is how much to shrink."""
_RIDGES = (1.0, 10.0, 50.0)
_FOLDS, _ROUNDS = 5, 2


class Calibration(TrainedPart):
    """Signals into the probability that a relevant passage is among the first few, calibrated for one collection.

    A logistic regression on signals whose signs are known beforehand, and Platt's sigmoid (isotonic from 500 labels)
    on its held-out values. Probabilities belong to the collection they were calibrated on: elsewhere they may be off
    by up to .5, every decision says so, and :meth:`recalibrated` mends it with 20 labels or more.

    Parameters
    ----------
    origin : Origin
    identities : mapping from embedding to EmbeddingIdentity or None
        Which model is behind each name.
    within : int
        How many passages are looked at.
    model : Logistic
        Over the signals of each embedding, (embeddings * signals) features.
    calibrator : Calibrator
        From its logits to probabilities.
    corpus : str or None
        The collection whose labels the calibrator has seen.
    """

    kind = "calibration"

    def __init__(
        self,
        origin: Origin,
        identities: Mapping[str, EmbeddingIdentity | None],
        within: int,
        model: Logistic,
        calibrator: Calibrator,
        corpus: str | None,
    ) -> None:
        super().__init__(origin)
        self.identities, self.within, self.corpus = dict(identities), within, corpus
        self.model, self.calibrator = model, calibrator

    # -- learning ------------------------------------------------------------------------------

    @classmethod
    def learn(
        cls,
        judged: JudgedSearches,
        selector: Selector,
        *,
        within: int = 5,
        seed: int = 0,
    ) -> Self:
        """Learn to tell weak retrievals of ``selector`` from others.

        Parameters
        ----------
        judged : JudgedSearches
            At least 40 queries with something judged relevant; 200 make intervals narrow.
        selector : Selector
            Whose rankings are looked at.
        within : int
            How many passages must hold a relevant one.
        seed : int
            Of the folds.

        Raises
        ------
        InputError
            If there are too few judged queries, or too few that succeed or fail.
        """
        if isinstance(within, bool) or not isinstance(within, int) or within < 1:
            raise InputError(f"within must be a whole number of at least 1, got {within!r}")
        useful = judged.judged(least=LEAST)
        names = useful.embeddings
        features, events = features_of(useful, names), outcomes(useful, selector, within)
        groups = tuple(one.group for one in useful)
        chosen, logits = _chosen(features, events, groups, len(names), seed)
        calibrator = fit_calibrator(logits, events)
        model = _fitted(features, events, chosen, len(names))
        report = _report(f"{chosen[0]} ({', '.join(names)})", calibrator.probabilities(logits), events)
        origin = Origin(SPEC, None, "", report, {} if judged.corpus is None else {judged.corpus: report})
        return cls(origin, _identities(names, judged), within, model, calibrator, judged.corpus)

    def recalibrated(self, judged: JudgedSearches, selector: Selector) -> Self:
        """The same detector with probabilities for another collection, learned from at least 20 judged queries.

        Raises
        ------
        InputError
            If there are too few, or too few that succeed or fail.
        MismatchError
            If the queries were asked of other embeddings.
        """
        useful = judged.judged(least=20)
        self.check_models({name: judged.identities.get(name) for name in useful.embeddings})
        events = outcomes(useful, selector, self.within)
        logits = self.model.logits(features_of(useful, tuple(self.identities)))
        calibrator = fit_calibrator(logits, events)
        report = _report("recalibrated", calibrator.probabilities(logits), events)
        corpora = {**self.origin.corpora, **({} if judged.corpus is None else {judged.corpus: report})}
        origin = replace(self.origin, report=report, corpora=corpora)
        return type(self)(origin, self.identities, self.within, self.model, calibrator, judged.corpus)

    # -- use -----------------------------------------------------------------------------------

    def probability(self, rankings: Rankings | Mapping[str, Ranking]) -> float:
        """Of a relevant passage among the first ``within``; 0 where nothing was found.

        Raises
        ------
        MismatchError
            If an embedding is not one of those it was made for.
        """
        found = Rankings({name: ranking for name, ranking in rankings.items() if ranking})
        self.check_models(dict.fromkeys(found))
        return self.calibrator.probability(self._logit(found)) if found else 0.0

    def applied(self, decision: Decision, found: Rankings, *, corpus: str | None) -> Decision:
        """``decision`` with this probability as its confidence, and whether it can be believed."""
        logit = self._logit(found)
        low, high = self.calibrator.interval(logit)
        told = {**decision.evidence, "confidence interval": [round(low, 4), round(high, 4)]}
        sure = replace(
            decision, confidence=self.calibrator.probability(logit), estimates=self.event, evidence=told,
            calibrated=f"{self.calibrator.labels} judged queries of this collection",
        )  # fmt: skip
        if corpus == self.corpus:
            return sure
        where = "another collection" if corpus is not None else "a collection, and nobody says that it is this one"
        return replace(sure, calibrated=None).remarking(
            f"the confidence was calibrated on {where}: it has not been recalibrated here, and may be far off"
        )

    def check_models(self, identities: Mapping[str, EmbeddingIdentity | None]) -> None:
        """Refuse embeddings that it was not made for.

        Raises
        ------
        MismatchError
            Naming both.
        """
        check_models(self.kind, self.spec, self.identities, identities)

    @property
    def event(self) -> str:
        """What the probability is of."""
        return event_of(self.within)

    def _logit(self, found: Rankings) -> float:
        names = tuple(self.identities)
        table = evidence.table(evidence.of_rankings(found), names, tuple(evidence.EVERY))
        return float(self.model.logits(table.reshape(1, -1))[0])

    # -- its file ------------------------------------------------------------------------------

    @property
    def header(self) -> Mapping[str, JSON]:
        """Embeddings, event and calibrator."""
        return {
            "identities": as_json(self.identities), "order": list(self.identities), "within": self.within,
            "corpus": self.corpus, "intercept": self.model.intercept, "calibrator": self.calibrator.as_json(),
        }  # fmt: skip

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The regression."""
        return {"weights": self.model.weights, "mean": self.model.mean, "scale": self.model.scale}

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The part that has this header and these arrays.

        Raises
        ------
        KeyError, TypeError, ValueError
            If they are not what this part writes.
        """
        known = from_json(header["identities"])
        identities = {str(name): known[name] for name in header["order"]}
        width = (len(identities) * len(evidence.EVERY),)
        weights, mean, scale = (np.asarray(arrays[name], np.float64) for name in ("weights", "mean", "scale"))
        fit = all(one.shape == width and np.isfinite(one).all() for one in (weights, mean, scale))
        if not identities or not fit or not (scale > 0).all() or not np.isfinite(header["intercept"]):
            raise ValueError("these are not the numbers of a calibration")
        model = Logistic(weights, float(header["intercept"]), mean, scale)
        corpus = None if header["corpus"] is None else str(header["corpus"])
        calibrator = Calibrator.from_json(header["calibrator"])
        return cls(origin, identities, int(header["within"]), model, calibrator, corpus)


def event_of(within: int) -> str:
    """The event in words."""
    return f"a relevant passage is among the first {within}"


def outcomes(judged: JudgedSearches, selector: Selector, within: int) -> NDArray[np.bool_]:
    """Whether a relevant passage is among the first ``within`` that ``selector`` gives, (q,)."""
    found = [selector.select(one.rankings, within).ranking.ids for one in judged]
    return np.array(
        [any(one.gains.get(point, 0.0) > 0 for point in ids) for one, ids in zip(judged, found, strict=True)], bool
    )


def _identities(names: Sequence[str], judged: JudgedSearches) -> dict[str, EmbeddingIdentity | None]:
    return {name: judged.identities.get(name) for name in names}


def features_of(judged: JudgedSearches, names: Sequence[str]) -> Floats:
    """Signals (q, embeddings * signals)."""
    every = tuple(evidence.EVERY)
    rows = []
    for one in judged:
        found = Rankings({name: one.rankings[name] for name in names if one.rankings.get(name)}, {}, one.rankings.query)
        rows.append(evidence.table(evidence.of_rankings(found), names, every).ravel())
    return np.stack(rows)


def _fitted(features: Floats, events: NDArray[np.bool_], chosen: tuple[str, float], embeddings: int) -> Logistic:
    """The regression on the chosen signals; the others keep a weight of 0."""
    names, ridge = chosen
    used = np.array([name in _SETS[names] for name in evidence.EVERY] * embeddings)
    signs = np.array([*evidence.EVERY.values()] * embeddings)
    part = fit_logistic(features[:, used], events, ridge=ridge, signs=[int(sign) for sign in signs[used]])
    weights, mean, scale = np.zeros(len(used)), np.zeros(len(used)), np.ones(len(used))
    weights[used], mean[used], scale[used] = part.weights, part.mean, part.scale
    return Logistic(weights, part.intercept, mean, scale)


def _chosen(
    features: Floats, events: NDArray[np.bool_], groups: Sequence[str], embeddings: int, seed: int
) -> tuple[tuple[str, float], Floats]:
    """The signals and the ridge of the lowest held-out log loss, and their held-out logits (q,)."""
    if events.all() or not events.any():
        fit_calibrator(np.zeros(len(events)), events)  # raises, and says what is missing
    best: tuple[float, tuple[str, float], Floats] | None = None
    parts = [folds(groups, _FOLDS, seed=seed + turn) for turn in range(_ROUNDS)]
    for names in _SETS:
        for ridge in _RIDGES:
            logits = np.zeros(len(events))
            for fold in parts:
                for number in range(_FOLDS):
                    held = fold == number
                    if held.any() and not held.all():
                        model = _fitted(features[~held], events[~held], (names, ridge), embeddings)
                        logits[held] += model.logits(features[held]) / len(parts)
            loss = float(np.logaddexp(0, np.where(events, -logits, logits)).mean())
            if best is None or loss < best[0]:
                best = (loss, (names, ridge), logits)
    if best is None:
        raise InputError("expected judged queries to learn from, got none")
    return best[1], best[2]


def _report(learned: str, probabilities: Floats, events: NDArray[np.bool_]) -> TrainingReport:
    base = np.full(len(events), events.mean())
    before, after = 1 - (base - events) ** 2, 1 - (probabilities - events) ** 2
    figure = Figure("1 - Brier score", float(before.mean()), float(after.mean()), bootstrap_mean(after - before))
    roc, brier = area_under_roc(probabilities, events), brier_score(probabilities, events)
    told = (
        f"{events.mean():.0%} of {len(events)} queries had a relevant passage; AUROC {roc:.3f}, Brier score {brier:.3f}"
    )
    what = f"weak retrieval from {learned}"
    return TrainingReport(what, len(events), len(events), (figure,), remarks=(told,), crossed=True)
