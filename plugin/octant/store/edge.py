"""Qdrant Edge: the server's engine in this process, one directory per collection."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import qdrant_edge as qe

from octant.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    InputError,
    OctantError,
    PartialUploadError,
    StoreError,
)
from octant.flow import Flow, step
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorLayout, VectorQuery
from octant.records import JSON, CodeArray, Filter, FloatArray, Footprint, Residency, uuid_or_int
from octant.schema import CollectionSchema, PayloadIndex, SparseVectorSchema
from octant.store import edge_aliases, edge_schema, edge_view, families, pages
from octant.store import edge_translate as translate
from octant.store.base import Manifest, Progress, Store
from octant.store.edge_footprint import components, residency
from octant.store.sidecar import Description, Sidecar

T = TypeVar("T")

FLUSH_EVERY = 4096
"""Points between two flushes: without a write-ahead log a point is durable once flushed."""


class EdgeStore(Store):
    """A collection in a directory of this machine.

    Parameters
    ----------
    root : str or Path, or None
        Directory that holds the collections; None for a temporary one, deleted on close.
    name : str
    wal : bool
        Whether new collections keep Qdrant's write-ahead log. Without it (the default) writes are flushed
        before they are acknowledged, which is as safe and saves at least 60 MB of log on disk.
    """

    engine = "edge"

    def __init__(self, root: str | Path | None, name: str, *, wal: bool = False) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="octant-") if root is None else None
        self._root = Path(self._temporary.name if self._temporary else str(root)).expanduser()
        self._files = Sidecar(self._root, name)
        self._name, self._wal = name, wal
        self._collection = name
        self._shard: qe.EdgeShard | None = None
        self._viewed = False
        self._description: Description | None = None
        self._guard = threading.RLock()

    # -- existence and self-description --------------------------------------------------------

    def exists(self) -> Flow[bool]:
        return step(lambda: self._locate().exists())

    def create_like(self, schema: CollectionSchema, vectors: Sequence[VectorLayout] = ()) -> Flow[None]:
        return step(lambda: self._create(schema, vectors))

    def _create(self, schema: CollectionSchema, vectors: Sequence[VectorLayout]) -> None:
        schema.check_beside(vectors)
        indexes = [(index.field, edge_schema.index(index)) for index in schema.indexes]
        if self._locate().exists():
            raise CollectionExistsError(
                f"there is already a collection {self._name!r} in {self._root}: open it, or create with overwrite=True"
            )
        self._files.acquire()
        try:
            # A creation that was killed half-way left no manifest: what it did leave is nobody's.
            shutil.rmtree(self._files.shard, ignore_errors=True)
            config = edge_schema.config(schema, vectors, wal=self._wal)
            shard = self._shard = _engine(lambda: qe.EdgeShard.create(str(self._files.shard), config))
            for field, wanted in indexes:
                _engine(partial(shard.update, qe.UpdateOperation.create_field_index(field, wanted)))
            _engine(shard.flush)
            self._describe(Description(schema.layout.beside(vectors), schema.manifests, schema.metadata))
        except BaseException:
            self._release()
            raise

    def open(self) -> Flow[CollectionSchema]:
        return step(self._open)

    def open_to_read(self) -> Flow[CollectionSchema]:
        return step(lambda: self._open(only_read=True))

    def _open(self, *, only_read: bool = False) -> CollectionSchema:
        if not self._locate().exists():
            raise CollectionNotFoundError(
                f"no collection {self._name!r} in {self._root}: check name and location, or create it"
            )
        self._files.acquire()
        try:
            self._description = self._files.read()
            edge_view.remove(self._files.view)  # of a pass that was killed
            self._viewed = only_read and not self._files.bare and edge_view.make(self._files.shard, self._files.view)
            self._shard = _engine(lambda: qe.EdgeShard.load(str(self._place)))
            schema = self._schema()
            if self._description is None:
                self._description = Description(schema.layout)
        except BaseException:
            self._release()
            raise
        return schema

    def describe(self) -> Flow[CollectionLayout]:
        return step(lambda: self._described().layout)

    def _described(self) -> Description:
        self._engine_shard()
        if self._description is None:
            raise StoreError(f"the collection {self._name!r} is not open")
        return self._description

    def _describe(self, description: Description) -> None:
        self._files.write(description)
        self._description = description

    def schema(self) -> Flow[CollectionSchema]:
        return step(self._schema)

    def _schema(self) -> CollectionSchema:
        info = _engine(self._engine_shard().info)
        found = edge_schema.schema(edge_schema.configuration(self._files.shard), info.payload_schema)
        known = self._description
        return found if known is None else replace(found, manifests=known.manifests, metadata=known.metadata)

    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        def write() -> None:
            known = self._described()
            self._describe(replace(known, manifests={**known.manifests, families.name(manifest): dict(manifest)}))

        return step(write)

    def drop_manifest(self, vector_name: str) -> Flow[None]:
        def write() -> None:
            known = self._described()
            kept = {name: manifest for name, manifest in known.manifests.items() if name != vector_name}
            self._describe(replace(known, manifests=kept))

        return step(write)

    # -- vectors of a collection that is there -------------------------------------------------

    def add_vectors(
        self, vectors: Sequence[VectorLayout] = (), sparse: Sequence[SparseVectorSchema] = ()
    ) -> Flow[None]:
        """Add named vectors; the shard is opened anew for it, and searches of other threads wait."""
        return step(lambda: self._add_vectors(vectors, sparse))

    def _add_vectors(self, vectors: Sequence[VectorLayout], sparse: Sequence[SparseVectorSchema]) -> None:
        self._schema().check_added(vectors, sparse)
        with self._guard:
            shard, known = self._shard_to_write(), self._described()
            for vector in vectors:
                _engine(partial(shard.update, edge_schema.new_dense(vector)))
            for entry in sparse:
                _engine(partial(shard.update, edge_schema.new_sparse(entry)))
            _engine(shard.flush)
            # Graph, second copy and placement are no part of adding: they are the configuration's, at loading.
            config = edge_schema.with_vectors(edge_schema.configuration(self._files.shard), vectors)
            self._reload(config)
            described = [vector for vector in vectors if not vector.multivector]
            self._describe(replace(known, layout=known.layout.beside(described)))

    def _reload(self, config: qe.EdgeConfig) -> None:
        path = str(self._files.shard)
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()
        try:
            self._shard = _engine(lambda: qe.EdgeShard.load(path, config))
        except StoreError:
            self._shard = _engine(lambda: qe.EdgeShard.load(path))
            raise

    def drop_vectors(self, names: Sequence[str]) -> Flow[None]:
        return step(lambda: self._drop_vectors(names))

    def _drop_vectors(self, names: Sequence[str]) -> None:
        schema, known = self._schema(), self._described()
        schema.check_dropped(names)
        shard = self._shard_to_write()
        for name in set(names) & set(schema.names):
            _engine(partial(shard.update, qe.UpdateOperation.delete_vector_name(name)))
        _engine(shard.flush)
        self._describe(replace(known, layout=known.layout.without(names)))

    def create_index(self, index: PayloadIndex) -> Flow[None]:
        return self._update(qe.UpdateOperation.create_field_index(index.field, edge_schema.index(index)))

    # -- other names ---------------------------------------------------------------------------

    @property
    def collection(self) -> str:
        return self._collection

    def _locate(self) -> Sidecar:
        """The files of the collection that the name stands for now; those that are open stay."""
        if self._shard is None:
            behind = edge_aliases.read(self._root).get(self._name, self._name)
            self._collection = behind if Sidecar(self._root, behind).exists() else self._name
            self._files = Sidecar(self._root, self._collection)
        return self._files

    def slices(self) -> Flow[bool]:
        return step(lambda: True)

    def aliases(self) -> Flow[Mapping[str, str]]:
        def read() -> Mapping[str, str]:
            found = edge_aliases.read(self._root)
            return {alias: name for alias, name in found.items() if Sidecar(self._root, name).exists()}

        return step(read)

    def switch_alias(self, alias: str, to: str | None, *, set_aside: str | None = None) -> Flow[None]:
        return step(lambda: edge_aliases.switch(self._root, alias, to, set_aside))

    # -- notes ---------------------------------------------------------------------------------

    def write_state(self, key: str, value: JSON) -> Flow[None]:
        return step(lambda: self._opened_files().write_state(key, value))

    def read_state(self, key: str) -> Flow[JSON | None]:
        return step(lambda: self._opened_files().read_state(key))

    def delete_state(self, key: str) -> Flow[None]:
        return step(lambda: self._opened_files().delete_state(key))

    def _opened_files(self) -> Sidecar:
        self._engine_shard()
        return self._files

    # -- artifacts -----------------------------------------------------------------------------

    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        return step(lambda: self._files.write_artifact(digest, data))

    def read_artifact(self, digest: str) -> Flow[bytes]:
        return step(lambda: self._files.read_artifact(digest))

    @property
    def checkpoints(self) -> Path | None:
        return None if self._temporary is not None else self._files.checkpoints

    def drop_checkpoints(self) -> Flow[None]:
        return step(lambda: shutil.rmtree(self._files.checkpoints, ignore_errors=True))

    def drop(self) -> Flow[None]:
        return step(self._drop)

    def _drop(self) -> None:
        if not self._locate().directory.exists():
            return
        self._files.acquire()  # never delete what another process has open
        self._release()
        shutil.rmtree(self._files.directory)
        edge_aliases.forget(self._root, self._collection)

    def close(self) -> Flow[None]:
        return step(self._close)

    def _close(self) -> None:
        self._release()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _release(self) -> None:
        with self._guard:
            shard, self._shard = self._shard, None
            self._description = None
        if shard is not None:
            shard.close()
        if self._viewed:
            edge_view.remove(self._files.view)
            self._viewed = False
        self._files.release()

    # -- points --------------------------------------------------------------------------------

    def upsert(self, points: PointBatch, *, batch_size: int, progress: Progress | None = None) -> Flow[None]:
        return step(lambda: self._upsert(points, batch_size, progress))

    def _upsert(self, points: PointBatch, batch_size: int, progress: Progress | None) -> None:
        shard = self._shard_to_write()
        durable = 0
        try:
            for start in range(0, len(points), batch_size):
                batch = points.rows(start, start + batch_size)
                _engine(lambda batch=batch: shard.update(qe.UpdateOperation.upsert_points(translate.points(batch))))  # type: ignore[misc]
                done = start + len(batch)
                if done - durable >= FLUSH_EVERY or done == len(points):
                    _engine(shard.flush)
                    if progress is not None:
                        progress(done - durable)
                    durable = done
        except StoreError as error:
            raise PartialUploadError(
                f"{durable} of {len(points)} points were stored before the engine failed ({error}): add the others "
                "again once the cause is gone; adding a point twice is harmless",
                stored=durable,
                total=len(points),
                missing_ids=list(points.ids)[durable:],
            ) from error

    def query(self, queries: Sequence[VectorQuery]) -> Flow[list[list[StoredPoint]]]:
        return step(lambda: [[translate.stored(point) for point in answer] for answer in self._answers(queries)])

    def query_ids(self, queries: Sequence[VectorQuery]) -> Flow[list[list[int | str]]]:
        """The ids alone of what :meth:`query` finds, in less than half of its time where hundreds are asked for."""
        return step(lambda: [[translate.identity(point) for point in answer] for answer in self._answers(queries)])

    def _answers(self, queries: Sequence[VectorQuery]) -> list[list[qe.ScoredPoint]]:
        shard = self._engine_shard()
        requests = [translate.request(query) for query in queries]
        if len(requests) == 1:
            return [_engine(lambda: shard.query(requests[0]))]
        return _engine(lambda: shard.query_batch(qe.QueryBatchRequest(requests)))

    def retrieve(
        self, ids: Sequence[int | str], *, with_payload: bool = True, with_vectors: Sequence[str] = ()
    ) -> Flow[list[StoredPoint]]:
        def read() -> list[StoredPoint]:
            records = self._engine_shard().retrieve(list(ids), with_payload, list(with_vectors) or False)
            return [translate.stored(record) for record in records]

        return step(lambda: _engine(read))

    def scroll(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        with_payload: bool = True, with_vectors: Sequence[str] = (),
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        selected = list(with_vectors) or False
        return self._page(filter, limit, offset, with_payload, selected, translate.stored)

    def read(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        vectors: Sequence[str] | None = None, with_payload: bool = True,
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        selected = True if vectors is None else list(vectors) or False
        return self._page(filter, limit, offset, with_payload, selected, translate.complete)

    def _page(
        self, filter: Filter | None, limit: int, offset: int | str | None, with_payload: bool,  # noqa: A002
        vectors: list[str] | bool, translated: Callable[[qe.Record], StoredPoint],
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        def page() -> tuple[list[StoredPoint], int | str | None]:
            records, following = self._engine_shard().scroll(
                qe.ScrollRequest(
                    offset=offset,
                    limit=limit,
                    filter=None if filter is None else translate.filter_(filter),
                    with_payload=with_payload,
                    with_vector=vectors,
                )
            )
            found = [translated(record) for record in records]
            return found, following if following is None or isinstance(following, int) else str(following)

        return step(lambda: _engine(page))

    def write_vectors(
        self, ids: Sequence[int | str], vectors: Mapping[str, CodeArray], *, batch_size: int = 256,
        progress: Progress | None = None, multi: Mapping[str, Sequence[FloatArray]] | None = None,
    ) -> Flow[list[int | str]]:  # fmt: skip
        points = PointBatch(ids, vectors, [{}] * len(ids), multi=multi or {})
        return step(lambda: self._write_vectors(points, batch_size, progress))

    def _write_vectors(self, points: PointBatch, batch_size: int, progress: Progress | None) -> list[int | str]:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        missing: list[int | str] = []
        for start in range(0, len(points), FLUSH_EVERY):
            for first in range(start, min(start + FLUSH_EVERY, len(points)), batch_size):
                missing += self._update_vectors(points.rows(first, min(first + batch_size, start + FLUSH_EVERY)))
            _engine(self._engine_shard().flush)
            if progress is not None:
                progress(min(FLUSH_EVERY, len(points) - start))
        return missing

    def _update_vectors(self, points: PointBatch) -> list[int | str]:
        shard = self._shard_to_write()
        # One id that is not there makes the engine refuse the others with it.
        there = {
            uuid_or_int(translate.identity(record))
            for record in _engine(lambda: shard.retrieve(list(points.ids), False, False))
        }
        rows = [row for row, point in enumerate(points.ids) if uuid_or_int(point) in there]
        if rows:
            _engine(lambda: shard.update(qe.UpdateOperation.update_vectors(translate.point_vectors(points, rows))))
        return [point for point in points.ids if uuid_or_int(point) not in there]

    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        return self._update(qe.UpdateOperation.delete_points(list(ids)))

    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        return self._update(qe.UpdateOperation.delete_points_by_filter(translate.filter_(filter)))

    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        wanted = None if filter is None else translate.filter_(filter)
        return step(lambda: _engine(lambda: self._engine_shard().count(qe.CountRequest(exact=True, filter=wanted))))

    def _update(self, operation: qe.UpdateOperation) -> Flow[None]:
        def apply() -> None:
            shard = self._shard_to_write()
            shard.update(operation)
            shard.flush()

        return step(lambda: _engine(apply))

    # -- upkeep --------------------------------------------------------------------------------

    def optimize(self) -> Flow[None]:
        def build() -> None:
            shard = self._shard_to_write()
            shard.optimize()
            shard.flush()

        return step(lambda: _engine(build))

    def segments(self) -> Flow[int]:
        return step(lambda: _engine(lambda: self._engine_shard().info().segments_count))

    def footprint(self) -> Flow[Footprint]:
        return step(lambda: _engine(self._footprint))

    def _footprint(self) -> Footprint:
        shard = self._engine_shard()
        shard.flush()
        measured = components(self._files.shard, self._schema(), shard.snapshot_manifest())
        info = shard.info()
        return Footprint(info.points_count, info.segments_count, measured, source="files")

    def let_go(self) -> Flow[None]:
        return step(lambda: pages.let_go(self._place))

    def residency(self) -> Flow[Residency]:
        def measure() -> Residency:
            return residency(self._place, self._schema(), self._engine_shard().snapshot_manifest())

        return step(lambda: _engine(measure))

    @property
    def _place(self) -> Path:
        """Where the files are that this process reads."""
        return self._files.view if self._viewed else self._files.shard

    def _shard_to_write(self) -> qe.EdgeShard:
        if self._viewed:
            raise StoreError(f"the collection {self._name!r} was opened to be read: open it again to write to it")
        return self._engine_shard()

    def _engine_shard(self) -> qe.EdgeShard:
        with self._guard:
            shard = self._shard
        if shard is None:
            raise StoreError(f"the collection {self._name!r} is closed: open it again")
        return shard


def _engine(call: Callable[[], T]) -> T:
    # Edge raises bare Exception for everything; callers get our own tree, with the engine's words in it.
    try:
        return call()
    except OctantError:
        raise
    except Exception as error:
        raise StoreError(f"Qdrant Edge refused: {error}") from error
