"""What rerankers that are trained have in common: validation against no change, and where a model may be used.

A model is used only on collections where judged queries that it never saw have shown that it helps: the lower end of
the 95 % interval of the gain in nDCG@10 is above zero. "No change" wins every doubt.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from octant import envelope
from octant.construct import registered
from octant.errors import ArtifactError, InputError
from octant.flow import Flow, step
from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import JSON, FloatArray, Ranking
from octant.registry import names
from octant.rerank_report import ScoreKind
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import Settings
from octant.statistics import Estimate, paired_difference
from octant.trained import Figure, Origin, TrainedPart, TrainingReport
from octant.work import QUIET, Work

FEWEST = 40
"""Judged queries that a training needs."""
FEWEST_TO_VALIDATE = 20
"""Judged queries that a validation needs: fewer show nothing."""
_NOTHING = "nothing relevant among the candidates that is not first already: nothing to learn from"
_MOST_NEEDED = 20_000
"""More queries than that nobody judges to find a gain so small."""

Scorer: TypeAlias = Callable[[Judged], FloatArray]
"""Scores (n,) of a query's candidates; higher is better."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What a method has learned.

    Attributes
    ----------
    header, arrays : mapping
        As a :class:`TrainedPart` keeps them.
    what : str
        In plain words.
    """

    header: Mapping[str, JSON]
    arrays: Mapping[str, NDArray[Any]]
    what: str


class RerankerPart(TrainedPart):
    """What a trained reranker has learned: a header and arrays, read by the reranker itself."""

    def __init__(self, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(origin)
        self._header = {name: value for name, value in header.items() if name not in ("origin", "format", "version")}
        self._arrays = dict(arrays)
        self.check()

    @property
    def header(self) -> Mapping[str, JSON]:
        """What it learned that is no array."""
        return self._header

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What it learned that is arrays."""
        return self._arrays

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The part that has this header and these arrays."""
        return cls(origin, header, arrays)

    @abstractmethod
    def check(self) -> None:
        """Raise KeyError, TypeError or ValueError where header and arrays do not belong together."""


class TrainedReranker(Reranker):
    """A reranker that learns from judged rankings.

    A subclass sets ``part`` and ``score_kind``, and writes ``_learn`` and ``_scores``. This class holds back a part of
    the queries, decides between what was learned and no change, and lets a model act only where it was shown to help.

    Attributes
    ----------
    part : type
        What it learns.
    score_kind : ScoreKind
        What its scores mean.
    folds : int
        Parts of the queries, each validated by what learned from the others: all queries then tell whether it helps,
        and what serves learned from all. 1: a quarter is held back instead, for methods that take long to learn.
    """

    part: ClassVar[type[RerankerPart]]
    score_kind: ClassVar[ScoreKind] = "grade"
    folds: ClassVar[int] = 1

    # -- what a method writes ------------------------------------------------------------------

    @abstractmethod
    def _learn(self, judged: JudgedRankings, seed: int, work: Work) -> Learned | None:
        """Learn from ``judged``, none of which will be validated on; None where nothing can be learned."""

    @abstractmethod
    def _scores(self, part: RerankerPart, query: str, ranking: Ranking, vector: FloatArray | None) -> FloatArray:
        """Scores (n,) of the candidates; higher is better."""

    # -- learning ------------------------------------------------------------------------------

    def train(
        self, judged: JudgedRankings, *, lessons: JudgedRankings | None = None, seed: int = 0, work: Work = QUIET
    ) -> RerankerPart:
        """Learn from ``judged``, and decide on queries that were not learned from whether that helps.

        A quarter is held back; or, where learning is quick, every query is validated once (``folds``).

        Queries of one group stay on one side. The same data and seed give equal bytes.

        Parameters
        ----------
        judged : JudgedRankings
            At least 40, with the candidates' vectors and those of the queries where the method reads them.
        lessons : JudgedRankings, optional
            The same queries with other judgements to learn from, such as a teacher's; validation goes by ``judged``.
        seed : int
        work : Work
            Shows progress.

        Raises
        ------
        InputError
            If there are too few queries, or they lack what the method reads.
        """
        self._check_judged(judged, FEWEST)
        lessons = judged if lessons is None else lessons
        return (self._held_back if self.folds == 1 else self._crossed)(judged, lessons, seed, work)

    def _held_back(self, judged: JudgedRankings, lessons: JudgedRankings, seed: int, work: Work) -> RerankerPart:
        known, unseen = judged.split(0.25, seed=seed)
        self._check_judged(unseen, 1)
        learned = self._learn(lessons.split(0.25, seed=seed)[0], seed, work)
        if learned is None:
            return self._nothing(judged, TrainingReport(_NOTHING, len(known), len(unseen), no_change=True))
        drafted = self._made(learned, judged, TrainingReport(learned.what, len(known), len(unseen)))
        return self._made(learned, judged, self._validated(drafted, unseen, len(known)))

    def _crossed(self, judged: JudgedRankings, lessons: JudgedRankings, seed: int, work: Work) -> RerankerPart:
        report = TrainingReport(_NOTHING, len(judged), len(judged), no_change=True, crossed=True)
        learned = self._learn(lessons, seed, work)
        if learned is None:
            return self._nothing(judged, report)
        scores: dict[Judged, FloatArray] = {}
        sides = [*zip(lessons.folds(self.folds, seed=seed), judged.folds(self.folds, seed=seed), strict=True)]
        for (taught, _), (_, unseen) in work.steps(sides, what="validate"):
            known = self._learn(taught, seed, work)
            part = None if known is None else self._made(known, judged, report)
            for one in unseen:
                scores[one] = (
                    -np.arange(len(one.ranking), dtype=np.float32)
                    if part is None
                    else self._scores(part, one.query, one.ranking, one.vector)
                )
        report = replace(report, learned=learned.what)
        return self._made(learned, judged, _decided(report, judged, scores.__getitem__))

    def _nothing(self, judged: JudgedRankings, report: TrainingReport) -> RerankerPart:
        return self._made(Learned({}, {}, report.learned), judged, report)

    def adopt(self, part: RerankerPart, judged: JudgedRankings) -> RerankerPart:
        """Validate what was learned elsewhere on this collection, and let it act there if it surely helps.

        Parameters
        ----------
        part : RerankerPart
        judged : JudgedRankings
            At least 20 queries of the collection, none of which ``part`` has learned from.

        Returns
        -------
        RerankerPart
            The same, with the validation noted; ``origin.corpora`` tells what it showed.

        Raises
        ------
        InputError
            If there are too few queries, or nobody knows which collection they are of.
        MismatchError
            If the rankings were made by another embedding, or another kind of search.
        """
        self._check_judged(judged, FEWEST_TO_VALIDATE)
        corpus = part.check_adoption(judged.embedding, judged.corpus, judged.first_stage)
        return part.adopted(corpus, self._validated(part, judged, part.report.fitted_on))

    def _made(self, learned: Learned, judged: JudgedRankings, report: TrainingReport) -> RerankerPart:
        corpora = {} if judged.corpus is None else {judged.corpus: report}
        origin = Origin(repr(self), judged.embedding, judged.first_stage, report, corpora)
        return self.part(origin, learned.header, learned.arrays)

    def _validated(self, part: RerankerPart, unseen: JudgedRankings, fitted_on: int) -> TrainingReport:
        if not part.arrays:  # nothing was learned, so nothing can help anywhere
            return part.report
        report = TrainingReport(part.report.learned, fitted_on, len(unseen))
        return _decided(report, unseen, lambda one: self._scores(part, one.query, one.ranking, one.vector))

    def _check_judged(self, judged: JudgedRankings, fewest: int) -> None:
        if len(judged) < fewest:
            raise InputError(f"{self!r} needs at least {fewest} judged queries, got {len(judged)}: judge more of them")
        if self.needs_embedder and any(one.vector is None for one in judged):
            raise InputError(f"{self!r} reads the vectors of queries: open the collection with its embedding")
        if self.needs_vectors and any(found.vector is None for one in judged for found in one.ranking):
            raise InputError(f"{self!r} reads the candidates' vectors: gather the rankings with them")

    # -- serving -------------------------------------------------------------------------------

    def _lacks(self, settings: Settings) -> str | None:
        if settings.shelf is None:
            return (
                "has to be trained first: pass trained=, what octant train wrote or the collection that it was "
                "attached to"
            )
        return super()._lacks(settings)

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        part = yield from run.shelf.find(self.part, repr(self), run.embedder if self.needs_embedder else None)
        reason = (yield from run.shelf.untried(part)) or self._unlike(part, ranking)
        if reason is not None:
            run.remark(f"the order is as it was: {reason}")
            return Order.unchanged(len(ranking))
        vector = None
        if self._reads_query(part):
            part.check_embedding((yield from step(lambda: run.embedder.identity)))
            vector = (yield from run.embedder.embed_queries([query]))[0]
        scores = yield from step(lambda: self._scores(part, query, ranking, vector))
        return Order.by_score(scores.tolist(), self.score_kind)

    def _reads_query(self, part: RerankerPart) -> bool:
        """Whether ``part`` compares candidates with the query's vector, which then has to be made."""
        del part
        return self.needs_embedder

    def _unlike(self, part: RerankerPart, ranking: Ranking) -> str | None:
        """Why ``ranking`` is no such ranking as it was trained on; None where it is."""
        if not part.arrays:
            return part.report.learned
        if ranking.score_kind != "first stage":
            return f"{self!r} was trained on what a search returns, and these scores are a reranker's"
        return None


