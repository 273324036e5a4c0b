"""Points that every contender stores: made up, since their values change nothing about speed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from langchain_core.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class Points:
    """``n`` points.

    Attributes
    ----------
    ids : list of n str
        UUIDs, which every contender takes as they are.
    texts : list of n str
    metadatas : list of n dict
    vectors : (n, dim) float32
    rows : list of n lists of float
        The same vectors, as LangChain's ``Embeddings`` return them.
    """

    ids: list[str]
    texts: list[str]
    metadatas: list[dict]
    vectors: np.ndarray
    rows: list[list[float]]

    @property
    def payloads(self) -> list[dict]:
        """What ``langchain-qdrant`` stores for the texts and metadatas."""
        return [
            {"page_content": text, "metadata": metadata}
            for text, metadata in zip(self.texts, self.metadatas, strict=True)
        ]


def make_points(n: int, dim: int) -> Points:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = [f"word{i}" for i in range(500)]
    return Points(
        ids=[str(uuid.UUID(int=i, version=4)) for i in range(n)],
        texts=[f"{i} " + " ".join(rng.choice(words, 60)) for i in range(n)],
        metadatas=[{"source": f"file-{i % 50}.md", "page": i} for i in range(n)],
        vectors=vectors,
        rows=vectors.tolist(),
    )


class Lookup(Embeddings):
    """Embeddings that were computed before, so that no model is timed."""

    def __init__(self, texts: list[str], rows: list[list[float]]) -> None:
        self.rows = dict(zip(texts, rows, strict=True))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.rows[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.rows[text]
