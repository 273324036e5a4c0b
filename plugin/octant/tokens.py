"""How a model splits texts into tokens, and how many of them it reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tokens:
    """How a model splits texts into tokens, and how many of them it reads.

    Attributes
    ----------
    count : function from text to int
        Tokens of a text, without those that the model adds.
    added : int
        Tokens that the model adds to every text.
    limit : int or None
        Tokens that it reads, added ones included; what is beyond is cut off unseen. None where nobody knows.
    chat : function from text to text, or None
        The text as one turn of a user, up to where the answer begins, for models that have a chat template.

    Examples
    --------
    >>> words = Tokens(lambda text: len(text.split()), added=2, limit=8)
    >>> words.room
    6
    """

    count: Callable[[str], int]
    added: int = 0
    limit: int | None = None
    chat: Callable[[str], str] | None = None

    @property
    def room(self) -> int | None:
        """Tokens that a text may have; None where nobody knows."""
        return None if self.limit is None else max(0, self.limit - self.added)


def tokens_of(model: Any, using: AbstractContextManager[Any]) -> Tokens | None:
    """How a sentence-transformers model splits and reads questions; None where its tokenizer does not tell.

    Parameters
    ----------
    model : SentenceTransformer
    using : context manager
        Held while the tokenizer works: it cannot be borrowed by two threads at once.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if not callable(tokenizer) or not hasattr(tokenizer, "num_special_tokens_to_add"):
        return None

    def count(text: str) -> int:
        with using:
            return len(tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def chat(text: str) -> str:
        turn = [{"role": "user", "content": text}]
        with using:
            # Thinking would be written before the end of the prompt, whose state is the embedding.
            made = tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        return str(made)

    prefix = (getattr(model, "prompts", None) or {}).get("query") or ""
    limit = getattr(model, "max_seq_length", None)
    return Tokens(
        count,
        added=tokenizer.num_special_tokens_to_add() + (count(prefix) if prefix else 0),
        limit=limit if isinstance(limit, int) else None,
        chat=chat if getattr(tokenizer, "chat_template", None) else None,
    )
