"""``octant footprint``: what a collection occupies, before and after, and what is really in memory."""

from __future__ import annotations

from typing import Annotated

import typer

from octant.cli.options import LOCATION, ApiKey, Location, Name, open_any
from octant.cli.output import AsJson, echo_json
from octant.cli.sizes import against, components, footprint_json, held, ratios_json, reserve, residency_json
from octant.errors import InputError
from octant.records import Footprint, Residency


def footprint(
    name: Name,
    location: Location = LOCATION,
    against_: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="NAME2", help="A collection to compare with: the one after.", show_default=False
        ),
    ] = None,
    against_location: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Where that is.  [default: the same location]", show_default=False),
    ] = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Measure a collection: bytes by component, pinned, cached or cold, and what really is in memory now."""
    if against_ is None and against_location is not None:
        raise InputError("--against-location says where the collection of --against is: name that too")
    one, held_one = _measured(name, location, api_key)
    if against_ is None:
        if as_json:
            echo_json({"collection": name, "footprint": footprint_json(one), "residency": residency_json(held_one)})
        else:
            typer.echo(f"{components(one)}\n\n{held(held_one)}")
        return
    other, held_other = _measured(against_, against_location or location, api_key)
    if as_json:
        before = {"collection": name, "footprint": footprint_json(one), "residency": residency_json(held_one)}
        after = {"collection": against_, "footprint": footprint_json(other), "residency": residency_json(held_other)}
        echo_json({"before": before, "after": after, "ratios": ratios_json(one, other)})
        return
    typer.echo(f"before: {_title(name, one)}\nafter:  {_title(against_, other)}\n\n{against(one, other)}")
    for side, found in {"before": one, "after": other}.items():
        if found.reserved_bytes:
            typer.echo(f"{side}: {reserve(found).strip()}")


def _measured(name: str, location: str, api_key: str | None) -> tuple[Footprint, Residency]:
    with open_any(name, location, api_key) as collection:
        return collection.footprint(), collection.residency()


def _title(name: str, found: Footprint) -> str:
    return f"{name}, {found.points:,} points in {found.segments} segments"
