"""How passages are shown to a language model, and read back from what it was shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate

from octant import confidence

_SHOWN = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
_ASKED = re.compile(r"^Question: (.*)\Z", re.MULTILINE | re.DOTALL)

ANSWER_PROMPT = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "Answer the question from the numbered passages alone, in as few words as will do. Say after each "
            f"statement which passage it is from, like [1]. If no passage holds the answer, say: {confidence.WORDING}",
        ),
        ("human", "{context}\n\nQuestion: {question}"),
    ]
)
"""Takes ``context`` and ``question``; any prompt that takes these does."""


def shown(documents: Sequence[Document]) -> str:
    """Numbered passages, one a line: what is in a passage cannot look like the start of another."""
    return "\n".join(f"[{place}] {' '.join(one.page_content.split())}" for place, one in enumerate(documents, 1))


def passages_of(prompt: str) -> list[str]:
    """The passages in a prompt that :func:`shown` wrote, in its order."""
    return [text for _, text in _SHOWN.findall(_ASKED.sub("", prompt))]


def question_of(prompt: str) -> str:
    """What follows ``Question:`` at the end of a prompt; all of it where there is no such line."""
    found = _ASKED.search(prompt)
    return (found[1] if found else prompt).strip()
