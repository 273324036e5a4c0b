"""The contract of a selector, as a check that any plugin can run on itself."""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from octant.decision import Decision
from octant.errors import InputError
from octant.promises import must, must_raise
from octant.rankings import Rankings
from octant.records import Candidate, PointId, Ranking
from octant.selectors.base import Selected, Selector
from octant.selectors.judgements import JudgedSearch, JudgedSearches
from octant.selectors.learned import LearnedSelection

_NAMES = ("cheap", "dear", "words")


def check_selector(selector: Selector, *, n: int = 20, seed: int = 0) -> None:
    """Check that ``selector`` keeps the contract of :class:`octant.selectors.Selector`.

    It chooses among made-up rankings, well and badly formed, in plain and awaited form, before and after learning; the
    object passed in is left as it was.

    Parameters
    ----------
    selector : Selector
    n : int
        How many candidates each embedding has, at least 5.
    seed : int
        Of the rankings.

    Raises
    ------
    AssertionError
        Saying which part of the contract is broken.

    Examples
    --------
    >>> from octant import selector
    >>> check_selector(selector("rrf(k=10)"))
    """
    before = repr(selector)
    again = type(selector)(**selector.config)
    must(repr(again) == before, f"{selector!r} must be rebuilt from its config, got {again!r}")
    rankings = made(n, seed).rankings
    _check_use(selector, rankings)
    if selector.learns:
        _check_learning(selector, n, seed)
    else:
        must_raise(InputError, lambda: selector.learn(many(20, n)), f"{selector!r} must say that it learns nothing")
    must(repr(selector) == before, f"{before} must not change while it is used, it became {selector!r}")


def made(n: int, seed: int, *, judged: bool = True) -> JudgedSearch:
    """One query with the rankings of three embeddings that find relevant passages unequally well."""
    rng = np.random.default_rng(seed)
    gains: dict[PointId, float] = {f"passage {place}": float(place < 2) for place in range(2 * n)}
    rankings = {}
    for skill, name in enumerate(_NAMES, start=1):
        scores = rng.normal(size=2 * n) + np.array([skill * gain for gain in gains.values()])
        order = np.argsort(-scores)[:n]
        rankings[name] = Ranking(
            tuple(
                Candidate(f"passage {place}", float(scores[place]) * 10**skill, f"Text {place}.", {"n": int(place)})
                for place in order
            ),
            "Which text?",
        )
    return JudgedSearch(Rankings(rankings, {}, "Which text?"), gains if judged else {}, str(seed))


def many(count: int, n: int = 20, *, judged: bool = True) -> JudgedSearches:
    """So many queries, each other than the others."""
    return JudgedSearches(tuple(made(n, seed, judged=judged) for seed in range(count)))


def _check_use(selector: Selector, rankings: Rankings) -> None:
    before = copy.deepcopy(rankings)
    done = selector.select(rankings)
    must(rankings == before, f"{selector!r} must not change the rankings it is given")
    _check_result(selector, done, rankings)
    must(selector.select(rankings) == done, f"{selector!r} must choose alike when asked twice")
    must(asyncio.run(selector.aselect(rankings)) == done, f"{selector!r} must choose alike when awaited")
    must(selector.select(dict(rankings)) is not None, f"{selector!r} must take a plain mapping")
    short = selector.select(rankings, 3).ranking
    must(short.ids == done.ranking.ids[:3], f"{selector!r} must cut to k without another order")
    found = selector.search(lambda names, depth: rankings.only(*names), list(rankings))  # noqa: ARG005
    must(found.ranking.ids == done.ranking.ids, f"{selector!r} must find by search what it selects")
    _check_bad_input(selector, rankings)


