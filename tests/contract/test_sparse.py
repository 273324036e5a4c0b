"""Sparse encoders, Qdrant's own and LangChain's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from octant.errors import InputError
from octant.sparse import Bm25, LangChainSparse, sparse_encoder


@dataclass
class Vector:
    indices: list[int]
    values: list[float]


class Words:
    """langchain-qdrant's sparse interface over word lengths."""

    model_name = "words"

    def embed_documents(self, texts: list[str]) -> list[Vector]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> Vector:
        words = sorted(set(text.split()))
        return Vector([len(word) * 100 + ord(word[0]) for word in words], [1.0] * len(words))


def test_bm25_counts_saturate_and_long_passages_pay() -> None:
    once, thrice, padded = Bm25().encode_documents(["octopus", "octopus octopus octopus", "octopus " + "ship " * 300])
    assert once.indices.dtype == np.uint32
    assert once.values.dtype == np.float32
    assert once.values[0] < thrice.values[0] < 3 * once.values[0]
    weight = dict(zip(padded.indices.tolist(), padded.values.tolist(), strict=True))[int(once.indices[0])]
    assert weight < once.values[0]


def test_bm25_is_the_formula() -> None:
    k, b, average = 1.5, 0.5, 10.0
    [vector] = Bm25(k=k, b=b, average_length=average).encode_documents(["octopus octopus compass bread"])
    length = 4
    expected = sorted(tf * (k + 1) / (tf + k * (1 - b + b * length / average)) for tf in (2, 1, 1))
    np.testing.assert_allclose(sorted(vector.values), expected, rtol=1e-5)


def test_bm25_queries_weigh_every_token_once() -> None:
    [vector] = Bm25().encode_queries(["running octopus runs octopus"])
    assert vector.values.tolist() == [1.0, 1.0]


def test_documents_and_queries_share_tokens() -> None:
    [document], [query] = Bm25().encode_documents(["The Octopuses swam"]), Bm25().encode_queries(["octopus swimming"])
    assert set(document.indices.tolist()) & set(query.indices.tolist())


@pytest.mark.parametrize("text", ["", "   ", "the of and"])
def test_a_text_without_tokens_is_an_empty_vector(text: str) -> None:
    for vectors in (Bm25().encode_documents([text]), Bm25().encode_queries([text])):
        assert vectors[0].indices.shape == vectors[0].values.shape == (0,)


def test_language_decides_the_stemmer() -> None:
    german, english = Bm25("german"), Bm25()
    assert german.encode_queries(["Häuser"])[0].indices.tolist() == german.encode_queries(["Haus"])[0].indices.tolist()
    assert (
        english.encode_queries(["Häuser"])[0].indices.tolist() != english.encode_queries(["Haus"])[0].indices.tolist()
    )


def test_ascii_folding_folds() -> None:
    folded = Bm25(ascii_folding=True)
    assert (
        folded.encode_queries(["Ångström"])[0].indices.tolist()
        == folded.encode_queries(["angstrom"])[0].indices.tolist()
    )


@pytest.mark.parametrize(
    ("encoder", "identity"),
    [
        (Bm25(), "bm25"),
        (Bm25("german", b=0.5), 'bm25(language="german", b=0.5)'),
        (Bm25(tokenizer="whitespace", ascii_folding=True), 'bm25(tokenizer="whitespace", ascii_folding=true)'),
    ],
)
def test_the_identity_rebuilds_the_encoder(encoder: Bm25, identity: str) -> None:
    assert encoder.identity == identity
    again = sparse_encoder(identity)
    assert again.identity == identity
    text = ["Häuser und Ångström, running"]
    ours, theirs = encoder.encode_documents(text)[0], again.encode_documents(text)[0]
    assert (ours.indices.tolist(), ours.values.tolist()) == (theirs.indices.tolist(), theirs.values.tolist())


def test_langchains_sparse_embeddings_are_wrapped() -> None:
    encoder = sparse_encoder(Words())
    assert isinstance(encoder, LangChainSparse)
    assert encoder.identity == "Words:words"
    [a, b] = encoder.encode_documents(["red fish", "blue"])
    assert (a.indices.tolist(), a.values.tolist()) == ([502, 414], [1.0, 1.0])
    assert b.indices.tolist() == encoder.encode_queries(["blue"])[0].indices.tolist() == [498]


def test_a_real_langchain_class_is_wrapped() -> None:
    from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector

    class Constant(SparseEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[SparseVector]:
            return [SparseVector(indices=[3], values=[0.5]) for _ in texts]

        def embed_query(self, text: str) -> SparseVector:
            return SparseVector(indices=[3], values=[0.5])

    assert sparse_encoder(Constant()).encode_queries(["x"])[0].indices.tolist() == [3]


def test_an_encoder_is_returned_as_it_is() -> None:
    encoder = Bm25()
    assert sparse_encoder(encoder) is encoder


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Bm25("klingon"), 'unsupported language: "klingon"'),
        (lambda: Bm25(b=2), "Qdrant refuses these BM25 settings"),
        (lambda: Bm25(average_length=-1), "must be finite and > 0"),
        (lambda: Bm25(tokenizer="words"), "tokenizer must be one of word, whitespace, prefix"),
        (lambda: sparse_encoder("splade"), "the built-in sparse encoder is called \"bm25\"; got 'splade'"),
        (lambda: sparse_encoder("bm25(lang=1)"), "bm25 has no argument 'lang'; it has language, k"),
        (lambda: sparse_encoder("bm25(k=abc)"), "the argument k of bm25 must be a JSON value, got 'abc'"),
        (lambda: sparse_encoder(7), 'sparse must be "bm25", or an object'),
    ],
)
def test_what_is_refused(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (Vector([1, 2], [1.0]), "as many indices as values"),
        (Vector([1, 1], [1.0, 2.0]), "must be unique"),
        (Vector([-1], [1.0]), "between 0 and 2"),
        (Vector([1], [float("nan")]), "must be finite"),
    ],
)
def test_malformed_sparse_vectors_are_refused(vector: Vector, message: str) -> None:
    class Bad(Words):
        def embed_query(self, text: str) -> Vector:
            return vector

    with pytest.raises(InputError, match=message):
        sparse_encoder(Bad()).encode_documents(["x"])


def test_one_vector_a_text() -> None:
    class Short(Words):
        def embed_documents(self, texts: list[str]) -> list[Vector]:
            return []

    with pytest.raises(InputError, match="expected 2 sparse vectors from Short:words, one a text; got 0"):
        sparse_encoder(Short()).encode_documents(["x", "y"])
