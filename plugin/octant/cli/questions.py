"""The file of questions that ``octant index --queries`` lets a representation learn from."""

from __future__ import annotations

import json
from pathlib import Path

from octant.errors import InputError


def read_questions(name: str) -> list[str]:
    """Questions of a file, in order: one a line, or the "text" of every line of a ``.jsonl`` file.

    Raises
    ------
    InputError
        If the file cannot be read, holds nothing, or a line is not what its ending promises.
    """
    try:
        lines = Path(name).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--queries is a UTF-8 file of questions, one a line; {name} cannot be read: {error}"
        ) from error
    is_json = Path(name).suffix == ".jsonl"
    questions = [_text(line, f"{name}:{number}") if is_json else line.strip() for number, line in _filled(lines)]
    if not questions:
        raise InputError(f"--queries is a file of questions, one a line; {name} holds none")
    return questions


def _filled(lines: list[str]) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _text(line: str, place: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON: {error}") from error
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise InputError(f'{place}: expected an object with a "text", got {line[:80]!r}')
    return text
