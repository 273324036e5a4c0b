"""Tiny embedding models with random weights, made on the spot, and judged rankings that they can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octant.judged import Judged, JudgedRankings
from octant.records import Candidate, EmbeddingIdentity, Ranking

WORDS = ("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor")
_COMMON = ("the", "a", "and", "passage", "tells", "of", "about", "which", "is", "documents", "search", "query")
LONGEST = 96


def embedding_model_in(folder: Path, *, layers: int = 3, seed: int = 0) -> str:
    """Path of a sentence-transformers model of small BERT layers, which knows ``WORDS`` and reads 96 tokens."""
    torch = pytest.importorskip("torch", reason="needs the extra [models]")
    models = pytest.importorskip("sentence_transformers", reason="needs the extra [models]")
    from transformers import BertConfig, BertModel, BertTokenizerFast

    bert = folder / "bert"
    bert.mkdir(parents=True)
    pieces = [f"{mark}{sign}" for mark in ("", "##") for sign in "abcdefghijklmnopqrstuvwxyz0123456789[]:?,."]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_COMMON, *WORDS, *pieces]
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=LONGEST, initializer_range=0.4,
        )  # fmt: skip
        BertModel(config).save_pretrained(bert)
    BertTokenizerFast.from_pretrained(bert, model_max_length=LONGEST).save_pretrained(bert)
    made = models.SentenceTransformer(str(bert), local_files_only=True, device="cpu")  # mean pooling
    made.save(str(folder / "model"), create_model_card=False)
    return str(folder / "model")


def loaded(path: str) -> Any:
    """The library's own object."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(path, local_files_only=True, device="cpu")


def judged_rankings(
    model: Any, identity: EmbeddingIdentity | None = None, *, questions: int = 48, candidates: int = 6, seed: int = 0
) -> JudgedRankings:
    """Questions about one of ``WORDS`` each, with one passage among several that tells of it, in random order."""
    rng = np.random.default_rng(seed)
    texts = [f"the passage tells of the {word} {number % 10}" for number in range(4) for word in WORDS]
    vectors = model.encode_document(texts, convert_to_numpy=True, show_progress_bar=False)
    asked = [f"which passage is about the {WORDS[row % len(WORDS)]} {row}?" for row in range(questions)]
    own = model.encode_query(asked, convert_to_numpy=True, show_progress_bar=False)
    made = []
    for row, query in enumerate(asked):
        right = row % len(WORDS)
        wrong = rng.permutation([place for place in range(len(texts)) if place % len(WORDS) != right])
        chosen = rng.permutation([right, *wrong[: candidates - 1]])
        scores = np.sort(rng.random(candidates))[::-1]
        found = Ranking(
            tuple(
                Candidate(int(place), float(score), texts[place], vector=vectors[place])
                for place, score in zip(chosen, scores, strict=True)
            ),
            query,
        )
        made.append(Judged(query, found, {right: 1.0}, own[row], f"q{row}"))
    return JudgedRankings(tuple(made), identity, "made-up", "dense cosine")
