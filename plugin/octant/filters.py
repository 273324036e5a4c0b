"""Filters as callers write them, brought to Qdrant's REST form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from octant.errors import FilterError
from octant.records import JSON, Filter

CLAUSES = ("must", "should", "must_not", "min_should")


def as_filter(value: object | None) -> Filter | None:
    """The REST form of ``value``: a ``qdrant_client.models.Filter``, or that form itself as a mapping.

    Raises
    ------
    FilterError
        If it is neither, or has a clause that Qdrant does not know.

    Examples
    --------
    >>> as_filter({"must": [{"key": "city", "match": {"value": "Oslo"}}]})["must"][0]["key"]
    'city'
    """
    if value is None:
        return None
    dump: Callable[..., dict[str, JSON]] | None = getattr(value, "model_dump", None)
    if dump is not None:
        value = dump(mode="json", exclude_none=True, by_alias=True)
    if not isinstance(value, Mapping):
        raise FilterError(
            f"expected a qdrant_client.models.Filter or its REST form as a mapping, got {type(value).__name__}"
        )
    unknown = sorted(set(map(str, value)) - set(CLAUSES))
    if unknown:
        raise FilterError(f"a Qdrant filter has the clauses {', '.join(CLAUSES)}; got {', '.join(unknown)}")
    return dict(value)


def conditions(clause: JSON) -> list[Mapping[str, JSON]]:
    """A clause's conditions; REST allows a single one without its list.

    Raises
    ------
    FilterError
        If a condition is not a mapping.
    """
    if clause is None:
        return []
    listed = clause if isinstance(clause, list | tuple) else [clause]
    for condition in listed:
        if not isinstance(condition, Mapping):
            raise FilterError(f"a filter condition is a mapping, got {condition!r}")
    return list(listed)


def map_ids(query_filter: Filter | None, translate: Callable[[Any], int | str]) -> Filter | None:
    """``query_filter`` with the ids of every ``has_id`` condition replaced by ``translate(id)``."""
    if query_filter is None:
        return None
    return {clause: _map_clause(clause, value, translate) for clause, value in query_filter.items()}


def _map_clause(clause: str, value: JSON, translate: Callable[[Any], int | str]) -> JSON:
    if clause == "min_should":
        if not isinstance(value, Mapping):
            raise FilterError(f"min_should is a mapping with conditions and min_count, got {value!r}")
        return {**value, "conditions": _map_clause("should", value.get("conditions"), translate)}
    return [_map_condition(condition, translate) for condition in conditions(value)]


def _map_condition(condition: Mapping[str, JSON], translate: Callable[[Any], int | str]) -> JSON:
    if "has_id" in condition:
        return {"has_id": [translate(point) for point in condition["has_id"]]}
    if any(clause in condition for clause in CLAUSES):
        return map_ids(condition, translate)
    return dict(condition)
