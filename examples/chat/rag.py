"""A folder of documents under two embeddings, and an answer from the one that is surer of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from octant import Collection, Ranking, embedder, reranker
from octant.documents import Reader
from octant.flow import run
from octant_langchain import ConfidentRAG, ExtractiveChatModel

_HEADING = re.compile(r"^#+ (.*\w)$", re.MULTILINE)
SAMPLE = Path(__file__).parent.parent / "documents"
EMBEDDINGS = {"minilm": "by meaning (MiniLM)", "bm25": "by words (BM25)"}


def indexed(folder: Path) -> Collection:
    """Every text file of ``folder``, cut into passages, in a collection that is gone when it is closed."""
    collection = Collection.create(
        "chat",
        location=":memory:",  # Qdrant Edge; a path keeps it, "http://localhost:6333" is a server
        embeddings={"minilm": {"embedding": "all-MiniLM-L6-v2", "represent": "turbo8"}},
        sparse="bm25",
        sparse_name="bm25",
    )
    for document in Reader([folder], 500, 0):
        # A heading is a sentence of its own, and a source is named as the reader of the folder knows it.
        texts = [_HEADING.sub(r"\1.", passage) for passage in document.passages]
        collection.add(texts, ids=[point.removeprefix(f"{folder}/") for point in document.ids])
    return collection


def chat_model(name: str | None, embed: Callable[[list[str]], Any]) -> Any:
    """Any model that ``langchain.chat_models.init_chat_model`` knows, or without a name one that only quotes."""
    if name is None:
        return ExtractiveChatModel(embed=embed)
    from langchain.chat_models import init_chat_model

    return init_chat_model(name)


def confident_rag(collection: Collection, model: str | None = None, *, abstain_below: float = 0.3) -> ConfidentRAG:
    """Question in; answer, sources and decision out."""
    words = reranker("lexical")  # "listwise" with llm= lets a language model put them in order
    vectors = embedder("all-MiniLM-L6-v2")

    def documents(found: Ranking) -> list[Document]:
        return [
            Document(
                one.text or "",
                id=str(one.id),
                metadata={"before": one.first_stage_score, "after": one.score, "relevance_score": one.score},
            )
            for one in found
        ]

    def retrieve(embedding: str, question: str) -> list[Document]:
        return documents(words.rerank(question, collection.search(question, 8, embedding=embedding), 3))

    async def aretrieve(embedding: str, question: str) -> list[Document]:
        return documents(await words.arerank(question, await collection.asearch(question, 8, embedding=embedding), 3))

    return ConfidentRAG(
        retrievers={name: RunnableLambda(partial(retrieve, name), partial(aretrieve, name)) for name in EMBEDDINGS},
        llm=chat_model(model, lambda texts: run(vectors.embed_documents(texts))),
        abstain_below=abstain_below,
    )


def why(found: dict[str, Any]) -> str:
    """The decision behind an answer, in one sentence."""
    decision = found["decision"]
    others = ", ".join(f"{name} {share:.2f}" for name, share in decision.alternatives.items())
    if found["abstention"] is not None:
        return f"not answered: confidence {decision.confidence:.2f} is below {found['abstention'].below:.2f}"
    told = f"from {decision.chosen}, confidence {decision.confidence:.2f}" + (f" (against {others})" if others else "")
    return told + ("" if decision.calibrated else ", not calibrated")
