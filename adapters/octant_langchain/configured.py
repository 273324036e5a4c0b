"""What a configuration says, as the options of LangChain's objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from typing_extensions import Self

from octant import Distance, Pipeline, afrom_config, from_config


class Configured(ABC):
    """What a configuration can describe."""

    @classmethod
    def from_config(cls, source: Any, **objects: Any) -> Self:
        """What a configuration describes.

        An :class:`octant_langchain.OctantRetriever` chooses, reranks, cuts and abstains as configured; the searches of
        an :class:`octant_langchain.OctantVectorStore` are plain ones, and its ``as_retriever`` does all that.

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
    @abstractmethod
    def _of(cls, pipeline: Pipeline) -> Self:
        """Over the collection of a pipeline, with its parts."""


def store_options(pipeline: Pipeline) -> dict[str, Any]:
    """Arguments of :class:`octant_langchain.OctantVectorStore` over the collection of a pipeline."""
    config = pipeline.config
    return {
        "collection": pipeline.collection,
        "retrieval_mode": "sparse" if _only_sparse(pipeline) else config.search.mode,
        "metadata_payload_key": config.metadata_key,
    }


def retriever_options(pipeline: Pipeline) -> dict[str, Any]:
    """Arguments of :class:`octant_langchain.OctantRetriever` beside its store; those that say nothing are left out."""
    config, search = pipeline.config, pipeline.config.search
    chooses = pipeline.selector is not None
    threshold = search.score_threshold
    if threshold is not None and pipeline.collection.distance in (Distance.EUCLID, Distance.MANHATTAN):
        threshold = -threshold  # LangChain's is a distance, of which less is better
    how = {
        "filter": search.filter,
        "score_threshold": threshold,
        "search_params": search.knobs,
        "hybrid_fusion": search.fusion if search.mode == "hybrid" else None,
    }
    options: dict[str, Any] = {
        "rerank": pipeline.reranker,
        "fetch_k": search.candidates if pipeline.reranker is not None else None,
        "select": pipeline.selector,
        "embeddings": list(pipeline.embeddings) if chooses else None,
        "timeout": search.timeout if chooses else None,
        "abstain_below": config.confidence.abstain_below if config.confidence else None,
        "cutoff": pipeline.cutoff,
        "search_kwargs": {name: value for name, value in how.items() if value is not None},
    }
    return {"k": search.k, **{name: value for name, value in options.items() if value is not None}}


def _only_sparse(pipeline: Pipeline) -> bool:
    asked = pipeline.config.search.embedding
    return asked is not None and asked == pipeline.collection.manifest.sparse_name
