"""Fusion against the formulas written out, and against Qdrant's own DBSF."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.hybrid.fusion import distribution_based_score_fusion
from qdrant_client.models import ScoredPoint

from octant.errors import InputError
from octant.fusion import Fusion
from octant.records import Candidate


def branch(*pairs):
    return [Candidate(point, score) for point, score in pairs]


DENSE = branch(("a", 0.9), ("b", 0.7), ("c", 0.1))
SPARSE = branch(("c", 12.0), ("d", 8.0), ("a", 2.0))
BRANCHES = {"dense": DENSE, "sparse": SPARSE}


def test_reciprocal_ranks_add_up():
    fused = {c.id: c for c in Fusion("rrf", k=60)(BRANCHES)}
    assert fused["a"].score == pytest.approx(1 / 61 + 1 / 63)
    assert fused["d"].score == pytest.approx(1 / 62)
    assert fused["a"].branch_scores == {"dense": 0.9, "sparse": 2.0}
    assert fused["d"].branch_scores == {"sparse": 8.0}


def test_weights_multiply():
    fused = {c.id: c.score for c in Fusion("rrf", weights={"sparse": 3.0})(BRANCHES)}
    assert fused["c"] == pytest.approx(1 / 63 + 3 / 61)


def test_a_weight_of_zero_silences_a_branch():
    assert [c.id for c in Fusion("rrf", weights={"sparse": 0.0})(BRANCHES)][:3] == ["a", "b", "c"]


def test_dbsf_agrees_with_qdrant():
    def points(candidates):
        return [ScoredPoint(id=ord(c.id), version=0, score=c.score) for c in candidates]

    expected = distribution_based_score_fusion([points(DENSE), points(SPARSE)], limit=10)
    fused = Fusion("dbsf")(BRANCHES)
    assert {ord(c.id): pytest.approx(c.score, rel=1e-5) for c in fused} == {p.id: p.score for p in expected}


def test_dbsf_of_equal_scores_and_of_one():
    assert [c.score for c in Fusion("dbsf")({"x": branch(("a", 1.0), ("b", 1.0))})] == [0.5, 0.5]
    assert Fusion("dbsf")({"x": branch(("a", 3.0))})[0].score == 0.5
    assert Fusion("dbsf")({"x": [], "y": []}) == []


@given(
    st.lists(st.permutations(list("abcdefgh")), min_size=1, max_size=4),
    st.sampled_from(["rrf", "dbsf"]),
    st.randoms(use_true_random=False),
)
def test_nothing_is_lost_invented_or_doubled(orders, method, random):
    branches = {
        str(i): branch(*zip(order[: random.randint(0, 8)], np.linspace(1, 0, 8).tolist(), strict=False))
        for i, order in enumerate(orders)
    }
    fused = Fusion(method)(branches)
    assert sorted(c.id for c in fused) == sorted({c.id for found in branches.values() for c in found})
    assert [c.score for c in fused] == sorted((c.score for c in fused), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "sum"}, "fusion is 'rrf' or 'dbsf', got 'sum'"),
        ({"k": -1}, "is at least 0, got -1"),
        ({"oversampling": 0.5}, "at least 1, got 0.5"),
        ({"weights": {"dense": -1.0}}, "weight of 'dense' must be a finite number of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Fusion(**arguments)


def test_a_weight_for_no_branch_is_refused():
    with pytest.raises(InputError, match="weights name spares; the branches are dense, sparse"):
        Fusion(weights={"spares": 2.0})(BRANCHES)
