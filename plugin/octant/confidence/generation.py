"""One generated answer, and what was chosen among several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from octant.confidence.distributions import Distributions
from octant.decision import Decision
from octant.records import JSON, Ranking


@dataclass(frozen=True)
class Generation:
    """What one generation gave.

    Attributes
    ----------
    name : str
        Where it comes from: the embedding whose passages were read, or ``"minilm #2"`` for a second sample.
    text : str
        The answer; empty where there is none.
    distributions : Distributions or None
        What the model believed at every token; None where the provider does not say.
    passages : Ranking or None
        What the model read.
    failure : str or None
        Why there is no answer: an error of the search or of the model.
    refusal : bool
        Whether the model declined to answer. A refusal is never chosen while something answered.
    unread : str or None
        Why ``distributions`` is None, where log-probabilities were asked for.
    tokens : mapping from str to int
        ``input_tokens`` and ``output_tokens``, where they are known.
    """

    name: str
    text: str = ""
    distributions: Distributions | None = field(default=None, repr=False)
    passages: Ranking | None = field(default=None, repr=False)
    failure: str | None = None
    refusal: bool = False
    unread: str | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether there is an answer in it."""
        return self.failure is None and not self.refusal and bool(self.text.strip())


@dataclass(frozen=True)
class Abstention:
    """The answer that was withheld, and why.

    Attributes
    ----------
    withheld : str
        Empty where nothing answered.
    confidence : float
        In [0, 1].
    below : float
        What it would have had to reach.
    evidence : mapping from str to JSON value
        What led there, by name.
    """

    withheld: str
    confidence: float
    below: float
    evidence: Mapping[str, JSON]


@dataclass(frozen=True)
class ChosenAnswer:
    """The answer to give.

    Attributes
    ----------
    text : str
        The answer, or the wording of "the documents do not say".
    decision : Decision
    generations : tuple of Generation
        All that were made, in the order they were asked for.
    abstention : Abstention or None
        None where ``text`` is an answer.
    """

    text: str
    decision: Decision
    generations: tuple[Generation, ...] = field(default=(), repr=False)
    abstention: Abstention | None = None

    @property
    def generation(self) -> Generation | None:
        """The one that was chosen; None after an abstention that had nothing to withhold."""
        return next((one for one in self.generations if one.name == self.decision.chosen), None)


def cost_of(generations: Sequence[Generation]) -> dict[str, float]:
    """Generations, and tokens where they are known, of all of them."""
    asked = sum(one.failure is None or bool(one.tokens) for one in generations)
    cost = {"generations": float(asked)}
    for name in ("input_tokens", "output_tokens"):
        if any(name in one.tokens for one in generations):
            cost[name] = float(sum(one.tokens.get(name, 0) for one in generations))
    return cost


def failures_of(generations: Sequence[Generation]) -> dict[str, str]:
    """Those without an answer, and why."""
    found = {}
    for one in generations:
        if one.failure is not None:
            found[one.name] = one.failure
        elif one.refusal:
            found[one.name] = "the model declined to answer"
        elif not one.text.strip():
            found[one.name] = "an empty answer"
    return found
