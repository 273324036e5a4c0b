"""Codes on Qdrant Edge, searched raw: no rescoring, through a graph and by scanning all of them.

What is measured goes through Octant's own layout and store, below :class:`octant.Collection`, so that representations
without a spec string (controls, native settings that Octant does not offer) are stored in just the same way.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from octant.flow import run
from octant.layout import DensePlan, HnswSettings, PointBatch, SearchKnobs, Stages, lay_out, plan_dense
from octant.records import Distance, Footprint
from octant.representation import Representation
from octant.store.edge import EdgeStore

GRAPH = HnswSettings(full_scan_threshold=10, indexing_threshold=10)
"""A graph for every representation, however small its codes are."""
SCAN = HnswSettings(m=0, full_scan_threshold=10, indexing_threshold=10)
"""No graph, though second copies are built all the same: each search scores every code."""
KNOBS = SearchKnobs(hnsw_ef=256, rescore=False)
BATCH = 512
QUERIES_AT_ONCE = 128
DIRECTIONS = 16
"""Random queries that tell the squared error; times tens of thousands of codes their draw hardly matters."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A representation in an Edge shard, indexed.

    Attributes
    ----------
    index_seconds : float
        From codes to a searchable shard.
    """

    store: EdgeStore
    folder: Path
    representation: Representation
    stages: Stages
    index_seconds: float

    def found(self, queries: np.ndarray, k: int) -> list[list[int]]:
        """Rows of the ``k`` documents found for each of ``queries`` (m, dim), best first."""
        plans = self._plans(queries, k)
        return [[int(point.id) for point in answer] for answer in self._answers(plans)]

    def squared_error(self, documents: np.ndarray) -> float:
        """Mean squared error of ``documents`` (n, dim) as the engine's scores see them.

        A score of a random unit query u misses u.x by u.e, and the mean of its square over u is |e|^2 / dim.
        """
        rng = np.random.default_rng(0)
        directions = rng.standard_normal((DIRECTIONS, documents.shape[1])).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        plans, squares = self._plans(directions, len(documents)), []
        for direction, plan, answer in zip(directions, plans, self._answers(plans), strict=True):
            rows = np.array([int(point.id) for point in answer])
            scores = np.array([plan.score(point.score) for point in answer])
            squares.append(np.square(scores - documents[rows] @ direction).mean())
        return float(documents.shape[1] * np.mean(squares))

    def footprint(self) -> Footprint:
        return run(self.store.footprint())

    def code_bytes(self) -> float:
        """Bytes a vector of what is searched, as the engine pads it.

        Graph, ids and what every segment keeps once (tens of KiB of statistics) are in the footprint, not here.
        """
        size = self.footprint()
        searched = sum(part.bytes for part in size.components if part.name == "searched codes")
        copies = sum(path.stat().st_size for path in self.folder.rglob("quantized.data"))
        return size.per_vector(copies or searched)

    def _plans(self, queries: np.ndarray, k: int) -> list[DensePlan]:
        coarse, _ = self.representation.encode_query(queries)
        return [
            plan_dense(
                self.stages, coarse, None, row,
                distance=Distance.COSINE, limit=k, knobs=KNOBS, with_payload=False,
            )
            for row in range(len(queries))
        ]  # fmt: skip

    def _answers(self, plans: Sequence[DensePlan]) -> Iterator[list]:
        for start in range(0, len(plans), QUERIES_AT_ONCE):
            yield from run(self.store.query([plan.query for plan in plans[start : start + QUERIES_AT_ONCE]]))


@contextmanager
def stored(representation: Representation, codes: np.ndarray, dim: int, hnsw: HnswSettings) -> Iterator[Stored]:
    """``codes`` (n, width) of vectors of ``dim`` coordinates in a temporary Edge shard, under one fitted stage."""
    stages = Stages.of(*representation.needs(dim, Distance.COSINE))
    with tempfile.TemporaryDirectory(prefix="octant-codes-") as folder:
        store = EdgeStore(folder, "codes")
        try:
            began = time.perf_counter()
            run(store.create(lay_out(stages, hnsw=hnsw), {}))
            points = PointBatch(range(len(codes)), {stages.coarse.name: codes}, [{}] * len(codes))
            run(store.upsert(points, batch_size=BATCH))
            run(store.optimize())
            yield Stored(store, Path(folder), representation, stages, time.perf_counter() - began)
        finally:
            run(store.close())
