"""Octant's rerankers where LangChain expects a compressor, a Runnable, or a retriever that reranks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import ValidationError

import octant
from made_judged import DIM, judged
from octant.errors import InputError, RerankError
from octant_langchain import OctantReranker, OctantRetriever, OctantVectorStore

DOCUMENTS = [
    Document("bread rises while it rests", id="a", metadata={"source": "bread.md"}),
    Document("an octopus has three hearts", id="b", metadata={"source": "sea.md"}),
    Document("the ship carried octants", id="c"),
]
QUESTION = "how many hearts has an octopus"


def shared_words(pairs: list[tuple[str, str]]) -> list[float]:
    return [float(len(set(query.split()) & set(text.split()))) for query, text in pairs]


def by_words(**options: Any) -> OctantReranker:
    return OctantReranker(rerank="cross_encoder", rerank_kwargs={"cross_encoder": shared_words}, **options)


def listwise(*answers: str, **options: Any) -> OctantReranker:
    llm = FakeListChatModel(responses=list(answers))
    return OctantReranker(rerank="listwise(structured=false)", rerank_kwargs={"llm": llm, "retries": 0}, **options)


class Seen(BaseTracer):
    """Keeps whole trees of runs, and custom events."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self.events: list[tuple[str, Any]] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


class Events(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.events.append((name, data))


# -- a compressor ----------------------------------------------------------------------------------


async def test_it_returns_scored_copies_and_leaves_the_documents_alone() -> None:
    before = copy.deepcopy(DOCUMENTS)
    done = by_words(top_n=2).compress_documents(DOCUMENTS, QUESTION)
    assert [document.id for document in done] == ["b", "a"]
    assert done[0].metadata == {"source": "sea.md", "relevance_score": 4.0}
    assert before == DOCUMENTS
    assert done[0] is not DOCUMENTS[1]
    assert done[0].metadata is not DOCUMENTS[1].metadata
    assert await by_words(top_n=2).acompress_documents(DOCUMENTS, QUESTION) == done
    assert isinstance(by_words(), BaseDocumentCompressor)


def test_documents_without_ids_or_with_one_twice_stay_apart() -> None:
    twins = [Document("x hearts", id="same"), Document("octopus hearts", id="same"), Document("octopus", id=None)]
    done = by_words().compress_documents(twins, QUESTION)
    assert [document.page_content for document in done] == ["octopus hearts", "x hearts", "octopus"]


def test_nothing_comes_of_nothing() -> None:
    assert by_words().compress_documents([], QUESTION) == []


def test_a_failure_keeps_the_order_and_adds_no_scores() -> None:
    done = listwise("I would rather not.").compress_documents(DOCUMENTS, QUESTION)
    assert done == DOCUMENTS
    assert all("relevance_score" not in document.metadata for document in done)
    strict = OctantReranker(
        rerank="listwise", rerank_kwargs={"llm": lambda text: "I would rather not.", "on_failure": "raise"}
    )
    with pytest.raises(RerankError, match="could not be used"):
        strict.compress_documents(DOCUMENTS, QUESTION)


def test_scores_that_documents_carry_are_the_first_stage() -> None:
    carried = [document.model_copy(update={"metadata": {"relevance_score": score}})
               for document, score in zip(DOCUMENTS, (0.9, 0.5, 0.1), strict=True)]  # fmt: skip
    events = Events()
    OctantReranker(rerank="first_stage").compress_documents(carried, QUESTION, callbacks=[events])
    done = OctantReranker(rerank=octant.reranker("first_stage")).compress_documents(carried, QUESTION)
    assert [document.metadata["relevance_score"] for document in done] == [0.9, 0.5, 0.1]
    assert events.events[0][1]["method"] == "first_stage"


async def test_in_langchains_contextual_compression_retriever() -> None:
    classic = pytest.importorskip("langchain_classic.retrievers", reason="needs the extra [test]")
    base = RunnableLambda(lambda question: DOCUMENTS)
    retriever = classic.ContextualCompressionRetriever(base_compressor=by_words(top_n=1), base_retriever=base)
    seen = Seen()
    done = retriever.invoke(QUESTION, config={"callbacks": [seen]})
    assert [document.id for document in done] == ["b"]
    assert await retriever.ainvoke(QUESTION) == done
    (outer,) = seen.runs
    assert "OctantReranker" in [run.name for run in outer.child_runs]


def test_in_a_compressor_pipeline() -> None:
    classic = pytest.importorskip("langchain_classic.retrievers.document_compressors", reason="needs the extra [test]")
    pipeline = classic.DocumentCompressorPipeline(transformers=[by_words(top_n=2), listwise("[2] > [1]", top_n=1)])
    assert [document.id for document in pipeline.compress_documents(DOCUMENTS, QUESTION)] == ["a"]


# -- a Runnable ------------------------------------------------------------------------------------


async def test_it_is_a_runnable() -> None:
    chain = {"query": RunnablePassthrough(), "documents": RunnableLambda(lambda _: DOCUMENTS)} | by_words(top_n=1)
    assert [document.id for document in chain.invoke(QUESTION)] == ["b"]
    assert [document.id for document in await chain.ainvoke(QUESTION)] == ["b"]
    assert [[document.id for document in done] for done in chain.batch([QUESTION, "bread rises"])] == [["b"], ["a"]]
    with pytest.raises(InputError, match=r"expected {'query': text, 'documents': \[Document, ...\]}, got dict"):
        by_words().invoke({"question": QUESTION, "documents": DOCUMENTS})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_trace_shows_the_report_and_the_models_calls_beneath(awaited: bool) -> None:
    llm = FakeListChatModel(responses=["7"])
    # Side by side in threads, with a time limit: where context is easily lost.
    options = {"llm": llm, "timeout": 600, "prices": (1.0, 2.0)}
    reranker = OctantReranker(rerank="pointwise(alternatives=0)", rerank_kwargs=options)
    seen, events = Seen(), Events()
    config = {"callbacks": [seen, events], "tags": ["mine"]}
    found = {"query": QUESTION, "documents": DOCUMENTS}
    if awaited:
        await reranker.ainvoke(found, config)  # type: ignore[arg-type]
    else:
        reranker.invoke(found, config)  # type: ignore[arg-type]
    (run,) = seen.runs
    assert [child.run_type for child in run.child_runs] == ["llm"] * 3
    assert "mine" in run.tags
    report = run.metadata["octant_rerank"]
    assert (report["method"], report["calls"]) == ("pointwise(alternatives=0)", 3)
    assert report["cost"] > 0
    assert run.metadata["reranker"] == "pointwise(alternatives=0)"
    assert events.events == [("octant_rerank", report)]


def test_justifications_are_told_by_the_documents_ids() -> None:
    llm = FakeListChatModel(responses=["[1]: no\n[2]: counts hearts\n[3]: no\nRanking: [2] > [3] > [1]"])
    reranker = OctantReranker(rerank="listwise(reasoned=true, structured=false)", rerank_kwargs={"llm": llm})
    events = Events()
    reranker.compress_documents(DOCUMENTS, QUESTION, callbacks=[events])
    assert events.events[0][1]["justifications"] == {"a": "no", "b": "counts hearts", "c": "no"}


def test_what_cannot_work_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValidationError, match="no reranker 'listwize'"):
        OctantReranker(rerank="listwize")
    with pytest.raises(ValidationError, match="asks a language model: pass llm="):
        OctantReranker(rerank="listwise")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        by_words(top_n=0)
    with pytest.raises(ValidationError, match="reads the vectors of candidates, which documents do not carry"):
        OctantReranker(rerank="rocchio", rerank_kwargs={"embedding": lambda texts: [[1.0, 0.0]] * len(texts)})


