"""LangChain's vector store over an :class:`octant.Collection`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from typing_extensions import Self, override

from octant import Candidate, Collection, Fusion, Pipeline, Ranking, afrom_config, diversify, errors, from_config
from octant_langchain.configured import retriever_options, store_options
from octant_langchain.convert import SearchOptions, document, flipped, known_ids, new_ids, payload, relevance
from octant_langchain.settings import CollectionSettings, RetrievalMode, achecked, checked, read

Scored = list[tuple[Document, float]]
Query = str | Sequence[float]


class OctantVectorStore(VectorStore):
    """Documents in a stock Qdrant, their embeddings compressed.

    langchain-qdrant's ``QdrantVectorStore`` with Octant inside: the names that both know mean the same. What is
    different: a ``path`` or ``":memory:"`` is Qdrant Edge, the real engine, rather than qdrant-client's local
    mode; ids are any strings; every ``a…`` method is native where engine and model are.

    Scores are langchain-qdrant's: cosine or dot product, higher is better, or under Euclid and Manhattan the
    distance, lower is better; in hybrid mode the fused score. Relevance scores lie in [0, 1], higher is better,
    for every distance and mode.

    Every search takes, beside ``k`` and ``filter`` (a ``qdrant_client.models.Filter`` or its REST form), the
    options of :class:`octant_langchain.convert.SearchOptions`: ``offset``, ``score_threshold``,
    ``search_params``, ``hybrid_fusion``.

    Parameters
    ----------
    client, collection_name, embedding, retrieval_mode, metadata_payload_key, **options
        Open the existing collection of that name; see
        :class:`octant_langchain.settings.CollectionSettings`.
    collection : octant.Collection, optional
        Wrap this open collection instead; only ``retrieval_mode`` and ``metadata_payload_key`` apply then.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> store = OctantVectorStore.from_texts(["one", "two"], DeterministicFakeEmbedding(size=8), ids=["1", "2"])
    >>> store.similarity_search("two", k=1)[0].id
    '2'
    >>> store.close()
    """

    def __init__(
        self,
        client: Any = None,
        collection_name: str | None = None,
        embedding: object | None = None,
        retrieval_mode: RetrievalMode | str = RetrievalMode.DENSE,
        *,
        metadata_payload_key: str | None = "metadata",
        collection: Collection | None = None,
        **options: Any,
    ) -> None:
        reading = {"retrieval_mode": retrieval_mode, "metadata_payload_key": metadata_payload_key}
        opening = {"client": client, "collection_name": collection_name, "embedding": embedding, **options}
        if collection is None:
            del opening["embedding"]
            settings = read(CollectionSettings, reading | opening)
            collection = checked(Collection.open(**settings.opening(embedding)), settings)
        else:
            given = [name for name, value in opening.items() if value is not None]
            if given:
                raise errors.InputError(f"an open collection already has its {', '.join(given)}: leave them out")
            settings = read(CollectionSettings, reading)
            settings.check(collection)
        self.collection = collection
        self.retrieval_mode = settings.mode
        self.metadata_payload_key = metadata_payload_key
        self.configured: Mapping[str, Any] = {}

    # -- what it is ----------------------------------------------------------------------------

    @property
    @override
    def embeddings(self) -> Embeddings | None:
        """The LangChain model that was passed in; None for a model that is not LangChain's."""
        source = getattr(self.collection.embedding, "source", None)
        return source if isinstance(source, Embeddings) else None

    @property
    def collection_name(self) -> str:
        """The collection's name."""
        return self.collection.name

    def close(self) -> None:
        """Release files, locks and connections; a second call does nothing."""
        self.collection.close()

    async def aclose(self) -> None:
        """Awaited twin of :meth:`close`."""
        await self.collection.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # -- coming to be --------------------------------------------------------------------------

    @classmethod
    def construct_instance(cls, embedding: object | None = None, **options: Any) -> Self:
        """A store without documents yet; opens the collection of that name where there is one.

        Parameters
        ----------
        embedding : langchain_core.embeddings.Embeddings, str or callable, optional
            The model; a string names a sentence-transformers one.
        **options
            See :class:`octant_langchain.settings.CollectionSettings`.
        """
        settings = read(CollectionSettings, options)
        return cls._over(checked(Collection.create(**settings.creating(embedding)), settings), settings)

    @classmethod
    async def aconstruct_instance(cls, embedding: object | None = None, **options: Any) -> Self:
        """Awaited twin of :meth:`construct_instance`."""
        settings = read(CollectionSettings, options)
        collection = await Collection.acreate(**settings.creating(embedding))
        return cls._over(await achecked(collection, settings), settings)

    @classmethod
    def from_existing_collection(cls, collection_name: str, embedding: object | None = None, **options: Any) -> Self:
        """Open a collection, Octant's or langchain-qdrant's; parameters as for :meth:`construct_instance`."""
        return cls(collection_name=collection_name, embedding=embedding, **options)

    @classmethod
    async def afrom_existing_collection(
        cls, collection_name: str, embedding: object | None = None, **options: Any
    ) -> Self:
        """Awaited twin of :meth:`from_existing_collection`."""
        settings = read(CollectionSettings, {"collection_name": collection_name, **options})
        collection = await Collection.aopen(**settings.opening(embedding))
        return cls._over(await achecked(collection, settings), settings)

    @classmethod
    def from_config(cls, source: Any, **objects: Any) -> Self:
        """The store that a configuration describes.

        Its searches are plain ones; :meth:`as_retriever` also chooses, reranks, cuts and abstains as configured.

        Parameters
        ----------
        source : path, mapping or octant.config.Config
            As :func:`octant.from_config` takes it.
        **objects
            ``location``, ``embedding``, ``embeddings``, ``model``: what a file cannot hold.

        Raises
        ------
        OctantError
            As :func:`octant.from_config`.
        """
        return cls._of(from_config(source, **objects))

    @classmethod
    async def afrom_config(cls, source: Any, **objects: Any) -> Self:
        """Awaited twin of :meth:`from_config`."""
        return cls._of(await afrom_config(source, **objects))

    @classmethod
    def _of(cls, pipeline: Pipeline) -> Self:
        store = cls(**store_options(pipeline))
        store.configured = retriever_options(pipeline)
        return store

    @classmethod
    def _over(cls, collection: Collection, settings: CollectionSettings) -> Self:
        return cls(
            collection=collection,
            retrieval_mode=settings.mode,
            metadata_payload_key=settings.metadata_payload_key,
        )

    @classmethod
    @override
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: object | None = None,
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | int | None] | None = None,
        batch_size: int = 256,
        **options: Any,
    ) -> Self:
        """A store of ``texts``, none of them allowed; the first real ones then tell the dimension.

        Parameters are those of :meth:`construct_instance` and :meth:`add_texts`.
        """
        store = cls.construct_instance(embedding, **options)
        try:
            store.add_texts(texts, metadatas, ids=ids, batch_size=batch_size)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    @override
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: object | None = None,
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | int | None] | None = None,
        batch_size: int = 256,
        **options: Any,
    ) -> Self:
        """Awaited twin of :meth:`from_texts`."""
        store = await cls.aconstruct_instance(embedding, **options)
        try:
            await store.aadd_texts(texts, metadatas, ids=ids, batch_size=batch_size)
        except BaseException:
            await store.aclose()
            raise
        return store

    @classmethod
    @override
    def from_documents(cls, documents: Iterable[Document], embedding: object | None = None, **options: Any) -> Self:
        """A store of ``documents``; their ids are kept, missing ones made up."""
        return super().from_documents(list(documents), embedding, **options)  # type: ignore[arg-type]

    @classmethod
    @override
    async def afrom_documents(
        cls, documents: Iterable[Document], embedding: object | None = None, **options: Any
    ) -> Self:
        """Awaited twin of :meth:`from_documents`."""
        return await super().afrom_documents(list(documents), embedding, **options)  # type: ignore[arg-type]

    # -- writing -------------------------------------------------------------------------------

    @override
    def add_texts(  # type: ignore[override]  # unknown options are refused, not swallowed
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | int | None] | None = None,
        batch_size: int = 256,
    ) -> list[str]:
        """Store texts; a known id is replaced. Nothing of the caller's is changed.

        Parameters
        ----------
        texts, metadatas, ids : iterables of the same length; generators too
            A missing id becomes a fresh UUID.
        batch_size : int
            Texts in one request to the engine and the model.

        Returns
        -------
        list of str
            The ids, in order.

        Raises
        ------
        InputError
            If lengths differ, a text is no string, or an id comes twice; nothing is stored then.
        """
        points = self._points(texts, metadatas, ids)
        return list(map(str, self.collection.add(**points, batch_size=batch_size))) if points["texts"] else []

    @override
    async def aadd_texts(  # type: ignore[override]  # unknown options are refused, not swallowed
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | int | None] | None = None,
        batch_size: int = 256,
    ) -> list[str]:
        """Awaited twin of :meth:`add_texts`."""
        points = self._points(texts, metadatas, ids)
        return list(map(str, await self.collection.aadd(**points, batch_size=batch_size))) if points["texts"] else []

    def _points(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None,
        ids: Iterable[str | int | None] | None,
    ) -> dict[str, Any]:
        if isinstance(texts, str):
            raise errors.InputError("texts is a list of strings, got one string: wrap it in a list")
        key = self.metadata_payload_key
        listed = list(texts)
        given = [None] * len(listed) if metadatas is None else list(metadatas)
        return {"texts": listed, "payloads": [payload(metadata, key) for metadata in given], "ids": new_ids(ids)}

    @override
    def add_documents(self, documents: Iterable[Document], **kwargs: Any) -> list[str]:
        """Store documents under their own ids, or under ``ids=``; see :meth:`add_texts`."""
        return super().add_documents(list(documents), **kwargs)

    @override
    async def aadd_documents(self, documents: Iterable[Document], **kwargs: Any) -> list[str]:
        """Awaited twin of :meth:`add_documents`."""
        return await super().aadd_documents(list(documents), **kwargs)

    @override
    def delete(  # type: ignore[override]  # unknown options are refused, not swallowed
        self, ids: Iterable[str | int] | None = None, *, filter: object | None = None
    ) -> bool:
        """Delete by id, or everything that matches ``filter``; everything if neither is given, as LangChain says."""
        self.collection.delete(**_condemned(ids, filter))
        return True

    @override
    async def adelete(  # type: ignore[override]
        self, ids: Iterable[str | int] | None = None, *, filter: object | None = None
    ) -> bool:
        """Awaited twin of :meth:`delete`."""
        await self.collection.adelete(**_condemned(ids, filter))
        return True

    # -- reading -------------------------------------------------------------------------------

    @override
    def get_by_ids(self, ids: Iterable[str | int], /) -> list[Document]:
        """The documents behind ``ids``; unknown ones are left out."""
        found = self.collection.get(known_ids(ids))
        return [document(candidate, self.metadata_payload_key) for candidate in _once(found)]

    @override
    async def aget_by_ids(self, ids: Iterable[str | int], /) -> list[Document]:
        """Awaited twin of :meth:`get_by_ids`."""
        found = await self.collection.aget(known_ids(ids))
        return [document(candidate, self.metadata_payload_key) for candidate in _once(found)]

    @override
    def similarity_search(self, query: str, k: int = 4, filter: object | None = None, **options: Any) -> list[Document]:
        """The ``k`` documents nearest to ``query``, best first."""
        return _documents(self.similarity_search_with_score(query, k, filter, **options))

    @override
    async def asimilarity_search(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`similarity_search`."""
        return _documents(await self.asimilarity_search_with_score(query, k, filter, **options))

    @override
    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """The ``k`` nearest documents and their scores, best first."""
        mode = self.retrieval_mode
        return self._scored(self.collection.search(query, **self._request(k, filter, options, mode)), mode)

    @override
    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`similarity_search_with_score`."""
        mode = self.retrieval_mode
        return self._scored(await self.collection.asearch(query, **self._request(k, filter, options, mode)), mode)

    @override
    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """The ``k`` documents nearest to a vector, best first; always by dense vectors."""
        return _documents(self.similarity_search_with_score_by_vector(embedding, k, filter, **options))

    @override
    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`similarity_search_by_vector`."""
        return _documents(await self.asimilarity_search_with_score_by_vector(embedding, k, filter, **options))

    def similarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """The ``k`` documents nearest to a vector and their scores, best first; always by dense vectors."""
        mode = RetrievalMode.DENSE
        return self._scored(self.collection.search(embedding, **self._request(k, filter, options, mode)), mode)

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: object | None = None, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`similarity_search_with_score_by_vector`."""
        mode = RetrievalMode.DENSE
        return self._scored(await self.collection.asearch(embedding, **self._request(k, filter, options, mode)), mode)

    def _request(
        self, k: int, filter: object | None, options: Mapping[str, Any], mode: RetrievalMode
    ) -> dict[str, Any]:
        asked = read(SearchOptions, options)
        least = asked.score_threshold
        return {
            "k": k,
            "filter": filter,
            "mode": mode.value,
            "offset": asked.offset,
            "score_threshold": None if least is None else flipped(least, self.collection.distance, mode),
            "knobs": asked.knobs,
            "fusion": asked.fusion,
            "cutoff": asked.cutoff,
        }

    def _scored(self, ranking: Ranking, mode: RetrievalMode) -> Scored:
        key, distance = self.metadata_payload_key, self.collection.distance
        return [(document(candidate, key), flipped(candidate.score, distance, mode)) for candidate in ranking]

    # -- candidates ----------------------------------------------------------------------------

    def ranking(
        self, query: str, k: int = 4, filter: object | None = None, *, with_vectors: bool = False, **options: Any
    ) -> Ranking:
        """The ``k`` documents nearest to ``query`` as Octant's candidates: for rerankers and selectors.

        Scores are Octant's own, higher is better for every distance; ``with_vectors`` decodes the stored vectors too.
        """
        request = self._request(k, filter, options, self.retrieval_mode)
        return self.collection.search(query, with_vectors=with_vectors, **request)

    async def aranking(
        self, query: str, k: int = 4, filter: object | None = None, *, with_vectors: bool = False, **options: Any
    ) -> Ranking:
        """Awaited twin of :meth:`ranking`."""
        request = self._request(k, filter, options, self.retrieval_mode)
        return await self.collection.asearch(query, with_vectors=with_vectors, **request)

    @override
    def as_retriever(self, **kwargs: Any) -> Any:
        """A retriever over this store: LangChain's, or Octant's where one of its own options is given.

        Parameters
        ----------
        **kwargs
            LangChain's ``search_type``, ``search_kwargs``, ``tags``, ``metadata``; or any option of
            :class:`octant_langchain.OctantRetriever`, such as ``rerank``.

        Raises
        ------
        InputError
            If Octant's options come with another ``search_type`` than ``"similarity"``.
        """
        from octant_langchain.retriever import retriever_over  # the retriever is made of stores

        return retriever_over(self, kwargs) or super().as_retriever(**kwargs)

    # -- relevance -----------------------------------------------------------------------------

    @override
    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self._relevance(Fusion())

    def _relevance(self, fusion: Fusion) -> Callable[[float], float]:
        model = self.collection.manifest.embedding
        unit = model is not None and bool(model.normalized)
        return relevance(self.collection.distance, self.retrieval_mode, fusion, unit=unit)

    @override
    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        relevance_of = self._relevance(_fusion(kwargs))
        found = self.similarity_search_with_score(query, k, **kwargs)
        return [(doc, relevance_of(score)) for doc, score in found]

    @override
    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        relevance_of = self._relevance(_fusion(kwargs))
        found = await self.asimilarity_search_with_score(query, k, **kwargs)
        return [(doc, relevance_of(score)) for doc, score in found]

    # -- relevant and diverse ------------------------------------------------------------------

    @override
    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """``k`` of the ``fetch_k`` nearest documents that do not repeat each other, by dense vectors.

        ``lambda_mult`` is LangChain's: 1 is relevance alone, 0 the greatest diversity.
        """
        return _documents(self.max_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, **options))

    @override
    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`max_marginal_relevance_search`."""
        found = await self.amax_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, **options)
        return _documents(found)

    @override
    def max_marginal_relevance_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """:meth:`max_marginal_relevance_search` for a vector."""
        return _documents(self.max_marginal_relevance_search_with_score(embedding, k, fetch_k, lambda_mult, **options))

    @override
    async def amax_marginal_relevance_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Awaited twin of :meth:`max_marginal_relevance_search_by_vector`."""
        found = await self.amax_marginal_relevance_search_with_score(embedding, k, fetch_k, lambda_mult, **options)
        return _documents(found)

    def max_marginal_relevance_search_with_score(
        self, query: Query, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> Scored:
        """:meth:`max_marginal_relevance_search` for a text or a vector, with each document's score for it."""
        found = self.collection.search(query, **self._candidates(k, fetch_k, options))
        return self._diverse(found, k, lambda_mult)

    async def amax_marginal_relevance_search_with_score(
        self, query: Query, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> Scored:
        """Awaited twin of :meth:`max_marginal_relevance_search_with_score`."""
        found = await self.collection.asearch(query, **self._candidates(k, fetch_k, options))
        return self._diverse(found, k, lambda_mult)

    max_marginal_relevance_search_with_score_by_vector = max_marginal_relevance_search_with_score
    amax_marginal_relevance_search_with_score_by_vector = amax_marginal_relevance_search_with_score

    def _candidates(self, k: int, fetch_k: int, options: Mapping[str, Any]) -> dict[str, Any]:
        asked = dict(options)
        request = self._request(max(k, fetch_k), asked.pop("filter", None), asked, RetrievalMode.DENSE)
        return request | {"with_vectors": True}

    def _diverse(self, found: Ranking, k: int, lambda_mult: float) -> Scored:
        chosen = diversify(found, k, lambda_mult, distance=self.collection.distance)
        return self._scored(chosen, RetrievalMode.DENSE)


def _documents(scored: Scored) -> list[Document]:
    return [doc for doc, _ in scored]


def _once(found: Sequence[Candidate]) -> list[Candidate]:
    """Without repeats: "7" and 7 may have found the same document."""
    return list({candidate.id: candidate for candidate in found}.values())


def _fusion(options: Mapping[str, Any]) -> Fusion:
    return SearchOptions(hybrid_fusion=options.get("hybrid_fusion")).fusion


def _condemned(ids: Iterable[str | int] | None, filter: object | None) -> dict[str, Any]:
    if ids is not None and filter is not None:
        raise errors.InputError("delete takes ids or a filter, one of the two")
    # An empty filter matches everything.
    return {"filter": filter or {}} if ids is None else {"ids": known_ids(ids)}
