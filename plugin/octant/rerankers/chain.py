"""Rerankers in a row, each on the best of what the one before it left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octant.errors import InputError
from octant.flow import Flow
from octant.records import JSON, Ranking
from octant.rerankers.base import Reranker, part_of, placed
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import whole


@dataclass(frozen=True)
class Stage:
    """One reranker of a chain.

    Attributes
    ----------
    reranker : Reranker
    top : int or None
        How many of the best candidates it works on; the others follow in the order they have. None: all.

    Raises
    ------
    InputError
        If ``top`` is not a whole number of at least 1.
    """

    reranker: Reranker
    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None:
            whole("top", self.top, least=1)

    def __str__(self) -> str:
        text = repr(self.reranker)
        if self.top is None:
            return text
        return f"{text[:-1]}, top={self.top})" if text.endswith(")") else f"{text}(top={self.top})"


class Chain(Reranker):
    """Rerankers in a row over one account: budgets and the report are those of all of them together.

    A stage that fails leaves the order of the one before it. Candidates beyond a stage's ``top`` follow those it
    worked on with the lowest score it gave.

    Parameters
    ----------
    links : sequence of Stage
        At least one, in the order they work.
    """

    name = "chain"
    needs_text = False  # each stage looks for itself
    compares = False

    def __init__(self, links: Sequence[Stage]) -> None:
        if not links:
            raise InputError("a chain needs at least one reranker, got none")
        self.links = tuple(links)

    @property
    def stages(self) -> tuple[Reranker, ...]:
        """Its rerankers, in the order they work."""
        return tuple(stage for link in self.links for stage in link.reranker.stages)

    @property
    def config(self) -> dict[str, JSON]:
        """Its spec, from which :func:`octant.reranker` makes it again."""
        return {"spec": repr(self)}

    def __repr__(self) -> str:
        return " > ".join(map(str, self.links))

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        current, order = ranking, Order.unchanged(len(ranking))
        wanted = [*[link.top for link in self.links[1:]], run.k]
        for link, k in zip(self.links, wanted, strict=True):
            part = part_of(current, range(len(current))[: link.top])
            found = yield from link.reranker.ordered(query, part, run.stage(repr(link.reranker), k))
            if found.kind == "first stage":
                continue
            found = found.completed(len(current))
            current = placed(current, found)
            positions = tuple(order.positions[position] for position in found.positions)
            order = Order(positions, current.scores, current.score_kind)
            run.keep(order)
        return order
