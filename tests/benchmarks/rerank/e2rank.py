"""E2Rank with a small model: a listwise prompt embedded as a pseudo-query, as the model is and trained on a CPU.

First stage: MiniLM over turbo8 codes, 100 candidates with decoded vectors; at most 20 passages in a prompt of 256
tokens. Controls: no reranking, and Rocchio with the mean of as many passages as the prompt shows: what the pseudo-query
would be worth if the model only averaged them. One model is trained, on questions of nq-qed train; on each set it acts
as ``octant.reranker`` lets it (only where validation has shown that it helps), and is forced to act, for the table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import formats
import judged_sets
import numpy as np
from harness import Bar, table
from judged_sets import Cached, cut, found, wanted
from parts import Outcome

from octant import embedder
from octant.embedding_cache import embed
from octant.flow import run
from octant.hub import load_model
from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import FloatArray
from octant.rerankers.e2rank_data import Lists
from octant.rerankers.e2rank_model import E2RankRecord, Use
from octant.rerankers.e2rank_training import Effort, train
from octant.rerankers.rocchio import Rocchio
from octant.rerankers.trained import reciprocal_rank
from octant.statistics import paired_difference
from octant.work import QUIET, Work

SETS = ("nq-qed", "squad", "covid-qa")
QUESTIONS, LEARNED = 300, 600
REPRESENT = "turbo8"
EFFORT = Effort(steps=200, batch=8, rate=1e-3, layers=2, passages=3)
WEIGHTS = (0.1, 0.25, 0.5, 1.0)
LEAST_LOSS, MOONSHOT = -0.005, 0.03
HEADER = ("set", "method", "nDCG@10", "difference", "", "MRR@10")

Scorer = Callable[[int, Judged], FloatArray]


def measure(asked: argparse.Namespace) -> Outcome:
    rows: list[list[object]] = []
    results: dict[str, object] = {}
    acted: list[float] = []
    gained: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        out, record = learned(asked, Path(folder))
        print(record.report)
        for name in wanted(asked, SETS):
            chosen = judged_sets.SETS[name](asked.questions or QUESTIONS, 0)
            known = Cached(chosen, asked.cache)
            judged = found(chosen, chosen.test, known, ("minilm",), REPRESENT)["minilm"]
            ways = scorers(judged, record, out, known, asked.cache)
            here, low, most = compare(chosen.name, judged, ways, acts=name == "nq-qed" and record.use.weight > 0)
            print(table(HEADER, here), flush=True)
            rows += here
            results[chosen.name] = [list(map(str, row)) for row in here]
            acted.append(low)
            gained.append(most)
    lowest = min(acted)
    bars = [
        Bar("trained E2Rank loses at most .005 on any set (lower limit)", f"{lowest:+.4f}", lowest >= LEAST_LOSS),
        Bar("moonshot: E2Rank gains .03 on two sets it was not trained on", f"{sum(gained)}", sum(gained) >= 2),
    ]
    text = f"{table(HEADER, rows)}\n\ntraining: {record.report}"
    return Outcome(text, {"rows": results, "training": record.report.as_json(), "use": record.header}, bars)


def learned(asked: argparse.Namespace, folder: Path) -> tuple[Path, E2RankRecord]:
    """The model that is trained on nq-qed; one that ``--cache`` keeps is not trained again."""
    out = (asked.cache or folder) / f"e2rank-{LEARNED}-{EFFORT.steps}-{EFFORT.passages}"
    if out.exists():
        return out, E2RankRecord.read(out)
    chosen = judged_sets.SETS["nq-qed"](1, LEARNED)
    judged = found(chosen, chosen.train, Cached(chosen, asked.cache), ("minilm",), REPRESENT)["minilm"]
    work = Work(progress=True, checkpoint=folder / "checkpoint")
    return out, train(load_model(formats.MODEL), cut(judged, 20), out, effort=EFFORT, work=work)


def scorers(
    judged: JudgedRankings, record: E2RankRecord, out: Path, known: Cached, cache: Path | None
) -> dict[str, Scorer]:
    """How each method scores the candidates of the question in a row."""
    tokens = run(known.model.tokens())
    assert tokens is not None
    lists = Lists.of(judged, tokens, Use(), QUIET)
    feedback = round(lists.shown)
    rocchio = Rocchio(feedback, beta=1.0)
    ways: dict[str, Scorer] = {
        f"mean of the first {feedback} (Rocchio)": lambda row, _: rocchio.scores(lists.own[row], lists.vectors[row])
    }
    pseudo = embed(known.model, "queries", lists.prompts, folder=cache)
    for weight in WEIGHTS:
        scores = lists.scores(pseudo, weight)
        ways[f"e2rank untrained, weight {weight:g}"] = lambda row, _, scores=scores: scores[row]
    if record.use.tuned:
        own = Lists.of(judged, tokens, record.use, QUIET)
        trained = own.scores(embed(embedder(str(out)), "queries", own.prompts, folder=cache), record.use.weight)
        ways[f"e2rank trained, forced, weight {record.use.weight:g}"] = lambda row, _: trained[row]
    return ways


def compare(
    name: str, judged: JudgedRankings, ways: dict[str, Scorer], *, acts: bool
) -> tuple[list[list[object]], float, bool]:
    """Rows of the table, the lower limit of what the trained reranker does here, and whether any way gains .03."""
    before = np.array([ndcg(one) for one in judged])
    first = np.array([reciprocal_rank(one) for one in judged])
    rows: list[list[object]] = [[name, "no reranking", f"{before.mean():.4f}", "", "", f"{first.mean():.4f}"]]
    low, most = 0.0, False  # where it does not act, nothing changes
    for way, scorer in ways.items():
        orders = [np.argsort(-scorer(row, one), kind="stable").tolist() for row, one in enumerate(judged)]
        after = np.array([ndcg(one, order) for one, order in zip(judged, orders, strict=True)])
        ranks = np.mean([reciprocal_rank(one, order) for one, order in zip(judged, orders, strict=True)])
        change = paired_difference(after, before)
        interval = f"[{change.low:+.4f}, {change.high:+.4f}]"
        rows.append(["", way, f"{after.mean():.4f}", f"{change.value:+.4f}", interval, f"{ranks:.4f}"])
        if "forced" in way and acts:
            low = change.low
        most = most or ("e2rank" in way and change.value >= MOONSHOT and change.low > 0 and name != "nq-qed dev")
    rows.append(["", "e2rank trained, where it may act", *(["as above"] if acts else ["no change"]), "", "", ""])
    return rows, low, most
