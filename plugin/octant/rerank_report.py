"""What a reranking did and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

ScoreKind: TypeAlias = Literal["first stage", "probability", "logit", "cosine", "grade", "rank"]
"""What a score means. Higher is better for all of them.

``first stage``: the scores of the search, unchanged. ``probability``: of being relevant, in [0, 1]. ``logit``: of that
probability, any real number. ``cosine``: in [-1, 1]. ``grade``: points on the method's own scale. ``rank``: only the
order means something; the scores are evenly spaced from 1 down to 1/n.
"""

OutputKind: TypeAlias = Literal["parsed", "repaired", "fell back"]
Counter: TypeAlias = Literal["none", "provider", "estimate", "both"]


@dataclass(frozen=True)
class OutputNote:
    """What became of one output of a language model.

    Attributes
    ----------
    kind : {"parsed", "repaired", "fell back"}
        Read as it was asked for; read after mending it; or not usable, so that what it was about kept its order.
    what : str
        What was mended, or why it fell back; empty for a parsed one.
    """

    kind: OutputKind
    what: str = ""


@dataclass(frozen=True)
class RerankReport:
    """What a reranking did and cost.

    Attributes
    ----------
    method : str
        Spec of the reranker.
    model : str or None
        Name of the language model that was asked, if one was.
    calls : int
        Requests sent to the model, those that failed and were sent again included; cached answers are not.
    input_tokens, output_tokens : int
        Of those requests; cached answers cost none.
    counted_by : {"none", "provider", "estimate", "both"}
        Who counted the tokens: the provider, Octant (bytes / 4, or the caller's own counter), or each some.
    cost : float or None
        In the currency of the prices that were given; None without prices.
    seconds : float
        Wall time.
    retries : int
        Requests that were sent again after a passing failure.
    cache_hits : int
        Answers read from the cache.
    outputs : tuple of OutputNote
        One for each output of the model that was looked at, in no particular order under concurrency.
    ended_early : str or None
        Which budget was spent; the ranking is then the best order so far.
    failure : str or None
        Why the ranking is the first-stage order, or the best order before the failure, in place of the method's.
    justifications : mapping of id to str
        The model's reasons, where the method asks for them.
    statistics : mapping of str to float
        Numbers a method reports on itself, e.g. about the positions of what it chose.
    remarks : tuple of str
        What else a reader should know: passages without text, a cache that could not be written.
    """

    method: str
    model: str | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    counted_by: Counter = "none"
    cost: float | None = None
    seconds: float = 0.0
    retries: int = 0
    cache_hits: int = 0
    outputs: tuple[OutputNote, ...] = ()
    ended_early: str | None = None
    failure: str | None = None
    justifications: Mapping[int | str, str] = field(default_factory=dict)
    statistics: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def count(self, kind: OutputKind) -> int:
        """How many outputs were parsed, repaired, or fell back."""
        return sum(note.kind == kind for note in self.outputs)

    def as_dict(self) -> dict[str, Any]:
        """The report as values that ``json.dumps`` accepts, for logs and traces."""
        return asdict(self)

    def __str__(self) -> str:
        """One line for people."""
        parts = [f"{self.method}: {_plural(self.calls, 'call')}, {self._tokens()}, {self.seconds:.2f} s"]
        if self.cost is not None:
            parts.append(f"cost {self.cost:.6g}")
        parts += [f"{_plural(self.retries, 'retry', 'retries')}"] * bool(self.retries)
        parts += [f"{_plural(self.cache_hits, 'answer')} from the cache"] * bool(self.cache_hits)
        if self.outputs:
            kinds: tuple[OutputKind, ...] = ("parsed", "repaired", "fell back")
            parts.append("outputs: " + ", ".join(f"{self.count(kind)} {kind}" for kind in kinds if self.count(kind)))
        parts += [f"ended early: {self.ended_early}"] * (self.ended_early is not None)
        parts += [f"failed: {self.failure}"] * (self.failure is not None)
        return "; ".join([*parts, *self.remarks])

    def _tokens(self) -> str:
        estimated = {"estimate": " (estimated)", "both": " (partly estimated)"}.get(self.counted_by, "")
        return f"{self.input_tokens:,} + {self.output_tokens:,} tokens{estimated}"


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
