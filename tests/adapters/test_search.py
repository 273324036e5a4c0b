"""Searches: modes, filters, offsets, thresholds, fusion, settings, and diversity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from qdrant_client import models

from octant import Fusion, SearchKnobs
from octant.errors import FilterError, InputError
from octant_langchain import OctantVectorStore, RetrievalMode

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")

Make = Callable[..., OctantVectorStore]
MODES = list(RetrievalMode)


@pytest.fixture
def words(store_of: Make, table: Any) -> Callable[..., OctantVectorStore]:
    """A store of the compass in a mode, each document's rank in its metadata."""

    def make(mode: RetrievalMode = RetrievalMode.DENSE, **options: Any) -> OctantVectorStore:
        texts = list(table.vectors)
        metadatas = [{"rank": rank, "even": rank % 2 == 0} for rank in range(len(texts))]
        return store_of(texts, table, metadatas, ids=texts, retrieval_mode=mode, represent="float32", **options)

    return make


def ids(documents: list[Any]) -> list[str]:
    return [document.id for document in documents]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_finds(words: Any, mode: RetrievalMode) -> None:
    assert ids(words(mode).similarity_search("north twin", k=2)) == ["north twin", "north"]


def test_sparse_mode_needs_no_embedding(store_of: Make) -> None:
    store = store_of(["red apples", "green pears"], retrieval_mode="sparse", ids=["a", "b"])
    assert ids(store.similarity_search("pears")) == ["b"]
    assert store.embeddings is None
    with pytest.raises(InputError, match="sparse vectors only"):
        store.max_marginal_relevance_search("pears")


def test_hybrid_is_what_neither_branch_finds_alone(words: Any) -> None:
    # "south" shares no word with the query, "north-east" no direction with "up": only fusion ranks both.
    store = words(RetrievalMode.HYBRID)
    assert set(ids(store.similarity_search("north", k=6))) == set(ids(store.similarity_search("up", k=6)))
    sparse = OctantVectorStore(collection=store.collection, retrieval_mode="sparse")
    assert "south" not in ids(sparse.similarity_search("north", k=6))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("as_model", [True, False])
def test_filters_are_models_or_mappings(words: Any, mode: RetrievalMode, as_model: bool) -> None:
    condition = models.FieldCondition(key="metadata.even", match=models.MatchValue(value=True))
    wanted: Any = models.Filter(must=[condition])
    if not as_model:
        wanted = {"must": [{"key": "metadata.even", "match": {"value": True}}]}
    store = words(mode)
    assert all(doc.metadata["even"] for doc in store.similarity_search("north", k=6, filter=wanted))
    assert ids(store.similarity_search("north twin", 6, wanted))[0] != "north twin"
    with pytest.raises(FilterError, match="must, should, must_not"):
        store.similarity_search("north", filter={"rank": 1})


@pytest.mark.parametrize("mode", MODES)
def test_pages_add_up_to_the_whole(words: Any, mode: RetrievalMode) -> None:
    store = words(mode)
    query = "north twin"
    whole = ids(store.similarity_search(query, k=6))
    pages = [ids(store.similarity_search(query, k=2, offset=offset)) for offset in (0, 2, 4)]
    assert [point for page in pages for point in page] == whole
    assert len(whole) == (3 if mode is RetrievalMode.SPARSE else 6)


def test_a_threshold_is_in_the_scores_own_terms(words: Any) -> None:
    store = words()
    found = store.similarity_search_with_score("north", k=6)
    kept = store.similarity_search_with_score("north", k=6, score_threshold=(found[2][1] + found[3][1]) / 2)
    assert [doc.id for doc, _ in kept] == [doc.id for doc, _ in found[:3]]


@pytest.mark.parametrize("distance", ["euclid", "manhattan"])
def test_a_threshold_on_a_distance_is_a_maximum(words: Any, distance: str) -> None:
    store = words(distance=distance)
    found = store.similarity_search_with_score("north", k=6)
    assert [score for _, score in found] == sorted(score for _, score in found)
    limit = (found[2][1] + found[3][1]) / 2
    kept = store.similarity_search_with_score("north", k=6, score_threshold=limit)
    assert [doc.id for doc, _ in kept] == [doc.id for doc, _ in found[:3]]


def test_a_vector_is_searched_by_dense_vectors_in_every_mode(words: Any, table: Any) -> None:
    store = words(RetrievalMode.HYBRID)
    found = store.similarity_search_with_score_by_vector(table.vectors["up"], k=1)
    assert (found[0][0].id, round(found[0][1], 5)) == ("up", 1.0)
    assert ids(store.similarity_search_by_vector(np.array(table.vectors["up"]), k=1)) == ["up"]


# -- fusion --------------------------------------------------------------------------------------


def test_weights_decide_between_the_branches(words: Any, table: Any) -> None:
    store = words(RetrievalMode.HYBRID)
    table.vectors["twin"] = table.vectors["up"]  # by direction "up", by word "north twin"

    def first(method: Any, dense: float, sparse: float) -> str:
        fusion = Fusion(method, weights={"dense": dense, "sparse": sparse})
        return ids(store.similarity_search("twin", k=1, hybrid_fusion=fusion))[0]

    for method in ("rrf", "dbsf"):
        assert [first(method, 1, 0), first(method, 100, 1)] == ["up", "up"]
        assert [first(method, 0, 1), first(method, 1, 20)] == ["north twin", "north twin"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, Fusion()),
        ("dbsf", Fusion("dbsf")),
        (Fusion("rrf", k=3), Fusion("rrf", k=3)),
        (models.FusionQuery(fusion=models.Fusion.DBSF), Fusion("dbsf")),
        (models.FusionQuery(fusion=models.Fusion.RRF), Fusion("rrf", k=1)),
        (models.Fusion.DBSF, Fusion("dbsf")),
        (models.RrfQuery(rrf=models.Rrf(k=60)), Fusion("rrf", k=59)),
    ],
)
def test_qdrants_fusions_are_understood(words: Any, given: Any, meant: Fusion) -> None:
    store = words(RetrievalMode.HYBRID)
    expected = store.collection.search("north twin", k=6, mode="hybrid", fusion=meant)
    found = store.similarity_search_with_score("north twin", k=6, hybrid_fusion=given)
    assert [(doc.id, score) for doc, score in found] == list(zip(expected.ids, expected.scores, strict=True))


