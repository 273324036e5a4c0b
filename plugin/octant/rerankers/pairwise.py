"""Pairwise ranking prompting (PRP, 2306.17563): which of two passages is more relevant, asked in both orders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Ranking
from octant.rerank_report import OutputKind
from octant.rerankers import prompts
from octant.rerankers.base import Reranker
from octant.rerankers.exchange import Answer, Message, Prompt
from octant.rerankers.likelihoods import share
from octant.rerankers.order import Order
from octant.rerankers.run import Run

_TASK = """\
Search query: {query}

Passage A: <passage>{first}</passage>
Passage B: <passage>{second}</passage>

Search query: {query}
Which of the two passages is more relevant to the search query? Answer with one letter, A or B."""
_NAMED = re.compile(r"\b(?:passage|document|option|answer|text)\W{0,6}([AB])\b", re.IGNORECASE)
_LETTER = re.compile(r"(?<![\w'’])([AB])(?![\w'’])")


class Pairwise(Reranker):
    """Compares passages two by two; each pair is asked in both orders, and answers that disagree are a tie.

    Parameters
    ----------
    method : {"sliding", "heap", "all"}
        ``sliding``: ``best`` passes of neighbours' comparisons from the bottom up (about 2 · best · n calls, one pair
        after another). ``heap``: heap sort of the ``best`` first places (about 2 · (2 n + best · 2 log2 n) calls at
        most). ``all``: every pair (n (n - 1) calls, side by side), ordered by the share of comparisons won, a tie
        counting half; it does not depend on the order that came in.
    best : int
        Places that ``sliding`` and ``heap`` settle; the rest keeps its order.
    mode : {"generation", "likelihood"}
        Whether to read the letter that was written, or which letter was likelier.
    passage_tokens : int
        Tokens a passage is cut to.
    """

    name: ClassVar[str] = "pairwise"
    needs_llm: ClassVar[bool] = True

    def __init__(
        self, method: str = "sliding", best: int = 10, mode: str = "generation", passage_tokens: int = 300
    ) -> None:
        if method not in ("sliding", "heap", "all"):
            raise InputError(f"method must be sliding, heap or all, got {method!r}")
        if best < 1:
            raise InputError(f"best must be at least 1, got {best}")
        if mode not in ("generation", "likelihood"):
            raise InputError(f"mode must be generation or likelihood, got {mode!r}")
        if passage_tokens < 1:
            raise InputError(f"passage_tokens must be at least 1, got {passage_tokens}")
        self.method, self.best, self.mode, self.passage_tokens = method, best, mode, passage_tokens

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        texts, cut = prompts.fitted([c.text or "" for c in ranking], run.count_tokens, each=self.passage_tokens)
        if cut:
            run.remark("long passages were shown to the model in part")
        judge = _Judge(query, texts, [c.text or "" for c in ranking], run, likelihood=self.mode == "likelihood")
        sort = {"sliding": self._sliding, "heap": self._heap, "all": self._all}[self.method]
        order = yield from sort(judge, len(ranking))
        judge.tell()
        return order if judge.decided else Order.unchanged(len(ranking))

    def _sliding(self, judge: _Judge, count: int) -> Flow[Order]:
        order = list(range(count))
        for settled in range(min(self.best, count - 1)):
            for place in range(count - 2, settled - 1, -1):
                upper, lower = order[place : place + 2]
                if (yield from judge.prefers(lower, upper)):
                    order[place : place + 2] = lower, upper
            judge.keep(order)
            if judge.run.ended:
                break
        return Order.by_rank(order)

    def _heap(self, judge: _Judge, count: int) -> Flow[Order]:
        heap = list(range(count))
        for root in range(count // 2 - 1, -1, -1):
            yield from _sift(heap, root, judge)
        settled: list[int] = []
        while heap and len(settled) < self.best and not judge.run.ended:
            settled.append(heap[0])
            last = heap.pop()
            if heap:
                heap[0] = last
                yield from _sift(heap, 0, judge)
            judge.keep([*settled, *sorted(heap)])
        return Order.by_rank([*settled, *sorted(heap)])

    def _all(self, judge: _Judge, count: int) -> Flow[Order]:
        pairs = list(combinations(range(count), 2))
        yield from judge.compare(pairs)
        won = [0.0] * count
        for upper, lower in pairs:
            margin = judge.margin(upper, lower)
            won[upper] += (1 + margin) / 2
            won[lower] += (1 - margin) / 2
        return Order.by_score([wins / (count - 1) for wins in won], "grade")


class _Judge:
    """Asks about pairs, each once, and remembers."""

    def __init__(self, query: str, shown: Sequence[str], full: Sequence[str], run: Run, *, likelihood: bool) -> None:
        self._query, self._shown, self._full, self.run, self._likelihood = query, shown, full, run, likelihood
        self._margins: dict[tuple[int, int], int] = {}
        self._first = self._read = self._agreed = self._compared = 0

    @property
    def decided(self) -> bool:
        """Whether any answer could be read."""
        return self._read > 0

    def keep(self, order: Sequence[int]) -> None:
        """Remember the best order so far."""
        if self.decided:
            self.run.keep(Order.by_rank(order))

    def prefers(self, one: int, other: int) -> Flow[bool]:
        """Whether passage ``one`` wins against ``other``; a tie is no win."""
        yield from self.compare([(one, other)])
        return self.margin(one, other) > 0

    def margin(self, one: int, other: int) -> int:
        """1 where ``one`` won, -1 where ``other`` did, 0 for a tie, or where nobody could tell."""
        return self._margins[one, other] if (one, other) in self._margins else -self._margins.get((other, one), 0)

    def compare(self, pairs: Iterable[tuple[int, int]]) -> Flow[None]:
        """Ask about those of ``pairs`` that are not known, all side by side."""
        fresh = [pair for pair in pairs if pair not in self._margins and pair[::-1] not in self._margins]
        asked = [self._prompt(*order) for pair in fresh for order in (pair, pair[::-1])]
        answers = yield from self.run.ask(asked) if asked else _nothing()
        for place, pair in enumerate(fresh):
            both = answers[2 * place : 2 * place + 2]
            there, back = map(self._choice, both)
            self._compared += all(answer.failure is None for answer in both)
            self._margins[pair] = there if there == -back else 0
            self._agreed += bool(self._margins[pair])

    def tell(self) -> None:
        """Report how far the places decided."""
        if self._compared:
            self.run.measure("pairs compared", self._compared)
            self.run.measure("share of pairs decided alike in both orders", self._agreed / self._compared)
        if self._read:
            self.run.measure("share of answers for the passage shown first", self._first / self._read)

    def _prompt(self, first: int, second: int) -> Prompt:
        text = _TASK.format(query=prompts.escaped(self._query), first=self._shown[first], second=self._shown[second])
        return Prompt(
            (Message("system", prompts.SYSTEM), Message("human", text)),
            f"pairwise-1;{'likelihood' if self._likelihood else 'generation'}",
            self._query,
            (self._full[first], self._full[second]),
            logprobs=5 if self._likelihood else 0,
        )

    def _choice(self, answer: Answer) -> int:
        """1 for the passage shown first, -1 for the second, 0 where the answer does not tell."""
        if answer.failure is not None:
            return 0
        choice, kind, what = self._likelier(answer) if self._likelihood else _written(answer.text)
        self.run.note(kind, what)
        self._read += choice != 0
        self._first += choice > 0
        return choice

    def _likelier(self, answer: Answer) -> tuple[int, OutputKind, str]:
        likely = share(answer.logprobs, "a", "b") if answer.logprobs else None
        if likely is not None:
            return (likely > 0.5) - (likely < 0.5), "parsed", ""
        choice, kind, what = _written(answer.text)
        return (choice, kind, what) if kind == "fell back" else (choice, "repaired", "no log-probabilities of A and B")


def _written(text: str) -> tuple[int, OutputKind, str]:
    plain = text.strip().strip("[]()*.\"'`: \n")
    if plain.upper() in ("A", "B"):
        return (1 if plain.upper() == "A" else -1), "parsed", ""
    found = _NAMED.findall(text) or _LETTER.findall(text)
    if not found:
        return 0, "fell back", "neither A nor B in the answer" if plain else "empty answer"
    return (1 if found[-1].upper() == "A" else -1), "repaired", "the letter stood in prose"


def _sift(heap: list[int], root: int, judge: _Judge) -> Flow[None]:
    """Let ``heap[root]`` sink below the children that win against it; ties go to the earlier in the first stage."""
    while (child := 2 * root + 1) < len(heap):
        if child + 1 < len(heap) and (yield from _ahead(heap[child + 1], heap[child], judge)):
            child += 1
        if not (yield from _ahead(heap[child], heap[root], judge)):
            return
        heap[root], heap[child] = heap[child], heap[root]
        root = child


def _ahead(one: int, other: int, judge: _Judge) -> Flow[bool]:
    yield from judge.compare([(one, other)])
    margin = judge.margin(one, other)
    return margin > 0 or (margin == 0 and one < other)


def _nothing() -> Flow[list[Answer]]:
    yield from ()
    return []
