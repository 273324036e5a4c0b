"""``octant train cutoff``: from which score on a hit is relevant, for one collection."""

from __future__ import annotations

from typing import Annotated

import typer

from octant.cli.options import (
    LOCATION,
    ApiKey,
    Attach,
    Collected,
    Embedding,
    Groups,
    Location,
    SomeQrels,
    SomeQueries,
    TrainedFile,
)
from octant.cli.output import AsJson, echo_json
from octant.cli.reranking import Llm
from octant.cli.teaching import check_teacher, open_to_train, teacher_of
from octant.errors import InputError
from octant.judged import read_questions


def train_cutoff(
    collection: Collected,
    queries: SomeQueries = None,
    qrels: SomeQrels = None,
    groups: Groups = None,
    pseudo: Annotated[
        int | None,
        typer.Option(
            "--pseudo",
            min=1,
            metavar="N",
            show_default=False,
            help="Without questions: ask for N passages by half the words of one of their sentences.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Relevant is what this reranker says, not the judgements.", show_default=False
        ),
    ] = None,
    llm: Llm = None,
    probe: Annotated[
        int, typer.Option(min=0, help="Best scores of a question to read too; searches then ask twice.")
    ] = 0,
    relevant: Annotated[float, typer.Option(help="Lowest grade that counts as relevant.")] = 1.0,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the relevant hits to keep; 0.95 unless --precision is given.", show_default=False),
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Share of what is kept that is to be relevant.", show_default=False)
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=2, help="Candidates of a question.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    location: Location = LOCATION,
    embedding: Embedding = None,
    out: TrainedFile = None,
    attach: Attach = True,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Learn from which score on a hit is relevant: octant search --cutoff attached leaves out what is not.

    Every question is told by networks that have not seen it; where none is surely better than one fixed score for all
    questions, it is that fixed score.
    """
    from octant import cutoff_training  # nobody needs it for the other commands
    from octant.pseudo_labels import pseudo_questions

    if pseudo is None and (queries is None or qrels is None):
        raise InputError(
            "a cutoff learns from --queries and --qrels, or from --pseudo N questions made of the passages"
        )
    if pseudo is not None and (queries is not None or qrels is not None or groups is not None):
        raise InputError("--pseudo makes its own questions: leave out --queries, --qrels and --groups")
    check_teacher(teacher, llm)
    if not attach and out is None:
        raise InputError("--no-attach without --out would throw away what was learned: pass --out FILE")
    with open_to_train(collection, location, embedding, api_key) as opened:
        if queries is None or qrels is None:
            asked = pseudo_questions(opened, pseudo or 1, seed=seed)
        else:
            asked = read_questions(queries, qrels, groups)
        guide = teacher_of(opened, teacher, llm)
        made = cutoff_training.train_cutoff(
            opened, asked, teacher=guide, labels="source" if pseudo and guide is None else "judgements", probe=probe,
            relevant=relevant, recall=recall, precision=precision, k=depth, seed=seed, attach=attach, progress=True,
        )  # fmt: skip
    if out is not None:
        made.save(out)
    if as_json:
        told = {"least": made.least, "measures": made.measures.as_json(), "expected": made.expected().as_json()}
        echo_json({"spec": made.spec, "attached": attach, "file": out, **told, **made.report.as_json()})
        return
    expected = made.expected()
    typer.echo(f"{made.report}\n\n{made.measures}\n")
    typer.echo(
        f"it keeps probabilities of at least {made.least:.4f}: {expected.recall:.1%} of the relevant hits, leaving out "
        f"{expected.filtered:.1%} of all, and {expected.empty:.1%} of the questions without any"
    )
    if attach:
        typer.echo(f"attached to {collection!r}: octant search {collection} QUERY --cutoff attached uses it")
    if out is not None:
        typer.echo(f"written to {out}")
