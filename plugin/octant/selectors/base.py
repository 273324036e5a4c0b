"""The contract of a selector."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

import numpy as np
from typing_extensions import Self

from octant.decision import Decision
from octant.errors import InputError
from octant.flow import Flow, arun, run, step
from octant.rankings import Rankings
from octant.records import JSON, Candidate, EmbeddingIdentity, Ranking
from octant.selectors import evidence
from octant.selectors.judgements import JudgedSearches
from octant.selectors.learned import LearnedSelection
from octant.spec import Call

if TYPE_CHECKING:
    from octant.selectors.weak_retrieval import Calibration

DEPTH = 100
"""Candidates wanted of each embedding where nothing was learned."""
WITHIN = 5
ESTIMATES = f"a relevant passage is among the first {WITHIN}"
NO_CALIBRATION = "the confidence is not calibrated: only its order means something (octant calibrate)"
ALONE = "only one embedding found anything: there was nothing to choose"

Ask: TypeAlias = Callable[[tuple[str, ...], int], Flow[Rankings]]
"""Search these embeddings for so many candidates each."""


class Selected(NamedTuple):
    """What a selector returns.

    Attributes
    ----------
    ranking : Ranking
        Each candidate with the scores of the embeddings that found it in ``branch_scores``.
    decision : Decision
    """

    ranking: Ranking
    decision: Decision


@dataclass(frozen=True)
class Choice:
    """What the method of a selector decides; the base class makes a decision of it.

    Attributes
    ----------
    candidates : sequence of Candidate
        Best first.
    chosen : tuple of str
        Embeddings that they come from.
    alternatives : mapping from str to float
        Embedding and what spoke for it, e.g. its weight.
    evidence : mapping
        Beside the signals, which the base class adds.
    remarks : tuple of str
    """

    candidates: Sequence[Candidate]
    chosen: tuple[str, ...]
    alternatives: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, JSON] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Selector(ABC):
    """Makes one ranking of those that several embeddings gave for a query, and says how sure it is of it.

    A subclass sets ``name``, stores its constructor's arguments under the same attribute names, and writes ``_select``.
    The base class checks, leaves out what failed or found nothing, keeps confidence and cost, and reports. A
    constructor refuses an argument with an InputError whose message opens with the argument's name.

    Attributes
    ----------
    name : str
        The registry's name, and the word of the spec string.
    learns : bool
        Whether it can learn from judged queries.
    usage : str
        How to write it in a spec, where the constructor's signature does not say it.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = False
    usage: ClassVar[str] = ""

    _learned: LearnedSelection | None = None
    _calibration: Calibration | None = None
    _corpus: str | None = None

    # -- what a plugin writes ------------------------------------------------------------------

    @abstractmethod
    def _select(self, rankings: Rankings) -> Choice:
        """Choose among at least two embeddings, each of which found something, with finite scores.

        Parameters
        ----------
        rankings : Rankings
            Never to be edited; at most ``depth`` candidates each.
        """

    # -- what a caller uses --------------------------------------------------------------------

    def select(self, rankings: Rankings | Mapping[str, Ranking], k: int | None = None) -> Selected:
        """One ranking out of several, and the decision behind it.

        Parameters
        ----------
        rankings : Rankings or mapping from embedding to Ranking
            Left as they are.
        k : int, optional
            How many candidates to return; all of them without it.

        Raises
        ------
        InputError
            If an argument is not what it should be.
        MismatchError
            If what was learned was made for other embeddings.
        """
        check_k(k)
        return self._decided(sound(rankings), k)

    async def aselect(self, rankings: Rankings | Mapping[str, Ranking], k: int | None = None) -> Selected:
        """Awaited twin of :meth:`select`: same arguments, result and errors."""

        def steps() -> Flow[Selected]:
            return (yield from step(lambda: self.select(rankings, k)))

        return await arun(steps())

    def search(
        self,
        ask: Callable[[tuple[str, ...], int], Rankings | Mapping[str, Ranking]],
        embeddings: Sequence[str],
        k: int | None = None,
    ) -> Selected:
        """Search ``embeddings``, as many of them as are needed, and select.

        Parameters
        ----------
        ask : callable
            Searches the embeddings it is given for so many candidates each.
        embeddings : sequence of str
            For a cascade the cheapest first.
        k : int, optional
            How many candidates to return.

        Raises
        ------
        InputError, MismatchError
            As for :meth:`select`.
        Exception
            Whatever ``ask`` raises.
        """

        def asked(names: tuple[str, ...], depth: int) -> Flow[Rankings]:
            return (yield from step(lambda: _as_rankings(ask(names, depth))))

        return run(self.searching(asked, embeddings, k))

    async def asearch(
        self,
        ask: Callable[[tuple[str, ...], int], Awaitable[Rankings | Mapping[str, Ranking]]],
        embeddings: Sequence[str],
        k: int | None = None,
    ) -> Selected:
        """Awaited twin of :meth:`search`: ``ask`` is awaited, everything else is alike."""

        def asked(names: tuple[str, ...], depth: int) -> Flow[Rankings]:
            async def answer() -> Rankings:
                return _as_rankings(await ask(names, depth))

            return (yield from step(_never, answer))

        return await arun(self.searching(asked, embeddings, k))

    def searching(self, ask: Ask, embeddings: Sequence[str], k: int | None = None) -> Flow[Selected]:
        """:meth:`search` as a flow, for callers that are flows themselves."""
        check_k(k)
        rankings = yield from ask(names_of(embeddings), self.wanted(k))
        return self._decided(sound(rankings), k)

    def wanted(self, k: int | None = None) -> int:
        """Candidates to ask of each embedding, where ``k`` are to be returned: as many as were learned from."""
        return max(self.depth, k or 0)

    @property
    def depth(self) -> int:
        """Candidates of each embedding that are looked at."""
        return DEPTH if self._learned is None else self._learned.depth

    @property
    def learned(self) -> LearnedSelection | None:
        """What it has learned, to be saved or attached to a collection."""
        return self._learned

    @property
    def calibration(self) -> Calibration | None:
        """What makes probabilities of its confidences."""
        return self._calibration

    def learn(
        self,
        judged: JudgedSearches,
        *,
        embeddings: Sequence[str] | None = None,
        depth: int = DEPTH,
        seed: int = 0,
    ) -> Self:
        """A copy that has learned from ``judged`` queries, where ``learns`` says that it can; this one stays as it is.

        Parameters
        ----------
        judged : JudgedSearches
        embeddings : sequence of str, optional
            Those to choose among, for a cascade the cheapest first; all that answered without it.
        depth : int
            Candidates of each embedding to look at, here and later.
        seed : int

        Raises
        ------
        InputError
            If it learns nothing, or there is too little to learn from.
        """
        del judged, embeddings, depth, seed
        raise InputError(f"{self!r} learns nothing: use it as it is, or choose fuse, weight, select or cascade")

    def using(
        self,
        learned: LearnedSelection | None = None,
        calibration: Calibration | None = None,
        *,
        identities: Mapping[str, EmbeddingIdentity | None] | None = None,
        corpus: str | None = None,
    ) -> Self:
        """A copy that works with what was learned, and knows where it works.

        Parameters
        ----------
        learned : LearnedSelection, optional
        calibration : Calibration, optional
        identities : mapping from embedding to EmbeddingIdentity or None, optional
            Of the embeddings that will be searched.
        corpus : str, optional
            Identity of the collection that will be searched.

        Raises
        ------
        InputError
            If this selector learns nothing, or another kind of it learned that.
        MismatchError
            If either was made for other embeddings.
        ArtifactError
            If an array that this selector writes is missing, or of another shape.
        """
        twin = copy.copy(self)
        if learned is not None:
            if not self.learns:
                raise InputError(f"{self!r} learns nothing: what was learned by {learned.spec!r} is of no use to it")
            if learned.spec != repr(self):
                raise InputError(f"{self!r} cannot use what was learned by {learned.spec!r}: name the same selector")
            self._check_arrays(learned)
            twin._learned = learned
        if calibration is not None:
            twin._calibration = calibration
        for part in (twin._learned, twin._calibration):
            if part is not None and identities is not None:
                part.check_models(identities)
        twin._corpus = corpus if corpus is not None else self._corpus
        return twin

    @property
    def config(self) -> dict[str, JSON]:
        """The constructor's arguments, as JSON values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        """The spec that makes it; arguments at their defaults are left out."""
        return str(Call.of(self.name, self))

    # -- how it is done ------------------------------------------------------------------------

    def _check_arrays(self, learned: LearnedSelection) -> None:
        """Refuse what was learned where its arrays are not those that this selector writes; learners override it."""
        del learned

    def _decided(self, rankings: Rankings, k: int | None, *, stopped: bool = False) -> Selected:
        """The decision; ``stopped`` where other embeddings could have been asked and were not needed."""
        self._check_names(rankings)
        some = {name: cut(ranking, self.depth) for name, ranking in rankings.items() if ranking}
        found = Rankings(some, rankings.failures, rankings.query)
        remarks = [f"{name} found nothing" for name in rankings if name not in some]
        remarks += [f"{name} could not answer: {reason}" for name, reason in rankings.failures.items()]
        cost = {"searches": float(len(rankings) + len(rankings.failures))}
        if not found:
            nothing = Decision(None, 0.0, ESTIMATES, cost=cost, failures=rankings.failures, remarks=tuple(remarks))
            return Selected(Ranking((), rankings.query), nothing.remarking("nothing was found"))
        choice = self._select(found) if len(found) > 1 or stopped else self._alone(found)
        return self._made(choice, found, k, cost, (*remarks, *self._doubts(found), *choice.remarks))

    def _made(
        self, choice: Choice, found: Rankings, k: int | None, cost: Mapping[str, float], remarks: Sequence[str]
    ) -> Selected:
        own = evidence.of_rankings(found)
        signals = {"signals": evidence.told(own), **choice.evidence}
        decision = Decision(
            " + ".join(choice.chosen), unchecked_confidence(own), ESTIMATES, evidence=signals,
            alternatives=choice.alternatives, cost=cost, failures=found.failures,
        )  # fmt: skip
        if self._calibration is None:
            decision = decision.remarking(NO_CALIBRATION)
        else:
            decision = self._calibration.applied(decision, found, corpus=self._corpus)
        ranking = Ranking(tuple(choice.candidates[:k]), found.query)
        return Selected(ranking, decision.remarking(*remarks))

    def _alone(self, found: Rankings) -> Choice:
        [(name, ranking)] = found.items()
        return Choice(marked(name, ranking), (name,), {name: 1.0}, remarks=(ALONE,))

    def _check_names(self, rankings: Rankings) -> None:
        if not len(rankings) and not rankings.failures:
            raise InputError("expected the ranking of at least one embedding, got none")
        for part in (self._learned, self._calibration):
            if part is not None:
                part.check_models(dict.fromkeys((*rankings, *rankings.failures)))

    def _doubts(self, found: Rankings) -> list[str]:
        """What a reader should know of what was learned, and where."""
        if self._learned is None:
            return ["nothing was learned: every embedding counts alike (octant calibrate)"] if self.learns else []
        doubts = []
        if self._corpus is not None and self._learned.untried_on(self._corpus) is not None:
            doubts.append("what was learned comes from another collection")
        if missing := [name for name in self._learned.embeddings if name not in found]:
            doubts.append(f"learned with {', '.join(missing)} too, which did not take part")
        return doubts


def unchecked_confidence(own: Mapping[str, Mapping[str, float]]) -> float:
    """A confidence in [0, 1] that orders and promises nothing.

    Agreement of the embeddings (mean rank-biased overlap); of a single one ``1 - exp(-NQC)``.
    """
    agreed = float(np.mean([signals["RBO"] for signals in own.values()]))
    if math.isfinite(agreed):
        return agreed
    [signals] = own.values()
    return 1 - math.exp(-signals["NQC"])


def marked(name: str, ranking: Ranking) -> tuple[Candidate, ...]:
    """Its candidates, each with its score under the embedding's name."""
    return tuple(replace(candidate, branch_scores={name: candidate.score}) for candidate in ranking)


