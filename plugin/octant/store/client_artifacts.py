"""Fitted states beside the vectors: a companion collection on the same server, addressed by content.

Several collections may share an artifact, and none of them owns it: dropping a collection leaves it there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from functools import partial
from typing import Any

from qdrant_client import models

from octant.errors import ArtifactError, CollectionExistsError, CollectionNotFoundError
from octant.flow import Flow
from octant.records import JSON
from octant.store.client_connection import Connection

COLLECTION = "octant_artifacts"
CHUNK_BYTES = 1 << 20
"""Bytes of artifact in a point: far below a server's 32 MB limit on requests, also as base64."""
MOST_CHUNKS = 4096
"""Chunks that are believed to belong to one artifact (4 GiB)."""


def write(connection: Connection, digest: str, data: bytes) -> Flow[None]:
    """Keep ``data`` under its SHA-256 ``digest``; writing it twice changes nothing.

    Raises
    ------
    ArtifactError
        If ``digest`` is not that of ``data``, or ``data`` is too large.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ArtifactError(f"the artifact's SHA-256 is {found}, not {digest}: nothing was written")
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)] or [b""]
    if len(chunks) > MOST_CHUNKS:
        raise ArtifactError(f"an artifact has at most {MOST_CHUNKS * CHUNK_BYTES} bytes, got {len(data)}")
    yield from _ensure(connection)
    # The first chunk tells how many there are, so it is written last: it stands for a complete artifact.
    for row in reversed(range(len(chunks))):
        yield from connection.ask(partial(_put, point=_point(digest, row, chunks)), COLLECTION)


def read(connection: Connection, digest: str) -> Flow[bytes]:
    """The bytes behind ``digest``.

    Raises
    ------
    ArtifactError
        If they are missing, damaged, or not the ones.
    """
    try:
        first = yield from _chunk(connection, digest, 0)
        count = first.get("chunks")
        if not isinstance(count, int) or not 1 <= count <= MOST_CHUNKS:
            raise _damaged(connection, digest, f"it claims to have {count!r} chunks")
        data = _bytes(connection, digest, first)
        for row in range(1, count):
            data += _bytes(connection, digest, (yield from _chunk(connection, digest, row)))
    except CollectionNotFoundError as error:
        raise _damaged(connection, digest, "there is no such collection") from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise _damaged(connection, digest, f"its SHA-256 is {found}")
    return data


def _ensure(connection: Connection) -> Flow[None]:
    exists = yield from connection.ask(lambda client: client.collection_exists(COLLECTION), COLLECTION)
    if exists:
        return
    try:
        yield from connection.ask(
            lambda client: client.create_collection(COLLECTION, vectors_config={}), COLLECTION, again=False
        )
    except CollectionExistsError:
        return  # another process was faster; both mean the same collection


def _put(client: Any, point: models.PointStruct) -> Any:
    return client.upsert(COLLECTION, points=[point], wait=True)


def _point(digest: str, row: int, chunks: list[bytes]) -> models.PointStruct:
    payload = {
        "digest": digest,
        "chunk": row,
        "chunks": len(chunks),
        "data": base64.b64encode(chunks[row]).decode("ascii"),
    }
    return models.PointStruct(id=_id(digest, row), vector={}, payload=payload)


def _id(digest: str, row: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"octant-artifact:{digest}:{row}"))


def _chunk(connection: Connection, digest: str, row: int) -> Flow[dict[str, JSON]]:
    found = yield from connection.ask(
        lambda client: client.retrieve(COLLECTION, ids=[_id(digest, row)], with_payload=True), COLLECTION
    )
    if not found:
        raise _damaged(connection, digest, f"chunk {row} is missing")
    return dict(found[0].payload or {})


def _bytes(connection: Connection, digest: str, payload: dict[str, JSON]) -> bytes:
    try:
        return base64.b64decode(payload["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _damaged(connection, digest, "a chunk holds no base64 data") from error


def _damaged(connection: Connection, digest: str, reason: str) -> ArtifactError:
    return ArtifactError(
        f"the fitted state {digest} cannot be read from collection {COLLECTION!r} at {connection.location}: {reason}. "
        "Restore that collection from a snapshot, or index again"
    )
