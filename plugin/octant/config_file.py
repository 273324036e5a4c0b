"""A configuration as text: YAML (or JSON) into plain values, with the line of every key, and the environment put in.

Values of the environment may be secrets, so that what came from there is remembered and never shown again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from octant.errors import ConfigError, Problem

Where: TypeAlias = tuple[str | int, ...]
"""Keys and positions that lead to a value, from the top."""

MOST_VALUES = 10_000
"""Values in a configuration; more are a mistake, or aliases that multiply."""
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")


@dataclass(frozen=True, repr=False)
class Source:
    """Plain values and where they were written. Its ``repr`` shows none of them.

    Attributes
    ----------
    values : dict
    name : str
        Of the file; empty for a dict.
    folder : Path
        What relative paths start from.
    lines : mapping from Where to int
        From 1; of the key, or of the item of a list. Empty for a dict.
    variables : mapping from Where to str
        The environment variable that a value has, or has a part of.
    """

    values: dict[str, Any]
    name: str = ""
    folder: Path = field(default_factory=Path)
    lines: Mapping[Where, int] = field(default_factory=dict)
    variables: Mapping[Where, str] = field(default_factory=dict)

    def line(self, where: Where) -> int | None:
        """Line of ``where``, or of the nearest thing around it; None where nothing was written."""
        for length in range(len(where), -1, -1):
            if where[:length] in self.lines:
                return self.lines[where[:length]]
        return None

    def variable(self, where: Where) -> str | None:
        """The variable that is in the value at ``where``, inside it or around it."""
        for place, name in self.variables.items():
            shorter = min(len(place), len(where))
            if place[:shorter] == where[:shorter]:
                return name
        return None

    def error(self, problems: list[Problem]) -> ConfigError:
        """The refusal of this source for ``problems``, those at the top first."""
        return ConfigError(self.name, sorted(problems, key=lambda problem: (problem.line or 0, problem.key)))

    def __repr__(self) -> str:
        return f"Source({self.name or 'a dict'}: {', '.join(self.values)})"


def read(source: str | os.PathLike[str] | Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Source:
    """The values of a file or a dict, with the environment put in.

    Parameters
    ----------
    source : path, or mapping
    environment : mapping, optional
        ``os.environ`` without it.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no YAML, a key comes twice, or a variable is not set: where.
    """
    given = os.environ if environment is None else environment
    if isinstance(source, Mapping):
        plain = Source(_copied(source))
    else:
        path = Path(source)
        plain = _parsed(_text(path), path)
    return _with_environment(plain, given)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(str(path), [Problem("", f"cannot be read: {reason}")]) from error


def _copied(value: Any) -> Any:
    """Own containers, the caller's objects."""
    if isinstance(value, Mapping):
        return {key: _copied(entry) for key, entry in value.items()}
    return [_copied(entry) for entry in value] if isinstance(value, list | tuple) else value


# -- YAML ----------------------------------------------------------------------------------------


def _parsed(text: str, path: Path) -> Source:
    reader = _Reader()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else reader.value(node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "it is no YAML"
        line = None if mark is None else mark.line + 1
        raise ConfigError(str(path), [Problem("", f"cannot be read as YAML: {said}", line)]) from error
    if reader.problems:
        raise ConfigError(str(path), reader.problems)
    if not isinstance(values, dict):
        raise ConfigError(str(path), [Problem("", "expected keys and values, such as 'collection: docs'", 1)])
    return Source(values, str(path), path.resolve().parent, {(): 1, **reader.lines})


class _Reader:
    """Makes plain values of a tree of nodes, and notes lines."""

    def __init__(self) -> None:
        self._safe = yaml.constructor.SafeConstructor()
        self.lines: dict[Where, int] = {}
        self.problems: list[Problem] = []
        self._count = 0

    def value(self, node: yaml.Node, where: Where) -> Any:
        self._count += 1
        if self._count > MOST_VALUES or len(where) > 50:
            raise _refused(f"more than {MOST_VALUES} values, or an alias that contains itself", node)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
            raise _refused(f"{node.tag!r} is no plain value", node)
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*where, place)) for place, item in enumerate(node.value)]
        return self._safe.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._safe.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, Hashable) or key is None:
                self.problems.append(Problem(key_of(where), "a key must be a word", line))
                continue
            place = (*where, str(key))
            if str(key) in found:
                told = f"is given twice, first in line {self.lines[place]}"
                self.problems.append(Problem(key_of(place), told, line))
                continue
            self.lines[place] = line
            found[str(key)] = self.value(value_node, place)
        return found


def _refused(told: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, told, node.start_mark)


def key_of(where: Where) -> str:
    """How ``where`` is written in messages.

    Examples
    --------
    >>> key_of(("embeddings", "bge", "hnsw", 2))
    'embeddings.bge.hnsw[2]'
    """
    told = ""
    for part in where:
        told += f"[{part}]" if isinstance(part, int) else f".{part}" if told else part
    return told


# -- the environment -----------------------------------------------------------------------------


def _with_environment(source: Source, environment: Mapping[str, str]) -> Source:
    problems: list[Problem] = []
    variables: dict[Where, str] = {}

    def replaced(value: Any, where: Where) -> Any:
        if isinstance(value, dict):
            return {key: replaced(entry, (*where, key)) for key, entry in value.items()}
        if isinstance(value, list):
            return [replaced(entry, (*where, place)) for place, entry in enumerate(value)]
        return "".join(parts(value, where)) if isinstance(value, str) and "${" in value else value

    def parts(text: str, where: Where) -> Iterator[str]:
        end = 0
        for found in _VARIABLE.finditer(text):
            yield text[end : found.start()]
            end = found.end()
            yield "${" if found[0] == "$${" else known(found, where)
        yield text[end:]

    def known(found: re.Match[str], where: Where) -> str:
        name, default = found["name"], found["default"]
        if name is None:
            told = "has a '${' that is no ${NAME} or ${NAME:-default}; write '$${' for the characters themselves"
        else:
            variables[where] = name
            if environment.get(name):
                return environment[name]
            if default is not None:
                return str(default)
            told = f"the environment variable {name} is not set: set it, or write ${{{name}:-a default}}"
        problems.append(Problem(key_of(where), told, source.line(where)))
        return ""

    values = replaced(source.values, ())
    if problems:
        raise source.error(problems)
    return Source(values, source.name, source.folder, source.lines, variables)
