"""Recorded answers of real models, fed through Octant's own sliding window and readers.

Listwise: 8,643 raw answers of RankVicuna and Vicuna over five first stages of TREC DL 2019 (rank_llm's history). Every
recorded ranking whose answers were all well formed must come out exactly. The others are repaired by Octant's rules
where the recorded rule reads every digit, so that later windows may hold other passages than the model was shown: its
answer is then translated to the passages that are there.

Log-probabilities: 43,335 judgements of GPT-4 Turbo (AlpacaEval 2), whose stored probabilities must come out again, and
3,209 of them in OpenAI's own form.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from harness import Bar, data_folder, table
from parts import Outcome

import octant
from octant.records import Candidate, Ranking
from octant.rerankers.likelihoods import share
from octant.token_logprobs import TokenLogprob, token_logprobs

_SHOWN = re.compile(r"^\[\d+\] <passage>(.*?)</passage>$", re.MULTILINE)
_LISTED = re.compile(r"\[\d+\](?: > \[\d+\])*")


@dataclass
class Recorded:
    """One query of one run: the windows in the order of the calls, and the order they led to."""

    windows: list[dict] = field(default_factory=list)
    final: list[str] = field(default_factory=list)

    @property
    def first_stage(self) -> list[str]:
        """The list before any call: a window holds untouched passages above what the one before it overlaps."""
        seen: set[str] = set()
        parts = []
        for window in self.windows:
            parts.append([docid for docid in window["docids"] if docid not in seen])
            seen.update(window["docids"])
        return [docid for part in reversed(parts) for docid in part]

    @property
    def well_formed(self) -> bool:
        return all(well_formed(window) for window in self.windows)


class Replayed:
    """A model that answers as it was recorded, call by call."""

    def __init__(self, windows: Sequence[Mapping]) -> None:
        self._windows: Iterator[Mapping] = iter(windows)
        self.translated = 0

    def __call__(self, prompt: str) -> str:
        window = next(self._windows)
        shown = _SHOWN.findall(prompt)
        if shown == window["docids"]:
            return window["response"]
        self.translated += 1
        places = {docid: place for place, docid in enumerate(shown, 1)}

        def place(match: re.Match[str]) -> str:
            number = int(match[0])
            if not 1 <= number <= len(window["docids"]):
                return match[0]
            return str(places.get(window["docids"][number - 1], len(shown) + 1))

        return re.sub(r"\d+", place, window["response"])


def measure(asked: argparse.Namespace) -> Outcome:
    folder = data_folder("llm-outputs")
    listwise, rows, bars = replay_listwise(folder / "rankllm-listwise-responses")
    logprobs, more_bars = replay_logprobs(folder / "alpacaeval-gpt4-logprobs")
    header = ("model", "rankings", "answers", "parsed", "repaired", "fell back", "nDCG@10 Octant", "recorded rule")
    text = table(header, rows) + "\n\n" + "\n".join(f"{name}: {value}" for name, value in logprobs.items())
    return Outcome(text, {"listwise": listwise, "logprobs": logprobs}, [*bars, *more_bars])


def replay_listwise(folder: Path) -> tuple[dict, list[Sequence[object]], list[Bar]]:
    recorded = read_recorded(folder)
    models = {run["run"]: run["model"] for run in read_lines(folder / "runs.jsonl")}
    qrels = read_qrels(data_folder("msmarco-trec-dl-v1") / "qrels-dl19-full.tsv.gz")
    per_model: dict[str, Counter] = defaultdict(Counter)
    gains: dict[str, list[tuple[float, float]]] = defaultdict(list)
    exact = well_formed = same = lost = 0
    for (run, query), asked in recorded.items():
        got, kinds = rerank(asked)
        clean = asked.well_formed
        well_formed += clean
        exact += clean and got == asked.final
        same += got == asked.final
        lost += sorted(got) != sorted(asked.first_stage)
        counts = per_model[models[run]]
        counts.update(kinds)
        counts["rankings"] += 1
        gains[models[run]].append((ndcg(got, qrels[query]), ndcg(asked.final, qrels[query])))
    rows: list[Sequence[object]] = []
    for model, counts in per_model.items():
        ours, theirs = np.mean(gains[model], axis=0)
        kinds = [counts[kind] for kind in ("parsed", "repaired", "fell back")]
        rows.append((model, counts["rankings"], sum(kinds), *kinds, f"{ours:.4f}", f"{theirs:.4f}"))
    answers = sum(len(asked.windows) for asked in recorded.values())
    bars = [
        Bar(
            "recorded rankings of well-formed answers come out exactly",
            f"{exact} of {well_formed}",
            exact == well_formed,
        ),
        Bar("rankings with a passage lost, invented or repeated", f"{lost} of {len(recorded)}", lost == 0),
        Bar(
            "all is replayed", f"{len(recorded)} rankings, {answers} answers", (len(recorded), answers) == (1419, 8643)
        ),
    ]
    results = {
        "rankings": len(recorded), "answers": answers, "well_formed": well_formed, "exact": exact,
        "malformed_with_the_recorded_ranking": same - exact,
        "models": {str(row[0]): list(row[1:]) for row in rows},
    }  # fmt: skip
    return results, rows, bars


def rerank(asked: Recorded) -> tuple[list[str], list[str]]:
    """The order Octant comes to, and what became of each answer."""
    first = asked.first_stage
    ranking = Ranking(tuple(Candidate(docid, -float(place), docid) for place, docid in enumerate(first)), "a query")
    result = octant.reranker("listwise(window=20, step=10)", Replayed(asked.windows)).rerank("a query", ranking)
    return [str(docid) for docid in result.ids], [note.kind for note in result.report.outputs]


def read_recorded(folder: Path) -> dict[tuple[str, str], Recorded]:
    recorded: dict[tuple[str, str], Recorded] = defaultdict(Recorded)
    for window in read_lines(folder / "windows.jsonl.gz"):
        recorded[window["run"], window["qid"]].windows.append(window)
    for final in read_lines(folder / "final-rankings.jsonl.gz"):
        recorded[final["run"], final["qid"]].final = final["docids"]
    return recorded


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)  # the header
        for line in file:
            query, docid, grade = line.split("\t")
            qrels[query][docid] = int(grade)
    return qrels


def ndcg(docids: Sequence[str], qrels: Mapping[str, int], k: int = 10) -> float:
    """With linear gain, as trec_eval has it."""
    found = [max(0, qrels.get(docid, 0)) for docid in docids[:k]]
    ideal = sorted((max(0, grade) for grade in qrels.values()), reverse=True)[:k]
    best = _dcg(ideal)
    return _dcg(found) / best if best else 0.0


def replay_logprobs(folder: Path) -> tuple[dict, list[Bar]]:
    worst = {"first tokens": 0.0, "OpenAI's form": 0.0}
    count = Counter()
    stored = {}
    for line in read_lines(folder / "first-token-logprobs.jsonl.gz"):
        stored[line["model"], line["q"]] = line
        top = tuple((text, logprob) for text, logprob in line["top"])
        token = TokenLogprob(line["token"], dict(top).get(line["token"], -math.inf), top)
        worst["first tokens"] = max(worst["first tokens"], _error(line, [token]))
        count["first tokens"] += 1
    for raw in read_lines(folder / "raw-openai-completions.jsonl.gz"):
        line = stored.get((raw["model"], raw["q"]))
        if line is not None:
            tokens = token_logprobs(raw["raw_completion"]["logprobs"])
            worst["OpenAI's form"] = max(worst["OpenAI's form"], _error(line, tokens))
            count["OpenAI's form"] += 1
    bars = [
        Bar(f"stored probabilities from {form}", f"{count[form]} judgements, within {error:.1e}", error < 1e-6)
        for form, error in worst.items()
    ]
    return {f"largest difference, {form} ({count[form]})": error for form, error in worst.items()}, bars


def _error(line: Mapping, tokens: Sequence[TokenLogprob] | None) -> float:
    label = line["label_of_model"] or "m"  # not kept where both are equally likely
    found = share(tokens or (), label, "M" if label == "m" else "m", case=True)
    return abs(found - line["p_model"]) if found is not None else math.inf


def well_formed(window: Mapping) -> bool:
    listed = _LISTED.fullmatch(window["response"].strip())
    numbers = [int(number) for number in re.findall(r"\d+", window["response"])]
    return bool(listed) and sorted(numbers) == list(range(1, len(window["docids"]) + 1))


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def read_lines(path: Path) -> Iterator[dict]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
