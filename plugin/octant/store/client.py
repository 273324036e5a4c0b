"""A collection behind qdrant-client: server, cluster, cloud, or local mode. Importing this costs 0.9 s."""

from __future__ import annotations

import asyncio
import time
import warnings
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from octant.errors import (
    CollectionExistsError,
    InputError,
    LocalModeWarning,
    StoreError,
    UnavailableError,
)
from octant.flow import Flow, fork, step
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorQuery
from octant.records import JSON, Component, Filter, Footprint
from octant.store import client_answers as answers
from octant.store import client_artifacts as artifacts
from octant.store import client_models as translate
from octant.store import client_versions as versions
from octant.store.base import Manifest, Progress, Store
from octant.store.client_connection import Call, Clients, Connection, GivenClients, OwnClients, RetrySettings
from octant.store.client_upload import Upload

METADATA_KEY = "octant"
"""Key of a collection's metadata under which its manifest lives; the other keys are other people's."""
RETRIEVE_AT_ONCE = 1000
"""Ids a single request reads."""
LONGEST_POLL_S = 2.0

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

    def create(self, layout: CollectionLayout, manifest: Manifest) -> Flow[None]:
        arguments = translate.creation(layout, {METADATA_KEY: dict(manifest)}, self._options)
        found = yield from self._server_version()
        versions.require_layout(layout, found, self._connection.location)
        if (yield from self.exists()):
            raise CollectionExistsError(
                f"there is already a collection {self._name!r} at {self._connection.location}: open it, or create with "
                "overwrite=True"
            )
        # Not sent again after a timeout: the first one may have been carried out.
        yield from self._ask(lambda client: client.create_collection(self._name, **arguments), again=False)

    def open(self) -> Flow[Manifest | None]:
        found = yield from self._server_version()
        versions.require("the query API", versions.QUERY_API, found, self._connection.location)
        info = yield from self._info()
        manifest = (info.config.metadata or {}).get(METADATA_KEY)
        return dict(manifest) if isinstance(manifest, Mapping) else None

    def describe(self) -> Flow[CollectionLayout]:
        return answers.layout((yield from self._info()))

    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        metadata = {METADATA_KEY: dict(manifest)}
        yield from self._ask(lambda client: client.update_collection(self._name, metadata=metadata))

    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        return artifacts.write(self._connection, digest, data)

    def read_artifact(self, digest: str) -> Flow[bytes]:
        return artifacts.read(self._connection, digest)

    def drop(self) -> Flow[None]:
        """Delete the collection; no error if it is not there.

        Artifacts stay: they are addressed by content, and another collection may use the same one.
        """
        yield from self._ask(lambda client: client.delete_collection(self._name))

    def close(self) -> Flow[None]:
        """Close the clients that ``connect`` made; the caller's own stay open."""
        return self._connection.close()

    def _info(self) -> Flow[models.CollectionInfo]:
        info: models.CollectionInfo = yield from self._ask(lambda client: client.get_collection(self._name))
        return info

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
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        upload = Upload(points, batch_size, progress)
        flows = [partial(self._send, upload, start) for start in upload.starts]
        yield from fork(flows, 1 if self._connection.local else self._parallel)
        upload.check()

    def _send(self, upload: Upload, start: int) -> Flow[None]:
        if upload.failure is not None:
            return
        # Translated only now: the lists of numbers are many times larger than the arrays.
        batch: Any = (translate.local_points if self._connection.local else translate.batch)(upload.rows(start))
        try:
            yield from self._ask(lambda client: client.upsert(self._name, points=batch, wait=True))
        except StoreError as error:
            upload.failure = upload.failure or error
        else:
            upload.acknowledge(start)

    def query(self, queries: Sequence[VectorQuery]) -> Flow[list[list[StoredPoint]]]:
        if not queries:
            return []
        local = self._connection.local
        if len(queries) == 1:
            # On its own a query travels as an array: the client copies a batch, number by number.
            alone = translate.arguments(queries[0], local=local)
            found = [(yield from self._ask(lambda client: client.query_points(self._name, **alone)))]
        else:
            requests = [translate.request(query, local=local) for query in queries]
            found = yield from self._ask(lambda client: client.query_batch_points(self._name, requests=requests))
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
                _retrieve, self._name, list(ids[start : start + RETRIEVE_AT_ONCE]), with_payload, with_vectors
            )
            records += yield from self._ask(read)
        return [answers.stored(record, with_vectors) for record in records]

    def scroll(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        with_payload: bool = True, with_vectors: Sequence[str] = (),
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        wanted = None if filter is None else translate.filter_(filter)
        records, following = yield from self._ask(
            lambda client: client.scroll(
                self._name, scroll_filter=wanted, limit=limit, offset=offset, with_payload=with_payload,
                with_vectors=translate.selection(with_vectors),
            )
        )  # fmt: skip
        page = [answers.stored(record, with_vectors) for record in records]
        return page, following if following is None or isinstance(following, int) else str(following)

    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        if ids:
            yield from self._delete(models.PointIdsList(points=list(ids)))

    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        yield from self._delete(models.FilterSelector(filter=translate.filter_(filter)))

    def _delete(self, selector: models.PointIdsList | models.FilterSelector) -> Flow[None]:
        yield from self._ask(lambda client: client.delete(self._name, points_selector=selector, wait=True))

    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        wanted = None if filter is None else translate.filter_(filter)
        found = yield from self._ask(lambda client: client.count(self._name, count_filter=wanted, exact=True))
        return int(found.count)

    def index_payload(self, key: str, kind: str) -> Flow[None]:
        known = [schema.value for schema in models.PayloadSchemaType]
        if kind not in known:
            raise InputError(f"a payload index is one of {', '.join(known)}; got {kind!r}")
        if self._connection.local:
            return  # it has none, and warns of every attempt
        schema = models.PayloadSchemaType(kind)
        yield from self._ask(
            lambda client: client.create_payload_index(self._name, field_name=key, field_schema=schema, wait=True)
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
        deadline = time.monotonic() + self._optimize_timeout_s
        wait, quiet = 0.1, self._connection.local
        while not quiet:
            # A server is green for a moment between a write and the optimizer's start: look twice.
            quiet = (yield from self._is_green()) and (yield from self._is_green(after=wait))
            if not quiet and time.monotonic() > deadline:
                raise UnavailableError(
                    f"collection {self._name!r} at {self._connection.location} is still being optimized after "
                    f"{self._optimize_timeout_s:g} s: the server goes on by itself, call optimize again to wait for it"
                )
            wait = min(wait * 1.5, LONGEST_POLL_S)

    def _is_green(self, after: float = 0.0) -> Flow[bool]:
        if after:
            yield from step(lambda: time.sleep(after), lambda: asyncio.sleep(after))
        info = yield from self._info()
        if info.status == models.CollectionStatus.RED:
            raise StoreError(
                f"the optimizer of collection {self._name!r} at {self._connection.location} failed: "
                f"{getattr(info.optimizer_status, 'error', info.optimizer_status)}"
            )
        if info.status == models.CollectionStatus.GREY:
            # Optimizations are due, but a restarted server waits for a write before it begins.
            nudge = models.OptimizersConfigDiff()
            yield from self._ask(lambda client: client.update_collection(self._name, optimizers_config=nudge))
        return bool(info.status == models.CollectionStatus.GREEN)

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
            report = yield from self._ask(partial(_memory, self._name))
            parts = answers.components(report.get("result") or {}, answers.layout(info))
        return Footprint(points, info.segments_count, parts, source="api" if parts else "none")


def _retrieve(name: str, ids: list[int | str], with_payload: bool, with_vectors: Sequence[str], client: Any) -> Any:
    return client.retrieve(name, ids=ids, with_payload=with_payload, with_vectors=translate.selection(with_vectors))


def _memory(name: str, client: Any) -> Any:
    # qdrant-client 1.20 has no method for this endpoint, but sends any request with its own credentials.
    return client.http.client.request(
        type_=dict[str, JSON],
        method="GET",
        url="/collections/{collection_name}/memory",
        path_params={"collection_name": name},
    )


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
