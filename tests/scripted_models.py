"""Language models whose answers are known, in the shape of LangChain's chat models."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

PASSAGE = re.compile(r"^\[([^\]]+)\] <passage>(.*)</passage>$", re.MULTILINE)


def shown(prompt: str) -> list[tuple[str, str]]:
    """Identifier and text of every passage that a listwise prompt shows."""
    return PASSAGE.findall(prompt)


def by_number(prompt: str) -> str:
    """The perfect judge of passages that end with how relevant they are."""
    ordered = sorted(shown(prompt), key=lambda passage: -int(passage[1].split()[-1]))
    return " > ".join(f"[{label}]" for label, _ in ordered)


@dataclass
class Chat:
    """Answers with ``answer(prompt)``; a mapping is a structured answer, a pair is text and token probabilities."""

    answer: Callable[[str], Any]
    model_name: str = "scripted"
    bound: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    prompts: list[str] = field(default_factory=list)
    asked_for: list[Mapping[str, Any]] = field(default_factory=list)

    def bind(self, **wanted: Any) -> Chat:
        return replace(self, bound=wanted)

    def with_structured_output(self, schema: Mapping[str, Any], *, include_raw: bool) -> Chat:
        return replace(self, schema=schema)

    def invoke(self, messages: Sequence[tuple[str, str]]) -> Any:
        prompt = messages[-1][1]
        self.prompts.append(prompt)
        self.asked_for.append({**self.bound, **({"schema": self.schema} if self.schema else {})})
        answered = self.answer(prompt)
        text, logprobs = answered if isinstance(answered, tuple) else (answered, None)
        said = text if isinstance(text, str) else json.dumps(text)
        metadata = {"logprobs": openai_logprobs(logprobs)} if logprobs else {}
        message = SimpleNamespace(content=said, response_metadata=metadata, usage_metadata=None)
        if self.schema is None:
            return message
        return {"raw": message, "parsed": text if isinstance(text, Mapping) else None, "parsing_error": None}

    async def ainvoke(self, messages: Sequence[tuple[str, str]]) -> Any:
        return self.invoke(messages)


def openai_logprobs(tokens: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Probabilities as OpenAI reports them; each token with its alternatives, itself among them."""
    return {
        "content": [
            {
                "token": token,
                "logprob": math.log(top[token]),
                "top_logprobs": [{"token": other, "logprob": math.log(p)} for other, p in top.items()],
            }
            for token, top in tokens
        ]
    }
