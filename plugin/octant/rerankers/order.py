"""What a reranking method decides: positions, best first, and what their scores mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from octant.errors import PluginError
from octant.rerank_report import ScoreKind


@dataclass(frozen=True)
class Order:
    """Positions into the ranking that was given, best first.

    Positions that are left out follow in the order they had, with the lowest of the scores.

    Attributes
    ----------
    positions : tuple of int
        Zero-based, each at most once.
    scores : tuple of float or None
        Of those positions, never rising; None where only the order means something.
    kind : ScoreKind
        What the scores mean. "rank": nothing, they are spaced evenly. "first stage": those that came are kept.

    Examples
    --------
    >>> Order.by_score([.2, None, .9, .2], "probability")
    Order(positions=(2, 0, 3), scores=(0.9, 0.2, 0.2), kind='probability')
    >>> Order.by_rank([2, 0]).completed(4)
    Order(positions=(2, 0, 1, 3), scores=(1.0, 0.75, 0.5, 0.25), kind='rank')
    """

    positions: tuple[int, ...]
    scores: tuple[float, ...] | None = None
    kind: ScoreKind = "rank"

    @classmethod
    def by_rank(cls, positions: Sequence[int]) -> Order:
        """An order without scores."""
        return cls(tuple(positions))

    @classmethod
    def by_score(cls, scores: Sequence[float | None], kind: ScoreKind) -> Order:
        """Every position by its score, the higher the better; equal scores keep their order, None is left out."""
        scored = [(position, float(score)) for position, score in enumerate(scores) if score is not None]
        scored.sort(key=lambda pair: -pair[1])  # stable: ties keep the order they came in
        return cls(tuple(position for position, _ in scored), tuple(score for _, score in scored), kind)

    @classmethod
    def unchanged(cls, count: int) -> Order:
        """The order and the scores that came in."""
        return cls(tuple(range(count)), None, "first stage")

    @classmethod
    def mean(cls, orders: Sequence[Order], count: int) -> Order:
        """``count`` positions by their mean rank in several orders; equal means keep the order they came in.

        Averages the effect of where each passage was shown, over passes that showed them in different orders.

        Raises
        ------
        PluginError
            As for :meth:`completed`.

        Examples
        --------
        >>> Order.mean([Order.by_rank([2, 0, 1]), Order.by_rank([0, 1, 2])], 3).positions
        (0, 2, 1)
        """
        total = [0] * count
        for order in orders:
            for rank, position in enumerate(order.completed(count).positions):
                total[position] += rank
        return cls.by_rank(sorted(range(count), key=total.__getitem__))

    def completed(self, count: int) -> Order:
        """The same order with each of ``count`` positions and a score for every one.

        Raises
        ------
        PluginError
            If a position is out of range or twice, or a score is not finite, missing, or above an earlier one.
        """
        self._check(count)
        named = set(self.positions)
        left_out = [position for position in range(count) if position not in named]
        positions = (*self.positions, *left_out)
        if self.kind == "first stage" and positions == tuple(range(count)):
            return self.unchanged(count)
        if not self.scores or self.kind == "rank":  # no scores too where a method that scores has scored nothing
            return Order(positions, tuple((count - rank) / count for rank in range(count)), "rank")
        return Order(positions, (*self.scores, *[self.scores[-1]] * len(left_out)), self.kind)

    def of(self, positions: Sequence[int]) -> Order:
        """The order of a part of a ranking, in the positions of the whole; ``positions`` says where the part was."""
        return Order(tuple(positions[position] for position in self.positions), self.scores, self.kind)

    def _check(self, count: int) -> None:
        if len(set(self.positions)) != len(self.positions):
            raise PluginError(f"a reranker must name each position once, got {list(self.positions)}")
        wrong = [p for p in self.positions if isinstance(p, bool) or not isinstance(p, int) or not 0 <= p < count]
        if wrong:
            raise PluginError(f"a reranker must name positions from 0 to {count - 1}, got {wrong}")
        if self.scores is None:
            return
        if len(self.scores) != len(self.positions):
            raise PluginError(f"{len(self.positions)} positions need as many scores, got {len(self.scores)}")
        if not all(map(math.isfinite, self.scores)):
            raise PluginError(f"scores of a reranker must be finite, got {list(self.scores)}")
        if any(later > earlier for earlier, later in zip(self.scores, self.scores[1:], strict=False)):
            raise PluginError(f"scores of a reranker must not rise along the order, got {list(self.scores)}")
