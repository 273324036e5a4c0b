"""What is right by itself and wrong together."""

from __future__ import annotations

from collections.abc import Iterator

from octant.config.parts import Config, EmbeddingConfig, nearest
from octant.config_file import Where

_RECOMMENDED = ("represent", "hnsw", "placement", "knobs")


def contradictions(config: Config) -> Iterator[tuple[Where, str]]:
    """Every contradiction of a configuration: where, and what to do."""
    search, select = config.search, config.select
    if config.embedding is not None and config.embeddings is not None:
        yield ("embedding",), "embedding is the one, embeddings are several by name: give one of the two"
    names = [*(config.embeddings or ()), config.sparse_name]
    if config.embeddings is not None and config.sparse_name in config.embeddings:
        yield ("embeddings", config.sparse_name), "is the name of the sparse vector: give it another, or sparse_name"
    asked: list[tuple[Where, str]] = [(("search", "embedding"), search.embedding)] if search.embedding else []
    asked += [
        (("select", "embeddings", place), name)
        for place, name in enumerate((select.embeddings if select else None) or [])
    ]
    if config.embeddings is not None:
        for where, name in asked:
            if name not in names:
                yield where, f"there is no embedding {name!r}{nearest(name, names)}"
    if select is not None or config.confidence is not None:
        why = "select" if select is not None else "confidence"
        for key in ("embedding", "score_threshold"):
            if getattr(search, key) is not None:
                yield ("search", key), f"is for one embedding, and {why} asks several: leave one of them out"
        if search.mode != "dense":
            yield ("search", "mode"), f"{why} asks the sparse embedding too: leave the mode out"
        if config.cutoff is not None:
            yield ("cutoff",), f"reads the scores of one embedding, and {why} asks several: leave one of them out"
    if config.cutoff is not None and search.mode != "dense":
        yield ("cutoff",), f"judges the scores of a dense search; search.mode is {search.mode}"
    if config.rerank is not None and search.candidates < search.k:
        yield ("search", "candidates"), f"is less than k ({search.k}): reranking needs candidates to choose from"
    if search.timeout is not None and select is None and config.confidence is None:
        yield ("search", "timeout"), "is for several embeddings: add select, or leave it out"
    for where, one in _embeddings(config):
        if one.recommendation and (decided := [key for key in _RECOMMENDED if getattr(one, key) is not None]):
            yield (*where, "recommendation"), f"decides {', '.join(decided)}: leave that out, or the recommendation"


def _embeddings(config: Config) -> Iterator[tuple[Where, EmbeddingConfig]]:
    if config.embedding is not None:
        yield ("embedding",), config.embedding
    for name, one in (config.embeddings or {}).items():
        yield ("embeddings", name), one
