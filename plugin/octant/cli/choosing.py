"""What ``octant search --select`` asks and tells: a choice between the embeddings of a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from octant.collection import Collection
from octant.decision import Decision
from octant.errors import InputError
from octant.rankings import Rankings
from octant.records import JSON, Ranking
from octant.selection import selector

_TOLD = ("signals", "confidence interval")
"""Evidence that has a line of its own."""

Select = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC", show_default=False,
        help="Ask several embeddings and choose between them: fuse, weight, select, cascade(rate=0.3); what octant "
        "calibrate --attach kept is used.",
    ),
]  # fmt: skip
Of = Annotated[
    list[str] | None,
    typer.Option(
        "--of", metavar="NAME", show_default=False,
        help="Which embedding to search; with --select, more than once, which to choose between, in this order: for a "
        "cascade the cheapest first.",
    ),
]  # fmt: skip


def check_select(spec: str, **given: object) -> None:
    """Refuse a spec with a mistake, and options of a search in one embedding, before any model is loaded.

    Raises
    ------
    SpecError
        If ``spec`` has a mistake.
    InputError
        Naming the first option that was given.
    """
    selector(spec)
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} is about one embedding, and --select asks several: leave one of the two out")


def chosen(
    collection: Collection,
    query: str,
    spec: str,
    names: Sequence[str] | None,
    k: int,
    *,
    filter_: object | None,
    with_vectors: bool,
) -> tuple[Ranking, Decision]:
    """The best ``k`` that the selector makes of what the embeddings find, and why they are."""
    usable = [name for name, info in collection.embeddings.items() if info.takes_texts and info.complete]
    if missing := [name for name in names or () if name not in usable]:
        raise InputError(
            f"the embeddings of {collection.name!r} that take a question are {', '.join(usable) or 'none'}; "
            f"got --of {', '.join(missing)}"
        )

    def ask(asked: tuple[str, ...], depth: int) -> Rankings:
        return collection.search_each(query, depth, embeddings=asked, filter=filter_, with_vectors=with_vectors)

    return selector(spec, collection=collection).search(ask, names or usable, k)


def told(decision: Decision) -> str:
    """Lines of text: what was chosen, how sure that is and of what, and why."""
    sure = "not calibrated" if decision.calibrated is None else f"calibrated on {decision.calibrated}"
    interval = decision.evidence.get("confidence interval")
    reach = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    lines = [
        f"chosen: {decision.chosen or 'nothing'}",
        f"confidence: {decision.confidence:.2f}{reach} that {decision.estimates} ({sure})",
    ]
    if decision.alternatives:
        lines.append(f"what spoke for each: {_listed(decision.alternatives)}")
    signals: Mapping[str, Mapping[str, float]] = decision.evidence.get("signals", {})
    lines += [f"signals of {name}: {_listed(own)}" for name, own in signals.items()]
    lines += [f"{name}: {_value(value)}" for name, value in decision.evidence.items() if name not in _TOLD]
    lines.append(f"embeddings searched: {decision.cost.get('searches', 0):g}")
    lines += [f"note: {remark}" for remark in decision.remarks]
    return "\n".join(lines)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _value(value: JSON) -> str:
    return _listed(value) if isinstance(value, dict) else str(value)
