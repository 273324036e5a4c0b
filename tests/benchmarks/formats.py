"""What does each format cost? Every built-in spec, on real vectors, with the paper's artefacts beside them.

Two tables for each dataset. The first is :func:`octant.evaluate`: every spec built on Edge, HNSW forced, so that all
are searched the same way; it counts all bytes. The second compares formats alone, every document scored: Octant's
codecs and the controls of :mod:`controls`, at the bytes of their codes.

Datasets: ``vectors-beir-queries`` (10,747 BGE-base vectors of 768 dimensions, a tenth of them held out as queries; no
labels) and ``msmarco-trec-dl-v1`` (27,274 passages and 97 judged queries, embedded with all-MiniLM-L6-v2).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import controls
import numpy as np
from harness import Bar, data_folder, finish, parser, table

from octant import HnswSettings, evaluate, quantizer
from octant.datasets import VectorDataset, hold_out, read_dataset
from octant.embedders import embedder
from octant.embedding_cache import embed
from octant.quality import ExactSearch, PerQuery, per_query
from octant.records import Distance
from octant.report import Report, Row, differences, estimates
from octant.statistics import Estimate
from octant.vectors import unit_rows

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
GRAPH = HnswSettings(full_scan_threshold=10, indexing_threshold=10)
"""A graph for every representation, however small its vectors are."""
K = 10
RELEVANT = 2
"""TREC's lowest grade that counts for binary measures of the Deep Learning track."""
CALIBRATION = 1000
"""Passages of another corpus that the paper's int8 takes its ranges from."""
NAIVE = "paper's int8, ranges of another corpus"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--dataset", choices=(*DATASETS, "all"), default="all")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--represent", action="append", help="only these specs on Edge")
    chosen = options.parse_args()
    texts, results, bars = [], [], []
    for name in DATASETS if chosen.dataset == "all" else [chosen.dataset]:
        data, other = DATASETS[name](chosen.cache)
        dimension = data.documents.shape[1]
        report = evaluate(data, chosen.represent or specs(dimension), k=K, hnsw=GRAPH, relevant=RELEVANT, progress=True)
        alone = list(formats_alone(data, other))
        texts += [str(report), "", alone_table(data.name, alone), ""]
        results.append({**report.as_json(), "formats_alone": [row.as_json() for row in alone]})
        bars += expectations(report, alone) if data.qrels else []
    finish("formats", "\n".join(texts), {"datasets": results}, bars)


def specs(dimension: int) -> list[str]:
    """Every built-in quantizer by itself, and what the paper and the design combine.

    Product quantization is what takes long: Qdrant needs minutes to build each of its ratios.
    """
    half = dimension // 2
    return [
        "float16", "turbo16", "turbo8", "turbo4", "uint8",
        "float8(e4m3)", "float8(e5m2)", "int8", "int4",
        "transform(2)", "transform(3.5)", "transform(5)",
        "scalar", *(f"product(x{ratio})" for ratio in (4, 8, 16, 32, 64)),
        *(f"bq({bits})" for bits in ("1", "1.5", "2")), *(f"turbo({bits})" for bits in ("1", "1.5", "2", "4", "8")),
        *(f"{reducer}({half})" for reducer in ("pca", "truncate", "random_projection", "whiten")),
        *(f"pca({half})|{coder}" for coder in ("turbo8", "turbo4", "float8", "int8", "int4")),
        "turbo4|turbo(1)", "coarse=turbo4|turbo(1); fine=float8", f"coarse=pca({half})|turbo4; fine=turbo8",
    ]  # fmt: skip


# -- data -------------------------------------------------------------------------------------------


def beir_queries(cache: Path) -> tuple[VectorDataset, None]:
    """All twenty sets as one: the neighbours of a query among other queries."""
    del cache
    ids, blocks = [], []
    for path in sorted(data_folder("vectors-beir-queries").glob("*.npz")):
        with np.load(path) as archive:
            ids += [f"{path.name.split('.')[0]}/{one}" for one in archive["ids"]]
            blocks.append(archive["vectors"])
    return hold_out("vectors-beir-queries", ids, np.concatenate(blocks)), None


def trec_dl(cache: Path) -> tuple[VectorDataset, np.ndarray]:
    """Passages and queries, and passages of another corpus for the paper's way to calibrate int8."""
    model = embedder(MODEL)
    data, other = read_dataset(data_folder("msmarco-trec-dl-v1")), read_dataset(data_folder("squad-v1.1-dev"))
    vectors = VectorDataset(
        data.name,
        data.document_ids, embed(model, "documents", data.documents, folder=cache),
        data.query_ids, embed(model, "queries", data.queries, folder=cache),
        data.qrels,
    )  # fmt: skip
    return vectors, embed(model, "documents", other.documents[:CALIBRATION], folder=cache)


DATASETS = {"vectors-beir-queries": beir_queries, "msmarco-trec-dl-v1": trec_dl}

# -- formats without an engine ------------------------------------------------------------------------


