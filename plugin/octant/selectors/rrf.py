"""Reciprocal rank fusion, every embedding alike: the control that needs nothing."""

from __future__ import annotations

from octant.errors import InputError
from octant.fusion import Fusion
from octant.rankings import Rankings
from octant.selectors.base import Choice, Selector


class ReciprocalRankFusion(Selector):
    """Sum of ``1 / (k + rank)`` (Cormack et al., SIGIR 2009).

    Parameters
    ----------
    k : int
        The paper's 60; Qdrant's 2 trusts the first ranks more.

    Raises
    ------
    InputError
    """

    name = "rrf"

    def __init__(self, k: int = 60) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise InputError(f"k must be a whole number of at least 0, got {k!r}")
        self.k = k

    def _select(self, rankings: Rankings) -> Choice:
        return evenly(Fusion("rrf", k=self.k), rankings)


def evenly(fusion: Fusion, rankings: Rankings) -> Choice:
    """The fusion of all of them, each with the same say."""
    found = fusion({name: ranking.candidates for name, ranking in rankings.items()})
    return Choice(found, tuple(rankings), dict.fromkeys(rankings, 1 / len(rankings)))
