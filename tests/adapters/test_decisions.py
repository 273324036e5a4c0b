"""Decisions as answers of ``langchain_core.decisions``: with both forms that the module has had, and without it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

import octant
from octant.errors import InputError, OutdatedLibraryError
from octant_langchain.decisions import as_answers, from_answers

DECISION = octant.Decision("bge", 0.7, "an event", "50 labels", alternatives={"bge": 3.0, "minilm": 1.0})


@dataclass
class YesOrNo:
    type: str
    probability: float


@dataclass
class ChoiceAnswer:
    type: str
    choice: str
    probabilities: dict[str, float]
    confidence: float


@pytest.fixture(params=["PredicateAnswer", "NoulAnswer"])
def answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the module, as langchain-core 1.8 and what followed it have it."""
    module = ModuleType("langchain_core.decisions")
    setattr(module, request.param, YesOrNo)
    module.ChoiceAnswer = ChoiceAnswer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langchain_core.decisions", module)
    found = as_answers(DECISION)
    assert found["confidence"].type == {"PredicateAnswer": "predicate", "NoulAnswer": "noul"}[request.param]
    return found


def test_answers_and_back(answers: dict[str, Any]) -> None:
    assert answers["confidence"].probability == 0.7
    assert answers["chosen"].choice == "bge"
    assert answers["chosen"].probabilities == {"bge": 0.75, "minilm": 0.25}
    assert answers["chosen"].confidence == pytest.approx(1 - 0.8113, abs=1e-4), "of the distribution, not of the event"
    again = from_answers(answers, estimates="an event", calibrated="50 labels")
    assert (again.chosen, again.confidence, again.calibrated) == ("bge", 0.7, "50 labels")
    assert again.alternatives == {"bge": 0.75, "minilm": 0.25}


def test_no_choice_and_one_choice(answers: dict[str, Any]) -> None:
    del answers
    assert set(as_answers(octant.Decision(None, 0.0, "an event"))) == {"confidence"}
    alone = as_answers(octant.Decision("bge", 0.5, "an event"))["chosen"]
    assert (alone.probabilities, alone.confidence) == ({"bge": 1.0}, 1.0)
    assert from_answers(as_answers(octant.Decision(None, 0.2, "e")), estimates="e").chosen is None


def test_other_answers_are_refused(answers: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a yes-or-no answer named 'confidence', got None"):
        from_answers({}, estimates="an event")
    with pytest.raises(InputError, match="expected a choice named 'chosen'"):
        from_answers({**answers, "chosen": answers["confidence"]}, estimates="an event")


def test_an_older_langchain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.decisions", None)
    with pytest.raises(OutdatedLibraryError, match=r"langchain-core 1\.8"):
        as_answers(DECISION)