def _decided(report: TrainingReport, unseen: JudgedRankings, score: Scorer) -> TrainingReport:
    """``report`` with what ``score`` does to queries that it did not learn from, and whether it may act."""
    figures = compared(unseen, score)
    surely = figures[0].difference.low > 0 and len(unseen) >= FEWEST_TO_VALIDATE
    doubt = None if surely else _doubt(figures[0].difference, len(unseen))
    return replace(report, figures=figures, no_change=not surely, remarks=() if doubt is None else (doubt,))


def _doubt(gain: Estimate, count: int) -> str | None:
    """What keeps ``count`` validated queries from showing a gain; None where they show that there is none."""
    if count < FEWEST_TO_VALIDATE:
        return f"fewer than {FEWEST_TO_VALIDATE} queries to validate on can show nothing"
    if gain.value <= 0:
        return None
    # An interval narrows with the root of the number of queries.
    needed = count * ((gain.value - gain.low) / gain.value) ** 2
    if needed > _MOST_NEEDED:
        return None
    return (
        f"{count:,} queries cannot tell this gain from chance: if it is real, validating on about {needed:,.0f} would "
        "show it"
    )


def parts_of(reranker: Reranker, given: Sequence[TrainedPart | str | Path]) -> tuple[TrainedPart, ...]:
    """What was given for ``reranker``; files are read as what one of its stages learns.

    Raises
    ------
    InputError
        If something is neither a part nor a file, or no stage is trained.
    ArtifactError
        If a file is none of Octant's, or not of a kind that a stage learns.
    """
    kinds = [stage.part for stage in reranker.stages if isinstance(stage, TrainedReranker)]
    if given and not kinds:
        raise InputError(f"{reranker!r} learns nothing: leave out trained=")
    return tuple(_part_of(one, kinds) for one in given)


