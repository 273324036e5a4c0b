"""What a server answers when it is read from: pages by id, and the few filters that Octant's own requests have."""

from __future__ import annotations

import uuid
from typing import Any

from qdrant_client.local.siphash import point_id_slice


def scrolled(points: dict[Any, Any], body: dict[str, Any], strict: dict[str, Any]) -> tuple[int, Any]:
    """A page of points by id, and where the next one starts."""
    limit, most = body.get("limit") or 10, strict.get("max_query_limit")
    if strict.get("enabled") and most and limit > most:
        help_ = f'Help: Reduce the "limit" parameter to {most} or below.'
        return 400, f'Bad request: Limit exceeded {limit} > {most} for "limit". {help_}'
    found = sorted((point for point in points.values() if matches(body.get("filter"), point)), key=_order)
    if body.get("offset") is not None:
        found = [point for point in found if _order(point) >= _order({"id": body["offset"]})]
    following = found[limit]["id"] if len(found) > limit else None
    return 200, {"points": [shown(point, body) for point in found[:limit]], "next_page_offset": following}


def shown(point: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The point with as much as was asked for."""
    wanted, vector = body.get("with_vector", body.get("with_vectors")), point.get("vector")
    if isinstance(wanted, list):
        vector = {name: value for name, value in _named(vector).items() if name in wanted}
    payload = {"payload": point.get("payload") or {}} if body.get("with_payload") else {}
    return {"id": point["id"], **payload, **({"vector": vector} if wanted else {})}


def matches(condition: dict[str, Any] | None, point: dict[str, Any]) -> bool:
    """Whether ``point`` passes a filter of ids, slices, vectors and equal values; others are a test's mistake."""
    if condition is None:
        return True
    if "has_id" in condition:
        return point["id"] in condition["has_id"]
    if "slice" in condition:
        part = condition["slice"]
        return bool(point_id_slice(point["id"], part["total"]) == part["index"])
    if "has_vector" in condition:
        return condition["has_vector"] in _named(point.get("vector"))
    if "key" in condition:
        return bool((point.get("payload") or {}).get(condition["key"]) == condition["match"]["value"])
    unknown = set(condition) - {"must", "must_not", "should"}
    if unknown:
        raise NotImplementedError(f"the fake server does not know the condition {condition}")
    must, must_not, should = (condition.get(name) or [] for name in ("must", "must_not", "should"))
    return (
        all(matches(part, point) for part in must)
        and not any(matches(part, point) for part in must_not)
        and (not should or any(matches(part, point) for part in should))
    )


def _named(vector: Any) -> dict[str, Any]:
    return vector if isinstance(vector, dict) else {"": vector}


def _order(point: dict[str, Any]) -> tuple[int, int]:
    given = point["id"]
    return (0, given) if isinstance(given, int) else (1, uuid.UUID(given).int)
