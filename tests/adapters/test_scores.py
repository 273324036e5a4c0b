"""Scores are langchain-qdrant's; relevance lies in [0, 1] and keeps the order, for every distance and mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

from octant import Fusion
from octant_langchain import OctantVectorStore, RetrievalMode

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")

Make = Callable[..., OctantVectorStore]
DISTANCES = [member.value for member in models.Distance]
TEXTS = [f"text {n}" for n in range(12)]


@pytest.fixture
def scattered(table: Any) -> Any:
    """Vectors of any length, so that no distance is another in disguise."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(14, 6)) * rng.uniform(0.3, 4, size=(14, 1))
    table.vectors = dict(zip([*TEXTS, "query", "other query"], vectors.tolist(), strict=True))
    return table


@pytest.mark.parametrize("distance", DISTANCES)
def test_scores_are_langchain_qdrants(store_of: Make, scattered: Any, distance: str) -> None:
    theirs = QdrantVectorStore.from_texts(
        TEXTS, scattered, location=":memory:", distance=models.Distance(distance), validate_embeddings=False
    )
    ours = store_of(TEXTS, scattered, distance=models.Distance(distance), represent="float32")
    for query in ("query", "other query"):
        expected = theirs.similarity_search_with_score(query, k=12)
        found = ours.similarity_search_with_score(query, k=12)
        assert [doc.page_content for doc, _ in found] == [doc.page_content for doc, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)
    theirs.client.close()


@pytest.mark.parametrize("represent", ["float32", "turbo8", "float8"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_relevance_is_in_range_and_keeps_the_order(
    tmp_path: Any, scattered: Any, distance: str, represent: str
) -> None:
    with OctantVectorStore.from_texts(TEXTS, scattered, path=tmp_path, distance=distance, represent=represent) as store:
        found = store.similarity_search_with_relevance_scores("query", k=12)
        relevances = [relevance for _, relevance in found]
        assert all(0 <= relevance <= 1 for relevance in relevances)
        assert relevances == sorted(relevances, reverse=True)
        assert len(set(relevances)) == 12
        assert [doc.id for doc, _ in found] == [doc.id for doc in store.similarity_search("query", k=12)]
        least = relevances[4]
        kept = store.similarity_search_with_relevance_scores("query", k=12, score_threshold=least)
        assert len(kept) == 5


def test_cosine_relevance_of_the_same_and_of_the_opposite_direction(store_of: Make, table: Any) -> None:
    table.vectors = {"same": [3.0, 0.0], "opposite": [-1.0, 0.0], "across": [0.0, 2.0], "query": [1.0, 0.0]}
    store = store_of(["same", "opposite", "across"], table, represent="float32")
    found = {doc.page_content: relevance for doc, relevance in store.similarity_search_with_relevance_scores("query")}
    assert found == pytest.approx({"same": 1.0, "across": 0.5, "opposite": 0.0}, abs=1e-6)


def test_dot_of_unit_vectors_is_as_relevant_as_their_cosine(tmp_path: Any, table: Any) -> None:
    table.vectors = {"a": [0.6, 0.8], "b": [1.0, 0.0], "query": [0.0, 1.0]}
    relevances = []
    for distance in ("dot", "cosine"):
        place = {"path": tmp_path, "collection_name": distance}
        with OctantVectorStore.from_texts(["a", "b"], table, distance=distance, represent="float32", **place) as store:
            found = store.similarity_search_with_relevance_scores("query")
            relevances.append([relevance for _, relevance in found])
    assert relevances[0] == pytest.approx(relevances[1], abs=1e-6)
    assert relevances[0] == pytest.approx([0.9, 0.5], abs=1e-6)


@pytest.mark.parametrize("fusion", ["rrf", "dbsf", Fusion("rrf", k=1, weights={"dense": 3, "sparse": 0.5})])
def test_hybrid_relevance_is_the_share_of_the_best_possible(store_of: Make, table: Any, fusion: Any) -> None:
    store = store_of(list(table.vectors), table, retrieval_mode="hybrid")
    found = store.similarity_search_with_relevance_scores("north twin", k=6, hybrid_fusion=fusion)
    relevances = [relevance for _, relevance in found]
    assert all(0 <= relevance <= 1 for relevance in relevances)
    assert relevances == sorted(relevances, reverse=True)
    assert found[0][0].page_content == "north twin"
    if fusion != "dbsf":
        assert relevances[0] == pytest.approx(1.0)  # first in both branches


def test_sparse_relevance_is_zero_without_a_common_word(store_of: Make, table: Any) -> None:
    store = store_of(list(table.vectors), table, retrieval_mode=RetrievalMode.SPARSE)
    relevances = [relevance for _, relevance in store.similarity_search_with_relevance_scores("twin north", k=6)]
    assert len(relevances) == 3
    assert all(0 < relevance < 1 for relevance in relevances)
    assert relevances == sorted(relevances, reverse=True)


def test_langchains_threshold_retriever_works_for_distances(store_of: Make, scattered: Any) -> None:
    store = store_of(TEXTS, scattered, distance="euclid", represent="float32")
    scored = store.similarity_search_with_relevance_scores("query", k=12)
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 12, "score_threshold": scored[3][1]}
    )
    assert [doc.id for doc in retriever.invoke("query")] == [doc.id for doc, _ in scored[:4]]


def test_no_compression_reads_as_none(client: QdrantClient, scattered: Any) -> None:
    with pytest.warns(UserWarning, match="local mode"):
        OctantVectorStore.from_texts(TEXTS, scattered, client=client)
