"""langchain-qdrant's names for where a collection is and how it is read, translated to Octant's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from octant import (
    Collection,
    Distance,
    HnswSettings,
    MemoryPlacement,
    Recommendation,
    Representation,
    SearchKnobs,
    errors,
)

T = TypeVar("T")


class RetrievalMode(str, Enum):
    """What a search compares: embeddings, token weights, or both."""

    DENSE = "dense"
    SPARSE = "sparse"
    HYBRID = "hybrid"

    @classmethod
    def _missing_(cls, value: object) -> RetrievalMode:
        raise errors.InputError(f"retrieval_mode is dense, sparse or hybrid; got {value!r}")


@dataclass(frozen=True, kw_only=True)
class CollectionSettings:
    """Every option of a constructor of :class:`OctantVectorStore` beside texts and embedding.

    Attributes
    ----------
    collection_name : str or None
        None makes up a name, where a collection is made.
    client, async_client : QdrantClient, AsyncQdrantClient or None
        Existing clients; with both, ``a…`` methods are native and the others need no event loop.
    location : str or Path or None
        A directory (Qdrant Edge), ``":memory:"`` (Edge in a temporary directory), or an http(s) URL.
    path, url, host : str or None
        langchain-qdrant's other ways to say where; one of them all at most, and ``":memory:"`` without any.
        ``path`` is an Edge directory.
    port, grpc_port, prefer_grpc, https, api_key, prefix, timeout
        For servers, as ``QdrantClient`` takes them.
    client_options : mapping or None
        Anything else ``QdrantClient`` takes.
    represent : str or None
        Spec of how embeddings are stored, e.g. ``"pca(192)|float8"``; None is ``"turbo8"`` for a new collection
        and whatever an existing one stores.
    distance : str, Distance or None
        Octant's, or qdrant-client's enum; None is cosine for a new collection.
    hnsw : HnswSettings or None
    placement : MemoryPlacement or None
        Where codes, originals, graph and payload live.
    knobs : SearchKnobs or None
        Kept with a new collection, for every search without ``search_params``.
    recommendation : Recommendation, str or Path, or None
        What ``octant tune`` recommends, or the path of its JSON; sets ``represent``, ``hnsw``, ``placement`` and
        ``knobs``. An existing collection must be as it says.
    seed : int
    retrieval_mode : RetrievalMode or str
    vector_name, sparse_vector_name : str
        Names inside Qdrant, langchain-qdrant's by default.
    sparse_embedding
        ``"bm25"`` or an object with langchain-qdrant's sparse interface. New collections in sparse or hybrid
        mode take BM25 where none is given.
    content_payload_key : str
        Payload key of the text.
    metadata_payload_key : str or None
        Payload key of the metadata; None where the payload itself is the metadata, as ``octant index`` and
        ``octant.Collection.add`` write it.
    collection_create_options : mapping or None
        For servers: ``shard_number``, ``replication_factor``, ``write_consistency_factor``, …
    force_recreate : bool
        Delete a collection of that name first.
    """

    collection_name: str | None = None
    client: Any = None
    async_client: Any = None
    location: str | PathLike[str] | None = None
    path: str | PathLike[str] | None = None
    url: str | None = None
    host: str | None = None
    port: int | None = None
    grpc_port: int | None = None
    prefer_grpc: bool | None = None
    https: bool | None = None
    api_key: str | None = None
    prefix: str | None = None
    timeout: int | None = None
    client_options: Mapping[str, Any] | None = None
    represent: str | None = None
    distance: Any = None
    hnsw: HnswSettings | None = None
    placement: MemoryPlacement | None = None
    knobs: SearchKnobs | None = None
    recommendation: Recommendation | str | PathLike[str] | None = None
    seed: int = 0
    retrieval_mode: RetrievalMode | str = RetrievalMode.DENSE
    vector_name: str = ""
    sparse_vector_name: str = "langchain-sparse"
    sparse_embedding: Any = None
    content_payload_key: str = "page_content"
    metadata_payload_key: str | None = "metadata"
    collection_create_options: Mapping[str, Any] | None = None
    force_recreate: bool = False

    @property
    def mode(self) -> RetrievalMode:
        """The retrieval mode, whichever way it was written."""
        return RetrievalMode(self.retrieval_mode)

    def creating(self, embedding: object | None) -> dict[str, Any]:
        """Arguments of ``Collection.create``."""
        sparse = self.sparse_embedding
        if sparse is None and self.mode is not RetrievalMode.DENSE:
            sparse = "bm25"
        only_sparse = embedding is None and self.mode is RetrievalMode.SPARSE
        return {
            "name": self.collection_name or uuid.uuid4().hex,
            "embedding": embedding,
            "dimension": 0 if only_sparse else None,
            "sparse": sparse,
            "represent": self.represent,
            "distance": self.distance,
            "hnsw": self.hnsw,
            "placement": self.placement,
            "knobs": self.knobs,
            "recommendation": self._recommendation(),
            "seed": self.seed,
            "collection_options": self.collection_create_options,
            "overwrite": self.force_recreate,
            "exist_ok": not self.force_recreate,
            **self._place(),
            **self._names(),
        }

    def opening(self, embedding: object | None) -> dict[str, Any]:
        """Arguments of ``Collection.open``."""
        if not self.collection_name:
            raise errors.InputError("an existing collection is opened by name: pass collection_name=")
        self._only_for_new("hnsw", "placement", "knobs", "seed", "collection_create_options", "force_recreate")
        return {
            "name": self.collection_name,
            "embedding": embedding,
            "sparse": self.sparse_embedding,
            "represent": self.represent,
            "recommendation": self._recommendation(),
            **self._place(),
            **self._names(),
        }

    def _recommendation(self) -> Recommendation | None:
        given = self.recommendation
        return Recommendation.of(Path(given) if isinstance(given, PathLike) else given) if given is not None else None

    def check(self, collection: Collection) -> None:
        """Refuse a collection that is not, or cannot be searched, as asked.

        Raises
        ------
        MismatchError
            If an option that was given is not what the collection has.
        InputError
            If it has no sparse vectors for a sparse or hybrid mode.
        """
        for option, asked, found in self._comparisons(collection):
            if asked != found:
                raise errors.MismatchError(
                    f"the collection's {option} is {found!r}, expected {asked!r}: open it without {option}="
                )
        if self.mode is not RetrievalMode.DENSE and collection.manifest.sparse_name is None:
            raise errors.InputError(
                f"the collection {collection.name!r} has no sparse vectors named {self.sparse_vector_name!r} for "
                f"{self.mode.value} mode: use retrieval_mode='dense', or make it anew in {self.mode.value} mode"
            )

    def _comparisons(self, collection: Collection) -> Iterator[tuple[str, str, str]]:
        """Each option that was given: its name, what was asked for, what is there."""
        if self.represent is not None:
            yield "represent", Representation.parse(self.represent).spec, collection.representation.spec
        if self.distance is not None:
            yield "distance", Distance.parse(self.distance).value, collection.distance.value
        manifest = collection.manifest
        names = {
            "vector_name": manifest.vector_name,
            "sparse_vector_name": manifest.sparse_name,
            "content_payload_key": manifest.text_key,
        }
        for option, found in names.items():
            if found is not None and getattr(self, option) != _default(option):
                yield option, getattr(self, option), found

    def _names(self) -> dict[str, Any]:
        return {
            "vector_name": self.vector_name,
            "sparse_name": self.sparse_vector_name,
            "text_key": self.content_payload_key,
        }

    def _only_for_new(self, *names: str) -> None:
        given = [name for name in names if getattr(self, name) != _default(name)]
        if given:
            raise errors.InputError(
                f"{', '.join(given)} say how a new collection is made; this one exists and remembers how it was"
            )

    def _place(self) -> dict[str, Any]:
        """Octant's ``location`` and ``client_options``."""
        clients = tuple(client for client in (self.client, self.async_client) if client is not None)
        ways = {
            "client": clients or None,
            "location": self.location,
            "path": self.path,
            "url": self._with_scheme(self.url),
            "host": self._with_scheme(self.host),
        }
        given = {name: place for name, place in ways.items() if place is not None}
        if len(given) > 1:
            raise errors.InputError(f"say where the collection is in one way, got {', '.join(given)}")
        if self.https is not None and not {"url", "host"} & set(given):
            raise errors.InputError("https belongs to a url or a host; leave it out here")
        return {"location": next(iter(given.values()), ":memory:"), "client_options": self._client_options() or None}

    def _with_scheme(self, address: str | None) -> str | None:
        """``address`` as a URL, so that nobody takes it for a directory."""
        if address is None:
            return None
        scheme, separator, _ = address.partition("://")
        wanted = scheme if self.https is None and separator else "https" if self.https else "http"
        if separator and scheme != wanted:
            raise errors.InputError(f"https={self.https} contradicts {address!r}: leave one of them out")
        return address if separator else f"{wanted}://{address}"

    def _client_options(self) -> dict[str, Any]:
        names = ("port", "grpc_port", "prefer_grpc", "api_key", "prefix", "timeout")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return given | dict(self.client_options or {})


def checked(collection: Collection, settings: CollectionSettings) -> Collection:
    """``collection``, closed again where it cannot be searched as asked."""
    try:
        settings.check(collection)
    except BaseException:
        collection.close()
        raise
    return collection


async def achecked(collection: Collection, settings: CollectionSettings) -> Collection:
    """Awaited twin of :func:`checked`."""
    try:
        settings.check(collection)
    except BaseException:
        await collection.aclose()
        raise
    return collection


def _default(name: str) -> object:
    return next(field.default for field in fields(CollectionSettings) if field.name == name)


def read(kind: type[T], options: Mapping[str, Any]) -> T:
    """A ``kind`` (a dataclass) of keyword options.

    Raises
    ------
    TypeError
        Naming an option that it does not have, the nearest it has, and all of them.
    """
    if not options:
        return kind()
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise TypeError(f"unknown option {name!r}: {hint}The options are {', '.join(known)}")
    return kind(**options)
