"""LangChain's vector store over an :class:`octant.Collection`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from typing_extensions import Self, override

from octant import Collection, Pipeline, errors
from octant_langchain.configured import Configured, retriever_options, store_options
from octant_langchain.convert import known_ids, new_ids, payload
from octant_langchain.searches import CollectionSearches
from octant_langchain.settings import CollectionSettings, RetrievalMode, achecked, checked, read


class OctantVectorStore(Configured, CollectionSearches):
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
    @override
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


def _condemned(ids: Iterable[str | int] | None, filter: object | None) -> dict[str, Any]:
    if ids is not None and filter is not None:
        raise errors.InputError("delete takes ids or a filter, one of the two")
    # An empty filter matches everything.
    return {"filter": filter or {}} if ids is None else {"ids": known_ids(ids)}
