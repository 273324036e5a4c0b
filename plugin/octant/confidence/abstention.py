"""Not answering: the record of what was withheld and why, instead of an exception."""

from __future__ import annotations

from dataclasses import replace

from octant.confidence.generation import Abstention, ChosenAnswer
from octant.errors import InputError
from octant.records import JSON

WORDING = "The documents do not say."


def checked_threshold(below: float | None) -> float | None:
    """``abstain_below`` as a float.

    Raises
    ------
    InputError
        If it is no number in [0, 1].
    """
    if below is None:
        return None
    if isinstance(below, bool) or not isinstance(below, int | float) or not 0 <= below <= 1:
        raise InputError(f"abstain_below must be a number in [0, 1], got {below!r}")
    return float(below)


def withholding(answer: ChosenAnswer, below: float, wording: str = WORDING) -> ChosenAnswer:
    """``answer`` without its text; the text, the confidence and the evidence are in ``abstention``.

    Parameters
    ----------
    answer : ChosenAnswer
    below : float
        What its confidence did not reach.
    wording : str
        What is said instead.
    """
    decision = answer.decision
    evidence: dict[str, JSON] = dict(decision.evidence)
    if decision.chosen is not None:
        evidence["would have chosen"] = decision.chosen
    if decision.failures:
        evidence["failures"] = dict(decision.failures)
    passages = answer.generation.passages if answer.generation else None
    if passages is not None:
        evidence["passages"] = [str(point) for point in passages.ids]
    told = (
        f"confidence {decision.confidence:.2f} is below {below:.2f}: not answered"
        if decision.chosen is not None
        else "nothing answered"
    )
    return replace(
        answer,
        text=wording,
        decision=replace(decision, chosen=None).remarking(told),
        abstention=Abstention(answer.text, decision.confidence, below, evidence),
    )
