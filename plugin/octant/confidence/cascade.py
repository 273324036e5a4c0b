"""Generate from the first embedding, and stop when the answer is confident enough: Chow's rule on a probability.

Chow's rule (1970; for language models 2404.10136) gives an answer when the probability that it is right is at least
one minus what going on costs. Here a threshold stands for that, and it is a dial: from nothing ever generated twice to
every embedding always asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.confidence.answer_selector import RIGHT, AnswerSelector, meaning
from octant.confidence.generation import ChosenAnswer, Generation, cost_of, failures_of
from octant.confidence.metrics import metric
from octant.decision import Decision
from octant.errors import InputError
from octant.flow import Flow, fork

Floats = NDArray[np.float64]
Source = Callable[[], Flow[Generation]]
"""Retrieves, generates, and never raises: what goes wrong is in the generation."""


@dataclass(frozen=True)
class Cascade:
    """When to stop.

    Attributes
    ----------
    threshold : float
        In [0, 1]: an answer at least this confident is given, and no other is generated. 0 always stops after the
        first that answers, above 1 is refused; 1 practically never stops.

    Raises
    ------
    InputError
        If the threshold is no number in [0, 1].
    """

    threshold: float

    def __post_init__(self) -> None:
        value = self.threshold
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"a cascade stops at a confidence in [0, 1], got {value!r}")

    def accepts(self, selector: AnswerSelector, generation: Generation) -> float | None:
        """The confidence of an answer that is good enough to stop with; None where the next one is to be generated.

        The confidence is the calibrated probability that the answer is right, or, without a calibration, the
        metric's share: that orders answers, so a threshold on it still is a dial, but no probability.
        """
        confidence = confidence_of_one(selector, generation)
        # What would be withheld is no reason to stop: the next answer may be surer.
        enough = max(self.threshold, selector.abstain_below or 0.0)
        return confidence if confidence is not None and confidence >= enough else None


def confidence_of_one(selector: AnswerSelector, generation: Generation) -> float | None:
    """How sure ``selector`` is of one answer before there are others, in [0, 1]; None where it cannot tell."""
    score = selector.score(generation)
    if score is None:
        return None
    calibration = selector.calibration
    if calibration is not None and calibration.each is not None:
        return calibration.each.probability(score)
    return metric(selector.by).share(score)


def answering(
    sources: Sequence[tuple[str, Source]], selector: AnswerSelector, cascade: Cascade | None = None, *, limit: int = 8
) -> Flow[ChosenAnswer]:
    """Generate from every source side by side and choose, or one after the other until one is confident enough.

    Parameters
    ----------
    sources : sequence of (name, source)
        At least one; a cascade asks them in this order, so the cheapest or best comes first.
    selector : AnswerSelector
        Chooses among what was generated; with a cascade, where none was confident enough.
    cascade : Cascade, optional
    limit : int
        Generations under way at once.

    Raises
    ------
    InputError
        If there is no source, or a cascade is asked of a selector that compares answers.
    """
    if not sources:
        raise InputError("expected at least one source of answers, got none")
    if cascade is None:
        every = yield from fork([source for _, source in sources], limit)
        return selector.select(every)
    check_cascade(selector)
    made: list[Generation] = []
    for place, (_, source) in enumerate(sources):
        generation = yield from source()
        made.append(generation)
        confidence = cascade.accepts(selector, generation)
        if confidence is not None:
            return _stopped(selector, cascade, made, confidence, left=[name for name, _ in sources[place + 1 :]])
    chosen = selector.select(made)
    asked = chosen.decision.remarking(f"no answer reached {cascade.threshold:.2f}: all {len(sources)} were generated")
    return replace(chosen, decision=asked)


def check_cascade(selector: AnswerSelector) -> None:
    """Refuse a selector that has nothing to say about one answer alone.

    Raises
    ------
    InputError
        If it chooses by comparing answers.
    """
    if not selector.needs_logprobs:
        raise InputError(
            f"a cascade needs a confidence for one answer alone, and {selector.by!r} compares answers: choose by a "
            "metric of log-probabilities, e.g. 'average_logprob'"
        )


def _stopped(
    selector: AnswerSelector, cascade: Cascade, made: Sequence[Generation], confidence: float, left: Sequence[str]
) -> ChosenAnswer:
    """The last one made, as the choice among all of them."""
    chosen = made[-1]
    calibration = selector.calibration if selector.calibration and selector.calibration.each else None
    scores = {one.name: selector.score(one) for one in made}
    decision = Decision(
        chosen.name, confidence, RIGHT if calibration else meaning(selector.by),
        calibrated=calibration.on if calibration else None,
        evidence={"by": selector.by, "scores": scores, "not asked": list(left)},
        alternatives={one.name: confidence_of_one(selector, one) or 0.0 for one in made[:-1]},
        cost=cost_of(made), failures=failures_of(made),
        remarks=(f"stopped after {len(made)} of {len(made) + len(left)}: confidence reached {cascade.threshold:.2f}",),
    )  # fmt: skip
    return ChosenAnswer(chosen.text, decision, tuple(made))


# -- the dial --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CascadeCurve:
    """What every threshold costs and gives, on labelled questions.

    Attributes
    ----------
    thresholds : (t,) float64
        Rising.
    generations : (t,) float64
        Mean number of generations a question, rising from 1.
    quality : (t,) float64
        Mean quality of the answer that is given; higher is better.
    """

    thresholds: Floats
    generations: Floats
    quality: Floats

    def for_generations(self, wanted: float) -> float:
        """The threshold of the most generations that are no more than ``wanted`` a question on average.

        Raises
        ------
        InputError
            If ``wanted`` is below 1.
        """
        if not wanted >= 1:
            raise InputError(f"every question takes one generation at least, got {wanted}")
        return float(self.thresholds[np.flatnonzero(self.generations <= wanted + 1e-9)[-1]])

    def for_quality(self, share: float) -> float:
        """The lowest threshold that keeps ``share`` of the best quality on the curve, in (0, 1]."""
        if not 0 < share <= 1:
            raise InputError(f"expected a share of the best quality in (0, 1], got {share}")
        return float(self.thresholds[np.flatnonzero(self.quality >= share * self.quality.max() - 1e-12)[0]])


def cascade_curve(confidences: ArrayLike, quality: ArrayLike) -> CascadeCurve:
    """Quality against generations, for every threshold that makes a difference.

    Parameters
    ----------
    confidences : (n, m) float in [0, 1]
        Of every question's answers, in the order in which a cascade would generate them; 0 for a failed one.
    quality : (n, m) float
        Of the same answers. Where no answer is confident enough, the most confident of all is given.

    Raises
    ------
    InputError
        If the shapes differ, nothing is there, or a confidence is not in [0, 1].

    Examples
    --------
    >>> curve = cascade_curve([[0.9, 0.5], [0.2, 0.8]], [[1, 0], [0, 1]])
    >>> curve.generations.tolist(), curve.quality.tolist()
    ([1.0, 1.5, 2.0], [0.5, 1.0, 1.0])
    >>> curve.for_generations(1.5) <= 0.9
    True
    """
    sure, good = np.asarray(confidences, np.float64), np.asarray(quality, np.float64)
    if sure.ndim != 2 or sure.shape != good.shape or not sure.size:
        raise InputError(f"expected confidences and quality (n, m), got shapes {sure.shape} and {good.shape}")
    if not ((sure >= 0) & (sure <= 1)).all() or not np.isfinite(good).all():
        raise InputError("expected confidences in [0, 1] and finite qualities")
    rows = np.arange(len(sure))
    found = []
    for threshold in np.unique(np.append(sure[:, :-1].ravel(), [0.0, 1.0])):
        enough = sure[:, :-1] >= threshold if threshold < 1 else np.zeros_like(sure[:, :-1], bool)
        stops = np.where(enough.any(axis=1), enough.argmax(axis=1), sure.shape[1] - 1)
        given = np.where(enough.any(axis=1), stops, sure.argmax(axis=1))
        found.append((threshold, float((stops + 1).mean()), float(good[rows, given].mean())))
    kept = {generations: (threshold, generations, mean) for threshold, generations, mean in found}
    return CascadeCurve(*(np.array(column) for column in zip(*kept.values(), strict=True)))
