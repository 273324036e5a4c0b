"""The command line in this process: what is typed behind ``octant``, and what came of it."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner, Result

import octant.cli.app as application


def run(*arguments: object, **options: Any) -> Result:
    """What ``octant ARGUMENTS`` did; ``options`` as of ``CliRunner.invoke``."""
    return CliRunner().invoke(application.app, [str(one) for one in arguments], prog_name="octant", **options)


def succeed(*arguments: object) -> Result:
    """The same, where it has to succeed."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refuse(*arguments: object) -> str:
    """The one line of an error, which says nothing on standard output."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("octant: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.rstrip().endswith(lines[0])
    return lines[0].removeprefix("octant: ")
