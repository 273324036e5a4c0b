"""Choosing among answers by what they say: the vote of equal answers, and the agreement of similar ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.records import FloatArray

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_GAP = re.compile(r"\s+")
_MINUS = re.compile(r"(?<![\w\d])-(?=\d)")


def normalised(answer: str) -> str:
    """An answer without what two people would write differently: case, punctuation, articles, width, spaces.

    As SQuAD's evaluation does (1606.05250), in any script. An answer that is nothing but punctuation or articles
    stays as it is, in lower case.

    Examples
    --------
    >>> normalised("The  Eiffel-Tower!"), normalised("ＰＡＲＩＳ"), normalised("C++") == normalised("C")
    ('eiffel tower', 'paris', False)
    """
    plain = _MINUS.sub("−", unicodedata.normalize("NFKC", answer).casefold())
    kept = "".join(" " if _is_gap(character) else character for character in plain)
    return _GAP.sub(" ", _ARTICLES.sub(" ", kept)).strip() or _GAP.sub(" ", plain).strip()


def _is_gap(character: str) -> bool:
    # Signs such as + and % are kept: they tell answers apart. Dashes and quotes do not.
    return unicodedata.category(character)[0] == "P" and character not in "%#&@"


@dataclass(frozen=True)
class Vote:
    """How a vote ended.

    Attributes
    ----------
    winner : int or None
        Place of the first answer of the group that won; None where no answer counts.
    share : float
        Of all answers that count, those of the winning group, by weight; in [0, 1].
    groups : tuple of (str, tuple of int, float)
        Normalised answer, places of the answers that give it, and their weight; heaviest first.
    """

    winner: int | None
    share: float
    groups: tuple[tuple[str, tuple[int, ...], float], ...]


def majority_vote(answers: Sequence[str], weights: Sequence[float] | None = None) -> Vote:
    """The answer that most give, after :func:`normalised`; ties go to the one that came first.

    Parameters
    ----------
    answers : sequence of str
        Empty ones do not count.
    weights : sequence of float, optional
        At least 0; without it every answer has one vote.

    Raises
    ------
    InputError
        If weights are not one finite number, at least 0, for each answer.

    Examples
    --------
    >>> vote = majority_vote(["Paris", "Lyon", "paris."])
    >>> vote.winner, round(vote.share, 2)
    (0, 0.67)
    """
    given = np.ones(len(answers)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (len(answers),) or not np.isfinite(given).all() or (given < 0).any():
        raise InputError(f"weights must be {len(answers)} finite numbers of at least 0, one an answer; got {weights!r}")
    places: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        if word := normalised(answer):
            places.setdefault(word, []).append(place)
    groups = [(word, tuple(group), float(given[group].sum())) for word, group in places.items()]
    groups.sort(key=lambda group: -group[2])
    total = sum(weight for *_, weight in groups)
    if not groups or total == 0:
        return Vote(groups[0][1][0] if groups else None, 0.0, tuple(groups))
    return Vote(groups[0][1][0], groups[0][2] / total, tuple(groups))


def semantic_agreement(answers: Sequence[str], embed: Callable[[list[str]], FloatArray]) -> NDArray[np.float64]:
    """How near every answer is to the others: the mean cosine, in [-1, 1]; higher agrees more.

    The answer with the highest is the medoid, the consensus where no two answers are worded alike (universal
    self-consistency without another call to a model). Empty answers get -1 and do not count for the others; a single
    answer has nobody to agree with, and gets 0.

    Parameters
    ----------
    answers : sequence of n str
    embed : callable
        From texts to vectors (m, d).
    """
    found = np.full(len(answers), -1.0)
    told = [place for place, answer in enumerate(answers) if answer.strip()]
    if len(told) < 2:
        found[told] = 0.0
        return found
    vectors = np.asarray(embed([answers[place] for place in told]), np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    cosines = unit @ unit.T
    found[told] = (cosines.sum(axis=1) - np.diag(cosines)) / (len(told) - 1)
    return found
