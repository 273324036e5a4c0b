"""How the stages of a representation answer a query: the request, and what becomes of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from octant.errors import InputError
from octant.layout.queries import QuerySettings, SearchKnobs, VectorQuery
from octant.layout.scores import ScoreMap
from octant.layout.vectors import Stages
from octant.records import Distance, EncodedQueries, Filter, NativeQuantization, StorageNeeds


@dataclass(frozen=True)
class DensePlan:
    """How one query text or vector is answered.

    Attributes
    ----------
    query : VectorQuery
    score : ScoreMap
        For the raw scores that ``query`` returns.
    rescore_with : str or None
        Named vector whose codes (returned with the candidates) the caller decodes and scores.
    """

    query: VectorQuery
    score: ScoreMap
    rescore_with: str | None = None

    def at_least(self, score: float | None) -> DensePlan:
        """The plan whose request leaves out, in the engine, what scores less than ``score``, but for rounding.

        The same plan where the scores that leave are the caller's to compute: only the caller can leave out by them.
        """
        if score is None or self.rescore_with is not None:
            return self
        return replace(self, query=replace(self.query, score_threshold=self.score.raw_threshold(score)))


def plan_dense(
    stages: Stages,
    coarse: EncodedQueries,
    fine: EncodedQueries | None,
    row: int,
    *,
    distance: Distance,
    limit: int,
    knobs: SearchKnobs,
    candidates: int | None = None,
    filter: Filter | None = None,  # noqa: A002  # Qdrant's own word
    with_vectors: Sequence[str] = (),
    with_payload: bool = True,
) -> DensePlan:
    """The request for query ``row`` of the encoded queries, for ``limit`` answers.

    Two stages that Qdrant scores make one request, the coarse one inside of the fine one; asked for exactly, the
    fine one alone scans everything. Where Qdrant cannot score the fine stage the request is the coarse one, and the
    fine codes come back with its candidates: there is no second read either.

    Parameters
    ----------
    stages : Stages
    coarse, fine : EncodedQueries
        The same queries in both stages' coordinates; ``fine`` is None where it is not scored by the engine.
    row : int
    distance : Distance
        Of the collection.
    limit : int
        Answers wanted, offset included.
    knobs : SearchKnobs
    candidates : int, optional
        What the fine stage scores, at least ``limit``; the oversampling that the stages ask for decides without it.
    filter : mapping, optional
    with_vectors : sequence of str
        Named vectors to return beside those the plan itself needs.

    Raises
    ------
    InputError
        If rescoring is switched off where the raw score cannot be turned into a similarity.
    """
    if stages.fine is None:
        settings, score = _settings(stages.coarse.needs, coarse, row, distance, knobs)
        query = VectorQuery(
            coarse.vectors[row], stages.coarse.name, limit, settings, filter=filter,
            with_vectors=tuple(with_vectors), with_payload=with_payload,
        )  # fmt: skip
        return DensePlan(query, score)
    if candidates is None or knobs.oversampling is not None:
        candidates = int(np.ceil(limit * (knobs.oversampling or stages.fine.needs.oversampling)))
    inner = coarse_query(stages, coarse, row, limit=max(limit, candidates), knobs=knobs, filter=filter)
    if stages.fine_is_client_side:
        names = tuple(dict.fromkeys((stages.fine.name, *with_vectors)))
        query = replace(inner, with_payload=with_payload, with_vectors=names)
        # Nobody sees the coarse scores: the caller scores the fine codes.
        return DensePlan(query, ScoreMap(1.0, 0.0, stages.coarse.needs.metric, distance), rescore_with=stages.fine.name)
    if fine is None:
        raise InputError("the fine stage is scored by the engine: its encoded queries are needed")
    settings, score = _settings(stages.fine.needs, fine, row, distance, SearchKnobs(exact=knobs.exact))
    query = VectorQuery(
        fine.vectors[row], stages.fine.name, limit, settings, filter=filter if knobs.exact else None,
        prefetch=None if knobs.exact else inner, with_vectors=tuple(with_vectors), with_payload=with_payload,
    )  # fmt: skip
    return DensePlan(query, score)


def coarse_query(
    stages: Stages,
    coarse: EncodedQueries,
    row: int,
    *,
    limit: int,
    knobs: SearchKnobs | None = None,
    filter: Filter | None = None,  # noqa: A002
) -> VectorQuery:
    """The request for the ``limit`` candidates that the coarse stage proposes to a fine one.

    Its second copy, where it has one, is searched and not rescored: that would read from disk what the fine stage is
    about to read better, and order is all that a proposal needs.
    """
    knobs = knobs or SearchKnobs()
    copied = stages.coarse.needs.quantization is not None and not knobs.exact
    settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=bool(knobs.rescore) if copied else None)
    return VectorQuery(
        coarse.vectors[row], stages.coarse.name, limit, settings, filter=filter, with_payload=False
    )  # fmt: skip


def _settings(
    needs: StorageNeeds, encoded: EncodedQueries, row: int, distance: Distance, knobs: SearchKnobs
) -> tuple[QuerySettings, ScoreMap]:
    scale, offset = float(encoded.scale[row]), float(encoded.offset[row])
    if needs.quantization is None or knobs.exact:
        # An exact search passes the second copy by: its raw scores are the stored vectors' own.
        settings = QuerySettings(hnsw_ef=knobs.hnsw_ef, exact=knobs.exact)
        return settings, ScoreMap(scale, offset, needs.metric, distance)
    rescore = needs.rescore if knobs.rescore is None else knobs.rescore
    if rescore:
        oversampling = knobs.oversampling or needs.oversampling
        settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=True, oversampling=oversampling)
        return settings, ScoreMap(scale, offset, needs.metric, distance)
    slope = _raw_slope(needs, needs.quantization)
    peak = float(np.abs(encoded.vectors[row]).max()) if needs.raw_slope_by_query_peak else 1.0
    settings = QuerySettings(knobs.hnsw_ef, knobs.exact, rescore=False)
    return settings, ScoreMap(scale * slope * peak, offset, needs.metric, distance)


def _raw_slope(needs: StorageNeeds, copy: NativeQuantization) -> float:
    if needs.raw_slope is None:
        raise InputError(
            f"scores of {copy.kind} quantization at {copy.bits:g} bits are not estimates of the similarity without "
            "rescoring: leave rescore on"
        )
    return needs.raw_slope


def check_knobs(stages: Stages, knobs: SearchKnobs) -> None:
    """Refuse knobs that every search of ``stages`` would refuse.

    Raises
    ------
    InputError
        If rescoring is switched off where the raw score cannot be turned into a similarity.
    """
    needs = stages.coarse.needs
    if stages.fine is None and needs.quantization is not None and knobs.rescore is False and not knobs.exact:
        _raw_slope(needs, needs.quantization)
