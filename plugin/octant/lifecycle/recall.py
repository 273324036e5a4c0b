"""How much of what the source would have found the target finds."""

from __future__ import annotations

from collections.abc import Sequence

from octant.core import Core
from octant.errors import VerificationError
from octant.flow import Flow
from octant.layout import SearchKnobs
from octant.lifecycle.neighbours import K, Neighbours
from octant.lifecycle.order import Order
from octant.search import Request, search
from octant.statistics import Estimate, bounded_mean

AT_ONCE = 50
"""Queries in one request."""


def measure(core: Core, near: Neighbours) -> Flow[Estimate]:
    """Recall@10 of searching the target as its readers will, with its 95 % interval; higher is better.

    The questions are stored points, left out of their own answers.

    Parameters
    ----------
    core : Core
        The target.
    near : Neighbours
        That the whole source has passed.
    """
    request = Request(k=K + 1, knobs=core.manifest.knobs or SearchKnobs())
    found: list[list[int | str]] = []
    for start in range(0, len(near), AT_ONCE):
        rankings = yield from search(core, list(near.queries[start : start + AT_ONCE]), request)
        # Own ids of strings were read from the payload; what is compared are Qdrant's.
        found += [[core.ids.to_qdrant(point) for point in ranking.ids] for ranking in rankings]
    return bounded_mean(near.recall(found))


def check(order: Order, recall: Sequence[Estimate], min_recall: float | None) -> None:
    """Refuse a target that may find less than is asked for.

    Raises
    ------
    VerificationError
        If the lower end of an interval is below ``min_recall``.
    """
    for part, estimate in zip(order.parts, recall, strict=True):
        if min_recall is not None and estimate.low < min_recall:
            raise VerificationError(
                f"recall@{K} of {part.represent} is {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}], "
                f"and its lower limit is below {min_recall:g}: nothing was switched, source and target are left as "
                "they are. Accept it with a lower --min-recall (min_recall=), search more (--recommendation with a "
                "higher oversampling or coverage), or compress less into another target"
            )
