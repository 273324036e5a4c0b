"""Several embeddings in one collection: made, searched together and apart, opened again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from fake_server import Fault, Request, serving
from made_embeddings import HashedWords, documents
from octant import Collection, Ranking
from octant.errors import FilterError, InputError, MismatchError

TEXTS = documents()
QUERY = "glaciers note10"


@pytest.fixture
def models() -> dict[str, HashedWords]:
    return {"small": HashedWords(1, 32), "large": HashedWords(2, 48)}


@pytest.fixture(params=["edge", "local"])
def location(request: Any, tmp_path: Path) -> Iterator[Any]:
    if request.param == "edge":
        yield tmp_path
        return
    client = QdrantClient(":memory:")
    yield client
    client.close()


pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


TWO_STAGES = "coarse=pca(16)|turbo4; fine=float8"


def made(location: Any, models: dict[str, HashedWords], large: str = "float16", **more: Any) -> Collection:
    settings = {
        "small": {"embedding": models["small"], "represent": "turbo8"},
        "large": {"embedding": models["large"], "represent": large},
    }
    collection = Collection.create("docs", location=location, embeddings=settings, **more)
    collection.add(TEXTS, ids=range(len(TEXTS)))
    return collection


def alone(location: Any, model: HashedWords, represent: str) -> Collection:
    collection = Collection.create("alone", location=location, embedding=model, represent=represent)
    collection.add(TEXTS, ids=range(len(TEXTS)))
    return collection


def same(found: Ranking, expected: Ranking) -> None:
    assert found.ids == expected.ids
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


# -- searching -----------------------------------------------------------------------------------


def test_each_embedding_ranks_as_if_it_were_alone(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, TWO_STAGES, sparse="bm25") as collection:
        found = collection.search_each(QUERY, k=5)
        assert list(found) == ["small", "large", "sparse"]
        assert found.complete
        assert found.query == QUERY
        for name in ("small", "large"):
            same(collection.search(QUERY, k=5, embedding=name), found[name])
        same(collection.search(QUERY, k=5, mode="sparse"), found["sparse"])
        same(collection.search(QUERY, k=5, embedding="sparse"), found["sparse"])
    with alone(location if not isinstance(location, Path) else location / "other", models["small"], "turbo8") as single:
        same(found["small"], single.search(QUERY, k=5))


def test_the_first_embedding_is_what_a_plain_search_asks(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        same(collection.search(QUERY), collection.search(QUERY, embedding="small"))
        assert collection.search(QUERY, embedding="large")[0].id == 10


def test_only_those_are_asked_that_are_named(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        seen = models["small"].seen
        assert list(collection.search_each(QUERY, embeddings=["large"])) == ["large"]
        assert models["small"].seen == seen


def test_vectors_can_be_given_by_name(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        vector = models["large"].embed_query(QUERY)
        found = collection.search_each({"large": vector, "small": QUERY})
        assert list(found) == ["large", "small"]
        same(found["large"], collection.search(QUERY, embedding="large"))


def test_candidates_carry_the_vectors_of_their_own_embedding(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, TWO_STAGES) as collection:
        found = collection.search_each(QUERY, k=3, with_vectors=True)
        for name, dimension in (("small", 32), ("large", 48)):
            exact = np.array(models[name].embed_documents([TEXTS[int(point)] for point in found[name].ids]))
            decoded = np.stack([candidate.vector for candidate in found[name] if candidate.vector is not None])
            assert decoded.shape == (3, dimension)
            assert np.sum(exact * decoded, axis=1) == pytest.approx(1, abs=0.02)
            [got] = collection.get([found[name].ids[0]], with_vectors=True, embedding=name)
            assert np.array_equal(got.vector, decoded[0])  # type: ignore[arg-type]


def test_filters_pages_and_batches(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, sparse="bm25") as collection:
        first, second = collection.search_each_batch([QUERY, "looms note5"], k=4)
        for name, ranking in collection.search_each(QUERY, k=4).items():
            same(first[name], ranking)
        assert second["sparse"][0].id == second["small"][0].id == 5
        page = collection.search_each(QUERY, k=2, offset=2)
        assert page["large"].ids == first["large"].ids[2:]
        kept = collection.search_each(QUERY, k=4, filter={"must": [{"has_id": [1, 2]}]})
        assert set(kept.ids) <= {1, 2}
        assert collection.search_each_batch([]) == []


async def test_the_awaited_twin_gives_the_same(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, sparse="bm25") as collection:
        found = await collection.asearch_each(QUERY)
        for name, ranking in collection.search_each(QUERY).items():
            same(found[name], ranking)


def test_one_request_goes_to_the_server(models: dict[str, HashedWords]) -> None:
    with serving() as fake, Collection.create("docs", location=fake.url, embeddings=dict(models), sparse="bm25") as c:
        c.search_each_batch([QUERY, "tides"], embeddings=["small", "large", "sparse"])
        [request] = fake.seen("POST", "/points/query/batch")
        assert [search["using"] for search in request.body["searches"]] == [
            "small", "small", "large", "large", "sparse", "sparse"
        ]  # fmt: skip


# -- failing -------------------------------------------------------------------------------------


def test_a_model_that_fails_costs_the_others_nothing(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, sparse="bm25") as collection:
        models["small"].broken = "no route to host"
        found = collection.search_each(QUERY)
        assert dict(found.failures) == {"small": "ConnectionError: no route to host"}
        assert list(found) == ["large", "sparse"]


async def test_and_nothing_under_async(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        models["large"].broken = "no route to host"
        found = await collection.asearch_each(QUERY)
        assert dict(found.failures) == {"large": "ConnectionError: no route to host"}


def test_a_model_that_fails_for_one_query_answers_the_others(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        models["small"].breaks_on = "lichens"
        first, second = collection.search_each_batch([QUERY, "lichens"])
        assert first.complete
        assert list(second.failures) == ["small"]


def test_a_model_that_is_too_late_is_given_up(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        released = models["large"].waits = threading.Event()
        found = collection.search_each(QUERY, timeout=0.2, embeddings=["large"])
        released.set()
        assert dict(found.failures) == {"large": "TimeoutError: no answer within 0.2 s"}


async def test_and_given_up_under_async(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models) as collection:
        released = models["large"].waits = threading.Event()
        found = await collection.asearch_each(QUERY, timeout=0.2, embeddings=["large"])
        released.set()
        assert dict(found.failures) == {"large": "TimeoutError: no answer within 0.2 s"}


def test_what_the_engine_refuses_of_one_embedding_costs_the_others_nothing(models: dict[str, HashedWords]) -> None:
    with serving() as fake, Collection.create("docs", location=fake.url, embeddings=dict(models)) as collection:
        fake.trouble = refuse_the_large_one
        found = collection.search_each(QUERY)
        assert list(found) == ["small"]
        assert "made to fail" in found.failures["large"]


def refuse_the_large_one(request: Request) -> Fault | None:
    if "/points/query" not in request.path:
        return None
    searches = request.body.get("searches", [request.body])
    return Fault(400) if any(search["using"] == "large" for search in searches) else None


# -- writing -------------------------------------------------------------------------------------


def test_given_vectors_are_kept_and_the_others_are_made(location: Any, models: dict[str, HashedWords]) -> None:
    with Collection.create("docs", location=location, embeddings=dict(models)) as collection:
        seen = models["large"].seen
        vectors = np.array(models["large"].embed_documents(TEXTS))
        collection.add(TEXTS, vectors={"large": vectors}, ids=range(len(TEXTS)))
        assert models["large"].seen == seen + len(TEXTS)
        found = collection.search_each(QUERY)
        assert found["small"][0].id == found["large"][0].id == 10


def test_a_document_without_one_of_the_vectors_is_refused(location: Any, models: dict[str, HashedWords]) -> None:
    with Collection.create("docs", location=location, embeddings=dict(models)) as collection:
        vectors = np.ones((1, 32), np.float32)
        with pytest.raises(InputError, match="these would be missing: 'large' \\(HashedWords:hashed-words-2"):
            collection.add(vectors={"small": vectors})
        with pytest.raises(InputError, match=r"pass vectors=\{'small': ..., 'large': ...\}"):
            collection.add(vectors=vectors)
        with pytest.raises(InputError, match="no embedding 'huge'; it has 'small', 'large'"):
            collection.add(["one"], vectors={"huge": vectors})
        assert collection.count() == 0


def test_each_learns_from_its_own_vectors(location: Any, models: dict[str, HashedWords]) -> None:
    settings = {name: {"embedding": model, "represent": "pca(8)|turbo8"} for name, model in models.items()}
    with Collection.create("docs", location=location, embeddings=settings) as collection:
        collection.fit(TEXTS, embedding="large")
        assert collection.artifact is None
        collection.add(TEXTS, ids=range(len(TEXTS)))
        assert all("glaciers" in (found.text or "") for found in collection.search("glaciers", embedding="small", k=3))
        assert len({collection.artifact, collection._core.siblings["large"].manifest.artifact, None}) == 3


# -- opening -------------------------------------------------------------------------------------


def test_it_opens_with_all_of_its_embeddings(tmp_path: Path, models: dict[str, HashedWords]) -> None:
    with made(tmp_path, models, sparse="bm25") as collection:
        expected = collection.search_each(QUERY)
        described = collection.embeddings
    with Collection.open("docs", location=tmp_path, embeddings=dict(models)) as again:
        assert again.search_each(QUERY) == expected
        assert dict(again.embeddings) == dict(described)
        again.add(["sextants for sale, note99"], ids=[99])
        assert again.search_each("note99 sextants sale").ids[0] == 99


def test_what_is_said_of_the_embeddings(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, sparse="bm25") as collection:
        told = collection.embeddings
    assert list(told) == ["small", "large", "sparse"]
    assert (told["large"].dimension, told["large"].takes_texts, told["large"].complete) == (48, True, True)
    assert told["large"].model is not None
    assert told["large"].model.name == "HashedWords:hashed-words-2"
    assert (told["sparse"].sparse, told["sparse"].represent) == ("bm25", None)


def test_one_model_opens_the_embedding_that_it_made(tmp_path: Path, models: dict[str, HashedWords]) -> None:
    made(tmp_path, models).close()
    with Collection.open("docs", location=tmp_path, embedding=models["large"]) as collection:
        assert collection.dimension == 48
        assert list(collection.search_each(QUERY)) == ["large"]  # nobody can embed for the other one
        with pytest.raises(InputError, match="would be missing: 'small'"):
            collection.add(["one"])
    with pytest.raises(MismatchError, match=r"'small' .*hashed-words-1.*'large'.*; opened with .*hashed-words-3"):
        Collection.open("docs", location=tmp_path, embedding=HashedWords(3))


def test_models_by_the_wrong_name_are_refused(tmp_path: Path, models: dict[str, HashedWords]) -> None:
    made(tmp_path, models).close()
    with pytest.raises(MismatchError, match="has the embeddings 'small', 'large', got a model for 'huge'"):
        Collection.open("docs", location=tmp_path, embeddings={"huge": models["large"]})
    with pytest.raises(MismatchError, match="opened with HashedWords:hashed-words-2"):
        Collection.open("docs", location=tmp_path, embeddings={"small": models["large"]})
    Collection.open("docs", location=tmp_path).close()  # what was refused holds no lock


def test_creating_what_is_there_checks_every_embedding(tmp_path: Path, models: dict[str, HashedWords]) -> None:
    made(tmp_path, models).close()
    settings: dict[str, Any] = {"small": {"embedding": models["small"]}, "large": {"embedding": models["large"]}}
    with Collection.create("docs", location=tmp_path, embeddings=settings, exist_ok=True) as collection:
        assert collection.count() == len(TEXTS)
    with pytest.raises(MismatchError, match="the embeddings 'small', 'large', expected 'small'"):
        Collection.create("docs", location=tmp_path, embeddings={"small": settings["small"]}, exist_ok=True)
    settings["large"]["represent"] = "turbo4"
    with pytest.raises(MismatchError, match=r"represent is .*expected 'turbo4'"):
        Collection.create("docs", location=tmp_path, embeddings=settings, exist_ok=True)


# -- impossible wishes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": {}}, "a mapping from names to settings, with one at least"),
        ({"embeddings": {"": {"dimension": 4}}}, "needs a name"),
        ({"embeddings": {"a": {"dimension": 4}}, "embedding": HashedWords(1)}, "says for itself what embedding is"),
        ({"embeddings": {"a": {"dimension": 4}}, "dimension": 4}, "says for itself what dimension is"),
        ({"embeddings": {"a": {"dimensions": 4}}}, "has the settings embedding, represent,.*; got 'dimensions'"),
        ({"embeddings": {"a": {}, "b": {"dimension": 4}}}, "'a' needs its model \\(embedding\\), or its dimension"),
        ({"embeddings": {"a": {"dimension": 4}, "b": {"dimension": 0}}}, "'b' must have a positive dimension, got 0"),
        ({"embeddings": {"sparse": {"dimension": 4}}, "sparse": "bm25"}, "a vector called 'sparse' already"),
        ({"embeddings": {"a": {"dimension": 4, "represent": "turbo5"}}}, "turbo5"),
        ({"embeddings": {"a": {"dimension": 4}, "a.fine": {"dimension": 4}}, "represent": "turbo4; int8"}, "int8"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Collection.create("docs", location=tmp_path, **arguments)
    assert not (tmp_path / "docs" / "octant.json").exists()


def test_what_cannot_be_asked_is_refused(location: Any, models: dict[str, HashedWords]) -> None:
    with made(location, models, sparse="bm25") as collection:
        with pytest.raises(InputError, match="no embedding 'huge'; it has 'small', 'large', 'sparse'"):
            collection.search_each(QUERY, embeddings=["huge"])
        with pytest.raises(InputError, match="a list of names, got one string: pass \\['small'\\]"):
            collection.search_each(QUERY, embeddings="small")
        with pytest.raises(InputError, match="a text, or a mapping from their names"):
            collection.search_each(np.ones(32))
        with pytest.raises(InputError, match="48"):
            collection.search_each({"large": np.ones(7)})
        with pytest.raises(InputError, match="timeout is a positive number"):
            collection.search_each(QUERY, timeout=0)
        with pytest.raises(FilterError, match="a Qdrant filter has the clauses"):
            collection.search_each(QUERY, filter={"has_id": [1]})
        with pytest.raises(InputError, match="a hybrid search asks 'sparse' anyway"):
            collection.search(QUERY, embedding="sparse", mode="hybrid")


def test_a_collection_of_one_embedding_answers_as_one_of_several(location: Any, models: dict[str, HashedWords]) -> None:
    with alone(location, models["small"], "turbo8") as collection:
        found = collection.search_each(QUERY)
        assert list(found) == ["dense"]
        same(found["dense"], collection.search(QUERY))


def test_without_a_model_there_is_nothing_to_ask(tmp_path: Path, models: dict[str, HashedWords]) -> None:
    made(tmp_path, models).close()
    with (
        Collection.open("docs", location=tmp_path) as collection,
        pytest.raises(InputError, match="no embedding can be asked this"),
    ):
        collection.search_each(QUERY)


def test_the_fake_server_is_told_of_every_embedding(models: dict[str, HashedWords]) -> None:
    with serving() as fake:
        Collection.create("docs", location=fake.url, embeddings=dict(models)).close()
        assert set(fake.collections["docs"]["vectors"]) == {"small", "large"}
        with Collection.open("docs", location=fake.url, embeddings=dict(models)) as collection:
            assert list(collection.embeddings) == ["small", "large"]
