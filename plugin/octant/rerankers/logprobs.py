"""Log-probabilities of tokens, from the forms in which providers hand them over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from octant.rerankers.exchange import TokenLogprob


def token_logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """Tokens with their log-probabilities, or None where ``raw`` holds none that can be read.

    Parameters
    ----------
    raw : object
        ``{"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}]}`` (OpenAI's chat form), the list
        within it (Ollama, Vertex AI), or ``{"tokens", "token_logprobs", "top_logprobs": [{token: logprob}]}`` (the
        completions form).
    """
    try:
        if isinstance(raw, Mapping) and "tokens" in raw:
            return _completion(raw) or None
        entries = raw.get("content") if isinstance(raw, Mapping) else raw
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            return None
        return tuple(map(_entry, entries)) or None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _entry(entry: Mapping[str, Any]) -> TokenLogprob:
    top = [(str(other["token"]), _number(other["logprob"])) for other in entry.get("top_logprobs") or ()]
    return TokenLogprob(str(entry["token"]), _number(entry["logprob"]), _sorted(top))


def _completion(raw: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    tokens, logprobs = raw["tokens"], raw["token_logprobs"]
    alternatives = raw.get("top_logprobs") or [{}] * len(tokens)
    return tuple(
        TokenLogprob(str(token), _number(logprob), _sorted([(str(t), _number(p)) for t, p in (top or {}).items()]))
        for token, logprob, top in zip(tokens, logprobs, alternatives, strict=True)
    )


def _sorted(top: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(top, key=lambda pair: -pair[1]))


def _number(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]  # refused below, or by float itself
    if math.isnan(number) or number > 1e-6:
        raise ValueError(f"not a log-probability: {value!r}")
    return min(number, 0.0)
