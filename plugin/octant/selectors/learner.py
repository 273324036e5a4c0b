"""What selectors that learn have in common: pools, validation by folds, and the part that is kept."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import Self

from octant.errors import ArtifactError, InputError
from octant.rankings import Rankings
from octant.selectors import evidence
from octant.selectors.base import DEPTH, Selector
from octant.selectors.judgements import JudgedSearches
from octant.selectors.learned import LearnedSelection
from octant.selectors.pool import Pool, pooled
from octant.selectors.signals import Floats
from octant.statistics import Estimate, bootstrap_mean
from octant.trained import Figure, Origin, TrainingReport

if TYPE_CHECKING:
    pass

LEAST = 10
"""Queries with something relevant, below which nothing is learned."""


class Learner(Selector):
    """A selector that learns from judged queries."""

    learns = True
    ranks: int | None = None
    arrays: ClassVar[Mapping[str, str]]
    """What it keeps: a letter for each axis, ``e`` for embeddings and ``s`` for signals."""

    @abstractmethod
    def _learn(self, pool: Pool, embeddings: Sequence[str], seed: int) -> tuple[Mapping[str, Floats], TrainingReport]:
        """What to keep, and what was seen."""

    def learn(
        self, judged: JudgedSearches, *, embeddings: Sequence[str] | None = None, depth: int = DEPTH, seed: int = 0
    ) -> Self:
        """A copy that has learned from ``judged`` queries; this one stays as it is.

        Parameters
        ----------
        judged : JudgedSearches
            At least 10 of them with something relevant; 20 are enough for weights, hundreds for what changes from
            query to query.
        embeddings : sequence of str, optional
            Those to choose among; all that answered without it.
        depth : int
            Candidates of each embedding to look at, here and later.
        seed : int
            Of the folds.

        Raises
        ------
        InputError
            If there are too few judged queries, or fewer than two embeddings.
        """
        names = tuple(judged.embeddings if embeddings is None else embeddings)
        if len(names) < 2:
            raise InputError(f"learning to choose needs at least two embeddings, got {', '.join(names) or 'none'}")
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise InputError(f"depth must be a whole number of at least 1, got {depth!r}")
        useful = judged.judged(least=LEAST)
        pool = pooled(useful, names, depth=depth, ranks=self.ranks)
        state, report = self._learn(pool, names, seed)
        corpora = {} if judged.corpus is None else {judged.corpus: report}
        origin = Origin(repr(self), None, "", report, corpora)
        twin = copy.copy(self)
        twin._learned = LearnedSelection(origin, names, judged.identities, depth, state)
        return twin

    def _check_arrays(self, learned: LearnedSelection) -> None:
        sizes = {"e": len(learned.embeddings), "s": len(evidence.EVERY)}
        for name, letters in self.arrays.items():
            wanted = tuple(sizes[letter] for letter in letters)
            found = learned.state.get(name)
            if found is None or found.shape != wanted:
                told = "none" if found is None else f"one of shape {found.shape}"
                raise ArtifactError(
                    f"what was learned by {learned.spec!r} needs an array {name!r} of shape {wanted}, it holds {told}: "
                    "learn again"
                )

    def _rows(self, found: Rankings) -> list[int]:
        """Where the embeddings that answered stand in the learned arrays."""
        known = self._learned.embeddings if self._learned is not None else tuple(found)
        return [known.index(name) for name in found]


def shares(weights: Floats) -> Floats:
    """Weights that sum to 1; equal ones where all are 0."""
    total = float(weights.sum())
    result: Floats = weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
    return result


def report_of(
    learned: str, pool: Pool, before: Floats, after: Floats, *, no_change: bool = False, remarks: Sequence[str] = ()
) -> TrainingReport:
    """nDCG@10 (q,) of every query while it was held out: ``before`` of the best single embedding, chosen without it."""
    difference = _difference(after - before)
    figure = Figure("nDCG@10", float(before.mean()), float(after.mean()), difference)
    return TrainingReport(learned, len(pool), len(pool), (figure,), no_change, (_BEFORE, *remarks), crossed=True)


_BEFORE = "before is the best single embedding, chosen on other queries"


def _difference(values: Floats) -> Estimate:
    return bootstrap_mean(values) if len(values) else Estimate(0.0, 0.0, 0.0)
