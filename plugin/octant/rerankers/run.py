"""One reranking under way: what a method asks the model through, and what it tells the report."""

from __future__ import annotations

from collections.abc import Sequence

from octant.flow import Flow
from octant.records import PointId
from octant.rerank_report import OutputKind
from octant.rerankers.exchange import Answer, Prompt
from octant.rerankers.order import Order


class Run:
    """One reranking under way.

    Attributes
    ----------
    k : int or None
        How many candidates the caller wants; None for all. A method may stop once these are settled.
    """

    k: int | None

    def ask(self, prompts: Sequence[Prompt]) -> Flow[list[Answer]]:
        """Answers to ``prompts``, in their order: cached, side by side, retried, counted, within the budgets.

        A call that fails, or that a budget forbids, gives an answer with ``failure``; only ``on_failure="raise"``
        raises.
        """
        raise NotImplementedError

    def note(self, kind: OutputKind, what: str = "") -> None:
        """Tell what became of one output of the model."""
        raise NotImplementedError

    def keep(self, order: Order) -> None:
        """Remember the best order so far: it is what the caller gets if the method fails later."""
        raise NotImplementedError

    def justify(self, point: PointId, reason: str) -> None:
        """Keep the model's reason for a candidate."""
        raise NotImplementedError

    def measure(self, name: str, value: float) -> None:
        """Report a number."""
        raise NotImplementedError

    def remark(self, text: str) -> None:
        """Report something worth knowing; each text once."""
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` by the caller's counter, or estimated as a quarter of its UTF-8 bytes."""
        raise NotImplementedError

    def shuffled(self, count: int) -> list[int]:
        """Positions 0 to ``count - 1`` in the order to show them: as they are, or anew at random for every call."""
        raise NotImplementedError

    @property
    def ended(self) -> str | None:
        """Why no further question will be answered; None while questions are."""
        raise NotImplementedError
