"""Vectors of the single tokens of a text, from a sentence-transformers model: what late interaction compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from octant.errors import InputError
from octant.records import FloatArray

_ADDED = ("cls", "sep", "bos", "eos", "pad")
"""Tokens that stand for no part of a text; the unknown token does stand for one."""


def token_vectors(model: Any, texts: Sequence[str], role: Literal["document", "query"]) -> list[FloatArray]:
    """Unit vectors (tokens, dim) float32 of each of ``texts``, as far as the model reads them.

    Padding and the tokens that the model adds to every text ([CLS], [SEP] and their like) are left out; of a text
    without any other, the added ones are kept.

    Parameters
    ----------
    model : SentenceTransformer
    texts : sequence of str
    role : {"document", "query"}
        Which of the model's prompts comes before the text.

    Raises
    ------
    InputError
        If the model gives no vectors of tokens, or one that is not finite.
    """
    encode = getattr(model, f"encode_{role}", None) or model.encode
    found = encode(list(texts), output_value=None, show_progress_bar=False)
    added = _added(model)
    return [_of_one(features, added) for features in found]


def _of_one(features: Any, added: np.ndarray[Any, Any]) -> FloatArray:
    try:
        vectors, ids, read = (features[name] for name in ("token_embeddings", "input_ids", "attention_mask"))
    except (KeyError, TypeError) as error:
        raise InputError(f"this model gives no vectors of single tokens ({error}): take a transformer model") from error
    rows = vectors.detach().float().cpu().numpy()
    real = read.detach().cpu().numpy().astype(bool)
    own = real & ~np.isin(ids.detach().cpu().numpy(), added)
    rows = rows[own if own.any() else real].astype(np.float32)
    if not np.isfinite(rows).all():
        raise InputError("the model gave a vector of a token that is NaN or infinite: load it in another precision")
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _added(model: Any) -> np.ndarray[Any, Any]:
    tokenizer = getattr(model, "tokenizer", None)
    ids = [getattr(tokenizer, f"{name}_token_id", None) for name in _ADDED]
    return np.array([number for number in ids if isinstance(number, int)], np.int64)
