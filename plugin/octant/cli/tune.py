"""``octant tune``: which representation, graph and search settings, decided on one's own vectors."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from octant.cli.options import DEFAULT_MODEL, LOCATION, ApiKey, Embedding, open_collection
from octant.collection import Collection
from octant.errors import InputError
from octant.records import Distance
from octant.tuning import Goal, Study, study
from octant.tuning.amounts import bytes_per_vector, seconds
from octant.tuning.run import DEFAULT_BUDGET

Size = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Bytes a vector ('200'), or in all ('2GiB for 10M vectors').", show_default=False
    ),
]


class Objective(str, Enum):
    """What is wanted of the candidates that satisfy every bound."""

    CHEAPEST = "cheapest"
    BEST = "best"


def tune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A collection's name, a BEIR-style folder, or a .npz of vectors.", show_default=False
        ),
    ],
    location: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help=f"Where the collection SOURCE is.  [default: $OCTANT_LOCATION, else {LOCATION}]",
            show_default=False,
        ),
    ] = None,
    api_key: ApiKey = None,
    vector: Annotated[
        str, typer.Option("--vector", metavar="NAME", help="Which of a collection's vectors.", show_default=False)
    ] = "",
    min_recall: Annotated[
        float | None,
        typer.Option(help="Least recall@k.  [default: 0.95, if no quality is asked for]", show_default=False),
    ] = None,
    min_ndcg: Annotated[
        float | None, typer.Option(help="Least nDCG@k, where queries are judged.", show_default=False)
    ] = None,
    max_ram: Size = None,
    max_disk: Size = None,
    max_latency_ratio: Annotated[
        float | None, typer.Option(help="Longest query time, as a multiple of float32's.", show_default=False)
    ] = None,
    objective: Annotated[
        Objective, typer.Option(help="The cheapest that satisfies the bounds, or the best.")
    ] = Objective.CHEAPEST,
    ram_weight: Annotated[float, typer.Option(help="What a byte of RAM costs, in bytes of disk.")] = 1.0,
    budget: Annotated[str, typer.Option(help="Time it may take: '90s', '10m', '1h'.")] = DEFAULT_BUDGET,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Write recommendation.json, study.json, report.html and report.png there; go on from what is there.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Real queries: .npz of vectors or .jsonl of texts.", show_default=False),
    ] = None,
    qrels: Annotated[
        str | None, typer.Option(metavar="FILE", help="A .tsv that judges the queries.", show_default=False)
    ] = None,
    represent: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="Try this too; may be given again.", show_default=False),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Try nothing but what --represent names.")] = False,
    points: Annotated[
        str | None,
        typer.Option(metavar="COUNT", help="Vectors that SOURCE is a sample of, as in '10M'.", show_default=False),
    ] = None,
    embedding: Embedding = None,
    split: Annotated[str | None, typer.Option(help="Which split of the folder.", show_default=False)] = None,
    distance: Annotated[
        Distance | None,
        typer.Option(case_sensitive=False, help="Of a folder or file.  [default: Cosine]", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Answers that are judged.")] = 10,
    seed: Annotated[int, typer.Option(help="Of every draw and fit.")] = 0,
    cache: Annotated[str | None, typer.Option(metavar="DIR", help="Keep embeddings there.", show_default=False)] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="With --out: the page and the picture.")] = True,
) -> None:
    """Find the cheapest way to store a collection that keeps the quality asked for, or the best inside a budget."""
    goal = Goal(
        k=k, min_recall=min_recall, min_ndcg=min_ndcg,
        max_ram=None if max_ram is None else bytes_per_vector(max_ram),
        max_disk=None if max_disk is None else bytes_per_vector(max_disk),
        max_latency_ratio=max_latency_ratio, objective=objective.value, ram_weight=ram_weight,
    )  # fmt: skip
    seconds(budget)
    if out is not None and report:
        from octant.tuning import picture  # nobody needs it without --out

        picture.check()
    given = _source(source, location, api_key, vector)
    model = embedding or (DEFAULT_MODEL if Path(source).is_dir() and not isinstance(given, Collection) else None)
    try:
        found = study(
            given, goal, embedding=model, queries=queries, qrels=qrels, split=split, distance=distance, points=points,
            represent=represent or (), only=only, budget=budget, out=out, cache_dir=cache, seed=seed, progress=True,
        )  # fmt: skip
    finally:
        if isinstance(given, Collection):
            given.close()
    typer.echo(found.table())
    if out is not None:
        _write(found, Path(out), report)
    if found.interrupted:
        again = f": the same command goes on from {out}" if out is not None else ""
        typer.echo(f"octant: interrupted; this is what was found so far{again}", err=True)


def _source(source: str, location: str | None, api_key: str | None, vector: str) -> str | Collection:
    """The path of a folder or file, or the open collection."""
    path = Path(source)
    is_data = path.suffix == ".npz" or (path.is_dir() and any(path.glob("corpus*.jsonl*")))
    if location is not None and is_data and path.exists():
        raise InputError(f"{source} is data of its own, and --location says where a collection is: give one of the two")
    if location is None and (is_data or path.exists()):
        if vector:
            raise InputError(f"--vector chooses among the vectors of a collection, and {source} is none")
        return source
    return open_collection(
        source, location or os.environ.get("OCTANT_LOCATION", LOCATION), api_key, vector_name=vector or None
    )


def _write(found: Study, folder: Path, report: bool) -> None:
    found.recommendation.save(folder / "recommendation.json")
    found.save(folder / "study.json")
    written = ["recommendation.json", "study.json"]
    if report:
        from octant.tuning import picture, report_html

        report_html.write(found, folder / "report.html")
        picture.write(found, folder / "report.png")
        written += ["report.html", "report.png"]
    typer.echo(f"\nwritten to {folder}: {', '.join(written)}")
