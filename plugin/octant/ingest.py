"""Texts or vectors in, points stored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import numpy as np

from octant.core import Core
from octant.core.creating import materialize
from octant.core.embedding import note_embedding
from octant.core.fitting import fit, measure_coverage
from octant.core.opening import load_twins
from octant.coverage import sample_size
from octant.errors import InputError, PartialUploadError, TooFewVectorsError
from octant.flow import Flow, fork, step
from octant.identity import describe
from octant.layout import PointBatch, Stages
from octant.payloads import complete as payload_rows
from octant.records import JSON, CodeArray, FloatArray, PointId, SparseVector
from octant.representation import Representation
from octant.store.base import Progress
from octant.vectors import as_matrix, as_rows, drawn
from octant.work import Work

FIT_TEXTS = 5_000
"""Texts embedded before a representation is fitted on them."""
WRITE_TEXTS = 4_096
"""Texts that are embedded, at most, between two writes."""
WRITE_SECONDS = 2.0
"""Seconds of embedding after which what there is gets written."""
FIT_VECTORS = 50_000
"""Vectors, drawn at random from those given, that a representation is fitted on."""
WRITE_VECTORS = 16_384
"""Vectors encoded at a time: bounds the memory codes take beside the vectors."""
OPTIMIZE_AFTER = 10_000
"""New points after which an embedded engine builds its indexes by itself."""


@dataclass(frozen=True, eq=False)
class Documents:
    """What one ``add`` brings, validated.

    Attributes
    ----------
    ids, stored_ids : list of int or str
        The caller's, and Qdrant's for them.
    texts : list of str or None
    vectors : mapping from embedding to (n, dim) float32
        Those that were given, prepared: unit rows under cosine.
    payloads : list of dict
        Complete: with the text, and with the id where Qdrant cannot hold it.
    """

    ids: list[PointId]
    stored_ids: list[int | str]
    texts: list[str] | None
    vectors: Mapping[str, FloatArray]
    payloads: list[dict[str, JSON]]

    def __len__(self) -> int:
        return len(self.ids)


def documents(
    core: Core,
    texts: Iterable[str] | None,
    vectors: object | None,
    payloads: Iterable[Mapping[str, JSON] | None] | None,
    ids: Iterable[PointId] | None,
) -> Documents:
    """Check and gather the columns of one ``add``. Nothing of the caller's is changed.

    Raises
    ------
    InputError, VectorValueError, DimensionError, DuplicateIdError
    """
    listed = _texts(texts)
    given = _given(core, vectors)
    if listed is None and not given:
        raise InputError("add takes texts, vectors, or both; got neither")
    count = len(listed) if listed is not None else len(next(iter(given.values())))
    if count == 0:
        raise InputError("add needs at least one text or vector, got an empty list")
    for matrix in given.values():
        if len(matrix) != count:
            raise InputError(f"expected one vector per text, {count} in all, got {len(matrix)}")
    _check_complete(core, listed, given)
    if core.sparse is None and (core.manifest.sparse is not None or core.sparse_only):
        raise InputError(
            f"this collection stores sparse vectors made by {core.manifest.sparse or 'another client'}: open it with "
            "that encoder (sparse=) to write to it"
        )
    if listed is None and core.sparse is not None:
        raise InputError("this collection also stores sparse vectors of the texts: pass texts= beside vectors=")
    points, stored = core.ids.columns(None if ids is None else list(ids), count)
    complete = payload_rows(payloads, texts=listed, text_key=core.manifest.text_key, points=points, stored=stored)
    return Documents(points, stored, listed, given, complete)


def _given(core: Core, vectors: object | None) -> dict[str, FloatArray]:
    """The given vectors by embedding, prepared."""
    if vectors is None:
        return {}
    if isinstance(vectors, Mapping):
        return {name: core.of(name).prepare(matrix, what=f"vectors of {name!r}") for name, matrix in vectors.items()}
    if core.siblings:
        names = ", ".join(f"{name!r}: ..." for name in core.embeddings)
        raise InputError(f"the collection has several embeddings: pass vectors={{{names}}}")
    return {core.title: core.prepare(vectors)}


def _check_complete(core: Core, texts: list[str] | None, given: Mapping[str, FloatArray]) -> None:
    """Refuse documents that would be without one of several embeddings: nobody would find them there."""
    if not core.siblings:
        return
    missing = [one for one in core.written if one.title not in given and (texts is None or one.embedder is None)]
    if missing:
        told = ", ".join(f"{one.title!r}{_made_by(one)}" for one in missing)
        raise InputError(
            f"a document gets a vector of every embedding, and these would be missing: {told}. Open the collection "
            "with their models (embeddings={name: model}) and pass texts, or pass their vectors too"
        )


def _made_by(core: Core) -> str:
    return f" ({describe(core.manifest.embedding)})" if core.manifest.embedding else ""


def _texts(texts: Iterable[str] | None) -> list[str] | None:
    if texts is None:
        return None
    if isinstance(texts, str | bytes):
        raise InputError("texts is a list of strings, got one string: wrap it in a list")
    listed = list(texts)
    for row, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(f"texts must be strings; row {row} is {type(text).__name__}")
    return listed


def add(
    core: Core, batch: Documents, *, batch_size: int, optimize: bool | None, progress: Progress | None
) -> Flow[list[PointId]]:
    """Embed, fit if that is due, encode and store ``batch``; the ids in order.

    Raises
    ------
    PartialUploadError
        If the model or the engine fails half-way: which ids are missing.
    TooFewVectorsError
        If the representation has to learn first and the batch is too small; nothing is stored then.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    yield from load_twins(core)
    start = 0
    while start < len(batch):
        try:
            found, stop = yield from _next_vectors(core, batch, start, batch_size)
            for one in core.written if found else ():
                if not one.representation.fitted:
                    yield from _fit_on(one, batch, found[one.title], Work(progress=progress is not None))
                if start == 0:
                    yield from measure_coverage(one, found[one.title])
            points = yield from step(partial(_points, core, batch, found, start, stop))
            yield from core.store.upsert(points, batch_size=batch_size, progress=progress)
        except Exception as error:
            if start == 0 and not isinstance(error, PartialUploadError):
                raise
            raise _partial(batch, start, error) from error
        start = stop
    core.forget_count()
    yield from _optimize_if_due(core, len(batch), optimize)
    return list(batch.ids)


