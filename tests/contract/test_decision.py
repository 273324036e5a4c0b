"""The record of a choice: frozen, JSON in and out, and never a confidence outside [0, 1]."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import octant
from octant.errors import InputError

numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=8)
decisions = st.builds(
    octant.Decision,
    chosen=st.none() | words,
    confidence=st.floats(0, 1),
    estimates=words,
    calibrated=st.none() | words,
    evidence=st.dictionaries(words, numbers | words | st.booleans() | st.lists(numbers, max_size=3), max_size=3),
    alternatives=st.dictionaries(words, numbers, max_size=3),
    cost=st.dictionaries(words, numbers, max_size=3),
    failures=st.dictionaries(words, words, max_size=3),
    remarks=st.lists(words, max_size=3).map(tuple),
)


@given(decisions)
def test_what_is_written_is_read_back(decision: octant.Decision) -> None:
    text = json.dumps(decision.as_json(), allow_nan=False)
    assert octant.Decision.from_json(json.loads(text)) == decision


def test_what_the_caller_keeps_is_not_what_the_record_holds() -> None:
    evidence = {"signals": [0.5]}
    decision = octant.Decision("minilm", 1, "an event", evidence=evidence)
    evidence["signals"].append(0.1)
    assert decision.evidence == {"signals": [0.5]}
    assert isinstance(decision.confidence, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.confidence = 0.2  # type: ignore[misc]


def test_a_remark_is_made_once() -> None:
    decision = octant.Decision(None, 0.0, "an event").remarking("nothing was found", "nothing was found")
    assert decision.remarking("nothing was found", "bge failed").remarks == ("nothing was found", "bge failed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 1.01}, r"confidence must be a number in \[0, 1\], got 1.01"),
        ({"confidence": math.nan}, r"confidence must be a number in \[0, 1\], got nan"),
        ({"confidence": True}, r"confidence must be a number in \[0, 1\], got True"),
        ({"confidence": "high"}, r"confidence must be a number in \[0, 1\], got 'high'"),
        ({"chosen": 3}, "chosen must be a str, got int"),
        ({"estimates": None}, "estimates must be a str, got NoneType"),
        ({"calibrated": True}, "calibrated must be a str, got bool"),
        ({"evidence": {"top": math.nan}}, "evidence must hold finite values"),
        ({"evidence": {"top": object()}}, "evidence must hold finite values"),
        ({"evidence": {3: 1.0}}, "evidence must be a mapping from str"),
        ({"alternatives": {"bge": "0.3"}}, r"alternatives\['bge'\] must be a finite number, got '0.3'"),
        ({"cost": {"searches": None}}, r"cost\['searches'\] must be a finite number, got None"),
        ({"failures": {"bge": 3}}, r"failures\['bge'\] must be a str, got int"),
        ({"remarks": "one"}, "remarks must be a sequence of str, got one str"),
    ],
)
def test_nonsense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        octant.Decision(**{"chosen": "minilm", "confidence": 0.5, "estimates": "an event", **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected a JSON object that describes a decision, got list"),
        ({"chosen": "a"}, "it lacks confidence, estimates"),
        ({"chosen": "a", "confidence": 1, "estimates": "b", "verdict": 1}, "it holds verdict, which is unknown"),
    ],
)
def test_what_describes_no_decision_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        octant.Decision.from_json(value)  # type: ignore[arg-type]
