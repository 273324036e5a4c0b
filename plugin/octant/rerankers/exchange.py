"""What is said to a language model, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from octant.errors import InputError
from octant.records import JSON
from octant.token_logprobs import TokenLogprob


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes
    ----------
    role : {"system", "human", "ai"}
    text : str
    """

    role: Literal["system", "human", "ai"]
    text: str


@dataclass(frozen=True)
class Prompt:
    """A question for a language model.

    Attributes
    ----------
    messages : tuple of Message
    version : str
        Of the wording, e.g. ``"rankgpt-1"``. Part of the cache's key, as are the query and the passages.
    query : str
    passages : tuple of str
        Full texts that the question is about, in the order it shows them.
    logprobs : int
        How many alternatives to ask for at every output token, with their log-probabilities; 0 asks for none.
    schema : mapping or None
        A JSON schema with a ``title`` that the answer should follow, for models that can be held to one.
    sample : int
        Tells apart the askings of one question that should be answered anew rather than from the cache.

    Raises
    ------
    InputError
        If both a schema and log-probabilities are asked for: providers give them for free text only.
    """

    messages: tuple[Message, ...]
    version: str
    query: str = ""
    passages: tuple[str, ...] = ()
    logprobs: int = 0
    schema: Mapping[str, JSON] | None = None
    sample: int = 0

    def __post_init__(self) -> None:
        if self.schema and self.logprobs:
            raise InputError("a prompt asks for log-probabilities or for a schema, not for both: leave one out")


@dataclass(frozen=True)
class Usage:
    """Tokens of one call.

    Attributes
    ----------
    input_tokens, output_tokens : int
    source : {"provider", "estimate"}
        Who counted.
    """

    input_tokens: int
    output_tokens: int
    source: Literal["provider", "estimate"] = "provider"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    text : str
        Empty when the model said nothing, or when the call failed.
    logprobs : tuple of TokenLogprob or None
        None where the provider gave none, asked or not.
    usage : Usage
    parsed : JSON or None
        The structured answer, where the prompt had a schema and the model followed it.
    cached : bool
        Whether it comes from the cache.
    failure : str or None
        Why there is no answer: the model's error after all retries, or the budget that was spent. The report has it
        already; a method keeps the order of what the question was about.
    """

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None
    usage: Usage = field(default=Usage(0, 0))
    parsed: JSON = None
    cached: bool = False
    failure: str | None = None
