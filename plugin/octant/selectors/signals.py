"""What a ranking says about its own quality: post-retrieval signals, each with its source.

Scores are (n,) float64, best first. Every signal is finite whatever the scores, and 0 where there is too little to
tell. "Surer" says which way a signal points where it points at all; none is a probability.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.records import PointId

_WORD = re.compile(r"\w+")
_SHORT = 2
Floats = NDArray[np.float64]


def top_score(scores: ArrayLike) -> float:
    """The best score; higher is surer (the baseline of every comparison of such signals)."""
    x = np.asarray(scores, np.float64)
    return float(x[0]) if len(x) else 0.0


def score_gap(scores: ArrayLike, k: int = 1) -> float:
    """Distance between the best score and the one ``k`` places below; higher is surer (Roitman et al., 2017).

    Examples
    --------
    >>> score_gap([0.75, 0.5, 0.25]), score_gap([0.75])
    (0.25, 0.0)
    """
    x = np.asarray(scores, np.float64)
    return float(x[0] - x[min(k, len(x) - 1)]) if len(x) else 0.0


def score_variance(scores: ArrayLike) -> float:
    """Variance of the scores; higher is surer (Perez-Iglesias and Araujo, 10.1007/978-3-642-16321-0_21)."""
    x = np.asarray(scores, np.float64)
    return float(x.var()) if len(x) else 0.0


def normalized_query_commitment(scores: ArrayLike) -> float:
    """NQC: standard deviation of the scores over the size of their mean; higher is surer.

    Shtok et al., 10.1145/2180868.2180873. They divide by the score of the whole corpus, which a vector search has
    not; the mean of what was found stands in for it.

    Examples
    --------
    >>> normalized_query_commitment([3.0, 2.0, 1.0]) > normalized_query_commitment([2.1, 2.0, 1.9])
    True
    """
    x = np.asarray(scores, np.float64)
    return _over(float(x.std()), abs(float(x.mean()))) if len(x) else 0.0


def weighted_information_gain(scores: ArrayLike, k: int = 5) -> float:
    """WIG: mean of the best ``k`` scores above the mean of all; higher is surer.

    Zhou and Croft, 10.1145/1277741.1277835, with the mean of what was found in place of the corpus's score.
    """
    x = np.asarray(scores, np.float64)
    return float(x[:k].mean() - x.mean()) if len(x) else 0.0


def score_magnitude_and_variance(scores: ArrayLike) -> float:
    """SMV: mean of ``s * |ln(s / mean)|`` over the mean; higher is surer (Tao and Wu, 10.1145/2661829.2661906).

    Of positive scores; those at or below 0 add nothing, and it is 0 where their mean is not above 0.
    """
    x = np.asarray(scores, np.float64)
    mean = float(x.mean()) if len(x) else 0.0
    if mean <= 0:
        return 0.0
    positive = x[x > 0]
    return _over(float((positive * np.abs(np.log(positive / mean))).sum()) / len(x), mean)


def softmax_entropy(scores: ArrayLike) -> float:
    """Entropy of the softmaxed standardised scores, as a share of the largest it can be; lower is surer.

    In [0, 1]. Standardised, so that it does not depend on the scale of the scores (a scale-free form of Shannon's).

    Examples
    --------
    >>> round(softmax_entropy([0.5, 0.5, 0.5]), 6), softmax_entropy([0.9])
    (1.0, 0.0)
    """
    x = np.asarray(scores, np.float64)
    if len(x) < 2:
        return 0.0
    logits = standardized(x)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return min(1.0, float(-(p * np.log(np.maximum(p, 1e-300))).sum() / np.log(len(x))))


def rank_biased_overlap(one: Sequence[PointId], other: Sequence[PointId], p: float = 0.9) -> float:
    """RBO: how far two rankings agree, early places counting most; in [0, 1], higher is surer.

    Webber, Moffat and Zobel, 10.1145/1852102.1852106, eq. 32 (extrapolated) for lists of one depth: the longer one is
    cut.

    Examples
    --------
    >>> rank_biased_overlap("abc", "abc"), rank_biased_overlap("abc", "xyz")
    (1.0, 0.0)
    """
    depth = min(len(one), len(other))
    if not depth:
        return 0.0
    seen_one: set[PointId] = set()
    seen_other: set[PointId] = set()
    common, total, agreement = 0, 0.0, 0.0
    for place in range(depth):
        a, b = one[place], other[place]
        common += (a == b) + (a != b and a in seen_other) + (a != b and b in seen_one)
        seen_one.add(a)
        seen_other.add(b)
        agreement = common / (place + 1)
        total += agreement * p**place * (1 - p)
    return min(1.0, total + agreement * p**depth)


def overlap(one: Sequence[PointId], other: Sequence[PointId], k: int = 10) -> float:
    """Share of the first ``k`` that two rankings have in common; in [0, 1], higher is surer.

    Aslam and Pavlu, 10.1007/978-3-540-71496-5_20, use such disagreement to predict difficulty.
    """
    first, second = set(one[:k]), set(other[:k])
    return _over(len(first & second), min(k, max(len(first), len(second)))) if first or second else 0.0


def coherence(vectors: ArrayLike, k: int = 10) -> float:
    """Mean cosine between the vectors (n, d) of the first ``k``; in [-1, 1] (Arabzadeh et al., 2021).

    Points either way: passages about one thing are near each other, and so are those about the wrong thing.
    """
    x = np.asarray(vectors, np.float64)[:k]
    if x.ndim != 2 or len(x) < 2:
        return 0.0
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(norms > 0, norms, 1.0)
    n = len(unit)
    return float(((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / (n * (n - 1)))


def query_coverage(query: str, passages: Sequence[str], k: int = 1) -> float:
    """Share of the query's words, rare ones counting more, that the best of the first ``k`` passages holds.

    In [0, 1], higher is surer. A word counts ``ln(1 + n / df)``, with ``df`` how many of the ``n`` passages found hold
    it: words that all of them hold tell nothing apart. Octant's own, after Vinay et al. (10.1145/1148170.1148239), who
    ask how far what was found has the query in common.

    Examples
    --------
    >>> query_coverage("red fox", ["A red fox.", "A grey wolf.", "A red wolf."])
    1.0
    """
    words = _words(query)
    if not words or not passages:
        return 0.0
    held = [words & _words(passage) for passage in passages]
    counts = {word: sum(word in one for one in held) for word in words}
    weight = {word: float(np.log1p(len(held) / max(count, 0.5))) for word, count in counts.items()}
    best = max(sum(weight[word] for word in one) for one in held[:k])
    return _over(best, sum(weight.values()))


def standardized(scores: ArrayLike) -> Floats:
    """Scores less their mean, over their standard deviation; zeros where they are all alike."""
    x = np.asarray(scores, np.float64)
    deviation = float(x.std()) if len(x) else 0.0
    if not len(x) or deviation <= 1e-12 * (1 + float(np.abs(x).max())):
        return np.zeros(len(x))
    standard: Floats = (x - x.mean()) / deviation
    return standard


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    """Words by their first letters: plurals and endings are met without a stemmer of any one language."""
    return frozenset(word[:6] for word in _WORD.findall(text.lower()) if len(word) > _SHORT)


def _over(value: float, by: float) -> float:
    return value / by if by > 1e-12 * (1 + abs(value)) else 0.0
