"""langchain-qdrant and Octant read and write each other's collections."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from langchain_qdrant import RetrievalMode as TheirMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import QdrantClient, models

from octant.errors import DimensionError, InputError, MismatchError
from octant_langchain import OctantVectorStore

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


class Letters(SparseEmbeddings):
    """One weight for every letter."""

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> SparseVector:
        letters = sorted(set(text))
        return SparseVector(indices=[ord(letter) for letter in letters], values=[1.0] * len(letters))


TEXTS = ["north", "east", "south", "up"]
METADATAS = [{"n": 1}, {"n": 2, "deep": {"x": [1]}}, {}, {"n": 4}]
UUIDS = [str(uuid.UUID(int=n + 1)) for n in range(4)]


def their_ids(documents: list[Document]) -> list[str]:
    return [str(document.metadata["_id"]) for document in documents]


@pytest.mark.parametrize("vector_name", ["", "dense"])
@pytest.mark.parametrize("distance", list(models.Distance))
def test_what_langchain_qdrant_wrote_opens_and_searches_here(
    client: QdrantClient, table: Any, vector_name: str, distance: models.Distance
) -> None:
    client.create_collection("shared", {vector_name: models.VectorParams(size=4, distance=distance)})
    theirs = QdrantVectorStore(client, "shared", table, vector_name=vector_name, distance=distance)
    theirs.add_texts(TEXTS, METADATAS, ids=UUIDS)
    ours = OctantVectorStore.from_existing_collection("shared", table, client=client, vector_name=vector_name)
    expected = theirs.similarity_search_with_score("north", k=4)
    found = ours.similarity_search_with_score("north", k=4)
    assert [doc.id for doc, _ in found] == their_ids([doc for doc, _ in expected])
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert ours.get_by_ids([UUIDS[1]]) == [Document(id=UUIDS[1], page_content="east", metadata=METADATAS[1])]
    # Both write to it, both see it.
    ours.add_texts(["north-east"], [{"n": 5}], ids=[str(uuid.UUID(int=9))])
    assert theirs.similarity_search("north-east", k=1)[0].metadata["n"] == 5
    ours.delete([UUIDS[0]])
    assert UUIDS[0] not in their_ids(theirs.similarity_search("north", k=9))


def test_their_integer_ids_are_digits_here(client: QdrantClient, table: Any) -> None:
    client.create_collection("shared", models.VectorParams(size=4, distance=models.Distance.COSINE))
    QdrantVectorStore(client, "shared", table).add_texts(TEXTS, ids=[1, 2, 3, 4])
    ours = OctantVectorStore(client, "shared", table)
    assert ours.similarity_search("up", k=1)[0].id == "4"
    ours.add_texts(["east"], [{"new": True}], ids=["4"])  # replaces theirs
    assert ours.collection.count() == 4
    assert [doc.metadata for doc in ours.get_by_ids(["4", 4])] == [{"new": True}]


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_their_sparse_and_hybrid_collections_open_here(client: QdrantClient, table: Any, mode: str) -> None:
    encoder = Letters()
    dense = {} if mode == "sparse" else {"": models.VectorParams(size=4, distance=models.Distance.COSINE)}
    client.create_collection("shared", dense, sparse_vectors_config={"langchain-sparse": models.SparseVectorParams()})
    model = None if mode == "sparse" else table
    theirs = QdrantVectorStore(
        client, "shared", model, retrieval_mode=TheirMode(mode), sparse_embedding=encoder, validate_embeddings=False
    )
    theirs.add_texts(TEXTS, METADATAS, ids=UUIDS)
    ours = OctantVectorStore(client, "shared", model, TheirMode(mode), sparse_embedding=encoder)
    query = "south"
    # Qdrant's default fusion constant, which langchain-qdrant asks for; it does not over-fetch.
    fusion = models.FusionQuery(fusion=models.Fusion.RRF)
    expected = theirs.similarity_search_with_score(query, k=4)
    found = ours.similarity_search_with_score(query, k=4, **({} if mode == "sparse" else {"hybrid_fusion": fusion}))
    assert [doc.id for doc, _ in found] == their_ids([doc for doc, _ in expected])
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    with pytest.raises(InputError, match="encoder"):
        OctantVectorStore(client, "shared", model, mode).similarity_search(query)


@pytest.mark.parametrize("represent", ["float32", "float16"])
@pytest.mark.parametrize("distance", ["cosine", "dot", "euclid", "manhattan"])
def test_what_octant_wrote_uncompressed_opens_there(
    client: QdrantClient, table: Any, represent: str, distance: str
) -> None:
    place = {"client": client, "collection_name": "shared"}
    ours = OctantVectorStore.from_texts(
        TEXTS, table, METADATAS, ids=UUIDS, represent=represent, distance=distance, **place
    )
    theirs = QdrantVectorStore(client, "shared", table, distance=models.Distance(distance.capitalize()))
    found = theirs.similarity_search_with_score("up", k=4)
    expected = ours.similarity_search_with_score("up", k=4)
    assert their_ids([doc for doc, _ in found]) == [doc.id for doc, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert [doc.page_content for doc, _ in found] == [doc.page_content for doc, _ in expected]
    assert found[0][0].metadata["n"] == 4
    theirs.add_texts(["north-east"], [{"n": 5}], ids=[str(uuid.UUID(int=9))])
    assert ours.similarity_search("north-east", k=1)[0].metadata == {"n": 5}


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_octants_sparse_and_hybrid_collections_open_there(client: QdrantClient, table: Any, mode: str) -> None:
    encoder = Letters()
    options = {"client": client, "collection_name": "shared", "retrieval_mode": mode, "sparse_embedding": encoder}
    ours = OctantVectorStore.from_texts(TEXTS, table, ids=UUIDS, represent="float32", **options)
    theirs = QdrantVectorStore(client, "shared", table, retrieval_mode=TheirMode(mode), sparse_embedding=encoder)
    found = theirs.similarity_search("south", k=4)
    assert their_ids(found)[0] == UUIDS[2]
    assert set(their_ids(found)) == {doc.id for doc in ours.similarity_search("south", k=4)}


def test_a_collection_of_theirs_is_not_compressed_by_asking(client: QdrantClient, table: Any) -> None:
    client.create_collection("shared", models.VectorParams(size=4, distance=models.Distance.COSINE))
    place = {"client": client, "collection_name": "shared"}
    with pytest.raises(MismatchError, match="represent is 'float32', expected 'turbo8'"):
        OctantVectorStore.from_texts(TEXTS, table, represent="turbo8", **place)
    OctantVectorStore.from_texts(TEXTS, table, **place)
    assert client.count("shared").count == len(TEXTS)


def test_another_vector_name_or_width_is_named(client: QdrantClient, table: Any) -> None:
    width = models.VectorParams(size=3, distance=models.Distance.COSINE)
    client.create_collection("shared", {"dense": width})
    client.create_collection("two", {"dense": width, "other": width})
    with pytest.raises(MismatchError, match="several dense vectors, 'dense', 'other': say which one with vector_name="):
        OctantVectorStore(client, "two", table)
    with pytest.raises(MismatchError, match="no dense vector named 'third'; it has 'dense', 'other'"):
        OctantVectorStore(client, "two", table, vector_name="third")
    store = OctantVectorStore(client, "shared", table, vector_name="dense")
    with pytest.raises(DimensionError, match="expected embeddings of 3 coordinates, got 4"):
        store.add_texts(["up"])
