"""What ``octant search`` and ``octant eval`` have in common where they rerank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from octant.chat_models import chat_model
from octant.cli.output import excerpt, plural
from octant.errors import InputError
from octant.records import JSON, Candidate, Ranking

Llm = Annotated[
    str | None,
    typer.Option(
        "--llm", metavar="PROVIDER:MODEL", show_default=False,
        help="Chat model for rerankers that ask one, through LangChain's init_chat_model.",
    ),
]  # fmt: skip
Candidates = Annotated[
    int | None,
    typer.Option(min=2, help="How many candidates are reranked: 50 for a search, 100 for eval.", show_default=False),
]
PricesOption = Annotated[
    str | None,
    typer.Option(
        "--prices", metavar="INPUT,OUTPUT", show_default=False,
        help="What a million tokens cost, to report the cost of reranking.",
    ),
]  # fmt: skip
MaxCalls = Annotated[
    int | None, typer.Option(min=1, help="Most requests to the chat model for one query.", show_default=False)
]


@dataclass(frozen=True)
class RerankOptions:
    """The options beside ``--rerank``, as they came."""

    llm: str | None = None
    candidates: int | None = None
    prices: str | None = None
    max_calls: int | None = None

    def refuse_without_rerank(self, **others: object) -> None:
        """Refuse options that do nothing unless something is reranked.

        Raises
        ------
        InputError
            Naming the first one that was given.
        """
        given = {"llm": self.llm, "candidates": self.candidates, "prices": self.prices, "max-calls": self.max_calls}
        for name, value in (given | others).items():
            if value not in (None, False):
                raise InputError(f"--{name} is about reranking: pass --rerank SPEC too")

    def arguments(self) -> dict[str, Any]:
        """What they say to :func:`octant.reranker`.

        Raises
        ------
        InputError
            If the prices are not two numbers, or the chat model cannot be set up.
        MissingExtraError
            If that needs a library that is not installed.
        """
        arguments: dict[str, Any] = {}
        if self.prices is not None:
            arguments["prices"] = _prices(self.prices)
        if self.max_calls is not None:
            arguments["max_calls"] = self.max_calls
        if self.llm is not None:
            arguments["llm"] = chat_model(self.llm)
        return arguments


def _prices(text: str) -> tuple[float, float]:
    try:
        asked, answered = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            f"--prices is two numbers, for a million tokens in and out, as 0.15,0.60; got {text!r}"
        ) from error
    return asked, answered


def explained(before: Ranking, after: Ranking) -> str:
    """Lines of text: where each result was before and is now, with both scores, and what the reranking cost."""
    places = {candidate.id: place for place, candidate in enumerate(before, start=1)}
    lines = [_line(rank, places[candidate.id], candidate) for rank, candidate in enumerate(after, start=1)]
    lines.append(f"of {plural(len(before), 'candidate')}; what scores mean: {after.score_kind}")
    report = after.report
    if report is not None:
        lines.append(str(report))
        lines += [f"because {point}: {reason}" for point, reason in report.justifications.items()]
        lines += [f"{name}: {value:g}" for name, value in report.statistics.items()]
    return "\n".join(lines)


def _line(rank: int, before: int, candidate: Candidate) -> str:
    moved = (
        "same place" if before == rank else f"was {before}, {'up' if before > rank else 'down'} {abs(before - rank)}"
    )
    first = candidate.score if candidate.first_stage_score is None else candidate.first_stage_score
    scores = f"{candidate.score:8.4f}  first stage {first:8.4f}"
    return f"{rank:>3}  {scores}  {candidate.id}  ({moved})\n     {excerpt(candidate.text)}"


def explained_json(before: Ranking, after: Ranking) -> dict[str, JSON]:
    """What :func:`explained` tells, for programs; one entry of ``moves`` a result, in order."""
    places = {candidate.id: place for place, candidate in enumerate(before, start=1)}
    return {
        "score_kind": after.score_kind,
        "candidates": len(before),
        "moves": [
            {"id": one.id, "before": places[one.id], "after": rank, "first_stage_score": one.first_stage_score}
            for rank, one in enumerate(after, start=1)
        ],
        "report": None if after.report is None else after.report.as_dict(),
    }
