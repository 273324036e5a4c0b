"""Train a cutoff for a collection: by judgements, by a reranker's answers, or by what questions were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from octant.collection import Collection, attaching
from octant.cutoffs.cutoff import Cutoff, Labels
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking, step
from octant.gathering import DEPTH
from octant.gathering import _gather as gather
from octant.judged import Judged, Question
from octant.records import PointId, Ranking
from octant.rerankers.base import Reranker
from octant.training import _reranked as reranked
from octant.work import Work, progress_bar

TAUGHT = 3
"""How many of a teacher's best count as relevant, where its scores are no probabilities."""


def _train_cutoff(
    collection: Collection,
    questions: Sequence[Question],
    *,
    teacher: Reranker | None = None,
    labels: Labels = "judgements",
    probe: int = 0,
    relevant: float = 1.0,
    recall: float | None = None,
    precision: float | None = None,
    k: int = DEPTH,
    seed: int = 0,
    attach: bool = True,
    progress: bool = False,
) -> Flow[Cutoff]:
    """Train a cutoff on what a dense search of ``collection`` finds for ``questions``.

    Parameters
    ----------
    collection : Collection
        Opened with its embedding.
    questions : sequence of Question
        At least 20, judged; with a ``teacher`` they need no judgements.
    teacher : Reranker, optional
        Relevant is what it gives a probability of at least one half, or its best three where its scores are others.
    labels : {"judgements", "source"}
        Whether people judged, or a question is judged to be about the passage that it was made of.
    probe, relevant, recall, precision, seed
        See :meth:`octant.Cutoff.train`.
    k : int
        Candidates of each question: as many as searches will ask for.
    attach : bool
        Keep it with the collection.
    progress : bool
        Show progress bars on standard error.

    Raises
    ------
    InputError
        As for :meth:`octant.Cutoff.train`.
    Exception
        As :meth:`Collection.search`.
    """
    judged = yield from gather(collection, questions, k=k, mode="dense", progress=progress)
    if teacher is not None:
        if labels != "judgements":
            raise InputError(f"a teacher gives the labels, got labels={labels!r} too: leave one of them out")
        taught: list[Judged] = []
        with progress_bar(len(judged), title="ask the teacher", unit="query", show=progress) as advance:
            for one in judged:
                taught.append(replace(one, gains=_gains((yield from reranked(teacher, one)))))
                if advance is not None:
                    advance(1)
        judged, labels, relevant = replace(judged, queries=tuple(taught)), "teacher", 1.0
    cutoff = yield from step(
        lambda: Cutoff.train(
            judged, probe=probe, relevant=relevant, recall=recall, precision=precision, labels=labels, seed=seed,
            work=Work(progress=progress),
        )
    )  # fmt: skip
    if attach:
        yield from attaching.attach(collection, cutoff)
    return cutoff


train_cutoff = blocking(_train_cutoff)
atrain_cutoff = awaitable(_train_cutoff)


def _gains(done: Ranking) -> dict[PointId, float]:
    """What a teacher's ranking says: nothing where it could not do its work."""
    if done.report is not None and done.report.failure is not None:
        return {}
    if done.score_kind == "probability":
        return {hit.id: 1.0 for hit in done if hit.score >= 0.5}
    return dict.fromkeys(done.ids[:TAUGHT], 1.0)