def _next_vectors(core: Core, batch: Documents, start: int, batch_size: int) -> Flow[tuple[dict[str, FloatArray], int]]:
    """Prepared vectors, by embedding, of the rows to write next, and where those end; none where all are sparse."""
    stop = min(len(batch), start + WRITE_VECTORS)
    if core.sparse_only:
        return {}, stop
    found: dict[str, FloatArray] = {}
    models = [one for one in core.written if one.title not in batch.vectors]
    if models:
        found, stop = yield from _embedded(models, batch.texts or [], start, batch_size)
    if core.draft:
        yield from materialize(core, batch.vectors[core.title].shape[1])
    return {**found, **{name: matrix[start:stop] for name, matrix in batch.vectors.items()}}, stop


def _embedded(
    cores: Sequence[Core], texts: list[str], start: int, batch_size: int
) -> Flow[tuple[dict[str, FloatArray], int]]:
    """Embeddings of the next texts: as many as a fit wants, else as many as the models make in a moment.

    A fast model so fills large writes, which cost the engine least; a slow one loses little when killed.
    """
    fitted = all(core.representation.fitted for core in cores)
    end = min(len(texts), start + (WRITE_TEXTS if fitted else FIT_TEXTS))
    deadline = time.monotonic() + WRITE_SECONDS
    parts: list[list[FloatArray]] = []
    stop = start
    while stop < end and not (parts and fitted and time.monotonic() > deadline):
        some = texts[stop : min(stop + batch_size, end)]
        try:
            # Side by side: a model that is served elsewhere waits, one that runs here computes.
            part = yield from fork([partial(_prepared, core, some) for core in cores], limit=len(cores))
        except Exception:
            if not (parts and fitted):
                raise
            break  # what is embedded gets stored; the next round meets the failure again
        for core, (raw, _) in zip(cores, part, strict=True):
            yield from note_embedding(core, raw)
        parts.append([prepared for _, prepared in part])
        stop += len(some)
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return {core.title: matrix for core, matrix in zip(cores, joined, strict=True)}, stop


def _prepared(core: Core, texts: list[str]) -> Flow[tuple[FloatArray, FloatArray]]:
    """Embeddings as the model gives them, and as the representation takes them."""
    raw = yield from embed(core, texts)
    return raw, core.prepare(raw, what="embeddings")


def embed(core: Core, texts: list[str]) -> Flow[FloatArray]:
    """Embeddings (n, dim) as the model gives them; a draft takes its dimension from them.

    Raises
    ------
    InputError
        If the collection was opened without an embedding.
    """
    if core.embedder is None:
        recorded = core.manifest.embedding
        wanted = f" ({describe(recorded)})" if recorded else ""
        raise InputError(f"texts need an embedding{wanted}: open the collection with embedding=, or pass vectors")
    raw = yield from core.embedder.embed_documents(texts)
    if core.draft:
        as_matrix(raw, what="embeddings")
        yield from materialize(core, raw.shape[1])
    return raw