def test_fusions_that_cannot_be_translated_are_refused(words: Any) -> None:
    store = words(RetrievalMode.HYBRID)
    with pytest.raises(InputError, match=r"pass octant\.Fusion"):
        store.similarity_search("up", hybrid_fusion=models.RrfQuery(rrf=models.Rrf(weights=[1.0, 2.0])))
    with pytest.raises(InputError, match="hybrid_fusion is 'rrf', 'dbsf'"):
        store.similarity_search("up", hybrid_fusion=3)


# -- settings ------------------------------------------------------------------------------------


def test_search_params_reach_the_engine(words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = words()
    seen: list[SearchKnobs] = []
    real = store.collection.search
    monkeypatch.setattr(store.collection, "search", lambda *a, **k: seen.append(k["knobs"]) or real(*a, **k))
    quantization = models.QuantizationSearchParams(rescore=False, oversampling=2.0)
    params = models.SearchParams(hnsw_ef=64, exact=True, quantization=quantization)
    store.similarity_search("up", search_params=params)
    store.similarity_search("up", search_params={"hnsw_ef": 64, "exact": True})
    store.similarity_search("up", search_params=SearchKnobs(hnsw_ef=5))
    store.similarity_search("up")
    assert seen == [
        SearchKnobs(hnsw_ef=64, exact=True, rescore=False, oversampling=2.0),
        SearchKnobs(hnsw_ef=64, exact=True),
        SearchKnobs(hnsw_ef=5),
        None,  # what the collection keeps
    ]
    with pytest.raises(InputError, match="got indexed_only"):
        store.similarity_search("up", search_params=models.SearchParams(indexed_only=True))


# -- diversity -----------------------------------------------------------------------------------


def test_lambda_is_langchains_one_is_relevance(words: Any) -> None:
    store = words()
    by_relevance = ids(store.similarity_search("north", k=3))
    assert by_relevance == ["north", "north twin", "north-east"]
    assert ids(store.max_marginal_relevance_search("north", k=3, lambda_mult=1.0)) == by_relevance
    diverse = ids(store.max_marginal_relevance_search("north", k=3, lambda_mult=0.0))
    assert diverse[:2] == ["north", "south"]
    assert "north twin" not in diverse


@pytest.mark.parametrize("represent", ["float32", "turbo8", "float8", "truncate(16)|int8"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_diversity_is_langchains_own(store_of: Make, table: Any, represent: str, weight: float) -> None:
    vectors = np.random.default_rng(7).normal(size=(13, 16))
    table.vectors = {str(n): list(vector) for n, vector in enumerate(vectors)}
    texts, asked = list(table.vectors)[:12], "12"
    store = store_of(texts, table, ids=texts, represent=represent)
    order = maximal_marginal_relevance(vectors[12], list(vectors[:12]), lambda_mult=weight, k=5)
    found = store.max_marginal_relevance_search(asked, k=5, fetch_k=12, lambda_mult=weight)
    assert ids(found) == [texts[i] for i in order]
    by_vector = store.max_marginal_relevance_search_by_vector(vectors[12], k=5, fetch_k=12, lambda_mult=weight)
    assert by_vector == found


def test_diversity_respects_fetch_k_filters_and_thresholds(words: Any) -> None:
    store = words()
    assert set(ids(store.max_marginal_relevance_search("north", k=3, fetch_k=3, lambda_mult=0.0))) == {
        "north", "north twin", "north-east",
    }  # fmt: skip
    even = {"must": [{"key": "metadata.even", "match": {"value": True}}]}
    found = store.max_marginal_relevance_search("north", k=6, lambda_mult=0.0, filter=even)
    assert found
    assert all(doc.metadata["even"] for doc in found)
    near = store.max_marginal_relevance_search_with_score("north", k=6, lambda_mult=0.0, score_threshold=0.5)
    assert len(near) == 3
    assert all(score >= 0.5 for _, score in near)
    assert len(store.max_marginal_relevance_search("north", k=5, fetch_k=1)) == 5


def test_diverse_scores_are_those_of_a_plain_search(words: Any, table: Any) -> None:
    store = words()
    plain = {doc.id: score for doc, score in store.similarity_search_with_score("north", k=6)}
    found = store.max_marginal_relevance_search_with_score_by_vector(table.vectors["north"], k=4, lambda_mult=0.2)
    assert [score for _, score in found] == pytest.approx([plain[doc.id] for doc, _ in found], abs=1e-6)


def test_bad_numbers_are_refused(words: Any) -> None:
    store = words()
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        store.similarity_search("up", k=0)
    with pytest.raises(InputError, match=r"between 0 .* and 1 .* got 2"):
        store.max_marginal_relevance_search("up", lambda_mult=2)
    with pytest.raises(InputError, match="offset must be at least 0, got -1"):
        store.similarity_search("up", offset=-1)
