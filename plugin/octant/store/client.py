"""A collection behind qdrant-client: server, cluster, cloud, or local mode. Importing this costs 0.9 s."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from octant.errors import (
    ArtifactError,
    CollectionExistsError,
    InputError,
    LocalModeWarning,
    StoreError,
    UnavailableError,
    UnsupportedError,
)
from octant.flow import Flow
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorLayout, VectorQuery
from octant.records import JSON, CodeArray, Component, Filter, FloatArray, Footprint, Residency, uuid_or_int
from octant.schema import CollectionSchema, PayloadIndex, SparseVectorSchema
from octant.store import client_aliases, client_schema, families
from octant.store import client_answers as answers
from octant.store import client_artifacts as artifacts
from octant.store import client_memory as memory
from octant.store import client_models as translate
from octant.store import client_optimizer as optimizer
from octant.store import client_versions as versions
from octant.store.base import Manifest, Progress, Store
from octant.store.client_connection import Call, Clients, Connection, GivenClients, OwnClients, RetrySettings
from octant.store.client_upload import Upload

DELETED_MEANWHILE = 3
"""Times that vectors are written again without the points that were deleted in the meantime."""
RETRIEVE_AT_ONCE = 1000
"""Ids a single request reads."""

_warned: weakref.WeakSet[Any] = weakref.WeakSet()


class ClientStore(Store):
    """A collection of a Qdrant server, through a sync client, an async one, or both.

    Parameters
    ----------
    client : QdrantClient or None
        For sync callers. Async callers use it in threads where there is no ``async_client``.
    async_client : AsyncQdrantClient or None
        For async callers.
    name : str
        Of the collection.
    collection_options : mapping, optional
        For ``create_collection``: ``shard_number``, ``replication_factor``, ``write_consistency_factor``,
        ``on_disk_payload``, … as in ``client_models.COLLECTION_OPTIONS``.
    parallel : int
        Upload requests in flight at a time. Local mode always takes one.
    retry : RetrySettings
    optimize_timeout_s : float
        Seconds that ``optimize`` waits for the server.

    Raises
    ------
    InputError
        If there is no client, an option is unknown, or the name is Octant's own.
    """

    def __init__(
        self,
        client: QdrantClient | None,
        async_client: AsyncQdrantClient | None,
        name: str,
        collection_options: Mapping[str, Any] | None = None,
        *,
        parallel: int = 4,
        retry: RetrySettings | None = None,
        optimize_timeout_s: float = 600,
        _clients: Clients | None = None,
    ) -> None:
        if not name or name == artifacts.COLLECTION:
            raise InputError(f"a collection needs a name other than {artifacts.COLLECTION!r}, got {name!r}")
        if parallel < 1:
            raise InputError(f"parallel must be at least 1, got {parallel}")
        self._options = translate.check_options(collection_options or {})
        self._connection = Connection(_clients or GivenClients(client, async_client), retry or RetrySettings())
        self._name, self._parallel, self._optimize_timeout_s = name, parallel, optimize_timeout_s
        self._collection, self._located = name, False
        self._keys: dict[str, str] = {}
        self._strict: models.StrictModeConfigOutput | None = None
        self._version: versions.Version | None = None
        self._version_known = False
        self.engine = "local" if self._connection.local else "server"
        if self._connection.local:
            _warn_of_local_mode(client or async_client)

    @classmethod
    def connect(
        cls,
        location: str,
        name: str,
        options: Mapping[str, Any] | None = None,
        collection_options: Mapping[str, Any] | None = None,
        *,
        parallel: int = 4,
        retry: RetrySettings | None = None,
        optimize_timeout_s: float = 600,
    ) -> ClientStore:
        """The collection ``name`` of the server at ``location``; clients are made when first needed.

        Parameters
        ----------
        location : str
            An http(s) URL.
        name : str
        options : mapping, optional
            What ``QdrantClient`` takes: ``api_key``, ``prefer_grpc``, ``grpc_port``, ``timeout`` in seconds,
            ``headers``, …
        collection_options, parallel, retry, optimize_timeout_s
            As for the class.

        Raises
        ------
        InputError
            If ``location`` is no http(s) URL, or an option is unknown.
        """
        return cls(
            None, None, name, collection_options, parallel=parallel, retry=retry, optimize_timeout_s=optimize_timeout_s,
            _clients=OwnClients(location, options or {}),
        )  # fmt: skip

    def _ask(self, call: Call, *, again: bool = True) -> Flow[Any]:
        return self._connection.ask(call, self._name, again=again)

    # -- existence and self-description --------------------------------------------------------

    def exists(self) -> Flow[bool]:
        found = yield from self._ask(lambda client: client.collection_exists(self._name))
        return bool(found)

    def create(self, layout: CollectionLayout, *manifests: Manifest) -> Flow[None]:
        twice = sorted({"payload", "on_disk_payload"} & set(self._options))
        if twice and layout.payload_placement != "cold":
            raise InputError(
                f"collection_options {', '.join(twice)} and MemoryPlacement(payload={layout.payload_placement!r}) both "
                "say where the payload lives: give one of them"
            )
        yield from super().create(layout, *manifests)

    def create_like(self, schema: CollectionSchema, vectors: Sequence[VectorLayout] = ()) -> Flow[None]:
        schema.check_beside(vectors)
        arguments = client_schema.creation(schema, vectors, self._options)
        indexes = [(index.field, client_schema.index(index)) for index in schema.indexes]
        found = yield from self._server_version()
        versions.require_layout(schema.layout.beside(vectors), found, self._connection.location)
        if (yield from self.exists()):
            raise CollectionExistsError(
                f"there is already a collection {self._name!r} at {self._connection.location}: open it, or create with "
                "overwrite=True"
            )
        self._collection, self._located = self._name, True  # what an alias of that name stood for is gone
        # Not sent again after a timeout: the first one may have been carried out.
        yield from self._ask(lambda client: client.create_collection(self._collection, **arguments), again=False)
        changed = client_schema.updates(schema)
        if changed is not None:
            yield from self._ask(lambda client: client.update_collection(self._collection, collection_params=changed))
        for field, wanted in indexes:
            yield from self._index(field, wanted)

    def open(self) -> Flow[CollectionSchema]:
        found = yield from self._server_version()
        versions.require("the query API", versions.QUERY_API, found, self._connection.location)
        yield from self._locate()
        return (yield from self.schema())

    def _locate(self) -> Flow[None]:
        """Stay with the collection that the name stands for now, whatever an alias does later."""
        try:
            aliases = yield from self.aliases()
        except UnavailableError:
            raise
        except StoreError:
            aliases = {}  # credentials for one collection need not see the others' names
        self._collection, self._located = aliases.get(self._name, self._name), True

    def describe(self) -> Flow[CollectionLayout]:
        return (yield from self.schema()).layout

    def schema(self) -> Flow[CollectionSchema]:
        return client_schema.schema((yield from self._info()))

    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        vector_name = families.name(manifest)
        if vector_name not in self._keys:
            self._keys[vector_name] = families.key((yield from self._metadata()), vector_name)
        yield from self._merge({self._keys[vector_name]: dict(manifest)})

    def drop_manifest(self, vector_name: str) -> Flow[None]:
        self._keys.pop(vector_name, None)
        metadata = yield from self._metadata()
        if vector_name in families.read(metadata):
            yield from self._merge({families.key(metadata, vector_name): None})

    def write_state(self, key: str, value: JSON) -> Flow[None]:
        yield from self._merge({f"{families.STATE}{key}": {"value": value}})

    def read_state(self, key: str) -> Flow[JSON | None]:
        found = (yield from self._metadata()).get(f"{families.STATE}{key}")
        if found is None:
            return None
        if not isinstance(found, Mapping) or "value" not in found:
            raise ArtifactError(f"{families.STATE}{key} in the collection's metadata is no note of Octant's: {found!r}")
        return found["value"]

    def delete_state(self, key: str) -> Flow[None]:
        yield from self._merge({f"{families.STATE}{key}": None})

    def _metadata(self) -> Flow[Mapping[str, JSON]]:
        return (yield from self._info()).config.metadata or {}

    def _merge(self, metadata: Mapping[str, JSON]) -> Flow[None]:
        # A server replaces the keys that are given, removes those that are null, and keeps the others.
        yield from self._ask(lambda client: client.update_collection(self._collection, metadata=dict(metadata)))

    # -- other names ---------------------------------------------------------------------------

    @property
    def collection(self) -> str:
        return self._collection

    def aliases(self) -> Flow[Mapping[str, str]]:
        return client_aliases.read(self._connection)

    def switch_alias(self, alias: str, to: str | None, *, set_aside: str | None = None) -> Flow[None]:
        if set_aside is not None:
            raise UnsupportedError(
                f"a server cannot rename a collection: drop {alias!r} before the alias takes its name, or use another"
            )
        return client_aliases.switch(self._connection, alias, to)

    # -- vectors of a collection that is there -------------------------------------------------

    def add_vectors(
        self, vectors: Sequence[VectorLayout] = (), sparse: Sequence[SparseVectorSchema] = ()
    ) -> Flow[None]:
        yield from self._require_vector_names()
        there = yield from self.schema()
        there.check_added(vectors, sparse, datatypes=not self._connection.local)
        for vector in vectors:
            yield from self._add(vector.name, client_schema.added(vector))
        for entry in sparse:
            yield from self._add(entry.name, client_schema.added_sparse(entry))
        if vectors:
            changed = {vector.name: client_schema.difference(vector) for vector in vectors}
            yield from self._ask(lambda client: client.update_collection(self._collection, vectors_config=changed))

    def _add(self, name: str, config: models.VectorNameConfig) -> Flow[None]:
        yield from self._ask(lambda client: client.create_vector_name(self._collection, name, config, wait=True))

    def drop_vectors(self, names: Sequence[str]) -> Flow[None]:
        yield from self._require_vector_names()
        there = yield from self.schema()
        there.check_dropped(names)
        for name in dict.fromkeys(names):
            if name in there.names:
                yield from self._ask(partial(_drop_vector, self._collection, name))

    def _require_vector_names(self) -> Flow[None]:
        found = yield from self._server_version()
        versions.require(
            "adding or dropping vectors of a collection", versions.VECTOR_NAMES, found, self._connection.location
        )

    # -- artifacts -----------------------------------------------------------------------------

    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        return artifacts.write(self._connection, digest, data)

    def read_artifact(self, digest: str) -> Flow[bytes]:
        return artifacts.read(self._connection, digest)

    def drop(self) -> Flow[None]:
        """Delete the collection, and with it its aliases; no error if it is not there.

        An open one is the collection that its alias stood for when it was opened, wherever the alias has gone since.
        Artifacts stay: they are addressed by content, and another collection may use the same one.
        """
        if not self._located:
            yield from self._locate()
        yield from self._ask(lambda client: client.delete_collection(self._collection))
        self._located = False

    def close(self) -> Flow[None]:
        """Close the clients that ``connect`` made; the caller's own stay open."""
        self._located = False
        return self._connection.close()

    def _info(self) -> Flow[models.CollectionInfo]:
        info: models.CollectionInfo = yield from self._ask(lambda client: client.get_collection(self._collection))
        strict = info.config.strict_mode_config
        self._strict = strict if strict is not None and strict.enabled else None
        return info

    def _at_most(self, wanted: int, limit: str) -> int:
        """``wanted``, or what a server in strict mode allows of it."""
        allowed = getattr(self._strict, limit, None)
        return wanted if not allowed else min(wanted, int(allowed))

    def _server_version(self) -> Flow[versions.Version | None]:
        if self._connection.local or self._version_known:
            return self._version
        try:
            answer = yield from self._ask(lambda client: client.info())
            self._version = versions.parse(answer.version)
        except UnavailableError:
            raise
        except StoreError:
            # A proxy that hides the root path: the server itself will refuse what it does not know.
            self._version = None
        self._version_known = True
        return self._version

    # -- points --------------------------------------------------------------------------------

    def upsert(self, points: PointBatch, *, batch_size: int, progress: Progress | None = None) -> Flow[None]:
        """Write points by id, several requests at a time; returns when the server has every one in its log.

        After a request has failed for good no further one is sent.

        Raises
        ------
        PartialUploadError
            If some requests were acknowledged and others were not.
        UnavailableError, CollectionNotFoundError, StoreError
            If none was acknowledged.
        """
        upload = Upload(points, self._batch_size(batch_size), progress)
        yield from upload.run(self._upsert, self._at_once)

    def _upsert(self, points: PointBatch) -> Flow[None]:
        # Translated only now: the lists of numbers are many times larger than the arrays.
        batch: Any = (translate.local_points if self._connection.local else translate.batch)(points)
        yield from self._ask(lambda client: client.upsert(self._collection, points=batch, wait=True))

    def write_vectors(
        self, ids: Sequence[int | str], vectors: Mapping[str, CodeArray], *, batch_size: int = 256,
        progress: Progress | None = None, multi: Mapping[str, Sequence[FloatArray]] | None = None,
    ) -> Flow[list[int | str]]:  # fmt: skip
        points = PointBatch(ids, vectors, [{}] * len(ids), multi=multi or {})
        missing: list[int | str] = []
        upload = Upload(points, self._batch_size(batch_size), progress)
        yield from upload.run(partial(self._write_vectors, missing), self._at_once)
        order = {point: row for row, point in enumerate(ids)}
        return sorted(missing, key=order.__getitem__)

    def _write_vectors(self, missing: list[int | str], points: PointBatch) -> Flow[None]:
        """Write; where points have been deleted meanwhile, the others."""
        # Local mode writes the others, then raises an error that is no answer of a server's: it is asked first.
        failure: StoreError | None = None
        for _ in range(1 + DELETED_MEANWHILE):
            if failure is not None or self._connection.local:
                there = yield from self._present(points.ids)
                rows = [row for row, point in enumerate(points.ids) if uuid_or_int(point) in there]
                if failure is not None and len(rows) == len(points):
                    raise failure
                missing += [point for point in points.ids if uuid_or_int(point) not in there]
                points = points.take(rows)
            try:
                yield from self._send_vectors(points)
            except (UnavailableError, UnsupportedError):
                raise
            except StoreError as error:
                failure = error
            else:
                return
        if failure is not None:
            raise failure

    def _send_vectors(self, points: PointBatch) -> Flow[None]:
        if len(points):
            rows = translate.point_vectors(points)
            yield from self._ask(lambda client: client.update_vectors(self._collection, points=rows, wait=True))

    def _present(self, ids: Sequence[int | str]) -> Flow[set[Any]]:
        found = yield from self.retrieve(ids, with_payload=False)
        return {uuid_or_int(point.id) for point in found}

    @property
    def _at_once(self) -> int:
        return 1 if self._connection.local else self._parallel

    def _batch_size(self, wanted: int) -> int:
        if wanted < 1:
            raise InputError(f"batch_size must be at least 1, got {wanted}")
        return self._at_most(wanted, "upsert_max_batchsize")

    def query(self, queries: Sequence[VectorQuery]) -> Flow[list[list[StoredPoint]]]:
        if not queries:
            return []
        local = self._connection.local
        if len(queries) == 1:
            # On its own a query travels as an array: the client copies a batch, number by number.
            alone = translate.arguments(queries[0], local=local)
            found = [(yield from self._ask(lambda client: client.query_points(self._collection, **alone)))]
        else:
            requests = [translate.request(query, local=local) for query in queries]
            found = yield from self._ask(lambda client: client.query_batch_points(self._collection, requests=requests))
        return [
            [answers.stored(point, query.with_vectors) for point in answer.points]
            for query, answer in zip(queries, found, strict=True)
        ]

    def retrieve(
        self, ids: Sequence[int | str], *, with_payload: bool = True, with_vectors: Sequence[str] = ()
    ) -> Flow[list[StoredPoint]]:
        records: list[Any] = []
        for start in range(0, len(ids), RETRIEVE_AT_ONCE):
            read = partial(
                _retrieve, self._collection, list(ids[start : start + RETRIEVE_AT_ONCE]), with_payload, with_vectors
            )
            records += yield from self._ask(read)
        return [answers.stored(record, with_vectors) for record in records]

    def scroll(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        with_payload: bool = True, with_vectors: Sequence[str] = (),
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        selected = translate.selection(with_vectors)
        records, following = yield from self._page(filter, limit, offset, with_payload, selected)
        return [answers.stored(record, with_vectors) for record in records], following

    def read(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        vectors: Sequence[str] | None = None, with_payload: bool = True,
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        selected = True if vectors is None else translate.selection(vectors)
        size = self._at_most(limit, "max_query_limit")
        records, following = yield from self._page(filter, size, offset, with_payload, selected)
        return [answers.complete(record, vectors) for record in records], following

    def _page(
        self, filter: Filter | None, limit: int, offset: int | str | None, with_payload: bool,  # noqa: A002
        vectors: Sequence[str] | bool,
    ) -> Flow[tuple[list[Any], int | str | None]]:  # fmt: skip
        wanted = None if filter is None else translate.filter_(filter)
        records, following = yield from self._ask(
            lambda client: client.scroll(
                self._collection, scroll_filter=wanted, limit=limit, offset=offset, with_payload=with_payload,
                with_vectors=vectors,
            )
        )  # fmt: skip
        return records, following if following is None or isinstance(following, int) else str(following)

    def slices(self) -> Flow[bool]:
        found = yield from self._server_version()
        return found is None or found >= versions.SLICES

    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        if ids:
            yield from self._delete(models.PointIdsList(points=list(ids)))

    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        yield from self._delete(models.FilterSelector(filter=translate.filter_(filter)))

    def _delete(self, selector: models.PointIdsList | models.FilterSelector) -> Flow[None]:
        yield from self._ask(lambda client: client.delete(self._collection, points_selector=selector, wait=True))

    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        wanted = None if filter is None else translate.filter_(filter)
        found = yield from self._ask(lambda client: client.count(self._collection, count_filter=wanted, exact=True))
        return int(found.count)

    def create_index(self, index: PayloadIndex) -> Flow[None]:
        yield from self._index(index.field, client_schema.index(index))

    def _index(self, field: str, schema: Any) -> Flow[None]:
        if self._connection.local:
            return  # it has none, and warns of every attempt
        yield from self._ask(
            lambda client: client.create_payload_index(
                self._collection, field_name=field, field_schema=schema, wait=True
            )
        )

    # -- upkeep --------------------------------------------------------------------------------

    def optimize(self) -> Flow[None]:
        """Wait until the server has built what is due.

        Raises
        ------
        UnavailableError
            If it takes longer than ``optimize_timeout_s``; the server goes on by itself.
        StoreError
            If the server's optimizer failed.
        """
        if not self._connection.local:
            yield from optimizer.wait(self._connection, self._collection, self._name, self._optimize_timeout_s)

    def segments(self) -> Flow[int]:
        if self._connection.local:
            return 0
        return (yield from self._info()).segments_count

    def footprint(self) -> Flow[Footprint]:
        """What the server reports (Qdrant 1.18 and newer), by component.

        The server counts its heap without the allocator's overhead: RAM is 10 to 20 % more. Older servers
        and local mode report nothing; the footprint then has no components and ``source="none"``.
        """
        points = yield from self.count()
        if self._connection.local:
            return Footprint(points, 0, (), source="none")
        info = yield from self._info()
        found = yield from self._server_version()
        parts: tuple[Component, ...] = ()
        if found is None or found >= versions.MEMORY_REPORT:
            told = yield from memory.report(self._connection, self._collection, self._name)
            parts = memory.components(told, client_schema.schema(info).layout)
        return Footprint(points, info.segments_count, parts, source="api" if parts else "none")

    def residency(self) -> Flow[Residency]:
        """What the server reports (Qdrant 1.18 and newer) of its heap and of the page cache, all shards together."""
        if self._connection.local:
            return Residency((), "none", unknown=("qdrant-client's local mode keeps plain float32 in this process",))
        found = yield from self._server_version()
        if found is not None and found < versions.MEMORY_REPORT:
            old = f"Qdrant {found[0]}.{found[1]} has no memory report: 1.18 and newer do"
            return Residency((), "none", unknown=(old,))
        info = yield from self._info()
        told = yield from memory.report(self._connection, self._collection, self._name)
        parts = memory.held(told, client_schema.schema(info).layout)
        silent = () if parts else (f"{self._connection.location} reports no memory of its collections",)
        return Residency(parts, "api" if parts else "none", unknown=silent)


def _drop_vector(collection: str, name: str, client: Any) -> Any:
    return client.delete_vector_name(collection, name, wait=True)


def _retrieve(name: str, ids: list[int | str], with_payload: bool, with_vectors: Sequence[str], client: Any) -> Any:
    return client.retrieve(name, ids=ids, with_payload=with_payload, with_vectors=translate.selection(with_vectors))


def _warn_of_local_mode(client: Any) -> None:
    if client in _warned:
        return
    _warned.add(client)
    warnings.warn(
        "qdrant-client's local mode stores plain float32 and scans it: compression, datatypes, memory placement and "
        "search settings are ignored, so its sizes, speed and recall say nothing about a server. Give a directory "
        "(Qdrant Edge) or the URL of a server as the location to have them",
        LocalModeWarning,
        stacklevel=3,
    )
