"""Chat with a folder of documents in the terminal: citations, confidence and cost with every answer.

    python examples/chat_terminal.py                                    the sample documents, no key, no model hub
    python examples/chat_terminal.py ~/notes --model openai:gpt-5-mini  any provider of init_chat_model

Without --model an extractive answerer quotes the sentence that fits best. Without a terminal, or with --ask, it
answers what it is given and ends. Needs the extras [demo] and, for --model, [chat] and the provider's package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from chat.rag import SAMPLE, confident_rag, indexed, why

from octant_langchain import ConfidentRAG

QUESTIONS = ("How long does a dog watch last?", "How much time did H4 lose?", "Who won the cup final?")


def turn(rag: ConfidentRAG, question: str) -> None:
    """One question and everything that is said about its answer."""
    found: dict[str, object] = {}
    for piece in rag.stream(question):
        if "answer" in piece:
            print(piece["answer"], end="", flush=True)
        found |= piece
    print(f"\n  {why(found)}")
    for place, one in enumerate(found["documents"], 1):
        before, after = one.metadata["before"], one.metadata["after"]
        print(f"  [{place}] {one.id}  {before:.2f} -> {after:.2f}  {' '.join(one.page_content.split())[:70]}")
    cost = found["decision"].cost
    tokens = sum(cost.get(name, 0) for name in ("input_tokens", "output_tokens"))
    print(f"  cost: {cost['generations']:.0f} answers, {tokens:.0f} tokens, {cost['seconds']:.2f} s\n")


def typed() -> Iterator[str]:
    """What is typed, until Ctrl-D or Ctrl-C."""
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if question:
            yield question


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", help="e.g. openai:gpt-5-mini, ollama:qwen3")
    parser.add_argument("--ask", action="append", help="a question; the program ends after the last")
    given = parser.parse_args()
    with indexed(given.folder) as collection:
        rag = confident_rag(collection, given.model)
        asked = given.ask or (None if sys.stdin.isatty() else QUESTIONS)
        if asked is None:
            print("Ask, or press Ctrl-D to end.")
        for question in typed() if asked is None else asked:
            if asked is not None:
                print(f"> {question}")
            turn(rag, question)


if __name__ == "__main__":
    main()
