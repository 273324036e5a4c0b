"""A retriever that chooses between embeddings: plain and awaited, reranked, cascaded, and what tracers see of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

import octant
from made_embeddings import HashedWords, documents
from octant.errors import InputError
from octant.selectors import JudgedSearch, JudgedSearches
from octant_langchain import OctantRetriever, OctantVectorStore, create_retriever_tool

TEXTS = documents()
QUESTION = "glaciers note10"


@pytest.fixture
def models() -> dict[str, HashedWords]:
    return {"small": HashedWords(1, 32), "large": HashedWords(2, 48)}


@pytest.fixture
def store(tmp_path: Path, models: dict[str, HashedWords]) -> Iterator[OctantVectorStore]:
    collection = octant.Collection.create(
        "docs",
        location=tmp_path,
        embeddings={name: {"embedding": model, "represent": "turbo8"} for name, model in models.items()},
    )
    collection.add(TEXTS, ids=range(len(TEXTS)))
    with OctantVectorStore(collection=collection, metadata_payload_key=None) as opened:
        yield opened


class Seen(BaseCallbackHandler):
    """Keeps custom events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.events.append((name, data))


def decision(found: list[Document]) -> octant.Decision:
    [told] = {repr(one.metadata["octant_decision"]): one.metadata["octant_decision"] for one in found}.values()
    return octant.Decision.from_json(told)


async def test_every_document_carries_the_decision(store: OctantVectorStore) -> None:
    retriever = store.as_retriever(select="fuse", k=3)
    assert isinstance(retriever, OctantRetriever)
    seen = Seen()
    found = retriever.invoke(QUESTION, config={"callbacks": [seen]})
    assert found[0].page_content == TEXTS[10]
    assert len(found) == 3
    made = decision(found)
    assert made.chosen == "small + large"
    assert made.cost == {"searches": 2}
    assert ("octant_decision", made.as_json()) in seen.events
    assert [one.model_dump() for one in await retriever.ainvoke(QUESTION)] == [one.model_dump() for one in found]


def test_only_the_embeddings_that_are_named_are_asked(store: OctantVectorStore, models: dict[str, HashedWords]) -> None:
    before = models["large"].seen
    found = OctantRetriever(vectorstore=store, select="rrf", embeddings=["small"]).invoke(QUESTION)
    assert models["large"].seen == before
    assert decision(found).chosen == "small"
    assert any("nothing to choose" in remark for remark in decision(found).remarks)


def test_a_cascade_embeds_the_question_once_where_that_is_enough(
    store: OctantVectorStore, models: dict[str, HashedWords]
) -> None:
    learned = octant.selector("cascade(rate=0)").learn(
        JudgedSearches(tuple(JudgedSearch(store.collection.search_each(text, 20)) for text in TEXTS[:30])),
        embeddings=["small", "large"],
    ).learned  # fmt: skip
    retriever = OctantRetriever(
        vectorstore=store, select="cascade(rate=0)", select_kwargs={"learned": learned}, embeddings=["small", "large"]
    )
    before = models["large"].seen
    found = retriever.invoke(TEXTS[3])
    assert models["large"].seen == before
    assert decision(found).cost == {"searches": 1}
    assert found[0].page_content == TEXTS[3]


def test_what_is_attached_to_the_collection_is_used(store: OctantVectorStore) -> None:
    judged = JudgedSearches(
        tuple(
            JudgedSearch(store.collection.search_each(f"note{row} of what", 20), {row: 1.0}, str(row))
            for row in range(30)
        ),
        corpus=store.collection.corpus(),
    )
    store.collection.attach(octant.selector("fuse").learn(judged).learned)
    made = decision(OctantRetriever(vectorstore=store, select="fuse").invoke(QUESTION))
    assert not any("nothing was learned" in remark for remark in made.remarks)


def test_what_was_chosen_is_reranked(store: OctantVectorStore) -> None:
    found = OctantRetriever(vectorstore=store, select="fuse", rerank="lexical", k=2, fetch_k=5).invoke(QUESTION)
    assert len(found) == 2
    assert decision(found).chosen == "small + large"
    assert "relevance_score" in found[0].metadata


def test_an_embedding_that_fails_is_told(store: OctantVectorStore, models: dict[str, HashedWords]) -> None:
    retriever = OctantRetriever(vectorstore=store, select="fuse")
    models["large"].broken = "no route to the model"
    found = retriever.invoke(QUESTION)
    assert "no route to the model" in decision(found).failures["large"]
    assert decision(found).chosen == "small"
    assert found[0].page_content == TEXTS[10]


def test_a_tool_has_the_decision_in_its_artifact(store: OctantVectorStore) -> None:
    tool = create_retriever_tool(OctantRetriever(vectorstore=store, select="fuse"), "search", "Looks things up.")
    message = tool.invoke({"type": "tool_call", "id": "1", "name": "search", "args": {"query": QUESTION}})
    assert message.artifact.decision.chosen == "small + large"


def test_a_filter_reaches_every_embedding(store: OctantVectorStore) -> None:
    store.collection.add(["glaciers elsewhere"], ids=[900], payloads=[{"place": "elsewhere"}])
    keep = {"must": [{"key": "place", "match": {"value": "elsewhere"}}]}
    found = OctantRetriever(vectorstore=store, select="rrf", search_kwargs={"filter": keep}).invoke(QUESTION)
    assert [one.page_content for one in found] == ["glaciers elsewhere"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "fuze"}, "did you mean 'fuse'"),
        ({"select": "fuse", "embeddings": ["small", "huge"]}, r"take a question are small, large; got 'huge'"),
        ({"embeddings": ["small"]}, "pass select= too"),
        ({"select_kwargs": {"learned": None}}, "pass select= too"),
        ({"select": "fuse", "with_relevance": True}, "read the scores of one embedding"),
    ],
)
def test_mistakes_are_told_when_the_retriever_is_made(
    store: OctantVectorStore, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        OctantRetriever(vectorstore=store, **options)


def test_options_of_one_embedding_are_refused(store: OctantVectorStore) -> None:
    retriever = OctantRetriever(vectorstore=store, select="fuse", search_kwargs={"score_threshold": 0.5})
    with pytest.raises(InputError, match="takes filter and search_params; got score_threshold"):
        retriever.invoke(QUESTION)
