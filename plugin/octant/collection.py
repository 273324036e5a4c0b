"""The object a user holds: a named set of documents, compressed, in a stock Qdrant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from octant import attachments, backfill, ingest, late_interaction, making, several_embeddings
from octant import core as core_flows
from octant import search as searching
from octant.attachments import Attachment, Part
from octant.core import Core
from octant.embedders import Embedder
from octant.errors import InputError
from octant.filters import as_filter, map_ids
from octant.flow import Flow, arun, awaitable, blocking, run, step
from octant.fusion import Fusion
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.making import DEFAULT_REPRESENTATION
from octant.manifest import Manifest
from octant.oversampling import DEFAULT_COVERAGE, CoverageCurve
from octant.rankings import Rankings
from octant.recommendation import Recommendation
from octant.records import (
    JSON,
    Candidate,
    Datatype,
    Distance,
    FitReport,
    Footprint,
    PointId,
    Ranking,
    Residency,
    uuid_or_int,
)
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.search import Mode, Request
from octant.several_embeddings import EmbeddingInfo
from octant.terms import Terms
from octant.trained import TrainedPart
from octant.work import Work, progress_bar

if TYPE_CHECKING:
    from octant.cutoffs.cutoff import Cutoff

DEFAULT_KNOBS = SearchKnobs()
ANSWERS = 10
"""Answers for which a description says what a search reads."""


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection says of itself.

    Attributes
    ----------
    name : str
    engine : {"edge", "server", "local"}
    manifest : Manifest
        Representation, distance, dimension, embedding, artifact and the rest of what is written down.
    points, segments : int
    fitted : bool
        Whether codes can be made: nothing has to be learned, or it has been.
    foreign : bool
        Whether somebody else made the collection.
    coverage : CoverageCurve or None
        Of two stages: how many candidates what share of the fine stage's answers takes, measured or assumed.
    candidates : int or None
        What a search for 10 answers reads by default; None where there is one stage.
    collection : str
        The engine's own name of the collection: another than ``name`` where that is an alias.
    """

    name: str
    engine: str
    manifest: Manifest
    points: int
    segments: int
    fitted: bool
    foreign: bool
    coverage: CoverageCurve | None = None
    candidates: int | None = None
    collection: str = ""


