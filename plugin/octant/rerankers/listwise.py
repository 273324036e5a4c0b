"""Listwise reranking: a language model is shown several passages at once and names their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import JSON, Ranking
from octant.rerankers import prompts, reasons
from octant.rerankers.answers import ListAnswer, read_order
from octant.rerankers.base import Reranker
from octant.rerankers.exchange import Answer, Message, Prompt
from octant.rerankers.order import Order
from octant.rerankers.run import Run

_VERSION = "listwise-1"
_TURNS = 16
_TASK = """\
I give you {n} passages, each after its identifier in square brackets.

Search query: {query}

{passages}

Search query: {query}
Rank the {n} passages above by how relevant they are to the search query. List all {n} identifiers, each once, the \
most relevant first, in the form [{second}] > [{first}]. Answer with this list only: no word, no explanation."""


class Listwise(Reranker):
    """A window of passages slides from the bottom of the list to its top; the model orders each window.

    As RankGPT (2304.09542): a window begins ``step`` above the one before, so that the best of each meets the next.
    With ``window=0`` the whole list is shown at once ("full ranking", 2412.14574): one call, for models that can
    read it; zero-shot it ranks worse there.

    Parameters
    ----------
    window : int
        Passages in one call, at least 2; 0 shows all.
    step : int
        By how many places the window moves, from 1 to ``window - 1``.
    passes : int
        How often the window slides; it stops early after a pass that changed nothing.
    passage_tokens : int
        Tokens a passage is cut to.
    context : int or None
        Tokens that the model can read in one call. Long passages are cut until a window fits, all to the same
        length; None sets no such limit.
    labels : {"numbers", "unguessable"}
        Identifiers: 1 … n, or six characters that no passage can know.
    structured : bool
        Whether models that can be held to a JSON schema are.
    reasoned : bool
        Ask for a reason for every passage before the ranking (DeAR, 2508.16998); the report keeps them as
        ``justifications``. Costs some 50 output tokens a passage.
    """

    name: ClassVar[str] = "listwise"
    needs_llm: ClassVar[bool] = True

    def __init__(
        self,
        window: int = 20,
        step: int = 10,
        passes: int = 1,
        passage_tokens: int = 300,
        context: int | None = None,
        labels: str = "numbers",
        structured: bool = True,
        reasoned: bool = False,
    ) -> None:
        if window < 0 or window == 1:
            raise InputError(f"window must be 0 (the whole list) or at least 2, got {window}")
        if window and not 1 <= step < window:
            raise InputError(f"step must be from 1 to {window - 1} with a window of {window}, got {step}")
        if passes < 1:
            raise InputError(f"passes must be at least 1, got {passes}")
        if passage_tokens < 1:
            raise InputError(f"passage_tokens must be at least 1, got {passage_tokens}")
        if context is not None and context < 256:
            raise InputError(f"context must be at least 256 tokens, got {context}")
        if labels not in ("numbers", "unguessable"):
            raise InputError(f"labels must be numbers or unguessable, got {labels!r}")
        self.window, self.step, self.passes = window, step, passes
        self.passage_tokens, self.context, self.labels = passage_tokens, context, labels
        self.structured, self.reasoned = structured, reasoned

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        texts = [candidate.text or "" for candidate in ranking]
        order = list(range(len(ranking)))
        seen = Shown()
        for _ in range(self.passes):
            before = list(order)
            for start, end in windows(len(order), self.window, self.step):
                if run.ended:
                    break
                order[start:end], _ = yield from self.order_part(query, texts, order[start:end], run, seen)
                if seen.answers:
                    run.keep(Order.by_rank(order))
            if order == before or run.ended:
                break
        seen.tell(run)
        seen.justify(run, ranking)
        return Order.by_rank(order) if seen.answers else Order.unchanged(len(order))

    def order_part(
        self, query: str, texts: Sequence[str], part: Sequence[int], run: Run, seen: Shown
    ) -> Flow[tuple[list[int], int]]:
        """``part`` in the model's order, after one call; as :meth:`order_parts`."""
        (ordered,) = yield from self.order_parts(query, texts, [part], run, seen)
        return ordered

    def order_parts(
        self, query: str, texts: Sequence[str], parts: Sequence[Sequence[int]], run: Run, seen: Shown
    ) -> Flow[list[tuple[list[int], int]]]:
        """Each of ``parts`` in the model's order, and how many of it the answer placed; one call each, side by side.

        Parameters
        ----------
        query : str
        texts : sequence of str
            Of the whole ranking.
        parts : sequence of sequences of int
            Positions in it.
        run : Run
        seen : Shown
            Is told where the first choice had been shown, and the reasons.
        """
        shown = [[part[place] for place in run.shuffled(len(part))] for part in parts]
        asked = [self._prompt(query, [texts[position] for position in places], run) for places in shown]
        answers = (yield from run.ask([prompt for prompt, _ in asked])) if asked else []
        return [
            self._ordered(answer, part, places, labels, run, seen)
            for answer, part, places, (_, labels) in zip(answers, parts, shown, asked, strict=True)
        ]

    def _ordered(
        self, answer: Answer, part: Sequence[int], shown: Sequence[int], labels: list[str], run: Run, seen: Shown
    ) -> tuple[list[int], int]:
        """``part``, shown in the order ``shown``, as one answer orders it."""
        if answer.failure is not None:
            return list(part), 0
        secret = labels if self.labels == "unguessable" else None
        read = read_order(self._said(answer.text) if answer.parsed is None else answer.parsed, len(part), secret)
        if read.outcome == "fell back" and (answer.parsed is not None or self.reasoned):
            read = read_order(answer.text, len(part), secret)
        run.note(read.outcome, "; ".join(read.why))
        if read.outcome == "fell back":
            return list(part), 0
        seen.add(read)
        if self.reasoned:
            given = reasons.read_reasons(answer.parsed or answer.text, labels)
            seen.reasons |= {shown[place]: reason for place, reason in given.items()}
        named = [shown[place] for place in read.order[: read.named]]
        return [*named, *(position for position in part if position not in set(named))], len(named)

    def _said(self, text: str) -> str:
        """The part of an answer that holds the ranking."""
        return reasons.after_reasons(text) if self.reasoned else text

    def _prompt(self, query: str, passages: Sequence[str], run: Run) -> tuple[Prompt, list[str]]:
        """The question, and the identifiers that the passages have in it."""
        n = len(passages)
        task = reasons.TASK if self.reasoned else _TASK
        secret = self.labels == "unguessable"
        labels = prompts.unguessable(query, passages) if secret else prompts.numbered(n)
        asked = prompts.escaped(query)
        together = None
        if self.context is not None:
            (asked,), _ = prompts.fitted([query], run.count_tokens, each=self.context // 8)
            frame = task.format(
                n=n, query=asked, first=labels[0], second=labels[-1], passages=_quotes(labels, [""] * n)
            )
            reserve = n * run.count_tokens(f"[{labels[-1]}] > ") + _TURNS  # for the answer, and what frames turns
            reserve += n * reasons.TOKENS if self.reasoned else 0
            together = self.context - run.count_tokens(prompts.SYSTEM) - run.count_tokens(frame) - reserve
        cut, shortened = prompts.fitted(passages, run.count_tokens, each=self.passage_tokens, together=together)
        if shortened:
            run.remark("long passages were shown to the model in part")
        text = task.format(n=n, query=asked, first=labels[0], second=labels[-1], passages=_quotes(labels, cut))
        return (
            Prompt(
                (Message("system", prompts.SYSTEM), Message("human", text)),
                f"{_VERSION};{self.labels};{self.passage_tokens};{self.context}" + ";reasoned" * self.reasoned,
                query,
                tuple(passages),
                schema=self._schema("string" if secret else "integer") if self.structured else None,
            ),
            labels,
        )

    def _schema(self, label: str) -> dict[str, JSON]:
        return reasons.schema(label) if self.reasoned else _schema(label)


class Shown:
    """Where what the model preferred had been shown, and its reasons, over the answers that could be read.

    Attributes
    ----------
    reasons : dict of int to str
        By position in the whole ranking; the latest one, where a passage was shown more than once.
    """

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}
        self._first: list[float] = []
        self._unchanged = 0

    def add(self, read: ListAnswer) -> None:
        """Count one answer."""
        self._first.append(read.order[0] / max(1, len(read.order) - 1))
        self._unchanged += list(read.order) == sorted(read.order)

    @property
    def answers(self) -> int:
        """How many could be read."""
        return len(self._first)

    def justify(self, run: Run, ranking: Ranking) -> None:
        """Report the reasons; ``ranking`` is the whole one."""
        for position, reason in self.reasons.items():
            run.justify(ranking[position].id, reason)

    def tell(self, run: Run) -> None:
        """Report the places."""
        if self._first:
            run.measure("place of the first choice (0 shown first, 1 last)", sum(self._first) / len(self._first))
            run.measure("share of answers that repeat the order shown", self._unchanged / len(self._first))


def windows(count: int, window: int, step: int) -> list[tuple[int, int]]:
    """(start, end) of every window over ``count`` places, bottom first; the last begins at the top.

    Examples
    --------
    >>> windows(45, 20, 10)
    [(25, 45), (15, 35), (5, 25), (0, 20)]
    >>> windows(5, 0, 1)
    [(0, 5)]
    """
    if window == 0 or count <= window:
        return [(0, count)]
    starts = [*range(count - window, 0, -step), 0]
    return [(start, start + window) for start in starts]


def _quotes(labels: Sequence[str], passages: Sequence[str]) -> str:
    return "\n".join(map(prompts.quoted, labels, passages))


def _schema(label: str) -> dict[str, JSON]:
    return {
        "title": "PassageRanking",
        "description": "The identifiers of all passages, the most relevant first.",
        "type": "object",
        "properties": {"ranking": {"type": "array", "items": {"type": label}}},
        "required": ["ranking"],
        "additionalProperties": False,
    }
