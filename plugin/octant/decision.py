"""What was chosen, how sure that is, and why: the record that every choice ends in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from octant.errors import InputError
from octant.records import JSON

_MAPPINGS = ("evidence", "alternatives", "cost", "failures")


@dataclass(frozen=True)
class Decision:
    """One choice among embeddings, rankings or answers, or the choice to give none.

    A confidence means nothing without the event it is the probability of, and that probability nothing without
    saying who checked it: ``estimates`` and ``calibrated`` are part of the number.

    Attributes
    ----------
    chosen : str or None
        Name of what was chosen; names joined by ``" + "`` where several were combined; None where nothing was good
        enough, or nothing was there.
    confidence : float
        In [0, 1]; higher is surer.
    estimates : str
        The event whose probability ``confidence`` estimates, e.g. ``"a relevant passage is among the first 5"``.
    calibrated : str or None
        What the probability was calibrated on; None where it was not, and the number only orders.
    evidence : mapping from str to JSON value
        The signals that led there, by name.
    alternatives : mapping from str to float
        What else could have been chosen, and what spoke for it: its weight, its confidence or its votes.
    cost : mapping from str to float
        What was spent: ``searches``, ``generations``, ``tokens``, ``seconds``.
    failures : mapping from str to str
        What was asked and could not answer, and why.
    remarks : tuple of str
        What else a reader should know, a sentence each.

    Raises
    ------
    InputError
        If the confidence is no number in [0, 1], a text is no text, or a value cannot be written as JSON.

    Examples
    --------
    >>> decision = Decision("minilm", 0.8, "a relevant passage is among the first 5", evidence={"top score": 0.71})
    >>> Decision.from_json(decision.as_json()) == decision
    True
    """

    chosen: str | None
    confidence: float
    estimates: str
    calibrated: str | None = None
    evidence: Mapping[str, JSON] = field(default_factory=dict)
    alternatives: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        confidence = self.confidence
        if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
            raise InputError(f"confidence must be a number in [0, 1], got {confidence!r}")
        object.__setattr__(self, "confidence", float(confidence))
        for name in ("chosen", "calibrated"):
            if getattr(self, name) is not None:
                _text(name, getattr(self, name))
        _text("estimates", self.estimates)
        for name in _MAPPINGS:
            object.__setattr__(self, name, _own(name, getattr(self, name)))
        for name in ("alternatives", "cost"):
            for key, value in getattr(self, name).items():
                _number(f"{name}[{key!r}]", value)
        for key, value in self.failures.items():
            _text(f"failures[{key!r}]", value)
        if isinstance(self.remarks, str):
            raise InputError("remarks must be a sequence of str, got one str")
        object.__setattr__(self, "remarks", tuple(_text("a remark", remark) for remark in self.remarks))

    def remarking(self, *remarks: str) -> Decision:
        """The same decision with more remarks; one that is there already is not repeated."""
        return replace(self, remarks=tuple(dict.fromkeys((*self.remarks, *remarks))))

    def as_json(self) -> dict[str, JSON]:
        """Every attribute, as values that ``json.dumps`` writes."""
        values = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        return {**values, **{name: dict(values[name]) for name in _MAPPINGS}, "remarks": list(self.remarks)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Decision:
        """The decision that :meth:`as_json` wrote.

        Raises
        ------
        InputError
            If a part is missing, unknown, or not what it should be.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"expected a JSON object that describes a decision, got {type(value).__name__}")
        known = [attribute.name for attribute in fields(cls)]
        missing = [name for name in known[:3] if name not in value]
        unknown = sorted(str(name) for name in set(value) - set(known))
        if missing or unknown:
            told = f"lacks {', '.join(missing)}" if missing else f"holds {', '.join(unknown)}, which is unknown"
            raise InputError(f"this describes no decision: it {told}; expected {', '.join(known)}")
        return cls(**value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be a str, got {type(value).__name__}")
    return value


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, got {value!r}")


def _own(name: str, given: Any) -> dict[str, JSON]:
    """A copy that JSON can hold: what the caller does with the original later is no concern of a frozen record."""
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise InputError(f"{name} must be a mapping from str, got {given!r}")
    try:
        copied: dict[str, JSON] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must hold finite values that JSON can write: {error}") from error
    return copied
