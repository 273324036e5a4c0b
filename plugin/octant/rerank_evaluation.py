"""Do rerankers help on these queries? Each is compared with the first stage, on the same candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octant.collection import Collection
from octant.datasets import Qrels, TextDataset, read_dataset
from octant.embedders import embedder
from octant.errors import InputError
from octant.evaluate import embedded_dataset
from octant.quality import relevance_metrics
from octant.records import JSON, Ranking
from octant.report import aligned
from octant.rerank_report import RerankReport
from octant.reranking import reranker
from octant.search import Mode
from octant.statistics import Estimate, bootstrap_mean, paired_difference
from octant.work import progress_bar

if TYPE_CHECKING:
    from octant.rerankers.base import Reranker

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
    """

    dataset: str
    represent: str
    mode: str
    documents: int
    queries: int
    candidates: int
    rows: tuple[RerankRow, ...]

    def __getitem__(self, method: str) -> RerankRow:
        """Return the row of a method."""
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(f"{method!r} was not evaluated; these were: {', '.join(row.method for row in self.rows)}")

    def as_json(self) -> dict[str, JSON]:
        """The evaluation as ``json.dumps`` takes it."""
        named = ("dataset", "represent", "mode", "documents", "queries", "candidates")
        return {**{name: getattr(self, name) for name in named}, "rows": [row.as_json() for row in self.rows]}

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
        return "\n".join([title, *aligned([header, *lines]), *self.advice()])

    def __str__(self) -> str:
        return self.table()


