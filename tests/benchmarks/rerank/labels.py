"""Labels and preferences of real models, fed through Octant's pointwise and pairwise rerankers.

Pointwise: GPT-4o's grades 0 to 3 (UMBRELA) of TREC DL passages, as its answers about BM25's top 100; nDCG@10 must reach
what the grades allow. A passage without a recorded grade gets the answer 0. Pairwise: GPT-4o's raw answers to 4,285
pairs, asked in both orders; the outcome, ties counted, against the recorded one.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from harness import Bar, data_folder, table
from parts import Outcome
from replay import ndcg, read_lines, read_qrels

import octant
from octant.records import Candidate, Ranking

LIFTS = {"dl19": (0.506, 0.721), "dl20": (0.480, 0.696)}
"""nDCG@10 of BM25, and of its top 100 by GPT-4o's grades: what the issue asks for, to three places."""
_QUOTED = re.compile(r"<passage>(.*?)</passage>")


def measure(asked: argparse.Namespace) -> Outcome:
    labels = data_folder("llm-outputs") / "llm-relevance-labels-dl"
    rows, bars = [], []
    for name, (before, after) in LIFTS.items():
        found = pointwise(name, labels, data_folder("msmarco-trec-dl-v1"))
        rows.append((f"pointwise, {name}", *(f"{value:.4f}" for value in found)))
        kept = abs(found[0] - before) < 0.001 and abs(found[1] - after) < 0.001
        bars.append(Bar(f"nDCG@10 on {name} goes from {before} to {after}", f"{found[0]:.4f} to {found[1]:.4f}", kept))
    outcomes, agree = pairwise(labels / "pairwise-gpt4o-raw.jsonl.gz")
    asked = sum(outcomes.values())
    text = table(("", "BM25", "reranked"), rows) + f"\n\npairs: {dict(outcomes)}, {agree} of {asked} as recorded"
    bars.append(Bar("recorded preferences come out", f"{agree} of {asked}, {outcomes['tie']} ties", agree >= asked - 3))
    return Outcome(text, {"pointwise": rows, "pairs": dict(outcomes), "as_recorded": agree}, bars)


def pointwise(name: str, labels: Path, corpus: Path) -> tuple[float, float]:
    """nDCG@10 of BM25, and of its top 100 after pointwise reranking."""
    qrels = read_qrels(corpus / f"qrels-{name}-full.tsv.gz")
    grades = read_grades(labels / f"pointwise-{name}.tsv.gz")
    gains = []
    for query, docids in read_run(corpus / "runs" / f"{name}.bm25.trec.gz").items():
        if query not in qrels:
            continue
        given = grades[query]

        def answer(prompt: str, given: Mapping[str, str] = given) -> str:
            return given.get(_QUOTED.findall(prompt)[-1], "0")

        ranking = Ranking(tuple(Candidate(docid, -float(i), docid) for i, docid in enumerate(docids)), query)
        ranker = octant.reranker("pointwise(highest=3, alternatives=0)", answer, concurrency=1)
        reranked = ranker.rerank("a query", ranking)
        gains.append((ndcg(docids, qrels[query]), ndcg([str(docid) for docid in reranked.ids], qrels[query])))
    before, after = np.mean(gains, axis=0)
    return float(before), float(after)


def pairwise(path: Path) -> tuple[Counter, int]:
    """How often each outcome came out, and how often it is the recorded one."""
    outcomes: Counter = Counter()
    agree = 0
    for line in read_lines(path):
        answers = {(line["a"], line["b"]): line["response_ab"], (line["b"], line["a"]): line["response_ba"]}

        def answer(prompt: str, answers: Mapping[tuple[str, str], str] = answers) -> str:
            first, second = _QUOTED.findall(prompt)[-2:]
            # the recorded prompt called the passages 1 and 2
            return re.sub(r"\b[12]\b", lambda match: "AB"[int(match[0]) - 1], answers[first, second])

        pair = Ranking((Candidate("a", 1.0, line["a"]), Candidate("b", 0.0, line["b"])), "q")
        result = octant.reranker("pairwise(all)", answer, concurrency=1).rerank("a query", pair)
        tied = result.scores[0] == result.scores[1] or result.score_kind == "first stage"
        outcome = "tie" if tied else str(result.ids[0])
        outcomes[outcome] += 1
        agree += outcome == line["result"]
    return outcomes, agree


def read_grades(path: Path) -> dict[str, dict[str, str]]:
    grades: dict[str, dict[str, str]] = defaultdict(dict)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["gpt4o_umbrela"]:
                grades[row["query-id"]][row["corpus-id"]] = row["gpt4o_umbrela"]
    return grades


def read_run(path: Path) -> dict[str, list[str]]:
    run: dict[str, list[str]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            query, _, docid, *_ = line.split()
            run[query].append(docid)
    return {query: docids[:100] for query, docids in run.items()}
