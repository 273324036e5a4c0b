"""All signals of a query's rankings, by name, and which way each one points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from octant.rankings import Rankings
from octant.records import Ranking
from octant.selectors import signals
from octant.selectors.signals import Floats

OF_SCORES: Mapping[str, tuple[Callable[[Floats], float], int]] = {
    "top score": (signals.top_score, 1),
    "gap": (signals.score_gap, 1),
    "gap to the 10th": (lambda scores: signals.score_gap(scores, 9), 1),
    "deviation": (lambda scores: signals.score_variance(scores) ** 0.5, 1),
    "NQC": (signals.normalized_query_commitment, 1),
    "WIG": (signals.weighted_information_gain, 1),
    "SMV": (signals.score_magnitude_and_variance, 1),
    "entropy": (signals.softmax_entropy, -1),
}
"""Signal and its sign: 1 where higher is surer."""
DISPERSION = ("deviation", "NQC", "WIG", "SMV")
"""Signals that held up without labels, on every pair of systems and both years they were tried on."""
OF_ONE = {**{name: sign for name, (_, sign) in OF_SCORES.items()}, "coverage": 1, "coverage of 5": 1, "coherence": 0}
"""What is known of one ranking. ``coherence`` points either way."""
OF_SEVERAL = {"RBO": 1, "overlap": 1}
"""What is known of a ranking beside the others."""
EVERY = {**OF_ONE, **OF_SEVERAL}


_COMPARED = 50
"""Places that agreement looks at: what is below weighs less than .006 in all."""


def of_ranking(ranking: Ranking) -> dict[str, float]:
    """Signals of one ranking, in the order of ``OF_ONE``; NaN where vectors or texts are missing."""
    scores = np.asarray(ranking.scores, np.float64)
    found = {name: compute(scores) for name, (compute, _) in OF_SCORES.items()}
    texts = [candidate.text or "" for candidate in ranking[:30]]
    readable = ranking.query is not None and any(texts)
    for name, k in (("coverage", 1), ("coverage of 5", 5)):
        found[name] = signals.query_coverage(ranking.query or "", texts, k) if readable else float("nan")
    vectors = [candidate.vector for candidate in ranking[:10]]
    whole = len(vectors) > 1 and all(vector is not None for vector in vectors)
    found["coherence"] = signals.coherence(np.array(vectors, np.float64)) if whole else float("nan")
    return found


def of_rankings(rankings: Rankings) -> dict[str, dict[str, float]]:
    """Embedding to its signals, in the order of ``EVERY``; agreement is the mean with every other embedding.

    Agreement is NaN for an embedding that stands alone: only embeddings that were really asked are compared.
    """
    names = list(rankings)
    agreed: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            one, two = rankings[name].ids[:_COMPARED], rankings[other].ids[:_COMPARED]
            pair = (signals.rank_biased_overlap(one, two), signals.overlap(one, two))
            agreed[name].append(pair)
            agreed[other].append(pair)
    found = {}
    for name, ranking in rankings.items():
        own = ranking if ranking.query is not None else Ranking(ranking.candidates, rankings.query)
        pairs = agreed[name]
        found[name] = {
            **of_ranking(own),
            "RBO": float(np.mean([pair[0] for pair in pairs])) if pairs else float("nan"),
            "overlap": float(np.mean([pair[1] for pair in pairs])) if pairs else float("nan"),
        }
    return found


def table(found: Mapping[str, Mapping[str, float]], embeddings: Sequence[str], names: Sequence[str]) -> Floats:
    """Signals (embeddings, names); NaN for an embedding that is not there."""
    missing: Mapping[str, float] = {}
    rows = [[found.get(one, missing).get(name, float("nan")) for name in names] for one in embeddings]
    return np.array(rows, np.float64)


def told(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """What a decision shows: what is unknown is left out, four significant digits."""
    return {
        one: {name: float(f"{value:.4g}") for name, value in own.items() if np.isfinite(value)}
        for one, own in found.items()
    }
