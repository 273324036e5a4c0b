"""Answers of language models, kept on disk and shared by processes.

One SQLite file: thousands of small answers in one place, each written in one transaction, with SQLite's own locks
between processes. The journal is SQLite's plain one, since its write-ahead log does not work on network drives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octant.errors import ArtifactError, InputError
from octant.rerankers.exchange import Answer, Prompt, Usage
from octant.token_logprobs import TokenLogprob

if TYPE_CHECKING:
    import sqlite3

FORMAT = 1
"""Changes whenever keys or rows do."""

_WAIT_S = 30.0
"""How long to wait for another process that is writing."""

_AT_ONCE = 500
"""Keys in one query; SQLite allows 999 or more."""


def key(prompt: Prompt, *, method: str, model: str) -> str:
    """64 hexadecimal digits that stand for a question: the same only if everything it depends on is.

    Parameters
    ----------
    prompt : Prompt
        Its version, query, passages (by their hashes), wording, and what it asks for beside text.
    method : str
        Spec of the reranker that asks.
    model : str
        :attr:`Model.identity`.
    """
    parts = [
        FORMAT, method, prompt.version, model, prompt.query, [_hash(passage) for passage in prompt.passages],
        [[message.role, _hash(message.text)] for message in prompt.messages],
        prompt.logprobs, prompt.schema, prompt.sample,
    ]  # fmt: skip
    return _hash(json.dumps(parts, sort_keys=True))


class AnswerCache:
    """Answers by :func:`key` in a file, which is made at the first use.

    Parameters
    ----------
    path : str or Path
        Its folder must exist.

    Raises
    ------
    InputError
        If there is no such folder, or ``path`` is one.
    ArtifactError
        If the file is not such a cache.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise InputError(f"cache must be a file, and {self.path} is a folder: name a file in it")
        if not self.path.parent.is_dir():
            raise InputError(f"cache must be a file in an existing folder, and {self.path.parent} is none: make it")
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")

    def find(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers that are there, by key; one that cannot be read counts as missing.

        Raises
        ------
        ArtifactError
            If the file is damaged, or cannot be read.
        """
        found: dict[str, Answer] = {}
        with self._open() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, answer FROM answers WHERE key IN ({marks})"  # noqa: S608  # only marks
                for name, text in connection.execute(query, some):
                    answer = _read(text)
                    if answer is not None:
                        found[name] = answer
        return found

    def put(self, name: str, answer: Answer) -> None:
        """Keep ``answer`` under ``name``, in place of what was there.

        Raises
        ------
        ArtifactError
            If the file is damaged, or cannot be written.
        """
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (name, _written(answer)))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        import sqlite3  # needed by few

        # A connection for each use: it belongs to one thread, and must not cross a fork.
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise ArtifactError(
                f"the cache {self.path} cannot be used ({error}): delete it if it is damaged, or name another file"
            ) from error


def _written(answer: Answer) -> str:
    return json.dumps({**asdict(answer), "cached": True})


def _read(text: object) -> Answer | None:
    try:
        return _answer(json.loads(str(text)))
    except (ValueError, KeyError, TypeError):
        return None


def _answer(kept: Mapping[str, Any]) -> Answer:
    logprobs = kept["logprobs"]
    if logprobs is not None:
        logprobs = tuple(
            TokenLogprob(entry["token"], entry["logprob"], tuple((t, p) for t, p in entry["top"])) for entry in logprobs
        )
    return Answer(str(kept["text"]), logprobs, Usage(**kept["usage"]), kept["parsed"], cached=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
