"""Tournament: everybody is skimmed in groups, the strongest are read in full, until the top is settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.listwise import Listwise, Shown
from octant.rerankers.luce import Reading, strengths
from octant.rerankers.order import Order
from octant.rerankers.run import Run

_SKIMMED = 0.7
"""What an order of skimmed passages counts beside one of passages read in full."""


class Tournament(Reranker):
    """Finds the top of a list with fewer tokens than a window that slides over all of it.

    The candidates are dealt into groups like cards, so that strong ones meet late, and the model orders each group by
    the beginnings of its passages: calls side by side. The strongest ``group`` of them go into finals, where passages
    are read in full. What all the answers say is weighed together by the model of Plackett and Luce, with the first
    stage as its prior (:mod:`octant.rerankers.luce`): a judge that errs now and then, as language models do, is asked
    again about those who matter, and no single answer decides.

    A list of at most ``group`` is one call, whose answer is the order.

    Parameters
    ----------
    best : int
        Places to settle.
    group : int
        Passages in one call, above ``best``.
    skim : int
        Tokens of a passage that the groups are shown; 0 shows all of it (``passage_tokens``).
    finals : int
        The most finals.
    patience : int
        Finals in a row that leave the same candidates in the best places, after which these are taken for settled.
    calls : int or None
        The most calls; None is as many as it takes: 7 for 100 candidates and 2 finals. Where calls are too few for all
        groups, only the first candidates are looked at, and the rest keeps its order behind them.
    passage_tokens : int
        Tokens a passage is cut to in finals.
    labels : {"numbers", "unguessable"}
        As for ``listwise``.
    """

    name: ClassVar[str] = "tournament"
    needs_llm: ClassVar[bool] = True

    def __init__(
        self,
        best: int = 10,
        group: int = 20,
        skim: int = 32,
        finals: int = 2,
        patience: int = 1,
        calls: int | None = None,
        passage_tokens: int = 300,
        labels: str = "numbers",
    ) -> None:
        if best < 1:
            raise InputError(f"best must be at least 1, got {best}")
        if group <= best:
            raise InputError(f"group must be above best, {best}, so that there is room for challengers; got {group}")
        if skim < 0:
            raise InputError(f"skim must be 0 (read in full) or a number of tokens, got {skim}")
        for name, value in (("finals", finals), ("patience", patience)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if calls is not None and calls < 1:
            raise InputError(f"calls must be at least 1, got {calls}")
        self._reader = Listwise(window=0, passage_tokens=passage_tokens, labels=labels)
        self._skimmer = Listwise(window=0, passage_tokens=skim, labels=labels) if skim else self._reader
        self.best, self.group, self.skim, self.finals, self.patience = best, group, skim, finals, patience
        self.calls, self.passage_tokens, self.labels = calls, passage_tokens, labels

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        table = _Table(query, [candidate.text or "" for candidate in ranking], run)
        if len(ranking) <= self.group:
            answers = yield from table.ask(self._reader, [list(range(len(ranking)))])
            table.tell(looked_at=len(ranking), finals=0)
            return Order.by_rank(answers[0]) if table.decided else Order.unchanged(len(ranking))
        groups = self._dealt(len(ranking))
        yield from table.ask(self._skimmer, groups, _SKIMMED if self.skim else 1.0)
        seen = sum(map(len, groups)) or self.group
        finals = yield from self._play(table, seen, self._allowed(len(groups)), run)
        table.tell(looked_at=seen, finals=finals)
        return Order.by_rank(table.order(seen)) if table.decided else Order.unchanged(len(ranking))

    def _dealt(self, count: int) -> list[list[int]]:
        """Groups of as many candidates as the calls allow, one call being kept for a final."""
        if self.calls is not None:
            count = min(count, (self.calls - 1) * self.group)
        if count <= self.group:  # they can all be finalists
            return []
        groups = -(-count // self.group)
        return [list(range(first, count, groups)) for first in range(groups)]

    def _allowed(self, groups: int) -> int:
        return self.finals if self.calls is None else min(self.finals, self.calls - groups)

    def _play(self, table: _Table, seen: int, finals: int, run: Run) -> Flow[int]:
        """Finals until the best are settled; how many it took."""
        places = self.best if run.k is None else min(self.best, run.k)
        order, unchanged = table.order(seen), 0
        for played in range(1, finals + 1):
            if run.ended:
                return played - 1
            yield from table.ask(self._reader, [order[: self.group]])
            before, order = order, table.order(seen)
            unchanged = unchanged + 1 if set(order[:places]) == set(before[:places]) else 0
            if unchanged >= self.patience:
                return played
        return finals


class _Table:
    """Every answer of one tournament."""

    def __init__(self, query: str, texts: Sequence[str], run: Run) -> None:
        self._query, self._texts, self._run = query, texts, run
        self._readings: list[Reading] = []
        self._found = strengths(len(texts), ())
        self._seen = Shown()

    @property
    def decided(self) -> bool:
        """Whether any answer could be read."""
        return bool(self._readings)

    def ask(self, judge: Listwise, parts: Sequence[list[int]], weight: float = 1.0) -> Flow[list[list[int]]]:
        """Each of ``parts`` in the model's order, asked side by side."""
        answers = yield from judge.order_parts(self._query, self._texts, parts, self._run, self._seen)
        fresh = [Reading(tuple(order), named, weight) for order, named in answers if named]
        if fresh:
            self._readings += fresh
            self._found = strengths(len(self._texts), self._readings)
            self._run.keep(Order.by_rank(self.order(len(self._texts))))
        return [order for order, _ in answers]

    def order(self, seen: int) -> list[int]:
        """The first ``seen`` candidates by strength, and the others behind them as they were."""
        values = self._found.values
        strongest = sorted(range(seen), key=lambda candidate: -values[candidate])
        return [*strongest, *range(seen, len(self._texts))]

    def tell(self, *, looked_at: int, finals: int) -> None:
        """Report where first choices had been shown, how deep the model looked, and what the first stage counted."""
        self._seen.tell(self._run)
        self._run.measure("candidates the model looked at", looked_at)
        if self.decided and finals:
            self._run.measure("finals", finals)
            self._run.measure("trust in the first stage", self._found.trust)
