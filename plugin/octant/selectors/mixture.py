"""Mixture-Embedding RAG (2507.17442): z-scored similarities, union, without doubles, sorted."""

from __future__ import annotations

from dataclasses import replace

from octant.rankings import Rankings
from octant.records import Candidate, PointId
from octant.selectors.base import Choice, Selector
from octant.selectors.signals import standardized


class Mixture(Selector):
    """Every candidate by the best z-score that any embedding gives it.

    Kept because the paper has it. It has no use for agreement: a passage that two embeddings find counts no more than
    one that a single embedding finds. In the paper it loses to a single embedding, and on TREC DL to every fusion
    (``tests/benchmarks/README.md``): prefer ``fuse``.
    """

    name = "mixture"

    def _select(self, rankings: Rankings) -> Choice:
        best: dict[PointId, Candidate] = {}
        for name, ranking in rankings.items():
            for candidate, z in zip(ranking, standardized(ranking.scores), strict=True):
                so_far = best.get(candidate.id)
                branches = {**(so_far.branch_scores if so_far else {}), name: candidate.score}
                score = float(z) if so_far is None else max(so_far.score, float(z))
                best[candidate.id] = replace(so_far or candidate, score=score, branch_scores=branches)
        found = sorted(best.values(), key=lambda candidate: -candidate.score)
        return Choice(found, tuple(rankings), dict.fromkeys(rankings, 1 / len(rankings)))
