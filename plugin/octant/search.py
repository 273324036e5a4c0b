"""Queries in, rankings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from octant.core import Core
from octant.core.core import candidates_for
from octant.errors import InputError
from octant.filters import as_filter, map_ids
from octant.flow import Flow, step
from octant.fusion import Fusion
from octant.identity import describe
from octant.layout import DensePlan, ScoreMap, SearchKnobs, StoredPoint, VectorQuery, plan_dense
from octant.records import Candidate, Distance, FloatArray, Ranking, SparseVector
from octant.vectors import as_matrix

if TYPE_CHECKING:
    from octant.cutoffs.cutoff import Cutoff

Mode = Literal["dense", "sparse", "hybrid"]


@dataclass(frozen=True)
class Request:
    """Everything about a search but the queries.

    Attributes
    ----------
    k, offset : int
        Answers wanted, after leaving out the first ``offset``.
    filter : Filter, mapping or None
    score_threshold : float or None
        Answers below it are left out.
    knobs : SearchKnobs
    mode : {"dense", "sparse", "hybrid"}
    fusion : Fusion
        Hybrid only.
    with_vectors : bool
        Whether candidates carry their decoded vectors.
    cutoff : Cutoff or None
        Dense only: answers less probably relevant than it asks for are left out.
    """

    k: int = 10
    offset: int = 0
    filter: object | None = None
    score_threshold: float | None = None
    knobs: SearchKnobs = field(default_factory=SearchKnobs)
    mode: Mode = "dense"
    fusion: Fusion = field(default_factory=Fusion)
    with_vectors: bool = False
    cutoff: Cutoff | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k must be at least 1, got {self.k}")
        if self.offset < 0:
            raise InputError(f"offset must be at least 0, got {self.offset}")
        if self.mode not in ("dense", "sparse", "hybrid"):
            raise InputError(f"mode is dense, sparse or hybrid; got {self.mode!r}")
        if self.score_threshold is not None and np.isnan(self.score_threshold):
            raise InputError("score_threshold must be a number that scores compare with, got NaN")
        if self.cutoff is not None and self.mode != "dense":
            raise InputError(
                f"a cutoff judges the scores of a dense search, got mode {self.mode!r}: leave the cutoff out, or cut "
                "what a dense search finds"
            )

    @property
    def depth(self) -> int:
        """Candidates each branch must bring."""
        wanted = self.k + self.offset
        return ceil(wanted * self.fusion.oversampling) if self.mode == "hybrid" else wanted


@dataclass(frozen=True, eq=False)
class Search:
    """A search that is ready to be sent.

    Attributes
    ----------
    requests : tuple of VectorQuery
        For the engine, in one request or with those of other searches.
    rankings : callable
        From the engine's answers to ``requests``, in their order, to one ranking a query.
    """

    requests: tuple[VectorQuery, ...]
    rankings: Callable[[Sequence[Sequence[StoredPoint]]], list[Ranking]]


def search(core: Core, queries: Sequence[object], request: Request) -> Flow[list[Ranking]]:
    """One ranking per query, all in one request to the engine.

    Raises
    ------
    InputError
        If a query does not suit the mode, or the collection has no such vectors.
    """
    ready = yield from prepare(core, queries, request)
    answers = (yield from core.store.query(ready.requests)) if ready.requests else []
    return (yield from step(lambda: ready.rankings(answers)))


def prepare(core: Core, queries: Sequence[object], request: Request) -> Flow[Search]:
    """Everything of a search but asking the engine for its answers; errors as in :func:`search`."""
    texts = [query if isinstance(query, str) else None for query in queries]
    if core.draft or not queries:
        return Search((), lambda _: [Ranking((), text) for text in texts])
    if core.sparse_only and request.mode != "sparse":
        raise InputError(f"this collection has sparse vectors only: mode {request.mode!r} needs dense ones too")
    filter_ = map_ids(as_filter(request.filter), core.ids.to_qdrant)
    dense: list[DensePlan] = []
    vectors: FloatArray | None = None
    least: list[float | None] = [request.score_threshold] * len(queries)
    if request.mode != "sparse":
        vectors = yield from _dense_vectors(core, queries)
        if request.cutoff is not None:
            least = yield from _cut_at(core, vectors, request.cutoff, request, filter_)
        read = yield from candidates_for(core, request.depth, request.knobs.coverage)
        dense = yield from step(lambda: _dense_plans(core, vectors, request, filter_, read, least))
    sparse = _sparse_queries(core, queries, request, filter_) if request.mode != "dense" else []
    finish = _Finish(core, request, vectors, dense, least)
    requests = (*(plan.query for plan in dense), *sparse)
    return Search(requests, lambda answers: [finish(row, answers, text) for row, text in enumerate(texts)])


# -- asking --------------------------------------------------------------------------------------


def _dense_vectors(core: Core, queries: Sequence[object]) -> Flow[FloatArray]:
    texts = [query for query in queries if isinstance(query, str)]
    embedded: FloatArray | None = None
    if texts:
        if core.embedder is None:
            recorded = core.manifest.embedding
            wanted = f" ({describe(recorded)})" if recorded else ""
            raise InputError(
                f"a text query needs an embedding{wanted}: open the collection with embedding=, or pass a vector"
            )
        embedded = yield from core.embedder.embed_queries(texts)
    if embedded is not None and len(texts) == len(queries):
        return core.prepare(embedded, what="query embeddings")
    if len(queries) == 1:
        return core.prepare(_row(queries[0]), what="a query")
    rows = iter(embedded if embedded is not None else ())
    return core.prepare([next(rows) if isinstance(query, str) else _row(query) for query in queries], what="queries")


def _row(query: object) -> FloatArray:
    if isinstance(query, SparseVector):
        raise InputError("a sparse vector can only be searched with mode='sparse'")
    matrix = as_matrix(query, what="a query")  # type: ignore[arg-type]
    if len(matrix) != 1:
        raise InputError(f"a query is one text or one vector, got an array of shape {matrix.shape}: use search_batch")
    return np.asarray(matrix[0])


def _returned(core: Core, request: Request) -> tuple[str, ...]:
    return vector_names(core) if request.with_vectors else ()


def vector_names(core: Core) -> tuple[str, ...]:
    """The named vectors that decode to the best estimate of the originals; none where all are sparse."""
    if core.sparse_only:
        return ()
    return ((core.stages.fine or core.stages.coarse).name,)


def _cut_at(
    core: Core, vectors: FloatArray, cutoff: Cutoff, request: Request, filter_: Mapping[str, object] | None
) -> Flow[list[float | None]]:
    """The least score that is to leave, for each query."""
    cutoff.check(core.manifest.embedding, core.dimension, core.distance)
    tops: FloatArray | None = None
    if cutoff.probe:
        read = yield from candidates_for(core, cutoff.probe, request.knobs.coverage)
        first = replace(request, k=cutoff.probe, offset=0, with_vectors=False)
        plans = yield from step(lambda: _dense_plans(core, vectors, first, filter_, read, (), with_payload=False))
        answers = yield from core.store.query([plan.query for plan in plans])
        tops = yield from step(lambda: _top_scores(core, vectors, plans, answers, cutoff.probe))
    thresholds = yield from step(lambda: cutoff.score_thresholds(vectors, tops))
    asked = -np.inf if request.score_threshold is None else request.score_threshold
    return [max(float(threshold), asked) for threshold in thresholds]


def _top_scores(
    core: Core, vectors: FloatArray, plans: list[DensePlan], answers: Sequence[Sequence[StoredPoint]], count: int
) -> FloatArray:
    """The best ``count`` scores (m, count) of each query, best first; NaN where there are fewer points."""
    tops = np.full((len(plans), count), np.nan, np.float32)
    for row, (plan, points) in enumerate(zip(plans, answers, strict=True)):
        scores = np.sort(_scores(core, vectors[row : row + 1], plan, points))[::-1][:count]
        tops[row, : len(scores)] = scores
    return tops


def _dense_plans(
    core: Core, vectors: FloatArray, request: Request, filter_: Mapping[str, object] | None, read: int | None,
    least: Sequence[float | None], *, with_payload: bool = True,
) -> list[DensePlan]:  # fmt: skip
    stages = core.stages
    coarse, fine = core.representation.encode_query(vectors, core.distance)
    plans = [
        plan_dense(
            stages, coarse, fine, row,
            distance=core.distance, limit=request.depth, knobs=request.knobs, filter=filter_,
            candidates=read, with_vectors=_returned(core, request), with_payload=with_payload,
        )
        for row in range(len(vectors))
    ]  # fmt: skip
    if request.mode == "dense" and least:
        plans = [plan.at_least(score) for plan, score in zip(plans, least, strict=True)]
    if request.mode == "dense" and request.offset and not stages.fine_is_client_side:
        # The engine can leave the first ones out itself; its inner stages still bring k + offset.
        return [replace(plan, query=replace(plan.query, limit=request.k, offset=request.offset)) for plan in plans]
    return plans


def _sparse_queries(
    core: Core, queries: Sequence[object], request: Request, filter_: Mapping[str, object] | None
) -> list[VectorQuery]:
    name = core.manifest.sparse_name
    if name is None or core.sparse is None:
        raise InputError(
            f"mode {request.mode!r} needs sparse vectors: create the collection with sparse='bm25', and open it "
            "with the same encoder"
        )
    least = None
    if request.mode == "sparse" and request.score_threshold is not None:
        least = ScoreMap(1.0, 0.0, Distance.DOT, Distance.DOT).raw_threshold(request.score_threshold)
    return [
        VectorQuery(
            vector=_sparse_vector(core, query, request.mode),
            using=name,
            limit=request.depth,
            filter=filter_,
            with_vectors=_returned(core, request),
            score_threshold=least,
        )
        for query in queries
    ]


def _sparse_vector(core: Core, query: object, mode: Mode) -> SparseVector:
    if isinstance(query, SparseVector) and mode == "sparse":
        return query
    if not isinstance(query, str) or core.sparse is None:
        raise InputError(f"mode {mode!r} needs a text query; got {type(query).__name__}")
    return core.sparse.encode_queries([query])[0]


# -- answering -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Finish:
    """Turns the engine's answers into rankings: scores mapped, fine codes scored, branches fused, cut.

    What scores too little is left out here, exactly, even where the engine has left out most of it.
    """

    core: Core
    request: Request
    vectors: FloatArray | None
    dense: list[DensePlan]
    least: Sequence[float | None]

    def __call__(self, row: int, answers: Sequence[Sequence[StoredPoint]], text: str | None) -> Ranking:
        branches: dict[str, list[Candidate]] = {}
        if self.dense:
            branches["dense"] = self._dense(row, answers[row])
        if self.request.mode != "dense":
            found = answers[len(self.dense) + row]
            branches["sparse"] = [self._candidate(point, point.score) for point in found]
        if self.request.mode == "hybrid":
            candidates = self.request.fusion(branches)
        else:
            (candidates,) = branches.values()
        least = self.least[row]
        if least is not None:
            candidates = [candidate for candidate in candidates if candidate.score >= least]
        return Ranking(tuple(self._page(candidates)), text)

    def _page(self, candidates: list[Candidate]) -> list[Candidate]:
        skipped_by_engine = bool(self.dense) and self.dense[0].query.offset > 0
        start = 0 if skipped_by_engine else self.request.offset
        return candidates[start : start + self.request.k]

    def _dense(self, row: int, points: Sequence[StoredPoint]) -> list[Candidate]:
        plan = self.dense[row]
        if self.vectors is None or not points:
            return []
        scores = _scores(self.core, self.vectors[row : row + 1], plan, points)
        if plan.rescore_with is None:
            return [self._candidate(point, float(score)) for point, score in zip(points, scores, strict=True)]
        codes = _codes(plan.rescore_with, points)
        best = np.argsort(-scores, kind="stable")[: self.request.depth]
        decoded = self.core.representation.decode(codes[best], "fine") if self.request.with_vectors else None
        return [
            replace(
                self._candidate(points[i], float(scores[i]), vectors=False),
                vector=None if decoded is None else decoded[place],
            )
            for place, i in enumerate(best)
        ]

    def _candidate(self, point: StoredPoint, score: float, *, vectors: bool = True) -> Candidate:
        decode = vectors and self.request.with_vectors
        return candidate(self.core, point, score, with_vector=decode)


def _scores(core: Core, query: FloatArray, plan: DensePlan, points: Sequence[StoredPoint]) -> NDArray[np.floating]:
    """Scores (n,) that leave, of the points that ``plan`` found for ``query`` (1, dim), in their order."""
    if plan.rescore_with is None or not points:
        return np.array([plan.score(point.score) for point in points], np.float64)
    # Not the query against the decoded codes: what a reducer dropped is part of the estimate.
    scores = core.representation.score(query, _codes(plan.rescore_with, points), core.distance)[0]
    return np.asarray(scores)


def _codes(name: str, points: Sequence[StoredPoint]) -> NDArray[np.uint8]:
    return np.stack([point.vectors[name] for point in points]).astype(np.uint8)


def candidate(core: Core, point: StoredPoint, score: float = 0.0, *, with_vector: bool = False) -> Candidate:
    """A stored point as the caller knows it: own id, text apart, vector decoded."""
    payload = dict(point.payload)
    mine = core.ids.from_qdrant(point.id, payload)
    text = payload.get(core.manifest.text_key)
    if isinstance(text, str):
        del payload[core.manifest.text_key]
    return Candidate(
        id=mine,
        score=score,
        text=text if isinstance(text, str) else None,
        payload=payload,
        vector=_decoded(core, point) if with_vector else None,
    )


def _decoded(core: Core, point: StoredPoint) -> FloatArray | None:
    if core.sparse_only:
        return None
    stages = core.stages
    stage = stages.fine or stages.coarse
    stored = point.vectors.get(stage.name)
    if stored is None:
        return None  # a point that another client wrote without this vector
    codes = stored.astype(np.uint8) if stage.needs.datatype == "uint8" else stored
    decoded = core.representation.decode(codes[None, :], "fine" if stages.fine else "coarse")
    return np.asarray(decoded[0], np.float32)
