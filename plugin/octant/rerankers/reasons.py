"""Reasons before a ranking: how a model is asked for one about each passage, and how they are read.

As in the second stage of DeAR (2508.16998), which has the model reason over the passages before it names their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from octant.records import JSON

TASK = """\
I give you {n} passages, each after its identifier in square brackets.

Search query: {query}

{passages}

Search query: {query}
Rank the {n} passages above by how relevant they are to the search query. Think first: say what the query asks for, \
and then write one line for each passage in the form [{first}]: what it answers of the query, and what it leaves open. \
End with one line that begins with Ranking: and lists all {n} identifiers, each once, the most relevant first, in the \
form [{second}] > [{first}]."""

TOKENS = 48
"""What the reason for one passage may take of an answer."""

_LONGEST = 500
"""Characters of one reason that the report keeps."""
_LINE = re.compile(r"^[\s*_>#•-]*\[?\s*(?P<label>\w{1,12})\s*\]?[\s*_]*(?::|\s[-–—])\s*(?P<reason>\S.*)$", re.MULTILINE)
_RANKING = re.compile(r"^[\s*_#>]*(?:final\s+)?ranking[\s*_]*:", re.IGNORECASE | re.MULTILINE)


def schema(label: str) -> dict[str, JSON]:
    """The JSON schema of an answer with reasons; ``label`` is the JSON type of an identifier."""
    reason = {
        "type": "object",
        "properties": {"passage": {"type": label}, "reason": {"type": "string"}},
        "required": ["passage", "reason"],
        "additionalProperties": False,
    }
    return {
        "title": "ReasonedPassageRanking",
        "description": "A reason for every passage, and then the identifiers of all, the most relevant first.",
        "type": "object",
        "properties": {
            "reasons": {"type": "array", "items": reason},
            "ranking": {"type": "array", "items": {"type": label}},
        },
        "required": ["reasons", "ranking"],
        "additionalProperties": False,
    }


def after_reasons(text: str) -> str:
    r"""What follows the last line that begins with ``Ranking:``; all of ``text`` where there is no such line.

    Examples
    --------
    >>> after_reasons("[1]: names 2 and 3\nRanking: [3] > [1]")
    ' [3] > [1]'
    """
    return _RANKING.split(text)[-1]


def read_reasons(answer: Any, labels: Sequence[str]) -> dict[int, str]:
    r"""Place to reason, of the passages that ``answer`` gives one for; the first one counts.

    Parameters
    ----------
    answer : object
        Text, or what a model's structured output gave.
    labels : sequence of str
        The identifiers that the model was shown, (n,).

    Examples
    --------
    >>> read_reasons("It asks for hearts.\n[2]: counts them\n[1] - is about bread\nRanking: [2] > [1]", ["1", "2"])
    {1: 'counts them', 0: 'is about bread'}
    """
    places = {label.lower(): place for place, label in enumerate(labels)}
    found: dict[int, str] = {}
    for label, reason in _pairs(answer):
        place = places.get(label.strip().strip("[]").lower())
        if place is not None and reason.strip():
            found.setdefault(place, _shortened(reason))
    return found


def _pairs(answer: Any) -> list[tuple[str, str]]:
    if isinstance(answer, str):
        return [(match["label"], match["reason"]) for match in _LINE.finditer(answer)]
    listed = answer.get("reasons") if isinstance(answer, Mapping) else None
    if not isinstance(listed, list):
        return []
    return [(str(one.get("passage")), str(one.get("reason") or "")) for one in listed if isinstance(one, Mapping)]


def _shortened(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
