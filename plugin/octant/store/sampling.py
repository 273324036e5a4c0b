"""Points drawn from a whole collection, of which little more is read than is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from octant.errors import InputError
from octant.flow import Flow
from octant.layout import StoredPoint
from octant.records import Filter

if TYPE_CHECKING:
    from octant.store.base import Store

PARTS = 8
"""Slices, about, that make up a sample: at most one of them is read for nothing."""
MOST_SLICES = 1 << 20
PAGE = 512
"""Points of one request."""
PAGE_OF_IDS = 10_000
"""Ids of one request."""


def draw(
    store: Store, count: int, seed: int, filter: Filter | None, vectors: Sequence[str] | None, with_payload: bool  # noqa: A002
) -> Flow[list[StoredPoint]]:  # fmt: skip
    """See :meth:`octant.store.base.Store.sample`."""
    if count < 1:
        raise InputError(f"a sample has at least one point, got {count}")
    total = yield from store.count(filter)
    rng = np.random.default_rng(seed)
    if total <= count:
        return (yield from _everything(store, filter, vectors, with_payload))
    if (yield from store.slices()):
        return (yield from _by_slices(store, count, total, rng, filter, vectors, with_payload))
    return (yield from _by_ids(store, count, rng, filter, vectors, with_payload))


def _by_slices(
    store: Store, count: int, total: int, rng: np.random.Generator, filter: Filter | None,  # noqa: A002
    vectors: Sequence[str] | None, with_payload: bool,
) -> Flow[list[StoredPoint]]:  # fmt: skip
    slices = min(MOST_SLICES, max(PARTS, total * PARTS // count))
    found: list[StoredPoint] = []
    for index in rng.permutation(slices):
        condition = {"slice": {"total": slices, "index": int(index)}}
        part = yield from _everything(store, _and(condition, filter), vectors, with_payload)
        wanted = count - len(found)
        if len(part) >= wanted:
            # The first ones would be those with the smallest ids.
            return found + [part[row] for row in np.sort(rng.permutation(len(part))[:wanted])]
        found += part
    return found


def _by_ids(
    store: Store, count: int, rng: np.random.Generator, filter: Filter | None,  # noqa: A002
    vectors: Sequence[str] | None, with_payload: bool,
) -> Flow[list[StoredPoint]]:  # fmt: skip
    ids: list[int | str] = []
    offset: int | str | None = None
    while True:
        page, offset = yield from store.read(
            filter=filter, limit=PAGE_OF_IDS, offset=offset, vectors=(), with_payload=False
        )
        ids += [point.id for point in page]
        if offset is None:
            break
    chosen = [ids[row] for row in np.sort(rng.permutation(len(ids))[:count])]
    found: list[StoredPoint] = []
    for start in range(0, len(chosen), PAGE):
        some = {"must": [{"has_id": chosen[start : start + PAGE]}]}
        found += yield from _everything(store, some, vectors, with_payload)
    return found


def _everything(
    store: Store, filter: Filter | None, vectors: Sequence[str] | None, with_payload: bool  # noqa: A002
) -> Flow[list[StoredPoint]]:  # fmt: skip
    found: list[StoredPoint] = []
    offset: int | str | None = None
    while True:
        page, offset = yield from store.read(
            filter=filter, limit=PAGE, offset=offset, vectors=vectors, with_payload=with_payload
        )
        found += page
        # What is drawn lies everywhere: without this, an engine in this process would end up holding all of its files.
        yield from store.let_go()
        if offset is None:
            return found


def _and(condition: Filter, filter: Filter | None) -> Filter:  # noqa: A002
    return {"must": [condition] if filter is None else [condition, filter]}
