"""A small table for a model, and stores on both engines that need no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from qdrant_client import QdrantClient

from octant_langchain import OctantVectorStore


class Table(Embeddings):
    """Looks vectors up; remembers what it was asked."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors
        self.asked: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        # langchain-qdrant embeds "dummy_text" to learn the dimension.
        anything = next(iter(self.vectors.values()))
        return [anything if text == "dummy_text" else self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


COMPASS = {
    "north": [0.0, 1.0, 0.0, 0.0],
    "north twin": [0.02, 1.0, 0.0, 0.0],
    "north-east": [1.0, 1.1, 0.0, 0.0],
    "east": [1.0, 0.05, 0.0, 0.0],
    "south": [0.03, -1.0, 0.0, 0.0],
    "up": [0.0, 0.1, 1.0, 0.0],
}


@pytest.fixture
def table() -> Table:
    return Table(dict(COMPASS))


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


@pytest.fixture(params=["edge", "local"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where a store is: an Edge directory, or qdrant-client's local mode."""
    if request.param == "edge":
        directory: Path = request.getfixturevalue("tmp_path")
        return {"path": directory}
    return {"client": request.getfixturevalue("client")}


@pytest.fixture
def store_of(place: dict[str, Any]) -> Iterator[Callable[..., OctantVectorStore]]:
    """Makes stores that are closed after the test."""
    made: list[OctantVectorStore] = []

    def make(texts: Any, embedding: Any = None, *args: Any, **options: Any) -> OctantVectorStore:
        made.append(OctantVectorStore.from_texts(texts, embedding, *args, **place, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
