"""Signals of rankings against slow versions of their formulas, and scores that tell nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.judged import folds
from octant.rankings import Rankings
from octant.records import Candidate, Ranking
from octant.selectors import evidence, signals
from octant.selectors.judgements import JudgedSearch, JudgedSearches
from octant.selectors.learning import likelihood_weights, static_weights
from octant.selectors.pool import by_rank, by_score, ndcg, pooled

positive = st.lists(st.integers(1, 40).map(lambda n: n / 8), min_size=1, max_size=12).map(
    lambda x: sorted(x, reverse=True)
)
ids = st.permutations(list("abcdefgh")).flatmap(lambda x: st.integers(0, 8).map(lambda n: x[:n]))


@given(positive)
def test_signals_of_scores(scores: list[float]) -> None:
    mean = sum(scores) / len(scores)
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))
    assert signals.top_score(scores) == scores[0]
    assert signals.score_gap(scores, 2) == scores[0] - scores[min(2, len(scores) - 1)]
    assert signals.score_variance(scores) == pytest.approx(deviation**2)
    assert signals.normalized_query_commitment(scores) == pytest.approx(deviation / mean)
    best = scores[:5]
    assert signals.weighted_information_gain(scores) == pytest.approx(sum(best) / len(best) - mean)
    smv = sum(score * abs(math.log(score / mean)) for score in scores) / len(scores) / mean
    assert signals.score_magnitude_and_variance(scores) == pytest.approx(smv)
    if deviation > 0:
        raised = [math.exp((score - mean) / deviation) for score in scores]
        entropy = -sum(one / sum(raised) * math.log(one / sum(raised)) for one in raised) / math.log(len(scores))
        assert signals.softmax_entropy(scores) == pytest.approx(entropy)


@given(ids, ids)
def test_agreement(one: list[str], other: list[str]) -> None:
    depth = min(len(one), len(other))
    shares = [len(set(one[:d]) & set(other[:d])) / d for d in range(1, depth + 1)]
    slow = sum(share * 0.9**place * 0.1 for place, share in enumerate(shares)) + (
        shares[-1] * 0.9**depth if depth else 0
    )
    assert signals.rank_biased_overlap(one, other) == pytest.approx(min(slow, 1.0))
    assert signals.rank_biased_overlap(one, other) == signals.rank_biased_overlap(other, one)
    assert 0 <= signals.overlap(one, other) <= 1
    assert signals.overlap(one, one) == (1.0 if one else 0.0)


@given(st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), max_size=6))
def test_coherence_is_the_mean_cosine_of_pairs(rows: list[list[float]]) -> None:
    vectors = [np.array(row) for row in rows]
    unit = [one / norm if (norm := np.linalg.norm(one)) > 0 else one for one in vectors]
    pairs = [float(a @ b) for i, a in enumerate(unit) for b in unit[i + 1 :]]
    assert signals.coherence(np.array(rows)) == pytest.approx(np.mean(pairs) if pairs else 0.0, abs=1e-9)


def test_coverage_counts_rare_words_more() -> None:
    passages = ["the tide of the moon", "the tide of the sea", "a bridge"]
    assert signals.query_coverage("moon tide", passages) == 1.0
    rare = signals.query_coverage("moon tide", ["a moon", "the tide", "a tide"])
    common = signals.query_coverage("moon tide", ["a tide", "the tide", "moon"])
    assert rare > 0.5 > common
    assert rare + common == pytest.approx(1.0)
    assert signals.query_coverage("glaciers", ["a glacier melts"]) == 1.0, "words are met by their first six letters"
    assert signals.query_coverage("", passages) == 0.0 == signals.query_coverage("moon", [])


@pytest.mark.parametrize("scores", [[], [0.0], [1.0], [2.0, 2.0, 2.0], [-1.0, -2.0, -5.0], [0.0, 0.0], [1e100, 1e-100]])
def test_scores_that_tell_nothing_give_finite_signals(scores: list[float]) -> None:
    found = evidence.of_ranking(Ranking(tuple(Candidate(str(n), score) for n, score in enumerate(scores))))
    assert all(math.isfinite(found[name]) for name in evidence.OF_SCORES)
    assert math.isnan(found["coverage"])
    assert math.isnan(found["coherence"])


def test_agreement_is_of_embeddings_that_were_asked() -> None:
    ranking = Ranking((Candidate("a", 1.0), Candidate("b", 0.5)))
    assert math.isnan(evidence.of_rankings(Rankings({"one": ranking}))["one"]["RBO"])
    both = evidence.of_rankings(Rankings({"one": ranking, "two": ranking}))
    assert both["one"]["RBO"] == both["two"]["overlap"] == 1.0


def test_parts_of_a_ranking() -> None:
    ranking = Ranking(tuple(Candidate(str(n), score) for n, score in enumerate([5.0, 3.0, 1.0])))
    deviation = math.sqrt(8 / 3)
    assert by_score(ranking) == pytest.approx([4 / deviation, 2 / deviation, 0])
    assert by_rank(ranking, 60) == pytest.approx([1, 61 / 62, 61 / 63])
    alike = Ranking(tuple(Candidate(str(n), 2.0) for n in range(3)))
    assert by_score(alike).tolist() == [1, 1, 1]


# -- pools -----------------------------------------------------------------------------------------


def drawn(count: int, seed: int = 0) -> JudgedSearches:
    rng = np.random.default_rng(seed)
    queries = []
    for number in range(count):
        gains = {str(n): float(rng.integers(0, 3)) for n in range(15)} | {"15": 1.0}
        rankings = {}
        for skill, name in ((0.2, "weak"), (1.0, "good")):
            scores = {point: skill * gain + rng.normal() for point, gain in gains.items()}
            best = sorted(scores, key=lambda point: -scores[point])[: int(rng.integers(5, 16))]
            rankings[name] = Ranking(tuple(Candidate(point, scores[point]) for point in best))
        queries.append(JudgedSearch(Rankings(rankings), gains, str(number), f"group {number % 4}"))
    return JudgedSearches(tuple(queries))


def test_a_pool_ranks_as_the_selector_does() -> None:
    judged = drawn(12)
    pool = pooled(judged, ("weak", "good"), depth=100)
    weights = np.array([0.3, 0.7])
    for one, value in zip(judged, pool.ndcg(weights), strict=True):
        sums: dict[object, float] = {}
        for name, weight in zip(("weak", "good"), weights, strict=True):
            ranking = one.rankings[name]
            for point, part in zip(ranking.ids, by_score(ranking), strict=True):
                sums[point] = sums.get(point, 0.0) + weight * part
        order = sorted(sums, key=lambda point: -sums[point])
        assert value == pytest.approx(ndcg(order, one.gains))
    alone = [ndcg(one.rankings["good"].ids, one.gains) for one in judged]
    assert pool.alone[:, 1] == pytest.approx(alone)


def test_likelihood_weights_are_at_the_top_of_the_likelihood() -> None:
    pool = pooled(drawn(40), ("weak", "good"), depth=100)
    weights = likelihood_weights(pool)
    target = (2**pool.gains - 1) * pool.there
    target /= target.sum(axis=1, keepdims=True)

    def likelihood(shares: np.ndarray) -> float:
        """At the best scale for these shares."""
        best = -np.inf
        for scale in np.geomspace(0.05, 20, 60):
            scores = pool.parts @ (scale * shares)
            total = np.log((np.exp(scores) * pool.there).sum(axis=1, keepdims=True))
            best = max(best, float((target * (scores - total)).sum()))
        return best

    found = likelihood(weights)
    assert all(found >= likelihood(np.array([share, 1 - share])) - 0.02 for share in np.linspace(0, 1, 21))
    assert static_weights(pool).sum() == pytest.approx(1)
    assert static_weights(pool)[1] > static_weights(pool)[0]


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), min_size=6, max_size=40), st.integers(2, 5))
def test_folds_keep_groups_together_and_are_even(groups: list[str], count: int) -> None:
    found = folds(groups, count)
    for name in set(groups) - {""}:
        assert len({fold for fold, group in zip(found, groups, strict=True) if group == name}) == 1
    sizes = np.bincount(found, minlength=count)
    assert sizes.max() - sizes.min() <= max(max(map(groups.count, set(groups) - {""}), default=1), 1)
