"""``octant eval``: what each representation costs on one dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from octant.cli.options import DEFAULT_MODEL, Embedding
from octant.errors import InputError
from octant.evaluate import evaluate as measure


def evaluate(
    dataset_dir: Annotated[
        str,
        typer.Argument(metavar="DATASET_DIR", help="BEIR-style folder, or one .npz of vectors.", show_default=False),
    ],
    represent: Annotated[
        list[str],
        typer.Option(metavar="SPEC", help="Representation to measure; may be given again.", show_default=False),
    ],
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
    """Measure recall, ranking quality, bytes and speed of representations against float32."""
    if out not in (None, "-") and not Path(out).resolve().parent.is_dir():
        raise InputError(f"there is no folder for --json {out}: make it first")  # before the work, not after it
    # Texts need a model; an archive of vectors takes none.
    model = embedding or (DEFAULT_MODEL if Path(dataset_dir).is_dir() else None)
    report = measure(dataset_dir, represent, embedding=model, k=k, split=split, cache_dir=cache, progress=True)
    text = json.dumps(report.as_json(), ensure_ascii=False, indent=2)
    typer.echo(text if out == "-" else report.table())
    if out not in (None, "-"):
        Path(out).write_text(text + "\n", encoding="utf-8")
