"""Retrievers: Octant's own, and the one LangChain makes of any store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from octant_langchain import OctantRetriever, OctantVectorStore

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


@pytest.fixture
def store(table: Any, tmp_path: Any) -> Any:
    texts = list(table.vectors)
    metadatas = [{"even": rank % 2 == 0} for rank in range(len(texts))]
    with OctantVectorStore.from_texts(texts, table, metadatas, ids=texts, path=tmp_path) as store:
        yield store


def ids(documents: list[Any]) -> list[str]:
    return [document.id for document in documents]


def test_settings_come_from_the_constructor_and_from_the_call(store: OctantVectorStore) -> None:
    even = {"must": [{"key": "metadata.even", "match": {"value": True}}]}
    retriever = OctantRetriever(vectorstore=store, k=2, search_kwargs={"filter": even})
    assert ids(retriever.invoke("north")) == ["north", "north-east"]
    assert ids(retriever.invoke("north", k=1)) == ["north"]
    assert ids(retriever.invoke("north", filter=None)) == ["north", "north twin"]
    assert ids(retriever.invoke("north", offset=1)) == ids(retriever.invoke("north", k=3))[1:]
    with pytest.raises(TypeError, match="unknown option 'fliter'"):
        retriever.invoke("north", fliter=even)


def test_k_is_checked_when_it_is_given(store: OctantVectorStore) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        OctantRetriever(vectorstore=store, k=0)


async def test_relevance_is_added_only_when_asked_and_only_to_copies(store: OctantVectorStore) -> None:
    plain = OctantRetriever(vectorstore=store, k=2).invoke("north")
    assert all("relevance_score" not in doc.metadata for doc in plain)
    retriever = OctantRetriever(vectorstore=store, k=2, with_relevance=True)
    marked = retriever.invoke("north")
    assert marked == await retriever.ainvoke("north")
    assert ids(marked) == ids(plain)
    assert 1 >= marked[0].metadata["relevance_score"] > marked[1].metadata["relevance_score"] > 0.9
    assert "relevance_score" not in store.get_by_ids(["north"])[0].metadata
    least = marked[1].metadata["relevance_score"]
    assert len(retriever.invoke("north", k=6, score_threshold=least)) == 2


def test_langchains_own_retriever_of_every_type(store: OctantVectorStore) -> None:
    assert ids(store.as_retriever(search_kwargs={"k": 2}).invoke("north")) == ["north", "north twin"]
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.0})
    assert ids(diverse.invoke("north")) == ["north", "south"]
    near = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99})
    assert ids(near.invoke("north")) == ["north", "north twin"]
    assert store.as_retriever().tags == ["OctantVectorStore", "Table"]


def test_a_trace_tells_store_and_model(store: OctantVectorStore) -> None:
    seen: list[dict[str, Any]] = []

    class Watch(BaseCallbackHandler):
        def on_retriever_start(self, *_: Any, metadata: dict[str, Any], **__: Any) -> None:
            seen.append(metadata)

    OctantRetriever(vectorstore=store).invoke("up", config={"callbacks": [Watch()]})
    assert seen == [
        {
            "ls_retriever_name": "octant",
            "ls_vector_store_provider": "OctantVectorStore",
            "ls_embedding_provider": "Table",
            "ls_embedding_model": "Table",
        }
    ]


async def test_it_is_a_runnable_like_any_other(store: OctantVectorStore) -> None:
    join: Callable[[list[Any]], str] = lambda documents: " + ".join(ids(documents))  # noqa: E731
    chain = OctantRetriever(vectorstore=store, k=2) | RunnableLambda(join)
    assert chain.invoke("north") == "north + north twin"
    assert await chain.abatch(["north", "up"]) == ["north + north twin", "up + north"]


def test_a_store_without_model_still_makes_a_retriever(store: OctantVectorStore) -> None:
    words = OctantVectorStore.from_texts(["red apples", "green pears"], retrieval_mode="sparse", ids=["a", "b"])
    assert ids(words.as_retriever().invoke("pears")) == ["b"]
    assert ids(OctantRetriever(vectorstore=words).invoke("apples")) == ["a"]
    words.close()
