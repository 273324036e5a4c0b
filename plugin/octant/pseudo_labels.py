"""Questions for collections that nobody has judged: a sentence of a passage asks for that passage.

Such known-item queries are easier than people's questions, and they share words with their passage, which favours BM25:
what is learned from them is a start, not a measurement, and whoever uses them says so.
"""

from __future__ import annotations

import re

import numpy as np

from octant.collection import Collection, reading
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking
from octant.judged import Question

_SENTENCE = re.compile(r"[^.!?\n。！？]+[.!?。！？]?")
_FEWEST, _MOST = 4, 30
NOTE = "learned from sentences of the passages, not from questions: judge real questions when there are some"


def _pseudo_questions(collection: Collection, count: int, *, seed: int = 0) -> Flow[tuple[Question, ...]]:
    """At most ``count`` questions, each of them half the words of a sentence of a passage, judged to be about it.

    Parameters
    ----------
    collection : Collection
    count : int
        At least 1.
    seed : int
        Of the passages, sentences and words drawn.

    Raises
    ------
    InputError
        If no passage has a sentence of at least four words.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"count must be a whole number of at least 1, got {count!r}")
    rng = np.random.default_rng(seed)
    found = []
    for candidate in (yield from reading.sample(collection, count, seed=seed)):
        sentences = [part.split() for part in _SENTENCE.findall(candidate.text or "")]
        fitting = [words for words in sentences if _FEWEST <= len(words) <= _MOST]
        if fitting:
            words = fitting[int(rng.integers(len(fitting)))]
            kept = np.sort(rng.permutation(len(words))[: max(_FEWEST // 2, len(words) // 2)])
            text = " ".join(words[place] for place in kept)
            found.append(Question(f"pseudo {candidate.id}", text, {candidate.id: 1.0}))
    if not found:
        raise InputError("no passage has a sentence to ask for: give --queries and --qrels")
    return tuple(found)


pseudo_questions = blocking(_pseudo_questions)
apseudo_questions = awaitable(_pseudo_questions)
