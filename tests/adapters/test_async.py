"""Awaited twins: the same answers, by native async where the engine and the model have it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from qdrant_client import AsyncQdrantClient

from made_rerankers import until
from octant_langchain import OctantRetriever, OctantVectorStore

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")

OWN = sorted(
    name
    for name, member in inspect.getmembers(VectorStore, inspect.iscoroutinefunction)
    # The base class writes these three in terms of other awaited methods.
    if name not in {"asearch", "asimilarity_search_with_relevance_scores"}
)


class AsyncTable(Embeddings):
    """A model that can only be awaited."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("called where it should have been awaited")

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("called where it should have been awaited")

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return [self.vectors[text] for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return (await self.aembed_documents([text]))[0]


@pytest.fixture
def no_engine_in_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Every call that goes to a thread is written down, by the function's qualified name."""
    sent: list[str] = []
    real = asyncio.to_thread

    async def watched(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        named = getattr(function, "func", function)  # of a functools.partial
        sent.append(f"{named.__module__}.{named.__qualname__}")
        return await real(function, *args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", watched)
    monkeypatch.setattr(
        asyncio.AbstractEventLoop, "run_in_executor", lambda *_: pytest.fail("an executor instead of async")
    )
    return lambda: [name for name in sent if ".store." in name or "qdrant_client" in name or "embed" in name]


@pytest.mark.parametrize("name", OWN)
def test_no_awaited_method_is_the_base_classs_thread(name: str) -> None:
    assert getattr(OctantVectorStore, name).__module__.startswith("octant_langchain.")


def test_the_retriever_is_awaited_natively() -> None:
    assert OctantRetriever._aget_relevant_documents.__qualname__.startswith("OctantRetriever.")


async def test_async_clients_and_models_are_awaited(table: Any, no_engine_in_threads: Callable[[], list[str]]) -> None:
    client = AsyncQdrantClient(":memory:")
    texts = list(table.vectors)
    store = await OctantVectorStore.afrom_texts(
        texts, AsyncTable(table.vectors), async_client=client, ids=texts, represent="float32"
    )
    assert [doc.id for doc in await store.asimilarity_search("north", k=2)] == ["north", "north twin"]
    assert [doc.id for doc, _ in await store.asimilarity_search_with_relevance_scores("up", k=1)] == ["up"]
    assert [doc.id for doc in await store.amax_marginal_relevance_search("north", k=2, lambda_mult=0)] == [
        "north", "south",
    ]  # fmt: skip
    assert [doc.id for doc in await store.as_retriever(search_kwargs={"k": 1}).ainvoke("up")] == ["up"]
    assert [doc.id for doc in await OctantRetriever(vectorstore=store, k=1).ainvoke("up")] == ["up"]
    await store.adelete(["up"])
    assert [doc.id for doc in await store.aget_by_ids(["up", "east"])] == ["east"]
    assert no_engine_in_threads() == []
    await store.aclose()
    await client.close()


async def test_the_watch_sees_what_goes_to_a_thread(table: Any, no_engine_in_threads: Callable[[], list[str]]) -> None:
    store = await OctantVectorStore.afrom_texts(["north"], table, location=":memory:")
    seen = " ".join(no_engine_in_threads())
    assert "EdgeStore" in seen
    assert "LangChainEmbedder" in seen
    await store.aclose()


async def test_searches_overlap_while_a_model_waits(table: Any) -> None:
    class Slow(AsyncTable):
        waiting = most = 0

        async def aembed_query(self, text: str) -> list[float]:
            type(self).waiting += 1
            type(self).most = max(self.most, self.waiting)
            await until(lambda: self.most == 8)
            type(self).waiting -= 1
            return self.vectors[text]

    store = await OctantVectorStore.afrom_texts(["north", "up"], Slow(table.vectors), location=":memory:")
    await asyncio.gather(*(store.asimilarity_search("up") for _ in range(8)))
    assert Slow.most == 8
    await store.aclose()


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
async def test_awaited_answers_are_the_plain_ones(place: dict[str, Any], table: Any, mode: str) -> None:
    texts = list(table.vectors)
    documents = (Document(id=text, page_content=text, metadata={"n": len(text)}) for text in texts)
    store = await OctantVectorStore.afrom_documents(
        documents, table, collection_name="compass", retrieval_mode=mode, **place
    )
    options: dict[str, Any] = {
        "k": 3,
        "offset": 1,
        "filter": {"must_not": [{"key": "metadata.n", "match": {"value": 2}}]},
    }
    vector = table.vectors["east"]
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("similarity_search", ("north",), options),
        ("similarity_search_with_score", ("east",), {}),
        ("similarity_search_by_vector", (vector,), {}),
        ("similarity_search_with_score_by_vector", (vector, 2), {}),
        ("similarity_search_with_relevance_scores", ("east",), {}),
        ("max_marginal_relevance_search", ("north", 3), {}),
        ("max_marginal_relevance_search_by_vector", (vector, 3), {}),
        ("max_marginal_relevance_search_with_score_by_vector", (vector, 3), {}),
        ("get_by_ids", (texts,), {}),
    ]
    for name, args, kwargs in calls:
        plain = getattr(store, name)(*args, **kwargs)
        assert plain, name
        assert await getattr(store, f"a{name}")(*args, **kwargs) == plain
    await store.aclose()
    again = await OctantVectorStore.afrom_existing_collection("compass", table, retrieval_mode=mode, **place)
    assert again.similarity_search("east", k=1)[0].id == "east"
    await again.aclose()


async def test_awaited_refusals_let_go(place: dict[str, Any], table: Any) -> None:
    options = {**place, "collection_name": "compass"}
    await (await OctantVectorStore.afrom_texts(["north"], table, **options)).aclose()
    with pytest.raises(ValueError, match="no sparse vectors"):
        await OctantVectorStore.afrom_existing_collection(embedding=table, retrieval_mode="sparse", **options)
    with pytest.raises(ValueError, match="no sparse vectors"):
        await OctantVectorStore.aconstruct_instance(table, retrieval_mode="hybrid", **options)
    with pytest.raises(ValueError, match="one payload per point"):
        await OctantVectorStore.afrom_texts(["up"], table, [{}, {}], **options)
    async with await OctantVectorStore.afrom_existing_collection(embedding=table, **options) as store:
        assert await store.collection.acount() == 1
