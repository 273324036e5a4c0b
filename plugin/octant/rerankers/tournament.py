"""Tournament: the best of the top defend their places against the rest, group by group, until nobody comes close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.listwise import Listwise, Shown
from octant.rerankers.order import Order
from octant.rerankers.run import Run


class Tournament(Reranker):
    """Finds the top of a list in fewer calls than a window that slides over all of it.

    Top-down partitioning (2405.14589): the model orders the first ``group`` candidates, and the last of its ``best``
    becomes the pivot. Each next ``group - 1`` are ordered together with the pivot; who passes it is a challenger, and
    challengers and defenders are ordered again in one call. It stops when ``patience`` groups in a row bring no
    challenger: the top is then taken for settled, and the rest keeps its order.

    Parameters
    ----------
    best : int
        Places to settle.
    group : int
        Passages in one call, above ``best``.
    patience : int
        Groups without a challenger after which it stops.
    calls : int or None
        The most calls; None is as many as it takes: for 100 candidates 2 where the top was right, 14 where the order
        was upside down.
    passage_tokens : int
        Tokens a passage is cut to.
    labels : {"numbers", "unguessable"}
        As for ``listwise``.
    """

    name: ClassVar[str] = "tournament"
    needs_llm: ClassVar[bool] = True

    def __init__(
        self,
        best: int = 10,
        group: int = 20,
        patience: int = 1,
        calls: int | None = None,
        passage_tokens: int = 300,
        labels: str = "numbers",
    ) -> None:
        if best < 1:
            raise InputError(f"best must be at least 1, got {best}")
        if group <= best:
            raise InputError(f"group must be above best, {best}, so that there is room for challengers; got {group}")
        if patience < 1:
            raise InputError(f"patience must be at least 1, got {patience}")
        if calls is not None and calls < 1:
            raise InputError(f"calls must be at least 1, got {calls}")
        self._judge = Listwise(window=0, passage_tokens=passage_tokens, labels=labels)
        self.best, self.group, self.patience, self.calls = best, group, patience, calls
        self.passage_tokens, self.labels = passage_tokens, labels

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        bout = _Bout(self._judge, query, [candidate.text or "" for candidate in ranking], run, self.calls)
        first, _ = yield from bout.ordered(range(min(self.group, len(ranking))))
        defenders, beaten = first[: self.best], first[self.best :]
        challengers: list[int] = []
        quiet, at = 0, len(first)
        while at < len(ranking) and quiet < self.patience and not bout.over:
            fresh = list(range(at, min(at + self.group - 1, len(ranking))))
            passed = yield from self._passed(bout, fresh, defenders[-1])
            at += len(fresh)
            quiet = 0 if passed else quiet + 1
            for challenger in passed:
                challengers.append(challenger)
                if len(defenders) + len(challengers) == self.group:
                    defenders, lost = yield from self._settled(bout, defenders, challengers)
                    beaten, challengers = beaten + lost, []
            if bout.decided:
                run.keep(_with_rest([*defenders, *challengers, *beaten], len(ranking)))
        if challengers:
            defenders, lost = yield from self._settled(bout, defenders, challengers)
            beaten = beaten + lost
        bout.tell(looked_at=at)
        return _with_rest([*defenders, *beaten], len(ranking)) if bout.decided else Order.unchanged(len(ranking))

    def _passed(self, bout: _Bout, fresh: list[int], pivot: int) -> Flow[list[int]]:
        """Those of ``fresh`` that the model places above the pivot, which it is shown in their middle."""
        middle = len(fresh) // 2
        order, named = yield from bout.ordered([*fresh[:middle], pivot, *fresh[middle:]])
        placed = order[:named]
        return placed[: placed.index(pivot)] if pivot in placed else placed

    def _settled(self, bout: _Bout, defenders: list[int], challengers: list[int]) -> Flow[tuple[list[int], list[int]]]:
        """The best of both, and those who are out."""
        order, _ = yield from bout.ordered([*defenders, *challengers])
        return order[: self.best], order[self.best :]


class _Bout:
    """Calls of one tournament, counted."""

    def __init__(self, judge: Listwise, query: str, texts: Sequence[str], run: Run, calls: int | None) -> None:
        self._judge, self._query, self._texts, self._run = judge, query, texts, run
        self._left = calls
        self._seen = Shown()

    @property
    def decided(self) -> bool:
        """Whether any answer could be read."""
        return self._seen.answers > 0

    @property
    def over(self) -> bool:
        """Whether no call is left; the last one is kept for those who have passed the pivot."""
        return bool(self._run.ended) or (self._left is not None and self._left <= 1)

    def ordered(self, part: Sequence[int]) -> Flow[tuple[list[int], int]]:
        """``part`` in the model's order, and how many the answer placed; as it is where no call is left."""
        if len(part) < 2 or self._left == 0:
            return list(part), 0
        if self._left is not None:
            self._left -= 1
        return (yield from self._judge.order_part(self._query, self._texts, part, self._run, self._seen))

    def tell(self, *, looked_at: int) -> None:
        """Report where the first choices had been shown, and how deep the model looked."""
        self._seen.tell(self._run)
        self._run.measure("candidates the model looked at", looked_at)


def _with_rest(front: list[int], count: int) -> Order:
    """``front``, and behind it what is not in it, in its own order."""
    placed = set(front)
    return Order.by_rank([*front, *(position for position in range(count) if position not in placed)])
