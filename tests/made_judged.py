"""Made-up judged rankings in which scores of different questions do not compare."""

from __future__ import annotations

import numpy as np

from octant.judged import Judged, JudgedRankings
from octant.records import Candidate, Ranking

DIM = 6
DEPTH = 20


def judged(
    count: int = 60,
    *,
    by_vector: float = 0.5,
    by_chance: float = 0.0,
    seed: int = 0,
    dimension: int = DIM,
    first_stage: str = "dense cosine",
) -> JudgedRankings:
    """Questions whose scores are shifted: by the first coordinate of their vector, or by chance.

    Of 20 candidates 4 are relevant, and score 0.3 more on average.
    """
    rng = np.random.default_rng(seed)
    made = []
    for row in range(count):
        vector = rng.normal(size=dimension)
        vector /= np.linalg.norm(vector)
        good = np.arange(DEPTH) < 4
        scores = 0.4 + 0.3 * good + by_vector * vector[0] + by_chance * rng.normal() + 0.05 * rng.normal(size=DEPTH)
        order = np.argsort(-scores)
        found = tuple(Candidate(f"d{i}", float(scores[i])) for i in order)
        gains = {f"d{i}": 1.0 for i in range(4)}
        made.append(Judged(f"question {row}", Ranking(found), gains, vector.astype(np.float32), f"q{row}"))
    return JudgedRankings(tuple(made), None, "0" * 32, first_stage)
