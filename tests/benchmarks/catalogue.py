"""What does each reducer keep? The catalogue at a quarter and a half of the dimensions, every document scored.

Every reducer stands before ``turbo4``, learns from documents, stores all of them on Edge and is searched without a
graph, so that only what it keeps makes a difference. ``random_projection`` and ``truncate`` are the controls, ``pca``
is what the others have to beat. Two kinds of queries: documents that were held out of the fit, with their own row left
out of what is found, and the dataset's real queries, with nDCG where there are judgements. Where a dataset has many
queries, ``leanvec`` learns from half of them in a row of its own, and only the other half is asked. Recall is against
exact float32 search. The bias is by how much the scores of what was found are too high, on average.

With ``--product`` a second table: product quantization without rescoring, as Qdrant cuts the vectors and behind
``opq``, next to other codes of as many bytes. Qdrant takes minutes to build each.

Datasets: as for ``codes.py``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from codes_data import DATASETS
from formats import RELEVANT
from harness import Bar, finish, parser, table

import octant
from octant import HnswSettings, SearchKnobs
from octant.datasets import VectorDataset
from octant.quality import ExactSearch, per_query
from octant.records import Distance, Ranking
from octant.statistics import Estimate, bootstrap_mean, paired_difference
from octant.vectors import unit_rows

SCAN = HnswSettings(full_scan_threshold=10**9, indexing_threshold=10**9)
GRAPH = HnswSettings(full_scan_threshold=10, indexing_threshold=10)
"""A second copy is built where a graph is."""
K = 10
HELD_OUT = 500
MANY = 400
"""Queries from which on half of them are learned from."""


@dataclass(frozen=True, eq=False)
class Split:
    """Documents, some of them queries that no fit sees; real queries to ask, and to learn from. All at unit length.

    Attributes
    ----------
    data : VectorDataset
        With the real queries to ask.
    held_out : (HELD_OUT,) int
        Rows of the documents that are asked, too.
    training : (t, dim) float32 or None
        Real queries to learn from.
    """

    data: VectorDataset
    held_out: np.ndarray
    training: np.ndarray | None

    @classmethod
    def of(cls, data: VectorDataset, limit: int | None) -> Split:
        rng = np.random.default_rng(0)
        documents, queries = unit_rows(data.documents), unit_rows(data.queries, what="queries")
        rows = np.sort(rng.permutation(len(documents))[:limit])
        order = rng.permutation(len(queries))
        seen, asked = (order[::2], np.sort(order[1::2])) if len(queries) >= MANY else (None, np.arange(len(queries)))
        kept = VectorDataset(
            data.name if limit is None else f"{data.name}[:{limit}]",
            [data.document_ids[i] for i in rows], documents[rows],
            [data.query_ids[i] for i in asked], queries[asked],
            data.qrels,
        )  # fmt: skip
        held_out = np.sort(rng.permutation(len(rows))[:HELD_OUT])
        return cls(kept, held_out, None if seen is None else queries[seen])

    @property
    def learn(self) -> np.ndarray:
        return np.delete(self.data.documents, self.held_out, axis=0)


@dataclass(frozen=True, eq=False)
class Row:
    """One representation; ``found`` is recall for each held-out document, the rest as the table has it."""

    represent: str
    found: np.ndarray
    bias: float
    real: Estimate
    ndcg: Estimate | None
    fit_seconds: float
    code_bytes: float

    @property
    def recall(self) -> Estimate:
        return bootstrap_mean(self.found)

    def cells(self) -> list[str]:
        return [
            self.represent, shown(self.recall), shown(self.real), shown(self.ndcg), f"{self.bias:+.3f}",
            f"{self.fit_seconds:.1f}", f"{self.code_bytes:.0f}",
        ]  # fmt: skip

    def as_json(self) -> dict[str, object]:
        return {
            "represent": self.represent,
            f"recall@{K} held-out documents": self.recall.as_json(),
            f"recall@{K} queries": self.real.as_json(),
            f"ndcg@{K} queries": None if self.ndcg is None else self.ndcg.as_json(),
            "bias": self.bias,
            "fit_seconds": self.fit_seconds,
            "searched_bytes": self.code_bytes,
        }


HEADER = [
    "representation", f"recall@{K} held-out documents", f"recall@{K} queries", f"ndcg@{K} queries", "bias", "fit s",
    "searched B",
]  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--dataset", choices=tuple(DATASETS), action="append", help="msmarco-trec-dl-v1 if not given")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--limit", type=int, help="so many documents only, to try the benchmark out")
    options.add_argument("--represent", action="append", help="only these reducers, e.g. 'pca(96)'")
    options.add_argument("--product", action="store_true", help="product quantization with and without opq, too")
    chosen = options.parse_args()
    texts, results, bars = [], [], []
    for name in chosen.dataset or ["msmarco-trec-dl-v1"]:
        split = Split.of(DATASETS[name](chosen.cache), chosen.limit)
        rows = reducers(split, chosen.represent)
        products = product_rows(split) if chosen.product else []
        for part in (rows, products):
            texts += [split.data.name, table(HEADER, [row.cells() for row in part]), ""] if part else []
        bars += promises(split.data.name, {row.represent: row for row in products})
        results.append({"dataset": split.data.name, "rows": [row.as_json() for row in (*rows, *products)]})
    finish("catalogue", "\n".join(texts), {"datasets": results}, bars)


def specs(dimension: int) -> list[str]:
    names = ["pca", "leanvec", "kernel_pca", "random_projection", "truncate", *(["umap"] if find_spec("umap") else [])]
    return [f"{name}({m})" for m in (dimension // 4, dimension // 2) for name in names]


def reducers(split: Split, asked: Sequence[str] | None) -> list[Row]:
    rows = [measured(split, "turbo4")]
    for spec in asked or specs(split.data.documents.shape[1]):
        rows.append(measured(split, f"{spec}|turbo4"))
        if spec.startswith("leanvec") and split.training is not None:
            rows.append(measured(split, f"{spec}|turbo4", queries=split.training))
    return rows


def product_rows(split: Split) -> list[Row]:
    dimension = split.data.documents.shape[1]
    knobs = SearchKnobs(rescore=False, hnsw_ef=512)
    specs_ = ("product(x32)", "opq(x32)|float32|product(x32)", "rabitq", "turbo(1)", f"binary({dimension})")
    return [measured(split, spec, hnsw=GRAPH, knobs=knobs) for spec in specs_]


def measured(
    split: Split,
    spec: str,
    *,
    queries: np.ndarray | None = None,
    hnsw: HnswSettings = SCAN,
    knobs: SearchKnobs | None = None,
) -> Row:
    documents, knobs = split.data.documents, knobs or SearchKnobs()
    with octant.Collection.create("catalogue", represent=spec, hnsw=hnsw) as collection:
        began = time.perf_counter()
        if collection.representation.learns:
            collection.fit(split.learn, queries=queries)
        taken = time.perf_counter() - began
        collection.add(vectors=documents, ids=range(len(documents)))
        collection.optimize()
        # One more than is counted: a held-out document finds itself, and that is no achievement.
        near = collection.search_batch(list(documents[split.held_out]), K + 1, knobs=knobs)
        real = collection.search_batch(list(split.data.queries), K, knobs=knobs)
        size = collection.footprint()
    found = [[int(hit.id) for hit in hits if hit.id != own][:K] for hits, own in zip(near, split.held_out, strict=True)]
    exact = ExactSearch(documents, split.data.queries, K, Distance.COSINE)
    rankings = {K: [[int(hit.id) for hit in hits] for hits in real]}
    metrics = per_query(rankings, split.data, exact, relevant=RELEVANT)
    ndcg = metrics[f"ndcg@{K}"]
    return Row(
        spec if queries is None else f"{spec}, {len(queries)} queries",
        recalls(found, true_neighbours(split)),
        bias(split, near),
        bootstrap_mean(metrics[f"recall@{K}"]),
        None if ndcg is None else bootstrap_mean(ndcg),
        taken,
        size.per_vector(sum(part.bytes for part in size.components if part.name == "searched codes")),
    )


def true_neighbours(split: Split) -> np.ndarray:
    """Rows (HELD_OUT, K) of the nearest documents, not counting the query itself."""
    scores = split.data.documents[split.held_out] @ split.data.documents.T
    scores[np.arange(len(scores)), split.held_out] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def recalls(found: Sequence[Sequence[int]], true: np.ndarray) -> np.ndarray:
    return np.array([len(set(ids) & set(row.tolist())) / K for ids, row in zip(found, true, strict=True)])


def bias(split: Split, rankings: Sequence[Ranking]) -> float:
    documents, own = split.data.documents, split.held_out
    pairs = [(row, hit) for row, hits in zip(own, rankings, strict=True) for hit in hits if hit.id != row]
    return float(np.mean([hit.score - float(documents[row] @ documents[int(hit.id)]) for row, hit in pairs]))


def shown(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def promises(name: str, rows: dict[str, Row]) -> list[Bar]:
    if not rows:
        return []
    ours, theirs = rows["opq(x32)|float32|product(x32)"], rows["product(x32)"]
    difference = paired_difference(ours.found, theirs.found)
    return [Bar(f"{name}: opq finds more than product quantization alone", shown(difference), difference.low > 0)]


if __name__ == "__main__":
    main()
