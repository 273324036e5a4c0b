"""Chat models by name, where the name, the library or the provider is not there."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from octant.chat_models import chat_model
from octant.errors import InputError, MissingExtraError


@pytest.mark.parametrize("name", ["", "gpt-4o", ":gpt", "openai:", " : "])
def test_a_name_without_a_provider_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"named provider:model, e\.g\. openai:gpt-4o-mini"):
        chat_model(name)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'qdrant-octant\[chat\]'"):
        chat_model("openai:gpt-4o-mini")


def test_what_the_provider_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(name: str, **options: Any) -> None:
        raise ImportError(f"pip install langchain-{name.split(':')[0]}")

    monkeypatch.setitem(sys.modules, "langchain.chat_models", SimpleNamespace(init_chat_model=refusing))
    with pytest.raises(InputError, match="cannot set up the chat model 'acme:one': pip install langchain-acme"):
        chat_model("acme:one")


def test_options_reach_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(init_chat_model=lambda name, **options: (name, options))
    monkeypatch.setitem(sys.modules, "langchain.chat_models", made)
    assert chat_model("acme:one", temperature=0) == ("acme:one", {"temperature": 0})
