"""What :func:`octant.evaluate` measures on: texts with judgements, or plain vectors.

A folder in BEIR's form holds

- ``corpus*.jsonl`` with ``{"_id", "text", "title"}`` a line (the title may be missing or empty),
- ``queries*.jsonl`` with ``{"_id", "text"}``; both may be gzipped (``.jsonl.gz``),
- ``qrels*.tsv`` or ``qrels/*.tsv`` with ``query-id<TAB>corpus-id<TAB>grade`` under a header line, or none.
  Gzipped judgements are left alone: they are by custom the full set, with passages that the corpus lacks.

What follows the kind in a file's name is its split: ``queries-dl19.jsonl.gz`` and ``qrels-dl19.tsv`` are the
split ``dl19``. A kind without a file of the chosen split falls back to the file without one. With no split
chosen, all files are read together.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from octant.errors import InputError
from octant.records import FloatArray
from octant.vectors import as_matrix

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Query id to document id to grade; a higher grade is more relevant, 0 and below is not."""


@dataclass(frozen=True, eq=False)
class TextDataset:
    """Texts to embed.

    Attributes
    ----------
    name : str
    document_ids : tuple of n str, unique
    documents : tuple of n str
        Title and text, where there is a title.
    query_ids : tuple of m str, unique
    queries : tuple of m str
    qrels : mapping
        A judgement for every query, or empty.
    """

    name: str
    document_ids: tuple[str, ...]
    documents: tuple[str, ...]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    qrels: Qrels = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class VectorDataset:
    """Vectors, ready to be stored and searched.

    Attributes
    ----------
    name : str
    document_ids : tuple of n str, unique
    documents : (n, dim) float32
    query_ids : tuple of m str, unique
    queries : (m, dim) float32
        Never part of ``documents``, so nothing that is learned from those has seen them.
    qrels : mapping
        A judgement for every query, or empty.
    """

    name: str
    document_ids: tuple[str, ...]
    documents: FloatArray
    query_ids: tuple[str, ...]
    queries: FloatArray
    qrels: Qrels = field(default_factory=dict)


