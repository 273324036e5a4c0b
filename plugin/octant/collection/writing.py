"""What changes a collection's points and what their codes are made by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from octant import ingest
from octant.core import fitting
from octant.errors import InputError
from octant.filters import as_filter, map_ids
from octant.flow import Flow, step
from octant.oversampling import CoverageCurve
from octant.records import JSON, FitReport, PointId
from octant.representation import Representation
from octant.work import Work, progress_bar

if TYPE_CHECKING:
    from octant.collection.collection import Collection


def add(
    collection: Collection,
    texts: Iterable[str] | None = None,
    *,
    vectors: object | None = None,
    payloads: Iterable[Mapping[str, JSON] | None] | None = None,
    ids: Iterable[PointId] | None = None,
    batch_size: int = 256,
    optimize: bool | None = None,
    progress: bool = False,
) -> Flow[list[PointId]]:
    """Store documents; a known id is replaced. Returns once every point is durable.

    A representation that has to learn is fitted first: on up to 5,000 of the texts, or on up to 50,000 of
    the vectors. Too few of them are refused, and nothing is stored.

    Parameters
    ----------
    texts : iterable of str, optional
    vectors : (n, dim) array_like, or mapping from embedding to such, optional
        Instead of, or beside, ``texts``; texts are not embedded then. Of several embeddings those that are left
        out are made of the texts.
    payloads : iterable of mapping, optional
        JSON values, one mapping a point.
    ids : iterable of int or str, optional
        Any non-empty strings; fresh UUIDs where none are given.
    batch_size : int
        Points in one request to the engine and the model.
    optimize : bool, optional
        Build indexes afterwards. By default an embedded engine does after every 10,000 new points; a
        server decides by itself.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    list of int or str
        The ids, in order.

    Raises
    ------
    InputError, VectorValueError, DimensionError, DuplicateIdError, TooFewVectorsError
        Before anything is written; also where a document would be without one of the collection's vectors.
    PartialUploadError
        If the model or the engine fails half-way; it tells which ids are missing.
    """
    core = collection._core
    batch = yield from step(lambda: ingest.documents(core, texts, vectors, payloads, ids))
    with progress_bar(len(batch), title=collection.name, unit="doc", show=progress) as advance:
        return (yield from ingest.add(core, batch, batch_size=batch_size, optimize=optimize, progress=advance))


def fit(
    collection: Collection,
    sample: object,
    *,
    queries: object | None = None,
    embedding: str | None = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> Flow[FitReport]:
    """Let the representation learn, before the first point is stored.

    A fit that was killed resumes: call it again, with the same sample and queries, and it ends as if nothing had
    happened. Another sample or seed starts from the beginning. Until it is complete nothing of it is in use.

    Parameters
    ----------
    sample : (n, dim) array_like, or list of str
        Vectors of the collection's model, or texts to embed.
    queries : (m, dim) array_like, or list of str, optional
        Real queries, for representations that can weigh errors by them: vectors, or texts to embed. Not those
        that recall will be measured on.
    embedding : str, optional
        Which of several embeddings shall learn; the first one without it.
    progress : bool
        Show progress bars on standard error.
    checkpoint : str or Path, optional
        Folder for what an interrupted fit resumes from. An embedded collection needs none: it keeps that in its
        own directory until the fit is complete.

    Raises
    ------
    TooFewVectorsError
    ArtifactError
        If a checkpoint of this very fit is damaged, or cannot be written.
    InputError
        If points are stored already: their codes would become unreadable.
    """
    core = collection._core.of(embedding)
    work = Work(progress=progress, checkpoint=checkpoint)
    x, given = yield from ingest.sample_vectors(core, sample)
    asked = None if queries is None else (yield from ingest.query_vectors(core, queries))
    return (yield from fitting.fit(core, x, asked, given=given, work=work))


def adopt(
    collection: Collection,
    fitted: Representation,
    *,
    coverage: CoverageCurve | None = None,
    embedding: str | None = None,
) -> Flow[None]:
    """Use a representation that was fitted elsewhere, instead of fitting one here.

    Parameters
    ----------
    fitted : Representation
        Of the collection's spec. The collection must have its dimension (``create(dimension=…)``) and no points.
    coverage : CoverageCurve, optional
        What was measured of its two stages; without it the first vectors added measure it.
    embedding : str, optional
        Whose representation it is; the first one's without it.

    Raises
    ------
    InputError, MismatchError, DimensionError
        If the collection holds points, or ``fitted`` is unfitted, of another spec, or of another dimension.
    """
    yield from fitting.adopt(collection._core.of(embedding), fitted, coverage)


def delete(collection: Collection, ids: Iterable[PointId] | None = None, *, filter: object | None = None) -> Flow[None]:  # noqa: A002
    """Delete points by id, or every point that matches ``filter``. Unknown ids are no error.

    Raises
    ------
    InputError
        If neither or both are given: deleting everything must be asked for with a filter.
    """
    core = collection._core
    if (ids is None) == (filter is None):
        raise InputError("delete takes ids or a filter, one of the two")
    if core.draft:
        return
    if ids is not None:
        yield from core.store.delete([core.ids.to_qdrant(point) for point in ids])
    else:
        wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
        yield from core.store.delete_where(wanted or {})


def optimize(collection: Collection) -> Flow[None]:
    """Build the indexes and second copies that are due, and wait for them."""
    if not collection._core.draft:
        yield from collection._core.store.optimize()
        collection._core.pending = 0


def index_payload(collection: Collection, key: str, kind: str = "keyword") -> Flow[None]:
    """Index a payload field, so that filters on it are fast.

    Parameters
    ----------
    key : str
    kind : {"keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"}
    """
    if collection._core.draft:
        raise InputError("the collection has no dimension yet: add its first documents, then index their payload")
    yield from collection._core.store.index_payload(key, kind)
