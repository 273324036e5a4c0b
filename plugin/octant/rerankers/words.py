"""Words that a query and its candidates share, weighed by how rare they are among these candidates.

BM25 (Robertson and Zaragoza, 10.1561/1500000019) over the candidates of one query as if they were the whole
collection: no index and no statistics are needed, and a word that every candidate has tells them apart no more.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from octant.records import FloatArray

K1, B = 1.2, 0.75
"""How soon repetitions stop to count, and how much the length of a passage does."""
KEPT = 20_000
"""Passages whose words are remembered."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
"""Letters and digits of any script; where words are written without spaces, every character is one."""

_SPACED = bytes(code if code >= 128 or chr(code).isalnum() else 32 for code in range(256))
"""Of UTF-8, every ASCII character that is neither letter nor digit becomes a space."""

Counts: TypeAlias = "tuple[Counter[str], int]"
"""How often each word occurs, and how many words there are."""


def split(text: str) -> list[str]:
    """The words of ``text`` without case, in their order.

    ASCII is split at C speed; only words with other characters meet the pattern that knows what those are.

    Examples
    --------
    >>> split("It's a sextant\u2014or an OCTANT.")
    ['it', 's', 'a', 'sextant', 'or', 'an', 'octant']
    """
    spaced = text.casefold().encode("utf-8", "surrogatepass").translate(_SPACED).decode("utf-8", "surrogatepass")
    found = spaced.split()
    if spaced.isascii():
        return found
    return [word for part in found for word in ((part,) if part.isascii() else _WORD.findall(part))]


def counted(text: str) -> Counts:
    """The words of ``text`` without case or plural, each with its count, and how many there are.

    Examples
    --------
    >>> counted("Octants, and an octant")
    (Counter({'octant': 2, 'and': 1, 'an': 1}), 4)
    """
    found = split(text)
    counts = Counter(found)
    for word in [word for word in counts if word[-1] == "s" and len(word) > 3]:
        counts[word[:-1]] += counts.pop(word)
    return counts, len(found)


class WordCounts:
    """Counts the words of passages, and remembers those of the passages last seen.

    Parameters
    ----------
    kept : int
        Most passages that are remembered.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[str, Counts] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, texts: Sequence[str | None]) -> list[Counts]:
        """The counts of every text; of none where there is no text."""
        known = self._known
        counts = [known.get(text or "") for text in texts]
        missing = {text or "" for text, found in zip(texts, counts, strict=True) if found is None}
        if missing:
            fresh = {text: counted(text) for text in missing}
            self._keep(fresh)
            counts = [found or fresh[text or ""] for text, found in zip(texts, counts, strict=True)]
        return counts  # type: ignore[return-value]  # every gap was just filled

    def _keep(self, fresh: dict[str, Counts]) -> None:
        with self._lock:
            self._known.update(fresh)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)


@dataclass(frozen=True, eq=False)
class Overlap:
    """What a query shares with each of n candidates.

    Attributes
    ----------
    bm25 : (n,) float32
        0 where nothing is shared; higher is more.
    coverage : (n,) float32
        Share of the query's words, by weight, that the candidate has, in [0, 1].
    length : (n,) float32
        Words of the candidate.
    """

    bm25: FloatArray
    coverage: FloatArray
    length: FloatArray


def overlap(query: str, counts: Sequence[Counts]) -> Overlap:
    """What ``query`` shares with candidates that have ``counts``.

    The order of the candidates does not matter to any of them.
    """
    n = len(counts)
    words = list(counted(query)[0])
    length = np.array([total for _, total in counts], np.float32)
    if not words or not n:
        return Overlap(np.zeros(n, np.float32), np.zeros(n, np.float32), length)
    flat = [known.get(word, 0) for known, _ in counts for word in words]
    found = np.fromiter(flat, np.float32, len(flat)).reshape(n, -1)
    occurs = found > 0
    having = occurs.sum(0)
    weight = np.log1p((n - having + 0.5) / (having + 0.5)).astype(np.float32)
    usual = max(float(length.sum()) / n, 1.0)
    damped = found * (K1 + 1) / (found + (K1 * (1 - B + B / usual * length))[:, None])
    covered = occurs @ weight
    return Overlap(damped @ weight, covered / max(float(weight.sum()), 1e-9), length)
