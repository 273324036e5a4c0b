"""Documents in and out: ids, payloads, generators, nothing of the caller's changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index

from octant.errors import CollectionNotFoundError, DuplicateIdError, InputError, MismatchError
from octant_langchain import OctantVectorStore

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")

Make = Callable[..., OctantVectorStore]


def test_no_texts_are_a_valid_start_and_cost_no_embedding(store_of: Make, table: Any) -> None:
    store = store_of([], table)
    assert store.similarity_search("north") == []
    assert store.max_marginal_relevance_search("north") == []
    assert store.get_by_ids(["1"]) == []
    assert store.delete(["1"]) is True
    assert store.add_texts([]) == []
    assert store.collection.dimension is None
    assert table.asked == []
    store.add_texts(["north", "up"])
    assert store.collection.dimension == 4
    assert table.asked == ["north", "up"]
    assert store.similarity_search("up", k=1)[0].page_content == "up"


def test_every_text_is_embedded_once(store_of: Make, table: Any) -> None:
    store_of(["north", "east", "up"], table)
    assert table.asked == ["north", "east", "up"]


def test_generators_are_read_once_and_in_full(store_of: Make, table: Any) -> None:
    store = store_of((text for text in ["north", "east"]), table, ({"n": n} for n in (1, 2)), ids=iter(["a", "b"]))
    assert store.add_documents(Document(page_content=text) for text in ["up", "south"])
    assert store.get_by_ids(iter(["a", "b"])) == [
        Document(id="a", page_content="north", metadata={"n": 1}),
        Document(id="b", page_content="east", metadata={"n": 2}),
    ]
    assert store.collection.count() == 4


def test_from_documents_takes_a_generator_and_keeps_ids(place: dict[str, Any], table: Any) -> None:
    documents = (Document(id=name, page_content=name, metadata={"of": name}) for name in ("north", "up"))
    with OctantVectorStore.from_documents(documents, table, **place) as store:
        assert store.get_by_ids(["up"]) == [Document(id="up", page_content="up", metadata={"of": "up"})]


def test_the_callers_objects_stay_as_they_are(store_of: Make, table: Any) -> None:
    metadatas = [{"tags": ["a"], "deep": {"x": 1}}, {}]
    before = copy.deepcopy(metadatas)
    store = store_of(["north", "up"], table, metadatas, ids=["1", "2"])
    found = store.get_by_ids(["1"])[0]
    found.metadata["deep"]["x"] = 2
    found.metadata["tags"].append("b")
    assert metadatas == before
    assert store.get_by_ids(["1"])[0].metadata == before[0]


def test_missing_ids_are_made_up(store_of: Make, table: Any) -> None:
    ids = store_of([], table).add_texts(["north", "east", "up"], ids=["x", None, None])
    assert ids[0] == "x"
    assert len(set(ids)) == 3
    assert all(isinstance(point, str) for point in ids)


def test_integers_are_known_by_their_digits(store_of: Make, table: Any) -> None:
    store = store_of(["north"], table, ids=[7])
    store.collection.add(["east"], ids=[8])  # as octant.Collection writes integers
    assert [doc.id for doc in store.get_by_ids(["7", 8])] == ["7", "8"]
    assert [doc.id for doc in store.similarity_search("east", k=1)] == ["8"]
    store.delete([7, "8"])
    assert store.collection.count() == 0


def test_deleting_by_filter_and_deleting_everything(store_of: Make, table: Any) -> None:
    store = store_of(["north", "east", "up"], table, [{"n": 1}, {"n": 2}, {"n": 3}])
    store.delete(filter={"must": [{"key": "metadata.n", "match": {"value": 2}}]})
    assert {doc.page_content for doc in store.similarity_search("north", k=9)} == {"north", "up"}
    with pytest.raises(InputError, match="ids or a filter"):
        store.delete(["1"], filter={})
    store.delete([])
    assert store.collection.count() == 2
    store.delete()
    assert store.collection.count() == 0


def test_payload_keys_are_configurable(store_of: Make, table: Any) -> None:
    store = store_of(["up"], table, [{"n": 1}], ids=["1"], content_payload_key="text", metadata_payload_key="about")
    assert store.collection.get(["1"])[0].payload == {"about": {"n": 1}}
    assert store.similarity_search("up") == [Document(id="1", page_content="up", metadata={"n": 1})]
    wanted = {"must": [{"key": "about.n", "match": {"value": 1}}]}
    assert len(store.similarity_search("up", filter=wanted)) == 1


def test_flat_payloads_are_metadata_when_asked(store_of: Make, table: Any) -> None:
    store = store_of(["up"], table, [{"n": 1}], ids=["1"], metadata_payload_key=None)
    assert store.collection.get(["1"])[0].payload == {"n": 1}
    assert store.similarity_search("up") == [Document(id="1", page_content="up", metadata={"n": 1})]


def test_a_collection_of_the_core_can_be_wrapped(store_of: Make, table: Any) -> None:
    first = store_of([], table, metadata_payload_key=None)
    first.collection.add(["north", "up"], payloads=[{"n": 1}, {"n": 2}], ids=["a", "b"])
    store = OctantVectorStore(collection=first.collection, metadata_payload_key=None)
    assert store.similarity_search("up", k=1) == [Document(id="b", page_content="up", metadata={"n": 2})]
    with pytest.raises(InputError, match="already has its embedding"):
        OctantVectorStore(collection=first.collection, embedding=table)


def test_a_collection_is_opened_again_by_name(place: dict[str, Any], table: Any) -> None:
    options = {**place, "collection_name": "compass"}
    with OctantVectorStore.from_texts(["north", "up"], table, ids=["1", "2"], **options):
        pass
    with OctantVectorStore.from_existing_collection(embedding=table, **options) as store:
        assert store.collection_name == "compass"
        assert store.similarity_search("up", k=1)[0].id == "2"
    with OctantVectorStore(collection_name="compass", embedding=table, **place) as store:
        assert store.similarity_search("up", k=1)[0].id == "2"
    with OctantVectorStore.from_texts(["east"], table, ids=["3"], **options) as store:
        assert store.collection.count() == 3
    with OctantVectorStore.from_texts(["east"], table, ids=["3"], force_recreate=True, **options) as store:
        assert store.collection.count() == 1


def test_langchains_index_keeps_a_store_in_step(store_of: Make, table: Any) -> None:
    store = store_of([], table)
    records = InMemoryRecordManager("test")
    records.create_schema()

    def sync(*names: str) -> dict[str, int]:
        documents = [Document(page_content=name, metadata={"source": name}) for name in names]
        return index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256")  # type: ignore[return-value]

    assert sync("north", "up")["num_added"] == 2
    again = sync("north", "east")
    assert (again["num_added"], again["num_skipped"], again["num_deleted"]) == (1, 1, 1)
    assert {doc.page_content for doc in store.similarity_search("north", k=9)} == {"north", "east"}


# -- refusals: a clear error, nothing written ----------------------------------------------------


def test_bad_documents_are_refused_and_nothing_is_written(store_of: Make, table: Any) -> None:
    store = store_of(["north"], table)
    with pytest.raises(InputError, match="one payload per point, 2 in all, got 1"):
        store.add_texts(["up", "east"], [{}])
    with pytest.raises(InputError, match="one id per point, 2 in all, got 1"):
        store.add_texts(["up", "east"], ids=["1"])
    with pytest.raises(DuplicateIdError, match="ids must be unique"):
        store.add_texts(["up", "east"], ids=["1", "1"])
    with pytest.raises(InputError, match="wrap it in a list"):
        store.add_texts("up")
    with pytest.raises(InputError, match="row 1 is NoneType"):
        store.add_texts(["up", None])  # type: ignore[list-item]
    assert store.collection.count() == 1


def test_unknown_options_are_refused_by_name(store_of: Make, table: Any) -> None:
    store = store_of(["north"], table)
    with pytest.raises(TypeError, match=r"unknown option 'represents': did you mean 'represent'\?"):
        OctantVectorStore.from_texts([], table, represents="turbo4")
    with pytest.raises(TypeError, match=r"unknown option 'vector_params'.*The options are collection_name, "):
        OctantVectorStore.from_texts([], table, vector_params={})
    with pytest.raises(TypeError, match="unknown option 'score_treshold': did you mean 'score_threshold'"):
        store.similarity_search("north", score_treshold=0.5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'consistency'"):
        store.add_texts(["up"], consistency=1)


def test_a_place_is_said_in_one_way(table: Any) -> None:
    with pytest.raises(InputError, match="one way, got path, url"):
        OctantVectorStore.from_texts([], table, path="/nowhere", url="http://localhost")
    with pytest.raises(InputError, match="empty string"):
        OctantVectorStore.from_texts([], table, location="")
    with pytest.raises(InputError, match="api_key"):
        OctantVectorStore.from_texts([], table, location=":memory:", api_key="secret")


def test_opening_what_is_not_there_or_something_else(place: dict[str, Any], table: Any) -> None:
    with pytest.raises(InputError, match="pass collection_name="):
        OctantVectorStore(embedding=table, **place)
    with pytest.raises(CollectionNotFoundError, match="compass"):
        OctantVectorStore.from_existing_collection("compass", table, **place)
    with OctantVectorStore.from_texts(["north"], table, collection_name="compass", **place):
        pass
    with pytest.raises(MismatchError, match="content_payload_key is 'page_content', expected 'text'"):
        OctantVectorStore.from_existing_collection("compass", table, content_payload_key="text", **place)
    with pytest.raises(MismatchError, match="represent is 'turbo8', expected 'float16'"):
        OctantVectorStore.from_existing_collection("compass", table, represent="float16", **place)
    with pytest.raises(MismatchError, match="distance is 'Cosine', expected 'Euclid'"):
        OctantVectorStore.from_existing_collection("compass", table, distance="euclid", **place)
    with pytest.raises(MismatchError, match="one is called 'Table', the other 'DeterministicFakeEmbedding'"):
        OctantVectorStore.from_texts(
            ["x"], DeterministicFakeEmbedding(size=8), collection_name="compass", **place
        ).close()
    with pytest.raises(InputError, match="no sparse vectors named 'langchain-sparse' for hybrid mode"):
        OctantVectorStore.from_existing_collection("compass", table, retrieval_mode="hybrid", **place)
    with pytest.raises(InputError, match="hnsw say how a new collection is made"):
        OctantVectorStore.from_existing_collection("compass", table, hnsw=object(), **place)
    with pytest.raises(InputError, match="one payload per point, 1 in all, got 2"):
        OctantVectorStore.from_texts(["up"], table, [{}, {}], collection_name="compass", **place)
    with pytest.raises(InputError, match="retrieval_mode is dense, sparse or hybrid; got 'both'"):
        OctantVectorStore.from_existing_collection("compass", table, retrieval_mode="both", **place)
    # Every refusal has let go of the collection.
    with OctantVectorStore.from_existing_collection("compass", table, **place) as store:
        assert store.collection.count() == 1
