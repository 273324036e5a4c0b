"""Files to passages: read, split, name, and report everything that could not be read.

A passage's id is where it comes from: ``<path>`` for the first one of a file, ``<path>#1``, ``<path>#2`` … for
the others; for a line of JSON its ``_id`` instead of the path. So the same corpus gives the same ids whenever
it is read, a passage that changed replaces its old self, and a reader sees in the id where a hit stands.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from octant.errors import InputError
from octant.records import JSON

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

TEXT_SUFFIXES = (".txt", ".text", ".rst", ".log")
MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx")
LINE_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
SUFFIXES = TEXT_SUFFIXES + MARKDOWN_SUFFIXES + LINE_SUFFIXES


@dataclass(frozen=True)
class Document:
    """A text and its passages.

    Attributes
    ----------
    id : str
        Id of the first passage; the others add ``#1``, ``#2`` …
    passages : tuple of str
        In reading order, none of them empty.
    payloads : tuple of mapping
        JSON values, one mapping a passage.
    """

    id: str
    passages: tuple[str, ...]
    payloads: tuple[Mapping[str, JSON], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the passages."""
        return tuple(passage_id(self.id, part) for part in range(len(self.passages)))


@dataclass(frozen=True)
class Skipped:
    """Something that was not read, and why.

    Attributes
    ----------
    place : str
        A path, or ``path:line``.
    reason : str
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass
class Reader:
    """Reads files and folders one document at a time, so a corpus need not fit in memory.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, or folders whose text, Markdown and JSON-lines files are read, sub-folders included and hidden
        ones left out.
    chunk_size, chunk_overlap : int
        Characters of a passage, and how many of them it repeats from the one before.
    reserved : collection of str
        Payload keys that a line of JSON must not use.

    Attributes
    ----------
    skipped : list of Skipped
        Grows while documents are read.

    Raises
    ------
    InputError
        If a path does not exist, or the sizes make no sense.
    """

    paths: Sequence[str | Path]
    chunk_size: int = 800
    chunk_overlap: int = 80
    reserved: Collection[str] = ()
    skipped: list[Skipped] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.chunk_overlap < self.chunk_size:
            raise InputError(
                "chunk size must be positive and the overlap smaller; got "
                f"chunk_size={self.chunk_size}, chunk_overlap={self.chunk_overlap}"
            )
        self._files = list(self._find())
        self._left_out = len(self.skipped)
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[Document]:
        # A second reading reports the same things once, not twice.
        del self.skipped[self._left_out :]
        self._seen.clear()
        for path in self._files:
            yield from self._documents(path)

    # -- finding -------------------------------------------------------------------------------

    def _find(self) -> Iterator[Path]:
        found: set[Path] = set()
        for given in self.paths:
            path = Path(given).expanduser()
            if not path.exists():
                raise InputError(f"there is no file or folder {str(given)!r}")
            if not (path.is_file() or path.is_dir()):
                raise InputError(f"{str(given)!r} is neither a file nor a folder")
            for file in self._walk(path) if path.is_dir() else [path]:
                resolved = file.resolve()
                if resolved not in found:
                    found.add(resolved)
                    yield resolved

    def _walk(self, folder: Path) -> Iterator[Path]:
        for path in sorted(folder.rglob("*")):
            if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
                continue
            if path.name.lower().endswith(SUFFIXES):
                yield path
            else:
                self._skip(path, NOT_TEXT)

    # -- reading -------------------------------------------------------------------------------

    def _documents(self, path: Path) -> Iterator[Document]:
        by_line = path.name.lower().endswith(LINE_SUFFIXES)
        try:
            yield from self._lines(path) if by_line else self._kept(path, lambda: self._file(path))
        except (OSError, EOFError, zlib.error) as error:
            self._skip(path, f"cannot be read: {error}")

    def _lines(self, path: Path) -> Iterator[Document]:
        with path.open("rb") as raw:
            for number, line in enumerate(_open_lines(path, raw), start=1):
                place = f"{path}:{number}"
                if line.strip():
                    yield from self._kept(place, partial(self._line, path, place, line))

    def _kept(self, place: object, make: Callable[[], Document]) -> Iterator[Document]:
        """The document, if it can be made and none of its ids was there before."""
        try:
            document = make()
        except _UnreadableError as error:
            self._skip(place, str(error))
            return
        ids = set(document.ids)
        if ids & self._seen:
            self._skip(place, f"repeats the id {min(ids & self._seen)!r}, which came before: the first one is kept")
            return
        self._seen |= ids
        yield document

    def _file(self, path: Path) -> Document:
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _UnreadableError(f"not UTF-8 text (byte {error.start}): convert it first") from error
        markdown = path.suffix.lower() in MARKDOWN_SUFFIXES
        return self._document(str(path), text, {"source": str(path)}, markdown=markdown)

    def _line(self, path: Path, place: str, line: bytes) -> Document:
        try:
            entry = json.loads(
                line.decode("utf-8-sig"), parse_constant=_refuse, parse_int=_integer, parse_float=_finite
            )
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
            raise _UnreadableError(f"not a line of UTF-8 JSON: {error}") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
            raise _UnreadableError('expected a JSON object with a string under "text"')
        text, key, title = entry.pop("text"), entry.pop("_id", None), entry.get("title")
        if not isinstance(key, str | int | None):
            raise _UnreadableError(f'"_id" must be a string or an integer, got {key!r}')
        taken = [name for name in self.reserved if name in entry]
        if taken:
            raise _UnreadableError(f"the field {taken[0]!r} is reserved for the collection: rename it")
        name = place if key in (None, "") else str(key)
        payload = {"source": str(path), **entry}
        return self._document(name, text, payload, title=title if isinstance(title, str) else "")

    def _document(
        self, name: str, text: str, payload: Mapping[str, JSON], *, markdown: bool = False, title: str = ""
    ) -> Document:
        _check_text(text + name + json.dumps(payload, ensure_ascii=False))
        splitter = _splitter(self.chunk_size, self.chunk_overlap, markdown)
        passages = [passage for passage in splitter.split_text(text) if passage.strip()]
        if not passages:
            raise _UnreadableError("empty")
        # The title goes with every passage, as retrieval benchmarks do: it is often what tells them apart.
        titled = tuple(f"{title} {passage}" if title.strip() else passage for passage in passages)
        parts = [{"part": part, **payload} if len(passages) > 1 else payload for part in range(len(passages))]
        return Document(name, titled, tuple(parts))

    def _skip(self, place: object, reason: str) -> None:
        self.skipped.append(Skipped(str(place), reason))


def passage_id(document: str, part: int) -> str:
    """Id of passage number ``part`` of a document.

    Examples
    --------
    >>> passage_id("notes.txt", 0), passage_id("notes.txt", 2)
    ('notes.txt', 'notes.txt#2')
    """
    return f"{document}#{part}" if part else document


class _UnreadableError(Exception):
    """Why something cannot become a document."""


NOT_TEXT = "not a text, Markdown or JSON-lines file"


@cache
def _splitter(size: int, overlap: int, markdown: bool) -> TextSplitter:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    if markdown:
        return RecursiveCharacterTextSplitter.from_language(Language.MARKDOWN, chunk_size=size, chunk_overlap=overlap)
    return RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=overlap)


def _open_lines(path: Path, raw: IO[bytes]) -> Iterable[bytes]:
    return gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _UnreadableError("not text: it holds NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _UnreadableError("holds half of a surrogate pair, which is no Unicode text") from error


def _refuse(number: str) -> Any:
    raise ValueError(f"{number} is no number that Qdrant can keep")


def _integer(number: str) -> int:
    value = int(number)
    return value if -(2**63) <= value < 2**64 else _refuse(number)


def _finite(number: str) -> float:
    value = float(number)
    return value if isfinite(value) else _refuse(number)
