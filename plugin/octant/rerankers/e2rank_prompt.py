"""The listwise prompt of E2Rank: a query and its best passages in one text, cut so that a model reads all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octant.errors import InputError
from octant.rerankers import prompts
from octant.tokens import Tokens

VERSION = "e2rank-1"
"""Of the wording: a model is trained for one, and reads no other."""
PASSAGES = 20
"""Of the paper, which finds no gain beyond."""
SHORTEST = 16
"""Tokens a passage must have to be worth a place in the prompt, or be whole."""

_TASK = "Given a web search query and some relevant documents, rerank the documents that answer the query:"
_QUERY_SHARE = 4
"""A query may take a quarter of what the model reads: the passages are the point."""
_UNLIMITED = 1 << 30


@dataclass(frozen=True)
class ListPrompt:
    """A query and its best passages as one text.

    Attributes
    ----------
    text : str
    passages : int
        How many of the passages are in it: the first ones.
    shortened : int
        How many of these are there in part.
    tokens : int
        Of the whole text, with those that the model adds; never more than the model reads.
    """

    text: str
    passages: int
    shortened: int
    tokens: int


def list_prompt(
    query: str, passages: Sequence[str], tokens: Tokens, *, most: int = PASSAGES, shortest: int = SHORTEST,
    chat: bool = False,
) -> ListPrompt:  # fmt: skip
    """The prompt of E2Rank (2510.22733, section 3), as much of it as the model reads.

    The instruction, the passages with their numbers, and the query last. Where the model reads less than all of it,
    short passages stay whole and long ones share what these leave; where that would be less than ``shortest`` tokens
    for each, the last passages are left out.

    Parameters
    ----------
    query : str
    passages : sequence of str
        Best first, at least one.
    tokens : Tokens
        Of the model that will read it.
    most : int
        Passages at most.
    shortest : int
        Tokens, at least 8.
    chat : bool
        As a user's turn in the model's own chat template, as the published models of the paper expect it.

    Raises
    ------
    InputError
        If there is not even room for the query and a piece of one passage, or ``chat`` is asked of a model without a
        chat template.

    Examples
    --------
    >>> words = Tokens(lambda text: len(text.split()), limit=60)
    >>> prompt = list_prompt("who?", ["Ada " * 5, "Bob " * 500, "Eve " * 500], words)
    >>> prompt.passages, prompt.shortened, prompt.tokens <= 60
    (3, 2, True)
    >>> print(list_prompt("who?", ["Ada", "Bob"], words).text)
    Given a web search query and some relevant documents, rerank the documents that answer the query:
    Documents:
    [1] Ada
    [2] Bob
    Search Query: who?
    """
    if chat and tokens.chat is None:
        raise InputError("chat asks for a model with a chat template, and this one has none: leave it out")
    room = _UNLIMITED if tokens.room is None else tokens.room
    (asked,), _ = prompts.fitted([query], tokens.count, each=max(SHORTEST, room // _QUERY_SHARE))
    clean = [prompts.escaped(passage) for passage in passages[:most]]
    sizes = [tokens.count(passage) for passage in clean]
    for count in range(len(clean), 0, -1):
        left = room - _size(asked, [""] * count, tokens, chat)
        if left < sum(min(size, shortest) for size in sizes[:count]):
            continue
        made = _filled(asked, clean[:count], left, room, tokens, chat)
        if made is not None:
            return made
    raise InputError(
        f"the model reads {tokens.limit} tokens, too few for the question and {shortest} tokens of one passage: use a "
        "model that reads more"
    )


def _filled(query: str, passages: Sequence[str], left: int, room: int, tokens: Tokens, chat: bool) -> ListPrompt | None:
    """The prompt with ``passages`` cut to ``left`` tokens together; None where it cannot be made to fit.

    Tokens of the parts need not add up to those of the whole: what is too many is taken from the passages again.
    """
    while left > 0:
        cut, shortened = prompts.fitted(passages, tokens.count, each=room, together=left)
        text = _text(query, cut, tokens, chat)
        size = tokens.count(text)
        if size <= room:
            return ListPrompt(text, len(passages), shortened, size + tokens.added)
        left -= size - room
    return None


def _size(query: str, passages: Sequence[str], tokens: Tokens, chat: bool) -> int:
    return tokens.count(_text(query, passages, tokens, chat))


def _text(query: str, passages: Sequence[str], tokens: Tokens, chat: bool) -> str:
    listed = "\n".join(f"[{place}] {passage}" for place, passage in enumerate(passages, start=1))
    text = f"{_TASK}\nDocuments:\n{listed}\nSearch Query: {query}"
    return tokens.chat(text) if chat and tokens.chat is not None else text
