"""``octant train e2rank``: a query's side that reads listwise prompts, for one collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octant.cli.options import (
    LOCATION,
    ApiKey,
    Collected,
    Embedding,
    Groups,
    Location,
    Qrels,
    Queries,
    Teacher,
    recorded_model,
)
from octant.cli.output import AsJson, echo_json
from octant.cli.reranking import Llm
from octant.cli.teaching import check_adoption, check_teacher, open_to_train, teacher_of
from octant.errors import InputError
from octant.gathering import gather
from octant.judged import read_questions
from octant.records import JSON
from octant.work import Work


def train_e2rank(
    given: typer.Context,
    collection: Collected,
    queries: Queries,
    qrels: Qrels,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder to be made for the model.", show_default=False)
    ] = None,
    adopt: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Validate this trained model on the collection instead, so that it may act there.",
            show_default=False,
        ),
    ] = None,
    location: Location = LOCATION,
    embedding: Embedding = None,
    groups: Groups = None,
    teacher: Teacher = None,
    llm: Llm = None,
    depth: Annotated[int, typer.Option("--depth", min=2, help="Candidates of a question.")] = 20,
    passages: Annotated[int, typer.Option(help="Most passages in a prompt.")] = 20,
    context: Annotated[
        int | None, typer.Option(help="Tokens of a prompt, if fewer than the model reads.", show_default=False)
    ] = None,
    layers: Annotated[int, typer.Option(help="How many of the last layers learn; 0 for all of them.")] = 2,
    steps: Annotated[int, typer.Option(help="Batches at most.")] = 400,
    batch: Annotated[int, typer.Option(help="Questions in a batch.")] = 8,
    rate: Annotated[float, typer.Option(help="Largest learning rate, relative to the size of a weight.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Teach a copy of the embedding model to read a question with its passages; no vector is made anew.

    A quarter of the questions is held out, and decides whether anything changes at all. A training that was killed goes
    on where it was when the same command is given again.
    """
    from octant.rerankers import e2rank_training as training  # nobody needs it for the other commands

    if (out is None) == (adopt is None):
        raise InputError("say --out to train a model, or --adopt to validate one that there is: one of the two")
    if adopt is not None:
        check_adoption(given, "teacher", "passages", "context", "layers", "steps", "batch", "rate", "seed")
    if out is not None:
        training.free_folder(out)  # before the search, not after it
    check_teacher(teacher, llm)
    effort = training.Effort(steps, batch, rate, layers or None, passages, context=context)
    questions = read_questions(queries, qrels, groups)
    with open_to_train(collection, location, embedding, api_key) as opened:
        source = embedding or recorded_model(opened.manifest)
        judged = gather(opened, questions, k=depth, progress=True)
        if adopt is not None:
            record = training.adopt(adopt, source, judged, work=Work(progress=True))
        else:
            kept = Path(f"{out}.checkpoint")
            work = Work(progress=True, checkpoint=kept)
            guide = teacher_of(opened, teacher, llm)
            record = training.train(source, judged, str(out), teacher=guide, effort=effort, seed=seed, work=work)
            if kept.is_dir() and not any(kept.iterdir()):
                kept.rmdir()
    folder = adopt if adopt is not None else str(out)
    told: dict[str, JSON] = {"folder": folder, **record.header, "origin": record.origin.as_json()}
    if as_json:
        echo_json(told)
        return
    report = list(record.origin.corpora.values())[-1] if adopt is not None else record.report
    typer.echo(str(report))
    typer.echo(f"\nwritten to {folder}: rerank with \"e2rank('{folder}')\"")