def read_dataset(
    path: str | Path, *, split: str | None = None, held_out: float = 0.1, seed: int = 0
) -> TextDataset | VectorDataset:
    """Read a BEIR-style folder, or one ``.npz`` of vectors.

    Parameters
    ----------
    path : str or Path
    split : str, optional
        Of a folder; see the module's text.
    held_out : float
        Share of the vectors of a ``.npz`` that become queries, between 0 and 1.
    seed : int
        Of the draw of those queries.

    Raises
    ------
    InputError
        If a file is missing or malformed (naming the file and the line), an id comes twice with different
        contents, a judgement names an unknown id, or an argument does not fit the kind of data.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, split)
    if not path.is_file():
        raise InputError(f"expected a dataset folder or a .npz file, found nothing at {path}")
    if path.suffix != ".npz":
        raise InputError(f"expected a dataset folder or a .npz file, got the file {path}")
    if split is not None:
        raise InputError(f"{path} holds vectors and no splits, got split={split!r}: leave it out")
    return _read_vectors(path, held_out, seed)


def read_corpus(folder: str | Path, *, split: str | None = None) -> TextDataset:
    """Read a BEIR-style folder that need not have queries.

    Raises
    ------
    InputError
        As :func:`read_dataset`.
    """
    return _read_folder(Path(folder), split, queries_needed=False)


def read_queries(path: str | Path) -> dict[str, str]:
    """Id to text of a queries file, ``{"_id", "text"}`` a line; gzipped or not.

    Raises
    ------
    InputError
        If it is malformed or empty.
    """
    return _merge(_texts([Path(path)]), "query")


def read_qrels(path: str | Path, documents: Container[str], queries: Container[str]) -> Qrels:
    """Judgements of a ``.tsv`` about ``documents`` and ``queries``; what is about others is left out.

    Raises
    ------
    InputError
        If it is malformed.
    """
    merged: dict[str, dict[str, int]] = {}
    for query, document, grade, _ in _judgements(Path(path)):
        if query in queries and document in documents:
            merged.setdefault(query, {})[document] = grade
    return merged


def read_groups(path: str | Path) -> dict[str, str]:
    """Query id to the name of its group, two fields between tabs a line.

    Raises
    ------
    InputError
        If it is malformed or empty.
    """
    groups: dict[str, str] = {}
    for place, line in _lines(Path(path)):
        name, tab, group = line.rstrip("\r\n").partition("\t")
        if not tab or not name or not group or "\t" in group:
            raise InputError(f"{place}: expected a query id and the name of its group between tabs, got {line[:80]!r}")
        groups[name] = group
    if not groups:
        raise InputError(f"{path}: expected at least one group, the file is empty")
    return groups


# -- vectors -------------------------------------------------------------------------------------


def hold_out(name: str, ids: Sequence[str], vectors: FloatArray, *, share: float = 0.1, seed: int = 0) -> VectorDataset:
    """Make queries of a drawn ``share`` of ``vectors`` (n, dim), and documents of the rest.

    Raises
    ------
    InputError
        If ids repeat or do not match the vectors, or the share leaves no query or no document.
    """
    if len(ids) != len(vectors):
        raise InputError(f"{name}: {len(ids)} ids for {len(vectors)} vectors: there must be one for each")
    if len(set(ids)) != len(ids):
        raise InputError(f"{name}: ids must be unique, {len(ids) - len(set(ids))} are repeated")
    if not 0 < share < 1:
        raise InputError(f"the share of vectors held out as queries must lie between 0 and 1, got {share}")
    count = max(1, round(share * len(ids)))
    if count >= len(ids):
        raise InputError(f"{name}: {len(ids)} vectors are too few to hold out {share:g} of them as queries")
    order = np.random.default_rng(seed).permutation(len(ids))
    # Sorted again, so that neighbours in the file stay neighbours and only the draw depends on the seed.
    asked, kept = np.sort(order[:count]), np.sort(order[count:])
    return VectorDataset(
        name,
        tuple(ids[i] for i in kept), np.ascontiguousarray(vectors[kept]),
        tuple(ids[i] for i in asked), np.ascontiguousarray(vectors[asked]),
    )  # fmt: skip


def _read_vectors(path: Path, held_out: float, seed: int) -> VectorDataset:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not a readable .npz of plain arrays: {error}") from error
    if not {"ids", "vectors"} <= set(arrays):
        raise InputError(f"{path}: expected the arrays 'ids' and 'vectors', found {sorted(arrays)}")
    vectors = as_matrix(arrays["vectors"], what=f"vectors in {path}")
    return hold_out(path.stem, [str(i) for i in arrays["ids"]], vectors, share=held_out, seed=seed)


# -- texts ---------------------------------------------------------------------------------------


def _read_folder(folder: Path, split: str | None, *, queries_needed: bool = True) -> TextDataset:
    corpus, queries, judgements = _files_of(folder, split, queries_needed)
    documents = _merge(_texts(corpus), "document")
    asked = _merge(_texts(queries), "query") if queries or queries_needed else {}
    qrels = _merge_qrels(judgements, documents, asked)
    if qrels:
        # A queries file often serves all splits: only those that this one judges are asked.
        asked = {query: text for query, text in asked.items() if query in qrels}
    return TextDataset(
        folder.resolve().name if split is None else f"{folder.resolve().name}/{split}",
        tuple(documents), tuple(documents.values()), tuple(asked), tuple(asked.values()), qrels,
    )  # fmt: skip


def _files_of(folder: Path, split: str | None, queries_needed: bool) -> tuple[list[Path], list[Path], list[Path]]:
    corpus = _find(folder, "corpus", ("*.jsonl", "*.jsonl.gz"))
    queries = _find(folder, "queries", ("*.jsonl", "*.jsonl.gz"))
    judgements = _find(folder, "qrels", ("*.tsv", "/*.tsv"))
    for kind, found in (("corpus", corpus), ("queries", queries)):
        if not found and (queries_needed or kind == "corpus"):
            raise InputError(f"{folder}: expected {kind}*.jsonl or {kind}*.jsonl.gz, found neither")
    if split is not None:
        everything = {**corpus, **queries, **judgements}
        if split not in everything.values():
            known = ", ".join(sorted(set(everything.values()) - {""})) or "none"
            raise InputError(f"{folder}: no file of the split {split!r}; the splits here are: {known}")
    return tuple(_choose(folder, found, split) for found in (corpus, queries, judgements))  # type: ignore[return-value]


def _find(folder: Path, kind: str, patterns: Sequence[str]) -> dict[Path, str]:
    """Files of a kind and the split that each one's name ends in."""
    found = [path for pattern in patterns for path in folder.glob(kind + pattern) if path.is_file()]
    return {path: _split_of(path, kind) for path in sorted(found)}


