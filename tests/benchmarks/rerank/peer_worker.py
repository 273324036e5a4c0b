"""Runs in an environment of its own: reranks scripted answers with LangChain, LlamaIndex, rerankers and Haystack.

Standard input: JSON lines ``{"library", "answer", "n"}``. Standard output: a line with the versions, then one for each
answer, ``{"ids": [...]}`` or ``{"error": "..."}``. Each library may return all n.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

QUERY = "a query"
PACKAGES = ("langchain-classic", "llama-index-core", "rerankers", "haystack-ai")


def langchain(answer: str, n: int) -> list[str]:
    from langchain_classic.retrievers.document_compressors import LLMListwiseRerank
    from langchain_core.documents import Document
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import PydanticOutputParser

    class Scripted(FakeListChatModel):
        def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
            return self | PydanticOutputParser(pydantic_object=schema)  # as its own json mode does

    ranker = LLMListwiseRerank.from_llm(Scripted(responses=[answer]), top_n=n)
    documents = [Document(f"passage {i}", metadata={"id": str(i)}) for i in range(1, n + 1)]
    return [document.metadata["id"] for document in ranker.compress_documents(documents, QUERY)]


def llamaindex(answer: str, n: int) -> list[str]:
    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
    from llama_index.core.postprocessor import LLMRerank
    from llama_index.core.schema import NodeWithScore, TextNode

    class Scripted(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata()

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text=answer)

        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    nodes = [NodeWithScore(node=TextNode(text=f"passage {i}", id_=str(i)), score=1 - i / 10) for i in range(1, n + 1)]
    ranker = LLMRerank(llm=Scripted(), top_n=n)
    return [node.node.node_id for node in ranker.postprocess_nodes(nodes, query_str=QUERY)]


def rerankers(answer: str, n: int) -> list[str]:
    from rerankers.models import rankgpt_rankers

    message = SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=answer))])
    rankgpt_rankers.completion = lambda **kwargs: message
    ranker = rankgpt_rankers.RankGPTRanker("scripted", "no key", verbose=0)
    texts, ids = [f"passage {i}" for i in range(1, n + 1)], [str(i) for i in range(1, n + 1)]
    done = ranker.rank(QUERY, texts, doc_ids=ids, rank_end=n)  # its default of 0 would show the model no passage
    return [_id_of(result.document.text) for result in done.results]


def _id_of(text: str) -> str:
    return text.rpartition(" ")[2]


def haystack(answer: str, n: int) -> list[str]:
    from haystack import Document, component
    from haystack.components.rankers.llm_ranker import LLMRanker
    from haystack.dataclasses import ChatMessage

    @component
    class Scripted:
        @component.output_types(replies=list[ChatMessage])
        def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
            return {"replies": [ChatMessage.from_assistant(answer)]}

    documents = [Document(id=str(i), content=f"passage {i}") for i in range(1, n + 1)]
    return [
        document.id for document in LLMRanker(chat_generator=Scripted(), top_k=n).run(QUERY, documents)["documents"]
    ]


LIBRARIES: dict[str, Callable[[str, int], list[str]]] = {
    "LangChain": langchain, "LlamaIndex": llamaindex, "rerankers": rerankers, "Haystack": haystack
}  # fmt: skip


def main() -> None:
    results, sys.stdout = sys.stdout, sys.stderr  # libraries print
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")
    print(json.dumps({package: version(package) for package in PACKAGES}), file=results)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            said: dict[str, Any] = {"ids": LIBRARIES[asked["library"]](asked["answer"], asked["n"])}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(json.dumps(said), file=results, flush=True)


if __name__ == "__main__":
    main()
