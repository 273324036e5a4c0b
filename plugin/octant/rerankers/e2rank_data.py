"""What E2Rank learns from: prompts, the vectors that are stored of their candidates, and what is relevant."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.judged import Judged, JudgedRankings
from octant.records import FloatArray, PointId, Ranking
from octant.rerankers.e2rank_model import Use
from octant.rerankers.e2rank_prompt import list_prompt
from octant.tokens import Tokens
from octant.vectors import unit_rows
from octant.work import Work


@dataclass(frozen=True, eq=False)
class Lists:
    """Questions with their candidates, as training and validation read them.

    Attributes
    ----------
    judged : tuple of m Judged
    prompts : tuple of m str
    vectors : tuple of m (n, dim) float32
        Of the candidates, unit length.
    own : (m, dim) float32
        Of the questions, unit length.
    shown : float
        Passages in a prompt, on average.
    """

    judged: tuple[Judged, ...]
    prompts: tuple[str, ...]
    vectors: tuple[FloatArray, ...]
    own: FloatArray
    shown: float

    @classmethod
    def of(cls, judged: JudgedRankings, tokens: Tokens, use: Use, work: Work) -> Lists:
        """The prompts of ``judged``, as a model with ``tokens`` reads them.

        Raises
        ------
        InputError
            If candidates lack vectors or questions theirs, or no passage of a question has a text.
        """
        made = [
            list_prompt(one.query, _texts(one), tokens, most=use.passages, shortest=use.shortest)
            for one in work.steps(judged, what="prompts", total=len(judged))
        ]
        vectors = tuple(unit_rows(_stacked(one), what="candidates") for one in judged)
        own = unit_rows(np.stack([_own(one) for one in judged]), what="questions")
        shown = float(np.mean([prompt.passages for prompt in made]))
        return cls(judged.queries, tuple(prompt.text for prompt in made), vectors, own, shown)

    def __len__(self) -> int:
        return len(self.judged)

    def only(self, rows: Sequence[int]) -> Lists:
        """The questions at ``rows``."""
        return replace(
            self, judged=tuple(self.judged[row] for row in rows), prompts=tuple(self.prompts[row] for row in rows),
            vectors=tuple(self.vectors[row] for row in rows), own=self.own[list(rows)],
        )  # fmt: skip

    def teaching(self) -> list[int]:
        """Rows that teach something: not all candidates are worth the same."""
        return [row for row, one in enumerate(self.judged) if one.teaches]

    def scores(self, pseudo: FloatArray, weight: float) -> list[FloatArray]:
        """Cosines (n,) of each question's candidates with its vector.

        Parameters
        ----------
        pseudo : (m, dim) float32
            Pseudo-queries, unit length.
        weight : float
            Their share; the questions' own vectors have the rest.
        """
        mixed = unit_rows(weight * pseudo + (1 - weight) * self.own, what="pseudo-queries")
        return [rows @ vector for rows, vector in zip(self.vectors, mixed, strict=True)]

    def digest(self) -> str:
        """SHA-256 of all that training reads."""
        digest = hashlib.sha256()
        for one, prompt, vectors in zip(self.judged, self.prompts, self.vectors, strict=True):
            digest.update(f"{one.query}\0{prompt}\0{one.found_gains.tolist()}\0".encode("utf-8", "surrogatepass"))
            digest.update(vectors.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Batch:
    """Some questions, side by side.

    Attributes
    ----------
    documents : (m, dim) float32
        Candidates of all of them.
    positive : (b,) int64
        Row of each question's best candidate.
    others : (b, m) bool
        What else is relevant to each question: no negative of it.
    lists : tuple of b (gains, start, end)
        Gains (n,) float32 of each question's candidates, and where these stand among ``documents``.
    """

    documents: FloatArray
    positive: NDArray[np.int64]
    others: NDArray[np.bool_]
    lists: tuple[tuple[FloatArray, int, int], ...]

    @classmethod
    def of(cls, lists: Lists, rows: Sequence[int]) -> Batch:
        """The questions at ``rows``."""
        chosen = [lists.judged[row] for row in rows]
        ends = np.cumsum([len(one.ranking) for one in chosen]).tolist()
        parts = tuple(
            (one.found_gains, end - len(one.ranking), end) for one, end in zip(chosen, ends, strict=True)
        )  # fmt: skip
        positive = np.array([start + int(np.argmax(gains)) for gains, start, _ in parts], np.int64)
        ids: list[PointId] = [point for one in chosen for point in one.ranking.ids]
        others = np.array([[one.gains.get(point, 0) > 0 for point in ids] for one in chosen], np.bool_)
        others[np.arange(len(chosen)), positive] = False
        return cls(np.concatenate([lists.vectors[row] for row in rows]), positive, others, parts)


def in_order(done: Ranking) -> dict[PointId, float]:
    """What a teacher's ranking says: the best candidate gains as much as there are candidates, the last 1."""
    return {point: float(len(done) - place) for place, point in enumerate(done.ids)}


def _texts(one: Judged) -> list[str]:
    texts = [candidate.text for candidate in one.ranking if candidate.text and candidate.text.strip()]
    if not texts:
        raise InputError(f"no passage found for {one.query!r} has a text: e2rank reads them")
    return texts


def _stacked(one: Judged) -> FloatArray:
    vectors = [candidate.vector for candidate in one.ranking if candidate.vector is not None]
    if len(vectors) < len(one.ranking):
        raise InputError("e2rank learns from the candidates' vectors: gather the rankings with them")
    return np.stack(vectors)


def _own(one: Judged) -> FloatArray:
    if one.vector is None:
        raise InputError("e2rank reads the vectors of questions: open the collection with its embedding")
    return one.vector
