"""Cutoff: does a score mean the same for every question, and does Qdrant leave out the same as the caller would?

PR-AUC over all pairs of question and candidate together, 100 candidates each: of the score itself, of ranks, of
z-scores, of cutoffs that read the question's vector alone or its best scores too, and of the best monotone map that a
question could have, which knows what is relevant. Cutoffs are trained on other questions than they are tested on; which
of them counts is chosen by their training reports. Intervals are over questions.

COVID-QA, SQuAD and NQ: all-MiniLM-L6-v2, found by Octant on Edge. TREC DL: one year to learn from and the other to test
on, with OpenAI ada2's own scores and vectors as they were recorded, and with what MiniLM finds.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import Bar, data_folder, table
from judged_sets import DEPTH, SETS, Cached, questions, wanted
from parts import Outcome

from octant import Candidate, Collection, Cutoff, Ranking
from octant.cutoffs import controls
from octant.cutoffs.measures import Ordered, ratio_to
from octant.cutoffs.pairs import Pairs
from octant.datasets import TextDataset, read_dataset
from octant.gathering import gather
from octant.judged import Judged, JudgedRankings
from octant.work import Work

LEARNED = TESTED = 600
USUAL = ("trec-dl", "covid-qa", "squad", "nq-qed")
PROBES = (0, 10, DEPTH)
REPRESENTATIONS = ("turbo8", "binary(384)", "pca(192)|float8", "coarse=pca(192)|turbo4; fine=turbo8")
WANTED = 2.0


@dataclass(frozen=True, eq=False)
class Case:
    """Judged rankings to learn from and to test on."""

    name: str
    train: JudgedRankings
    test: JudgedRankings
    relevant: float = 1.0
    barred: bool = True


def measure(asked: argparse.Namespace) -> Outcome:
    same: dict[str, tuple[int, int]] = {}
    rows, bars, results = [], [], {}
    for case in _cases(asked, same):
        told, best = _compared(case)
        print(table(HEADER, told), flush=True)
        rows += told
        results[case.name] = {row[1]: dict(zip(HEADER[2:], row[2:], strict=True)) for row in told}
        if case.barred:
            bars.append(Bar(f"{case.name}: PR-AUC at least {WANTED:g} times the score's", *best))
    for represent, (differing, searches) in same.items():
        bars.append(
            Bar(
                f"the same set through Qdrant's threshold, {represent}",
                f"{differing} of {searches} searches differ",
                not differing,
            )
        )
    return Outcome(table(HEADER, rows), {"cases": results, "same set": same}, bars)


def _cases(asked: argparse.Namespace, same: dict[str, tuple[int, int]]) -> Iterator[Case]:
    """One after the other, since each takes minutes."""
    for name in wanted(asked, USUAL):
        if name == "trec-dl":
            yield from (_trec("19"), _trec("20"))
            yield from _trec_found(asked)
        else:
            yield _found(name, asked, same)


HEADER = ("set", "way", "PR-AUC", "times the score", "P@R95", "filtered@R95", "empty@R95", "recall", "learned")


def _compared(case: Case) -> tuple[list[Sequence[object]], tuple[str, bool]]:
    """Rows of a case, and what the cutoff that training prefers reaches."""
    pairs = Pairs.of(case.test, case.relevant)
    raw = Ordered(pairs.scores, pairs.relevant)
    ways: dict[str, tuple[np.ndarray, str, str]] = {
        "score (fixed threshold)": (pairs.scores, "", ""),
        "rank (fixed k)": (controls.fixed_k(pairs.scores), "", ""),
        "z-score": (controls.z_score(pairs.scores), "", ""),
    }
    work = Work(progress=True)
    trained = {probe: Cutoff.train(case.train, probe=probe, relevant=case.relevant, work=work) for probe in PROBES}
    for cutoff in trained.values():
        odds = _told(cutoff, case.test, pairs)
        recall = Ordered(odds, pairs.relevant).at(cutoff.least).recall
        ways[cutoff.spec] = (odds, f"{recall:.3f}", cutoff.measures.chosen)
    ways["best monotone map"] = (controls.best_monotone(pairs.scores, pairs.relevant), "", "knows what is relevant")
    rows: list[Sequence[object]] = []
    ratios = {}
    for name, (values, recall, learned) in ways.items():
        ordered = Ordered(values, pairs.relevant)
        at = ordered.at(ordered.for_recall(0.95))
        ratios[name] = ratio_to(ordered, raw)
        ratio = f"{ratios[name].value:.2f} [{ratios[name].low:.2f}, {ratios[name].high:.2f}]"
        shares = (f"{at.precision:.3f}", f"{at.filtered:.1%}", f"{at.empty:.1%}")
        rows.append((case.name, name, f"{at.pr_auc:.3f}", ratio, *shares, recall, learned))
    preferred = max(trained.values(), key=lambda one: one.measures.rows["cutoff"].pr_auc).spec
    ratio, bound = ratios[preferred], ratios["best monotone map"]
    told = f"{preferred} {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}], best possible {bound.value:.2f}"
    return rows, (told, ratio.value >= WANTED)


def _told(cutoff: Cutoff, asked: JudgedRankings, pairs: Pairs) -> np.ndarray:
    """Probabilities (m, n) of every pair."""
    told = np.full(pairs.scores.shape, np.nan)
    for row, one in enumerate(asked):
        known = pairs.scores[row][~np.isnan(pairs.scores[row])]
        told[row, : len(known)] = cutoff.probability(one.vector, known)
    return told


# -- what is judged ------------------------------------------------------------------------------


def _found(name: str, asked: argparse.Namespace, same: dict[str, tuple[int, int]]) -> Case:
    """What Octant finds for the questions of a set; on COVID-QA also whether Qdrant leaves out the same."""
    chosen = SETS[name](asked.questions or TESTED, LEARNED)
    known = Cached(chosen, asked.cache)
    with _collection(chosen.name, "float32", known, chosen.data) as collection:
        train, test = (gather(collection, some, k=DEPTH, progress=True) for some in (chosen.train, chosen.test))
    if name == "covid-qa":
        cutoffs = [Cutoff.train(train, probe=probe, families=["linear"]) for probe in (0, 10)]
        for represent in REPRESENTATIONS:
            with _collection(chosen.name, represent, known, chosen.data) as collection:
                same[represent] = _differing(collection, cutoffs, [one.vector for one in test[:100]])
    return Case(chosen.name, train, test, barred=name == "covid-qa")


def _collection(name: str, represent: str, known: Cached, data: TextDataset) -> Collection:
    collection = Collection.create(
        name, represent=represent, embedding=known.queries, dimension=known.documents.shape[1]
    )
    collection.add(vectors=known.documents, ids=data.document_ids)
    collection.optimize()
    return collection


def _differing(collection: Collection, cutoffs: Sequence[Cutoff], queries: Sequence[np.ndarray]) -> tuple[int, int]:
    """Searches in which Qdrant leaves out other candidates than the caller would, and searches."""
    differing = searches = 0
    for cutoff in cutoffs:
        for query in queries:
            whole = collection.search(query, k=DEPTH)
            # As deep as the cutoff's own probe: two stages read fewer candidates for ten answers than for a hundred.
            tops = collection.search(query, k=cutoff.probe).scores if cutoff.probe else None
            least = cutoff.score_threshold(query, tops)
            kept = collection.search(query, k=DEPTH, cutoff=cutoff)
            expected = {hit.id for hit in whole if hit.score >= least}
            differing += expected != set(kept.ids)
            searches += 1
    return differing, searches


def _trec(year: str) -> Case:
    """One year of TREC DL to learn from, the other to test on."""
    other = {"19": "20", "20": "19"}[year]
    return Case(f"dl{year} to dl{other}, ada2", _recorded(year), _recorded(other))


def _trec_found(asked: argparse.Namespace) -> list[Case]:
    """The same by what MiniLM finds among the pooled passages."""
    chosen = SETS["trec-dl"](None, 0)
    known = Cached(chosen, asked.cache)
    folder = data_folder("msmarco-trec-dl-v1")
    with _collection(chosen.name, "float32", known, chosen.data) as collection:
        found = {
            year: gather(collection, questions(read_dataset(folder, split=f"dl{year}")), k=DEPTH, progress=True)
            for year in ("19", "20")
        }
    return [
        Case(f"dl{one} to dl{other}, MiniLM", found[one], found[other], relevant=2.0)
        for one, other in (("19", "20"), ("20", "19"))
    ]


def _recorded(year: str) -> JudgedRankings:
    """Scores, vectors and full judgements of a year; grade 2 and above is relevant, as TREC has it."""
    folder = data_folder("msmarco-trec-dl-v1")
    with np.load(data_folder("vectors-trec-dl-queries") / f"dl{year}.openai-ada2.npz") as kept:
        vectors = dict(zip(kept["ids"].tolist(), kept["vectors"], strict=True))
    gains: dict[str, dict[str, float]] = {}
    for query, document, grade in _fields(folder / f"qrels-dl{year}-full.tsv.gz")[1:]:
        gains.setdefault(query, {})[document] = float(int(grade) >= 2)
    runs: dict[str, list[Candidate]] = {}
    for query, _, document, _, score, _ in _fields(folder / "runs" / f"dl{year}.openai-ada2.trec.gz"):
        runs.setdefault(query, []).append(Candidate(document, float(score)))
    return JudgedRankings(
        tuple(
            Judged(query, Ranking(tuple(found[:DEPTH])), gains[query], vectors[query], query)
            for query, found in runs.items()
            if query in gains
        ),
        first_stage="dense cosine",
    )


def _fields(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.split() for line in lines]
