"""LangChain's own suites, in full, on both engines that need no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from qdrant_client import QdrantClient

from octant_langchain import OctantRetriever, OctantVectorStore

local_mode = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


class TestStoreOnEdge(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        with OctantVectorStore.from_texts([], self.get_embeddings(), path=tmp_path) as store:
            yield store


@local_mode
class TestStoreOnLocalMode(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:
        client = QdrantClient(":memory:")
        yield OctantVectorStore.from_texts([], self.get_embeddings(), client=client)
        client.close()


class _Retriever(RetrieversIntegrationTests):
    store: OctantVectorStore

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return OctantRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"vectorstore": self.store}

    @property
    def retriever_query_example(self) -> str:
        return "three"


TEXTS = ["one", "two", "three", "four", "five"]


class TestRetrieverOnEdge(_Retriever):
    @pytest.fixture(autouse=True)
    def filled(self, tmp_path: Path) -> Iterator[None]:
        embeddings = VectorStoreIntegrationTests.get_embeddings()
        with OctantVectorStore.from_texts(TEXTS, embeddings, path=tmp_path) as self.store:
            yield


@local_mode
class TestRetrieverOnLocalMode(_Retriever):
    @pytest.fixture(autouse=True)
    def filled(self) -> Iterator[None]:
        client = QdrantClient(":memory:")
        self.store = OctantVectorStore.from_texts(TEXTS, VectorStoreIntegrationTests.get_embeddings(), client=client)
        yield
        client.close()
