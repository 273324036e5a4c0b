"""How one reranker does on one set and first stage, for every part that compares rerankers without a language model."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from harness import table
from judged_sets import JudgedSet

from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import FloatArray
from octant.rerankers.trained import Scorer, reciprocal_rank
from octant.statistics import Estimate, paired_difference

ASKED_AGAIN = 50
"""Queries."""


@dataclass(frozen=True, eq=False)
class Row:
    """One reranker on one set and first stage."""

    chosen: str
    first: str
    represent: str
    method: str
    ndcg: float
    mrr: float
    difference: Estimate
    milliseconds: float
    """Median of a query, with passages as they come: some were seen by an earlier query, most were not."""
    again: float
    """The same for a query whose passages were all seen before, so that their words are remembered."""
    validated: float | None = None
    """Gain on the questions that decided whether it may act; None for what is not trained on the set."""

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "difference": self.difference.as_json()}


def unchanged(one: Judged) -> FloatArray:
    return -np.arange(len(one.ranking), dtype=np.float32)


def vector_of(one: Judged) -> FloatArray:
    if one.vector is None:
        raise ValueError(one.name)
    return one.vector


def scored(
    chosen: JudgedSet, first: str, represent: str, method: str, score: Scorer, test: JudgedRankings
) -> Row:  # fmt: skip
    orders, seconds = [], []
    for one in test:
        scores, taken = _timed(score, one)
        seconds.append(taken)
        orders.append(np.argsort(-scores, kind="stable").tolist())
    again = [min(_timed(score, one)[1] for _ in range(2)) for one in test[:ASKED_AGAIN]]
    after = np.array([ndcg(one, order) for one, order in zip(test, orders, strict=True)])
    before = np.array([ndcg(one) for one in test])
    binary = [_binary(one, chosen.relevant) for one in test]
    mrr = np.mean([reciprocal_rank(one, order) for one, order in zip(binary, orders, strict=True)])
    return Row(
        chosen.name, first, represent, method, float(after.mean()), float(mrr), paired_difference(after, before),
        float(np.median(seconds) * 1e3), float(np.median(again) * 1e3),
    )  # fmt: skip


def _timed(score: Scorer, one: Judged) -> tuple[FloatArray, float]:
    began = perf_counter()
    scores = score(one)
    return scores, perf_counter() - began


def _binary(one: Judged, relevant: int) -> Judged:
    gains = {point: float(gain >= relevant) for point, gain in one.gains.items()}
    return Judged(one.query, one.ranking, gains, one.vector, one.name, one.group)


def rows_table(rows: list[Row]) -> str:
    lines = [
        (
            row.chosen, row.first, row.represent, row.method, f"{row.ndcg:.4f}", f"{row.mrr:.4f}",
            f"{row.difference.value:+.4f} [{row.difference.low:+.4f}, {row.difference.high:+.4f}]",
            f"{row.milliseconds:.2f}", f"{row.again:.2f}",
        )
        for row in rows
    ]  # fmt: skip
    header = ("set", "first stage", "candidates", "method", "nDCG@10", "MRR@10", "against none", "ms a query", "again")
    return table(header, lines)
