"""A small RAG application over a file of notes: LangChain, Qdrant and a chat model.

``before.py`` stores plain vectors with langchain-qdrant. ``after.py`` differs in five lines, and does what
``octant.yaml`` says. Both read CHAT_MODEL, EMBEDDING_MODEL and NOTES_DATA from the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from octant_langchain import OctantVectorStore

HERE = Path(__file__).parent
DATA = os.environ.get("NOTES_DATA", str(HERE / "notes-data"))
PROMPT = ChatPromptTemplate.from_template(
    "Answer from these notes, or say that they do not tell.\n\n{notes}\n\nQuestion: {question}"
)


def read_notes() -> list[Document]:
    """One document for every paragraph."""
    paragraphs = (HERE / "notes.md").read_text(encoding="utf-8").strip().split("\n\n")
    return [Document(text, metadata={"note": number}) for number, text in enumerate(paragraphs, start=1)]


def open_store(embedding: Embeddings) -> Any:
    """Where the notes are kept."""
    return OctantVectorStore.from_config(HERE / "octant.yaml", embedding=embedding)


def index(store: Any) -> None:
    """Store the notes, under their numbers."""
    notes = read_notes()
    store.add_documents(notes, ids=[note.metadata["note"] for note in notes])


def listed(documents: list[Document]) -> str:
    """What the chat model is shown."""
    return "\n".join(f"[{document.metadata['note']}] {document.page_content}" for document in documents)


def answering(store: Any, model: BaseChatModel) -> Runnable[str, str]:
    """From a question to an answer."""
    retriever = store.as_retriever(search_kwargs={"k": 3})
    return {"notes": retriever | listed, "question": RunnablePassthrough()} | PROMPT | model | StrOutputParser()


if __name__ == "__main__":
    from langchain.chat_models import init_chat_model
    from langchain.embeddings import init_embeddings

    opened = open_store(init_embeddings(os.environ.get("EMBEDDING_MODEL", "openai:text-embedding-3-small")))
    index(opened)
    chat = init_chat_model(os.environ.get("CHAT_MODEL", "openai:gpt-4o-mini"))
    print(answering(opened, chat).invoke(" ".join(sys.argv[1:]) or "Which came first, the octant or the sextant?"))
