"""``octant compress``: from a float collection to a compressed one, with no downtime."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from octant.cli.options import LOCATION, ApiKey, Embedding, Location, Name, client_options
from octant.cli.output import AsJson, echo_json
from octant.errors import InputError
from octant.lifecycle.compress import MAX_PASSES, plan_compression
from octant.lifecycle.compress import compress as run_compression


def compress(
    name: Name,
    location: Location = LOCATION,
    into: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new collection.", show_default=False)
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Where it shall be, if not beside the source.", show_default=False),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Add the compressed vectors to the collection itself instead.")
    ] = False,
    represent: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="How the only dense vector shall be stored.", show_default=False),
    ] = None,
    vector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SPEC",
            help="How one of several vectors shall be stored; may be given again. The others go over unchanged.",
            show_default=False,
        ),
    ] = None,
    recommendation: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What octant tune recommends, for the only vector.", show_default=False),
    ] = None,
    drop_vector: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Leave this vector out; may be given again.", show_default=False),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what to expect: bytes, time, recall. Writes nothing.")
    ] = False,
    min_recall: Annotated[
        float | None,
        typer.Option(help="Switch nothing if recall@10 may be below it.", min=0, max=1, show_default=False),
    ] = None,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Copy again what is written to the source meanwhile.")
    ] = False,
    max_passes: Annotated[int, typer.Option(help="Most comparisons of source and target.", min=1)] = MAX_PASSES,
    alias: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name that stands for the new collection from then on.", show_default=False),
    ] = None,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete the source once everything is verified.")
    ] = False,
    drop_originals: Annotated[
        bool, typer.Option("--drop-originals", help="In place: delete the original vectors once that is verified.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something is deleted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the target is there.")] = False,
    embedding: Embedding = None,
    text_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Payload key of the text.", show_default=False)
    ] = None,
    from_codes: Annotated[
        bool, typer.Option("--from-codes", help="Compress what is compressed already; it loses twice.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Carry points over without a vector that is zero or not finite.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Where an interrupted fit resumes from, for a target on a server.", show_default=False
        ),
    ] = None,
    api_key: ApiKey = None,
    to_api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of the server of --to.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compress a collection that anybody made; verified point by point before anything is switched.

    Killed at any moment, the same command goes on where it was. Nothing of the source is deleted unless asked for.
    """
    order: dict[str, Any] = {
        "location": location, "into": into, "to": to, "in_place": in_place, "represent": represent,
        "vectors": _vectors(vector or ()), "recommendation": recommendation, "drop_vectors": drop_vector or (),
        "embedding": embedding, "text_key": text_key, "seed": seed, "alias": alias, "delete_source": delete_source,
        "drop_originals": drop_originals, "overwrite": overwrite, "from_codes": from_codes,
        "skip_invalid": skip_invalid, "progress": True, "client_options": client_options(location, api_key),
        "to_client_options": None if to is None else client_options(to, to_api_key),
    }  # fmt: skip
    if plan:
        found = plan_compression(name, **order)
        _print(found, as_json=as_json)
        return
    if not yes and (delete_source or drop_originals):
        _confirm(name, what="the collection" if delete_source else "the original vectors of")
    report = run_compression(
        name, min_recall=min_recall, catch_up=catch_up, max_passes=max_passes, checkpoint=checkpoint, **order
    )
    _print(report, as_json=as_json)


def _vectors(given: Sequence[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for entry in given:
        name, sign, spec = entry.partition("=")
        if not sign or not spec:
            raise InputError(f"--vector is NAME=SPEC, as in 'text=turbo8' (the unnamed one: '=turbo8'); got {entry!r}")
        if name in chosen:
            raise InputError(f"--vector names {name!r} twice: a vector is stored in one way")
        chosen[name] = spec
    return chosen


def _confirm(name: str, what: str) -> None:
    if not _at_a_terminal():
        raise InputError(f"this deletes {what} {name!r} once the target is verified: add --yes to say that you mean it")
    typer.confirm(f"Delete {what} {name!r} for good, once the target is verified?", abort=True, err=True)


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _print(found: Any, *, as_json: bool) -> None:
    if as_json:
        echo_json(found.as_json())
    else:
        typer.echo(found.table())
