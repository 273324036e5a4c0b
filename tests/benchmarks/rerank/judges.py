"""Cost against quality: every LLM reranker under simulated judges, over BM25's top 100 of TREC DL 2019 and 2020.

Judges (``simulated.py``): RankVicuna, fitted to its 4,295 well-formed recorded answers, and GPT-4o, whose recorded
grades it sees, fitted to its 8,569 recorded preferences. For the passages of 2019, RankVicuna's utilities are those of
its own answers; elsewhere errors are drawn. The tournament's settings were chosen on 2020; its bar is read off 2019.
Methods that ask a hundred times or more are run for the first queries only, and compared on these.

Grades spread over the middle 90 % of a judge's utilities; what nobody graded has GPT-4o's grade 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import formats
import numpy as np
from harness import Bar, data_folder, table
from labels import read_grades, read_run
from parts import Outcome
from replay import ndcg, read_lines, read_qrels, read_recorded, well_formed
from simulated import Fitted, Judge, Listed, fit
from tqdm import tqdm

import octant
from octant.datasets import read_dataset
from octant.embedders import embedder
from octant.embedding_cache import embed
from octant.records import Candidate, Ranking
from octant.rerankers.model import bytes_over_four
from octant.rerankers.prompts import escaped, fitted
from octant.statistics import Estimate, paired_difference

WINDOW, TOURNAMENT = "listwise", "tournament"
SPECS = {
    "first_stage": None, WINDOW: None, "listwise(passes=2)": None, "listwise(window=0)": None, TOURNAMENT: None,
    "tournament(finals=1)": None, "tournament(finals=3)": None, "tournament(skim=0)": None,
    "pointwise(alternatives=0)": 20, "dual_stage(alternatives=0)": 20,
    "pairwise(heap)": 5, "pairwise(sliding)": 5, "first_stage > pairwise(all, top=30)": 5,
}  # fmt: skip
"""And for how many queries of each year; None is all."""
REPEATS = {WINDOW: 10, TOURNAMENT: 10}
"""Runs with fresh noise, where a bar depends on them; quality is their mean, query by query."""
SHOWN, MEASURED = 32, 4
"""Tokens of a passage shown in part, and the queries on which it is measured what that hides."""


@dataclass(frozen=True)
class Asked:
    """One query: its candidates in BM25's order, their texts, and what is relevant."""

    year: str
    query_id: str
    query: str
    docids: tuple[str, ...]
    texts: tuple[str, ...]
    qrels: Mapping[str, int]
    grades: Mapping[str, str]


@dataclass
class Cost:
    """A method under one judge, query by query."""

    ndcg: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)


def measure(asked: argparse.Namespace) -> Outcome:
    queries = read_queries(asked.questions)
    hidden = what_is_hidden(queries[:MEASURED], asked)
    judges = {"RankVicuna": rankvicuna(), "GPT-4o": gpt4o()}
    texts, results, bars = [], {}, []
    for name, model in judges.items():
        for year in ("dl20", "dl19"):
            chosen = [query for query in queries if query.year == year]
            costs = {spec: costs_of(spec, name, model, chosen[:most], hidden) for spec, most in SPECS.items()}
            title, rows, kept = compared(f"{name}, {year}", costs, len(chosen))
            texts.append(f"{title}\n{table(HEADER, rows)}")
            results[f"{name}, {year}"] = kept
            if year == "dl19":
                bars.append(bar(name, costs))
    about = [
        f"{name}: a grade is worth {', '.join(f'{worth:.2f}' for worth in model.worth)}; last place {model.bias:+.2f}; "
        f"errors of {model.width}; {model.told:.3f} nats a place better than blind"
        for name, model in judges.items()
    ]
    about.append(f"shown {SHOWN} tokens of a passage, a judge errs by {hidden:.2f} of the spread of its utilities")
    return Outcome("\n\n".join([*texts, "\n".join(about)]), {"costs": results, "judges": about}, bars)


HEADER = ("", "queries", "calls", "tokens", "of the window's", "nDCG@10", "difference to the window")


def compared(title: str, costs: Mapping[str, Cost], count: int) -> tuple[str, list[Sequence[object]], dict]:
    window = costs[WINDOW]
    rows: list[Sequence[object]] = []
    kept = {}
    for spec, cost in costs.items():
        n = len(cost.ndcg)
        share = sum(cost.tokens) / sum(window.tokens[:n])
        apart = paired_difference(cost.ndcg, window.ndcg[:n])
        means = [float(np.mean(values)) for values in (cost.calls, cost.tokens, cost.ndcg)]
        rows.append(
            (spec, n, f"{means[0]:.0f}", f"{means[1]:.0f}", f"{share:.0%}", f"{means[2]:.4f}", _interval(apart))
        )
        kept[spec] = {
            "queries": n, "calls": means[0], "tokens": means[1], "share_of_tokens": share, "ndcg@10": means[2],
            "difference": apart.as_json(),
        }  # fmt: skip
    return f"{title}, {count} queries", rows, kept


def bar(name: str, costs: Mapping[str, Cost]) -> Bar:
    share = sum(costs[TOURNAMENT].tokens) / sum(costs[WINDOW].tokens)
    apart = paired_difference(costs[TOURNAMENT].ndcg, costs[WINDOW].ndcg)
    reaches = apart.value >= -0.005 and apart.high >= 0
    measured = f"{_interval(apart)} at {share:.0%} of the tokens"
    promise = f"{name}, dl19: the tournament is within .005 of the window for half its tokens"
    return Bar(promise, measured, reaches and share <= 0.5)


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"


