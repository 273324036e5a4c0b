"""A chat model by its name, where a program is not there to make one: the command line, a configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from octant.errors import InputError, MissingExtraError


def chat_model(name: str, **options: Any) -> Any:
    """The chat model that LangChain's ``init_chat_model`` makes of ``name``.

    Parameters
    ----------
    name : str
        ``"provider:model"``, e.g. ``"openai:gpt-4o-mini"`` or ``"ollama:llama3.2"``. Keys are read from where the
        provider's package reads them, usually the environment.
    **options
        Passed on: ``temperature``, ``timeout``, …

    Raises
    ------
    MissingExtraError
        If langchain is not installed.
    InputError
        If the name is no such pair, the provider's package is missing, or it refuses to make the model.
    """
    return provided("chat model", name, "langchain.chat_models", "init_chat_model", options)


def provided(what: str, name: str, module: str, function: str, options: Mapping[str, Any]) -> Any:
    """What a function of LangChain's makes of ``"provider:model"``; errors as for :func:`chat_model`."""
    provider, separator, model = name.partition(":")
    if not (separator and provider.strip() and model.strip()):
        article = "an" if what[0] in "aeiou" else "a"
        raise InputError(f"{article} {what} is named provider:model, e.g. openai:gpt-4o-mini; got {name!r}")
    try:
        make = getattr(import_module(module), function)
    except ImportError as error:
        raise MissingExtraError(f"the {what} {name!r}", module="langchain", extra="chat") from error
    try:
        return make(name, **options)
    except Exception as error:  # each provider has errors of its own, from a missing package to a missing key
        raise InputError(f"cannot set up the {what} {name!r}: {error}") from error
