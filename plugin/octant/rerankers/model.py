"""A language model, whoever made it: a LangChain chat model, or a function from text to text."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from octant.errors import InputError
from octant.rerankers.exchange import Answer, Prompt, Usage
from octant.token_logprobs import token_logprobs, whole


class Model:
    """One face for every model.

    Parameters
    ----------
    llm : object
        With ``invoke`` and ``ainvoke`` on messages, as LangChain's chat models have; or a function of the prompt's
        text that returns the answer's, plain or async.
    name : str, optional
        What the model is called: for the report, and for the cache where the model does not tell it by itself.

    Attributes
    ----------
    name : str
    identity : str or None
        What tells its answers from another model's: its class, name and parameters; None where it does not tell.

    Raises
    ------
    InputError
        If ``llm`` is neither.
    """

    def __init__(self, llm: Any, name: str | None = None) -> None:
        self._chat = callable(getattr(llm, "invoke", None)) and callable(getattr(llm, "ainvoke", None))
        if not self._chat and (not callable(llm) or isinstance(llm, type) or inspect.isasyncgenfunction(llm)):
            raise InputError(
                f"llm must be a LangChain chat model, or a function that takes a text and returns one; "
                f"got {llm.__name__ if inspect.isroutine(llm) or isinstance(llm, type) else type(llm).__name__}"
            )
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise InputError(f"model must be the model's name, got {name!r}")
        self._llm = llm
        self._coroutine = not self._chat and _is_coroutine(llm)
        own = _own_name(llm) if self._chat else None
        self.name = name or own or getattr(llm, "__name__", type(llm).__name__)
        self.identity = _identity(llm, name, own)

    def call(self, prompt: Prompt, *, plain: bool) -> Any:
        """The model's response; ``plain`` asks for text only, whatever the prompt wants beside it.

        Raises
        ------
        Exception
            Whatever the model raises.
        """
        if self._coroutine:
            raise InputError("the llm is an async function: call arerank, or pass a plain one")
        if not self._chat:
            return _gathered(self._llm(_flat(prompt)))
        return _runnable(self._llm, prompt, plain).invoke(_turns(prompt))

    def acall(self, prompt: Prompt, *, plain: bool) -> Callable[[], Awaitable[Any]] | None:
        """What awaits the response, or None where the model can only be called."""
        if self._coroutine:
            return partial(self._llm, _flat(prompt))
        if not self._chat:
            return None
        return lambda: _runnable(self._llm, prompt, plain).ainvoke(_turns(prompt))


def read(response: Any, prompt: Prompt, count_tokens: Callable[[str], int]) -> Answer:
    """The answer in a model's response.

    Raises
    ------
    TypeError
        If there is no text in it.
    """
    parsed = None
    if isinstance(response, Mapping) and "raw" in response and "parsed" in response:
        response, parsed = response["raw"], _plain(response["parsed"])
    text = text_of(response) or ("" if parsed is None else json.dumps(parsed, ensure_ascii=False))
    metadata = getattr(response, "response_metadata", None)
    metadata = metadata if isinstance(metadata, Mapping) else {}
    raw = metadata.get("logprobs") or metadata.get("logprobs_result")
    usage = _usage(response, metadata) or estimated_usage(prompt, text, count_tokens)
    return Answer(text, whole(token_logprobs(raw)), usage, parsed)


def text_of(response: Any) -> str:
    """The text of a message, of its content blocks, or the text itself; nothing for None.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if response is None or isinstance(response, str):
        return response or ""
    content = getattr(response, "content", response)
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(map(_block, content))
    raise TypeError(f"the model should answer with text or a message, got {type(response).__name__}")


def estimated_usage(prompt: Prompt, text: str, count_tokens: Callable[[str], int]) -> Usage:
    """Tokens of a prompt and its answer where the provider does not tell; 4 a message for what frames it."""
    asked = sum(count_tokens(message.text) + 4 for message in prompt.messages)
    return Usage(asked, count_tokens(text), "estimate")


def bytes_over_four(text: str) -> int:
    """Tokens of ``text``, estimated: a quarter of its UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


# -- asking --------------------------------------------------------------------------------------


def _turns(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


def _flat(prompt: Prompt) -> str:
    """The prompt as one text, for a function that takes no turns."""
    return "\n\n".join(message.text for message in prompt.messages)


def _runnable(llm: Any, prompt: Prompt, plain: bool) -> Any:
    """``llm`` set up for what the prompt wants beside text."""
    if plain or not (prompt.logprobs or prompt.schema):
        return llm
    if prompt.schema:
        return llm.with_structured_output(dict(prompt.schema), include_raw=True)
    return llm.bind(logprobs=True, top_logprobs=prompt.logprobs)


def _is_coroutine(llm: Any) -> bool:
    return inspect.iscoroutinefunction(llm) or inspect.iscoroutinefunction(getattr(llm, "__call__", None))  # noqa: B004


def _gathered(response: Any) -> Any:
    """A streamed answer as a whole one."""
    return "".join(map(text_of, response)) if isinstance(response, Iterator) else response


# -- reading -------------------------------------------------------------------------------------


def _block(block: Any) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text") if isinstance(block, Mapping) and block.get("type", "text") == "text" else None
    return text if isinstance(text, str) else ""  # images, tool calls and reasoning are no part of the answer


def _plain(parsed: Any) -> Any:
    return parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else parsed


def _usage(response: Any, metadata: Mapping[str, Any]) -> Usage | None:
    for found in (getattr(response, "usage_metadata", None), metadata.get("token_usage"), metadata.get("usage")):
        if not isinstance(found, Mapping):
            continue
        for asked, answered in (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")):
            counts = found.get(asked), found.get(answered)
            if all(isinstance(count, int) and count >= 0 for count in counts) and any(counts):
                return Usage(*counts)  # type: ignore[arg-type]  # both are int, as just checked
    return None


def _own_name(llm: Any) -> str | None:
    for attribute in ("model_name", "model", "model_id"):
        value = getattr(llm, attribute, None)
        if isinstance(value, str) and value:
            return value
    return None


def _identity(llm: Any, name: str | None, own: str | None) -> str | None:
    if name is None and own is None:
        return None
    parameters = getattr(llm, "_identifying_params", None)
    kept = parameters if isinstance(parameters, Mapping) else {}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=repr).encode()).hexdigest()
    return f"{type(llm).__module__}.{type(llm).__qualname__}:{name or own}:{digest[:16]}"
