"""The files an Edge collection keeps beside its shard: manifest, artifacts, lock."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import portalocker

from octant import durable
from octant.errors import ArtifactError, InputError, LockedError
from octant.layout import CollectionLayout
from octant.records import JSON
from octant.store import families
from octant.store.base import Manifest

MANIFEST = "octant.json"
SHARD = "shard"
SHARD_CONFIG = "edge_config.json"
CHECKPOINTS = "fit"
VIEW = "view"
LOCK = "lock"
STATE = "state"


@dataclass(frozen=True)
class Description:
    """What Octant writes down about a collection in a directory.

    Attributes
    ----------
    layout : CollectionLayout
        Of what Octant searches; the engine keeps the rest itself.
    manifests : mapping from vector name to manifest
    metadata : mapping
        What others wrote into the metadata of a server's collection that this one was made from.
    """

    layout: CollectionLayout
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    metadata: Mapping[str, JSON] = field(default_factory=dict)


class Sidecar:
    """One collection's directory.

    ::

        <root>/<name>/
            octant.json                  manifests and layout, replaced in one step
            state.<key>.json             notes of a running migration
            <sha256>.safetensors         artifacts, never changed once written
            fit/                         checkpoints of a fit that is not complete
            view/                        hard links to the shard, while everything in it is read
            lock                         held while the collection is open
            shard/                       Qdrant Edge

    A shard that somebody made with ``qdrant_edge`` itself lies in the directory without more; the other files are
    written beside its own once Octant has something to say.

    Parameters
    ----------
    root : Path
    name : str
        Any non-empty name; characters that a file name cannot hold are percent-encoded.

    Raises
    ------
    InputError
        If ``name`` is empty.
    """

    def __init__(self, root: Path, name: str) -> None:
        if not name:
            raise InputError("a collection needs a name of at least one character")
        # A name is data, not a path: separators and leading dots must not lead out of the root.
        encoded = quote(name, safe=" ")
        self.directory = root / (encoded if not encoded.startswith(".") else "%2E" + encoded[1:])
        self._lock: portalocker.Lock | None = None

    @property
    def shard(self) -> Path:
        """The engine's directory."""
        return self.directory if self.bare else self.directory / SHARD

    @property
    def bare(self) -> bool:
        """Whether the directory is itself a shard, which somebody made without Octant."""
        return (self.directory / SHARD_CONFIG).is_file()

    @property
    def checkpoints(self) -> Path:
        """Where an interrupted fit left off."""
        return self.directory / CHECKPOINTS

    @property
    def view(self) -> Path:
        """What is made of the shard for a pass over everything; there only while that goes on, or was killed."""
        return self.directory / VIEW

    def exists(self) -> bool:
        """Whether the collection was completely created: the manifest is written last."""
        return (self.directory / MANIFEST).is_file() or self.bare

    def acquire(self) -> None:
        """Take the lock; nothing if it is already ours.

        Raises
        ------
        LockedError
            If another process, or another object of this one, has the collection open.
        """
        if self._lock is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = portalocker.Lock(
            self.directory / LOCK, mode="a+", flags=portalocker.LOCK_EX | portalocker.LOCK_NB, timeout=0
        )
        try:
            handle = lock.acquire()
        except (portalocker.LockException, portalocker.AlreadyLocked) as error:
            raise LockedError(
                f"the Edge collection at {self.directory} is open elsewhere ({self._holder()}): close it there, or use "
                "a Qdrant server, which many processes can share"
            ) from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        self._lock = lock

    def _holder(self) -> str:
        try:
            return (self.directory / LOCK).read_text() or "holder unknown"
        except OSError:
            return "holder unknown"

    def release(self) -> None:
        """Give the lock back; nothing if it is not ours."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def read(self) -> Description | None:
        """What is written down; None for a shard that somebody else made, of which nothing is.

        Raises
        ------
        ArtifactError
            If the file holds something else.
        """
        path = self.directory / MANIFEST
        if self.bare and not path.is_file():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            layout = CollectionLayout.from_json(document["layout"])
            return Description(layout, families.read(document), document.get("metadata") or {})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtifactError(
                f"{path} should hold the collection's manifest and layout as JSON and cannot be read "
                f"({type(error).__name__}: {error}): restore the file from a copy of the directory"
            ) from error

    def write(self, description: Description) -> None:
        """Replace what is written down in one step."""
        document = {"layout": description.layout.to_json(), **families.write(description.manifests)}
        if description.metadata:
            document["metadata"] = dict(description.metadata)
        self._replace(MANIFEST, json.dumps(document, indent=2, sort_keys=True).encode())

    def write_state(self, key: str, value: JSON) -> None:
        """Replace the note ``key`` in one step."""
        self._replace(self._state(key), json.dumps(value).encode())

    def read_state(self, key: str) -> JSON | None:
        """The note ``key``, or None.

        Raises
        ------
        ArtifactError
            If it is not JSON.
        """
        path = self.directory / self._state(key)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} should hold a note as JSON and cannot be read ({error}): delete it") from error

    def delete_state(self, key: str) -> None:
        """Forget the note ``key``."""
        (self.directory / self._state(key)).unlink(missing_ok=True)

    @staticmethod
    def _state(key: str) -> str:
        # A key is data too.
        return f"{STATE}.{quote(key, safe='')}.json"

    def write_artifact(self, digest: str, data: bytes) -> None:
        """Keep ``data`` under its digest."""
        self._replace(f"{digest}.safetensors", data)

    def read_artifact(self, digest: str) -> bytes:
        """The artifact behind ``digest``.

        Raises
        ------
        ArtifactError
            If it is missing, or its SHA-256 is another.
        """
        path = self.directory / f"{digest}.safetensors"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"the collection's fitted state {path} cannot be read ({error}): restore the file, since its vectors "
                "mean nothing without it"
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise ArtifactError(
                f"{path} should have the SHA-256 {digest}, got {found}: the file is corrupt or truncated, restore it"
            )
        return data

    def artifact_bytes(self) -> int:
        """Bytes of all artifacts."""
        return sum(path.stat().st_size for path in self.directory.glob("*.safetensors"))

    def _replace(self, name: str, data: bytes) -> None:
        durable.write(self.directory / name, data)
