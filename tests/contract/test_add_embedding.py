"""A further embedding for a live collection: added, gone on with after a kill, dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from fake_server import serving
from made_embeddings import HashedWords, documents
from octant import Collection
from octant.backfill import MAX_PASSES
from octant.errors import InputError, MismatchError, SpecError, TooFewVectorsError, UnsupportedError

TEXTS = documents()
QUERY = "glaciers note10"
SPECS = ["turbo8", "coarse=pca(16)|turbo4; fine=float8"]

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


@pytest.fixture(params=["edge", "local"])
def location(request: Any, tmp_path: Path) -> Iterator[Any]:
    if request.param == "edge":
        yield tmp_path
        return
    client = QdrantClient(":memory:")
    yield client
    client.close()


def live(location: Any, **more: Any) -> Collection:
    collection = Collection.create("docs", location=location, embedding=HashedWords(1), **more)
    collection.add(TEXTS, ids=[f"doc {row}" for row in range(len(TEXTS))])
    return collection


@pytest.mark.parametrize("represent", SPECS)
def test_it_finds_what_it_would_have_found_from_the_start(location: Any, represent: str, tmp_path: Path) -> None:
    with live(location, sparse="bm25") as collection:
        before = collection.search_each(QUERY)
        assert collection.add_embedding("large", HashedWords(2, 48), represent=represent, batch_size=16) == len(TEXTS)
        found = collection.search_each(QUERY)
        assert list(found) == ["dense", "large", "sparse"]
        assert found["dense"].ids == before["dense"].ids
        if represent == "turbo8":
            both = {"dense": HashedWords(1), "large": HashedWords(2, 48)}
            with Collection.create("both", location=tmp_path / "other", embeddings=both) as expected:
                expected.add(TEXTS, ids=[f"doc {row}" for row in range(len(TEXTS))])
                alone = expected.search(QUERY, embedding="large")
            assert np.allclose(found["large"].scores, alone.scores, atol=3e-3)  # local mode keeps floats
        assert found["large"][0].id == "doc 10"


def test_documents_added_later_get_it_too(tmp_path: Path) -> None:
    with live(tmp_path) as collection:
        collection.add_embedding("large", HashedWords(2, 48))
    models = {"dense": HashedWords(1), "large": HashedWords(2, 48)}
    with Collection.open("docs", location=tmp_path, embeddings=models) as collection:
        assert list(collection.embeddings) == ["dense", "large"]
        collection.add(["sextants sold here, note99"], ids=["late"])
        assert collection.search("note99 sold here", embedding="large")[0].id == "late"


def test_without_its_model_nothing_can_be_added_any_more(tmp_path: Path) -> None:
    with live(tmp_path) as collection:
        collection.add_embedding("large", HashedWords(2, 48))
    with (
        Collection.open("docs", location=tmp_path, embedding=HashedWords(1)) as collection,
        pytest.raises(InputError, match="these would be missing: 'large'"),
    ):
        collection.add(["one"])


@pytest.mark.parametrize(
    ("represent", "fails_after"),
    [(SPECS[0], 0), (SPECS[0], 40), (SPECS[1], 40), (SPECS[1], 100)],  # while it learns, while it fills
)
def test_a_run_that_died_goes_on_where_it_was(tmp_path: Path, represent: str, fails_after: int) -> None:
    model = HashedWords(2, 48)
    model.fails_after = fails_after
    with live(tmp_path) as collection, pytest.raises(ConnectionError):
        collection.add_embedding("large", model, represent=represent, batch_size=16)
    again = HashedWords(2, 48)
    with Collection.open("docs", location=tmp_path, embedding=HashedWords(1)) as collection:
        assert collection.search(QUERY)[0].id == "doc 10"  # readers never notice
        if "large" in collection.embeddings:
            assert not collection.embeddings["large"].complete
            assert list(collection.search_each(QUERY)) == ["dense"]
            with pytest.raises(InputError, match=r"'large' is not complete: call add_embedding\('large', ...\) again"):
                collection.search(QUERY, embedding="large")
        collection.add(["looms, all new, note77"], ids=["new"])  # writers neither
        collection.add_embedding("large", again, represent=represent, batch_size=16)
        assert collection.embeddings["large"].complete
        assert collection.count({"must_not": [{"has_vector": "large" if represent == "turbo8" else "large.fine"}]}) == 0
        assert {candidate.id for candidate in collection.search("note77 looms new", embedding="large", k=3)} >= {"new"}
    if fails_after == 40 and represent == "turbo8":
        assert again.seen < 40  # what was written was not embedded again


def test_what_was_begun_is_not_gone_on_with_as_something_else(tmp_path: Path) -> None:
    model = HashedWords(2, 48)
    model.fails_after = 20
    with live(tmp_path) as collection:
        with pytest.raises(ConnectionError):
            collection.add_embedding("large", model, batch_size=16)
        with pytest.raises(MismatchError, match=r"begun with 'turbo8', got 'turbo4'.*drop_embedding\('large'\)"):
            collection.add_embedding("large", HashedWords(2, 48), represent="turbo4")
        with pytest.raises(MismatchError, match=r"hashed-words-2.*hashed-words-3"):
            collection.add_embedding("large", HashedWords(3, 48))
        collection.drop_embedding("large")
        assert collection.add_embedding("large", HashedWords(3, 48), represent="turbo4") == len(TEXTS)


def test_documents_that_are_replaced_meanwhile_get_the_vector_of_their_new_text(tmp_path: Path) -> None:
    with live(tmp_path) as collection:
        writer = Replacing(collection)
        collection.add_embedding("large", writer, batch_size=16)
        assert writer.replaced
        assert collection.search("quite another text", embedding="large")[0].id == "doc 3"


class Replacing(HashedWords):
    """Replaces a document while its old text is being embedded."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(2, 48)
        self.collection, self.replaced = collection, False

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if TEXTS[3] in texts and not self.replaced:
            self.replaced = True
            self.collection.add(["quite another text"], ids=["doc 3"])
        return super().embed_documents(texts)


