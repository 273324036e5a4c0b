"""Okapi BM25 over Qdrant's tokens for a whole set at once, with Qdrant's inverse document frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from octant.sparse import Bm25


def bm25_scores(questions: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Scores (questions, texts) float32, higher is better."""
    encoder = Bm25(average_length=float(np.mean([len(text.split()) for text in texts])))
    weights = encoder.encode_documents(texts)
    tokens = np.concatenate([vector.indices for vector in weights]).astype(np.int64)
    values = np.concatenate([vector.values for vector in weights])
    documents = np.repeat(np.arange(len(texts)), [len(vector.indices) for vector in weights])
    order = np.argsort(tokens, kind="stable")
    tokens, values, documents = tokens[order], values[order], documents[order]
    found = np.zeros((len(questions), len(texts)), np.float32)
    for row, query in zip(found, encoder.encode_queries(questions), strict=True):
        for token in query.indices.tolist():
            start, end = np.searchsorted(tokens, [token, token + 1])
            idf = np.log(1 + (len(texts) - (end - start) + 0.5) / (end - start + 0.5))
            row[documents[start:end]] += idf * values[start:end]
    return found
