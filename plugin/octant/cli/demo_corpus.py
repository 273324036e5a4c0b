"""Real text that every CPython brings along: the language reference and the standard library's docstrings."""

from __future__ import annotations

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from octant.errors import InputError

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

CHARACTERS = 400
"""Of a passage: about what the model reads at once, and short enough to embed thousands of them quickly."""

LONGEST = 3
"""Passages of one text: the long chapters would otherwise crowd out everything else."""

SHORTEST = 60
"""Characters under which a docstring says too little to be found for what it says."""

# Written in Python: their docstrings are read from source, so nothing is imported and nothing runs.
PYTHON_MODULES = (
    "abc", "argparse", "asyncio.locks", "asyncio.queues", "asyncio.runners", "asyncio.tasks", "asyncio.timeouts",
    "base64", "bisect", "calendar", "collections", "concurrent.futures._base", "concurrent.futures.thread",
    "contextlib", "copy", "csv", "dataclasses", "difflib", "enum", "fnmatch", "fractions", "functools", "getpass",
    "glob", "graphlib", "gzip", "hashlib", "heapq", "html", "http.client", "http.server", "inspect", "ipaddress",
    "json", "logging", "logging.handlers", "mimetypes", "os", "pathlib", "pickle", "pprint", "queue", "random", "re",
    "secrets", "shelve", "shlex", "shutil", "signal", "socket", "statistics", "string", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "timeit", "traceback", "types", "typing", "unittest.mock", "urllib.parse",
    "urllib.request", "uuid", "warnings", "weakref", "webbrowser", "zipfile", "zoneinfo",
)  # fmt: skip

# Written in C: there is no source to read, and importing them does nothing but define functions.
C_MODULES = ("builtins", "cmath", "itertools", "math", "sys", "time", "zlib")


@dataclass(frozen=True)
class Passage:
    """A piece of documentation.

    Attributes
    ----------
    id : str
        Where it comes from, e.g. ``"textwrap.wrap"`` or ``"lambda (language reference)"``.
    text : str
        Headed by what it documents.
    """

    id: str
    text: str


def passages() -> list[Passage]:
    """The corpus, the same on every run of one Python version.

    Raises
    ------
    InputError
        If this Python brings no documentation at all.
    """
    found = list({passage.id: passage for passage in _split(_documents())}.values())
    if not found:
        raise InputError("this Python was installed without its documentation and sources: run the demo with another")
    return found


def _documents() -> Iterator[tuple[str, str]]:
    """Name and text of everything there is to read."""
    yield from ((f"{topic} (language reference)", text) for topic, text in sorted(_topics().items()))
    for module in PYTHON_MODULES:
        yield from _from_source(module)
    for module in C_MODULES:
        yield from _from_members(module)


def _split(documents: Iterator[tuple[str, str]]) -> Iterator[Passage]:
    for name, text in documents:
        pieces = [piece for piece in _splitter().split_text(text) if len(piece) >= SHORTEST]
        for part, piece in enumerate(pieces[:LONGEST]):
            yield Passage(f"{name} #{part + 1}" if part else name, f"{name}: {piece}")


def _topics() -> dict[str, str]:
    try:
        return dict(import_module("pydoc_data.topics").topics)
    except ImportError:  # some distributions ship it apart
        return {}


def _from_source(module: str) -> Iterator[tuple[str, str]]:
    base = Path(sysconfig.get_path("stdlib"), *module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError):
            continue
        yield from _docstrings(tree, module)
        return


def _docstrings(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text:
        yield name, text
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _docstrings(child, f"{name}.{child.name}")


def _from_members(module: str) -> Iterator[tuple[str, str]]:
    for name, member in sorted(vars(import_module(module)).items()):
        # Exceptions, constants and borrowed names have the docstring of their class, or none.
        if not name.startswith("_") and (inspect.isbuiltin(member) or inspect.isclass(member)):
            text = inspect.getdoc(member)
            if text:
                yield (name if module == "builtins" else f"{module}.{name}"), text


@cache
def _splitter() -> TextSplitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(chunk_size=CHARACTERS, chunk_overlap=0)
