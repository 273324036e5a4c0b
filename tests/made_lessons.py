"""Made-up judged rankings with texts and vectors: the relevant passage shares a rare word with its question."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from octant import Candidate, EmbeddingIdentity, Ranking
from octant.judged import Judged, JudgedRankings
from octant.records import FloatArray

DIM = 16
CORPUS = "c" * 32
MODEL = EmbeddingIdentity("made_lessons.embed", DIM, True)
"""Of :func:`embed`."""
FILLER = ("sea", "moon", "lamp", "stone", "glass", "wool", "sand", "salt")


def embed(texts: Sequence[str]) -> FloatArray:
    """Unit vectors (n, 16), by a hash of each text."""
    seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
    rows = np.stack([np.random.default_rng(seed).normal(size=DIM) for seed in seeds])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def lessons(
    count: int = 80, *, depth: int = 12, helpful: bool = True, seed: int = 0, corpus: str | None = CORPUS
) -> JudgedRankings:
    """Questions whose one relevant passage lies anywhere in the ranking.

    ``helpful``: it alone has the question's rare word, and its vector agrees with the question's in the first half of
    the coordinates. Otherwise a passage by chance has the rare word, and the order of the search is right.
    """
    rng = np.random.default_rng(seed)
    shared = np.arange(DIM) < DIM // 2
    made = []
    for row in range(count):
        right = int(rng.integers(depth)) if helpful else 0
        named = right if helpful else int(rng.integers(depth))
        query = f"where is the rare{row}"
        asked = rng.normal(size=DIM)
        found = []
        for place in range(depth):
            words = " ".join(rng.choice(FILLER, 6))
            text = f"{words} rare{row}" if place == named else words
            vector = np.where(shared & (place == right), asked, rng.normal(size=DIM))
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            found.append(Candidate(f"q{row}p{place}", 1 - place / 20 + 0.001 * rng.normal(), text, {}, unit))
        vector = (asked / np.linalg.norm(asked)).astype(np.float32)
        made.append(Judged(query, Ranking(tuple(found), query), {f"q{row}p{right}": 1.0}, vector, f"q{row}"))
    return JudgedRankings(tuple(made), MODEL, corpus, "dense cosine")