def test_a_collection_that_never_rests_is_told(tmp_path: Path) -> None:
    with live(tmp_path) as collection:
        with pytest.raises(MismatchError, match="1 documents are still without a vector of 'large'"):
            collection.add_embedding("large", Restless(collection))
        assert not collection.embeddings["large"].complete


class Restless(HashedWords):
    """Adds a document whenever some are embedded, ahead of those that were read already."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(2, 48)
        self.collection, self.next = collection, 10**6

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.seen and self.next > 10**6 - MAX_PASSES - 1:
            self.next -= 1
            self.collection.add(["once more"], ids=[self.next])
        return super().embed_documents(texts)


async def test_the_awaited_twins_do_the_same(tmp_path: Path) -> None:
    with live(tmp_path) as collection:
        assert await collection.aadd_embedding("large", HashedWords(2, 48)) == len(TEXTS)
        assert (await collection.asearch_each(QUERY)).ids[0] == "doc 10"
        await collection.adrop_embedding("large")
        assert list(collection.embeddings) == ["dense"]


def test_a_dropped_one_leaves_nothing_behind(location: Any) -> None:
    with live(location) as collection:
        before = collection.schema()
        collection.add_embedding("large", HashedWords(2, 48), represent=SPECS[1])
        collection.drop_embedding("large")
        after = collection.schema()
        assert set(after.names) == set(before.names)
        assert set(after.manifests) == set(before.manifests)
        collection.add(["one"], ids=["one"])
        with pytest.raises(InputError, match="no embedding 'large'; it has 'dense'"):
            collection.drop_embedding("large")
        with pytest.raises(InputError, match="'dense' is the embedding that the collection is open with"):
            collection.drop_embedding("dense")


def test_another_clients_collection_takes_one_too(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    from qdrant_client import models

    client.create_collection("docs", vectors_config=models.VectorParams(size=32, distance=models.Distance.COSINE))
    vectors = HashedWords(1).embed_documents(TEXTS)
    points = [
        models.PointStruct(id=row, vector=vector, payload={"page_content": text})
        for row, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
    ]
    client.upsert("docs", points)
    with Collection.open("docs", location=client, embedding=HashedWords(1)) as collection:
        assert collection.add_embedding("large", HashedWords(2, 48)) == len(TEXTS)
    both = {"dense": HashedWords(1), "large": HashedWords(2, 48)}
    with Collection.open("docs", location=client, embeddings=both) as collection:
        found = collection.search_each(QUERY)
        assert found["dense"][0].id == found["large"][0].id == 10
        collection.add(["sextants sold, note99"], ids=[99])
        assert collection.search("note99 sold", embedding="large")[0].id == 99
    client.close()


# -- refused before anything is written ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "arguments", "error", "message"),
    [
        ("", HashedWords(2), {}, InputError, "needs a name"),
        ("sparse", HashedWords(2), {}, InputError, "a vector called 'sparse' already"),
        ("dense", HashedWords(2), {}, InputError, "an embedding 'dense' already"),
        ("large", None, {}, InputError, "'large' needs its model"),
        ("large", HashedWords(2), {"represent": "turbo5"}, SpecError, "turbo5"),
        ("large", HashedWords(2), {"batch_size": 0}, InputError, "batch_size must be at least 1"),
        ("large", HashedWords(2, 256), {"represent": "pca(200)"}, TooFewVectorsError, "holds 60 documents"),
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, name: str, model: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    with live(tmp_path, sparse="bm25") as collection:
        before = collection.schema()
        with pytest.raises(error, match=message):
            collection.add_embedding(name, model, **arguments)
        assert collection.schema() == before


def test_documents_without_a_text_are_told(location: Any) -> None:
    with Collection.create("docs", location=location, dimension=4) as collection:
        collection.add(vectors=np.eye(4), ids=range(4))
        before = collection.schema()
        with pytest.raises(InputError, match="4 of the collection's documents have no text under 'page_content'"):
            collection.add_embedding("large", HashedWords(2))
        assert collection.schema() == before


def test_a_collection_without_an_embedding_is_made_with_one_instead(tmp_path: Path) -> None:
    with (
        Collection.create("docs", location=tmp_path) as collection,
        pytest.raises(InputError, match="create with embeddings="),
    ):
        collection.add_embedding("large", HashedWords(2))


def test_an_old_server_says_so_first() -> None:
    with serving() as fake:
        Collection.create("docs", location=fake.url, dimension=4, represent="float32").close()
        fake.version = "1.17.0"
        with Collection.open("docs", location=fake.url) as collection:
            writes = len(fake.seen("PATCH"))
            with pytest.raises(UnsupportedError, match=r"needs Qdrant 1\.18"):
                collection.add_embedding("large", HashedWords(2))
        assert len(fake.seen("PATCH")) == writes


def test_an_empty_collection_takes_one_and_learns_with_its_first_documents(location: Any) -> None:
    with Collection.create("docs", location=location, embedding=HashedWords(1), dimension=32) as collection:
        assert collection.add_embedding("large", HashedWords(2, 48), represent="pca(16)|turbo8") == 0
        collection.add(TEXTS, ids=range(len(TEXTS)))
        assert collection.search_each("tides")["large"][0].text.startswith("tides")  # type: ignore[union-attr]