# -- a retriever that reranks ----------------------------------------------------------------------


@pytest.fixture
def store(table: Any, tmp_path: Any) -> Any:
    texts = list(table.vectors)
    with OctantVectorStore.from_texts(
        texts, table, [{"place": i} for i in range(6)], ids=texts, path=tmp_path
    ) as store:
        yield store


def longest(pairs: list[tuple[str, str]]) -> list[float]:
    return [float(len(text)) for _, text in pairs]


async def test_a_retriever_reranks_what_it_fetches(store: OctantVectorStore) -> None:
    options = {"cross_encoder": longest}
    retriever = OctantRetriever(vectorstore=store, k=2, rerank="cross_encoder", rerank_kwargs=options, fetch_k=3)
    done = retriever.invoke("north")
    assert [document.id for document in done] == ["north twin", "north-east"]
    assert done[0].metadata == {"place": 1, "relevance_score": 10.0}
    assert await retriever.ainvoke("north") == done
    assert [document.id for document in retriever.invoke("north", fetch_k=1)] == ["north twin", "north"]
    assert [document.id for document in retriever.invoke("north", k=1, rerank=None)] == ["north"]
    plain = OctantRetriever(vectorstore=store, k=1, rerank="first_stage", search_kwargs={"offset": 1})
    assert [document.id for document in plain.invoke("north")] == ["north twin"]


