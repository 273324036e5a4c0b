"""Dual stage: a language model judges every passage by itself, and then reasons over the best of them together."""

from __future__ import annotations

from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Ranking
from octant.rerankers.base import Reranker, part_of
from octant.rerankers.listwise import Listwise
from octant.rerankers.order import Order
from octant.rerankers.pointwise import Pointwise
from octant.rerankers.run import Run


class DualStage(Reranker):
    """Pointwise over all candidates, then one listwise call with reasons over the best of them.

    As DeAR (2508.16998): the first stage finds what is relevant at all, calls side by side; the second compares the
    best ``second`` of it in one call, in which the model says for each passage what it answers before it names the
    order. The reasons are kept in the report as ``justifications``. Scores are ranks; where the second stage cannot
    do its work, the order and the scores are those of the first, and the report says why.

    Parameters
    ----------
    second : int
        Candidates that the second stage compares, at least 2; DeAR takes 20.
    mode : {"grade", "yes_no"}
        What the first stage asks, as for ``pointwise``.
    expectation : bool
        As for ``pointwise``.
    highest : int
        The best grade of the first stage.
    passage_tokens : int
        Tokens a passage is cut to, in both stages.
    alternatives : int
        Likeliest tokens to ask the provider for in the first stage; 0 asks for none.
    labels : {"numbers", "unguessable"}
        Identifiers of the second stage, as for ``listwise``.
    structured : bool
        Whether models that can be held to a JSON schema are, in the second stage.
    """

    name: ClassVar[str] = "dual_stage"
    needs_llm: ClassVar[bool] = True
    compares: ClassVar[bool] = False

    def __init__(
        self,
        second: int = 20,
        mode: str = "grade",
        expectation: bool = False,
        highest: int = 10,
        passage_tokens: int = 300,
        alternatives: int = 5,
        labels: str = "numbers",
        structured: bool = True,
    ) -> None:
        if second < 2:
            raise InputError(f"second must be at least 2, got {second}")
        self._each = Pointwise(mode, expectation, highest, passage_tokens, alternatives)
        self._together = Listwise(
            window=0, passage_tokens=passage_tokens, labels=labels, structured=structured, reasoned=True
        )
        self.second, self.mode, self.expectation, self.highest = second, mode, expectation, highest
        self.passage_tokens, self.alternatives = passage_tokens, alternatives
        self.labels, self.structured = labels, structured

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        judging = run.stage(repr(self._each), None)
        first = (yield from self._each.ordered(query, ranking, judging)).completed(len(ranking))
        top = first.positions[: self.second]
        if judging.unanswered is not None or judging.ended or len(top) < 2:
            return first
        run.keep(first)
        best = part_of(ranking, top)
        order = yield from self._together.ordered(query, best, run.stage(repr(self._together), None))
        if order.kind == "first stage":
            return first
        return Order.by_rank([*order.of(top).positions, *first.positions[self.second :]])
