"""A reranker as a teacher: what it says of rankings, in the place of judgements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from octant.errors import InputError
from octant.flow import Flow, step
from octant.judged import Judged, JudgedRankings
from octant.records import PointId, Ranking
from octant.rerankers.base import Reranker
from octant.work import QUIET, Work

Marks: TypeAlias = Callable[[Ranking], Mapping[PointId, float]]
"""What a teacher's ranking says of each candidate, as gains."""


def taught(judged: JudgedRankings, teacher: Reranker, marks: Marks, work: Work = QUIET) -> Flow[JudgedRankings]:
    """``judged`` with what ``teacher`` says in place of its judgements.

    Parameters
    ----------
    judged : JudgedRankings
    teacher : Reranker
    marks : callable
        From the teacher's ranking of a query's candidates to their gains.
    work : Work
        Shows progress.

    Returns
    -------
    JudgedRankings
        The same queries; those on which the teacher could not do its work without any gains.

    Raises
    ------
    InputError
        If that were all of them; names the first reason.
    RerankError
        As the teacher does, where it was told to raise.
    """
    lessons: list[Judged] = []
    reasons: list[str] = []
    for one in work.steps(judged, what=f"ask the teacher {teacher!r}", total=len(judged)):
        done = yield from _answer(teacher, one)
        failure = None if done.report is None else done.report.failure
        if failure is not None:
            reasons.append(failure)
        lessons.append(replace(one, gains=marks(done) if failure is None else {}))
    if lessons and len(reasons) == len(lessons):
        raise InputError(f"the teacher {teacher!r} failed on every question: {reasons[0]}")
    return replace(judged, queries=tuple(lessons))


def _answer(teacher: Reranker, one: Judged) -> Flow[Ranking]:
    return (
        yield from step(lambda: teacher.rerank(one.query, one.ranking), lambda: teacher.arerank(one.query, one.ranking))
    )
