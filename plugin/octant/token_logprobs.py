"""Log-probabilities of the tokens of an answer, from the forms in which providers hand them over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOLE = math.nan
"""The log-probability of a token for which the provider gave none, or no number that is one."""


@dataclass(frozen=True)
class TokenLogprob:
    """One token of an answer.

    Attributes
    ----------
    token : str
    logprob : float
        Natural logarithm of its probability; minus infinity for a probability of 0, NaN where it is not known.
    top : tuple of (str, float)
        The likeliest tokens at its place with their log-probabilities, most likely first; may include itself.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


def token_logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """Tokens with their log-probabilities, or None where ``raw`` holds none that can be read.

    A number that is no log-probability (NaN, above 0, none at all) becomes NaN for the token, and is left out among
    the alternatives: what that means is the reader's to decide.

    Parameters
    ----------
    raw : object
        ``{"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}]}`` (OpenAI's chat form, also of
        vLLM and llama.cpp), the list within it (Ollama, Vertex AI, llama.cpp's own ``completion_probabilities``), or
        ``{"tokens", "token_logprobs", "top_logprobs": [{token: logprob}]}`` (the completions form).

    Examples
    --------
    >>> token_logprobs({"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": []}]})
    (TokenLogprob(token='Yes', logprob=-0.1, top=()),)
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


def whole(tokens: tuple[TokenLogprob, ...] | None) -> tuple[TokenLogprob, ...] | None:
    """``tokens`` where every one has a log-probability, else None: for who reads meaning into single tokens."""
    return None if tokens is None or any(math.isnan(token.logprob) for token in tokens) else tokens


def _entry(entry: Mapping[str, Any]) -> TokenLogprob:
    if not isinstance(entry["token"], str):
        raise TypeError("a token is a text")
    top = [(str(other["token"]), _number(other["logprob"])) for other in entry.get("top_logprobs") or ()]
    return TokenLogprob(entry["token"], _number(entry.get("logprob")), _sorted(top))


def _completion(raw: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    tokens, logprobs = raw["tokens"], raw["token_logprobs"]
    alternatives = raw.get("top_logprobs") or [{}] * len(tokens)
    return tuple(
        TokenLogprob(str(token), _number(logprob), _sorted([(str(t), _number(p)) for t, p in (top or {}).items()]))
        for token, logprob, top in zip(tokens, logprobs, alternatives, strict=True)
    )


def _sorted(top: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((pair for pair in top if not math.isnan(pair[1])), key=lambda pair: -pair[1]))


def _number(value: object) -> float:
    if value is None:
        return HOLE
    number = float(value)  # type: ignore[arg-type]  # what is no number is refused by float itself
    return HOLE if math.isnan(number) or number > 1e-6 else min(number, 0.0)
