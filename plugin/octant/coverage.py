"""Measures how well a coarse stage proposes what a fine one would have found, on Qdrant's own engine.

What counts as found are the neighbours that the *fine* stage ranks first when it scores every point, not those of the
original vectors: more candidates can bring a search as far as its fine stage alone, and no further. The engine is asked
rather than imitated, because Qdrant makes its own codes, and rounds queries of binary ones, in ways of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.flow import run
from octant.layout import HnswSettings, PointBatch, SearchKnobs, Stages, VectorQuery, coarse_query, lay_out, plan_dense
from octant.oversampling import FEW_POINTS, RANKS, TARGETS, CoverageCurve
from octant.records import Distance, FloatArray
from octant.representation import Representation

if TYPE_CHECKING:
    from octant.store.edge import EdgeStore

LEAST_POINTS = FEW_POINTS
"""Fewer say nothing: the assumed curve stays."""
MOST_POINTS = 5_000
QUERIES = 400
"""Real queries that are asked, or vectors that are asked for, themselves left out of their answers."""
LEAST_QUERIES = 50
"""Fewer real queries than this are all left to the codecs, and vectors are asked for in their place."""
LEAST_TO_SPLIT = 2_000
"""A smaller sample is needed whole for learning, and coverage is measured on what was learned from."""
HELD_OUT = 0.2
DEPTHS = (600, 2_000, MOST_POINTS)
"""Candidates that are looked at: the next more while neighbours lie deeper than the targets allow."""

_SCANNED = HnswSettings(m=0, indexing_threshold=1)


def sample_size(representation: Representation) -> int | None:
    """Most vectors that a fit and the measuring after it look at; None where a codec looks at all."""
    size = representation.sample_size
    return size if size is None or representation.fine is None else size + MOST_POINTS


def split(
    representation: Representation, sample: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray | None]:
    """Vectors to learn from, and vectors to keep out of it for :func:`measure`; None where nothing is kept out.

    A fifth of the ``sample`` (n, dim) is kept out, no more than ``MOST_POINTS``, if the representation has two stages
    and learns, the sample holds ``LEAST_TO_SPLIT``, and what remains is enough to learn from.
    """
    if representation.fine is None or not representation.learns or len(sample) < LEAST_TO_SPLIT:
        return sample, None
    count = min(MOST_POINTS, int(HELD_OUT * len(sample)))
    if len(sample) - count < representation.vectors_needed(sample.shape[1]):
        return sample, None
    order = rng.permutation(len(sample))
    return sample[np.sort(order[count:])], sample[np.sort(order[:count])]


def split_queries(
    representation: Representation, queries: FloatArray | None, rng: np.random.Generator
) -> tuple[FloatArray | None, FloatArray | None]:
    """Real queries to learn from, and real queries to ask in :func:`measure`; None where there are too few to ask.

    Of ``queries`` (m, dim) a fifth, no more than ``QUERIES``, is kept out of the fit of a representation of two stages;
    one that learns nothing from queries leaves all of them to be asked.
    """
    if queries is None or representation.fine is None:
        return queries, None
    order = rng.permutation(len(queries))
    if not representation.weighs_queries:
        return queries, queries[order[:QUERIES]] if len(queries) >= LEAST_QUERIES else None
    count = min(QUERIES, int(HELD_OUT * len(queries)))
    if count < LEAST_QUERIES:
        return queries, None
    return queries[np.sort(order[count:])], queries[order[:count]]


def measure(
    representation: Representation,
    x: FloatArray,
    distance: Distance,
    *,
    held_out: bool,
    queries: FloatArray | None = None,
    rng: np.random.Generator | int = 0,
) -> CoverageCurve | None:
    """The coverage curve of a fitted two-stage representation on ``x`` (n, dim); None where that says nothing.

    Parameters
    ----------
    representation : Representation
    x : (n, dim) float32
        As the representation takes them; ``MOST_POINTS`` of them are drawn where there are more.
    distance : Distance
    held_out : bool
        Whether no codec has learned from ``x``.
    queries : (m, dim) float32, optional
        Real queries, which no codec has learned from; without them vectors of ``x`` are asked for.
    rng : Generator or int

    Raises
    ------
    StoreError, OSError
        If there is no temporary directory for the engine to work in.
    """
    if representation.fine is None or len(x) < LEAST_POINTS:
        return None
    rng = np.random.default_rng(rng)
    x = x[rng.permutation(len(x))[:MOST_POINTS]]
    coarse, fine = _rankings(representation, x, x[:QUERIES] if queries is None else queries[:QUERIES], distance)
    if queries is None:
        coarse, fine = _without_self(coarse), _without_self(fine)
    source: Literal["held-out", "fitted"] = "held-out" if held_out or not representation.learns else "fitted"
    return CoverageCurve.measured(coarse, fine, len(x), source=source, rng=rng)


def _rankings(
    representation: Representation, x: FloatArray, queries: FloatArray, distance: Distance
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of ``x`` (n, dim) as both stages rank them for ``queries`` (m, dim)."""
    # The engine takes long to import, and an application that talks to a server needs it here only.
    from octant.store.edge import EdgeStore

    stages = Stages.of(*representation.needs(x.shape[1], distance))
    coarse_codes, fine_codes = representation.encode(x)
    asked, asked_fine = representation.encode_query(queries, distance)
    rows, few = range(len(queries)), min(2 * max(RANKS) + 1, len(x))
    if stages.fine is None or fine_codes is None:
        raise InputError("a representation of one stage has no coverage to measure")
    store = EdgeStore(None, "coverage")
    run(store.create(lay_out(stages, hnsw=_SCANNED), {}))
    try:
        vectors = {stages.coarse.name: coarse_codes, stages.fine.name: fine_codes}
        run(store.upsert(PointBatch(range(len(x)), vectors, [{}] * len(x)), batch_size=1_000))
        run(store.optimize())
        if asked_fine is None:
            scores = representation.score(queries, fine_codes, distance)
            fine = np.argsort(-scores, axis=1, kind="stable")[:, :few]
        else:
            exact = SearchKnobs(exact=True)
            plans = [
                plan_dense(stages, asked, asked_fine, row, distance=distance, limit=few, knobs=exact) for row in rows
            ]
            fine = _found(store, [replace(plan.query, with_payload=False) for plan in plans], few)
        for depth in DEPTHS:
            depth = min(depth, len(x))
            coarse = _found(store, [coarse_query(stages, asked, row, limit=depth) for row in rows], depth)
            if depth == len(x) or _share(coarse, fine[:, : max(RANKS)]) > max(TARGETS):
                break
    finally:
        run(store.close())
    return coarse, fine


def _found(store: EdgeStore, queries: list[VectorQuery], depth: int) -> NDArray[np.int64]:
    """Rows (m, depth) that the engine found, -1 where there were no more."""
    found = np.full((len(queries), depth), -1, np.int64)
    for row, query in enumerate(queries):
        (ids,) = run(store.query_ids([query]))
        found[row, : len(ids)] = ids
    return found


def _share(coarse: NDArray[np.int64], fine: NDArray[np.int64]) -> float:
    """Share of the fine stage's neighbours (m, few) that are among the candidates (m, depth)."""
    return float(np.mean([np.isin(true, found).mean() for found, true in zip(coarse, fine, strict=True)]))


def _without_self(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """``found`` (m, depth) without row ``i`` in line ``i``, as (m, depth - 1)."""
    kept = [line[line != row] for row, line in enumerate(found)]
    return np.stack([line[: found.shape[1] - 1] for line in kept])
