"""The cheap embedding first, the next one only where the first is not sure enough."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from octant.errors import ArtifactError, InputError
from octant.flow import Flow
from octant.rankings import Rankings
from octant.records import Ranking
from octant.selectors import evidence
from octant.selectors.base import DEPTH, Ask, Choice, Selected, Selector, check_k, cut, marked, names_of, sound
from octant.selectors.judgements import JudgedSearch, JudgedSearches
from octant.selectors.learned import LearnedSelection
from octant.selectors.pool import pooled
from octant.selectors.signals import Floats
from octant.statistics import bootstrap_mean
from octant.trained import Figure, Origin, TrainingReport

LEAST = 20
"""Queries, judged or not, below which no threshold is set."""
UNSET = "no threshold was learned: every query is escalated (octant calibrate; queries without judgements are enough)"


class Cascade(Selector):
    """Asks the embeddings one after the other, and stops at the first whose ranking is sure enough.

    Sureness is the dispersion of the scores: the mean of deviation, NQC, WIG and SMV, each standardised over the
    queries that were learned from. A threshold for a wanted ``rate`` needs queries only; one for a wanted ``quality``
    needs judgements. Only what is needed is searched, if it is called by ``search``.

    Parameters
    ----------
    rate : float
        Share of the queries that go on to the next embedding, between 0 and 1.
    quality : float, optional
        In place of the rate: nDCG@10 as a share of that of always going on, as the queries that it was learned from
        show it; the lowest rate that keeps it is taken.

    Raises
    ------
    InputError
    """

    name = "cascade"
    learns = True
    usage = "cascade(rate=0.5), or cascade(quality=0.98)"

    def __init__(self, rate: float = 0.5, quality: float | None = None) -> None:
        self.rate, self.quality = _share("rate", rate), None if quality is None else _share("quality", quality)

    def searching(self, ask: Ask, embeddings: Sequence[str], k: int | None = None) -> Flow[Selected]:
        """Search one embedding after the other, while needed; see :meth:`Selector.search`."""
        check_k(k)
        seen: dict[str, Ranking] = {}
        failures: dict[str, str] = {}
        query = None
        stopped = False
        for name in names_of(embeddings):
            rankings = sound((yield from ask((name,), self.wanted(k))))
            seen.update(rankings)
            failures.update(rankings.failures)
            query = query or rankings.query
            stopped = name in rankings and self._stops(name, rankings[name])
            if stopped:
                break
        return self._decided(Rankings(seen, failures, query), k, stopped=stopped)

    def learn(
        self, judged: JudgedSearches, *, embeddings: Sequence[str] | None = None, depth: int = DEPTH, seed: int = 0
    ) -> Self:
        """A copy that has learned its thresholds from queries; this one stays as it is.

        Parameters
        ----------
        judged : JudgedSearches
            At least 20; their judgements are only needed for ``quality``, and reported on otherwise.
        embeddings : sequence of str, optional
            The cheapest first; in the order they come without it.
        depth : int
            Candidates of each embedding to look at, here and later.
        seed : int
            Of nothing here: the rule has no free choice.

        Raises
        ------
        InputError
            If there are too few queries, fewer than two embeddings, or ``quality`` is wanted without judgements.
        """
        del seed
        names = tuple(judged.embeddings if embeddings is None else embeddings)
        if len(names) < 2:
            raise InputError(f"a cascade needs at least two embeddings, got {', '.join(names) or 'none'}")
        useful = judged.judged(least=LEAST) if self.quality is not None else judged
        whole = [one for one in useful if all(one.rankings.get(name) for name in names)]
        if len(whole) < LEAST:
            raise InputError(f"a threshold needs at least {LEAST} queries that all embeddings answer, got {len(whole)}")
        stages = [_stage([one.rankings[name] for one in whole], depth) for name in names[:-1]]
        thresholds, rates = [], []
        for place, stage in enumerate(stages):
            sureness = np.array([stage.sureness(one.rankings[names[place]], depth) for one in whole])
            rate = self._rate(whole, names[place : place + 2], sureness, depth)
            # Between two queries that were seen, so that equal ones fall on one side.
            thresholds.append(float(np.quantile(sureness, rate)))
            rates.append(rate)
        state = {
            "mean": np.stack([stage.mean for stage in stages]),
            "scale": np.stack([stage.scale for stage in stages]),
            "thresholds": np.array(thresholds),
        }
        report = _report(whole, names, rates, stages, thresholds, depth)
        corpora = {} if judged.corpus is None else {judged.corpus: report}
        twin = copy.copy(self)
        origin = Origin(repr(self), None, "", report, corpora)
        twin._learned = LearnedSelection(origin, names, judged.identities, depth, state)
        return twin

    def _check_arrays(self, learned: LearnedSelection) -> None:
        stages, width = len(learned.embeddings) - 1, len(evidence.DISPERSION)
        wanted = {"mean": (stages, width), "scale": (stages, width), "thresholds": (stages,)}
        if {name: value.shape for name, value in learned.state.items()} != wanted:
            raise ArtifactError(f"what was learned by {learned.spec!r} does not hold its thresholds: learn again")

    def _select(self, rankings: Rankings) -> Choice:
        """Of rankings that are all there: the first that is sure enough, or the last."""
        sureness: dict[str, float] = {}
        for name, ranking in rankings.items():
            last = name
            known = self._sureness(name, ranking)
            if known is not None:
                sureness[name] = round(known, 4)
            if self._stops(name, ranking):
                break
        remarks = (UNSET,) if self._learned is None else ()
        told = {"sureness": sureness, **({} if self._learned is None else {"thresholds": self._thresholds()})}
        return Choice(marked(last, rankings[last]), (last,), sureness, told, remarks)

    def _doubts(self, found: Rankings) -> list[str]:
        doubts = [] if self._learned is None else super()._doubts(found)
        return [doubt for doubt in doubts if not doubt.startswith("learned with")]

    def _stops(self, name: str, ranking: Ranking) -> bool:
        known = self._sureness(name, ranking)
        return known is not None and known >= self._thresholds()[name]

    def _thresholds(self) -> dict[str, float]:
        if self._learned is None:
            return {}
        thresholds = self._learned.state["thresholds"]
        return {name: float(value) for name, value in zip(self._learned.embeddings, thresholds, strict=False)}

    def _sureness(self, name: str, ranking: Ranking) -> float | None:
        """None for the last embedding, for one it does not know, and where nothing was found."""
        known = self._thresholds()
        if self._learned is None or name not in known or not ranking:
            return None
        place = list(known).index(name)
        stage = _Stage(self._learned.state["mean"][place], self._learned.state["scale"][place])
        return stage.sureness(ranking, self.depth)

    def _rate(self, whole: Sequence[JudgedSearch], pair: Sequence[str], sureness: Floats, depth: int) -> float:
        if self.quality is None:
            return self.rate
        pool = pooled(JudgedSearches(tuple(whole)), pair, depth=depth, with_signals=False)
        alone = pool.alone
        order = np.argsort(sureness, kind="stable")
        reached = (alone[:, 0].sum() + np.append(0.0, np.cumsum((alone[:, 1] - alone[:, 0])[order]))) / len(alone)
        enough = np.flatnonzero(reached >= self.quality * alone[:, 1].mean())
        return float(enough[0] / len(alone)) if len(enough) else 1.0


@dataclass(frozen=True, eq=False)
class _Stage:
    """Mean and deviation (4,) of the signals of dispersion, over the queries that were learned from."""

    mean: Floats
    scale: Floats

    def sureness(self, ranking: Ranking, depth: int) -> float:
        """Mean of the standardised signals; higher is surer."""
        return float(np.mean((_dispersion(ranking, depth) - self.mean) / self.scale))


def _stage(rankings: Sequence[Ranking], depth: int) -> _Stage:
    seen = np.stack([_dispersion(ranking, depth) for ranking in rankings])
    scale = seen.std(axis=0)
    return _Stage(seen.mean(axis=0), np.where(scale > 1e-9 * (1 + np.abs(seen.mean(axis=0))), scale, 1.0))


def _dispersion(ranking: Ranking, depth: int) -> Floats:
    found = evidence.of_ranking(replace(cut(ranking, depth), query=None))
    return np.array([found[name] for name in evidence.DISPERSION])


def _report(
    whole: Sequence[JudgedSearch],
    names: Sequence[str],
    rates: Sequence[float],
    stages: Sequence[_Stage],
    thresholds: Sequence[float],
    depth: int,
) -> TrainingReport:
    told = ", ".join(f"{rate:.0%} of the queries go on from {name}" for name, rate in zip(names, rates, strict=False))
    judged = [one for one in whole if one.judged]
    if not judged:
        return TrainingReport(told, len(whole), 0, remarks=("no judgements: quality was not looked at",))
    alone = pooled(JudgedSearches(tuple(judged)), names, depth=depth, with_signals=False).alone
    reached = np.array([_stopped(one, names, stages, thresholds, depth) for one in judged])
    after = np.take_along_axis(alone, reached[:, None], axis=1)[:, 0]
    best = alone[:, -1]
    figure = Figure("nDCG@10", float(best.mean()), float(after.mean()), bootstrap_mean(after - best))
    remark = f"before is always {names[-1]}; measured on the queries that the threshold was set on"
    return TrainingReport(told, len(whole), len(judged), (figure,), remarks=(remark,))


def _stopped(
    one: JudgedSearch, names: Sequence[str], stages: Sequence[_Stage], thresholds: Sequence[float], depth: int
) -> int:
    for place, (stage, threshold) in enumerate(zip(stages, thresholds, strict=True)):
        if stage.sureness(one.rankings[names[place]], depth) >= threshold:
            return place
    return len(stages)


def _share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number between 0 and 1, got {value!r}")
    return value
