"""100,000 generated answers through every parser, 20,000 through every LLM reranker: nothing lost, invented or raised.

Hypothesis makes the answers: lists in every notation, numbers of many scripts, ranges, numbers outside the window,
prose before and behind, code fences, JSON, thoughts, refusals, answers cut off or said twice, and text of any kind.
What breaks a promise is shrunk and printed.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

from harness import Bar, table
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from parts import Outcome

import octant
from octant import registry
from octant.records import Candidate, Ranking
from octant.rerankers import Reranker
from octant.rerankers.answers import read_order
from octant.rerankers.likelihoods import read_grade
from octant.rerankers.prompts import unguessable

READ, ASKED = 100_000, 20_000
"""Answers read by the parsers, and answers given to rerankers."""
_BATCH = 40
"""Answers in one example: up to four of hypothesis's own making, which it can shrink, and the rest by grammar."""

SPECS = (
    "listwise", "listwise(window=4, step=2)", "listwise(window=0, structured=false)",
    "listwise(window=5, step=2, passes=2, labels=unguessable)", "pointwise", "pointwise(expectation=true)",
    "pointwise(yes_no)", "pairwise(sliding, best=2)", "pairwise(heap, best=2)", "pairwise(all)",
    "pairwise(all, mode=likelihood)", "tournament(best=2, group=4)", "dual_stage(second=4)",
    "pointwise > listwise(top=5)",
)  # fmt: skip

# -- what a model may say ------------------------------------------------------------------------

_FORMS = (
    "[{}]",
    "{}",
    "({})",
    "Passage {}",
    "passage [{}]",
    "**[{}]**",
    "`{}`",
    "Doc: {}",
    "【{}】",
    "#{}",
    "{}.",
    '"{}"',
)
_JOINS = (
    " > ",
    ">",
    ", ",
    ",",
    "\n",
    " ",
    "; ",
    " >= ",
    " = ",
    " and ",
    " → ",
    "、",
    "-",
    " < ",
    "\n\n",
    "|",
    "\t",
    "...",
)
_FRAMES = (
    "{}", "Here is the ranking:\n{}", "{}\n\nPassage 3 is best because of its 2 sources from 1998.", "```\n{}\n```",
    "```json\n{}\n```", "<think>Perhaps [2] > [1]? 12 passages.</think>{}", "Sure! {} Hope that helps", "Rank 1: {}",
    '{{"ranking": "{}"}}', "1. {}", "I'm sorry, I cannot rank {}.", "Query: {}\nAnswer: {}", "**Final:** {}.", "{} {}",
)  # fmt: skip
_WORDS = (
    "", "I'm sorry, but I can't help with that.", "None of them.", "Yes", "No.", "A", "B", "Passage A is better",
    "A or B", "7/10", "Score: 7.9", "-3", "score 1e5", "NaN", "∞", "[", "]", "[]", "{}", "null", "[null]", "[[[[",
    "<think>", "10" * 40, "１２", "①>②", "Ⅳ", "½", "٣ > ١", "二番", "\x00", "[1", "1]", "] > [", "[1] > " * 60,
)  # fmt: skip
_DIGITS = tuple("".join(map(chr, range(zero, zero + 10))) for zero in (0x30, 0xFF10, 0x660, 0x6F0, 0x966, 0xE50))


