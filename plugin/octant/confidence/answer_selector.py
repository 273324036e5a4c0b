"""Which of several generated answers to give: the most confident, the one most agree on, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from octant.confidence.abstention import WORDING, checked_threshold, withholding
from octant.confidence.calibrating import AnswerCalibration
from octant.confidence.generation import ChosenAnswer, Generation, cost_of, failures_of
from octant.confidence.metrics import METRICS, metric
from octant.confidence.voting import majority_vote, semantic_agreement
from octant.decision import Decision
from octant.errors import InputError, NoLogprobsError
from octant.records import JSON, FloatArray
from octant.selectors.signals import rank_biased_overlap

WITHOUT_LOGPROBS = ("vote", "agreement", "retrieval", "first")
"""Ways to choose that need no log-probabilities."""

_ESTIMATES = {
    "vote": "share of the answers that say the same",
    "agreement": "how near the answer is to the others, by embedding",
    "retrieval": "overlap of what this embedding found with what the others found",
    "first": "nothing: the first answer was taken",
}
RIGHT = "the answer is right"


@dataclass(frozen=True)
class _Scored:
    """Scores (n,) of the answers by one way of choosing, higher is better, and what led there."""

    by: str
    scores: tuple[float, ...]
    shares: tuple[float, ...]
    evidence: Mapping[str, JSON]


class AnswerSelector:
    """Chooses one of several answers to one question, and says how sure that is.

    Parameters
    ----------
    by : str
        A confidence metric (:data:`octant.confidence.METRICS` or ``"quantile(ALPHA)"``); ``"entropy"`` is EmbQA's
        choice among candidates (2503.01606), the others those of Confident RAG (2507.17442). Or what needs no
        log-probabilities: ``"vote"`` (majority after normalisation: over samples of one embedding it is
        self-consistency), ``"agreement"`` (nearest to the others by ``embed``), ``"retrieval"`` (overlap of what was
        retrieved with what the others retrieved), ``"first"``.
    fallbacks : sequence of str
        Tried in order where an answer came without log-probabilities; the decision says so. Empty: that is refused
        with :class:`~octant.errors.NoLogprobsError`.
    calibration : AnswerCalibration, optional
        Turns the score into the probability that the answer is right; refused where it was made for another ``by``.
    abstain_below : float, optional
        In [0, 1]: with a lower confidence the answer is :data:`~octant.confidence.abstention.WORDING`, and the record
        holds what was withheld. Where nothing answered, that is what comes back in any case.
    embed : callable, optional
        From texts to vectors (n, d), for ``"agreement"``.
    wording : str
        What to say instead of an answer.

    Raises
    ------
    InputError
        If an argument is not what it should be.
    MismatchError
        If the calibration was made for another way of choosing.
    """

    def __init__(
        self,
        by: str = "average_logprob",
        *,
        fallbacks: Sequence[str] = ("vote",),
        calibration: AnswerCalibration | None = None,
        abstain_below: float | None = None,
        embed: Callable[[list[str]], FloatArray] | None = None,
        wording: str = WORDING,
    ) -> None:
        self.by = by if by in WITHOUT_LOGPROBS else _metric_name(by)
        if isinstance(fallbacks, str) or any(name not in WITHOUT_LOGPROBS for name in fallbacks):
            raise InputError(f"fallbacks are a sequence of {', '.join(WITHOUT_LOGPROBS)}; got {fallbacks!r}")
        if "agreement" in (by, *fallbacks) and embed is None:
            raise InputError("choosing by agreement embeds the answers: pass embed=, from texts to vectors (n, d)")
        if calibration is not None:
            calibration.check(self.by)
        self.fallbacks, self.calibration, self.embed = tuple(fallbacks), calibration, embed
        self.abstain_below, self.wording = checked_threshold(abstain_below), wording

    @property
    def needs_logprobs(self) -> bool:
        """Whether models should be asked for log-probabilities."""
        return self.by not in WITHOUT_LOGPROBS

    def calibrated(self, calibration: AnswerCalibration | None) -> AnswerSelector:
        """The same with another calibration."""
        return AnswerSelector(
            self.by, fallbacks=self.fallbacks, calibration=calibration, abstain_below=self.abstain_below,
            embed=self.embed, wording=self.wording,
        )  # fmt: skip

    def select(self, generations: Sequence[Generation]) -> ChosenAnswer:
        """The answer to give.

        Parameters
        ----------
        generations : sequence of Generation
            With names that differ. What failed, is empty, or declines is never chosen while something answered, and
            the decision says which. Ties go to the one that comes first.

        Raises
        ------
        InputError
            If two have the same name.
        NoLogprobsError
            If an answer came without log-probabilities and there is no fallback.
        """
        names = [one.name for one in generations]
        if len(set(names)) != len(names):
            raise InputError(f"every generation needs a name of its own, got {', '.join(names)}")
        answered = [one for one in generations if one.answered]
        common: dict[str, Any] = {"cost": cost_of(generations), "failures": failures_of(generations)}
        if not answered:
            decision = Decision(None, 0.0, RIGHT, evidence={"answers": 0}, **common)
            return withholding(ChosenAnswer("", decision, tuple(generations)), self.abstain_below or 0.0, self.wording)
        scored, remarks = self._scored(answered)
        best = int(np.argmax(scored.scores))
        chosen, confidence, estimates, calibrated = answered[best], scored.shares[best], meaning(scored.by), None
        if self.calibration is not None and scored.by == self.by:
            confidence = self.calibration.chosen.probability(scored.scores[best])
            estimates, calibrated = RIGHT, self.calibration.on
        elif self.calibration is not None:
            remarks.append(f"the calibration is for {self.by}, and the choice was by {scored.by}: not calibrated")
        if len(answered) == 1 and len(generations) == 1:
            remarks.append("only one answer: there was nothing to choose from")
        decision = Decision(
            chosen.name, min(max(confidence, 0.0), 1.0), estimates, calibrated,
            evidence={"by": scored.by, **scored.evidence},
            alternatives={
                one.name: share for one, share in zip(answered, scored.shares, strict=True) if one is not chosen
            },
            remarks=tuple(remarks), **common,
        )  # fmt: skip
        answer = ChosenAnswer(chosen.text, decision, tuple(generations))
        if self.abstain_below is not None and decision.confidence < self.abstain_below:
            return withholding(answer, self.abstain_below, self.wording)
        return answer

    def score(self, generation: Generation) -> float | None:
        """One answer's score by a confidence metric, higher is surer; None where it cannot be had."""
        if not self.needs_logprobs or not generation.answered or generation.distributions is None:
            return None
        return metric(self.by).score(generation.distributions)

    def best(self, generations: Sequence[Generation]) -> tuple[int, float] | None:
        """Place and score of the answer that ``by`` chooses; None where nothing answered, or ``by`` cannot tell."""
        answered = [place for place, one in enumerate(generations) if one.answered]
        if not answered:
            return None
        scored, _ = self._scored([generations[place] for place in answered])
        best = int(np.argmax(scored.scores))
        return (answered[best], scored.scores[best]) if scored.by == self.by else None

    # -- ways to choose ------------------------------------------------------------------------------

    def _scored(self, answered: Sequence[Generation]) -> tuple[_Scored, list[str]]:
        if self.by in WITHOUT_LOGPROBS:
            return self._by(self.by, answered), []
        without = [one for one in answered if one.distributions is None]
        if not without:
            return self._by_metric(answered)
        reason = next((one.unread for one in without if one.unread), "the model gave no log-probabilities")
        told = f"{', '.join(one.name for one in without)}: {reason}"
        if not self.fallbacks:
            raise NoLogprobsError(f"{self.by} needs log-probabilities. {told}")
        found = [self._by(name, answered) for name in self.fallbacks]
        # The first that tells answers apart; where none does, the first.
        scored = next((one for one in found if len(set(one.scores)) > 1), found[0])
        return scored, [f"chosen by {scored.by} instead of {self.by}: {told}"]

    def _by_metric(self, answered: Sequence[Generation]) -> tuple[_Scored, list[str]]:
        wanted = metric(self.by)
        read = [one.distributions for one in answered if one.distributions is not None]
        scores = tuple(map(wanted.score, read))
        remarks = []
        if wanted.whole and not all(one.exact for one in read):
            remarks.append(
                f"{wanted.name} in its truncated form: the likeliest tokens of each place, and the rest as one"
            )
        if wanted.whole and len({one.exact for one in read}) > 1:
            remarks.append("whole and truncated distributions were compared with each other")
        if holes := sum(one.holes for one in read):
            remarks.append(f"{holes} tokens had no log-probability and were left out")
        told = {one.name: score for one, score in zip(answered, scores, strict=True)}
        evidence = {"scores": told, "exact": all(one.exact for one in read) or not wanted.whole}
        return _Scored(self.by, scores, tuple(map(wanted.share, scores)), evidence), remarks

    def _by(self, name: str, answered: Sequence[Generation]) -> _Scored:
        texts = [one.text for one in answered]
        if name == "vote":
            vote = majority_vote(texts)
            share = {place: weight / len(texts) for _, places, weight in vote.groups for place in places}
            scores = tuple(share.get(place, 0.0) for place in range(len(texts)))
            return _Scored(name, scores, scores, {"votes": {word: weight for word, _, weight in vote.groups}})
        if name == "agreement" and self.embed is not None:
            near = semantic_agreement(texts, self.embed)
            told = {one.name: float(value) for one, value in zip(answered, near, strict=True)}
            shares = tuple(float(max(value, 0.0)) for value in near)
            return _Scored(name, tuple(map(float, near)), shares, {"cosines": told})
        if name == "retrieval":
            scores = tuple(_overlap(one, answered) for one in answered)
            told = {one.name: score for one, score in zip(answered, scores, strict=True)}
            return _Scored(name, scores, scores, {"rank-biased overlap": told})
        zeros = (0.0,) * len(texts)
        return _Scored("first", zeros, zeros, {})


def _metric_name(by: str) -> str:
    try:
        return metric(by).name
    except InputError as error:
        known = ", ".join((*METRICS, "quantile(ALPHA)", *WITHOUT_LOGPROBS))
        raise InputError(f"by must be one of {known}; got {by!r}") from error


def meaning(by: str) -> str:
    """What an uncalibrated confidence is, which is no probability of being right."""
    return _ESTIMATES.get(by, f"how sure the model was of its words ({by}), not that they are right")


def _overlap(one: Generation, all_of_them: Sequence[Generation]) -> float:
    mine = one.passages
    others = [other.passages for other in all_of_them if other is not one and other.passages is not None]
    if mine is None or not others:
        return 0.0
    return float(np.mean([rank_biased_overlap(mine.ids, other.ids) for other in others]))