async def test_its_trace_shows_the_report(store: OctantVectorStore) -> None:
    llm = FakeListChatModel(responses=["[3] > [1]"])
    options = {"llm": llm}
    retriever = store.as_retriever(rerank="listwise", rerank_kwargs=options, search_kwargs={"k": 1}, fetch_k=3)
    assert isinstance(retriever, OctantRetriever)
    seen, events = Seen(), Events()
    assert [document.id for document in retriever.invoke("north", {"callbacks": [seen, events]})] == ["north-east"]
    await retriever.ainvoke("north", {"callbacks": [seen, events]})
    for run in seen.runs:
        assert [child.run_type for child in run.child_runs] == ["llm"]
        assert run.metadata["octant_rerank"]["method"] == "listwise"
        assert run.metadata["octant_rerank"]["outputs"][0]["kind"] == "repaired"
    assert [name for name, _ in events.events] == ["octant_rerank"] * 2


def test_rerankers_that_read_vectors_get_them(store: OctantVectorStore) -> None:
    retriever = OctantRetriever(vectorstore=store, k=2, rerank="rocchio")
    events = Events()
    found = retriever.invoke("north", {"callbacks": [events]})
    candidates = store.ranking("north", k=50, with_vectors=True)
    alone = octant.reranker("rocchio", collection=store.collection).rerank("north", candidates, 2)
    assert [document.id for document in found] == list(alone.ids)
    assert alone.score_kind != "first stage"
    assert events.events[0][1]["failure"] is None


def test_wrong_settings_of_a_retriever_are_told_at_once(store: OctantVectorStore) -> None:
    with pytest.raises(ValidationError, match="asks a language model: pass llm="):
        OctantRetriever(vectorstore=store, rerank="listwise")
    with pytest.raises(ValidationError, match="rerank_kwargs are for a reranker: pass rerank= too"):
        OctantRetriever(vectorstore=store, rerank_kwargs={"llm": str})
    with pytest.raises(InputError, match="rerank go with search_type='similarity', got 'mmr'"):
        store.as_retriever(rerank="first_stage", search_type="mmr")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        OctantRetriever(vectorstore=store, fetch_k=0)
    with pytest.raises(TypeError, match="unknown option 'fetch_k'"):
        OctantRetriever(vectorstore=store).invoke("north", rerank=None, fetch_k=3)


def test_a_reranker_that_fails_leaves_the_order_and_adds_no_scores(store: OctantVectorStore) -> None:
    options = {"llm": lambda prompt: "I would rather not."}
    found = OctantRetriever(vectorstore=store, k=3, rerank="listwise", rerank_kwargs=options).invoke("north")
    assert found == OctantRetriever(vectorstore=store, k=3).invoke("north")


# -- a cutoff ----------------------------------------------------------------------------------------


async def test_a_cutoff_leaves_out_what_is_too_improbable_with_and_without_a_reranker(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    vectors = {f"text {i}": row for i, row in enumerate(rng.normal(size=(30, DIM)).tolist())}
    embedding = type("Lookup", (), {
        "embed_documents": lambda _, texts: [vectors[text] for text in texts],
        "embed_query": lambda _, text: vectors[text],
    })()  # fmt: skip
    with OctantVectorStore.from_texts(list(vectors), embedding, ids=list(vectors), path=tmp_path) as store:
        scores = store.ranking("text 3", k=30).scores
        trained = octant.Cutoff.train(judged(40), families=["linear"], hidden=0)
        told = trained.probability(np.array(vectors["text 3"], np.float32), scores)
        cutoff = trained.at(probability=float((told[4] + told[5]) / 2))
        retriever = OctantRetriever(vectorstore=store, k=10, cutoff=cutoff)
        assert len(store.similarity_search("text 3", k=10)) == 10
        assert [document.id for document in retriever.invoke("text 3")] == list(store.ranking("text 3", k=5).ids)
        assert await retriever.ainvoke("text 3") == retriever.invoke("text 3")
        reranked = store.as_retriever(cutoff=cutoff, rerank="cross_encoder", rerank_kwargs={"cross_encoder": longest})
        assert {document.id for document in reranked.invoke("text 3", k=10)} == set(store.ranking("text 3", k=5).ids)
