"""A folder of benchmarks: parts that run alone or together, by one command.

A part is a file of the folder whose docstring's first line says what it measures, and which has

    def measure(asked: argparse.Namespace) -> Outcome: ...

To add one, write the file and put its name into ``PARTS`` of the folder's ``__main__.py``. What a part says goes to
standard output, and as JSON to ``benchmark-results/FOLDER-PART.json``. Options that several parts read are made here
(``--cache``, ``--questions``), those of one folder in its ``__main__.py``. A part that lacks its data calls
:func:`harness.skip`: the others run all the same. The exit status is 1 where a bar was missed or a part broke down,
77 where everything was skipped, else 0.

    python tests/benchmarks/rerank                # every part
    python tests/benchmarks/rerank replay peers   # two of them
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from harness import SKIPPED, Bar, parser, report


@dataclass(frozen=True)
class Outcome:
    """What a part measured.

    Attributes
    ----------
    text : str
        Its tables.
    results : mapping
        The same as JSON values.
    bars : sequence of Bar
        What was promised, and whether it was kept.
    """

    text: str
    results: Mapping[str, object]
    bars: Sequence[Bar] = field(default_factory=tuple)


def options(doc: str | None, folder: Path, parts: Sequence[str]) -> argparse.ArgumentParser:
    """The options that every folder has; it adds its own."""
    about = "\n".join(f"  {part:<12} {_summary(folder / f'{part}.py')}" for part in parts)
    arguments = parser(f"{doc}\n\nparts:\n{about}")
    arguments.add_argument("parts", nargs="*", metavar="PART", help="which to run; all of them without one")
    arguments.add_argument("--cache", type=Path, help="folder that keeps embeddings from one run to the next")
    arguments.add_argument("--questions", type=int, metavar="N", help="at most N questions of each set, drawn by seed")
    arguments.set_defaults(folder=folder, known=tuple(parts))
    return arguments


def run(arguments: argparse.ArgumentParser) -> NoReturn:
    """Run the parts that were asked for, and exit."""
    asked = arguments.parse_args()
    unknown = [part for part in asked.parts if part not in asked.known]
    if unknown:
        arguments.error(f"no part {', '.join(unknown)}: there are {', '.join(asked.known)}")
    if asked.questions is not None and asked.questions < 1:
        arguments.error(f"--questions must be at least 1, got {asked.questions}")
    chosen = asked.parts or asked.known
    states = {part: _state(part, asked) for part in chosen}
    if len(chosen) > 1:
        print("\n" + ", ".join(f"{part}: {state}" for part, state in states.items()))
    if set(states.values()) == {"skipped"}:
        raise SystemExit(SKIPPED)
    raise SystemExit(any(state in ("missed", "broken") for state in states.values()))


def _state(part: str, asked: argparse.Namespace) -> str:
    """How ``part`` went: kept, missed, skipped or broken."""
    print(f"\n== {asked.folder.name}: {part} ==", flush=True)
    began = time.monotonic()
    try:
        outcome: Outcome = importlib.import_module(part).measure(asked)
    except SystemExit as end:
        if end.code != SKIPPED:
            raise
        return "skipped"
    except Exception:
        traceback.print_exc()  # one part that breaks down takes no other with it
        return "broken"
    results = {"seconds": round(time.monotonic() - began, 1), **outcome.results}
    report(f"{asked.folder.name}-{part}", outcome.text, results, outcome.bars)
    sys.stdout.flush()
    return "kept" if all(bar.kept for bar in outcome.bars) else "missed"


def _summary(path: Path) -> str:
    """First line of a file's docstring, without importing what the file needs."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]
