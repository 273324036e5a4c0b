"""``octant plugins``: what is installed, and whether it loads."""

from __future__ import annotations

from typing import get_args

import typer

from octant.cli.output import AsJson, echo_json, plural, table
from octant.errors import OctantError
from octant.records import JSON
from octant.registry import Group, PluginInfo, describe, load


def plugins(as_json: AsJson = False) -> None:
    """List quantizers, rerankers and selectors: name, package, version, and whether each one loads."""
    found = {group: [_entry(group, info) for info in describe(group)] for group in get_args(Group)}
    if as_json:
        echo_json(found)
        return
    for group, entries in found.items():
        typer.echo(f"{group}: {plural(len(entries), 'plugin')}")
        if entries:
            rows = [[e["name"], e["package"], e["version"], e["target"], e["problem"] or "loads"] for e in entries]
            typer.echo(table(["name", "package", "version", "from", "state"], rows, left=5) + "\n")


def _entry(group: Group, info: PluginInfo) -> dict[str, JSON]:
    return {
        "name": info.name, "package": info.package, "version": info.version, "target": info.target,
        "problem": _problem(group, info.name),
    }  # fmt: skip


def _problem(group: Group, name: str) -> str | None:
    try:
        load(group, name)
    except OctantError as error:
        return " ".join(str(error).split())
    return None
