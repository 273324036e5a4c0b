"""Train a cutoff for a collection: by judgements, by a reranker's answers, or by what questions were made of."""

from __future__ import annotations

from collections.abc import Sequence

from octant.collection import Collection, attaching
from octant.cutoffs.cutoff import Cutoff, Labels
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking, step
from octant.gathering import DEPTH, gathered
from octant.judged import Question
from octant.records import PointId, Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.teacher import taught
from octant.work import Work

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
    work = Work(progress=progress)
    judged = yield from gathered(collection, questions, k=k, mode="dense", progress=progress)
    if teacher is not None:
        if labels != "judgements":
            raise InputError(f"a teacher gives the labels, got labels={labels!r} too: leave one of them out")
        judged = yield from taught(judged, teacher, _relevant, work)
        labels, relevant = "teacher", 1.0
    cutoff = yield from step(
        lambda: Cutoff.train(
            judged, probe=probe, relevant=relevant, recall=recall, precision=precision, labels=labels, seed=seed,
            work=work,
        )
    )  # fmt: skip
    if attach:
        yield from attaching.attach(collection, cutoff)
    return cutoff


train_cutoff = blocking(_train_cutoff)
atrain_cutoff = awaitable(_train_cutoff)


def _relevant(done: Ranking) -> dict[PointId, float]:
    """What a teacher's ranking says is relevant."""
    if done.score_kind == "probability":
        return {hit.id: 1.0 for hit in done if hit.score >= 0.5}
    return dict.fromkeys(done.ids[:TAUGHT], 1.0)
