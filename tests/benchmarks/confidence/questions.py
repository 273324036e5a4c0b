"""Questions with one relevant passage: weights per query on SQuAD, and weak retrieval from 50 and 200 labels.

SQuAD's articles are halved: what one half taught is tested on the other, both ways. Intervals draw whole articles.
Labels for nq-qed come from its train split and are tested on dev; COVID-QA's questions are halved at random.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import Bar, table
from learned_arrays import expected_of, weights_of
from parts import Outcome
from resampling import clustered, shown
from searched_sets import only, questions

from octant import selector
from octant.calibration import area_under_roc, expected_calibration_error
from octant.errors import InputError
from octant.judged import folds
from octant.selectors import Calibration, JudgedSearches
from octant.selectors.pool import Pool, pooled
from octant.selectors.weak_retrieval import features_of, outcomes
from octant.statistics import Estimate

PER_QUERY, ASKED, LABELLED = 6000, 1000, 1000
LABELS, DRAWS = (50, 200), 3
SYSTEMS = ("bm25", "minilm")
VIEWS = {"minilm": ("minilm",), "bm25 + minilm": SYSTEMS}
BARS = {("squad-v1.1-dev", "minilm"): 0.85, ("nq-qed", "minilm"): 0.90}
SHUFFLED = "weight, shuffled over queries"
ERRORS = {50: 0.10, 200: 0.07}


def measure(asked: argparse.Namespace) -> Outcome:
    sets = [
        one for name in ("squad-v1.1-dev", "nq-qed", "covid-qa") if (one := _set(name, asked.cache, asked.questions))
    ]
    parts = [_weights(asked.cache, asked.questions), _weak(sets), _transferred(sets)]
    results = {key: value for _, kept, _ in parts for key, value in kept.items()}
    return Outcome("\n\n".join(text for text, _, _ in parts), results, [bar for _, _, bars in parts for bar in bars])


# -- weights per query -----------------------------------------------------------------------------


def _weights(cache: Path | None, count: int | None) -> tuple[str, dict, list[Bar]]:
    judged = questions("squad-v1.1-dev", "dev", count or PER_QUERY, cache)
    halves = folds([one.group for one in judged], 2)
    everything = pooled(judged, SYSTEMS, depth=50)
    names = ("best single", "weights tuned on a grid", "fuse", "weight", SHUFFLED, "select", "oracle")
    found = {name: np.zeros(len(judged)) for name in names}
    told = []
    for half in (0, 1):
        where = halves == half
        train, test = everything.at(~where), everything.at(where)
        taught = judged.at(np.flatnonzero(~where))
        alone = test.alone
        found["best single"][where] = alone[:, int(train.alone.mean(axis=0).argmax())]
        found["weights tuned on a grid"][where] = test.ndcg(_tuned(train))
        found["oracle"][where] = alone.max(axis=1)
        for spec in ("fuse", "weight", "select"):
            chooser = selector(spec).learn(taught, depth=50)
            state = chooser.learned.state
            if spec == "fuse":
                found[spec][where] = test.ndcg(state["weights"])
            elif spec == "weight":
                each = weights_of(test, state)
                found[spec][where] = test.ndcg(each)
                order = np.random.default_rng(0).permutation(len(each))
                found[SHUFFLED][where] = test.ndcg(each[order])
                told.append(chooser.learned.report.learned)
            else:
                best = expected_of(test, state).argmax(axis=1)
                found[spec][where] = alone[np.arange(len(alone)), best]
    reference = found["weights tuned on a grid"]
    differences = {name: clustered(values - reference, everything.groups) for name, values in found.items()}
    rows = [[name, f"{found[name].mean():.4f}", shown(differences[name], 4, sign=True)] for name in names]
    gain = differences["weight"]
    bar = Bar("squad: weights per query at least +.003 over tuned ones", shown(gain, 4, sign=True), gain.value >= 0.003)
    text = f"SQuAD, bm25 + minilm, {len(judged)} questions, both halves of the articles ({'; '.join(told)})\n"
    text += table(["", "nDCG@10", "over tuned weights"], rows)
    return text, {"per query": {name: one.as_json() for name, one in differences.items()}}, [bar]


def _tuned(pool: Pool) -> np.ndarray:
    """The best weights of 41 for all queries: the strongest control for weights that change."""
    grid = [np.array([1 - share, share]) for share in np.linspace(0, 1, 41)]
    return max(grid, key=lambda weights: float(pool.ndcg(weights).mean()))


# -- weak retrieval --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Asked:
    """Questions to label, and others to test on, none of which share a group."""

    name: str
    labelled: JudgedSearches
    test: JudgedSearches


def _set(name: str, cache: Path | None, count: int | None) -> Asked:
    tested = count or ASKED
    if name == "nq-qed":
        return Asked(name, questions(name, "train", LABELLED, cache), questions(name, "dev", tested, cache))
    everything = questions(name, "dev" if name.startswith("squad") else None, LABELLED + tested, cache)
    half = folds([one.group for one in everything], 2) == 0
    return Asked(name, everything.at(np.flatnonzero(half)), everything.at(np.flatnonzero(~half)))


def _weak(sets: Sequence[Asked]) -> tuple[str, dict, list[Bar]]:
    rows, kept, bars = [], {}, []
    for one in sets:
        for view, systems in VIEWS.items():
            chooser = selector("fuse")
            labelled, test = only(one.labelled, *systems), only(one.test, *systems)
            features, events = features_of(test, systems), outcomes(test, chooser, 5)
            for labels in LABELS:
                tried = [_detected(labelled, labels, draw, features, events) for draw in range(DRAWS)]
                drawn = [pair for pair in tried if pair is not None]
                if not drawn:  # too few weak retrievals among the labels: octant calibrate refuses that too
                    rows.append([one.name, view, f"{events.mean():.0%}", labels, "refused", "refused"])
                    continue
                roc, error = (_spread([pair[place] for pair in drawn]) for place in (0, 1))
                rows.append([one.name, view, f"{events.mean():.0%}", labels, shown(roc), shown(error)])
                kept[f"{one.name}, {view}, {labels}"] = {"auroc": roc.as_json(), "error": error.as_json()}
                promise = f"{one.name}, {view}, {labels} labels: calibration error at most {ERRORS[labels]:.2f}"
                bars.append(Bar(promise, f"{error.value:.3f}", error.value <= ERRORS[labels]))
                if labels == LABELS[-1] and (one.name, view) in BARS:
                    least = BARS[one.name, view]
                    bars.append(Bar(f"{one.name}, {view}: AUROC at least {least}", shown(roc), roc.value >= least))
    header = ["no relevant passage in the first 5", "searched by", "came true", "labels", "AUROC", "calibration error"]
    return f"mean of {DRAWS} draws of the labels [lowest, highest]\n" + table(header, rows), {"weak": kept}, bars


def _detected(
    labelled: JudgedSearches, labels: int, draw: int, features: np.ndarray, events: np.ndarray
) -> tuple[float, float] | None:
    places = np.random.default_rng(draw).choice(len(labelled), min(labels, len(labelled)), replace=False)
    try:
        detector = Calibration.learn(labelled.at(np.sort(places)), selector("fuse"), seed=draw)
    except InputError:
        return None
    said = detector.calibrator.probabilities(detector.model.logits(features))
    return area_under_roc(said, events), expected_calibration_error(said, events)


def _spread(values: Sequence[float]) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.min(values)), float(np.max(values)))


def _recalibrated(detector: Calibration, labelled: JudgedSearches, chooser: object) -> tuple[Calibration, int]:
    """From 50 labels, or from as many more as it takes to have seen three weak retrievals."""
    for labels in LABELS:
        try:
            return detector.recalibrated(labelled[:labels], chooser), labels
        except InputError:
            if labels == LABELS[-1]:
                raise
    raise InputError("there is nothing to recalibrate with")


def _transferred(sets: Sequence[Asked]) -> tuple[str, dict, list[Bar]]:
    """A calibration that was made on another index: as it is, and recalibrated from 50 labels."""
    rows, kept = [], {}
    chooser = selector("fuse")
    detectors = {one.name: Calibration.learn(only(one.labelled, *SYSTEMS)[:200], chooser) for one in sets}
    for one in sets:
        test = only(one.test, *SYSTEMS)
        features, events = features_of(test, SYSTEMS), outcomes(test, chooser, 5)
        for source, detector in detectors.items():
            if source == one.name:
                continue
            again, labels = _recalibrated(detector, only(one.labelled, *SYSTEMS), chooser)
            said = {label: part.calibrator.probabilities(part.model.logits(features)) for label, part in
                    (("as it is", detector), ("recalibrated", again))}  # fmt: skip
            errors = {label: expected_calibration_error(p, events) for label, p in said.items()}
            off = float(abs(said["as it is"].mean() - events.mean()))
            roc = area_under_roc(said["recalibrated"], events)
            told = [f"{value:.3f}" for value in (roc, errors["as it is"], off, errors["recalibrated"])]
            rows.append([f"{source} -> {one.name}", *told, labels])
            kept[f"{source} -> {one.name}"] = {"auroc": roc, **errors}
    header = ["calibrated on another index", "AUROC", "error as it is", "mean off by", "recalibrated", "labels"]
    return table(header, rows), {"transferred": kept}, []