@dataclass(frozen=True)
class Alone:
    """A format by itself: the bytes of its codes, and its metrics over all queries."""

    name: str
    bytes_per_vector: float
    metrics: Mapping[str, Estimate | None]
    differences: Mapping[str, Estimate | None]

    def as_json(self) -> dict:
        return {
            "format": self.name,
            "bytes_per_vector": self.bytes_per_vector,
            **as_json(self.metrics),
            "difference_to_float32": as_json(self.differences),
        }


def as_json(named: Mapping[str, Estimate | None]) -> dict:
    return {name: None if one is None else one.as_json() for name, one in named.items()}


def formats_alone(data: VectorDataset, other: np.ndarray | None) -> Iterator[Alone]:
    documents, queries = unit_rows(data.documents), unit_rows(data.queries)
    exact = ExactSearch(documents, queries, 10 * K, Distance.COSINE)
    baseline: PerQuery = {}
    for name, scores, size in scored(documents, queries, other):
        order = np.argsort(-scores, axis=1, kind="stable")[:, : 10 * K]
        values = per_query({depth: order[:, :depth] for depth in (K, 10 * K)}, data, exact, relevant=RELEVANT)
        baseline = baseline or values
        yield Alone(name, size, estimates(values), differences(values, baseline))


Scored: TypeAlias = tuple[str, np.ndarray, float]


def scored(documents: np.ndarray, queries: np.ndarray, other: np.ndarray | None) -> Iterator[Scored]:
    """Name, scores (m, n) and bytes a vector of every format; float32 first."""
    half = documents.shape[1] // 2
    coders = ("float32", "float8(e4m3)", "float8(e5m2)", "int8", "int4")
    for spec in (*coders, *(f"pca({half})|{coder}" for coder in coders)):
        codec = quantizer(spec).fit(documents)
        codes = codec.encode(documents)
        yield spec, codec.score(queries, codes), codes.nbytes / len(codes)
    yield from paper(documents, queries, other)
    # The paper's combinations, on the same principal components.
    pca = quantizer(f"pca({half})").fit(documents)
    project = pca.encode
    reduced = paper(project(documents), project(queries), None if other is None else project(other))
    yield from ((f"pca({half}), {name}", *rest) for name, *rest in reduced)


def paper(documents: np.ndarray, queries: np.ndarray, other: np.ndarray | None) -> Iterator[Scored]:
    """The controls."""
    yield "paper's fp8, cast", *controls.fp8_cast(documents, queries)
    if other is not None:
        yield NAIVE, *controls.int8_raw(documents, queries, other)
        yield "the same, clipped", *controls.int8_raw(documents, queries, other, clip=True)
    yield "paper's int8, own ranges", *controls.int8_raw(documents, queries)
    yield "paper's fp4, cast", *controls.fp4_cast(documents, queries)
    yield "paper's binary, 0/1", *controls.binary_zero_one(documents, queries)


def alone_table(title: str, rows: Sequence[Alone]) -> str:
    full = rows[0].bytes_per_vector
    lines = [
        [
            row.name,
            f"{row.bytes_per_vector:.0f}",
            f"{full / row.bytes_per_vector:.1f}x",
            *map(cell, row.metrics.values()),
        ]
        for row in rows
    ]
    header = ["format alone, all documents scored", "B/vec", "smaller", *rows[0].metrics]
    return f"{title}\n" + table(header, lines)


def cell(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.value:.4f} [{one.low:.3f}, {one.high:.3f}]"


# -- what the paper leads one to expect ---------------------------------------------------------------


def expectations(report: Report, rows: Sequence[Alone]) -> list[Bar]:
    metric, half = f"ndcg@{K}", report.dimension // 2
    alone = {row.name: row for row in rows}
    checks = [within(f"{report.dataset}: float8 alone", alone["float8(e4m3)"], rows[0], metric)]
    on_edge = {row.represent: row for row in report.rows}
    if "float8(e4m3)" in on_edge:
        checks.append(within(f"{report.dataset}: float8 on Edge", on_edge["float8(e4m3)"], report["float32"], metric))
    if NAIVE in alone:
        ours, theirs = alone[f"pca({half})|float8(e4m3)"].metrics[metric], alone[NAIVE].metrics[metric]
        promise = f"{report.dataset}: pca({half})|float8 at 8x has a better {metric} than the paper's int8 at 4x"
        checks.append(Bar(promise, f"{ours.value:.4f} against {theirs.value:.4f}", ours.value > theirs.value))
    return checks


def within(what: str, ours: Alone | Row, reference: Alone | Row, metric: str) -> Bar:
    full, change = reference.metrics[metric].value, ours.differences[metric]
    measured = f"{change.value / full:+.2%} [{change.low / full:+.2%}, {change.high / full:+.2%}]"
    return Bar(f"{what} loses at most 0.3 % of float32's {metric}", measured, change.value >= -0.003 * full)


if __name__ == "__main__":
    main()
