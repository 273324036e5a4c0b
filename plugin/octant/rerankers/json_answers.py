"""Rankings written as JSON: arrays of identifiers, of objects that carry one, or objects that hold either."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from octant.rerankers.mentions import Found, Mention, find_lists

_TRIES = 64
"""Brackets at which JSON is looked for; ``[3] > [1]`` is full of them, and none begins a list of two."""
_DEEPEST = 6
_BEGINS = re.compile(r"[\[{](?!\s*\d+\s*\])")
_ID_KEYS = (
    "id", "passage_id", "document_id", "doc_id", "docid", "identifier", "index", "passage", "document", "doc",
    "number", "label", "item", "candidate",
)  # fmt: skip
_RANK_KEYS = ("rank", "position", "place")
_SCORE_KEYS = ("score", "relevance_score", "relevance", "rating", "similarity", "confidence")
_LIST_KEYS = (
    "final_ranking", "ranking", "ranked_ids", "ranked_document_ids", "ranked_passages", "ranked_documents", "ranked",
    "order", "permutation", "answer", "result", "results", "ids", "passages", "documents",
)  # fmt: skip
_ONE_ID = re.compile(r"\W*(?:passage|document|doc|id)?[\s_#:]*\[?\s*(\d{1,6})\s*\]?\W*", re.IGNORECASE)


def json_lists(text: str) -> tuple[list[Found], str]:
    """The rankings written as JSON in ``text``, and ``text`` with them blanked out."""
    decoder = json.JSONDecoder()
    found: list[Found] = []
    at = tries = 0
    while tries < _TRIES and (match := _BEGINS.search(text, at)):
        tries, at = tries + 1, match.end()
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        ids = _ids(value, 0)
        if ids:
            found.append(Found(tuple(map(Mention, ids)), match.start(), strong=True))
            text = text[: match.start()] + "§" * (end - match.start()) + text[end:]
        at = end
    return found, text


def _ids(value: Any, depth: int) -> list[int]:
    if depth > _DEEPEST:
        return []
    if isinstance(value, Mapping):
        return _of_mapping(value, depth)
    if isinstance(value, list):
        return _of_list(value)
    return []


def _of_list(values: list[Any]) -> list[int]:
    if len(values) < 2 and not (values and isinstance(values[0], Mapping)):
        return []
    if all(isinstance(value, Mapping) for value in values):
        return _of_objects(values)
    return [_one(value[0] if isinstance(value, list) and len(value) == 1 else value) for value in values]


def _of_objects(objects: list[Mapping[str, Any]]) -> list[int]:
    ids = [_one(_first(item, _ID_KEYS)) for item in objects]
    if all(number < 0 for number in ids):
        return []
    ranks, scores = ([_number(_first(item, keys)) for item in objects] for keys in (_RANK_KEYS, _SCORE_KEYS))
    places: Iterable[int] = range(len(ids))
    if all(rank is not None for rank in ranks):
        places = sorted(places, key=lambda i: ranks[i] or 0.0)
    elif all(score is not None for score in scores):
        places = sorted(places, key=lambda i: -(scores[i] or 0.0))
    return [ids[i] for i in places]


def _of_mapping(value: Mapping[str, Any], depth: int) -> list[int]:
    named = [(key, value[key]) for key in _LIST_KEYS if key in value]
    for _, inner in (*named, *reversed(list(value.items()))):
        ids = _of_text(inner) if isinstance(inner, str) else _lone(inner) if named else _ids(inner, depth + 1)
        if ids:
            return ids
    return _by_score(value)


def _lone(value: Any) -> list[int]:
    """As :func:`_ids`, and a list of one too: its key says that it is the ranking."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], Mapping):
        return [_one(value[0])]
    return _ids(value, 1)


def _of_text(text: str) -> list[int]:
    lists = [found for found in find_lists(text[:10_000]) if len(found.mentions) > 1 and found.strong]
    return [mention.first for mention in lists[-1].mentions] if lists else []


def _by_score(value: Mapping[str, Any]) -> list[int]:
    """``{"3": .9, "1": .2}``: identifiers and their scores."""
    ids = [_one(key) for key in value]
    scores = [_number(score) for score in value.values()]
    if len(ids) < 2 or any(number < 0 for number in ids) or any(score is None for score in scores):
        return []
    return [ids[i] for i in sorted(range(len(ids)), key=lambda i: -(scores[i] or 0.0))]


def _first(item: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    lowered = {str(key).lower(): inner for key, inner in item.items()}
    return next((lowered[key] for key in keys if key in lowered), None)


def _one(value: Any) -> int:
    """The identifier that ``value`` is, -1 where it is none."""
    if isinstance(value, bool):
        return -1
    if isinstance(value, (int, float)):
        return int(value) if 0 <= value < 1e6 and value == int(value) else -1
    match = _ONE_ID.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else -1


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
