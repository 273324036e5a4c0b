"""E2Rank with the real model: it reads 256 tokens, and so does every prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from octant import Collection, reranker
from octant.rerankers.e2rank import E2Rank

QUERY = "Which insects make honey?"
TEXTS = [
    "Bees collect nectar and turn it into honey. " * 20,
    "Honey is sold in jars, and keeps for years. " * 20,
    "Ants live in colonies of up to several million. " * 20,
    "The cathedral was begun in 1248 and finished in 1880. " * 20,
    "A honeycomb is a mass of hexagonal cells of wax.",
    "Trams run every ten minutes until midnight.",
] * 4


@pytest.fixture(scope="module")
def collection(minilm_path: str) -> Any:
    with Collection.create("insects", embedding=minilm_path, represent="turbo8") as made:
        made.add([f"{text} {row}" for row, text in enumerate(TEXTS)], ids=range(len(TEXTS)))
        yield made


def test_a_long_list_is_cut_so_that_the_model_reads_all_of_the_prompt(collection: Collection) -> None:
    found = collection.search(QUERY, 20)
    done = reranker("e2rank", collection=collection).rerank(QUERY, found)
    assert done.report is not None
    told = done.report.statistics
    assert 240 <= told["tokens of the prompt"] <= 256
    assert 8 <= told["passages in the prompt"] < 20
    assert 0 < told["passages in the prompt in part"] <= told["passages in the prompt"]
    assert sorted(done.ids) == sorted(found.ids)
    assert done.score_kind == "cosine"
    assert TEXTS[int(done.ids[-1])].startswith(("Trams", "The cathedral")), "nobody asked for those"


async def test_codes_in_qdrant_and_decoded_give_the_same_order(collection: Collection) -> None:
    ready = reranker("e2rank(weight=0.5)", collection=collection)
    inside = await ready.arerank(QUERY, await collection.asearch(QUERY, 12))
    outside = ready.rerank(QUERY, collection.search(QUERY, 12, with_vectors=True))
    np.testing.assert_allclose(inside.scores, outside.scores, atol=5e-3)
    assert inside.ids[:3] == outside.ids[:3]


def test_the_second_search_finds_what_the_passages_are_about(collection: Collection) -> None:
    ready = reranker("e2rank", collection=collection)
    assert isinstance(ready, E2Rank)
    again = ready.retrieve(QUERY, collection.search(QUERY, 4), 8)
    assert len(again) == 8
    assert not any(TEXTS[int(point)].startswith(("Trams", "The cathedral")) for point in again.ids)
