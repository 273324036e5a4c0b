"""Decisions to and from the answers of ``langchain_core.decisions``, where that module exists (langchain-core 1.8).

The module is in beta: its yes-or-no answer was called ``NoulAnswer`` first and ``PredicateAnswer`` later. Both are
written and read.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from octant import Decision, errors

CHOSEN = "chosen"
"""Name of the answer that says what was chosen."""
CONFIDENCE = "confidence"
"""Name of the answer that says how probable the estimated event is."""
_YES_OR_NO = (("PredicateAnswer", "predicate"), ("NoulAnswer", "noul"))


def as_answers(decision: Decision) -> dict[str, Any]:
    """A decision as answers: ``confidence`` always, ``chosen`` where something was chosen.

    A ``ChoiceAnswer`` has probabilities of its labels: the alternatives, as shares of their sum; its own confidence is
    how concentrated those are, as that module has it. The decision's confidence is the yes-or-no answer.

    Raises
    ------
    OutdatedLibraryError
        If the installed langchain-core has no such module.
    """
    module = _module()
    name, kind = next(pair for pair in _YES_OR_NO if hasattr(module, pair[0]))
    answers = {CONFIDENCE: getattr(module, name)(type=kind, probability=decision.confidence)}
    if decision.chosen is None:
        return answers
    shares = _shares(decision)
    concentrated = 1.0 - _entropy(shares)
    answers[CHOSEN] = module.ChoiceAnswer(
        type="choice", choice=decision.chosen, probabilities=shares, confidence=concentrated
    )
    return answers


def from_answers(answers: Mapping[str, Any], *, estimates: str, calibrated: str | None = None) -> Decision:
    """The decision that such answers describe, also those of a decision model.

    Parameters
    ----------
    answers : mapping from name to answer
        As :func:`as_answers` writes them, or ``DecisionResponse.answers`` with these names.
    estimates : str
        The event whose probability the yes-or-no answer is; the answers do not say.
    calibrated : str, optional
        What that probability was calibrated on, where somebody knows.

    Raises
    ------
    InputError
        If there is no yes-or-no answer under ``confidence``, or ``chosen`` is no choice.
    """
    sure = answers.get(CONFIDENCE)
    if getattr(sure, "type", None) not in {kind for _, kind in _YES_OR_NO}:
        raise errors.InputError(f"expected a yes-or-no answer named {CONFIDENCE!r}, got {sure!r}")
    confidence = float(sure.probability)  # type: ignore[union-attr]  # as just checked
    chosen = answers.get(CHOSEN)
    if chosen is None:
        return Decision(None, confidence, estimates, calibrated)
    if getattr(chosen, "type", None) != "choice":
        raise errors.InputError(f"expected a choice named {CHOSEN!r}, got {chosen!r}")
    alternatives = {str(label): float(share) for label, share in chosen.probabilities.items()}
    return Decision(str(chosen.choice), confidence, estimates, calibrated, alternatives=alternatives)


def _module() -> Any:
    try:
        return importlib.import_module("langchain_core.decisions")
    except ModuleNotFoundError as error:
        raise errors.OutdatedLibraryError(
            "answers need the module langchain_core.decisions, which came with langchain-core 1.8: "
            "pip install -U langchain-core, or keep the octant.Decision"
        ) from error


def _shares(decision: Decision) -> dict[str, float]:
    """The alternatives as shares of their sum; all of it on what was chosen where they say nothing."""
    weights = {name: max(value, 0.0) for name, value in decision.alternatives.items()}
    total = sum(weights.values())
    if total <= 0:
        return {str(decision.chosen): 1.0}
    return {name: weight / total for name, weight in weights.items()}


def _entropy(shares: Mapping[str, float]) -> float:
    """Of a distribution, as a share of the largest it can be."""
    if len(shares) < 2:
        return 0.0
    entropy = -sum(share * math.log(share) for share in shares.values() if share > 0)
    return min(1.0, entropy / math.log(len(shares)))