class Collection:
    """Documents and their compressed embeddings, in one Qdrant collection.

    Make one with :meth:`create` or :meth:`open`. Every method that touches the engine has a twin with an ``a``
    in front that is awaited; where the engine or the model has native async, the twin uses it.

    Scores estimate the cosine or dot product of the original vectors, or minus their distance under Euclid and
    Manhattan: higher is always better. Several threads may search at once; the first ``add`` or ``fit`` of a
    collection must have returned before another thread writes.

    Attributes
    ----------
    name : str

    Examples
    --------
    >>> import numpy as np
    >>> from octant import Collection
    >>> x = np.random.default_rng(0).standard_normal((200, 32))
    >>> with Collection.create("demo", represent="pca(16)|turbo8") as collection:
    ...     ids = collection.add(vectors=x, ids=range(200))
    ...     collection.search(x[7], k=1)[0].id
    7
    """

    def __init__(self, name: str, core: Core) -> None:
        self.name = name
        self._core = core

    create = classmethod(blocking(making.create))
    acreate = classmethod(awaitable(making.create))
    open = classmethod(blocking(making.open_))
    aopen = classmethod(awaitable(making.open_))

    # -- what it is ----------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What is written down with the collection."""
        return self._core.manifest

    @property
    def dimension(self) -> int | None:
        """Coordinates of an embedding; None until the first one has been seen."""
        return self._core.manifest.dimension

    @property
    def distance(self) -> Distance:
        """How vectors are compared."""
        return self._core.distance

    @property
    def representation(self) -> Representation:
        """How vectors are stored."""
        return self._core.representation

    @property
    def embedding(self) -> Embedder | None:
        """The model that texts go through."""
        return self._core.embedder

    @property
    def embeddings(self) -> Mapping[str, EmbeddingInfo]:
        """Every embedding of the documents by name, the first one first; sparse vectors count as one of them."""
        return several_embeddings.described(self._core)

    @property
    def artifact(self) -> str | None:
        """SHA-256 of the fitted state; None where nothing is or was learned."""
        return self._core.manifest.artifact

    @property
    def engine(self) -> str:
        """``"edge"``, ``"server"`` or ``"local"``."""
        return self._core.store.engine

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, represent={self.representation.spec!r}, engine={self.engine!r})"

    def _info(self) -> Flow[CollectionInfo]:
        """Points, segments and everything that is written down."""
        core = self._core
        points = 0 if core.draft else (yield from core.store.count())
        segments = yield from self._segments()
        known = CollectionInfo(
            self.name, core.store.engine, core.manifest, points, segments, core.representation.fitted, core.foreign,
            collection=core.store.collection,
        )  # fmt: skip
        if core.draft or core.sparse_only or core.stages.fine is None:
            return known
        return replace(known, coverage=core.coverage, candidates=_reads(core, points))

    info = blocking(_info)
    ainfo = awaitable(_info)

    # -- writing -------------------------------------------------------------------------------

    def _add(
        self,
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
        core = self._core
        batch = yield from step(lambda: ingest.documents(core, texts, vectors, payloads, ids))
        with progress_bar(len(batch), title=self.name, unit="doc", show=progress) as advance:
            return (yield from ingest.add(core, batch, batch_size=batch_size, optimize=optimize, progress=advance))

    add = blocking(_add)
    aadd = awaitable(_add)

    def _fit(
        self,
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
        core = self._core.of(embedding)
        work = Work(progress=progress, checkpoint=checkpoint)
        x, given = yield from ingest.sample_vectors(core, sample)
        asked = None if queries is None else (yield from ingest.query_vectors(core, queries))
        return (yield from core_flows.fit(core, x, asked, given=given, work=work))

    fit = blocking(_fit)
    afit = awaitable(_fit)

    def _adopt(
        self, fitted: Representation, *, coverage: CoverageCurve | None = None, embedding: str | None = None
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
        yield from core_flows.adopt(self._core.of(embedding), fitted, coverage)

    adopt = blocking(_adopt)
    aadopt = awaitable(_adopt)

    def _add_embedding(
        self,
        name: str,
        embedding: object,
        *,
        represent: str | None = None,
        distance: str | Distance | None = None,
        hnsw: HnswSettings | None = None,
        placement: MemoryPlacement | None = None,
        knobs: SearchKnobs | None = None,
        recommendation: Recommendation | str | Path | None = None,
        batch_size: int = 256,
        progress: bool = False,
    ) -> Flow[int]:
        """Give every document a vector of a further model, while the collection is searched and written to.

        Killed at any moment, the same call goes on where it was. Until it is complete the new embedding answers no
        search. Needs a server from 1.18 on, or Edge.

        Parameters
        ----------
        name : str
            Of the embedding and of its vector.
        embedding : optional
            As for :meth:`create`.
        represent, distance, hnsw, placement, knobs, recommendation : optional
            As for :meth:`create`.
        batch_size : int
            Documents that are embedded and written at a time; so many may be embedded twice after a kill.
        progress : bool
            Show progress bars on standard error.

        Returns
        -------
        int
            Documents that got a vector in this run.

        Raises
        ------
        InputError, SpecError, TooFewVectorsError
            Before anything is written, if it cannot be added; or if documents have no text.
        MismatchError
            If it was begun with another model or representation.
        UnsupportedError
            If the server is too old.
        """
        settings = {
            "embedding": embedding, "represent": represent, "distance": distance, "hnsw": hnsw,
            "placement": placement, "knobs": knobs, "recommendation": recommendation,
        }  # fmt: skip
        making.check_name(name, (), self._core.manifest.sparse_name or "")
        model, terms = making.wanted_of(name, settings, Terms())
        representation = Representation.parse(terms.represent or DEFAULT_REPRESENTATION)
        return (
            yield from backfill.add(
                self._core, name, model, terms, representation, batch_size=batch_size, progress=progress
            )
        )

    add_embedding = blocking(_add_embedding)
    aadd_embedding = awaitable(_add_embedding)

    def _drop_embedding(self, name: str) -> Flow[None]:
        """Take an embedding, complete or not, from the collection; documents stay.

        Raises
        ------
        InputError
            If there is none of that name, or it is the one that the collection is open with.
        UnsupportedError
            If the server is older than 1.18.
        """
        yield from backfill.drop(self._core, name)

    drop_embedding = blocking(_drop_embedding)
    adrop_embedding = awaitable(_drop_embedding)

    def _store_tokens(
        self, name: str = late_interaction.NAME, *, datatype: Datatype = "float16", batch_size: int = 32,
        progress: bool = False,
    ) -> Flow[int]:  # fmt: skip
        """Keep a vector of every token of every document, for ``maxsim(stored=...)`` to score inside Qdrant.

        A multivector beside the other vectors, on disk and without a graph: some 75 KB for a document of 100 tokens
        in 384 dimensions and float16, half of that in turbo8, a quarter in turbo4. Documents that have theirs are left
        alone, so a run that was killed goes on by being called again, and later documents get theirs by another call.

        Parameters
        ----------
        name : str
            Of the vector inside Qdrant.
        datatype : {"float32", "float16", "turbo8", "turbo4"}
        batch_size : int
            Documents that are embedded and written at a time.
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        int
            Documents that got their vectors in this run; those without text get none.

        Raises
        ------
        InputError
            If the model gives no vectors of tokens, or the name is taken by another vector; nothing is written then.
        UnsupportedError
            If the server is older than 1.18.
        """
        return late_interaction.store(self._core, name, datatype, batch_size=batch_size, progress=progress)

    store_tokens = blocking(_store_tokens)
    astore_tokens = awaitable(_store_tokens)

    def _token_scores(
        self, query: str, ids: Sequence[PointId], *, name: str = late_interaction.NAME
    ) -> Flow[dict[PointId, float]]:
        """MaxSim of documents for a text, computed by Qdrant: see :class:`octant.rerankers.maxsim.MaxSim`.

        Parameters
        ----------
        query : str
        ids : sequence of int or str
        name : str
            As for :meth:`store_tokens`, or whatever multivector of this model another client wrote.

        Returns
        -------
        dict of id to float
            Mean over the query's tokens of the greatest cosine with a token of the document, in [-1, 1]. Documents
            that are not there, or have no such vectors, are left out.

        Raises
        ------
        InputError
            If there is no such multivector, or it is of another width than the model's tokens.
        """
        return late_interaction.scores(self._core, query, ids, name)

    token_scores = blocking(_token_scores)
    atoken_scores = awaitable(_token_scores)

    def _delete(self, ids: Iterable[PointId] | None = None, *, filter: object | None = None) -> Flow[None]:  # noqa: A002
        """Delete points by id, or every point that matches ``filter``. Unknown ids are no error.

        Raises
        ------
        InputError
            If neither or both are given: deleting everything must be asked for with a filter.
        """
        core = self._core
        if (ids is None) == (filter is None):
            raise InputError("delete takes ids or a filter, one of the two")
        if core.draft:
            return
        if ids is not None:
            yield from core.store.delete([core.ids.to_qdrant(point) for point in ids])
        else:
            wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
            yield from core.store.delete_where(wanted or {})

    delete = blocking(_delete)
    adelete = awaitable(_delete)

    def _optimize(self) -> Flow[None]:
        """Build the indexes and second copies that are due, and wait for them."""
        if not self._core.draft:
            yield from self._core.store.optimize()
            self._core.pending = 0

    optimize = blocking(_optimize)
    aoptimize = awaitable(_optimize)

    def _index_payload(self, key: str, kind: str = "keyword") -> Flow[None]:
        """Index a payload field, so that filters on it are fast.

        Parameters
        ----------
        key : str
        kind : {"keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"}
        """
        if self._core.draft:
            raise InputError("the collection has no dimension yet: add its first documents, then index their payload")
        yield from self._core.store.index_payload(key, kind)

    index_payload = blocking(_index_payload)
    aindex_payload = awaitable(_index_payload)

    # -- reading -------------------------------------------------------------------------------

    def _search_batch(
        self,
        queries: Sequence[object] | Any,
        k: int = 10,
        *,
        filter: object | None = None,  # noqa: A002
        score_threshold: float | None = None,
        offset: int = 0,
        knobs: SearchKnobs | None = None,
        mode: Mode = "dense",
        fusion: str | Fusion = "rrf",
        with_vectors: bool = False,
        embedding: str | None = None,
        cutoff: Cutoff | None = None,
    ) -> Flow[list[Ranking]]:
        """Several searches in one request to the engine; see :meth:`search`.

        Parameters
        ----------
        queries : list of str, or (n, dim) array_like
        """
        core, mode = several_embeddings.chosen(self._core, embedding, mode)
        knobs = knobs or core.manifest.knobs or DEFAULT_KNOBS
        fused = Fusion.parse(fusion)
        request = Request(k, offset, filter, score_threshold, knobs, mode, fused, with_vectors, cutoff)
        return (yield from searching.search(core, list(queries), request))

    search_batch = blocking(_search_batch)
    asearch_batch = awaitable(_search_batch)

    def _search(
        self,
        query: object,
        k: int = 10,
        *,
        filter: object | None = None,  # noqa: A002
        score_threshold: float | None = None,
        offset: int = 0,
        knobs: SearchKnobs | None = None,
        mode: Mode = "dense",
        fusion: str | Fusion = "rrf",
        with_vectors: bool = False,
        embedding: str | None = None,
        cutoff: Cutoff | None = None,
    ) -> Flow[Ranking]:
        """The documents nearest to ``query``, best first.

        Parameters
        ----------
        query : str, (dim,) array_like, or SparseVector
        k : int
            Answers wanted.
        filter : qdrant_client.models.Filter or mapping, optional
            On payloads; a mapping is Qdrant's REST form. ``has_id`` takes the caller's own ids.
        score_threshold : float, optional
            Answers with a lower score are left out; in units of the returned scores.
        offset : int
            Answers to leave out at the top.
        knobs : SearchKnobs, optional
            In place of those that are kept with the collection, all of them.
        mode : {"dense", "sparse", "hybrid"}
        fusion : {"rrf", "dbsf"} or Fusion
            Of a hybrid search.
        with_vectors : bool
            Whether candidates carry their decoded vectors.
        embedding : str, optional
            Which of several embeddings is searched, by its name; the first one without it. The name of the sparse
            vector means ``mode="sparse"``.
        cutoff : Cutoff, optional
            Answers that are too improbably relevant are left out too, by Qdrant itself; dense searches only.

        Raises
        ------
        InputError, VectorValueError, DimensionError, FilterError
        MismatchError
            If the cutoff was trained for another embedding or distance.
        UnavailableError, StoreError
        """
        rankings = yield from self._search_batch(
            [query], k, filter=filter, score_threshold=score_threshold, offset=offset, knobs=knobs, mode=mode,
            fusion=fusion, with_vectors=with_vectors, embedding=embedding, cutoff=cutoff,
        )  # fmt: skip
        return rankings[0]

    search = blocking(_search)
    asearch = awaitable(_search)

    def _search_each_batch(
        self,
        queries: Sequence[object],
        k: int = 10,
        *,
        embeddings: Sequence[str] | None = None,
        filter: object | None = None,  # noqa: A002
        offset: int = 0,
        knobs: SearchKnobs | None = None,
        with_vectors: bool = False,
        timeout: float | None = None,
    ) -> Flow[list[Rankings]]:
        """Several searches of several embeddings, in one request to the engine; see :meth:`search_each`.

        Parameters
        ----------
        queries : list of str, or of mappings from embedding to text or vector
        """
        names = None if embeddings is None else _names(embeddings)
        request = Request(k, offset, filter, with_vectors=with_vectors)
        return (
            yield from several_embeddings.search_each(
                self._core, list(queries), request, names, knobs=knobs, timeout=timeout
            )
        )

    search_each_batch = blocking(_search_each_batch)
    asearch_each_batch = awaitable(_search_each_batch)

    def _search_each(
        self,
        query: object,
        k: int = 10,
        *,
        embeddings: Sequence[str] | None = None,
        filter: object | None = None,  # noqa: A002
        offset: int = 0,
        knobs: SearchKnobs | None = None,
        with_vectors: bool = False,
        timeout: float | None = None,
    ) -> Flow[Rankings]:
        """What each of several embeddings finds, apart, all from one request to the engine.

        A model that fails or is too late costs the others nothing: the result says which one failed and why.

        Parameters
        ----------
        query : str, or mapping from embedding to text or vector
        k : int
            Answers wanted of each.
        embeddings : sequence of str, optional
            Which are asked, by name, the sparse one among them; all that can be asked this, without it.
        filter, offset
            As for :meth:`search`.
        knobs : SearchKnobs, optional
            For all of them, in place of those that are kept with each.
        with_vectors : bool
            Whether candidates carry their decoded vectors, each ranking those of its own embedding. Sparse rankings
            carry those of the first one.
        timeout : float, optional
            Seconds that each model has. A call that cannot be stopped goes on in its thread, and nobody waits for it.

        Raises
        ------
        InputError, VectorValueError, DimensionError, FilterError
            If nothing can be asked this, or a given vector is impossible.
        UnavailableError, StoreError
        """
        found = yield from self._search_each_batch(
            [query], k, embeddings=embeddings, filter=filter, offset=offset, knobs=knobs, with_vectors=with_vectors,
            timeout=timeout,
        )  # fmt: skip
        return found[0]

    search_each = blocking(_search_each)
    asearch_each = awaitable(_search_each)

    def _get(
        self, ids: Iterable[PointId], *, with_vectors: bool = False, embedding: str | None = None
    ) -> Flow[list[Candidate]]:
        """The documents behind ``ids``, in that order; unknown ids are left out. Scores are 0.

        ``embedding`` says whose vectors are wanted, of several; the first one's without it.
        """
        core = self._core.of(embedding)
        wanted = [core.ids.to_qdrant(point) for point in ids]
        if core.draft or not wanted:
            return []
        found = yield from core.store.retrieve(wanted, with_vectors=_vector_names(core, with_vectors))
        by_id = {uuid_or_int(point.id): point for point in found}
        present = [by_id[key] for key in map(uuid_or_int, wanted) if key in by_id]
        return [searching.candidate(core, point, with_vector=with_vectors) for point in present]

    get = blocking(_get)
    aget = awaitable(_get)

    def _page(
        self, filter: object | None, size: int, offset: int | str | None, with_vectors: bool  # noqa: A002
    ) -> Flow[tuple[list[Candidate], int | str | None]]:  # fmt: skip
        core = self._core
        if core.draft:
            return [], None
        wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
        names = _vector_names(core, with_vectors)
        found, following = yield from core.store.scroll(filter=wanted, limit=size, offset=offset, with_vectors=names)
        return [searching.candidate(core, point, with_vector=with_vectors) for point in found], following

    def scroll(
        self, *, filter: object | None = None, page_size: int = 256, with_vectors: bool = False  # noqa: A002
    ) -> Iterator[Candidate]:  # fmt: skip
        """Every document, or every one that matches ``filter``, in the order of Qdrant's ids. Scores are 0."""
        offset: int | str | None = None
        while True:
            page, offset = run(self._page(filter, page_size, offset, with_vectors))
            yield from page
            if offset is None:
                return

    async def ascroll(
        self, *, filter: object | None = None, page_size: int = 256, with_vectors: bool = False  # noqa: A002
    ) -> AsyncIterator[Candidate]:  # fmt: skip
        """Asynchronous twin of :meth:`scroll`."""
        offset: int | str | None = None
        while True:
            page, offset = await arun(self._page(filter, page_size, offset, with_vectors))
            for candidate in page:
                yield candidate
            if offset is None:
                return

    def _sample(self, count: int, *, seed: int = 0) -> Flow[list[Candidate]]:
        """``count`` documents with their vectors, drawn at random, or all where there are no more. Scores are 0.

        The same ones for the same ``seed``, while the collection stays the same.

        Raises
        ------
        InputError
            If ``count`` is not positive.
        UnsupportedError
            If the server refuses to be read like this.
        """
        core = self._core
        if core.draft:
            return []
        found = yield from core.store.sample(count, seed=seed, vectors=_vector_names(core, True))
        return [searching.candidate(core, point, with_vector=True) for point in found]

    sample = blocking(_sample)
    asample = awaitable(_sample)

    def _count(self, filter: object | None = None) -> Flow[int]:  # noqa: A002
        """Exact number of documents, or of those that match ``filter``."""
        core = self._core
        wanted = map_ids(as_filter(filter), core.ids.to_qdrant)
        return 0 if core.draft else (yield from core.store.count(wanted))

    count = blocking(_count)
    acount = awaitable(_count)

    def _segments(self) -> Flow[int]:
        """Number of segments: what a search visits one by one."""
        return 0 if self._core.draft else (yield from self._core.store.segments())

    segments = blocking(_segments)
    asegments = awaitable(_segments)

    def _footprint(self) -> Flow[Footprint]:
        """Bytes by component: searched codes, originals, graph, payload, ids, log; in RAM or cold."""
        if self._core.draft:
            return Footprint(0, 0, (), source="none")
        return (yield from self._core.store.footprint())

    footprint = blocking(_footprint)
    afootprint = awaitable(_footprint)

    def _residency(self) -> Flow[Residency]:
        """What is really in memory now: page by page for Edge, as reported by a server.

        :meth:`footprint` says what was asked to be held; this is what the operating system and the server do hold.
        """
        if self._core.draft:
            return Residency((), "none", unknown=("the collection is not made before its first vector",))
        return (yield from self._core.store.residency())

    residency = blocking(_residency)
    aresidency = awaitable(_residency)

    def _schema(self) -> Flow[CollectionSchema]:
        """Every vector, payload index and setting of the collection, other people's included."""
        if self._core.draft:
            return CollectionSchema()
        return (yield from self._core.store.schema())

    schema = blocking(_schema)
    aschema = awaitable(_schema)

    # -- what was trained for it ---------------------------------------------------------------

    def _corpus(self) -> Flow[str]:
        """Identity of the documents, by which a trained part knows the collection it was trained on again.

        Made up when first asked for and kept with the collection; a compressed copy inherits it.

        Raises
        ------
        InputError
            While the collection has not been made.
        """
        return (yield from attachments.corpus(self._core))

    corpus = blocking(_corpus)
    acorpus = awaitable(_corpus)

    def _attach(self, part: TrainedPart) -> Flow[Attachment]:
        """Keep a trained part with the collection, in place of one of the same kind and spec.

        Raises
        ------
        MismatchError
            If it was trained for another embedding.
        InputError
            While the collection has not been made.
        """
        return (yield from attachments.attach(self._core, part))

    attach = blocking(_attach)
    aattach = awaitable(_attach)

    def _attached(self) -> Flow[tuple[Attachment, ...]]:
        """The trained parts that are kept with the collection for its embedding, by kind and spec."""
        return (yield from attachments.attached(self._core))

    attached = blocking(_attached)
    aattached = awaitable(_attached)

    def _trained(self, cls: type[Part], spec: str | None = None) -> Flow[Part | None]:
        """The attached part of a class, and of a spec where there are several; None if there is none.

        Raises
        ------
        InputError
            If there are several of its kind and no ``spec`` tells which.
        ArtifactError
            If its bytes are missing or damaged.
        """
        return (yield from attachments.find(self._core, cls, spec))

    trained = blocking(_trained)
    atrained = awaitable(_trained)

    def _detach(self, kind: str, spec: str | None = None) -> Flow[int]:
        """Forget the trained parts of ``kind``, or the one of ``spec`` among them; how many there were."""
        return (yield from attachments.detach(self._core, kind, spec))

    detach = blocking(_detach)
    adetach = awaitable(_detach)

    # -- ending --------------------------------------------------------------------------------

    def _close(self) -> Flow[None]:
        """Release files, locks and connections; a second call does nothing."""
        yield from self._core.store.close()

    close = blocking(_close)
    aclose = awaitable(_close)

    def _drop(self) -> Flow[None]:
        """Delete the collection and everything Octant keeps with it."""
        yield from self._core.store.drop()
        yield from self._core.store.close()

    drop = blocking(_drop)
    adrop = awaitable(_drop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _reads(core: Core, points: int) -> int:
    """Candidates that a search for ``ANSWERS`` reads if it is given no knobs."""
    knobs = core.manifest.knobs or DEFAULT_KNOBS
    if knobs.oversampling is not None:
        return ceil(ANSWERS * knobs.oversampling)
    return core.coverage.candidates(ANSWERS, points, knobs.coverage or DEFAULT_COVERAGE)


def _vector_names(core: Core, wanted: bool) -> tuple[str, ...]:
    return searching.vector_names(core) if wanted else ()


def _names(embeddings: Sequence[str]) -> list[str]:
    if isinstance(embeddings, str):
        raise InputError(f"embeddings is a list of names, got one string: pass [{embeddings!r}]")
    return list(dict.fromkeys(embeddings))
