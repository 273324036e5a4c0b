"""Distributions from what a provider or a local model answered, whoever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from octant.confidence.distributions import Distributions
from octant.errors import InputError, NoLogprobsError
from octant.rerankers.failures import refuses
from octant.token_logprobs import HOLE, TokenLogprob, token_logprobs

_ASK = "ask for them (logprobs=True, top_logprobs=5), or use a metric that needs none: vote, agreement, retrieval"


def read_distributions(response: Any) -> Distributions:
    """What the model believed at every token of its answer.

    Parameters
    ----------
    response : object
        One of

        - a LangChain message: ``response_metadata["logprobs"]`` as langchain-openai, vLLM's, llama.cpp's and Ollama's
          servers fill it, or ``["logprobs_result"]`` (Vertex AI); also the sum of the chunks of a stream;
        - the JSON of an OpenAI-compatible server (``choices``), of llama.cpp's ``/completion``
          (``completion_probabilities``), or of Ollama (``logprobs``); its first choice is read;
        - vLLM's ``RequestOutput`` or ``CompletionOutput`` of a local run;
        - any of the forms that :func:`octant.token_logprobs.token_logprobs` reads.

    Raises
    ------
    NoLogprobsError
        If there are none, or too few can be read.
    """
    raw = _located(response)
    if raw is None:
        raise NoLogprobsError(f"{_who(response)} gave no log-probabilities with its answer: {_ask(response)}")
    tokens = raw if _are_tokens(raw) else token_logprobs(raw)
    if not tokens:
        raise NoLogprobsError(
            f"{_who(response)} gave log-probabilities in a form that is not known ({type(raw).__name__}): {_ASK}"
        )
    return Distributions.of_tokens(tokens)


def read_generate_output(output: Any, *, row: int = 0, end: int | Sequence[int] | None = None) -> Distributions:
    """The exact distributions of one answer of transformers' ``generate``.

    Parameters
    ----------
    output : object
        Of ``generate(..., return_dict_in_generate=True)`` with ``output_logits=True``, what the model believed, or
        ``output_scores=True``, what was left of that after temperature, top-k and top-p; logits are preferred.
    row : int
        Which answer of the batch.
    end : int or sequence of int, optional
        Ids that end an answer: what follows the first of them is padding. The end itself counts as a token.

    Raises
    ------
    NoLogprobsError
        If the output has neither logits nor scores, or there is no token.
    InputError
        If there is no such row.
    """
    steps = getattr(output, "logits", None) or getattr(output, "scores", None)
    sequences = getattr(output, "sequences", None)
    if not steps or sequences is None:
        raise NoLogprobsError(
            "generate gave no scores: call it with return_dict_in_generate=True and output_logits=True"
        )
    ids = _array(sequences)
    if not 0 <= row < len(ids):
        raise InputError(f"row must be one of the {len(ids)} answers, got {row}")
    drawn = ids[row, ids.shape[1] - len(steps) :]
    ends = np.isin(drawn, [] if end is None else np.atleast_1d(np.asarray(end)))
    length = int(ends.argmax()) + 1 if ends.any() else len(drawn)
    return Distributions.of_scores([_array(step[row]) for step in steps[:length]], drawn[:length])


def refuses_logprobs(error: BaseException) -> bool:
    """Whether a provider that was asked for log-probabilities may have refused how it was asked.

    Asking again without them may then help; for a time-out, a rate limit or a broken connection it does not.
    """
    return refuses(error)


def _array(values: Any) -> Any:
    """A tensor of any library, on any device, bfloat16 included, as an array."""
    if hasattr(values, "detach"):
        values = values.detach().to("cpu")
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


# -- where providers put them ------------------------------------------------------------------------


def _located(response: Any) -> Any:
    metadata = getattr(response, "response_metadata", None)
    if isinstance(metadata, Mapping):
        return metadata.get("logprobs") or metadata.get("logprobs_result") or None
    if isinstance(response, Mapping):
        choices = response.get("choices")
        if isinstance(choices, Sequence) and choices and isinstance(choices[0], Mapping):
            return choices[0].get("logprobs") or None
        found = response.get("completion_probabilities") or response.get("logprobs")
        return _llama_cpp(found) if found else (response if {"content", "tokens"} & set(response) else None)
    outputs = getattr(response, "outputs", None)
    completed = outputs[0] if isinstance(outputs, Sequence) and outputs else response
    if hasattr(completed, "token_ids") and hasattr(completed, "logprobs"):
        return _vllm(completed) or None
    return response if isinstance(response, list | tuple) and response else None


def _are_tokens(raw: Any) -> bool:
    return isinstance(raw, list | tuple) and bool(raw) and all(isinstance(one, TokenLogprob) for one in raw)


def _llama_cpp(entries: Any) -> Any:
    """llama.cpp before 2025 gave ``{"content", "probs": [{"tok_str", "prob"}]}``; since then OpenAI's names."""
    if not isinstance(entries, Sequence) or not all(isinstance(one, Mapping) and "probs" in one for one in entries):
        return entries
    read = []
    for entry in entries:
        top = [(str(other.get("tok_str", "")), _log(other.get("prob"))) for other in entry["probs"] or ()]
        said = str(entry.get("content", ""))
        read.append(TokenLogprob(said, dict(top).get(said, HOLE), tuple(sorted(top, key=lambda pair: -pair[1]))))
    return tuple(read)


def _vllm(completed: Any) -> tuple[TokenLogprob, ...]:
    read = []
    for token, options in zip(completed.token_ids, completed.logprobs or (), strict=False):
        known = {str(key): float(getattr(value, "logprob", value)) for key, value in (options or {}).items()}
        top = tuple(sorted(known.items(), key=lambda pair: -pair[1]))
        read.append(TokenLogprob(str(token), known.get(str(token), HOLE), top))
    return tuple(read)


def _log(probability: Any) -> float:
    number = float(probability) if isinstance(probability, int | float) else HOLE
    with np.errstate(divide="ignore"):
        return float(np.log(number)) if 0 <= number <= 1 else HOLE


def _who(response: Any) -> str:
    metadata = getattr(response, "response_metadata", None)
    if isinstance(metadata, Mapping):
        for key in ("model_provider", "model_name", "model"):
            if isinstance(metadata.get(key), str) and metadata[key]:
                return f"the model ({metadata[key]})"
    return "the model"


def _ask(response: Any) -> str:
    metadata = getattr(response, "response_metadata", None)
    provider = metadata.get("model_provider") if isinstance(metadata, Mapping) else None
    if provider == "anthropic":
        return "its provider gives none at all; use a metric that needs none: vote, agreement, retrieval"
    return _ASK
