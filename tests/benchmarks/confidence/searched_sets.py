"""Judged searches to choose among: recorded runs of TREC DL, and question sets searched by BM25 and MiniLM."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import formats
import numpy as np
from bm25 import bm25_scores
from harness import data_folder
from tqdm import tqdm

from octant import Candidate, Ranking, Rankings, embedder
from octant.datasets import read_dataset
from octant.embedding_cache import embed
from octant.selectors import JudgedSearch, JudgedSearches

SYSTEMS = ("bm25", "bm25-rm3", "tas-b", "openai-ada2", "splade-pp-ed", "repllama")
"""Of which runs were recorded."""
MINILM = "minilm"
"""The system that is run here: exact search with all-MiniLM-L6-v2."""
YEARS = ("dl19", "dl20")
DEPTH = 50
"""Candidates of each embedding in question sets."""
RUN_DEPTH = 100
"""Candidates in recorded runs."""


# -- recorded runs ---------------------------------------------------------------------------------


def trec_dl(year: str, systems: Sequence[str], *, grade: int = 1, cache: Path | None = None) -> JudgedSearches:
    """Real top-100 runs with real scores, the full judgements, and texts; below ``grade`` nothing is relevant.

    ``minilm`` among the systems is searched here, among the 27,274 passages that the recorded systems found; its
    candidates carry their vectors. ``cache`` keeps what that embeds.
    """
    runs, gains, texts = _runs(year), _gains(year), _texts()
    own_runs = _minilm(cache) if MINILM in systems else {}
    found = []
    for query in sorted(set(gains) & set(runs[SYSTEMS[0]])):
        rankings = {
            system: own_runs[query]
            if system == MINILM
            else Ranking(tuple(Candidate(point, score, texts.get(point)) for point, score in runs[system][query]))
            for system in systems
        }
        own = {point: gain for point, gain in gains[query].items() if gain >= grade}
        found.append(JudgedSearch(Rankings(rankings, {}, _queries(year)[query]), own, query))
    return JudgedSearches(tuple(found), corpus=f"msmarco {year}")


@lru_cache
def _runs(year: str) -> dict[str, dict[str, list[tuple[str, float]]]]:
    runs: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for system in SYSTEMS:
        runs[system] = defaultdict(list)
        path = data_folder("msmarco-trec-dl-v1") / "runs" / f"{year}.{system}.trec.gz"
        for query, _, point, _, score, *_ in _fields(path):
            runs[system][query].append((point, float(score)))
    return runs


@lru_cache
def _minilm(cache: Path | None) -> dict[str, Ranking]:
    data = read_dataset(data_folder("msmarco-trec-dl-v1"))
    model = embedder(formats.MODEL)
    with tqdm(total=len(data.documents), desc="embedding passages", unit=" passages") as progress:
        documents = embed(model, "documents", data.documents, folder=cache, progress=progress.update)
    scores = embed(model, "queries", data.queries, folder=cache) @ documents.T
    return {
        query: _best(found, data.document_ids, data.documents, documents, RUN_DEPTH)
        for query, found in zip(data.query_ids, scores, strict=True)
    }


@lru_cache
def _gains(year: str) -> dict[str, dict[str, float]]:
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    for query, point, grade in _fields(data_folder("msmarco-trec-dl-v1") / f"qrels-{year}-full.tsv.gz"):
        if not query.startswith("query"):
            gains[query][point] = float(grade)
    return gains


@lru_cache
def _queries(year: str) -> dict[str, str]:
    data = read_dataset(data_folder("msmarco-trec-dl-v1"), split=year)
    return dict(zip(data.query_ids, data.queries, strict=True))


@lru_cache
def _texts() -> dict[str, str]:
    data = read_dataset(data_folder("msmarco-trec-dl-v1"), split=YEARS[0])
    return dict(zip(data.document_ids, data.documents, strict=True))


def _fields(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield line.split()


# -- question sets ---------------------------------------------------------------------------------


def questions(name: str, split: str | None, count: int | None, cache: Path | None, *, seed: int = 0) -> JudgedSearches:
    """At most ``count`` questions of a set, in a random order, each searched by ``bm25`` and ``minilm``."""
    data = read_dataset(data_folder(name), split=split)
    model = embedder(formats.MODEL)
    documents = embed(model, "documents", data.documents, folder=cache)
    asked = embed(model, "queries", data.queries, folder=cache)
    order = np.random.default_rng(seed).permutation(len(data.queries))[:count]
    texts = [data.queries[place] for place in order]
    scores = {"bm25": bm25_scores(texts, data.documents), "minilm": asked[order] @ documents.T}
    rows = []
    for row, place in enumerate(order):
        query = data.query_ids[place]
        gains = {point: float(grade) for point, grade in data.qrels[query].items()}
        rankings = {
            system: _best(found[row], data.document_ids, data.documents, documents if system == "minilm" else None)
            for system, found in scores.items()
        }
        group = next(iter(gains)).partition("p")[0] if name.startswith("squad") else ""
        rows.append(JudgedSearch(Rankings(rankings, {}, texts[row]), gains, query, group))
    return JudgedSearches(tuple(rows), corpus=name)


def _best(
    scores: np.ndarray, ids: Sequence[str], texts: Sequence[str], vectors: np.ndarray | None, depth: int = DEPTH
) -> Ranking:
    """The first ``depth`` with a score; BM25 gives 0 to what shares no word."""
    best = np.argsort(-scores, kind="stable")[:depth]
    kept = [place for place in best if vectors is not None or scores[place] > 0]
    return Ranking(
        tuple(
            Candidate(
                ids[place], float(scores[place]), texts[place], vector=None if vectors is None else vectors[place]
            )
            for place in kept
        )
    )


def only(judged: JudgedSearches, *systems: str) -> JudgedSearches:
    """The same queries, as if only ``systems`` had been asked."""
    found = tuple(
        JudgedSearch(one.rankings.only(*systems), one.gains, one.name, one.group) for one in judged
    )  # fmt: skip
    return JudgedSearches(found, judged.identities, judged.corpus)
