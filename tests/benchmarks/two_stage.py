"""What do two stages cost, next to Qdrant's own quantization with rescoring? Recall, bytes, reads and time.

Every representation is built on Edge, HNSW forced, and learns from one half of the documents; real queries are seen by
nothing before they are counted. A two-stage search reads as many candidates as its measured coverage curve asks for.
Native configurations are rescored at the smallest oversampling that reaches the same target on documents as queries.

Recall is against exact float32 search, with 95 % bootstrap intervals. RAM is told in two ways: all that is held (codes,
graph, ids) and the codes alone. Disk is every file. ``query x`` is time over float32's on the same engine.

``--law`` checks what the curves rest on instead: coverage reached in collections of 3,000 to all documents, by curves
measured on 2,500 documents, for other documents as queries.

Datasets: as for ``formats.py``.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from formats import DATASETS
from harness import Bar, finish, parser, table

from octant import Collection, HnswSettings, SearchKnobs
from octant.datasets import VectorDataset
from octant.evaluate import Protocol, query_ratio
from octant.oversampling import TARGETS
from octant.quality import ExactSearch
from octant.records import Distance
from octant.statistics import Estimate, bootstrap_mean
from octant.vectors import unit_rows

K, DEEP = 10, 100
ENOUGH = 0.98
"""Recall@10 from which a configuration counts for the bar."""
TARGET = 0.99
"""What oversampling of native configurations is tuned to, and what the default coverage of two stages is."""
OVERSAMPLINGS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
TUNING = 300
NATIVE = ("turbo(1)", "turbo(2)", "bq(1)", "scalar")


def specs(dimension: int, few: bool) -> list[str]:
    """Coarse stages times fine ones; only what takes part in the bar if ``few``."""
    half, third = dimension // 2, dimension // 3
    coarse = [f"binary({third})", f"binary({half})", f"binary({dimension})", f"pca({half})|turbo4", "turbo4|turbo(1)"]
    fine = ["turbo8"] if few else ["turbo8", "turbo4", f"pca({2 * third})|turbo8", "float8", "int4"]
    return [f"coarse={first}; fine={second}" for first in coarse for second in fine]


@dataclass(frozen=True, eq=False)
class Data:
    """Unit vectors: all ``documents``, the half that is learned from, ``tuning`` queries out of it, real queries."""

    name: str
    documents: np.ndarray
    learn: np.ndarray
    tuning: np.ndarray
    queries: np.ndarray
    exact: ExactSearch

    @classmethod
    def of(cls, data: VectorDataset) -> Data:
        documents, queries = unit_rows(data.documents), unit_rows(data.queries)
        order = np.random.default_rng(0).permutation(len(documents))
        learn = documents[order[: len(order) // 2]]
        exact = ExactSearch(documents, queries, DEEP, Distance.COSINE)
        return cls(data.name, documents, learn, learn[:TUNING], queries, exact)


@dataclass(frozen=True, eq=False)
class Result:
    """One configuration; bytes are per vector."""

    represent: str
    m: int
    reads: float
    recall: Estimate
    deep: Estimate
    ram: float
    codes: float
    disk: float
    query_ratio: float
    native: bool
    components: dict[str, float]

    def cells(self) -> list[str]:
        recalls = [f"{one.value:.4f} [{one.low:.3f}, {one.high:.3f}]" for one in (self.recall, self.deep)]
        numbers = (self.reads, self.ram, self.codes, self.disk)
        shown = [f"{number:.0f}" for number in numbers]
        return [self.represent, str(self.m), shown[0], *recalls, *shown[1:], f"{self.query_ratio:.2f}"]

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "recall": self.recall.as_json(), "deep": self.deep.as_json()}


HEADER = ["representation", "m", "reads", f"recall@{K}", f"recall@{DEEP}", "RAM B", "codes B", "disk B", "query x"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--dataset", choices=(*DATASETS, "all"), default="all")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--represent", action="append", help="only these two-stage specs")
    options.add_argument("--few", action="store_true", help="only turbo8 as the fine stage")
    options.add_argument("--m", type=int, action="append", help="edges of the graph; 0 scans. Default: 16 and 0")
    options.add_argument("--law", action="store_true", help="check the law that curves are read by, and nothing else")
    chosen = options.parse_args()
    texts, results, bars = [], [], []
    for name in DATASETS if chosen.dataset == "all" else [chosen.dataset]:
        vectors, _ = DATASETS[name](chosen.cache)
        data = Data.of(vectors)
        if chosen.law:
            lines, promise = law(data)
            header = ["representation", "points", "k", *(f"{target:g}" for target in TARGETS)]
            texts += [name, table(header, lines), ""]
            results.append({"dataset": name, "law": lines})
            bars.append(promise)
            continue
        ours = chosen.represent or specs(data.documents.shape[1], chosen.few)
        rows = list(measured(data, ours, chosen.m or [16, 0]))
        texts += [name, table(HEADER, [row.cells() for row in rows]), ""]
        results.append({"dataset": name, "rows": [row.as_json() for row in rows]})
        bars += promises(name, rows)
    finish("two_stage_law" if chosen.law else "two_stage", "\n".join(texts), {"datasets": results}, bars)


# -- configurations ---------------------------------------------------------------------------------


def measured(data: Data, ours: list[str], edges: list[int]) -> Iterator[Result]:
    for m in edges:
        with built(data, "float32", m) as reference:
            yield result(data, "float32", m, reference, reference, SearchKnobs(), native=True)
            for spec in (*NATIVE, *ours):
                with built(data, spec, m) as collection:
                    native = spec in NATIVE
                    knobs = SearchKnobs(oversampling=tuned(data, collection, reference)) if native else SearchKnobs()
                    row = result(data, spec, m, collection, reference, knobs, native=native)
                print(*row.cells(), flush=True)
                yield row


@contextmanager
def built(data: Data, spec: str, m: int) -> Iterator[Collection]:
    graph = HnswSettings(m=m, full_scan_threshold=10, indexing_threshold=10)
    with Collection.create("two-stage", represent=spec, hnsw=graph) as collection:
        if collection.representation.learns:
            collection.fit(data.learn)
        collection.add(vectors=data.documents, ids=range(len(data.documents)), optimize=True)
        yield collection
    gc.collect()


def tuned(data: Data, collection: Collection, reference: Collection) -> float:
    """The smallest oversampling that finds ``TARGET`` of what float32 finds for documents."""
    true = [set(collection_ids(reference, query, K, SearchKnobs(exact=True))) for query in data.tuning]
    for oversampling in OVERSAMPLINGS:
        knobs = SearchKnobs(oversampling=oversampling)
        found = [set(collection_ids(collection, query, K, knobs)) for query in data.tuning]
        if np.mean([len(a & b) / K for a, b in zip(found, true, strict=True)]) >= TARGET:
            return oversampling
    return OVERSAMPLINGS[-1]


def collection_ids(collection: Collection, query: np.ndarray, k: int, knobs: SearchKnobs) -> list[int]:
    return [int(one) for one in collection.search(query, k=k, knobs=knobs).ids]


def result(
    data: Data, spec: str, m: int, collection: Collection, reference: Collection, knobs: SearchKnobs, *, native: bool
) -> Result:
    recalls = []
    for depth in (K, DEEP):
        found = [collection_ids(collection, query, depth, knobs) for query in data.queries]
        recalls.append(bootstrap_mean(data.exact.recall(found, depth)))
    footprint = collection.footprint()
    components: dict[str, float] = {}
    for part in footprint.components:
        components[part.name] = components.get(part.name, 0.0) + footprint.per_vector(part.bytes)
    info = collection.info()
    protocol = Protocol(K, Distance.COSINE, None, knobs, 1, 5, 0)
    return Result(
        spec, m, info.candidates or K * (knobs.oversampling or 1.0), recalls[0], recalls[1],
        footprint.per_vector(footprint.ram_bytes), components["searched codes"],
        footprint.per_vector(footprint.disk_bytes),
        query_ratio(collection, reference, data.queries, protocol), native, components,
    )  # fmt: skip


# -- what was promised ------------------------------------------------------------------------------


def promises(name: str, rows: list[Result]) -> list[Bar]:
    """RAM and disk of the leanest two stages that reach ``ENOUGH`` against the leanest native that does."""
    bars = []
    for m in sorted({row.m for row in rows}, reverse=True):
        good = [row for row in rows if row.m == m and row.recall.value >= ENOUGH]
        native, ours = [row for row in good if row.native], [row for row in good if not row.native]
        where = f"{name}, m {m}"
        if not native or not ours:
            bars.append(Bar(f"{where}: two stages reach recall@{K} {ENOUGH}", "none does", kept=False))
            continue
        for what, size in (("RAM, everything counted", "ram"), ("RAM of codes", "codes"), ("disk", "disk")):
            best = min(native, key=lambda row: row.codes if size == "codes" else row.ram)
            mine = min(ours, key=lambda row, size=size: getattr(row, size))
            ratio = getattr(mine, size) / getattr(best, size)
            told = (
                f"{getattr(mine, size):.1f} ({mine.represent}, {mine.recall.value:.4f}) against "
                f"{getattr(best, size):.1f} ({best.represent}, {best.recall.value:.4f}): {ratio:.2f}"
            )
            promise = f"{where}: {what} of two stages at recall@{K} >= {ENOUGH} is at most half of native"
            bars.append(Bar(promise, told, ratio <= 0.5))
    return bars


# -- the law ----------------------------------------------------------------------------------------


def law(data: Data) -> tuple[list[list[object]], Bar]:
    """Coverage reached by curves that were measured on 2,500 documents, and whether it stays near what was asked."""
    from octant.coverage import measure
    from octant.representation import Representation

    lines: list[list[object]] = []
    off = []
    order = np.random.default_rng(1).permutation(len(data.documents))
    dimension = data.documents.shape[1]
    learned, small, asked, rest = (data.documents[part] for part in np.split(order, [4000, 6500, 7000]))
    for bits in (dimension // 2, dimension):
        spec = f"coarse=binary({bits}); fine=float8"
        representation = Representation.parse(spec).fit(learned)
        curve = measure(representation, small, Distance.COSINE, held_out=True)
        coarse_codes, fine_codes = representation.encode(rest)
        order_of = np.argsort(-(asked @ representation.decode(coarse_codes, "coarse").T), axis=1)
        scores = representation.score(asked, fine_codes)
        for points in (3_000, 9_000, len(rest)):
            for k in (1, 10, 100):
                cells = []
                for target in TARGETS:
                    reads = curve.candidates(k, points, target)
                    reached = covered(order_of, scores, points, k, reads)
                    off.append(reached - target)
                    cells.append(f"{reached:.4f} ({reads})")
                lines.append([spec, points, k, *cells])
    promise = f"{data.name}: coverage is at most .01 below what was asked, 3,000 to {len(rest):,} points"
    return lines, Bar(promise, f"{min(off):+.4f} to {max(off):+.4f}, mean {np.mean(off):+.4f}", min(off) >= -0.01)


def covered(order_of: np.ndarray, scores: np.ndarray, points: int, k: int, reads: int) -> float:
    """Share of the fine stage's first ``k`` among the first ``reads`` coarse ones, of the first ``points`` points."""
    hits = []
    for ranked, fine in zip(order_of, scores[:, :points], strict=True):
        true = np.argpartition(-fine, k - 1)[:k]
        hits.append(np.isin(true, ranked[ranked < points][:reads]).mean())
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
