"""What a model answered when asked for an order, read as a permutation, whatever the answer looks like.

The result is always a permutation of the positions asked about: what an answer invents is dropped, what it repeats
counts once, where it was first, and what it forgets follows in the order it had, as in RankGPT (2304.09542).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from octant.rerankers.json_answers import json_lists
from octant.rerankers.mentions import Found, find_lists, loose_mentions, normalized

Outcome = Literal["parsed", "repaired", "fell back"]

_LONGEST = 60_000
"""Characters looked at, from the end: the ranking comes after the reasoning."""
_THOUGHT_ENDS = re.compile(r"</\s*(?:think|thinking|thought|reasoning|reflection|scratchpad)\s*>", re.IGNORECASE)
_CUT_OFF = re.compile(r"\[\s*\d+\s*$")
_REFUSES = re.compile(r"\b(?:sorry|cannot|can't|can’t|unable|won't|not able|as an ai)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ListAnswer:
    """An order of n passages, and how it came out of an answer.

    Attributes
    ----------
    order : tuple of int
        A permutation of 0 … n-1, best first.
    outcome : {"parsed", "repaired", "fell back"}
        Parsed: the answer named every passage once. Repaired: it named some. Fell back: none; the order is the one
        that was asked about.
    why : tuple of str
        What was repaired, or why it fell back; empty where the answer was parsed as it stands.
    named : int
        How many passages, from the front of ``order``, the answer itself placed.
    """

    order: tuple[int, ...]
    outcome: Outcome
    why: tuple[str, ...] = ()
    named: int = 0


def read_order(answer: object, n: int, labels: Sequence[str] | None = None) -> ListAnswer:
    """Read ``answer``, text or a structured value, as an order of ``n`` passages.

    Where an answer holds several lists (reasoning before the result), the last plausible one counts: longer than half
    the longest, one joined by ``>``, commas or lines before one in the run of a sentence.

    Parameters
    ----------
    answer : object
        Text, or what a model's structured output gave (mappings, sequences, objects with ``model_dump``).
    n : int
        Passages asked about, known to the model as 1 … n.
    labels : sequence of str or None
        The identifiers the model was shown instead of 1 … n, (n,).

    Examples
    --------
    >>> read_order("I would say [2] > [3].", 3)
    ListAnswer(order=(1, 2, 0), outcome='repaired', why=('1 of 3 missing',), named=2)
    """
    if n < 1:
        return _unread(0, "no passages were asked about")
    text = normalized(_as_text(answer))
    if labels is not None:
        text = _numbered(text, labels)
    if not text.strip():
        return _unread(n, "empty answer")
    after_thought = _THOUGHT_ENDS.split(text)[-1]
    for part in (after_thought, text) if after_thought.strip() != text.strip() else (text,):
        found = _best(part[-_LONGEST:], n)
        if found is not None:
            return _permutation(found, n)
    return _unread(n, "refusal" if _REFUSES.search(text) else "no list of passage identifiers in the answer")


def _as_text(answer: object) -> str:
    if isinstance(answer, str):
        return answer
    if answer is None:
        return ""
    dump = getattr(answer, "model_dump", None)
    try:
        return json.dumps(dump() if callable(dump) else answer, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""


def _numbered(text: str, labels: Sequence[str]) -> str:
    """``text`` with labels as ``[1]`` … ``[n]``, and every other number gone: only a label names a passage."""
    places = {label.lower(): place for place, label in enumerate(labels, 1)}
    longest_first = sorted(places, key=len, reverse=True)
    pattern = re.compile(
        rf"\[?(?<!\w)(?P<label>{'|'.join(map(re.escape, longest_first))})(?!\w)\]?|(?P<other>\d+)", re.IGNORECASE
    )
    return pattern.sub(lambda m: "#" if m["label"] is None else f"[{places[m['label'].lower()]}]", text)


def _best(text: str, n: int) -> Found | None:
    if n > 9 and "]" in text:
        text = _CUT_OFF.sub("", text)  # "… > [1" may have been to become [12]
    lists, rest = json_lists(text)
    lists += find_lists(rest)
    named = [(len(_valid(found, n)), found) for found in lists]
    longest = max((count for count, _ in named), default=0)
    plausible = [found for count, found in named if 2 * count > longest]
    if plausible:
        return max(plausible, key=lambda found: (found.strong, found.start))
    loose = loose_mentions(rest)
    return loose if _valid(loose, n) else None


def _valid(found: Found, n: int) -> list[int]:
    """Positions from 0 that ``found`` names, each once."""
    numbers = _expanded(found, n)
    lowest = 0 if _from_zero(numbers, n) else 1
    return list(dict.fromkeys(number - lowest for number in numbers if lowest <= number < n + lowest))


def _expanded(found: Found, n: int) -> list[int]:
    """The identifiers of ``found``; ranges are written out as far as they lie within 0 … n+1."""
    written: list[int] = []
    for mention in found.mentions:
        if mention.last is None:
            written.append(mention.first)
        else:
            first, last = (min(max(end, 0), n + 1) for end in (mention.first, mention.last))
            written.extend(range(first, last + 1) if first <= last else range(first, last - 1, -1))
    return written


def _from_zero(numbers: Sequence[int], n: int) -> bool:
    """Whether a complete list counts from 0."""
    return 0 in numbers and n not in numbers and set(range(n)) <= set(numbers)


def _permutation(found: Found, n: int) -> ListAnswer:
    numbers = _expanded(found, n)
    named = _valid(found, n)
    if found.ascending:
        named.reverse()
    missing = sorted(set(range(n)) - set(named))
    zero = _from_zero(numbers, n)
    outside = sum(not 1 - zero <= number <= n - zero for number in numbers)
    repeated = len(numbers) - outside - len(named)
    why = (
        *(("counted from 0",) if zero else ()),
        *((f"{repeated} repeated",) if repeated else ()),
        *((f"{outside} out of range",) if outside else ()),
        *((f"{len(missing)} of {n} missing",) if missing else ()),
    )
    return ListAnswer((*named, *missing), "repaired" if why else "parsed", why, len(named))


def _unread(n: int, why: str) -> ListAnswer:
    return ListAnswer(tuple(range(n)), "fell back", (why,))
