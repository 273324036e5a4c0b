"""Tiny cross-encoders with random weights, made on the spot: no weights are downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = ("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor")
"""What the passages of the tests are about."""
_COMMON = ("the", "a", "and", "passage", "tells", "of", "about", "which", "is", ".", "?", ":")
LONGEST = 48


def cross_encoder_in(folder: Path, labels: int = 1, seed: int = 0) -> str:
    """Path of a sentence-transformers cross-encoder of two small BERT layers, which knows ``WORDS`` and numbers."""
    torch = pytest.importorskip("torch", reason="needs the extra [models]")
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    pieces = [*map(str, range(20)), *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789")]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_COMMON, *WORDS, *pieces]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        num_labels=labels,
        initializer_range=0.6,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast.from_pretrained(folder, model_max_length=LONGEST).save_pretrained(folder)
    return str(folder)


def loaded(path: str, **options: Any) -> Any:
    """The library's own object."""
    from sentence_transformers import CrossEncoder

    return CrossEncoder(path, local_files_only=True, device="cpu", **options)