def costs_of(spec: str, name: str, model: Fitted, queries: Sequence[Asked], hidden: float) -> Cost:
    cost = Cost()
    for query in tqdm(queries, desc=f"{spec} under {name}", unit="query", disable=None):
        runs = [reranked(spec, name, model, query, hidden, run) for run in range(REPEATS.get(spec, 1))]
        for values, mean in zip((cost.ndcg, cost.calls, cost.tokens), np.mean(runs, axis=0), strict=True):
            values.append(float(mean))
    return cost


def reranked(spec: str, name: str, model: Fitted, query: Asked, hidden: float, run: int) -> tuple[float, int, int]:
    """nDCG@10, calls and tokens of one run."""
    seed = f"{name}|{query.query_id}|{run}"
    utilities = {}
    for docid, text in zip(query.docids, query.texts, strict=True):
        level = graded(name, query, docid)
        utilities[escaped(text)] = model.utility((query.query_id, docid), level, f"{name}|{run}")
    low, high = np.quantile(list(utilities.values()), [0.05, 0.95])
    judge = Judge(utilities, model.bias, (float(low), float(high)), seed, hidden)
    pairs = enumerate(zip(query.docids, query.texts, strict=True))
    ranking = Ranking(tuple(Candidate(docid, -float(rank), text) for rank, (docid, text) in pairs), query.query)
    done = octant.reranker(spec, judge, concurrency=1).rerank(query.query, ranking)
    if done.report is None or done.report.failure:
        raise RuntimeError(f"{spec} did nothing: {done.report}")
    spent = done.report.input_tokens + done.report.output_tokens
    return ndcg([str(docid) for docid in done.ids], query.qrels), done.report.calls, spent


def graded(name: str, query: Asked, docid: str) -> int:
    """The grade that a judge sees in a passage: people's, 4 where nobody gave one, or GPT-4o's."""
    if name == "GPT-4o":
        return int(query.grades.get(docid, 0))
    return max(0, query.qrels[docid]) if docid in query.qrels else 4


# -- what is recorded ----------------------------------------------------------------------------


def read_queries(most: int | None) -> list[Asked]:
    corpus, recorded = data_folder("msmarco-trec-dl-v1"), data_folder("llm-outputs")
    queries = []
    for year in ("dl19", "dl20"):
        data = read_dataset(corpus, split=year)
        texts = dict(zip(data.document_ids, data.documents, strict=True))
        asked = dict(zip(data.query_ids, data.queries, strict=True))
        qrels = read_qrels(corpus / f"qrels-{year}-full.tsv.gz")
        grades = read_grades(recorded / "llm-relevance-labels-dl" / f"pointwise-{year}.tsv.gz")
        found = [
            Asked(year, q, asked[q], tuple(ids), tuple(texts[i] for i in ids), qrels[q], grades[q])
            for q, ids in read_run(corpus / "runs" / f"{year}.bm25.trec.gz").items()
            if q in qrels
        ]
        queries += found[:most]
    return queries


def rankvicuna() -> Fitted:
    folder = data_folder("llm-outputs") / "rankllm-listwise-responses"
    models = {run["run"]: run["model"] for run in read_lines(folder / "runs.jsonl")}
    qrels = read_qrels(data_folder("msmarco-trec-dl-v1") / "qrels-dl19-full.tsv.gz")
    lists = []
    for (run, query), recorded in read_recorded(folder).items():
        for window in recorded.windows if models[run] == "rankvicuna-7b" else ():
            if well_formed(window):
                order = tuple(
                    int(number) - 1 for number in window["response"].replace("[", "").replace("]", "").split(" > ")
                )
                levels = tuple(max(0, qrels[query][d]) if d in qrels[query] else 4 for d in window["docids"])
                lists.append(Listed(tuple((query, docid) for docid in window["docids"]), levels, order))
    return fit(lists, 5)


def gpt4o() -> Fitted:
    folder = data_folder("llm-outputs") / "llm-relevance-labels-dl"
    grades = {year: read_grades(folder / f"pointwise-{year}.tsv.gz") for year in ("dl19", "dl20")}
    lists = []
    for pair in read_lines(folder / "pairwise-gpt4o-raw.jsonl.gz"):
        given = grades[pair["set"]][pair["qid"]]
        for first, second, answer in ((pair["a"], pair["b"], "response_ab"), (pair["b"], pair["a"], "response_ba")):
            said = pair[answer].strip()[-1:]
            if said in ("1", "2") and first in given and second in given:
                passages = ((pair["qid"], first), (pair["qid"], second))
                order = (0, 1) if said == "1" else (1, 0)
                lists.append(Listed(passages, (int(given[first]), int(given[second])), order))
    return fit(lists, 4, linear=True)


def what_is_hidden(queries: Sequence[Asked], asked: argparse.Namespace) -> float:
    """Change of MiniLM's cosine when a passage is shown in part, over the spread of cosines: median over queries."""
    model = embedder(formats.MODEL)
    shares = []
    for query in queries:
        full = [escaped(text) for text in query.texts]
        cut, _ = fitted(full, bytes_over_four, each=SHOWN)
        (vector,) = embed(model, "queries", [query.query], folder=asked.cache)
        whole, part = (embed(model, "documents", texts, folder=asked.cache) @ vector for texts in (full, cut))
        shares.append(float(np.std(part - whole) / np.std(whole)))
    return float(np.median(shares))
