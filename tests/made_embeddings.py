"""Made-up embedding models that are fast, deterministic and different from each other, and documents for them."""

from __future__ import annotations

import hashlib
import re
import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

TOPICS = ("tides", "lichens", "bridges", "sextants", "glaciers", "looms")


def documents(count: int = 60) -> list[str]:
    """Texts with a topic each, and a word that no other text has."""
    return [f"{TOPICS[row % len(TOPICS)]} and what is known of them, note{row}" for row in range(count)]


@cache
def _word(seed: int, dimension: int, word: str) -> NDArray[np.float64]:
    digest = hashlib.sha256(f"{seed} {word}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).standard_normal(dimension)


class HashedWords:
    """LangChain's ``Embeddings`` by hashed words; another ``seed`` is another model.

    ``broken`` makes it fail; ``waits`` makes it wait for an event; ``seen`` counts the texts that it embedded.
    """

    def __init__(self, seed: int, dimension: int = 32) -> None:
        self.model = f"hashed-words-{seed}"
        self.seed, self.dimension = seed, dimension
        self.broken: str = ""
        self.breaks_on: str = ""
        self.waits: threading.Event | None = None
        self.seen = 0
        self.fails_after: int | None = None

    def _vector(self, text: str) -> list[float]:
        if self.broken or (self.breaks_on and self.breaks_on in text):
            raise ConnectionError(self.broken or "made to fail")
        if self.fails_after is not None and self.seen >= self.fails_after:
            raise ConnectionError("made to fail half-way")
        if self.waits is not None:
            self.waits.wait(60)
        self.seen += 1
        total = np.zeros(self.dimension)
        for word in re.findall(r"\w+", text.lower()):
            total += _word(self.seed, self.dimension, word)
        norm = np.linalg.norm(total)
        return [float(value) for value in (total / norm if norm else np.eye(self.dimension)[0])]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)
