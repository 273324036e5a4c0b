"""What the commands have in common on the way out: tables, sizes and JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Annotated

import typer

from octant.records import JSON

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs instead of text.")]


def echo_json(value: JSON) -> None:
    """Print ``value`` as JSON on standard output; numbers that JSON lacks become null."""
    typer.echo(json.dumps(_plain(value), ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """Say on standard error what takes a while."""
    typer.echo(f"{text} …", err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of equal width, the first ``left`` ones aligned to the left, the others to the right.

    Examples
    --------
    >>> print(table(["part", "bytes"], [["graph", "12"], ["ids", "4096"]]))
    part   bytes
    -----  -----
    graph     12
    ids     4096
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def excerpt(text: str | None, width: int = 160) -> str:
    """The beginning of a text, in one line."""
    return textwrap.shorten(" ".join((text or "").split()), width=width, placeholder=" …")


def plural(count: int, word: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> plural(1, "passage"), plural(1200, "passage")
    ('1 passage', '1,200 passages')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _plain(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