def part_at(path: str | PathLike[str]) -> RerankerPart:
    """What a reranker learned, from its file; which reranker, the file says.

    Raises
    ------
    ArtifactError
        If the file is none of Octant's, or holds nothing that a reranker learned.
    PluginError
        If the reranker is not installed.
    """
    try:
        kind = envelope.kind_of(Path(path).read_bytes()).removeprefix("octant-")
    except OSError as error:
        raise ArtifactError(f"expected what a reranker learned at {path}, cannot read it: {error}") from error
    known = registered("rerankers", Reranker, kind) if kind in names("rerankers") else None  # type: ignore[type-abstract]
    if known is None or not issubclass(known, TrainedReranker):
        raise ArtifactError(f"expected what a reranker learned at {path}, it holds {kind!r}")
    return known.part.load(path)


def _part_of(given: object, kinds: Sequence[type[RerankerPart]]) -> TrainedPart:
    if isinstance(given, TrainedPart):
        return given
    if not isinstance(given, str | PathLike):
        raise InputError(f"trained must be a part, the path of its file, or a collection; got {type(given).__name__}")
    part = part_at(given)
    if not isinstance(part, tuple(kinds)):
        raise InputError(f"{given} holds what was trained for {part.spec!r}: rerank with that spec")
    return part


def compared(judged: JudgedRankings, score: Scorer) -> tuple[Figure, ...]:
    """nDCG@10 and the reciprocal rank in the first 10 by ``score``, against the order that was found."""
    orders = [np.argsort(-score(one), kind="stable") for one in judged]
    figures = []
    for name, measure in (("nDCG@10", ndcg), ("MRR@10", reciprocal_rank)):
        before = np.array([measure(one) for one in judged])
        after = np.array([measure(one, order.tolist()) for one, order in zip(judged, orders, strict=True)])
        figures.append(Figure(name, float(before.mean()), float(after.mean()), paired_difference(after, before)))
    return tuple(figures)


def reciprocal_rank(judged: Judged, order: list[int] | None = None, *, k: int = 10) -> float:
    """1 / rank of the first relevant candidate among the first ``k``; 0 where there is none."""
    gains = judged.found_gains
    hits = np.flatnonzero((gains if order is None else gains[order])[:k] > 0)
    return 1.0 / (int(hits[0]) + 1) if len(hits) else 0.0
