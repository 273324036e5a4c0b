"""What an evaluation of rerankers found: a row a method, as records, as JSON, as a table, and in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octant.records import JSON
from octant.report import aligned
from octant.statistics import Estimate

FIRST_STAGE = "first stage"
BEST = "best order of the candidates"


@dataclass(frozen=True)
class RerankRow:
    """One method, measured.

    Attributes
    ----------
    method : str
        Spec of the reranker, ``"first stage"``, or the best order that the candidates allow.
    metrics : mapping
        ``"ndcg@10"`` and ``"mrr@10"`` (with ``k`` in place of 10) to the mean over queries and its 95 % bootstrap
        interval; higher is better.
    differences : mapping
        The same names to the mean of this row minus the first stage, query by query, with its paired interval.
    calls, input_tokens, output_tokens : float
        Of a language model, a query.
    cost : float or None
        A query; None without prices.
    milliseconds : float
        Median wall time of one reranking.
    failures : mapping of str to int
        Why queries kept the first-stage order, and how many did.
    fell_back : int
        Outputs of a language model that could not be used.
    """

    method: str
    metrics: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    calls: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost: float | None = None
    milliseconds: float = 0.0
    failures: Mapping[str, int] = field(default_factory=dict)
    fell_back: int = 0

    @property
    def verdict(self) -> str:
        """In words, by the first metric's paired interval: better, worse, or no difference that can be seen."""
        one = next(iter(self.differences.values()))
        return "better" if one.low > 0 else "worse" if one.high < 0 else "no difference seen"

    def as_json(self) -> dict[str, JSON]:
        """Return the row as ``json.dumps`` takes it."""
        named = {name: getattr(self, name) for name in ("calls", "input_tokens", "output_tokens", "cost")}
        return {
            "method": self.method,
            "metrics": {name: one.as_json() for name, one in self.metrics.items()},
            "difference_to_first_stage": {name: one.as_json() for name, one in self.differences.items()},
            "verdict": self.verdict,
            **{f"{name}_per_query": value for name, value in named.items()},
            "milliseconds_per_query": self.milliseconds,
            "failures": dict(self.failures),
            "fell_back": self.fell_back,
        }


@dataclass(frozen=True)
class RerankEvaluation:
    """All methods of one evaluation: the first stage, each reranker, and the best order that was possible.

    Attributes
    ----------
    dataset, represent, mode : str
    documents, queries, candidates : int
        ``candidates``: how many each query brought.
    rows : tuple of RerankRow
    notes : tuple of str
        What else is to be known of a method, such as that it would not act everywhere as it did here.
    """

    dataset: str
    represent: str
    mode: str
    documents: int
    queries: int
    candidates: int
    rows: tuple[RerankRow, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, method: str) -> RerankRow:
        """Return the row of a method."""
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(f"{method!r} was not evaluated; these were: {', '.join(row.method for row in self.rows)}")

    def as_json(self) -> dict[str, JSON]:
        """The evaluation as ``json.dumps`` takes it."""
        named = ("dataset", "represent", "mode", "documents", "queries", "candidates")
        return {
            **{name: getattr(self, name) for name in named},
            "rows": [row.as_json() for row in self.rows],
            "notes": list(self.notes),
        }

    def advice(self) -> list[str]:
        """One plain sentence about each reranker."""
        return [_sentence(row, self.queries) for row in self.rows[1:-1]]

    def table(self) -> str:
        """Lines of text: a title, a line a method, and what to make of it."""
        title = (
            f"{self.dataset}: {self.documents} documents in {self.represent}, {self.queries} queries, "
            f"{self.candidates} candidates of a {self.mode} search"
        )
        metrics = list(self.rows[0].metrics)
        header = ["method", *metrics, f"{metrics[0]} - first stage", "calls", "tokens", "cost", "ms"]
        lines = [_cells(row, metrics[0]) for row in self.rows]
        return "\n".join([title, *aligned([header, *lines]), *self.advice(), *self.notes])

    def __str__(self) -> str:
        return self.table()


def _cells(row: RerankRow, metric: str) -> list[str]:
    scores = [f"{one.value:.4f} [{one.low:.3f}, {one.high:.3f}]" for one in row.metrics.values()]
    change = row.differences[metric]
    named = row.method not in (FIRST_STAGE, BEST)
    return [
        row.method, *scores,
        f"{change.value:+.4f} [{change.low:+.3f}, {change.high:+.3f}]" if row.method != FIRST_STAGE else "-",
        f"{row.calls:.1f}" if named else "-",
        f"{row.input_tokens + row.output_tokens:.0f}" if named else "-",
        f"{row.cost:.3g}" if row.cost is not None else "-",
        f"{row.milliseconds:.1f}" if named else "-",
    ]  # fmt: skip


def _sentence(row: RerankRow, queries: int) -> str:
    metric, change = next(iter(row.differences.items()))
    by = f"{metric} {change.value:+.4f}, interval {change.low:+.4f} to {change.high:+.4f}"
    said = {
        "better": f"{row.method} helps on these queries ({by}).",
        "worse": f"{row.method} does not help: it makes the order worse on these queries ({by}).",
        "no difference seen": f"{row.method} does not help as far as these {queries} queries can tell ({by}).",
    }[row.verdict]
    failed = sum(row.failures.values())
    if failed:
        said += (
            f" {failed} of {queries} queries kept the first-stage order; the first reason: {next(iter(row.failures))}."
        )
    return f"{said} {row.fell_back} outputs could not be used." if row.fell_back else said
