"""Texts to token weights, for sparse and hybrid search."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from octant.embedders import served_name
from octant.errors import InputError
from octant.records import SparseVector


class SparseEncoder(ABC):
    """Texts in, one :class:`SparseVector` a text out. A text without tokens gives an empty one.

    Attributes
    ----------
    name : str
    identity : str
        What is recorded with a collection: equal identities, comparable weights.
    """

    name: str
    identity: str

    @abstractmethod
    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        """Token weights of passages."""

    @abstractmethod
    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        """Token weights of questions."""


class Bm25(SparseEncoder):
    """BM25 by Qdrant's own tokenizer, in process; the engine multiplies by inverse document frequency.

    Parameters
    ----------
    language : str
        Decides stop words and stemmer, e.g. "english", "german", "chinese".
    k : float
        How soon repeated tokens stop counting.
    b : float
        How much long passages are held against their tokens: 0 not at all, 1 in proportion.
    average_length : float
        Expected tokens in a passage.
    tokenizer : {"word", "whitespace", "prefix", "multilingual", "code"}
    ascii_folding : bool
        Whether "Ångström" is "Angstrom".

    Raises
    ------
    InputError
        If Qdrant knows no such language or tokenizer, or a number is out of range.

    Examples
    --------
    >>> [vector] = Bm25().encode_queries(["the running octopus"])
    >>> vector.values.tolist()
    [1.0, 1.0]
    """

    name = "bm25"

    def __init__(
        self,
        language: str = "english",
        k: float = 1.2,
        b: float = 0.75,
        average_length: float = 256.0,
        tokenizer: str = "word",
        ascii_folding: bool = False,
    ) -> None:
        given: dict[str, Any] = {
            "language": language, "k": k, "b": b, "average_length": average_length, "tokenizer": tokenizer,
            "ascii_folding": ascii_folding,
        }  # fmt: skip
        self._model = _qdrant_bm25(**given)
        changed = {key: value for key, value in given.items() if value != _DEFAULTS[key]}
        arguments = ", ".join(f"{key}={json.dumps(value)}" for key, value in changed.items())
        self.identity = f"bm25({arguments})" if changed else "bm25"

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        """Saturated, length-normalised token counts."""
        return [_checked(self._model.embed_document(text)) for text in texts]

    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        """Weight 1 for every distinct token."""
        return [_checked(self._model.embed_query(text)) for text in texts]


class LangChainSparse(SparseEncoder):
    """Any object with langchain-qdrant's ``embed_documents`` and ``embed_query`` for sparse vectors."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.name = self.identity = served_name(source)

    def encode_documents(self, texts: Sequence[str]) -> list[SparseVector]:
        """What the source makes of passages.

        Raises
        ------
        InputError
            If it does not answer with one well-formed vector a text.
        """
        vectors = [_checked(vector) for vector in self.source.embed_documents(list(texts))]
        if len(vectors) != len(texts):
            raise InputError(f"expected {len(texts)} sparse vectors from {self.name}, one a text; got {len(vectors)}")
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> list[SparseVector]:
        """What the source makes of questions; errors as in :meth:`encode_documents`."""
        return [_checked(self.source.embed_query(text)) for text in texts]


def sparse_encoder(source: object) -> SparseEncoder:
    """Make a :class:`SparseEncoder` of ``source``.

    Parameters
    ----------
    source : str, object or SparseEncoder
        ``"bm25"`` or the identity of any :class:`Bm25`, as a collection records it; an object with
        langchain-qdrant's sparse interface; or a SparseEncoder, returned as it is.

    Raises
    ------
    InputError
        If ``source`` is none of these.

    Examples
    --------
    >>> sparse_encoder('bm25(language="german")').identity
    'bm25(language="german")'
    """
    if isinstance(source, SparseEncoder):
        return source
    if isinstance(source, str):
        return Bm25(**_arguments(source))
    if hasattr(source, "embed_documents") and hasattr(source, "embed_query"):
        return LangChainSparse(source)
    raise InputError(
        'sparse must be "bm25", or an object with embed_documents and embed_query that return indices and '
        f"values; got {source!r}"
    )


_DEFAULTS: dict[str, Any] = {
    "language": "english", "k": 1.2, "b": 0.75, "average_length": 256.0, "tokenizer": "word",
    "ascii_folding": False,
}  # fmt: skip


def _arguments(identity: str) -> dict[str, Any]:
    """Keyword arguments in ``bm25(key=json, …)``."""
    match = re.fullmatch(r"bm25(?:\((.*)\))?", identity.strip())
    if match is None:
        raise InputError(f'the built-in sparse encoder is called "bm25"; got {identity!r}')
    arguments: dict[str, Any] = {}
    for part in filter(None, (match[1] or "").split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in _DEFAULTS:
            raise InputError(f"bm25 has no argument {key!r}; it has {', '.join(_DEFAULTS)}")
        try:
            arguments[key] = json.loads(value)
        except json.JSONDecodeError as error:
            raise InputError(f"the argument {key} of bm25 must be a JSON value, got {value!r}") from error
    return arguments


def _qdrant_bm25(
    *, language: str, k: float, b: float, average_length: float, tokenizer: str, ascii_folding: bool
) -> Any:
    import qdrant_edge

    kinds = {name.lower(): name for name in ("Word", "Whitespace", "Prefix", "Multilingual", "Code")}
    if tokenizer not in kinds:
        raise InputError(f"tokenizer must be one of {', '.join(kinds)}; got {tokenizer!r}")
    try:
        return qdrant_edge.Bm25(
            qdrant_edge.Bm25Config(
                k=k, b=b, avg_len=average_length, language=language, ascii_folding=ascii_folding,
                tokenizer=getattr(qdrant_edge.TokenizerType, kinds[tokenizer]),
            )
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise InputError(f"Qdrant refuses these BM25 settings: {error}") from error


def _checked(vector: Any) -> SparseVector:
    indices = np.asarray(vector.indices, dtype=np.int64)
    values = np.asarray(vector.values, dtype=np.float32)
    if indices.ndim != 1 or indices.shape != values.shape:
        raise InputError(f"a sparse vector needs as many indices as values; got {indices.shape} and {values.shape}")
    if len(np.unique(indices)) != len(indices):
        raise InputError("the indices of a sparse vector must be unique; got repeated ones")
    if len(indices) and (indices.min() < 0 or indices.max() >= 2**32):
        raise InputError("the indices of a sparse vector must lie between 0 and 2**32 - 1")
    if not np.isfinite(values).all():
        raise InputError("the values of a sparse vector must be finite; got NaN or inf")
    return SparseVector(indices.astype(np.uint32), values)