def _split_of(path: Path, kind: str) -> str:
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".tsv")
    return stem if path.parent.name == kind else stem.removeprefix(kind).strip("-_.")


def _choose(folder: Path, found: Mapping[Path, str], split: str | None) -> list[Path]:
    if split is None:
        return list(found)
    chosen = [path for path in found if found[path] == split] or [path for path in found if not found[path]]
    if found and not chosen:
        raise InputError(f"{folder}: none of {', '.join(path.name for path in found)} belongs to the split {split!r}")
    return chosen


def _texts(files: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Id, text and place of every line."""
    for path in files:
        for place, line in _lines(path):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise InputError(f"{place}: not valid JSON: {error}") from error
            yield (*_entry(entry, place), place)


def _entry(entry: Any, place: str) -> tuple[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("_id"), (str, int)):
        raise InputError(f'{place}: expected an object with "_id", got {str(entry)[:80]!r}')
    text, title = entry.get("text"), entry.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise InputError(f'{place}: "text" (and "title", where given) must be strings, id {entry["_id"]!r}')
    return str(entry["_id"]), f"{title} {text}" if title else text


def _merge(entries: Iterable[tuple[str, str, str]], what: str) -> dict[str, str]:
    merged: dict[str, str] = {}
    for key, text, place in entries:
        if merged.setdefault(key, text) != text:
            raise InputError(f"{place}: {what} {key!r} was there before with another text: do the files need a split?")
    if not merged:
        raise InputError(f"expected at least one {what}, the files are empty")
    return merged


def _merge_qrels(files: Iterable[Path], documents: Mapping[str, str], queries: Mapping[str, str]) -> Qrels:
    merged: dict[str, dict[str, int]] = {}
    for path in files:
        for query, document, grade, place in _judgements(path):
            if query not in queries:
                raise InputError(
                    f"{place}: query {query!r} is in none of the queries files: do the files need a split?"
                )
            if document not in documents:
                raise InputError(f"{place}: document {document!r} is in none of the corpus files")
            if merged.setdefault(query, {}).setdefault(document, grade) != grade:
                raise InputError(f"{place}: query {query!r} and document {document!r} were judged before, differently")
    return merged


def _judgements(path: Path) -> Iterator[tuple[str, str, int, str]]:
    for number, (place, line) in enumerate(_lines(path)):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise InputError(f"{place}: expected query-id, corpus-id and grade between tabs, got {len(fields)} fields")
        try:
            yield fields[0], fields[1], int(fields[2]), place
        except ValueError as error:
            if number:
                raise InputError(f"{place}: the grade must be a whole number, got {fields[2]!r}") from error


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line that is not blank, with its place for messages."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"{path}:{number}", line
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: not readable as UTF-8 text: {error}") from error
