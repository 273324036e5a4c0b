"""The contract of a reranker, as a check that any plugin can run on itself."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, cast, get_args

import numpy as np

from octant.errors import InputError, RerankError
from octant.promises import must, must_raise
from octant.records import Candidate, Ranking
from octant.rerank_report import RerankReport, ScoreKind
from octant.rerankers.base import Reranker
from octant.rerankers.chain import Chain
from octant.rerankers.model import Model

_WORDS = ("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor")
_QUERY = "Which passage is about a garden?"
_RANGES = {"probability": (0.0, 1.0), "cosine": (-1.0, 1.0), "rank": (0.0, 1.0)}


def check_reranker(reranker: Reranker, *, n: int = 12, dim: int = 16) -> None:
    """Check that ``reranker`` keeps the contract of :class:`octant.rerankers.Reranker`.

    It reranks made-up passages, well and badly formed, in plain and awaited form; the object passed in is left as it
    was.

    Parameters
    ----------
    reranker : Reranker
        Ready to run: one that asks a language model comes from :func:`octant.reranker` with a model that costs
        nothing and answers the same question alike, e.g. ``llm=lambda text: "yes"``.
    n : int
        How many passages, at least 4.
    dim : int
        Coordinates of their vectors.

    Raises
    ------
    AssertionError
        Saying which part of the contract is broken.

    Examples
    --------
    >>> from octant import reranker
    >>> check_reranker(reranker("first_stage > first_stage(top=3)"))
    """
    strict = reranker.using(replace(reranker.settings, on_failure="raise", shuffle=False))
    kind = reranker.using(replace(reranker.settings, on_failure="first_stage", shuffle=False))
    ranking = _ranking(n, dim)
    _check_configuration(reranker)
    _check_result(kind, ranking)
    _check_cut(kind, ranking)
    _check_twins(kind, ranking)
    _check_small(kind, ranking)
    _check_without_text(kind, ranking)
    _check_blank_query(kind, strict, ranking)
    _check_refusals(kind, ranking)
    if any(stage.needs_llm for stage in reranker.stages):
        _check_failing_model(kind, strict, ranking)
        _check_silent_model(kind, ranking)


def _ranking(n: int, dim: int) -> Ranking:
    """Passages of which two have the same score, and ids of both kinds."""
    rng = np.random.default_rng(0)
    scores = [1 - rank / n for rank in range(n)]
    scores[2] = scores[1]
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Ranking(
        tuple(
            Candidate(
                rank if rank % 2 else f"passage-{rank}",
                scores[rank],
                f"Passage {rank} tells of the {_WORDS[rank % len(_WORDS)]}.",
                {"rank": rank},
                vectors[rank],
            )
            for rank in range(n)
        ),
        _QUERY,
    )


def _check_configuration(reranker: Reranker) -> None:
    for stage in reranker.stages:
        again = type(stage)(**stage.config)
        must(repr(again) == repr(stage), f"{stage!r} must be rebuilt from its config, got {again!r}")


def _check_result(reranker: Reranker, ranking: Ranking) -> None:
    before = copy.deepcopy(ranking)
    done = reranker.rerank(_QUERY, ranking)
    _check_untouched(reranker, ranking, before)
    _check_permutation(reranker, done, ranking, len(ranking))
    _check_scores(reranker, done, ranking)
    report = _report(reranker, done)
    must(report.failure is None, f"{reranker!r} must work on ordinary passages, but failed: {report.failure}")
    if not report.count("fell back") and report.ended_early is None:
        _check_ties(reranker, done, ranking)


def _report(reranker: Reranker, done: Ranking) -> RerankReport:
    must(isinstance(done.report, RerankReport), f"{reranker!r} must give a report, got {done.report!r}")
    return cast("RerankReport", done.report)


def _check_untouched(reranker: Reranker, after: Ranking, before: Ranking) -> None:
    must(after == before, f"{reranker!r} must not change the ranking it is given")
    for one, other in zip(after, before, strict=True):
        same = one.vector is other.vector is None or np.array_equal(one.vector, other.vector)  # type: ignore[arg-type]
        must(same, f"{reranker!r} must not change the vectors of the candidates")


def _check_permutation(reranker: Reranker, done: Ranking, ranking: Ranking, count: int) -> None:
    must(len(done) == count, f"{reranker!r} must return {count} candidates, got {len(done)}")
    must(len(set(done.ids)) == len(done), f"{reranker!r} must not return a candidate twice, got {done.ids}")
    invented = set(done.ids) - set(ranking.ids)
    must(not invented, f"{reranker!r} must not invent candidates, got {sorted(map(str, invented))}")
    given = {candidate.id: candidate for candidate in ranking}
    for candidate in done:
        old = given[candidate.id]
        must(
            (candidate.text, candidate.payload) == (old.text, old.payload),
            f"{reranker!r} must return the candidates as they were, got {candidate} for {old}",
        )
        must(
            candidate.first_stage_score == old.score,
            f"{reranker!r} must keep the first-stage score {old.score}, got {candidate.first_stage_score}",
        )


def _check_scores(reranker: Reranker, done: Ranking, ranking: Ranking) -> None:
    must(done.score_kind in get_args(ScoreKind), f"{reranker!r}: unknown kind of score {done.score_kind!r}")
    must(all(map(math.isfinite, done.scores)), f"{reranker!r} must give finite scores, got {done.scores}")
    must(all(a >= b for a, b in pairwise(done.scores)), f"{reranker!r}: scores must not rise, got {done.scores}")
    low, high = _RANGES.get(done.score_kind, (-math.inf, math.inf))
    must(
        all(low - 1e-6 <= score <= high + 1e-6 for score in done.scores),
        f"{reranker!r}: a {done.score_kind} lies between {low} and {high}, got {done.scores}",
    )
    if done.score_kind == "first stage":
        must(done.ids == ranking.ids, f"{reranker!r} has another order than the search, but its scores")


def _check_ties(reranker: Reranker, done: Ranking, ranking: Ranking) -> None:
    places = [ranking.ids.index(candidate.id) for candidate in done]
    for (score, place), (next_score, next_place) in pairwise(zip(done.scores, places, strict=True)):
        must(score > next_score or place < next_place, f"{reranker!r} must leave equal scores in their order")


def _check_cut(reranker: Reranker, ranking: Ranking) -> None:
    for k in (1, 2, len(ranking) - 1, len(ranking), len(ranking) + 5):
        done = reranker.rerank(_QUERY, ranking, k)
        _check_permutation(reranker, done, ranking, min(k, len(ranking)))


def _check_twins(reranker: Reranker, ranking: Ranking) -> None:
    plain = reranker.rerank(_QUERY, ranking, 3)
    with ThreadPoolExecutor(1) as pool:  # the caller may be within an event loop
        awaited = pool.submit(lambda: asyncio.run(reranker.arerank(_QUERY, ranking, 3))).result()
    must(awaited.ids == plain.ids, f"{reranker!r}: arerank must agree with rerank, got {awaited.ids}, {plain.ids}")
    same = np.allclose(awaited.scores, plain.scores, atol=1e-5)
    must(same, f"{reranker!r}: arerank must score as rerank does, got {awaited.scores}, {plain.scores}")


def _check_small(reranker: Reranker, ranking: Ranking) -> None:
    for count in (0, 1):
        few = replace(ranking, candidates=ranking.candidates[:count])
        done = reranker.rerank(_QUERY, few)
        _check_permutation(reranker, done, few, count)
        _check_scores(reranker, done, few)
        report = _report(reranker, done)
        must(count or not report.calls, f"{reranker!r} must not ask about an empty ranking")


def _check_without_text(reranker: Reranker, ranking: Ranking) -> None:
    texts = [None if place in (0, 3) else candidate.text for place, candidate in enumerate(ranking)]
    some = _with_texts(ranking, texts)
    done = reranker.rerank(_QUERY, some)
    _check_permutation(reranker, done, some, len(some))
    _check_scores(reranker, done, some)
    none = _with_texts(ranking, [None, " \n"] * len(ranking))
    done = reranker.rerank(_QUERY, none)
    _check_permutation(reranker, done, none, len(none))
    if not isinstance(reranker, Chain) and reranker.needs_text:
        _check_unchanged(reranker, done, none, "without any text")


def _with_texts(ranking: Ranking, texts: list[str | None]) -> Ranking:
    pairs = zip(ranking, texts, strict=False)
    return replace(ranking, candidates=tuple(replace(candidate, text=text) for candidate, text in pairs))


def _check_blank_query(kind: Reranker, strict: Reranker, ranking: Ranking) -> None:
    for query in ("", " \n\t"):
        _check_unchanged(kind, kind.rerank(query, ranking), ranking, f"for the query {query!r}")
        must_raise(RerankError, partial(strict.rerank, query, ranking), f"{strict!r}: a blank query")


def _check_refusals(reranker: Reranker, ranking: Ranking) -> None:
    wrong: tuple[Any, ...] = (0, -1, 1.5, True)
    for k in wrong:
        must_raise(InputError, partial(reranker.rerank, _QUERY, ranking, k), f"{reranker!r}: k={k!r}")
    must_raise(InputError, lambda: reranker.rerank(None, ranking), f"{reranker!r}: no query")  # type: ignore[arg-type]
    must_raise(InputError, lambda: reranker.rerank(_QUERY, ["text"]), f"{reranker!r}: no ranking")  # type: ignore[arg-type]


def _check_failing_model(kind: Reranker, strict: Reranker, ranking: Ranking) -> None:
    def failing(text: str) -> str:
        raise RuntimeError(f"no answer to {len(text)} characters")

    if all(stage.needs_llm for stage in kind.stages):
        done = _asking(kind, failing).rerank(_QUERY, ranking)
        _check_unchanged(kind, done, ranking, "when the model fails")
    must_raise(RerankError, lambda: _asking(strict, failing).rerank(_QUERY, ranking), f"{strict!r}: a model that fails")


def _check_silent_model(reranker: Reranker, ranking: Ranking) -> None:
    done = _asking(reranker, lambda _: "").rerank(_QUERY, ranking)
    _check_permutation(reranker, done, ranking, len(ranking))
    if all(stage.needs_llm for stage in reranker.stages):
        must(done.ids == ranking.ids, f"{reranker!r} must leave what the model does not mention in its order")
        told = done.report is not None and (done.report.count("fell back") or done.report.failure)
        must(told, f"{reranker!r} must report that a model without a word made it fall back")


def _asking(reranker: Reranker, llm: Callable[[str], str]) -> Reranker:
    return reranker.using(replace(reranker.settings, model=Model(llm), cache=None, retries=0))


def _check_unchanged(reranker: Reranker, done: Ranking, ranking: Ranking, when: str) -> None:
    must(done.ids == ranking.ids, f"{reranker!r} must return the first-stage order {when}, got {done.ids}")
    must(done.scores == ranking.scores, f"{reranker!r} must return the first-stage scores {when}, got {done.scores}")
    must(_report(reranker, done).failure, f"{reranker!r} must say in the report why it did nothing {when}")
