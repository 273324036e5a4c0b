"""How likely a model held the words it could have answered with, from the log-probabilities of its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from octant.token_logprobs import TokenLogprob

Word = TypeVar("Word")

_GRADE = re.compile(r"(?<![\d.,])-?\d+(?:\.\d+)?(?![\d%])")
_SAID = re.compile(r"(?:score|grade|rating|relevance|answer)\W{0,6}(?=\d)", re.IGNORECASE)


def masses(token: TokenLogprob, read: Callable[[str], Word | None]) -> dict[Word, float]:
    """Probability of each word at one place, summed over the tokens that ``read`` takes for it.

    What is not among the alternatives counts as 0.

    Examples
    --------
    >>> masses(TokenLogprob("Yes", math.log(.5), ((" yes", math.log(.25)),)), lambda t: t.strip().lower())
    {'yes': 0.75}
    """
    found: dict[Word, float] = {}
    for text, logprob in {token.token: token.logprob, **dict(token.top)}.items():
        word = read(text)
        if word is not None:
            found[word] = found.get(word, 0.0) + math.exp(logprob)
    return found


def share(tokens: Sequence[TokenLogprob], word: str, other: str, *, case: bool = False) -> float | None:
    """P(word) / (P(word) + P(other)) where the answer decides between the two; None where neither is near.

    The place is the first token that is one of the two, or else the first token at all, whose alternatives may hold
    them. ``case`` tells ``m`` from ``M``; without it case and surrounding space do not matter.
    """

    def read(text: str) -> str | None:
        plain = text.strip().strip(".,:;!*\"'`") if not case else text.strip()
        plain = plain if case else plain.lower()
        return plain if plain in (word, other) else None

    decides = next((token for token in tokens if read(token.token) is not None), None)
    place = decides or next((token for token in tokens if token.token.strip()), None)
    found = masses(place, read) if place else {}
    total = sum(found.values())
    return found.get(word, 0.0) / total if total > 0 else None


def read_grade(text: str, highest: int) -> tuple[float, int, int] | None:
    """The grade that an answer gives, and where in it; the last one where it gives several.

    Parameters
    ----------
    text : str
    highest : int
        Grades lie between 0 and this.

    Examples
    --------
    >>> read_grade("Between 3 and 9. Score: 7/10", 10)
    (7.0, 24, 25)
    """
    numbers = [
        (float(match[0]), *match.span())
        for match in _GRADE.finditer(text)
        if len(match[0]) < 8 and 0 <= float(match[0]) <= highest and not _is_scale(text, match)
    ]
    said = {match.end() for match in _SAID.finditer(text)}
    return next((number for number in reversed(numbers) if number[1] in said), numbers[-1] if numbers else None)


def grade_likelihood(tokens: Sequence[TokenLogprob], start: int, end: int) -> float | None:
    """Probability of the tokens that spell characters ``start`` to ``end``; None where there are none."""
    spelled = _spelling(tokens, start, end)
    return math.exp(sum(token.logprob for token in spelled)) if spelled else None


def expected_grade(tokens: Sequence[TokenLogprob], start: int, end: int, highest: int) -> float | None:
    """The mean over the grades that could have stood there, weighted by their probability; None where none could.

    Where a tokenizer spells 10 as ``1`` and ``0``, the probability of ``1`` is split by how likely ``0`` was next.
    """
    spelled = _spelling(tokens, start, end)
    if not spelled:
        return None
    weights = masses(spelled[0], lambda text: _whole(text, highest))
    if len(spelled) > 1 and spelled[0].token.strip() == "1" and highest >= 10:
        ten = weights.get(1, 0.0) * math.exp(spelled[1].logprob)
        weights[1] = weights.get(1, 0.0) - ten
        weights[10] = weights.get(10, 0.0) + ten
    total = sum(weights.values())
    return sum(grade * weight for grade, weight in weights.items()) / total if total > 0 else None


def _is_scale(text: str, match: re.Match[str]) -> bool:
    """Whether the number is the 10 of "7/10" or "7 out of 10"."""
    return bool(re.search(r"\d\s*(?:/|out of)\s*$", text[max(0, match.start() - 16) : match.start()]))


def _spelling(tokens: Sequence[TokenLogprob], start: int, end: int) -> list[TokenLogprob]:
    at, spelled = 0, []
    for token in tokens:
        if at < end and at + len(token.token) > start:
            spelled.append(token)
        at += len(token.token)
    return spelled if any(re.search(r"\d", token.token) for token in spelled) else []


def _whole(text: str, highest: int) -> int | None:
    plain = text.strip()
    whole = plain.isascii() and plain.isdigit() and len(plain) < 8
    return int(plain) if whole and int(plain) <= highest else None
