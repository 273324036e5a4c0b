"""MaxSim over the token vectors of MiniLM: what late interaction brings with a model that was not trained for it.

Questions of nq-qed dev, SQuAD's held-out articles, COVID-QA and TREC DL, the best 20 of MiniLM and of BM25. Beside no
reranking, exact float cosines, ``lexical`` and ``rocchio``. Token vectors are kept as float16, which is what the bytes
count; those of the distinct candidates are made once and kept under ``--cache``. Cross-encoders read the same
candidates, and are not measured: there are no weights of one that this benchmark could load without a network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import judged_sets
import numpy as np
from harness import Bar
from judged_sets import Cached, cut, found, wanted
from parts import Outcome
from scored import Row, rows_table, scored, unchanged, vector_of
from tqdm import tqdm

from octant import Embedder
from octant.flow import run
from octant.judged import Judged
from octant.records import FloatArray
from octant.rerankers.lexical import Lexical
from octant.rerankers.maxsim import maxsim
from octant.rerankers.rocchio import Rocchio, cosines, stacked
from octant.rerankers.trained import Scorer

FIRST = ("minilm", "bm25")
QUESTIONS, DEPTH = 100, 20
BLOCK = 128
"""Passages whose token vectors are made, and kept, at a time."""
TIMED = 16
"""Passages that are embedded anew to tell what one takes."""


def measure(asked: argparse.Namespace) -> Outcome:
    rows: list[Row] = []
    results: dict[str, object] = {}
    bars: list[Bar] = []
    for name in wanted(asked, tuple(judged_sets.SETS)):
        chosen = judged_sets.SETS[name](asked.questions or QUESTIONS, 0)
        known = Cached(chosen, asked.cache)
        stages = {
            first: cut(judged, DEPTH) for first, judged in found(chosen, chosen.test, known, FIRST, "float32").items()
        }
        passages = sorted({hit.text or "" for judged in stages.values() for one in judged for hit in one.ranking})
        vectors = token_vectors(known.model, passages, asked.cache)
        questions = [one.query for one in stages["minilm"]]
        own = dict(zip(questions, run(known.model.embed_query_tokens(questions)), strict=True))
        costs = costs_of(known.model, passages, vectors, questions)
        ways = scorers(own, vectors)
        here = [
            scored(chosen, first, f"float32, best {DEPTH}", way, scorer, judged)
            for first, judged in stages.items()
            for way, scorer in ways.items()
        ]
        print(rows_table(here), flush=True)
        rows += here
        results[chosen.name] = {"rows": [row.as_json() for row in here], **costs}
        bars.append(Bar(f"{chosen.name}: what MaxSim costs", _told(costs), True))
    return Outcome(rows_table(rows), {"sets": results}, bars)


def scorers(own: Mapping[str, FloatArray], vectors: Mapping[str, FloatArray]) -> dict[str, Scorer]:
    """Scores of a question's candidates by every method; ``own``: token vectors of the questions."""
    rocchio, lexical = Rocchio(), Lexical()

    def late(one: Judged) -> FloatArray:
        passages = [vectors[hit.text or ""].astype(np.float32) for hit in one.ranking]
        return maxsim(own[one.query], passages).astype(np.float32)

    return {
        "none": unchanged,
        "exact(vectors=true)": lambda one: cosines(vector_of(one), stacked(one.ranking)),
        "rocchio": lambda one: rocchio.scores(vector_of(one), stacked(one.ranking)),
        "lexical": lambda one: lexical._scores(one.query, one.ranking),
        "maxsim": late,
    }


def token_vectors(model: Embedder, passages: Sequence[str], cache: Path | None) -> dict[str, FloatArray]:
    """Token vectors (tokens, dim) float16 of every passage, those that were made before from ``cache``."""
    made: dict[str, FloatArray] = {}
    for start in tqdm(range(0, len(passages), BLOCK), desc="token vectors", unit=f"{BLOCK} passages"):
        block = passages[start : start + BLOCK]
        path = None if cache is None else cache / f"tokens-{_key(model, block)}.npz"
        if path is not None and path.exists():
            with np.load(path) as kept:
                rows = np.split(kept["rows"], np.cumsum(kept["lengths"])[:-1])
        else:
            rows = [one.astype(np.float16) for one in run(model.embed_document_tokens(block))]
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_suffix(".part.npz")
                np.savez(unfinished, rows=np.concatenate(rows), lengths=[len(one) for one in rows])
                unfinished.replace(path)
        made |= dict(zip(block, rows, strict=True))
    return made


def _key(model: Embedder, texts: Sequence[str]) -> str:
    identity = model.identity
    return hashlib.sha256(json.dumps([identity.name, identity.probe, *texts]).encode()).hexdigest()


def costs_of(
    model: Embedder, passages: Sequence[str], vectors: Mapping[str, FloatArray], questions: Sequence[str]
) -> dict[str, float]:
    """Of one passage: tokens, bytes and milliseconds to embed; of one question: milliseconds to embed its tokens."""
    picked = [passages[place] for place in np.linspace(0, len(passages) - 1, TIMED).astype(int)]
    began = perf_counter()
    run(model.embed_document_tokens(picked))
    embedding = (perf_counter() - began) / len(picked)
    times = []
    for question in questions[:TIMED]:
        began = perf_counter()
        run(model.embed_query_tokens([question]))
        times.append(perf_counter() - began)
    return {
        "passages": len(passages),
        "tokens": float(np.mean([len(one) for one in vectors.values()])),
        "bytes": float(np.mean([one.nbytes for one in vectors.values()])),
        "bytes_of_one_float32_vector": 4.0 * next(iter(vectors.values())).shape[1],
        "ms_to_embed_a_passage": embedding * 1e3,
        "ms_to_embed_a_question": float(np.median(times)) * 1e3,
    }


def _told(costs: Mapping[str, float]) -> str:
    return (
        f"{costs['tokens']:.0f} tokens and {costs['bytes']:,.0f} bytes a passage (one vector: "
        f"{costs['bytes_of_one_float32_vector']:,.0f}), {costs['ms_to_embed_a_passage']:.0f} ms to embed one, "
        f"{costs['ms_to_embed_a_question']:.0f} ms a question; {costs['passages']:,.0f} distinct candidates"
    )
