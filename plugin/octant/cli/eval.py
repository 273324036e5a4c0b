"""``octant eval``: what each representation costs on one dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from octant.cli.options import DEFAULT_MODEL, Embedding
from octant.cli.reranking import Candidates, Llm, MaxCalls, PricesOption, RerankOptions
from octant.cli.search import SearchMode
from octant.collection.making import DEFAULT_REPRESENTATION
from octant.cutoff_evaluation import CutoffEvaluation, evaluate_cutoff
from octant.cutoffs.cutoff import Cutoff
from octant.errors import InputError
from octant.evaluate import evaluate as measure
from octant.report import Report
from octant.rerank_evaluation import evaluate_rerankers
from octant.rerank_table import RerankEvaluation

CANDIDATES = 100
"""What is reranked where nobody says how many."""


def evaluate(
    dataset_dir: Annotated[
        str,
        typer.Argument(metavar="DATASET_DIR", help="BEIR-style folder, or one .npz of vectors.", show_default=False),
    ],
    represent: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="Representation to measure; may be given again.", show_default=False),
    ] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Reranker to compare with the first stage, which is then one --represent; may be given again.",
        ),
    ] = None,
    trained: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="What a reranker has learned, which then acts: octant train RERANKER --out FILE; may be given again.",
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Measure what this trained cutoff leaves out, over one --represent: octant train cutoff --out FILE.",
        ),
    ] = None,
    candidates: Candidates = None,
    mode: Annotated[SearchMode | None, typer.Option(help="First stage of reranking.", show_default=False)] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Rerank for a drawn sample of so many queries.", show_default=False)
    ] = None,
    llm: Llm = None,
    prices: PricesOption = None,
    max_calls: MaxCalls = None,
    embedding: Embedding = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Depth of the metrics; recall also at ten times it.")] = 10,
    split: Annotated[str | None, typer.Option(help="Which split of the folder.", show_default=False)] = None,
    cache: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep embeddings there for the next evaluation.", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--json", metavar="OUT", help="Write JSON to this file too; - prints it instead of the table."),
    ] = None,
) -> None:
    """Measure representations against float32, or with --rerank rerankers against the first stage."""
    if out not in (None, "-") and not Path(out).resolve().parent.is_dir():
        raise InputError(f"there is no folder for --json {out}: make it first")  # before the work, not after it
    # Texts need a model; an archive of vectors takes none.
    model = embedding or (DEFAULT_MODEL if Path(dataset_dir).is_dir() else None)
    options = RerankOptions(llm, candidates, prices, max_calls)
    report: Report | RerankEvaluation | CutoffEvaluation
    if cutoff is not None and rerank:
        raise InputError("--cutoff and --rerank are two questions: ask one at a time")
    if cutoff is not None:
        replace(options, candidates=None).refuse_without_rerank(mode=mode, questions=questions, trained=trained)
        report = evaluate_cutoff(
            dataset_dir, _cutoff(cutoff), model, represent=_only(represent), candidates=candidates or CANDIDATES,
            split=split, cache_dir=cache, progress=True,
        )  # fmt: skip
    elif rerank:
        report = evaluate_rerankers(
            dataset_dir, rerank, None if mode is SearchMode.sparse and embedding is None else model,
            represent=_only(represent), candidates=candidates or CANDIDATES, k=k, split=split, queries=questions,
            mode=(mode or SearchMode.dense).value, trained=trained or (), cache_dir=cache, progress=True,
            **options.arguments(),
        )  # fmt: skip
    else:
        options.refuse_without_rerank(mode=mode, questions=questions, trained=trained)
        if not represent:
            raise InputError("nothing to measure: pass --represent SPEC, or --rerank SPEC")
        report = measure(dataset_dir, represent, embedding=model, k=k, split=split, cache_dir=cache, progress=True)
    text = json.dumps(report.as_json(), ensure_ascii=False, indent=2)
    typer.echo(text if out == "-" else report.table())
    if out not in (None, "-"):
        Path(out).write_text(text + "\n", encoding="utf-8")


def _cutoff(path: str) -> Cutoff:
    if not Path(path).is_file():
        raise InputError(
            f"--cutoff names no file: {path!r}. An evaluation makes a collection of its own, to which nothing is "
            "attached: write what was learned with octant train cutoff --out FILE"
        )
    return Cutoff.load(path)


def _only(represent: list[str] | None) -> str:
    """The representation of the first stage."""
    if represent and len(represent) > 1:
        raise InputError(f"--rerank and --cutoff compare over one --represent, got {len(represent)}")
    return represent[0] if represent else DEFAULT_REPRESENTATION
