"""Texts to vectors: one face for LangChain embeddings, sentence-transformers models and plain callables."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from octant.errors import InputError
from octant.flow import Flow, Step, run, step
from octant.hub import load_model, model_name, require_sentence_transformers
from octant.identity import PROBE_TEXT, complete, probe_of
from octant.records import EmbeddingIdentity, FloatArray
from octant.token_vectors import token_vectors
from octant.tokens import Tokens, tokens_of
from octant.vectors import as_matrix

QUERIES_AT_ONCE = 8
"""Queries that are in flight together when a source embeds them one by one and asynchronously."""


class Embedder(ABC):
    """A named source of vectors. A subclass says how to embed; this class validates and identifies.

    Parameters
    ----------
    name : str
        What the model is called in a collection's record.

    Attributes
    ----------
    probed : bool
        Whether the identity may cost one embedded text: true for what runs here, false for what may be paid.
    """

    probed: bool = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._identity = EmbeddingIdentity(name)
        self._probing = threading.Lock()

    @abstractmethod
    def _documents(self, texts: list[str]) -> Step:
        """The step that embeds passages into an array_like (n, dim)."""

    def _queries(self, texts: list[str]) -> Step:
        """The step that embeds questions; by default, like passages."""
        return self._documents(texts)

    @property
    def identity(self) -> EmbeddingIdentity:
        """Who this model is. A local model is loaded and embeds one fixed text at the first request.

        For a model that may cost money nothing is embedded: dimension and normalisation are filled in by the
        first real vectors, and there is no probe.
        """
        with self._probing:
            if self.probed and self._identity.probe is None:
                vectors = self._checked(run(_perform(self._documents([PROBE_TEXT]))), 1)
                self._learn(vectors, probe_of(vectors[0]))
            return self._identity

    def embed_documents(self, texts: Sequence[str]) -> Flow[FloatArray]:
        """Vectors (n, dim) float32 of passages, in order.

        Raises
        ------
        InputError
            If ``texts`` is empty, or holds something that is no string.
        VectorValueError, DimensionError
            If the model answers with other than one finite vector of its usual width a text.
        """
        wanted = as_texts(texts)
        return self._learn(self._checked((yield from _perform(self._documents(wanted))), len(wanted)))

    def embed_queries(self, texts: Sequence[str]) -> Flow[FloatArray]:
        """Vectors (n, dim) float32 of questions, in order; errors as in :meth:`embed_documents`."""
        wanted = as_texts(texts)
        return self._learn(self._checked((yield from _perform(self._queries(wanted))), len(wanted)))

    def embed_document_tokens(self, texts: Sequence[str]) -> Flow[list[FloatArray]]:
        """Unit vectors (tokens, dim) float32 of the tokens of each passage, as far as the model reads it.

        Raises
        ------
        InputError
            If the model does not give them, or ``texts`` is not as in :meth:`embed_documents`.
        """
        return (yield from step(partial(self._token_vectors, as_texts(texts), "document")))

    def embed_query_tokens(self, texts: Sequence[str]) -> Flow[list[FloatArray]]:
        """Unit vectors (tokens, dim) float32 of the tokens of each question; errors as for passages."""
        return (yield from step(partial(self._token_vectors, as_texts(texts), "query")))

    def _token_vectors(self, texts: list[str], role: Literal["document", "query"]) -> list[FloatArray]:
        """Vectors of the tokens of ``texts``, where the model gives them."""
        del texts, role
        raise InputError(
            f"{self.name} gives one vector a text and none of its tokens: pass a sentence-transformers model, or the "
            "name of one"
        )

    def tokens(self) -> Flow[Tokens | None]:
        """How the model splits texts, and how much of one it reads; None where it does not tell."""
        yield from ()
        return None

    def _checked(self, vectors: ArrayLike, count: int) -> FloatArray:
        matrix = as_matrix(_on_cpu(vectors), dim=self._identity.dimension, what=f"vectors from {self.name}")
        if len(matrix) != count:
            raise InputError(f"expected {count} vectors from {self.name}, one a text; got {len(matrix)}")
        return matrix

    def _learn(self, vectors: FloatArray, probe: str | None = None) -> FloatArray:
        known = self._identity
        if None not in (known.dimension, known.normalized) and probe is None:
            return vectors
        known = complete(known, vectors)
        self._identity = replace(known, probe=known.probe or probe)
        return vectors

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class LangChainEmbedder(Embedder):
    """Any object with LangChain's ``embed_documents`` and ``embed_query``.

    Their ``a…`` twins are awaited where the class has its own; LangChain's default ones only wrap a thread.
    """

    probed = False

    def __init__(self, source: Any, name: str | None = None) -> None:
        super().__init__(name or served_name(source))
        self.source = source

    def _documents(self, texts: list[str]) -> Step:
        native = self._native("aembed_documents")
        return Step(lambda: self.source.embed_documents(texts), None if native is None else partial(native, texts))

    def _queries(self, texts: list[str]) -> Step:
        native = self._native("aembed_query")
        together = None if native is None else partial(_gather, native, texts)
        return Step(lambda: [self.source.embed_query(text) for text in texts], together)

    def _native(self, method: str) -> Callable[[Any], Awaitable[Any]] | None:
        own = getattr(type(self.source), method, None)
        if own is None or (own.__module__ or "").startswith("langchain_core."):
            return None
        bound: Callable[[Any], Awaitable[Any]] = getattr(self.source, method)
        return bound


class SentenceTransformerEmbedder(Embedder):
    """A sentence-transformers model, given as an object or by name; a named one is loaded when first used."""

    def __init__(self, source: Any, name: str | None = None) -> None:
        if isinstance(source, str):
            super().__init__(name or model_name(source))
            require_sentence_transformers(self.name)
            self._place, self._model = model_name(source), None
        else:
            super().__init__(name or _loaded_name(source))
            self._place, self._model = "", source
        # Tokenizers cannot be borrowed by two threads at once, and one model saturates the cores anyway.
        self._using = threading.Lock()

    def _documents(self, texts: list[str]) -> Step:
        return Step(lambda: self._encode(texts, "document"))

    def _queries(self, texts: list[str]) -> Step:
        return Step(lambda: self._encode(texts, "query"))

    def tokens(self) -> Flow[Tokens | None]:
        """How the model splits texts, and how much of a question it reads; the model is loaded for it."""
        return (yield from step(self._tokens))

    def _tokens(self) -> Tokens | None:
        with self._using:
            model = self._loaded()
        return tokens_of(model, self._using)

    def _token_vectors(self, texts: list[str], role: Literal["document", "query"]) -> list[FloatArray]:
        with self._using:
            return token_vectors(self._loaded(), texts, role)

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = load_model(self._place)
        return self._model

    def _encode(self, texts: list[str], role: Literal["document", "query"]) -> Any:
        with self._using:
            model = self._loaded()
            encode = getattr(model, f"encode_{role}", None)
            if encode is not None:
                return encode(texts, convert_to_numpy=True, show_progress_bar=False)
            # Before sentence-transformers 5 the prompt had to be named.
            prompt = role if role in (getattr(model, "prompts", None) or {}) else None
            return model.encode(texts, prompt_name=prompt, convert_to_numpy=True, show_progress_bar=False)


class CallableEmbedder(Embedder):
    """A function from a list of n texts to (n, dim) numbers, for passages and questions alike."""

    def __init__(self, source: Callable[[list[str]], ArrayLike], name: str | None = None) -> None:
        super().__init__(name or _function_name(source))
        self.source = source

    def _documents(self, texts: list[str]) -> Step:
        return Step(lambda: self.source(texts))


@overload
def embedder(source: None, name: str | None = None) -> None: ...
@overload
def embedder(source: object, name: str | None = None) -> Embedder: ...
def embedder(source: object, name: str | None = None) -> Embedder | None:
    """Make an :class:`Embedder` of ``source``.

    Parameters
    ----------
    source : str, object or callable
        The name or path of a sentence-transformers model, such a model, a LangChain ``Embeddings``, a
        callable from a list of texts to (n, dim) numbers; an Embedder or None is returned as it is.
    name : str, optional
        Record this name instead of the source's own.

    Raises
    ------
    InputError
        If ``source`` is none of these.
    MissingExtraError
        If a model is named and sentence-transformers is not installed.

    Examples
    --------
    >>> counts = embedder(lambda texts: [[len(text), text.count(" ")] for text in texts], name="counts")
    >>> run(counts.embed_documents(["one", "two three"])).tolist()
    [[3.0, 0.0], [9.0, 1.0]]
    """
    if source is None:
        return None
    if isinstance(source, Embedder):
        if name not in (None, source.name):
            raise InputError(f"this embedder is called {source.name!r}: give the name {name!r} when making it")
        return source
    if isinstance(source, str):
        if not source.strip():
            raise InputError("expected the name or path of an embedding model, got an empty string")
        return SentenceTransformerEmbedder(source, name)
    if hasattr(source, "embed_documents") and hasattr(source, "embed_query"):
        return LangChainEmbedder(source, name)
    if hasattr(source, "encode") and (
        hasattr(source, "get_embedding_dimension") or hasattr(source, "get_sentence_embedding_dimension")
    ):
        return SentenceTransformerEmbedder(source, name)
    if callable(source) and not isinstance(source, type):
        return CallableEmbedder(source, name)
    raise InputError(
        "embedding must be a model name or path, a LangChain Embeddings, a sentence-transformers model, or a "
        f"callable from a list of texts to vectors; got {source!r}"
    )


def as_texts(texts: Sequence[str]) -> list[str]:
    """A non-empty list of strings, or a refusal.

    Raises
    ------
    InputError
        Naming the first thing that is no string.
    """
    if isinstance(texts, str):
        raise InputError("expected a list of texts, got one string: put it in a list")
    listed = list(texts)
    if not listed:
        raise InputError("expected at least one text, got none")
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(f"texts must be strings; number {position} is of type {type(text).__name__}")
    return listed


def served_name(source: Any) -> str:
    """``Class:model`` of an object that serves a model, or only its class where it names none."""
    inner = getattr(source, "underlying_embeddings", None)  # a cache in front of the real thing
    if inner is not None:
        return served_name(inner)
    for attribute in (
        "model",
        "model_name",
        "model_id",
        "deployment",
        "azure_deployment",
        "repo_id",
        "model_path",
    ):
        value = getattr(source, attribute, None)
        if isinstance(value, str) and value:
            return f"{type(source).__name__}:{value}"
    return type(source).__name__


def _loaded_name(model: Any) -> str:
    """The name or path a sentence-transformers object was loaded from; its class where it does not say."""
    inner = getattr(model, "transformers_model", None)
    if inner is None and hasattr(model, "__getitem__"):
        inner = getattr(model[0], "auto_model", None)
    return getattr(getattr(inner, "config", None), "_name_or_path", "") or type(model).__name__


def _function_name(source: Callable[..., Any]) -> str:
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"{named.__module__}.{named.__qualname__}"


def _on_cpu(vectors: Any) -> Any:
    """A torch tensor as a float32 array, wherever it lives; anything else as it is."""
    return vectors.detach().float().cpu().numpy() if hasattr(vectors, "detach") else vectors


def _perform(step: Step) -> Flow[Any]:
    return (yield step)


async def _gather(embed: Callable[[Any], Awaitable[Any]], texts: list[str]) -> list[Any]:
    import asyncio

    slots = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def one(text: str) -> Any:
        async with slots:
            return await embed(text)

    return await asyncio.gather(*(one(text) for text in texts))
