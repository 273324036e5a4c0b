"""Pointwise reranking: a language model judges each passage by itself, all calls side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Ranking
from octant.rerankers import prompts
from octant.rerankers.base import Reranker
from octant.rerankers.exchange import Answer, Message, Prompt
from octant.rerankers.likelihoods import expected_grade, grade_likelihood, read_grade, share
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.token_logprobs import TokenLogprob

_YES_NO = """\
{passage}

Search query: {query}
Does the passage answer the search query? Answer with one word, Yes or No."""
_GRADE = """\
{passage}

Search query: {query}
How relevant is the passage to the search query? Answer with one integer from 0 (not at all) to {highest} (it answers \
the query fully), and nothing else."""
_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_NO_LOGPROBS = "the provider gave no log-probabilities"


class Pointwise(Reranker):
    """Each passage is judged by itself.

    Parameters
    ----------
    mode : {"grade", "yes_no"}
        ``grade``: an integer s from 0 to ``highest``, scored s · P(s) as ERank (2509.00520) does: a grade given with
        confidence above the same grade given in doubt. ``yes_no``: scored P(Yes) / (P(Yes) + P(No)). Where the
        provider gives no log-probabilities, the score is the bare grade, or 1 for Yes and 0 for No; the report says so.
    expectation : bool
        Grades only: score by the mean over all grades, weighted by their probability, rather than by s · P(s).
    highest : int
        The best grade. ERank found 10 better than 3, and both better than yes and no.
    passage_tokens : int
        Tokens a passage is cut to.
    alternatives : int
        Likeliest tokens to ask the provider for, at every place; providers allow 5 to 20. 0 asks for none.
    """

    name: ClassVar[str] = "pointwise"
    needs_llm: ClassVar[bool] = True
    compares: ClassVar[bool] = False

    def __init__(
        self,
        mode: str = "grade",
        expectation: bool = False,
        highest: int = 10,
        passage_tokens: int = 500,
        alternatives: int = 5,
    ) -> None:
        if mode not in ("grade", "yes_no"):
            raise InputError(f"mode must be grade or yes_no, got {mode!r}")
        if expectation and mode == "yes_no":
            raise InputError("expectation is over grades: leave it out with mode=yes_no")
        if not 1 <= highest <= 100:
            raise InputError(f"highest must be from 1 to 100, got {highest}")
        if passage_tokens < 1:
            raise InputError(f"passage_tokens must be at least 1, got {passage_tokens}")
        if not 0 <= alternatives <= 20:
            raise InputError(f"alternatives must be from 0 to 20, got {alternatives}")
        self.mode, self.expectation, self.highest = mode, expectation, highest
        self.passage_tokens, self.alternatives = passage_tokens, alternatives

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        texts = [candidate.text or "" for candidate in ranking]
        asked = [self._prompt(query, text, run) for text in texts]
        answers: Sequence[Answer] = yield from run.ask(asked)
        scores = [self._score(answer, run) for answer in answers]
        if all(score is None for score in scores):
            return Order.unchanged(len(scores))
        return Order.by_score(scores, "grade" if self.mode == "grade" else "probability")

    def _prompt(self, query: str, text: str, run: Run) -> Prompt:
        (passage,), cut = prompts.fitted([text], run.count_tokens, each=self.passage_tokens)
        if cut:
            run.remark("long passages were shown to the model in part")
        quoted = f"Passage: <passage>{passage}</passage>"
        task = _GRADE if self.mode == "grade" else _YES_NO
        said = task.format(passage=quoted, query=prompts.escaped(query), highest=self.highest)
        return Prompt(
            (Message("system", prompts.SYSTEM), Message("human", said)),
            f"pointwise-1;{self.mode};{self.highest};{self.passage_tokens}",
            query,
            (text,),
            logprobs=self.alternatives,
        )

    def _score(self, answer: Answer, run: Run) -> float | None:
        """The score of one passage, None where the answer gives none; the report is told which."""
        if answer.failure is not None:
            return None
        tokens = answer.logprobs if self.alternatives else None
        score, without = (self._graded if self.mode == "grade" else self._affirmed)(answer.text, tokens)
        if score is None:
            run.note("fell back", without)
        else:
            run.note("repaired" if without else "parsed", without)
        return score

    def _graded(self, text: str, tokens: Sequence[TokenLogprob] | None) -> tuple[float | None, str]:
        read = read_grade(text, self.highest)
        if read is None:
            return None, f"no grade from 0 to {self.highest} in the answer" if text.strip() else "empty answer"
        grade, start, end = read
        if not self.alternatives:
            return grade, ""
        if tokens is None:
            return grade, f"{_NO_LOGPROBS}: scored by the grade alone"
        if self.expectation:
            expected = expected_grade(tokens, start, end, self.highest)
            return (expected, "") if expected is not None else (grade, "log-probabilities do not fit the grade")
        likelihood = grade_likelihood(tokens, start, end)
        return (grade * likelihood, "") if likelihood is not None else (grade, "log-probabilities do not fit the grade")

    def _affirmed(self, text: str, tokens: Sequence[TokenLogprob] | None) -> tuple[float | None, str]:
        likely = share(tokens, "yes", "no") if tokens else None
        if likely is not None:
            return likely, ""
        said = _WORD.findall(text)
        if not said:
            return None, "neither yes nor no in the answer" if text.strip() else "empty answer"
        score = float(said[-1].lower() == "yes")
        if not self.alternatives:
            return score, ""
        why = _NO_LOGPROBS if tokens is None else "log-probabilities do not fit the answer"
        return score, f"{why}: scored by the word alone"
