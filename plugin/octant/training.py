"""Train a reranker on judged questions of a collection, or let one that was trained elsewhere be used there."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from octant.collection import Collection, attaching
from octant.errors import InputError
from octant.flow import Flow, awaitable, blocking, step
from octant.gathering import DEPTH, gathered
from octant.judged import Question
from octant.records import PointId, Ranking
from octant.rerankers.assemble import assembled
from octant.rerankers.base import Reranker
from octant.rerankers.teacher import taught
from octant.rerankers.trained import RerankerPart, TrainedReranker, part_at
from octant.search import Mode
from octant.work import Work

TAUGHT = 10
"""How many of a teacher's best count as relevant, the first most."""


def _train_reranker(
    spec: str,
    collection: Collection,
    questions: Sequence[Question],
    *,
    teacher: Reranker | None = None,
    k: int = DEPTH,
    mode: Mode = "dense",
    seed: int = 0,
    attach: bool = True,
    progress: bool = False,
) -> Flow[RerankerPart]:
    """Train the reranker of ``spec`` on what ``collection`` finds for ``questions``.

    Questions that were held back decide whether what was learned is surely better than no change: all of them, each
    held back once, or a quarter where learning takes long (:attr:`TrainedReranker.folds`).

    Parameters
    ----------
    spec : str
        Of a reranker that is trained, e.g. ``"learned"``, ``"refine(labels=lexical)"``.
    collection : Collection
        Opened with its embedding.
    questions : sequence of Question
        At least 40, judged; with a ``teacher`` they need no judgements.
    teacher : Reranker, optional
        Learn from its rankings. Validation goes by the judgements where there are any, else by the teacher.
    k : int
        Candidates of each question.
    mode : {"dense", "sparse", "hybrid"}
        How to search: it may then rerank such rankings only.
    seed : int
    attach : bool
        Keep what was learned with the collection.
    progress : bool
        Show progress bars on standard error.

    Returns
    -------
    RerankerPart
        Its ``report`` tells in plain words what was learned and whether it helps.

    Raises
    ------
    InputError
        If ``spec`` is not of a trained reranker, or there are too few questions.
    SpecError
    Exception
        As :meth:`Collection.search`.
    """
    reranker = trained_reranker(spec)
    judged = yield from gathered(collection, questions, k=k, mode=mode, progress=progress)
    work = Work(progress=progress)
    lessons = None if teacher is None else (yield from taught(judged, teacher, _best_few, work))
    unjudged = not any(one.found_gains.any() for one in judged)
    if unjudged and lessons is None:
        raise InputError(
            "nothing that is judged relevant was found for any of the questions: are the judged ids those of the "
            "collection's documents?"
        )
    truth = lessons if unjudged and lessons is not None else judged
    part = yield from step(lambda: reranker.train(truth, lessons=lessons, seed=seed, work=work))
    if attach:
        yield from attaching.attach(collection, part)
    return part


train_reranker = blocking(_train_reranker)
atrain_reranker = awaitable(_train_reranker)


def _adopt_reranker(
    part: RerankerPart | str | PathLike[str],
    collection: Collection,
    questions: Sequence[Question],
    *,
    k: int = DEPTH,
    mode: Mode = "dense",
    attach: bool = True,
    progress: bool = False,
) -> Flow[RerankerPart]:
    """Validate a reranker that was trained elsewhere on ``collection``; it acts there if it surely helps.

    Parameters
    ----------
    part : RerankerPart, str or Path
        What was learned, or its file.
    collection : Collection
        Opened with its embedding.
    questions : sequence of Question
        At least 20, judged, none of which it has learned from.
    k, mode, attach, progress
        As for :func:`train_reranker`.

    Returns
    -------
    RerankerPart
        The same, with what validation showed in ``origin.corpora``.

    Raises
    ------
    InputError, MismatchError, ArtifactError
        If there are too few questions, the embedding or search is another, or the file cannot be read.
    """
    learned = part if isinstance(part, RerankerPart) else part_at(part)
    reranker = trained_reranker(learned.spec)
    judged = yield from gathered(collection, questions, k=k, mode=mode, progress=progress)
    adopted = yield from step(lambda: reranker.adopt(learned, judged))
    if attach:
        yield from attaching.attach(collection, adopted)
    return adopted


adopt_reranker = blocking(_adopt_reranker)
aadopt_reranker = awaitable(_adopt_reranker)


def trained_reranker(spec: str) -> TrainedReranker:
    """The reranker of ``spec``, which must be one that is trained.

    Raises
    ------
    SpecError
        If the spec has a mistake.
    InputError
        If it is of a reranker that learns nothing, or a chain.
    """
    reranker = assembled(spec)
    if not isinstance(reranker, TrainedReranker):
        raise InputError(f"{spec!r} learns nothing from judged rankings: train learned or refine, for example")
    return reranker


def _best_few(done: Ranking) -> dict[PointId, float]:
    """What a teacher's ranking says: 1 for the first, 1/2 for the second, and so on."""
    return {point: 1.0 / rank for rank, point in enumerate(done.ids[:TAUGHT], start=1)}
