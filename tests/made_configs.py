"""Broken configurations, each with the message it gets: for the test, and for whoever wants to read the table."""

from __future__ import annotations

from typing import NamedTuple

SECRET = "s3cret-value"
ENVIRONMENT = {"KEY": SECRET, "NUMBER": SECRET, "PLACE": f"http://user:{SECRET}@host", "EMPTY": ""}
"""Variables that every configuration is read with."""


class Broken(NamedTuple):
    """A mistake.

    Attributes
    ----------
    text : str
        Of the file.
    line : int or None
    key : str
    message : str
        A part of it.
    """

    text: str
    line: int | None
    key: str
    message: str


GOOD = "collection: docs\n"
BROKEN = [
    Broken("", 1, "collection", "is missing"),
    Broken("collection:\n", 1, "collection", "should be a valid string; got None"),
    Broken("collection: ''\n", 1, "collection", "should have at least 1 character"),
    Broken("- docs\n", 1, "", "expected keys and values"),
    Broken("collection: docs\n  store: x\n", 2, "", "cannot be read as YAML: mapping values are not allowed here"),
    Broken("collection: [docs\n", 2, "", "cannot be read as YAML"),
    Broken("collection: !!python/object/apply:os.system ['true']\n", 1, "", "cannot be read as YAML"),
    Broken("a: &a [*a]\n", 1, "", "cannot be read as YAML"),
    Broken("collection: docs\ncollection: more\n", 2, "collection", "is given twice, first in line 1"),
    Broken("collection: docs\n? [a, b]\n: c\n", 2, "", "a key must be a word"),
    Broken(GOOD + "colection: docs\n", 2, "colection", "there is no such key; did you mean 'collection'?"),
    Broken(GOOD + "reranker: listwise\n", 2, "reranker", "did you mean 'rerank'?"),
    Broken(GOOD + "zzz: 1\n", 2, "zzz", "there is no such key; the keys here are collection, create, store"),
    Broken(GOOD + "create: perhaps\n", 2, "create", "should be a valid boolean"),
    Broken(GOOD + "store: {path: data}\n", 2, "store.path", "the keys here are location, api_key"),
    Broken(GOOD + "store:\n  location: x\n  timeout: -1\n", 4, "store.timeout", "greater than or equal to 1; got -1"),
    Broken(GOOD + "store: {api_key: '${MISSING}'}\n", 2, "store.api_key", "MISSING is not set: set it, or write"),
    Broken(GOOD + "store: {api_key: '${EMPTY}'}\n", 2, "store.api_key", "variable EMPTY is not set"),
    Broken(GOOD + "store: {api_key: '${oh no}'}\n", 2, "store.api_key", "has a '${' that is no ${NAME}"),
    Broken(GOOD + "store: {api_key: [1]}\n", 2, "store.api_key", "should be a valid string"),
    Broken(GOOD + "store: {timeout: '${NUMBER}'}\n", 2, "store.timeout", "what NUMBER holds is not right here"),
    Broken(GOOD + "search: '${NUMBER}'\n", 2, "search", "what NUMBER holds is not right here"),
    Broken(GOOD + "embedding: {modl: x}\n", 2, "embedding.modl", "did you mean 'model'?"),
    Broken(GOOD + "embedding: x\nembeddings: {a: y}\n", 2, "embedding", "give one of the two"),
    Broken(GOOD + "embeddings: {}\n", 2, "embeddings", "should have at least 1 item"),
    Broken(GOOD + "embeddings: [a, b]\n", 2, "embeddings", "should be a valid dictionary"),
    Broken(GOOD + "embeddings: {sparse: x}\n", 2, "embeddings.sparse", "is the name of the sparse vector"),
    Broken(GOOD + "embedding:\n  represent: turbo9\n", 3, "embedding.represent", "did you mean 'turbo'?"),
    Broken(GOOD + "embedding:\n  represent: pca(\n", 3, "embedding.represent", "at position"),
    Broken(GOOD + "embedding: {distance: near}\n", 2, "embedding.distance", "'cosine', 'dot', 'euclid' or 'manhattan'"),
    Broken(GOOD + "embedding: {dimension: 3.5}\n", 2, "embedding.dimension", "should be a valid integer"),
    Broken(GOOD + "embedding: {hnsw: {ef: 3}}\n", 2, "embedding.hnsw", "has no 'ef'"),
    Broken(GOOD + "embedding: {placement: {graph: warm}}\n", 2, "embedding.placement.graph", "'cached' or 'cold'"),
    Broken(
        GOOD + "embedding: {represent: turbo4, recommendation: r.json}\n", 2, "embedding.recommendation",
        "decides represent: leave that out",
    ),
    Broken(GOOD + "sparse: bm26\n", 2, "sparse", "bm25"),
    Broken(GOOD + "search: {k: 0}\n", 2, "search.k", "greater than or equal to 1; got 0"),
    Broken(GOOD + "search: {k: true}\n", 2, "search.k", "expected a number, got true or false"),
    Broken(GOOD + "search: {k: ten}\n", 2, "search.k", "should be a valid integer"),
    Broken(GOOD + "search: {mode: fast}\n", 2, "search.mode", "'dense', 'sparse' or 'hybrid'; got 'fast'"),
    Broken(GOOD + "search: {knobs: {coverage: 2}}\n", 2, "search.knobs", "coverage must lie between 0 and 1"),
    Broken(GOOD + "search: {knobs: {hnsw_eff: 2}}\n", 2, "search.knobs", "did you mean 'hnsw_ef'?"),
    Broken(GOOD + "search: {timeout: 3}\n", 2, "search.timeout", "is for several embeddings: add select"),
    Broken(GOOD + "embeddings: {bge: x}\nsearch: {embedding: bgee}\n", 3, "search.embedding", "did you mean 'bge'?"),
    Broken(GOOD + "search: {k: 9, candidates: 3}\nrerank: lexical\n", 2, "search.candidates", "is less than k (9)"),
    Broken(GOOD + "rerank: listwize\n", 2, "rerank", "did you mean 'listwise'?"),
    Broken(GOOD + "rerank: [lexical, 3]\n", 2, "rerank", "at position 10"),
    Broken(GOOD + "rerank: {spec: lexical, on_failure: shrug}\n", 2, "rerank.on_failure", "'first_stage' or 'raise'"),
    Broken(GOOD + "rerank: {spec: lexical, prices: {input: 1}}\n", 2, "rerank.prices.output", "is missing"),
    Broken(GOOD + "rerank: {max_calls: 3}\n", 2, "rerank.spec", "is missing"),
    Broken(GOOD + "select: fusee\n", 2, "select", "did you mean 'fuse'?"),
    Broken(
        GOOD + "embeddings: {a: x}\nselect:\n  spec: fuse\n  embeddings:\n    - a\n    - b\n", 7,
        "select.embeddings[1]", "there is no embedding 'b'",
    ),
    Broken(GOOD + "select: fuse\ncutoff: attached\n", 3, "cutoff", "reads the scores of one embedding"),
    Broken(GOOD + "select: fuse\nsearch: {mode: hybrid}\n", 3, "search.mode", "leave the mode out"),
    Broken(GOOD + "cutoff: c.oct\nsearch: {mode: sparse}\n", 2, "cutoff", "search.mode is sparse"),
    Broken(GOOD + "model: gpt-4o\n", 2, "model", "a chat model is named provider:model"),
    Broken(GOOD + "confidence: {abstain_below: 1.5}\n", 2, "confidence.abstain_below", "or equal to 1; got 1.5"),
    Broken(GOOD + "confidence: 0.5\n", 2, "confidence", "expected keys and values: abstain_below"),
]  # fmt: skip