def _check_result(selector: Selector, done: Selected, rankings: Mapping[str, Ranking]) -> None:
    ids = done.ranking.ids
    must(len(set(ids)) == len(ids), f"{selector!r} must return every candidate once, got {ids}")
    known = {candidate.id: candidate for ranking in rankings.values() for candidate in ranking}
    must(set(ids) <= set(known), f"{selector!r} must invent no candidate, got {set(ids) - set(known)}")
    chosen = (done.decision.chosen or "").split(" + ")
    must(set(chosen) <= set(rankings), f"{selector!r} must choose embeddings that answered, got {chosen}")
    wanted = {point for name in chosen for point in rankings[name].ids}
    must(set(ids) == wanted, f"{selector!r} must lose no candidate of {chosen}")
    scores = done.ranking.scores
    must(all(map(math.isfinite, scores)), f"{selector!r} must give finite scores, got {scores}")
    must(list(scores) == sorted(scores, reverse=True), f"{selector!r} must sort by its scores, best first")
    for candidate in done.ranking:
        original = known[candidate.id]
        same = (candidate.text, candidate.payload) == (original.text, original.payload)
        must(same, f"{selector!r} must keep texts and payloads, changed those of {candidate.id!r}")
        must(set(candidate.branch_scores) <= set(rankings), f"{selector!r} must keep scores by embedding's name")
    text = json.dumps(done.decision.as_json(), allow_nan=False)
    must(Decision.from_json(json.loads(text)) == done.decision, f"{selector!r}: its decision must survive JSON")
    must(done.decision.cost.get("searches", 0) > 0, f"{selector!r} must tell how many searches it took")


def _check_bad_input(selector: Selector, rankings: Rankings) -> None:
    first = next(iter(rankings))
    alone = selector.select(rankings.only(first))
    must(alone.ranking.ids == rankings[first].ids, f"{selector!r} must leave the only ranking as it is")
    told = " ".join(alone.decision.remarks)
    must("only one embedding" in told, f"{selector!r} must say that there was nothing to choose, said {told!r}")
    empty = Rankings(dict.fromkeys(rankings, Ranking(())))
    nothing = selector.select(empty)
    must(not nothing.ranking, f"{selector!r} must find nothing among empty rankings")
    must(
        (nothing.decision.chosen, nothing.decision.confidence) == (None, 0.0), f"{selector!r} must choose nothing then"
    )
    failed = selector.select(Rankings({name: rankings[name] for name in _NAMES[1:]}, {first: "refused"}))
    must(failed.decision.failures == {first: "refused"}, f"{selector!r} must tell which embedding failed, and why")
    must(len(failed.ranking) > 0, f"{selector!r} must go on with the embeddings that answered")
    alike = {name: Ranking(tuple(replace(one, score=1.0) for one in ranking)) for name, ranking in rankings.items()}
    _check_result(selector, selector.select(alike), alike)
    broken = Ranking(tuple(replace(one, score=math.nan) for one in rankings[first]))
    done = selector.select({**rankings, first: broken})
    must(first in done.decision.failures, f"{selector!r} must take a ranking with NaN among its scores for failed")
    wrong: Any
    for wrong in (0, -1, True, 2.5):
        must_raise(InputError, partial(selector.select, rankings, wrong), f"{selector!r} must refuse k={wrong!r}")
    must_raise(InputError, lambda: selector.select({}), f"{selector!r} must refuse a query without rankings")


def _check_learning(selector: Selector, n: int, seed: int) -> None:
    judged = many(40, n)
    learner = selector.learn(judged)
    must(selector.learned is None, f"{selector!r}.learn must return a copy, and change nothing")
    must(isinstance(learner.learned, LearnedSelection), f"{selector!r}.learn must keep what it learned")
    part = cast("LearnedSelection", learner.learned)
    must(selector.learn(judged).learned == part, f"{selector!r} must learn the same from the same")
    rankings = made(n, 1000 + seed).rankings
    _check_use(learner, rankings)
    again = selector.using(LearnedSelection.loads(part.dumps()))
    must(again.select(rankings) == learner.select(rankings), f"{selector!r} must choose alike when read from a file")
    must_raise(
        InputError, lambda: selector.learn(many(3, n)), f"{selector!r} must refuse three queries"
    )  # fmt: skip
