"""What do learned binary codes buy over Qdrant's own? Recall at measured RAM, and the error against theory.

Every representation learns from one half of the documents, stores all of them on Edge, HNSW forced, and answers real
queries without rescoring: ``binary`` at half a bit, one and two bits a dimension, next to TurboQuant at one and two,
and to the trivial control, signs of principal directions under a random rotation, every document scored. Recall is
against exact float32 search. Of ``binary`` the table also gives the recall of scanning all documents, the squared error
on the half it did not learn from over the vectors' variance, the least error that any code of that rate could have if
the vectors were Gaussian (reverse water-filling), and the time to encode all documents over the time Edge takes to
index them as float32.

Datasets: as for ``formats.py``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from formats import DATASETS
from harness import Bar, finish, parser, table

import octant
from octant import HnswSettings, SearchKnobs
from octant.datasets import VectorDataset
from octant.statistics import Estimate, paired_difference
from octant.vectors import unit_rows

GRAPH = HnswSettings(full_scan_threshold=10, indexing_threshold=10)
KNOBS = SearchKnobs(hnsw_ef=256, rescore=False)
K = 10
WORD = 16
"""Bytes of the words in which Qdrant keeps one-bit codes."""


@dataclass(frozen=True, eq=False)
class Halves:
    """Documents (n, dim) and queries (m, dim) at unit length; ``learn`` and ``rest`` are halves of the documents."""

    name: str
    documents: np.ndarray
    queries: np.ndarray
    learn: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, data: VectorDataset) -> Halves:
        documents, queries = unit_rows(data.documents), unit_rows(data.queries)
        order = np.random.default_rng(0).permutation(len(documents))
        half = len(order) // 2
        return cls(data.name, documents, queries, documents[order[:half]], documents[order[half:]])

    @property
    def dimension(self) -> int:
        return self.documents.shape[1]

    def best(self) -> np.ndarray:
        """Indices (m, K) of the true neighbours."""
        return best(self.queries @ self.documents.T)


@dataclass(frozen=True, eq=False)
class Result:
    """One representation on one dataset; ``found`` is recall per query (m,)."""

    represent: str
    found: np.ndarray
    code_bytes: float
    ram_bytes: float | None = None
    scanned: float | None = None
    error: float | None = None
    bound: float | None = None
    fit_seconds: float | None = None
    encode_ratio: float | None = None

    @property
    def recall(self) -> float:
        return float(self.found.mean())

    def as_json(self) -> dict[str, object]:
        values = {name: value for name, value in vars(self).items() if name != "found"}
        return {**values, f"recall@{K}": self.recall}

    def cells(self) -> list[str]:
        shown = [(self.code_bytes, ".1f"), (self.ram_bytes, ".1f"), (self.recall, ".3f"), (self.scanned, ".3f")]
        shown += [(self.error, ".4f"), (self.bound, ".4f"), (self.encode_ratio, ".2f")]
        return [self.represent, *("-" if value is None else format(value, how) for value, how in shown)]


HEADER = ["representation", "code B", "RAM B", f"recall@{K}", "scanned", "error", "bound", "encode/index"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--dataset", choices=(*DATASETS, "all"), default="all")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    chosen = options.parse_args()
    texts, results, bars = [], [], []
    for name in DATASETS if chosen.dataset == "all" else [chosen.dataset]:
        data, _ = DATASETS[name](chosen.cache)
        rows = measure(Halves.of(data))
        texts += [name, table(HEADER, [row.cells() for row in rows.values()]), ""]
        results.append({"dataset": name, "rows": [row.as_json() for row in rows.values()]})
        bars += promises(name, data.documents.shape[1], rows)
    finish("codes", "\n".join(texts), {"datasets": results}, bars)


def measure(data: Halves) -> dict[str, Result]:
    true, dim = data.best(), data.dimension
    native = [on_edge(data, true, f"turbo({bits})") for bits in (1, 2)]
    indexing = index_seconds(data)
    rows = list(native)
    for bits in (dim // 2, dim, 2 * dim):
        if bits <= dim:
            rows.append(rotated_signs(data, true, bits))
        rows.append(on_edge(data, true, f"binary({bits})", indexing))
    return {row.represent: row for row in rows}


def on_edge(data: Halves, true: np.ndarray, spec: str, indexing: float | None = None) -> Result:
    """``spec`` in a collection; with ``indexing`` seconds given, also what only learned codes have."""
    with octant.Collection.create("codes", represent=spec, hnsw=GRAPH) as collection:
        began = time.perf_counter()
        if collection.representation.learns:
            collection.fit(data.learn)
        fitting = time.perf_counter() - began
        collection.add(vectors=data.documents, ids=list(range(len(data.documents))))
        collection.optimize()
        rankings = collection.search_batch(list(data.queries), K, knobs=KNOBS)
        found = recalls([[int(hit.id) for hit in hits] for hits in rankings], true)
        size = collection.footprint()
        codes = sum(part.bytes for part in size.components if part.name == "searched codes")
        row = Result(spec, found, size.per_vector(codes), size.per_vector(size.ram_bytes))
        if indexing is None:
            return row
        return Result(
            spec, found, row.code_bytes, row.ram_bytes,
            **decoded(data, true, collection.representation, indexing), fit_seconds=fitting,
        )  # fmt: skip


def decoded(data: Halves, true: np.ndarray, codec: octant.Representation, indexing: float) -> dict[str, float]:
    began = time.perf_counter()
    codes, _ = codec.encode(data.documents)
    taken = time.perf_counter() - began
    estimates = codec.decode(codes)
    scanned = recalls(best(data.queries @ estimates.T), true).mean()
    error = np.square(data.rest - codec.decode(codec.encode(data.rest)[0])).sum(axis=1).mean()
    spread = np.cov(data.documents, rowvar=False)
    return {
        "scanned": float(scanned),
        "error": float(error / np.trace(spread)),
        "bound": rate_distortion(np.linalg.eigvalsh(spread), codes.shape[1]) / float(np.trace(spread)),
        "encode_ratio": taken / indexing,
    }


def index_seconds(data: Halves) -> float:
    """What Edge takes for the same vectors as they are."""
    with octant.Collection.create("plain", represent="float32", hnsw=GRAPH) as collection:
        began = time.perf_counter()
        collection.add(vectors=data.documents, ids=list(range(len(data.documents))))
        collection.optimize()
        return time.perf_counter() - began


def rotated_signs(data: Halves, true: np.ndarray, bits: int) -> Result:
    """The control, without an engine, at the bytes Qdrant would take."""
    mean = data.learn.mean(axis=0)
    directions = np.linalg.eigh(np.cov(data.learn, rowvar=False))[1][:, ::-1][:, :bits]
    basis = directions @ np.linalg.qr(np.random.default_rng(0).standard_normal((bits, bits)))[0]
    # One step for all bits: a least-squares decoder has a smaller error, but finds less.
    step = np.abs((data.learn - mean) @ basis).mean()

    def estimates(x: np.ndarray) -> np.ndarray:
        return mean + step * np.where((x - mean) @ basis >= 0, 1, -1) @ basis.T

    found = recalls(best(data.queries @ estimates(data.documents).T), true)
    error = np.square(data.rest - estimates(data.rest)).sum(axis=1).mean()
    spread = np.trace(np.cov(data.documents, rowvar=False))
    return Result(control(bits), found, float(-(-bits // (8 * WORD)) * WORD), error=float(error / spread))


def control(bits: int) -> str:
    return f"pca, rotated signs ({bits})"


def rate_distortion(variances: np.ndarray, bits: int) -> float:
    """Least mean squared error of a Gaussian source at ``bits`` bits a vector, by reverse water-filling."""
    positive = np.sort(variances[variances > 0])[::-1]
    for kept in range(len(positive), 0, -1):
        # The water level at which exactly ``kept`` components share the bits.
        level = float(np.exp(np.log(positive[:kept]).mean() - 2 * np.log(2) * bits / kept))
        if level <= positive[kept - 1]:
            return kept * level + float(positive[kept:].sum())
    return float(positive.sum())


def best(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def recalls(found: np.ndarray | list[list[int]], true: np.ndarray) -> np.ndarray:
    pairs = zip(found, true, strict=True)
    return np.array([len(set(map(int, ids)) & set(right.tolist())) / K for ids, right in pairs])


# -- the bars ---------------------------------------------------------------------------------


def promises(name: str, dim: int, rows: dict[str, Result]) -> list[Bar]:
    pairs = [
        (f"binary({dim})", "turbo(1)", 0.06),
        (f"binary({2 * dim})", "turbo(2)", 0.03),
        (f"binary({dim // 2})", control(dim // 2), 0.03),
    ]
    checks = [gain(name, rows[ours], rows[theirs], least) for ours, theirs, least in pairs]
    ratio = rows[f"binary({dim})"].encode_ratio
    checks.append(Bar(f"{name}: encoding takes less time than Edge's indexing", f"{ratio:.2f} of it", ratio < 1))
    return checks


def gain(name: str, ours: Result, theirs: Result, least: float) -> Bar:
    difference: Estimate = paired_difference(ours.found, theirs.found)
    measured = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    promise = f"{name}: recall@{K} of {ours.represent} over {theirs.represent} by {least}"
    return Bar(promise, measured, difference.value >= least)


if __name__ == "__main__":
    main()
