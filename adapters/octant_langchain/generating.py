"""Asking a LangChain chat model for an answer and for its log-probabilities, and reading both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableConfig

from octant import confidence, errors, flow

_DECLINES = re.compile(
    r"^\W*(?:i(?:'|’)?m sorry|i am sorry|sorry,|i can(?:'|’|no)t |i can not |i(?:'|’)?m unable|i am unable|"
    r"i won(?:'|’)t |i do(?:n(?:'|’)t| not) know|as an ai)",
    re.IGNORECASE,
)


class Model:
    """A chat model that is asked for log-probabilities until it refuses to give them.

    Parameters
    ----------
    llm : Runnable
        From a prompt to a message.
    top_logprobs : int
        Alternatives at each token; 0 asks for no log-probabilities at all.

    Raises
    ------
    InputError
        If ``llm`` cannot be asked.
    """

    def __init__(self, llm: Any, top_logprobs: int) -> None:
        if not callable(getattr(llm, "invoke", None)):
            raise errors.InputError(f"llm must be a LangChain chat model, got {type(llm).__name__}")
        self._llm = llm
        self._told = llm.bind(logprobs=True, top_logprobs=top_logprobs) if top_logprobs else None

    @property
    def name(self) -> str | None:
        """What the model is called; None where it does not say."""
        told = (getattr(self._llm, attribute, None) for attribute in ("model_name", "model", "model_id"))
        return next((name for name in told if isinstance(name, str) and name), None)

    def answer(
        self, prompt: PromptValue, config: RunnableConfig, *, streaming: bool
    ) -> flow.Flow[tuple[Any, list[str]]]:
        """The message, and the pieces of text it came in.

        Raises
        ------
        Exception
            Whatever the model raises.
        """
        if self._told is None:
            return (yield from _asked(self._llm, prompt, config, streaming))
        try:
            return (yield from _asked(self._told, prompt, config, streaming))
        except Exception as error:
            if not confidence.refuses_logprobs(error):
                raise
        answer = yield from _asked(self._llm, prompt, config, streaming)
        self._told = None  # it answers where it is not asked for them: it need not be tried again
        return answer


def _asked(llm: Any, prompt: PromptValue, config: RunnableConfig, streaming: bool) -> flow.Flow[tuple[Any, list[str]]]:
    if not streaming:
        message = yield from flow.step(partial(llm.invoke, prompt, config), partial(llm.ainvoke, prompt, config))
        return message, [text_of(message)]

    def whole() -> list[Any]:
        return list(llm.stream(prompt, config))

    async def awhole() -> list[Any]:
        return [chunk async for chunk in llm.astream(prompt, config)]

    chunks = yield from flow.step(whole, awhole)
    message = chunks[0] if chunks else ""
    for chunk in chunks[1:]:
        message = message + chunk
    return message, [piece for piece in map(text_of, chunks) if piece]


def text_of(message: Any) -> str:
    """The text of a message, without tool calls and reasoning."""
    if isinstance(message, str):
        return message
    if not isinstance(message, BaseMessage):
        raise TypeError(f"the model should answer with a message, got {type(message).__name__}")
    return str(message.text)


def read_message(name: str, message: Any, *, asked: bool) -> confidence.Generation:
    """The generation in a model's message; ``asked`` says whether log-probabilities were wanted."""
    text = text_of(message).strip()
    distributions, unread = None, None
    if asked and text:
        try:
            distributions = confidence.read_distributions(message)
        except errors.NoLogprobsError as error:
            unread = str(error)
    declined = _declines(text, message)
    return confidence.Generation(name, text, distributions, refusal=declined, unread=unread, tokens=_tokens(message))


def failed(name: str, reason: str) -> confidence.Generation:
    """A generation that did not come about."""
    return confidence.Generation(name, failure=reason)


def _declines(text: str, message: Any) -> bool:
    extra = getattr(message, "additional_kwargs", {})
    metadata = getattr(message, "response_metadata", {})
    if extra.get("refusal") or metadata.get("finish_reason") == "content_filter":
        return True
    return confidence.normalised(text).startswith(confidence.normalised(confidence.WORDING)) or bool(
        _DECLINES.match(text)
    )


def _tokens(message: Any) -> dict[str, int]:
    usage = getattr(message, "usage_metadata", None)
    if not isinstance(usage, Mapping):
        return {}
    return {name: int(usage[name]) for name in ("input_tokens", "output_tokens") if isinstance(usage.get(name), int)}
