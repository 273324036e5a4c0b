"""JSON of the tuner's records: writing it strictly, and reading it with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from octant.errors import ArtifactError
from octant.recommendation import Expected
from octant.records import JSON, Placement


def dump(value: JSON) -> bytes:
    """UTF-8 JSON with a final newline; numbers that JSON lacks are refused."""
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def load(path: Path, *, what: str) -> Mapping[str, Any]:
    """The JSON object in a file.

    Raises
    ------
    ArtifactError
        If it holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path} is not the JSON of a {what}: {error}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} is not the JSON of a {what}: it holds a {type(value).__name__}")
    return value


def figures(values: Mapping[str, Expected]) -> dict[str, JSON]:
    """Expected figures as JSON values."""
    return {name: asdict(one) for name, one in values.items()}


def read_figures(value: Mapping[str, JSON]) -> dict[str, Expected]:
    """What :func:`figures` wrote."""
    return {
        str(name): Expected(_finite(one["value"]), _finite(one["low"]), _finite(one["high"]), bool(one["estimated"]))
        for name, one in value.items()
    }


def numbers(value: Mapping[str, JSON]) -> dict[str, float]:
    """Finite numbers by name."""
    return {str(name): _finite(one) for name, one in value.items()}


def columns(value: Mapping[str, JSON]) -> dict[str, tuple[float, ...]]:
    """Lists of finite numbers by name."""
    return {str(name): tuple(_finite(one) for one in values) for name, values in value.items()}


def placements(value: Mapping[str, JSON]) -> dict[str, Placement]:
    """Where things live, by name."""
    known = get_args(Placement)
    for name, where in value.items():
        if where not in known:
            raise ValueError(f"{name} lives in {where!r}, which is none of {', '.join(known)}")
    return {str(name): cast("Placement", where) for name, where in value.items()}


def optional_text(value: JSON) -> str | None:
    """A string, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r}")
    return value


def _finite(value: JSON) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return float(value)
