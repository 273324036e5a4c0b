"""``octant train``: teach a reranker from judged questions; what else is trained has a command beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from octant.cli.options import (
    LOCATION,
    ApiKey,
    Attach,
    Collected,
    Embedding,
    Groups,
    Location,
    Qrels,
    Queries,
    Teacher,
    TrainedFile,
)
from octant.cli.output import AsJson, echo_json
from octant.cli.reranking import Llm
from octant.cli.search import SearchMode
from octant.cli.teaching import check_adoption, check_teacher, open_to_train, teacher_of
from octant.cli.train_cutoff import train_cutoff
from octant.cli.train_e2rank import train_e2rank
from octant.errors import InputError
from octant.judged import read_questions
from octant.trained import TrainedPart, TrainingReport

_ANY = "reranker"
"""The command that takes any reranker's spec; ``train learned`` is short for ``train reranker learned``."""


class Trainings(TyperGroup):
    """A word that is no command of its own is the spec of a reranker."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Name, command and arguments; see click's ``Group.resolve_command``."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            return _ANY, self.commands[_ANY], args
        return super().resolve_command(ctx, args)


train = typer.Typer(
    cls=Trainings,
    help="Train a reranker on judged questions: octant train learned --collection NAME --queries FILE --qrels FILE.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def train_reranker(
    context: typer.Context,
    spec: Annotated[
        str, typer.Argument(metavar="RERANKER", help="learned, learned(vectors=true), refine …", show_default=False)
    ],
    collection: Collected,
    queries: Queries,
    qrels: Qrels,
    groups: Groups = None,
    location: Location = LOCATION,
    embedding: Embedding = None,
    teacher: Teacher = None,
    llm: Llm = None,
    mode: Annotated[SearchMode, typer.Option(help="How candidates are searched.")] = SearchMode.dense,
    depth: Annotated[int, typer.Option("--depth", min=2, help="Candidates of a question.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    out: TrainedFile = None,
    adopt: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Validate what was learned elsewhere on this collection instead, so that it may act here.",
            show_default=False,
        ),
    ] = None,
    attach: Attach = True,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Train a reranker on judged questions of a collection, and say whether it helps.

    Questions are held back from learning, a quarter of them or, for what learns fast, each once; unless they show that
    what was learned is surely better than no change, nothing changes.
    """
    from octant import training  # nobody needs it, or what it loads, for the other commands
    from octant.rerankers.trained import part_at

    wanted = training.trained_reranker(spec)
    if not attach and out is None and adopt is None:
        raise InputError("--no-attach without --out would throw away what was learned: pass --out FILE")
    check_teacher(teacher, llm)
    learned = None
    if adopt is not None:
        check_adoption(context, "teacher", "seed")
        learned = part_at(adopt)
        if learned.spec != repr(wanted):
            raise InputError(f"{adopt} holds what was trained for {learned.spec!r}, not for {wanted!r}: name that one")
    questions = read_questions(queries, qrels, groups)
    with open_to_train(collection, location, embedding, api_key) as opened:
        if learned is not None:
            part = training.adopt_reranker(
                learned, opened, questions, k=depth, mode=mode.value, attach=attach, progress=True
            )
            report = part.origin.corpora[opened.corpus()]
        else:
            part = training.train_reranker(
                repr(wanted), opened, questions, teacher=teacher_of(opened, teacher, llm), k=depth, mode=mode.value,
                seed=seed, attach=attach, progress=True,
            )  # fmt: skip
            report = part.report
    if out is not None:
        part.save(out)
    if as_json:
        echo_json({"spec": part.spec, "attached": attach, "file": out, **report.as_json()})
        return
    typer.echo(_told(part, report, collection if attach else None, out))


def _told(part: TrainedPart, report: TrainingReport, collection: str | None, out: str | None) -> str:
    lines = [str(report), ""]
    if collection is not None:
        use = f"octant.reranker({part.spec!r}, trained=collection)"
        lines.append(
            f"attached to {collection!r}{', where it changes nothing' if report.no_change else f': {use} uses it'}"
        )
    if out is not None:
        lines.append(f"written to {out}")
    return "\n".join(lines)


TRAININGS: dict[str, Callable[..., None]] = {_ANY: train_reranker, "cutoff": train_cutoff, "e2rank": train_e2rank}
for training_name, training_command in TRAININGS.items():
    train.command(training_name)(training_command)
