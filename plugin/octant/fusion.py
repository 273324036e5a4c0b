"""One ranking out of several for the same query, by rank or by normalised score.

Done here rather than in the engine, so that every engine, every representation (also those the caller rescores)
and every offset behave alike, and each branch's own score stays visible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from octant.errors import InputError
from octant.records import Candidate, PointId


@dataclass(frozen=True)
class Fusion:
    """How branches become one ranking.

    Attributes
    ----------
    method : {"rrf", "dbsf"}
        ``rrf``: reciprocal rank fusion (Cormack et al., SIGIR 2009), the sum of ``weight / (k + rank)`` with
        ranks from 1. ``dbsf``: distribution-based score fusion (Qdrant's), the sum of
        ``weight * (score - (mean - 3 sd)) / (6 sd)``, clipped to [0, 1], over the branches.
    weights : mapping from branch to float, or None
        1 for every branch when None; a branch that is not named keeps 1.
    k : int
        RRF only; the paper's 60. Smaller trusts the top ranks more.
    oversampling : float
        How many times ``limit`` candidates each branch contributes.
    """

    method: Literal["rrf", "dbsf"] = "rrf"
    weights: Mapping[str, float] | None = None
    k: int = 60
    oversampling: float = 4.0

    def __post_init__(self) -> None:
        if self.method not in ("rrf", "dbsf"):
            raise InputError(f"fusion is 'rrf' or 'dbsf', got {self.method!r}")
        if self.k < 0:
            raise InputError(f"the k of reciprocal rank fusion is at least 0, got {self.k}")
        if not 1 <= self.oversampling < float("inf"):
            raise InputError(f"oversampling must be a finite number of at least 1, got {self.oversampling}")
        for branch, weight in (self.weights or {}).items():
            if not 0 <= weight < float("inf"):
                raise InputError(f"the weight of {branch!r} must be a finite number of at least 0, got {weight}")

    @classmethod
    def parse(cls, value: str | Fusion) -> Fusion:
        """``value`` itself, or the fusion that ``"rrf"`` or ``"dbsf"`` names."""
        return value if isinstance(value, Fusion) else _named(value)

    def __call__(self, branches: Mapping[str, Sequence[Candidate]]) -> list[Candidate]:
        """Every candidate of any branch once, best first; ties keep the order of the branches.

        Parameters
        ----------
        branches : mapping from name to candidates, best first

        Raises
        ------
        InputError
            If a weight names a branch that is not there.
        """
        weights = dict(self.weights or {})
        unknown = sorted(set(weights) - set(branches))
        if unknown:
            raise InputError(f"weights name {', '.join(unknown)}; the branches are {', '.join(branches)}")
        parts: Callable[[Sequence[Candidate]], list[float]] = self._ranks if self.method == "rrf" else _normalized
        weighted = {
            branch: [weights.get(branch, 1.0) * part for part in parts(candidates)]
            for branch, candidates in branches.items()
        }
        return combined(branches, weighted)

    def _ranks(self, candidates: Sequence[Candidate]) -> list[float]:
        return [1.0 / (self.k + rank) for rank in range(1, len(candidates) + 1)]


def combined(branches: Mapping[str, Sequence[Candidate]], parts: Mapping[str, Sequence[float]]) -> list[Candidate]:
    """Every candidate of any branch once, scored by the sum of its ``parts``, one for each candidate of each branch.

    Best first; ties keep the order of the branches. Every branch's own score is kept beside the sum.
    """
    fused: dict[PointId, Candidate] = {}
    for branch, candidates in branches.items():
        for candidate, part in zip(candidates, parts[branch], strict=True):
            so_far = fused.get(candidate.id) or replace(candidate, score=0.0, branch_scores={})
            fused[candidate.id] = replace(
                so_far,
                score=so_far.score + part,
                branch_scores={**so_far.branch_scores, branch: candidate.score},
            )
    return sorted(fused.values(), key=lambda candidate: -candidate.score)


@lru_cache(maxsize=8)
def _named(method: str) -> Fusion:
    return Fusion(method=method)  # type: ignore[arg-type]


def _normalized(candidates: Sequence[Candidate]) -> list[float]:
    scores = np.array([candidate.score for candidate in candidates], np.float64)
    spread = 6 * scores.std(ddof=1) if len(scores) > 1 else 0.0
    if spread == 0.0:
        return [0.5] * len(scores)  # no distribution to place a score in
    return list(np.clip((scores - scores.mean()) / spread + 0.5, 0.0, 1.0))
