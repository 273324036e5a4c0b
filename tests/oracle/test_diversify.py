"""Maximal marginal relevance against the slow, literal version and against LangChain's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.vectorstores.utils import maximal_marginal_relevance as langchains

from octant.diversify import diversify, maximal_marginal_relevance
from octant.errors import DimensionError, InputError, VectorValueError
from octant.records import Candidate, Distance, Ranking


def similarity(a: np.ndarray, b: np.ndarray, distance: Distance) -> float:
    if distance is Distance.COSINE:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    if distance is Distance.DOT:
        return float(a @ b)
    return -float(np.linalg.norm(a - b, ord=2 if distance is Distance.EUCLID else 1))


def gain(query: np.ndarray, rows: np.ndarray, i: int, chosen: list[int], weight: float, distance: Distance) -> float:
    """The formula of the paper, a pair at a time."""
    relevance = similarity(query, rows[i], distance)
    if not chosen:
        return relevance
    return weight * relevance - (1 - weight) * max(similarity(rows[i], rows[j], distance) for j in chosen)


@pytest.mark.parametrize("distance", list(Distance))
@given(seed=st.integers(0, 10_000), weight=st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]), k=st.integers(1, 12))
def test_every_choice_is_the_best_of_the_literal_formula(distance: Distance, seed: int, weight: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    query, rows = rng.normal(size=5), rng.normal(size=(9, 5))
    chosen = maximal_marginal_relevance(query, rows, k, weight, distance=distance)
    assert len(set(chosen)) == len(chosen) == min(k, 9)
    for step, i in enumerate(chosen):
        before = chosen[:step]
        best = max(gain(query, rows, j, before, weight, distance) for j in range(9) if j not in before)
        # Under Manhattan several rows often share the best gain: float32 may order those either way.
        assert gain(query, rows, i, before, weight, distance) == pytest.approx(best, abs=1e-5)


@given(seed=st.integers(0, 10_000), weight=st.floats(0, 1), k=st.integers(1, 12))
def test_cosine_is_langchains(seed: int, weight: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    query, rows = rng.normal(size=8), rng.normal(size=(10, 8))
    expected = langchains(query, rows.tolist(), lambda_mult=weight, k=k)
    assert maximal_marginal_relevance(query, rows, k, weight) == expected


@pytest.mark.parametrize("distance", list(Distance))
def test_full_weight_is_the_order_of_relevance(distance: Distance) -> None:
    rng = np.random.default_rng(0)
    query, rows = rng.normal(size=6), rng.normal(size=(20, 6))
    order = sorted(range(20), key=lambda i: -similarity(query, rows[i], distance))
    assert maximal_marginal_relevance(query, rows, 20, 1.0, distance=distance) == order


def test_equal_rows_come_in_the_order_given() -> None:
    assert maximal_marginal_relevance([1, 0], [[1, 0]] * 3, 3, 1.0) == [0, 1, 2]


def test_the_callers_arrays_are_not_changed() -> None:
    query, rows = np.array([3.0, 0.0]), np.array([[3.0, 0.0], [0.0, 2.0]])
    maximal_marginal_relevance(query, rows, 2)
    assert (query.tolist(), rows.tolist()) == ([3.0, 0.0], [[3.0, 0.0], [0.0, 2.0]])


def test_no_candidates_no_answers() -> None:
    assert maximal_marginal_relevance([1, 0], [], 3) == []


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        maximal_marginal_relevance([1, 0], [[1, 0]], 0)
    with pytest.raises(InputError, match=r"relevance_weight must lie between .* got 1\.5"):
        maximal_marginal_relevance([1, 0], [[1, 0]], 1, 1.5)
    with pytest.raises(DimensionError, match="expected vectors of 2 coordinates, got 3"):
        maximal_marginal_relevance([1, 0], [[1, 0, 0]], 1)
    with pytest.raises(VectorValueError, match="zeros under cosine"):
        maximal_marginal_relevance([1, 0], [[0, 0]], 1)


def ranked(query: np.ndarray, rows: np.ndarray, distance: Distance) -> Ranking:
    scores = [similarity(query, row, distance) for row in rows]
    order = np.argsort(scores)[::-1]
    candidates = [Candidate(int(i), scores[i], vector=rows[i].astype(np.float32)) for i in order]
    return Ranking(tuple(candidates), "a query")


@pytest.mark.parametrize("distance", list(Distance))
def test_a_ranking_is_diversified_like_its_vectors(distance: Distance) -> None:
    rng = np.random.default_rng(3)
    query, rows = rng.normal(size=6), rng.normal(size=(12, 6))
    chosen = diversify(ranked(query, rows, distance), 5, 0.4, distance=distance)
    assert list(chosen.ids) == maximal_marginal_relevance(query, rows, 5, 0.4, distance=distance)
    assert chosen.query == "a query"


def test_full_weight_keeps_a_ranking_as_it_is() -> None:
    rng = np.random.default_rng(4)
    ranking = ranked(rng.normal(size=6), rng.normal(size=(12, 6)), Distance.COSINE)
    assert diversify(ranking, 5, 1.0).ids == ranking.ids[:5]
    assert diversify(ranking, 50, 1.0).ids == ranking.ids


def test_a_ranking_needs_vectors() -> None:
    assert diversify(Ranking(()), 3).ids == ()
    with pytest.raises(InputError, match="with_vectors=True"):
        diversify(Ranking((Candidate(1, 0.5),)), 3)