def cut(ranking: Ranking, depth: int) -> Ranking:
    """The first ``depth`` candidates."""
    return ranking if len(ranking) <= depth else replace(ranking, candidates=ranking.candidates[:depth])


def sound(given: Rankings | Mapping[str, Ranking]) -> Rankings:
    """``given``, where a ranking whose scores are not finite has failed."""
    rankings = _as_rankings(given)
    broken = {name: "its scores are not all finite" for name, ranking in rankings.items() if not _finite(ranking)}
    if not broken:
        return rankings
    whole = {name: ranking for name, ranking in rankings.items() if name not in broken}
    return Rankings(whole, {**rankings.failures, **broken}, rankings.query)


def _finite(ranking: Ranking) -> bool:
    return bool(np.isfinite(np.asarray(ranking.scores, np.float64)).all())


def _as_rankings(given: object) -> Rankings:
    if isinstance(given, Rankings):
        return given
    if not isinstance(given, Mapping):
        raise InputError(f"rankings must be an octant.Rankings or a mapping from embedding to Ranking, got {given!r}")
    for name, ranking in given.items():
        if not isinstance(name, str) or not isinstance(ranking, Ranking):
            raise InputError(
                f"rankings map an embedding's name to an octant.Ranking, got {name!r} to {type(ranking).__name__}"
            )
    return Rankings(given)


def names_of(embeddings: Sequence[str]) -> tuple[str, ...]:
    """Different names, at least one.

    Raises
    ------
    InputError
        If they are not.
    """
    names = () if isinstance(embeddings, str) else tuple(embeddings)
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise InputError(f"embeddings must be different names, at least one; got {embeddings!r}")
    return names


def check_k(k: object) -> None:
    """Refuse what is no number of candidates.

    Raises
    ------
    InputError
    """
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise InputError(f"k must be a whole number of at least 1, got {k!r}")


def _never() -> Rankings:
    raise InputError("an awaited search was run without an event loop: use asearch")