def _fit_on(core: Core, batch: Documents, x: FloatArray, work: Work) -> Flow[None]:
    sample = x
    if (given := batch.vectors.get(core.title)) is not None:
        rng = np.random.default_rng(core.manifest.seed)
        sample = given[np.sort(rng.permutation(len(batch))[:FIT_VECTORS])]
    try:
        yield from fit(core, sample, work=work)
    except TooFewVectorsError as error:
        raise TooFewVectorsError(
            f"{error}. The first add fits the representation on its own vectors: add more at once, or call "
            "fit(sample) with vectors of the same model first"
        ) from error


def _points(core: Core, batch: Documents, found: Mapping[str, FloatArray], start: int, stop: int) -> PointBatch:
    vectors: dict[str, CodeArray] = {}
    for one in core.written if found else ():
        vectors |= codes(one, found[one.title])
    sparse: dict[str, Sequence[SparseVector]] = {}
    if core.sparse is not None and core.manifest.sparse_name is not None and batch.texts is not None:
        sparse[core.manifest.sparse_name] = core.sparse.encode_documents(batch.texts[start:stop])
    return PointBatch(batch.stored_ids[start:stop], vectors, batch.payloads[start:stop], sparse)


def codes(core: Core, x: FloatArray) -> dict[str, CodeArray]:
    """What is stored of prepared vectors ``x`` (n, dim) of one embedding, by named vector."""
    found = _named(core.stages, core.representation, x)
    for name, representation in core.twins.items():
        stages = Stages.of(*representation.needs(core.dimension, core.distance), name)
        found |= _named(stages, representation, x)
    return found


def _named(stages: Stages, representation: Representation, x: FloatArray) -> dict[str, CodeArray]:
    coarse, fine = representation.encode(x)
    if stages.fine is None or fine is None:
        return {stages.coarse.name: coarse}
    return {stages.coarse.name: coarse, stages.fine.name: fine}


def _partial(batch: Documents, start: int, error: Exception) -> PartialUploadError:
    missing = batch.ids[start:]
    cause: BaseException = error
    if isinstance(error, PartialUploadError):
        # The store speaks of Qdrant's ids and of its own part of the batch; the caller knows their own, and all.
        cause = error.__cause__ or error
        lost = {*error.missing_ids, *batch.stored_ids[start + error.total :]}
        missing = [mine for mine, stored in zip(batch.ids, batch.stored_ids, strict=True) if stored in lost]
    done = len(batch) - len(missing)
    return PartialUploadError(
        f"{done} of {len(batch)} points were stored, then: {cause}. Add the points whose ids are in missing_ids "
        "again to resume; adding all of them again is safe too",
        stored=done,
        total=len(batch),
        missing_ids=missing,
    )


def _optimize_if_due(core: Core, added: int, optimize: bool | None) -> Flow[None]:
    core.pending += added
    due = core.store.engine == "edge" and core.pending >= OPTIMIZE_AFTER if optimize is None else optimize
    if due:
        yield from core.store.optimize()
        core.pending = 0


def sample_vectors(core: Core, sample: object) -> Flow[tuple[FloatArray, int]]:
    """Prepared vectors of an explicit fit, no more than it looks at, and how many were given.

    Texts are embedded, vectors are checked. A draft takes its dimension from them.
    """
    if _are_texts(sample):
        raw = yield from embed(core, list(sample))
        return core.prepare(raw, what="sample"), len(raw)
    rows = as_rows(sample, dim=core.manifest.dimension, what="sample")  # type: ignore[arg-type]
    if core.draft:
        yield from materialize(core, rows.shape[1])
    # Drawn before anything is computed: a memory map of more than fits stays on disk.
    chosen = drawn(rows, sample_size(core.representation), np.random.default_rng(core.manifest.seed))
    return core.prepare(chosen, what="sample"), len(rows)


def query_vectors(core: Core, queries: object) -> Flow[FloatArray]:
    """Prepared vectors of training queries: texts are embedded as queries, vectors are checked."""
    if not _are_texts(queries):
        return core.prepare(queries, what="queries")
    if core.embedder is None:
        raise InputError("queries as texts need an embedding: open the collection with embedding=, or pass vectors")
    return core.prepare((yield from core.embedder.embed_queries(list(queries))), what="queries")


def _are_texts(given: object) -> TypeGuard[Sequence[str]]:
    return isinstance(given, Sequence) and bool(given) and isinstance(given[0], str)
