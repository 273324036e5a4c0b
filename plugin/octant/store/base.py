"""What a collection asks of an engine. Two engines answer: :mod:`.edge` and :mod:`.client`.

Every method is a :data:`octant.flow.Flow`, so one body serves sync and async callers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from octant.flow import Flow, step
from octant.layout import CollectionLayout, PointBatch, StoredPoint, VectorLayout, VectorQuery
from octant.records import JSON, CodeArray, Filter, FloatArray, Footprint, Residency
from octant.schema import CollectionSchema, PayloadIndex, SparseVectorSchema
from octant.store import families, sampling

Progress = Callable[[int], object]
"""Called with the number of points that were just acknowledged."""

Manifest = Mapping[str, JSON]
"""How a collection describes itself; see :mod:`octant.manifest`."""


class Store(ABC):
    """One collection in one engine.

    Attributes
    ----------
    engine : str
        "edge", "server" or "local", for messages and reports.
    """

    engine: str

    # -- existence and self-description --------------------------------------------------------

    @abstractmethod
    def exists(self) -> Flow[bool]:
        """Whether the collection is there."""

    def create(self, layout: CollectionLayout, *manifests: Manifest) -> Flow[None]:
        """Make the collection and write its manifests, one for every embedding.

        Raises
        ------
        CollectionExistsError, LockedError, UnsupportedError, UnavailableError
        """
        sparse = () if layout.sparse is None else (SparseVectorSchema(layout.sparse, {"modifier": "idf"}),)
        described = {families.name(manifest): dict(manifest) for manifest in manifests}
        schema = CollectionSchema(sparse=sparse, payload_placement=layout.payload_placement, manifests=described)
        return self.create_like(schema, layout.vectors)

    @abstractmethod
    def open(self) -> Flow[CollectionSchema]:
        """Open the collection, by its name or an alias, for reading and writing; what it holds, whoever made it.

        Raises
        ------
        CollectionNotFoundError, LockedError, ArtifactError, UnavailableError
        """

    @abstractmethod
    def describe(self) -> Flow[CollectionLayout]:
        """What the collection stores of what Octant can search; :meth:`schema` says everything."""

    @abstractmethod
    def write_manifest(self, manifest: Manifest) -> Flow[None]:
        """Replace the manifest of the same ``vector_name``, in one step: a crash leaves the old one or the new one.

        A collection may have several: one for every representation that it keeps. The others stay as they are.
        """

    @abstractmethod
    def write_artifact(self, digest: str, data: bytes) -> Flow[None]:
        """Keep ``data`` beside the vectors under its SHA-256 ``digest``; done before a manifest names it."""

    @abstractmethod
    def read_artifact(self, digest: str) -> Flow[bytes]:
        """The bytes behind ``digest``.

        Raises
        ------
        ArtifactError
            If they are missing, or their SHA-256 is another.
        """

    @abstractmethod
    def drop(self) -> Flow[None]:
        """Delete the collection and everything Octant keeps with it; no error if it is not there."""

    @abstractmethod
    def close(self) -> Flow[None]:
        """Release files and locks; a second call does nothing."""

    @property
    def checkpoints(self) -> Path | None:
        """Folder in which a fit of this collection may keep checkpoints; None where nothing of it would survive."""
        return None

    def drop_checkpoints(self) -> Flow[None]:
        """Delete what is in :attr:`checkpoints`: a fit is complete."""
        return step(lambda: None)

    # -- collections that anyone made ----------------------------------------------------------

    @abstractmethod
    def schema(self) -> Flow[CollectionSchema]:
        """Everything about the collection but its points, whoever made it; the collection must be open.

        Raises
        ------
        UnsupportedError
            If the collection says something of itself that cannot be read back: what, and what to do.
        CollectionNotFoundError, UnavailableError
        """

    @abstractmethod
    def create_like(self, schema: CollectionSchema, vectors: Sequence[VectorLayout] = ()) -> Flow[None]:
        """Make the collection with everything ``schema`` holds, and Octant's own ``vectors`` beside it.

        What ``schema`` carries keeps its settings to the letter: dense vectors, multivectors, sparse vectors,
        payload indexes, metadata, options; so do its manifests. Leave out what ``vectors`` replaces with
        :meth:`~octant.schema.CollectionSchema.without`. Payload indexes are made before the first point, as Qdrant
        wants it; after a kill between the collection and its last index, call :meth:`create_index` again for each:
        an index that is there already is no error.

        Raises
        ------
        InputError
            If a name occurs twice, or there is nothing to store.
        CollectionExistsError, LockedError, UnavailableError
        UnsupportedError
            If this engine cannot keep a part of it, or the server is too old for it; nothing was made.
        """

    @abstractmethod
    def add_vectors(
        self, vectors: Sequence[VectorLayout] = (), sparse: Sequence[SparseVectorSchema] = ()
    ) -> Flow[None]:
        """Add named vectors to a collection that holds points; those have none of them until they are written.

        Adding one that is there already, with the same size, distance and datatype, is no error, so that a killed
        migration may ask again.

        Raises
        ------
        InputError
            If one is there already and is another.
        UnsupportedError
            If the server is older than 1.18.
        """

    @abstractmethod
    def drop_vectors(self, names: Sequence[str]) -> Flow[None]:
        """Take the vectors ``names``, dense or sparse, from the collection and every point; unknown ones are no error.

        Raises
        ------
        InputError
            For the only dense vector of a collection, where it has no name: Qdrant cannot drop that.
        UnsupportedError
            If the server is older than 1.18.
        """

    @abstractmethod
    def read(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        vectors: Sequence[str] | None = None, with_payload: bool = True,
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        """A page of points by id with dense, sparse and multivectors, and where the next page starts (None: end).

        Parameters
        ----------
        filter : mapping, optional
        limit : int
            Points wanted; a server in strict mode may give fewer, never none before the end.
        offset : int or str, optional
            What the page before returned, or the first id wanted: reading resumes there, in another process too.
        vectors : sequence of str, optional
            Names; all of them without it. Compressed datatypes come back as the floats they decode to.
        with_payload : bool

        Raises
        ------
        UnsupportedError
            If the server refuses to be read like this (strict mode): its words, and what to change.
        """

    def sample(
        self, count: int, *, seed: int = 0, filter: Filter | None = None,  # noqa: A002
        vectors: Sequence[str] | None = None, with_payload: bool = True,
    ) -> Flow[list[StoredPoint]]:  # fmt: skip
        """``count`` points drawn at random from the whole collection, or all where there are no more.

        Uniform over ids, whatever they look like, and the same for one seed while the points stay the same, on
        every engine. Reads little more than it returns (Qdrant's ``slice`` condition); servers before 1.19 have to
        list their ids for it.

        Raises
        ------
        InputError
            If ``count`` is not positive.
        UnsupportedError
            As :meth:`read`.
        """
        return sampling.draw(self, count, seed, filter, vectors, with_payload)

    @abstractmethod
    def slices(self) -> Flow[bool]:
        """Whether filters may have Qdrant's ``slice`` condition, which parts the ids by their hash."""

    @abstractmethod
    def write_vectors(
        self, ids: Sequence[int | str], vectors: Mapping[str, CodeArray], *, batch_size: int = 256,
        progress: Progress | None = None, multi: Mapping[str, Sequence[FloatArray]] | None = None,
    ) -> Flow[list[int | str]]:  # fmt: skip
        """Write vectors of points that exist, and leave their payload and other vectors alone.

        Parameters
        ----------
        ids : sequence of int or str
        vectors : mapping from name to (n, width) float32 or uint8
        batch_size : int
        progress : callable, optional
        multi : mapping from name to n (rows, width) float32, optional
            Multivectors.

        Returns
        -------
        list of int or str
            Ids of points that are not there (any more): nothing was written or created for them.

        Raises
        ------
        PartialUploadError, UnavailableError, StoreError
        """

    @abstractmethod
    def drop_manifest(self, vector_name: str) -> Flow[None]:
        """Forget the manifest of the representation under ``vector_name``; no error if there is none."""

    @abstractmethod
    def create_index(self, index: PayloadIndex) -> Flow[None]:
        """Index a payload field with all its parameters; one that is there already is no error."""

    # -- other names ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def collection(self) -> str:
        """The collection's own name; once opened through an alias, the name behind it.

        An open store stays with the collection it opened when the alias moves on.
        """

    @abstractmethod
    def aliases(self) -> Flow[Mapping[str, str]]:
        """Every alias at this location, and the collection it stands for."""

    @abstractmethod
    def switch_alias(self, alias: str, to: str | None, *, set_aside: str | None = None) -> Flow[None]:
        """Let ``alias`` stand for the collection ``to``, in one step: nobody ever finds nothing.

        Parameters
        ----------
        alias : str
            Need not exist yet.
        to : str or None
            A collection; None takes the alias away.
        set_aside : str, optional
            Edge only: new name of the collection that is called ``alias`` itself, which no server can rename. Close
            it first.

        Raises
        ------
        CollectionNotFoundError
            If there is no collection ``to``.
        CollectionExistsError
            If a collection is called ``alias`` itself, and is not set aside.
        LockedError, UnsupportedError, UnavailableError
        """

    # -- notes ---------------------------------------------------------------------------------

    @abstractmethod
    def write_state(self, key: str, value: JSON) -> Flow[None]:
        """Keep ``value`` with the collection under ``key``: durable, and replaced in one step.

        For small things, such as how far a migration has come; nobody but its writer reads it, and a schema does
        not show it.
        """

    @abstractmethod
    def read_state(self, key: str) -> Flow[JSON | None]:
        """What was kept under ``key``, or None.

        Raises
        ------
        ArtifactError
            If it cannot be read.
        """

    @abstractmethod
    def delete_state(self, key: str) -> Flow[None]:
        """Forget what was kept under ``key``; no error if there is nothing."""

    # -- points --------------------------------------------------------------------------------

    @abstractmethod
    def upsert(self, points: PointBatch, *, batch_size: int, progress: Progress | None = None) -> Flow[None]:
        """Write points by id; returns when every one is durable.

        Raises
        ------
        PartialUploadError
            If the engine fails half-way: how many were stored, which are missing.
        """

    @abstractmethod
    def query(self, queries: Sequence[VectorQuery]) -> Flow[list[list[StoredPoint]]]:
        """Answer all ``queries`` in one request, in order."""

    @abstractmethod
    def retrieve(
        self, ids: Sequence[int | str], *, with_payload: bool = True, with_vectors: Sequence[str] = ()
    ) -> Flow[list[StoredPoint]]:
        """The points among ``ids`` that exist, in no particular order."""

    @abstractmethod
    def scroll(
        self, *, filter: Filter | None = None, limit: int = 256, offset: int | str | None = None,  # noqa: A002
        with_payload: bool = True, with_vectors: Sequence[str] = (),
    ) -> Flow[tuple[list[StoredPoint], int | str | None]]:  # fmt: skip
        """A page of points by id, and where the next page starts (None at the end)."""

    @abstractmethod
    def delete(self, ids: Sequence[int | str]) -> Flow[None]:
        """Delete points by id; unknown ids are no error."""

    @abstractmethod
    def delete_where(self, filter: Filter) -> Flow[None]:  # noqa: A002
        """Delete every point that matches ``filter``."""

    @abstractmethod
    def count(self, filter: Filter | None = None) -> Flow[int]:  # noqa: A002
        """Exact number of points, or of those that match."""

    def index_payload(self, key: str, kind: str) -> Flow[None]:
        """Index a payload field: keyword, integer, float, bool, geo, datetime, text or uuid."""
        return self.create_index(PayloadIndex(key, kind))

    # -- upkeep --------------------------------------------------------------------------------

    @abstractmethod
    def optimize(self) -> Flow[None]:
        """Build the graphs and second copies that are due, and wait for them."""

    @abstractmethod
    def segments(self) -> Flow[int]:
        """Number of segments that hold points or take writes; 0 where the engine has none."""

    @abstractmethod
    def footprint(self) -> Flow[Footprint]:
        """Measured bytes by component."""

    def open_to_read(self) -> Flow[CollectionSchema]:
        """:meth:`open` for a pass over everything, after which it is closed: nothing is written to its points.

        Where the engine is in this process, what the collection is told to hold in memory is not loaded.
        """
        return self.open()

    def let_go(self) -> Flow[None]:
        """Take what was read of the collection's files out of this process's memory, where it is there at all.

        For a pass over everything: what an engine in this process maps stays resident otherwise, all of it in the end.
        """
        return step(lambda: None)

    @abstractmethod
    def residency(self) -> Flow[Residency]:
        """What of every component is in memory now, as far as that can be told."""
