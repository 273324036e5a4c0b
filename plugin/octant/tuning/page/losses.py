"""Which queries suffer, and how: how recall and nDCG spread over queries, and those that lose most."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from octant.tuning import view, words
from octant.tuning.page.candidates import SHAPES
from octant.tuning.page.markup import Child, strangers, tag
from octant.tuning.page.plot import bar
from octant.tuning.page.tables import cell, numbers, table
from octant.tuning.study import Study, Trial

WORST = 20
"""Queries that are listed."""
_LONGEST = 300
"""Characters of a query's text."""
_EDGES = (-1.0, -0.5, -0.2, -0.05, -1e-9, 1e-9, 0.05, 0.2, 0.5, 1.0)
"""Where one group of nDCG differences ends and the next begins."""


def figure(study: Study) -> list[Element] | None:
    """Distributions and the worst queries; None where queries were not kept apart."""
    trial = view.chosen(study)
    recall = () if trial is None else trial.per_query.get(study.goal.recall, ())
    if trial is None or not recall:
        return None
    spread = [_distribution(study, trial, recall)]
    ours, theirs = trial.per_query.get(study.goal.ndcg), study.baseline_per_query.get(study.goal.ndcg)
    if ours and theirs:
        spread.append(_differences(study, np.subtract(ours, theirs)))
    worst = _worst(study, trial)
    return [tag("p", words.losses(recall)), tag("div", spread, class_="pair"), *([] if worst is None else [worst])]


def _distribution(study: Study, trial: Trial, recall: Sequence[float]) -> Element:
    """How many queries find all, all but one, and so on; in tenths where there are more than twenty answers."""
    steps = study.goal.k if study.goal.k <= 20 else 10
    found = np.floor(np.asarray(recall) * steps + 1e-9).astype(int)
    groups = [(_found(step, steps, study.goal.k), int((found == step).sum())) for step in range(steps, -1, -1)]
    return _groups(
        f"Neighbours found, of the {study.goal.k} nearest",
        "found",
        groups,
        len(recall),
        SHAPES[view.family(study, trial)][1],
    )


def _found(step: int, steps: int, k: int) -> str:
    if step == steps or steps == k:
        return f"{k if step == steps else step} of {k}"
    return f"{step * k // steps} to {-(-(step + 1) * k // steps) - 1} of {k}"


def _differences(study: Study, differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Element:
    names = [
        "worse by more than 0.5", "worse by 0.2 to 0.5", "worse by 0.05 to 0.2", "worse by up to 0.05", "the same",
        "better by up to 0.05", "better by 0.05 to 0.2", "better by 0.2 to 0.5", "better by more than 0.5",
    ]  # fmt: skip
    which = np.clip(np.searchsorted(_EDGES, differences, side="right") - 1, 0, len(names) - 1)
    groups = [(name, int((which == i).sum())) for i, name in enumerate(names)]
    return _groups(f"nDCG@{study.goal.k} compared with float32", "ranking", groups, len(differences), "float32")


def _groups(caption: str, what: str, groups: Sequence[tuple[str, int]], total: int, class_: str) -> Element:
    some = [i for i, (_, count) in enumerate(groups) if count]
    groups = groups[min(some) : max(some) + 1]
    most = max(count for _, count in groups)
    rows = [
        tag("tr", cell(name, header=True), tag("td", bar([(count / most, class_)]), class_="length"),
            numbers(f"{count:,}", words.share(count / total)))
        for name, count in groups
    ]  # fmt: skip
    return table(caption, [what, "", "queries", "share"], rows, class_="groups")


def _worst(study: Study, trial: Trial) -> Element | None:
    recall, ndcg = trial.per_query[study.goal.recall], trial.per_query.get(study.goal.ndcg)
    baseline = study.baseline_per_query.get(study.goal.ndcg)
    lost = [i for i in range(len(recall)) if recall[i] < 1 - 1e-9]
    lost.sort(key=lambda i: (recall[i], (ndcg[i] - baseline[i]) if ndcg and baseline else 0.0, i))
    if not lost:
        return None
    labelled = bool(ndcg and baseline)
    rows = [_query(study, i, recall[i], (baseline[i], ndcg[i]) if ndcg and baseline else None) for i in lost[:WORST]]
    header = ["Query", "not found", *(["nDCG before", "nDCG after"] if labelled else [])]
    return table(
        f"The {words.count(len(rows), 'query')} that lose most, of {len(lost):,} that lose any",
        header,
        rows,
        class_="stack",
    )


def _query(study: Study, i: int, recall: float, ndcg: tuple[float, float] | None) -> Element:
    text, name = study.query_texts[i], strangers(study.query_ids[i])
    title: list[Child] = [strangers(_shortened(text)), " ", tag("small", name)] if text else [name]
    missing = round((1 - recall) * study.goal.k)
    return tag("tr", cell(title, header=True), numbers(f"{missing} of {study.goal.k}", *map(words.score, ndcg or ())))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
