"""``octant calibrate``: learn to choose between embeddings and how sure to be, from judged questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octant.cli.calibrate_report import as_html, as_text
from octant.cli.options import LOCATION, ApiKey, Embeddings, Groups, Location, Name, SomeQrels
from octant.cli.output import AsJson, echo_json, note
from octant.cli.several import Models, opened
from octant.errors import InputError
from octant.gathering_each import gather_each
from octant.judged import read_questions
from octant.pseudo_labels import NOTE, pseudo_questions
from octant.selection import selector

if TYPE_CHECKING:
    from octant.selectors.calibrating import Calibrated

PSEUDO = 300
_PICTURES = (".html", ".png", ".svg")


def calibrate(
    name: Name,
    location: Location = LOCATION,
    select: Annotated[
        str, typer.Option(metavar="SPEC", help="What chooses: fuse, weight, select, cascade(rate=0.3).")
    ] = "fuse",
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", show_default=False,
            help='Questions, {"_id", "text"} a line; gzipped or not. Without them: sentences of passages.',
        ),
    ] = None,
    qrels: SomeQrels = None,
    groups: Groups = None,
    pseudo: Annotated[
        int | None, typer.Option(min=1, help="How many sentences of passages to ask for instead.", show_default=False)
    ] = None,
    embedding: Embeddings = None,
    order: Annotated[
        list[str] | None,
        typer.Option(
            "--of", metavar="NAME",
            help="Which embeddings to choose between, in this order: for a cascade the cheapest first.",
            show_default=False,
        ),
    ] = None,
    within: Annotated[int, typer.Option(min=1, help="The confidence is of a relevant passage among so many.")] = 5,
    held_out: Annotated[float, typer.Option(help="Share of the questions that the report is about.")] = 0.3,
    depth: Annotated[int, typer.Option(min=1, help="Candidates of each embedding.")] = 100,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    attach: Annotated[bool, typer.Option("--attach", help="Keep what was learned with the collection.")] = False,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder for the files selection and calibration.", show_default=False),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(
            "--report", metavar="FILE", help="The report as .html, or its reliability diagram as .png or .svg.",
            show_default=False,
        ),
    ] = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Learn which embedding to trust, and how probable it is that something relevant was found.

    Part of the questions is held out, and the report is about those alone; what is kept has learned from all of them.
    """
    # Mistakes are told before anything is searched.
    if (queries is None) != (qrels is None):
        raise InputError("--queries and --qrels go together: judgements need their questions")
    if queries is None and groups is not None:
        raise InputError("--groups is about --queries: pass both, or neither")
    if queries is not None and pseudo is not None:
        raise InputError("--pseudo stands in for --queries and --qrels: pass one of the two")
    if picture is not None and Path(picture).suffix.lower() not in _PICTURES:
        raise InputError(f"--report is a file that ends in {', '.join(_PICTURES)}; got {picture}")
    for file in (picture, out):
        if file is not None and not Path(file).resolve().parent.is_dir():
            raise InputError(f"there is no folder for {file}: make it first")
    chooses = selector(select)
    given = None if queries is None or qrels is None else read_questions(queries, qrels, groups)
    with opened(name, location, api_key, Models.parse(embedding)) as collection:
        asked = pseudo_questions(collection, pseudo or PSEUDO, seed=seed) if given is None else given
        judged = gather_each(collection, asked, embeddings=order, k=depth, progress=True)
        note("learning")
        from octant.selectors.calibrating import calibrate as learn  # nobody needs it for the other commands

        done = learn(chooses, judged, within=within, held_out=held_out, depth=depth, seed=seed)
        if attach:
            for part in (done.selector.learned, done.calibration):
                if part is not None:
                    collection.attach(part)
    remarks = [NOTE] if given is None else []
    _write(out, picture, done)
    if as_json:
        echo_json({**done.report.as_json(), "attached": attach, "remarks": remarks})
    else:
        typer.echo(as_text(done.report))
        for remark in remarks:
            typer.echo(f"note: {remark}")
        if attach:
            typer.echo(f"kept with {name}: octant.selector({select!r}, collection=...) uses it")


def _write(out: str | None, picture: str | None, done: Calibrated) -> None:
    if out is not None:
        folder = Path(out)
        folder.mkdir(exist_ok=True)
        if done.selector.learned is not None:
            done.selector.learned.save(folder / "selection")
        done.calibration.save(folder / "calibration")
    if picture is None:
        return
    if Path(picture).suffix.lower() == ".html":
        Path(picture).write_text(as_html(done.report), encoding="utf-8")
        return
    from octant.calibration import save_reliability

    save_reliability(done.report.bins, picture, title=done.report.event)
