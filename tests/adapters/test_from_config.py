"""LangChain's objects from a configuration, and an existing application that gets Octant by one."""

from __future__ import annotations

import difflib
import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from pydantic import PrivateAttr, ValidationError

from made_embeddings import HashedWords, documents
from octant.errors import ConfigError
from octant_langchain import OctantRetriever, OctantVectorStore

TEXTS = documents()
QUERY = "glaciers note10"


def configured(folder: Path, **more: Any) -> dict[str, Any]:
    return {"collection": "docs", "create": True, "store": str(folder), "sparse": "bm25", **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with OctantVectorStore.from_config(configured(tmp_path), embedding=HashedWords(1)) as store:
        store.add_texts(
            TEXTS, ids=[str(row) for row in range(len(TEXTS))], metadatas=[{"row": row} for row in range(60)]
        )
    return tmp_path


def retriever(folder: Path, **more: Any) -> OctantRetriever:
    return OctantRetriever.from_config(configured(folder, **more), embedding=HashedWords(1))


def test_a_retriever_does_what_is_configured(folder: Path) -> None:
    made = retriever(folder, search={"k": 2, "candidates": 10}, select="fuse", rerank="lexical")
    found = made.invoke(QUERY)
    assert [document.metadata["row"] for document in found] == [10, 28]
    assert found[0].metadata["octant_decision"]["chosen"] == "dense + sparse"
    assert found[0].metadata["relevance_score"] > found[1].metadata["relevance_score"]
    assert len(made.invoke(QUERY, k=1)) == 1
    made.vectorstore.close()


async def test_the_awaited_twins_do_the_same(folder: Path) -> None:
    config = configured(folder, search={"k": 2}, select="fuse")
    made = await OctantRetriever.afrom_config(config, embedding=HashedWords(1))
    assert [document.id for document in await made.ainvoke(QUERY)] == [document.id for document in made.invoke(QUERY)]
    await made.vectorstore.aclose()
    store = await OctantVectorStore.afrom_config(config, embedding=HashedWords(1))
    assert len(await store.as_retriever().ainvoke(QUERY)) == 2
    await store.aclose()


def test_a_store_gives_the_configured_retriever(folder: Path) -> None:
    config = configured(
        folder, search={"k": 2, "candidates": 10, "filter": {"must": []}}, select="fuse", rerank="lexical"
    )
    with OctantVectorStore.from_config(config, embedding=HashedWords(1)) as store:
        assert isinstance(store.as_retriever(), OctantRetriever)
        assert len(store.as_retriever().invoke(QUERY)) == 2
        asked = store.as_retriever(search_kwargs={"k": 3})
        assert asked.search_kwargs == {"filter": {"must": []}}
        assert len(asked.invoke(QUERY)) == 3
        assert len(store.as_retriever(search_kwargs={"k": 3}, k=1).invoke(QUERY)) == 1
        assert [found.metadata["row"] for found in store.similarity_search(QUERY, k=1)] == [10]
        assert not isinstance(store.as_retriever(search_type="mmr"), OctantRetriever)


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_modes_and_thresholds(folder: Path, mode: str) -> None:
    made = retriever(folder, search={"mode": mode, "k": 1})
    assert [document.metadata["row"] for document in made.invoke("note10")] == [10]
    made.vectorstore.close()
    only = retriever(folder, search={"mode": mode, "score_threshold": 1000.0})
    assert only.invoke("note10") == []
    only.vectorstore.close()


def test_a_threshold_of_distances_is_langchains(tmp_path: Path) -> None:
    config = configured(tmp_path, embedding={"distance": "euclid"}, search={"score_threshold": -0.2})
    with OctantVectorStore.from_config(config, embedding=HashedWords(1)) as store:
        store.add_texts(TEXTS)
        assert [found.page_content for found in store.as_retriever().invoke(TEXTS[7])] == [TEXTS[7]]


class Told(BaseCallbackHandler):
    """Keeps the events of choices."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.events.append((name, data))


async def test_abstaining_returns_nothing_and_tells_why(folder: Path) -> None:
    made = retriever(folder, confidence={"abstain_below": 1})
    told = Told()
    assert made.invoke(QUERY, {"callbacks": [told]}) == []
    assert await made.ainvoke(QUERY, {"callbacks": [told]}) == []
    assert [name for name, _ in told.events] == ["octant_decision", "octant_decision"]
    assert "is below 1.00: nothing is returned" in str(told.events[0][1])
    made.vectorstore.close()


def test_a_confidence_at_the_threshold_is_not_withheld(folder: Path) -> None:
    made = retriever(folder, confidence={"abstain_below": 0})
    exactly = made.invoke(QUERY)[0].metadata["octant_decision"]["confidence"]
    assert 0 < exactly < 1
    made.abstain_below = exactly
    assert made.invoke(QUERY)
    made.abstain_below = math.nextafter(exactly, 1)
    assert made.invoke(QUERY) == []
    made.vectorstore.close()


def test_several_embeddings_and_one_that_is_too_late(tmp_path: Path) -> None:
    models = {"small": HashedWords(1), "large": HashedWords(2, 48)}
    config = configured(tmp_path, embeddings={"small": {}, "large": {}}, select="fuse", search={"k": 1, "timeout": 30})
    made = OctantRetriever.from_config(config, embeddings=models)
    made.vectorstore.add_texts(TEXTS)
    models["small"].broken = "down"
    [found] = made.invoke(QUERY)
    assert found.page_content == TEXTS[10]
    assert found.metadata["octant_decision"]["failures"] == {"small": "ConnectionError: down"}
    assert made.timeout == 30
    made.vectorstore.close()


def test_options_of_a_choice_need_one(folder: Path) -> None:
    with OctantVectorStore.from_config(configured(folder), embedding=HashedWords(1)) as store:
        with pytest.raises(ValidationError, match="are for a selector: pass select= too"):
            OctantRetriever(vectorstore=store, abstain_below=0.5)
        with pytest.raises(ValidationError, match="are for a selector: pass select= too"):
            OctantRetriever(vectorstore=store, timeout=5)
    with pytest.raises(ConfigError, match="collection: is missing"):
        OctantRetriever.from_config({})


# -- an existing application ---------------------------------------------------------------------

APP = Path(__file__).resolve().parents[2] / "examples" / "existing_app"
QUESTION = "When was the instrument with an arc of an eighth of a circle shown?"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"existing_app_{name}", APP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MiniLM(Embeddings):
    """LangChain's face of the real model."""

    def __init__(self, model: Any) -> None:
        self.source, self.model = model, "all-MiniLM-L6-v2"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.source.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Chat(GenericFakeChatModel):
    """Answers with a fixed text and remembers what it was asked."""

    _prompts: list[str] = PrivateAttr(default_factory=list)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self._prompts.append(messages[-1].content)
        return super()._generate(messages, *args, **kwargs)


def chat() -> BaseChatModel:
    return Chat(messages=iter([AIMessage("In 1731 [1].")]))


def test_the_application_changes_in_at_most_five_lines() -> None:
    before, after = ((APP / name).read_text().splitlines() for name in ("before.py", "after.py"))
    changed = [line for line in difflib.ndiff(before, after) if line[:2] in ("- ", "+ ")]
    assert 0 < len(changed) <= 5
    assert any("OctantVectorStore" in line for line in changed)


@pytest.mark.parametrize("name", ["before", "after"])
def test_the_application_works(name: str, minilm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_DATA", str(tmp_path / "data"))
    app = loaded(name)
    store = app.open_store(MiniLM(minilm))
    try:
        app.index(store)
        app.index(store)  # starting it again changes nothing
        model = chat()
        assert app.answering(store, model).invoke(QUESTION) == "In 1731 [1]."
        [prompt] = model._prompts  # type: ignore[attr-defined]
        shown = [line for line in prompt.splitlines() if line.startswith("[")]
        assert len(shown) == 3
        assert shown[0].startswith("[1] The octant")
    finally:
        store.close() if name == "after" else store.client.close()


def test_after_it_the_notes_are_compressed_and_found_by_words_too(
    minilm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_DATA", str(tmp_path / "data"))
    app = loaded("after")
    with app.open_store(MiniLM(minilm)) as store:
        app.index(store)
        assert store.collection.representation.spec == "turbo8"
        [found] = store.as_retriever(k=1).invoke("tallow")
        assert found.metadata["note"] == 8
        assert found.metadata["octant_decision"]["chosen"] == "dense + sparse"
