"""Collections that hold sparse vectors and no dense one: ``dimension=0``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from octant import Collection
from octant.errors import DimensionError, InputError

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")

TEXTS = ["red apples", "green pears", "blue sky"]


@pytest.fixture(params=["edge", "local"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "edge":
        yield tmp_path
    else:
        client = QdrantClient(":memory:")
        yield client
        client.close()


def test_texts_are_found_again_after_reopening(location: Any) -> None:
    with Collection.create("words", location=location, sparse="bm25", dimension=0) as collection:
        collection.add(TEXTS, ids=["a", "b", "c"])
        collection.optimize()
        before = collection.search("pears and apples", k=3, mode="sparse")
    assert set(before.ids) == {"a", "b"}
    with Collection.open("words", location=location) as collection:
        assert collection.search("pears and apples", k=3, mode="sparse") == before
        assert collection.get(["c"], with_vectors=True)[0].vector is None
        collection.delete(["a"])
        assert {candidate.id for candidate in collection.scroll(with_vectors=True)} == {"b", "c"}


def test_what_needs_dense_vectors_is_refused(location: Any) -> None:
    with Collection.create("words", location=location, sparse="bm25", dimension=0) as collection:
        collection.add(TEXTS)
        for mode in ("dense", "hybrid"):
            with pytest.raises(InputError, match=f"sparse vectors only: mode '{mode}' needs dense ones"):
                collection.search("pears", mode=mode)
        with pytest.raises(DimensionError, match="expected vectors of 0 coordinates, got 2"):
            collection.add(vectors=[[1.0, 2.0]])
        assert collection.count() == len(TEXTS)


def test_an_encoder_must_be_named(location: Any) -> None:
    with pytest.raises(InputError, match="dimension=0 means sparse vectors only"):
        Collection.create("words", location=location, dimension=0)


def test_a_foreign_sparse_collection_needs_its_encoder_to_be_written() -> None:
    client = QdrantClient(":memory:")
    client.create_collection("words", vectors_config={}, sparse_vectors_config={"sparse": models.SparseVectorParams()})
    with Collection.open("words", location=client) as collection, pytest.raises(InputError, match="another client"):
        collection.add(TEXTS)
    with Collection.open("words", location=client, sparse="bm25") as collection:
        collection.add(TEXTS)
        assert collection.search("sky", k=1, mode="sparse")[0].text == "blue sky"
    client.close()
