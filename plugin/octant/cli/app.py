"""The command ``octant``: one file per sub-command, and every failure in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from octant.cli.calibrate import calibrate
from octant.cli.compress import compress
from octant.cli.demo import demo
from octant.cli.eval import evaluate
from octant.cli.footprint import footprint
from octant.cli.index import index
from octant.cli.inspect import inspect
from octant.cli.plugins import plugins
from octant.cli.search import search
from octant.cli.train import train
from octant.cli.tune import tune
from octant.errors import OctantError, SpecError
from octant.version import __version__

FAILED = 2
INTERRUPTED = 130


class OneLineErrors(TyperGroup):
    """Ends in one line on standard error and exit code 2 whatever the caller or the disk did wrong."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; see click's ``Command.main``."""
        extra["windows_expand_args"] = windows_expand_args
        run = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        try:
            code = run()
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            line = in_one_line(error)
            if line is None:
                raise
            code = FAILED
            typer.echo(f"octant: {line}", err=True)
        if code == INTERRUPTED:
            typer.echo("octant: interrupted; run the same command again to go on", err=True)
        sys.exit(code if isinstance(code, int) else 0)


def in_one_line(error: Exception) -> str | None:
    """What to tell about an error that is somebody's to mend; None for a defect of Octant's own."""
    if isinstance(error, SpecError):
        # Its message goes on with the spec and a mark under it.
        return f"in {error.text!r}, {str(error).splitlines()[0]}"
    if isinstance(error, OctantError | OSError):
        return " ".join(str(error).split())
    usage = getattr(error, "format_message", None)  # click's, or the copy of it inside typer
    if usage is None:
        return None
    command = getattr(getattr(error, "ctx", None), "command_path", "octant")
    return f"{' '.join(str(usage()).split())} See {command} --help"


app = typer.Typer(
    name="octant",
    cls=OneLineErrors,
    help="Compress the embeddings of a RAG application inside a stock Qdrant, retrieve, and know what it cost.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"octant {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # typer calls _version
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Compress the embeddings of a RAG application inside a stock Qdrant, retrieve, and know what it cost."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo, "index": index, "search": search, "compress": compress, "inspect": inspect, "footprint": footprint,
    "eval": evaluate, "calibrate": calibrate, "tune": tune, "plugins": plugins,
}  # fmt: skip
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(train, name="train")


def main() -> None:
    """Entry point of the console script."""
    app()