def evaluate_rerankers(
    dataset: str | Path | TextDataset,
    rerankers: str | Reranker | Sequence[str | Reranker],
    embedding: object | None = None,
    *,
    represent: str = "turbo8",
    candidates: int = 100,
    k: int = 10,
    mode: Mode = "dense",
    split: str | None = None,
    queries: int | None = None,
    relevant: int = 1,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> RerankEvaluation:
    """Rerank the candidates of every query, and compare with the order that the search gave.

    The documents are stored in a temporary Edge collection. All methods get the same candidates.

    Parameters
    ----------
    dataset : str, Path or TextDataset
        With judgements, see :mod:`octant.datasets`.
    rerankers : str, Reranker or sequence of these
        Specs, or rerankers that are ready to run.
    embedding : object
        What :func:`octant.embedder` takes; not needed where ``mode`` is "sparse" and no reranker embeds.
    represent : str
        How the vectors of the first stage are stored.
    candidates : int
        What the search brings for each query.
    k : int
        Depth of the metrics.
    mode : {"dense", "sparse", "hybrid"}
        Of the search; sparse is BM25.
    split : str, optional
    queries : int, optional
        Take a drawn sample of so many; a reranker may cost money.
    relevant : int
        Lowest grade that MRR counts as relevant.
    seed : int
        Of the sample and the bootstrap.
    cache_dir : str or Path, optional
        Keep the embeddings of texts there for the next evaluation.
    progress : bool
        Show progress bars on standard error.
    **options
        What :func:`octant.reranker` takes beside the spec: ``llm``, ``prices``, ``max_calls``, …

    Raises
    ------
    InputError, SpecError
        If the dataset, a spec or an argument is impossible; nothing is embedded or asked then.
    RerankError
        Where ``on_failure`` is "raise" and a reranker cannot do its work.
    """
    if k < 1 or candidates < 2:
        raise InputError(f"k must be at least 1 and candidates at least 2, got {k} and {candidates}")
    if queries is not None and queries < 1:
        raise InputError(f"queries must be at least 1, got {queries}")
    model = embedder(embedding)
    specs: list[Any] = list(rerankers) if isinstance(rerankers, list | tuple) else [rerankers]
    methods: list[Reranker] = [
        reranker(spec, embedding=model, **options) if isinstance(spec, str) else spec for spec in specs
    ]
    data = _sampled(_texts(dataset, split), queries, seed)
    needs_vectors = any(stage.needs_vectors for method in methods for stage in method.stages)
    if mode == "sparse" and model is None and not needs_vectors:
        found = _found_by_words(data, candidates)
    else:
        found = _found(data, model, represent, candidates, mode, needs_vectors, cache_dir, progress)
    bench = _Bench(data, k, relevant, seed)
    baseline = bench.metrics([ranking.ids for ranking in found])
    rows = [bench.row(FIRST_STAGE, baseline, baseline)]
    rows += [_measured(bench, method, found, baseline, k, progress) for method in methods]
    rows.append(
        bench.row(BEST, bench.metrics([_ideal(data, row, ranking) for row, ranking in enumerate(found)]), baseline)
    )
    return RerankEvaluation(data.name, represent, mode, len(data.documents), len(data.queries), candidates, tuple(rows))


# -- candidates ------------------------------------------------------------------------------------


def _texts(dataset: str | Path | TextDataset, split: str | None) -> TextDataset:
    if not isinstance(dataset, str | Path) and split is not None:
        raise InputError(f"a split is chosen while reading a folder; {dataset.name!r} is already read")
    data = read_dataset(dataset, split=split) if isinstance(dataset, str | Path) else dataset
    if not isinstance(data, TextDataset) or not data.qrels:
        raise InputError(f"{data.name} has no texts with judgements, without which nobody knows a better order")
    return data


def _sampled(data: TextDataset, count: int | None, seed: int) -> TextDataset:
    if count is None or count >= len(data.queries):
        return data
    rows = np.sort(np.random.default_rng(seed).permutation(len(data.queries))[:count]).tolist()
    ids = tuple(data.query_ids[row] for row in rows)
    qrels: Qrels = {name: data.qrels[name] for name in ids}
    return replace(data, query_ids=ids, queries=tuple(data.queries[row] for row in rows), qrels=qrels)


def _found(
    data: TextDataset,
    model: Any,
    represent: str,
    count: int,
    mode: Mode,
    with_vectors: bool,
    cache_dir: str | Path | None,
    progress: bool,
) -> list[Ranking]:
    """Candidates of every query; documents are known by their rows."""
    vectors = embedded_dataset(data, model, cache_dir, progress)
    sparse = None if mode == "dense" else "bm25"
    with Collection.create("evaluation", embedding=model, represent=represent, sparse=sparse) as collection:
        collection.add(data.documents, vectors=vectors.documents, ids=range(len(data.documents)), optimize=True)
        found = []
        for row, text in enumerate(data.queries):
            asked = vectors.queries[row] if mode == "dense" else text
            ranking = collection.search(asked, k=count, mode=mode, with_vectors=with_vectors)
            found.append(replace(ranking, query=text))
        return found


def _found_by_words(data: TextDataset, count: int) -> list[Ranking]:
    """The same by BM25 alone, which needs no embedding model."""
    with Collection.create("evaluation", dimension=0, sparse="bm25") as collection:
        collection.add(data.documents, ids=range(len(data.documents)), optimize=True)
        return [replace(collection.search(text, k=count, mode="sparse"), query=text) for text in data.queries]


def _ideal(data: TextDataset, row: int, ranking: Ranking) -> list[int]:
    """The candidates by their grades."""
    grades = data.qrels[data.query_ids[row]]
    return sorted((int(point) for point in ranking.ids), key=lambda point: -grades.get(data.document_ids[point], 0))


# -- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Bench:
    """What stays the same from one method to the next."""

    data: TextDataset
    k: int
    relevant: int
    seed: int

    def metrics(self, orders: Sequence[Sequence[int | str]]) -> dict[str, NDArray[np.float64]]:
        rows = [[int(point) for point in order] for order in orders]
        ndcg, mrr = relevance_metrics(
            rows, self.data.query_ids, self.data.document_ids, self.data.qrels, k=self.k, relevant=self.relevant
        )
        return {f"ndcg@{self.k}": ndcg, f"mrr@{self.k}": mrr}

    def row(
        self,
        method: str,
        values: Mapping[str, NDArray[np.float64]],
        baseline: Mapping[str, NDArray[np.float64]],
        **costs: Any,
    ) -> RerankRow:
        return RerankRow(
            method,
            {name: bootstrap_mean(sample, seed=self.seed) for name, sample in values.items()},
            {name: paired_difference(sample, baseline[name], seed=self.seed) for name, sample in values.items()},
            **costs,
        )


def _measured(
    bench: _Bench,
    method: Reranker,
    found: Sequence[Ranking],
    baseline: Mapping[str, NDArray[np.float64]],
    k: int,
    progress: bool,
) -> RerankRow:
    orders: list[Sequence[int | str]] = []
    reports: list[RerankReport] = []
    seconds: list[float] = []
    with progress_bar(len(found), title=repr(method), unit="query", show=progress) as advance:
        for ranking in found:
            begun = time.perf_counter()
            done = method.rerank(ranking.query or "", ranking, k)
            seconds.append(time.perf_counter() - begun)
            orders.append(done.ids)
            reports.append(done.report or RerankReport(repr(method)))
            if advance is not None:
                advance(1)
    return bench.row(repr(method), bench.metrics(orders), baseline, **_costs(reports, seconds))


def _costs(reports: Sequence[RerankReport], seconds: Sequence[float]) -> dict[str, Any]:
    def mean(of: Callable[[RerankReport], float]) -> float:
        return sum(map(of, reports)) / len(reports)

    why = [report.failure for report in reports if report.failure is not None]
    priced = all(report.cost is not None for report in reports)
    return {
        "calls": mean(lambda report: report.calls),
        "input_tokens": mean(lambda report: report.input_tokens),
        "output_tokens": mean(lambda report: report.output_tokens),
        "cost": mean(lambda report: report.cost or 0.0) if priced else None,
        "milliseconds": 1000 * median(seconds),
        "failures": {reason: why.count(reason) for reason in dict.fromkeys(why)},
        "fell_back": sum(report.count("fell back") for report in reports),
    }


# -- telling ---------------------------------------------------------------------------------------


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
