"""Rerankers without a language model: what each gains, what compression costs it, and how long it takes.

Four sets, BM25 and MiniLM first stages, 100 candidates. What is trained learns from training questions of the same set
(home), or from those of nq-qed (from nq: as it is, and as Octant serves it, once adopted on the set's own training
questions). TREC DL has no training questions, so nothing is ever adopted there. Candidates are found, and their vectors
decoded, from float32 and three compressed representations by the same models.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

import judged_sets
from harness import Bar
from judged_sets import Cached, JudgedSet
from parts import Outcome
from scored import Row, rows_table, scored, unchanged, vector_of

from octant.judged import JudgedRankings
from octant.rerankers.assemble import assembled
from octant.rerankers.lexical import Lexical
from octant.rerankers.rocchio import Rocchio, cosines, stacked
from octant.rerankers.trained import RerankerPart, Scorer, TrainedReranker

SETS = tuple(judged_sets.SETS)
QUESTIONS, LEARNED = 500, 1500
"""With 400 of the latter a gain of .02 after BM25 on SQuAD could not be told from none."""
FIRST = ("minilm", "bm25")
COMPRESSED = ("turbo4", "binary(384)", "pca(192)|float8")
TRAINED = ("refine", "refine(lexical)", "learned", "learned(vectors=true)")


def measure(asked: argparse.Namespace) -> Outcome:
    rows: list[Row] = []
    teachers: dict[tuple[str, str], RerankerPart] = {}
    for name in judged_sets.wanted(asked, SETS):
        chosen = judged_sets.SETS[name](asked.questions or QUESTIONS, LEARNED)
        known = Cached(chosen, asked.cache)
        rows += _of_set(name, chosen, known, teachers)
    return Outcome(rows_table(rows), {"rows": [row.as_json() for row in rows]}, _bars(rows))


def _of_set(name: str, chosen: JudgedSet, known: Cached, teachers: dict[tuple[str, str], RerankerPart]) -> list[Row]:
    rows: list[Row] = []
    names = {one.name for one in chosen.test}
    parts: dict[tuple[str, str], RerankerPart] = {}
    for represent in ("float32", *COMPRESSED):
        asked = (*chosen.test, *chosen.train) if represent == "float32" else chosen.test
        for first, judged in judged_sets.found(chosen, asked, known, FIRST, represent).items():
            test, train = (
                judged.where(lambda one, wanted=wanted: (one.name in names) is wanted) for wanted in (True, False)
            )
            if represent == "float32":
                _train(name, first, train, parts, teachers)
            scorers = _scorers(first, parts, teachers, train if represent == "float32" else None, home=name)
            for method, scorer in scorers.items():
                row = scored(chosen, first, represent, method, scorer, test)
                part = parts.get((first, method.removesuffix(", home")))
                gain = part.report.figures[0].difference.value if part is not None and part.report.figures else None
                rows.append(row if gain is None else replace(row, validated=gain))
        print(rows_table([row for row in rows if row.represent == represent]), flush=True)
    return rows


def _train(
    name: str, first: str, train: JudgedRankings, parts: dict[tuple[str, str], RerankerPart],
    teachers: dict[tuple[str, str], RerankerPart],
) -> None:  # fmt: skip
    for spec in TRAINED if len(train) else ():
        parts[first, spec] = _reranker(spec).train(train)
        print(f"{name}, {first}, {spec}: {parts[first, spec].report}", flush=True)
        if name == "nq-qed":
            teachers[first, spec] = parts[first, spec]


def _scorers(
    first: str,
    parts: Mapping[tuple[str, str], RerankerPart],
    teachers: Mapping[tuple[str, str], RerankerPart],
    train: JudgedRankings | None,
    *,
    home: str,
) -> dict[str, Scorer]:
    """Every method's scores. ``train``: the questions to adopt on; None for compressed candidates."""
    rocchio, lexical = Rocchio(), Lexical()
    scorers: dict[str, Scorer] = {
        "none": unchanged,
        "exact(vectors=true)": lambda one: cosines(vector_of(one), stacked(one.ranking)),
        "rocchio": lambda one: rocchio.scores(vector_of(one), stacked(one.ranking)),
        "lexical": lambda one: lexical._scores(one.query, one.ranking),
    }
    for (stage, spec), part in parts.items():
        if stage == first:
            scorers[f"{spec}, home"] = _served(spec, part)
    for (stage, spec), part in teachers.items() if home != "nq-qed" and train is not None else ():
        if stage == first and spec.startswith("learned"):
            scorers[f"{spec}, from nq, as it is"] = _raw(spec, part)
            adopted = _adopted(spec, part, train)
            scorers[f"{spec}, from nq, adopted"] = unchanged if adopted is None else _raw(spec, adopted)
    return scorers


def _adopted(spec: str, part: RerankerPart, train: JudgedRankings) -> RerankerPart | None:
    """None where Octant would leave the order as it is."""
    if not len(train):
        return None
    adopted = _reranker(spec).adopt(part, train)
    return None if adopted.untried_on(train.corpus) else adopted


def _served(spec: str, part: RerankerPart) -> Scorer:
    return unchanged if part.report.no_change else _raw(spec, part)


def _raw(spec: str, part: RerankerPart) -> Scorer:
    made = _reranker(spec)
    return lambda one: made._scores(part, one.query, one.ranking, one.vector)


def _reranker(spec: str) -> TrainedReranker:
    made = assembled(spec)
    if not isinstance(made, TrainedReranker):
        raise TypeError(spec)
    return made


def _bars(rows: list[Row]) -> list[Bar]:
    plain = [row for row in rows if row.represent == "float32"]
    served = [row for row in plain if row.method.startswith(TRAINED) and not row.method.endswith("as it is")]
    bars = [_harmless(served)] if served else []
    bars += [_in_domain(plain, first) for first in FIRST if any(row.chosen.startswith("squad") for row in plain)]
    return [*bars, _kept(rows)]


def _in_domain(plain: list[Row], first: str) -> Bar:
    """What the one of the learned rerankers reaches that gained most on the questions held back from training."""
    trained = [row for row in plain if row.first == first and row.chosen.startswith("squad")]
    row = max((row for row in trained if row.validated is not None), key=lambda row: row.validated or 0.0)
    return Bar(
        f"a learned reranker in-domain on squad, by article, after {first}: at least +.004, interval above zero",
        f"{row.method.removesuffix(', home')}, chosen by validation: {row.difference.value:+.4f} "
        f"[{row.difference.low:+.4f}, {row.difference.high:+.4f}]",
        row.difference.value >= 0.004 and row.difference.low > 0,
    )


def _harmless(served: list[Row]) -> Bar:
    worst = min(served, key=lambda row: row.difference.low)
    return Bar(
        "no learned reranker loses more than .005 nDCG@10 (lower limit) where Octant lets it act",
        f"the worst is {worst.method} on {worst.chosen} after {worst.first}, from {worst.difference.low:+.4f}",
        worst.difference.low >= -0.005,
    )


def _kept(rows: list[Row]) -> Bar:
    whole = {(row.chosen, row.first, row.method): row.ndcg for row in rows if row.represent == "float32"}
    shares = [
        (row.ndcg / whole[row.chosen, row.first, row.method], row)
        for row in rows
        if row.represent != "float32" and (row.chosen, row.first, row.method) in whole
    ]
    share, row = min(shares, key=lambda pair: pair[0])
    return Bar(
        "candidates decoded from codes keep at least 97 % of the quality of float ones",
        f"the least is {share:.1%}: {row.method} on {row.chosen} after {row.first}, from {row.represent}",
        share >= 0.97,
    )
