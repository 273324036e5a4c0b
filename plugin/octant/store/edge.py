"""Qdrant Edge: the server's engine in this process, one directory per collection."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import qdrant_edge as qe

from octant.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    OctantError,
    PartialUploadError,
    StoreError,
    UnsupportedError,
)
from octant.flow import Flow, step
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorQuery
from octant.records import Filter, Footprint
from octant.store import edge_translate as translate
from octant.store.base import Manifest, Progress, Store
from octant.store.edge_footprint import components
from octant.store.sidecar import Sidecar

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
        self._shard: qe.EdgeShard | None = None
        self._layout: CollectionLayout | None = None
        self._guard = threading.Lock()

    # -- existence and self-description --------------------------------------------------------

    def exists(self) -> Flow[bool]:
        return step(self._files.exists)

    def create(self, layout: CollectionLayout, manifest: Manifest) -> Flow[None]:
        return step(lambda: self._create(layout, manifest))

    def _create(self, layout: CollectionLayout, manifest: Manifest) -> None:
        if self._files.exists():
            raise CollectionExistsError(
                f"there is already a collection {self._name!r} in {self._root}: open it, or create with overwrite=True"
            )
        self._files.acquire()
        try:
            # A creation that was killed half-way left no manifest: what it did leave is nobody's.
            shutil.rmtree(self._files.shard, ignore_errors=True)
            self._shard = _engine(
                lambda: qe.EdgeShard.create(str(self._files.shard), translate.config(layout, wal=self._wal))
            )
            self._layout = layout
            self._files.write(manifest, layout)
        except BaseException:
            self._release()
            raise

    def open(self) -> Flow[Manifest | None]:
        return step(self._open)

    def _open(self) -> Manifest:
        if not self._files.exists():
            raise CollectionNotFoundError(
                f"no collection {self._name!r} in {self._root}: check name and location, or create it"
            )
        self._files.acquire()
        try:
            manifest, self._layout = self._files.read()
            self._shard = _engine(lambda: qe.EdgeShard.load(str(self._files.shard)))
        except BaseException:
            self._release()
            raise
        return manifest

    def describe(self) -> Flow[CollectionLayout]:
        return step(self._described)

    def _described(self) -> CollectionLayout:
        self._engine_shard()
        if self._layout is None:
            raise StoreError(f"the collection {self._name!r} is not open")
        return self._layout

    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        return step(lambda: self._files.write(manifest, self._described()))

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
        if not self._files.directory.exists():
            return
        self._files.acquire()  # never delete what another process has open
        self._release()
        shutil.rmtree(self._files.directory)

    def close(self) -> Flow[None]:
        return step(self._close)

    def _close(self) -> None:
        self._release()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _release(self) -> None:
        with self._guard:
            shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()
        self._files.release()

    # -- points --------------------------------------------------------------------------------

    def upsert(self, points: PointBatch, *, batch_size: int, progress: Progress | None = None) -> Flow[None]:
        return step(lambda: self._upsert(points, batch_size, progress))

    def _upsert(self, points: PointBatch, batch_size: int, progress: Progress | None) -> None:
        shard = self._engine_shard()
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
        return step(lambda: self._query(queries))

    def _query(self, queries: Sequence[VectorQuery]) -> list[list[StoredPoint]]:
        shard = self._engine_shard()
        requests = [translate.request(query) for query in queries]
        if len(requests) == 1:
            answers = [_engine(lambda: shard.query(requests[0]))]
        else:
            answers = _engine(lambda: shard.query_batch(qe.QueryBatchRequest(requests)))
        return [[translate.stored(point) for point in answer] for answer in answers]

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
        def read() -> tuple[list[StoredPoint], int | str | None]:
            records, following = self._engine_shard().scroll(
                qe.ScrollRequest(
                    offset=offset,
                    limit=limit,
                    filter=None if filter is None else translate.filter_(filter),
                    with_payload=with_payload,
                    with_vector=list(with_vectors) or False,
                )
            )
            page = [translate.stored(record) for record in records]
            return page, following if following is None or isinstance(following, int) else str(following)

        return step(lambda: _engine(read))

    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        return self._update(qe.UpdateOperation.delete_points(list(ids)))

    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        return self._update(qe.UpdateOperation.delete_points_by_filter(translate.filter_(filter)))

    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        wanted = None if filter is None else translate.filter_(filter)
        return step(lambda: _engine(lambda: self._engine_shard().count(qe.CountRequest(exact=True, filter=wanted))))

    def index_payload(self, key: str, kind: str) -> Flow[None]:
        schema = getattr(qe.PayloadSchemaType, kind.capitalize(), None)
        if schema is None:
            raise UnsupportedError(
                f"a payload index is keyword, integer, float, bool, geo, datetime, text or uuid; got {kind!r}"
            )
        return self._update(qe.UpdateOperation.create_field_index(key, schema))

    def _update(self, operation: qe.UpdateOperation) -> Flow[None]:
        def apply() -> None:
            shard = self._engine_shard()
            shard.update(operation)
            shard.flush()

        return step(lambda: _engine(apply))

    # -- upkeep --------------------------------------------------------------------------------

    def optimize(self) -> Flow[None]:
        def build() -> None:
            shard = self._engine_shard()
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
        measured = components(self._files.shard, self._described(), shard.snapshot_manifest())
        info = shard.info()
        return Footprint(info.points_count, info.segments_count, measured, source="files")

    def _engine_shard(self) -> qe.EdgeShard:
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
