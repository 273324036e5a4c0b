"""What a tuning is measured on: vectors of a collection, a dataset or an array, and queries if there are any."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from octant.collection import Collection
from octant.datasets import Qrels, TextDataset, VectorDataset, read_corpus, read_qrels, read_queries
from octant.embedders import Embedder, embedder
from octant.embedding_cache import Role, embed
from octant.errors import DimensionError, InputError
from octant.records import JSON, Distance, FloatArray
from octant.vectors import as_matrix, as_rows
from octant.work import progress_bar

MOST_VECTORS = 50_000
"""Vectors that are drawn from a collection: more say hardly more and take long to read."""
LEAST_VECTORS = 100
"""Fewer are refused: nothing that is measured on them means anything."""
FLOATS = ("float32", "float16", "turbo16", "turbo8")
"""Stored datatypes whose decoded vectors can stand for the originals."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Real questions.

    Attributes
    ----------
    ids : tuple of m str, unique
    vectors : (m, dim) float32
    texts : tuple of m str or None
    qrels : mapping
        A judgement for every query, or empty.
    """

    ids: tuple[str, ...]
    vectors: FloatArray
    texts: tuple[str | None, ...]
    qrels: Qrels = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Source:
    """Vectors to tune on.

    Attributes
    ----------
    name : str
    ids : tuple of n int or str, unique
    vectors : (n, dim) float32
    points : int
        Of the full collection, for which ``vectors`` stand.
    distance : Distance
    queries : Queries or None
    payloads : tuple of n mapping or None
        What is stored beside the vectors, texts included; None where that is unknown.
    texts : tuple of n str or None, or None
        Of the documents.
    notes : tuple of str
        What a reader of the figures should know.
    """

    name: str
    ids: tuple[int | str, ...]
    vectors: FloatArray
    points: int
    distance: Distance
    queries: Queries | None = None
    payloads: tuple[Mapping[str, JSON], ...] | None = None
    texts: tuple[str | None, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.vectors) < LEAST_VECTORS:
            raise InputError(
                f"{self.name}: {len(self.vectors)} vectors are too few to measure anything on: a useful sample has at "
                f"least {LEAST_VECTORS}, a good one some thousands. So few need no compression: keep 'float32'"
            )
        if self.points < len(self.vectors):
            raise InputError(
                f"{self.name}: points={self.points} is less than the {len(self.vectors)} vectors at hand: points says "
                "how many vectors the sample stands for; leave it out, or give the size of the whole collection"
            )
        if self.queries is not None and self.queries.vectors.shape[1] != self.dimension:
            raise DimensionError(
                f"{self.name}: queries of {self.queries.vectors.shape[1]} dimensions cannot search vectors of "
                f"{self.dimension}: embed both with one model"
            )

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return int(self.vectors.shape[1])

    def standing_for(self, points: int | None) -> Source:
        """The same as a sample of ``points`` vectors; None leaves it as it is."""
        return self if points is None else replace(self, points=points)


# -- Python ------------------------------------------------------------------------------------------


def from_dataset(
    data: TextDataset | VectorDataset,
    *,
    embedding: object | None = None,
    distance: Distance = Distance.COSINE,
    cache_dir: str | Path | None = None,
    progress: bool = False,
) -> Source:
    """The source of texts or vectors that are in memory. The queries of ``data`` are asked, if there are any."""
    model = embedder(embedding)
    if isinstance(data, VectorDataset):
        if model is not None:
            raise InputError(f"{data.name} already holds vectors: leave the embedding out")
        documents = as_matrix(data.documents, what="documents")
        queries = None
        if len(data.query_ids):
            queries = Queries(
                data.query_ids, as_matrix(data.queries, what="queries"), (None,) * len(data.query_ids), data.qrels
            )
        return Source(data.name, data.document_ids, documents, len(documents), distance, queries)
    if model is None:
        raise InputError(f"{data.name} holds texts: pass embedding=, e.g. 'sentence-transformers/all-MiniLM-L6-v2'")
    documents = _embedded(model, "documents", data.documents, cache_dir, progress)
    queries = None
    if data.queries:
        vectors = _embedded(model, "queries", data.queries, cache_dir, progress)
        queries = Queries(data.query_ids, vectors, data.queries, data.qrels)
    return Source(
        data.name, data.document_ids, documents, len(documents), distance, queries, texts=data.documents,
        notes=("Payload is not counted: the dataset has none.",),
    )  # fmt: skip


def from_array(name: str, vectors: object, *, distance: Distance, seed: int = 0) -> Source:
    """The source of a matrix (n, dim); ``MOST_VECTORS`` rows are drawn where there are more."""
    rows = as_rows(vectors)  # type: ignore[arg-type]
    chosen = _drawn_rows(len(rows), seed)
    notes = () if len(chosen) == len(rows) else (f"{len(chosen):,} of the {len(rows):,} vectors were drawn.",)
    return Source(
        name, tuple(int(row) for row in chosen), as_matrix(rows[chosen]), len(rows), distance, notes=notes
    )  # fmt: skip


def _drawn_rows(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if count <= MOST_VECTORS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST_VECTORS])


# -- files -------------------------------------------------------------------------------------------


def from_path(
    path: str | Path,
    *,
    embedding: object | None = None,
    split: str | None = None,
    distance: Distance = Distance.COSINE,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Source:
    """The source in a BEIR-style folder, whose queries may be missing, or in a ``.npz``.

    A ``.npz`` has the array ``vectors`` and may have ``ids`` and ``queries`` (m, dim).

    Raises
    ------
    InputError
        If there is nothing of the kind, or it is malformed.
    """
    path = Path(path)
    if path.is_dir():
        return from_dataset(
            read_corpus(path, split=split), embedding=embedding, distance=distance, cache_dir=cache_dir,
            progress=progress,
        )  # fmt: skip
    if path.suffix != ".npz" or not path.is_file():
        raise InputError(f"expected a dataset folder, a .npz of vectors or a collection, found none of them at {path}")
    if embedding is not None:
        raise InputError(f"{path} already holds vectors: leave the embedding out")
    if split is not None:
        raise InputError(f"{path} holds vectors and no splits, got split={split!r}: leave it out")
    return _from_npz(path, distance, seed)


def _from_npz(path: Path, distance: Distance, seed: int) -> Source:
    arrays = _arrays(path)
    if "vectors" not in arrays:
        raise InputError(f"{path}: expected the array 'vectors' (and perhaps 'ids' and 'queries'), found {[*arrays]}")
    source = from_array(path.stem, arrays["vectors"], distance=distance, seed=seed)
    if "ids" in arrays:
        ids = [str(one) for one in arrays["ids"]]
        if len(ids) != source.points or len(set(ids)) != len(ids):
            raise InputError(f"{path}: 'ids' must be unique, one for each of the {source.points} vectors")
        source = replace(source, ids=tuple(ids[row] for row in source.ids))  # type: ignore[index]
    if "queries" in arrays:
        source = replace(source, queries=query_vectors(arrays["queries"], what=f"queries in {path}"))
    return source


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not a readable .npz of plain arrays: {error}") from error


def query_vectors(vectors: object, *, what: str = "queries") -> Queries:
    """Queries of which only the vectors (m, dim) are known."""
    matrix = as_matrix(vectors, what=what)  # type: ignore[arg-type]
    return Queries(tuple(str(row) for row in range(len(matrix))), matrix, (None,) * len(matrix))


def read_query_file(
    path: str | Path, *, embedding: object | None = None, cache_dir: str | Path | None = None, progress: bool = False
) -> Queries:
    """Real queries: a ``.npz`` with the array ``queries`` (or ``vectors``), or ``.jsonl`` texts to embed.

    Raises
    ------
    InputError
        If the file is neither, or texts come without an embedding.
    """
    path = Path(path)
    if path.suffix == ".npz" and path.is_file():
        arrays = _arrays(path)
        found = arrays.get("queries", arrays.get("vectors"))
        if found is None:
            raise InputError(f"{path}: expected the array 'queries', found {[*arrays]}")
        return query_vectors(found, what=f"queries in {path}")
    if not path.is_file() or ".jsonl" not in path.name:
        raise InputError(f"queries are a .npz of vectors or a .jsonl of texts; found neither at {path}")
    model = embedder(embedding)
    if model is None:
        raise InputError(f"the queries in {path} are texts: pass the embedding that made the vectors")
    texts = read_queries(path)
    vectors = _embedded(model, "queries", list(texts.values()), cache_dir, progress)
    return Queries(tuple(texts), vectors, tuple(texts.values()))


def with_judgements(source: Source, path: str | Path) -> Source:
    """``source`` with the judgements in a ``.tsv``; queries without one are left out.

    Raises
    ------
    InputError
        If there are no queries to judge, or none is judged.
    """
    if source.queries is None:
        raise InputError("judgements are about queries: pass the queries too")
    asked = source.queries
    qrels = read_qrels(path, {str(one) for one in source.ids}, set(asked.ids))
    rows = [row for row, query in enumerate(asked.ids) if query in qrels]
    if not rows:
        raise InputError(
            f"{path} judges none of the {len(asked)} queries among the {len(source.ids)} documents at hand"
        )
    kept = Queries(
        tuple(asked.ids[row] for row in rows), asked.vectors[rows], tuple(asked.texts[row] for row in rows), qrels
    )
    return replace(source, queries=kept)


def _embedded(
    model: Embedder, role: Role, texts: Sequence[str], cache_dir: str | Path | None, progress: bool
) -> FloatArray:
    with progress_bar(len(texts), title=f"embed {role}", unit="text", show=progress) as advance:
        return embed(model, role, texts, folder=cache_dir, progress=advance)


# -- collections -------------------------------------------------------------------------------------


def from_collection(collection: Collection, *, seed: int = 0, progress: bool = False) -> Source:
    """A sample of an open collection, drawn uniformly, with payloads; everything where there is little.

    Raises
    ------
    InputError
        If it is empty, holds no dense vectors, or keeps codes that cannot stand for the original vectors.
    """
    points = collection.count()
    if not points or not collection.dimension:
        what = "is empty" if not points else "holds no dense vectors"
        raise InputError(f"the collection {collection.name!r} {what}: there is nothing to measure on")
    notes = _check_originals(collection)
    wanted = min(points, MOST_VECTORS)
    with progress_bar(wanted, title="sample", unit="vector", show=progress) as advance:
        drawn = collection.sample(wanted, seed=seed)
        if advance is not None:
            advance(len(drawn))
    held = [one for one in drawn if one.vector is not None]
    if len(held) < len(drawn):
        notes += (
            f"{len(drawn) - len(held):,} of {len(drawn):,} sampled points have no such vector; they are left out.",
        )
    if not held:
        raise InputError(f"no sampled point of {collection.name!r} has a dense vector: there is nothing to measure on")
    vectors = np.stack([np.asarray(one.vector, np.float32) for one in held])
    key = collection.manifest.text_key
    payloads = tuple({**one.payload, **({} if one.text is None else {key: one.text})} for one in held)
    ids = tuple(one.id for one in held)
    return Source(
        collection.name, ids, vectors, max(points, len(held)), collection.distance, payloads=payloads,
        texts=tuple(one.text for one in held), notes=notes,
    )  # fmt: skip


def _check_originals(collection: Collection) -> tuple[str, ...]:
    representation = collection.representation
    coarse, fine = representation.needs(collection.dimension or 0, collection.distance)
    kept = fine or coarse
    reduced = (representation.fine or representation.coarse).reducers
    if not kept.scored or kept.datatype not in FLOATS or reduced or not kept.rescore:
        raise InputError(
            f"the collection {collection.name!r} keeps {representation.spec!r}, and its codes cannot stand for the "
            "original vectors that recall is measured against: tune on those (.npz, or the texts embedded again)"
        )
    if kept.datatype == "float32":
        return ()
    return (f"Recall is against the vectors as {collection.name!r} keeps them, {kept.datatype}.",)