def listed(random: Random, n: int) -> str:
    """A list of identifiers of ``n`` passages in some notation, in some frame, and sometimes cut off."""
    numbers = [random.randint(-2, 26) for _ in range(random.randint(0, 24))]
    if random.random() < 0.6:
        numbers = random.sample(range(1, n + 1), random.choice((n, n, random.randint(1, n))))
    form, join, digits = (random.choice(options) for options in (_FORMS, _JOINS, _DIGITS + 5 * _DIGITS[:1]))
    said = join.join(form.format(number) for number in numbers)
    if digits != _DIGITS[0]:
        said = said.translate(str.maketrans(_DIGITS[0], digits))
    whole = random.choice(_FRAMES).replace("{}", said)
    return whole[: random.randint(0, len(whole))] if random.random() < 0.3 else whole


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | st.sampled_from(_WORDS),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(("ranking", "id", "rank", "score", "passage", "2", "x")), inner, max_size=4)
    ),
    max_leaves=8,
)
_ANSWERS = st.lists(
    st.one_of(
        st.sampled_from(_WORDS), _JSON.map(json.dumps), st.text(max_size=40),
        st.text("[]{}()<>|-=,.:#*`\"'0123456789 \n１٣①", max_size=40),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
_SEEDS = st.integers(0, 2**32)


# -- what must hold ------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened so far."""

    answers: int = 0
    outcomes: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)

    def must(self, holds: bool, fault: str, *shown: object) -> None:
        if not holds:
            self.faults[fault] += 1
            raise AssertionError(f"{fault}: {shown!r}")


def measure(asked: argparse.Namespace) -> Outcome:
    read, used = Tally(), {}
    broken: list[str] = []
    _attempt(broken, "parsers", lambda: parsers(read))
    specs = (*SPECS, *(name for name in _llm_rerankers() if not any(spec.startswith(name) for spec in SPECS)))
    for spec in specs:
        used[spec] = Tally()
        _attempt(broken, spec, lambda spec=spec: end_to_end(spec, used[spec], -(-ASKED // len(specs))))
    rows = [("parsers", read), *used.items()]
    kinds = sorted({kind for _, tally in rows for kind in tally.outcomes})
    text = table(
        ("", "answers", *kinds, "faults"),
        [(n, t.answers, *(t.outcomes[kind] for kind in kinds), sum(t.faults.values())) for n, t in rows],
    )
    answered = sum(tally.answers for tally in used.values())
    through, reading = f"{answered} answers to {len(specs)} specs", f"{read.answers} of {READ}"
    bars = [
        Bar("answers read, none raised, lost, invented or repeated", reading, not broken and read.answers >= READ),
        Bar("the same through whole rerankers", through, not broken and answered >= ASKED),
    ]
    results = {
        name: {"answers": tally.answers, "outcomes": dict(tally.outcomes), "faults": dict(tally.faults)}
        for name, tally in rows
    }
    return Outcome("\n".join([text, *broken]), {"attacked": results, "broken": broken}, bars)


def _attempt(broken: list[str], name: str, attack: Any) -> None:
    """Note what hypothesis found, shrunk, rather than stop at it."""
    try:
        attack()
    except Exception as error:
        broken.append(f"{name}: {type(error).__name__}: {error}")


def _generated(examples: int) -> settings:
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip


def parsers(tally: Tally) -> None:
    """Every answer as an order of n passages, by number and by unguessable label, and as a grade."""

    @_generated(READ // _BATCH)
    @given(_ANSWERS, _SEEDS, st.integers(1, 22), st.integers(1, 100), _JSON)
    def read(answers: list[str], seed: int, n: int, highest: int, value: Any) -> None:
        random = Random(seed)
        answers = [*answers, *(listed(random, n) for _ in range(_BATCH - len(answers)))]
        labels = unguessable("query", [str(place) for place in range(n)])
        _ordered(tally, value, n, None)
        for place, answer in enumerate(answers):
            _ordered(tally, answer, n, None)
            if place % 4 == 0:
                _ordered(tally, answer.replace("1", labels[0]).replace("2", labels[-1]), n, labels)
            grade = read_grade(answer, highest)
            tally.must(grade is None or 0 <= grade[0] <= highest, "a grade off the scale", answer, highest, grade)
        tally.answers += len(answers)

    read()


def _ordered(tally: Tally, answer: object, n: int, labels: list[str] | None) -> None:
    found = read_order(answer, n, labels)
    tally.must(sorted(found.order) == list(range(n)), "not a permutation", answer, n, found)
    tally.must(0 <= found.named <= n, "more named than there are", answer, n, found)
    tally.must((found.outcome == "parsed") == (not found.why), "a repair without a reason", answer, n, found)
    tally.outcomes[found.outcome] += 1


def end_to_end(spec: str, tally: Tally, least: int) -> None:
    """Rankings reranked by a model that gives one generated answer after another."""

    @_generated(-(-least // _BATCH))
    @given(_ANSWERS, _SEEDS, _JSON, st.booleans())
    def rerank(answers: list[str], seed: int, logprobs: Any, chat: bool) -> None:
        random = Random(seed)
        n = random.randint(2, 24)
        given_out = (listed(random, n) if random.random() < 0.7 else random.choice(answers) for _ in count())
        llm = _Chat(given_out, logprobs) if chat else (lambda prompt: next(given_out))
        ranker = octant.reranker(spec, llm, retries=0, concurrency=1)
        before = tally.answers
        while tally.answers < before + _BATCH:
            _reranked(ranker, n, random.randint(1, 26), tally)

    rerank()


def _reranked(ranker: Reranker, n: int, k: int, tally: Tally) -> None:
    texts = [None if place == 3 else f"passage {place}" for place in range(n)]
    ranking = Ranking(tuple(Candidate(place, 1.0 - place / 99, text) for place, text in enumerate(texts)), "q")
    done = ranker.rerank("a query", ranking, k)
    tally.must(len(done) == min(k, n), "lost or invented", ranker, n, k, done.ids)
    tally.must(len(set(done.ids)) == len(done), "repeated", ranker, n, k, done.ids)
    tally.must(set(done.ids) <= set(range(n)), "invented", ranker, n, k, done.ids)
    falls = all(a >= b for a, b in pairwise(done.scores))
    tally.must(falls and all(map(math.isfinite, done.scores)), "scores", ranker, n, k, done.scores)
    # a message that is no message (a provider's fault, not an answer) counts as a failed call, not as an exception
    tally.answers += done.report.calls
    tally.outcomes.update(note.kind for note in done.report.outputs)


class _Chat:
    """A chat model with log-probabilities and structured answers of any shape."""

    model_name = "scripted"

    def __init__(self, answers: Any, logprobs: Any, *, structured: bool = False) -> None:
        self._answers, self._logprobs, self._structured = answers, logprobs, structured

    def bind(self, **wanted: Any) -> _Chat:
        return self

    def with_structured_output(self, schema: Any, *, include_raw: bool) -> _Chat:
        return _Chat(self._answers, self._logprobs, structured=True)

    def invoke(self, messages: Any) -> Any:
        message = SimpleNamespace(
            content=next(self._answers), response_metadata={"logprobs": self._logprobs}, usage_metadata=None
        )
        return {"raw": message, "parsed": self._logprobs, "parsing_error": None} if self._structured else message

    async def ainvoke(self, messages: Any) -> Any:
        return self.invoke(messages)


def _llm_rerankers() -> list[str]:
    """Names of registered rerankers that ask a language model."""
    return [
        name for name in registry.names("rerankers") if getattr(registry.load("rerankers", name), "needs_llm", False)
    ]
