"""Do rerankers help on these queries? Each is compared with the first stage, on the same candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octant.collection import Collection
from octant.datasets import Qrels, TextDataset, read_dataset
from octant.embedders import Embedder, embedder
from octant.errors import InputError
from octant.evaluate import embedded_dataset
from octant.quality import relevance_metrics
from octant.records import Distance, Ranking
from octant.rerank_report import RerankReport
from octant.rerank_table import BEST, FIRST_STAGE, RerankEvaluation, RerankRow
from octant.reranking import reranker
from octant.search import Mode
from octant.statistics import bootstrap_mean, paired_difference
from octant.work import progress_bar

if TYPE_CHECKING:
    from octant.rerankers.base import Reranker
    from octant.rerankers.trained import TrainedReranker
    from octant.trained import TrainedPart


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
    trained: Any = (),
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
    trained : part, path of its file, or sequence of these
        What rerankers that are trained have learned. It acts here, whether or not it was shown to help anywhere: that
        is what is measured.
    cache_dir : str or Path, optional
        Keep the embeddings of texts there for the next evaluation.
    progress : bool
        Show progress bars on standard error.
    **options
        What :func:`octant.reranker` takes beside the spec: ``llm``, ``prices``, ``max_calls``, …

    Raises
    ------
    InputError, SpecError
        If the dataset, a spec or an argument is impossible, or a trained reranker lacks what it learned; nothing is
        embedded or asked then.
    MismatchError, ArtifactError
        If what was learned belongs to another embedding or another kind of search, or its file cannot be read.
    RerankError
        Where ``on_failure`` is "raise" and a reranker cannot do its work.
    """
    if k < 1 or candidates < 2:
        raise InputError(f"k must be at least 1 and candidates at least 2, got {k} and {candidates}")
    if queries is not None and queries < 1:
        raise InputError(f"queries must be at least 1, got {queries}")
    model = embedder(embedding)
    specs: list[Any] = list(rerankers) if isinstance(rerankers, list | tuple) else [rerankers]
    methods, notes = _methods(specs, model, mode, trained, options)
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
    counts = len(data.documents), len(data.queries), candidates
    return RerankEvaluation(data.name, represent, mode, *counts, tuple(rows), notes)


# -- methods ---------------------------------------------------------------------------------------


def _methods(
    specs: Sequence[str | Reranker], model: Embedder | None, mode: Mode, trained: Any, options: Mapping[str, Any]
) -> tuple[list[Reranker], tuple[str, ...]]:
    """The rerankers, ready to run, and what to say of those that are trained."""
    from octant.rerankers.trained import part_at  # heavy, and not needed by those who import this room for its records

    given = trained if isinstance(trained, list | tuple) else (trained,)
    parts = [part_at(one) if isinstance(one, str | Path) else one for one in given]
    used: list[TrainedPart] = []
    methods = [
        _trained_method(spec, model, mode, parts, used, options) if isinstance(spec, str) else spec for spec in specs
    ]
    idle = [part.spec for part in parts if not any(part is one for one in used)]
    if idle:
        raise InputError(f"what was trained for {idle[0]!r} belongs to none of the rerankers: evaluate {idle[0]!r} too")
    notes = tuple(
        f"{part.spec} acts here because it is measured. In a collection it acts once octant train {part.spec!r} "
        "--adopt has shown on judged questions that it helps there."
        for part in used
    )
    return methods, notes


def _trained_method(
    spec: str,
    model: Embedder | None,
    mode: Mode,
    parts: Sequence[TrainedPart],
    used: list[TrainedPart],
    options: Mapping[str, Any],
) -> Reranker:
    """One reranker; the ``parts`` that its stages have learned are added to ``used``."""
    from octant.rerankers.assemble import assembled
    from octant.rerankers.e2rank import E2Rank
    from octant.rerankers.shelf import Shelf
    from octant.rerankers.trained import TrainedReranker

    built = assembled(spec)
    mine = [_part_of(stage, parts) for stage in built.stages if isinstance(stage, TrainedReranker)]
    # e2rank names the folder of its model itself.
    folders = [stage.record for stage in built.stages if isinstance(stage, E2Rank) and stage.use.weight > 0]
    searched = f"{mode} {Distance.COSINE.value.lower()}" if mode == "dense" else mode
    for part in (*mine, *filter(None, folders)):
        part.check_adoption(None if model is None else model.identity, "evaluation", searched)
        if not any(part is one for one in used):
            used.append(part)
    made = reranker(built, embedding=model, trained=mine or None, **options)
    return made.using(replace(made.settings, shelf=Shelf(mine, measured=True)))


def _part_of(stage: TrainedReranker, parts: Sequence[TrainedPart]) -> TrainedPart:
    for part in parts:
        if isinstance(part, stage.part) and part.spec == repr(stage):
            return part
    had = f"; given was what was trained for {', '.join(repr(part.spec) for part in parts)}" if parts else ""
    raise InputError(
        f"{stage!r} has to be trained first, and the collection of an evaluation has nothing attached{had}: pass "
        f"trained= (--trained FILE), the file that octant train {repr(stage)!r} --out FILE writes"
    )


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
