"""What a user does with a collection, the same on Edge and on qdrant-client's local mode, plain and awaited."""

from __future__ import annotations

import datetime
import uuid
import warnings

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

import octant
from octant import Collection, Fusion, SearchKnobs
from octant.vectors import similarity, unit_rows

DIM = 24


def clustered(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)) @ rng.standard_normal((6, DIM)) + 0.3 * rng.standard_normal((n, DIM))
    return x.astype(np.float32)


def letters(texts):
    """A toy model: counts of letters."""
    rows = [[text.lower().count(chr(97 + i)) + 0.01 * i for i in range(DIM)] for text in texts]
    return np.array(rows, np.float32)


TEXTS = ["apples and pears", "a dog barks", "zebras graze", "the dog and the cat", "pears are green", "jazz quartet"]


@pytest.fixture(params=["edge", "local"])
def location(request, tmp_path):
    if request.param == "edge":
        yield tmp_path
        return
    client = QdrantClient(":memory:")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", octant.errors.LocalModeWarning)
        yield client
    client.close()


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", octant.errors.LocalModeWarning)
        yield


def test_texts_in_answers_out(location):
    with Collection.create("c", location=location, embedding=letters) as c:
        ids = c.add(TEXTS, payloads=[{"n": i} for i in range(6)], ids=[f"doc {i}" for i in range(6)])
        assert ids == [f"doc {i}" for i in range(6)]
        ranking = c.search("dog and cat", k=2)
        assert ranking[0].id == "doc 3"
        assert ranking[0].text == TEXTS[3]
        assert ranking[0].payload == {"n": 3}
        assert ranking.query == "dog and cat"
        assert ranking.scores == tuple(sorted(ranking.scores, reverse=True))
        assert c.count() == 6
        assert c.count({"must": [{"key": "n", "range": {"lt": 2}}]}) == 2


@pytest.mark.parametrize("distance", ["cosine", "dot", "euclid", "manhattan"])
@pytest.mark.parametrize("represent", ["float32", "turbo8", "float8"])
def test_scores_estimate_the_original_similarity(location, distance, represent):
    x, q = clustered(300), clustered(5, seed=1)
    with Collection.create("c", location=location, represent=represent, distance=distance) as c:
        c.add(vectors=x, ids=range(300))
        kind = octant.Distance.parse(distance)
        unit = unit_rows if kind is octant.Distance.COSINE else (lambda v: v)
        exact = similarity(unit(q), unit(x), kind)
        spread = float(np.abs(exact).max())
        for row, ranking in enumerate(c.search_batch(q, k=10)):
            assert ranking.scores == tuple(sorted(ranking.scores, reverse=True))
            got = np.array([hit.score for hit in ranking])
            np.testing.assert_allclose(got, exact[row, list(ranking.ids)], atol=0.05 * spread)
            assert len(set(ranking.ids) & set(np.argsort(-exact[row])[:10].tolist())) >= 8


@pytest.mark.parametrize(
    "represent",
    [
        "pca(8)|turbo8",
        "coarse=turbo4|turbo(1); fine=float8",
        "coarse=pca(8)|turbo4; fine=turbo8",
        "pca(12)|int4",
        "uint8",
    ],
)
def test_every_layout_filters_pages_and_thresholds(location, represent):
    x = clustered(400)
    with Collection.create("c", location=location, represent=represent) as c:
        c.add(vectors=x, ids=range(400), payloads=[{"odd": bool(i % 2), "n": i} for i in range(400)])
        query = x[11] + 0.01
        # Two stages read more candidates for a deeper page, and so find a little more: a high coverage makes up for it.
        sure = SearchKnobs(coverage=0.9999)
        whole = c.search(query, k=12, knobs=sure)
        assert whole[0].id == 11
        pages = [c.search(query, k=4, offset=start, knobs=sure).ids for start in (0, 4, 8)]
        assert sum(pages, ()) == whole.ids
        odd = c.search(
            query,
            k=5,
            filter=models.Filter(must=[models.FieldCondition(key="odd", match=models.MatchValue(value=True))]),
        )
        assert len(odd) == 5
        assert all(hit.payload["odd"] for hit in odd)
        mine = c.search(query, k=5, filter={"must": [{"has_id": [3, 4]}]})
        assert set(mine.ids) == {3, 4}
        cut = c.search(query, k=12, score_threshold=whole[3].score, knobs=sure)
        assert cut.ids == whole.ids[:4]
        exact = c.search(query, k=12, knobs=SearchKnobs(exact=True, oversampling=20.0))
        assert exact[0].id == 11


def test_vectors_come_back_decoded(location):
    x = clustered(300)
    for represent, tolerance in (("float32", 1e-5), ("float8", 0.05), ("pca(12)|turbo8", 0.4)):
        with Collection.create("c", location=location, represent=represent, overwrite=True) as c:
            c.add(vectors=x, ids=range(300))
            hit = c.search(x[5], k=1, with_vectors=True)[0]
            expected = unit_rows(x[5:6])[0]
            assert hit.vector.shape == (DIM,)
            assert np.linalg.norm(hit.vector - expected) < tolerance
            (got,) = c.get([5], with_vectors=True)
            np.testing.assert_allclose(got.vector, hit.vector, atol=1e-5)


def test_get_delete_scroll(location):
    with Collection.create("c", location=location, embedding=letters) as c:
        c.add(TEXTS, ids=["a", "b", 7, "d", "3", "f"])
        assert [hit.id for hit in c.get(["3", "nope", 7])] == ["3", 7]
        assert [hit.text for hit in c.get(["3", 7])] == [TEXTS[4], TEXTS[2]]
        assert c.get([]) == []
        assert {hit.id for hit in c.scroll(page_size=2)} == {"a", "b", 7, "d", "3", "f"}
        c.delete(["a", "unknown"])
        assert c.count() == 5
        c.delete(filter={"must": [{"has_id": ["b", "d"]}]})
        assert {hit.id for hit in c.scroll()} == {7, "3", "f"}


def test_adding_again_replaces(location):
    with Collection.create("c", location=location, embedding=letters) as c:
        c.add(TEXTS[:2], ids=["a", "b"])
        c.add(["zzz"], ids=["a"])
        assert c.count() == 2
        assert c.get(["a"])[0].text == "zzz"


def test_nothing_of_the_callers_is_changed(location):
    payloads = [{"n": 1}, None]
    x = clustered(2)
    before = x.copy()
    with Collection.create("c", location=location) as c:
        c.add(["p", "q"], vectors=x, payloads=payloads, ids=["a", "b"])
        hit = c.search(x[0], k=1)[0]
        assert hit.payload == {"n": 1}
    assert payloads == [{"n": 1}, None]
    np.testing.assert_array_equal(x, before)


def test_dates_ids_and_numpy_numbers_in_payloads(location):
    payload = {
        "day": datetime.date(2024, 5, 1),
        "id": uuid.UUID(int=3),
        "n": np.int64(4),
        "deep": [{"x": np.float32(0.5)}],
    }
    with Collection.create("c", location=location, dimension=3, represent="float32") as c:
        c.add(vectors=np.ones((1, 3)), payloads=[payload], ids=["a"])
        expected = {"day": "2024-05-01", "id": str(uuid.UUID(int=3)), "n": 4, "deep": [{"x": 0.5}]}
        assert c.get(["a"])[0].payload == expected


def test_generators_are_read_once(location):
    with Collection.create("c", location=location, embedding=letters) as c:
        ids = c.add((text for text in TEXTS), ids=(f"{i}" for i in range(6)), payloads=({"n": i} for i in range(6)))
        assert c.count() == 6
        assert c.get(["5"])[0].payload == {"n": 5}
        assert ids == list("012345")


def test_sparse_and_hybrid(location):
    with Collection.create("c", location=location, embedding=letters, sparse="bm25") as c:
        c.add(TEXTS, ids=range(6))
        assert c.search("jazz", k=3, mode="sparse").ids == (5,)
        fused = c.search("green pears", k=3, mode="hybrid")
        assert fused[0].id == 4
        assert set(fused[0].branch_scores) == {"dense", "sparse"}
        dense_first = c.search("jazz", k=3, mode="hybrid", fusion=Fusion("rrf", weights={"sparse": 0.0}))
        assert dense_first.ids == c.search("jazz", k=3).ids
        assert c.search("jazz", k=1, mode="hybrid", fusion="dbsf")[0].id == 5
        pages = [c.search("the dog", k=2, offset=start, mode="hybrid").ids for start in (0, 2, 4)]
        assert len(set(sum(pages, ()))) == 6


def test_a_draft_takes_its_dimension_from_the_first_vectors(location):
    with Collection.create("c", location=location) as c:
        assert c.dimension is None
        assert c.count() == 0
        assert len(c.search(np.ones(5))) == 0
        assert c.get(["x"]) == []
        c.delete(["x"])
        assert c.footprint().points == 0
        c.add(vectors=np.eye(5), ids=range(5))
        assert c.dimension == 5
        assert c.search([0, 0, 1, 0, 0], k=1)[0].id == 2


def test_reopening_knows_everything(location):
    x = clustered(200)
    c = Collection.create("c", location=location, represent="pca(8)|turbo8", sparse="bm25", embedding=letters)
    c.add([f"text {i}" for i in range(200)], vectors=x, ids=range(200))
    before = c.search(x[3], k=5)
    artifact = c.artifact
    assert artifact is not None
    c.close()
    with Collection.open("c", location=location, embedding=letters) as again:
        assert again.representation == c.representation
        assert again.artifact == artifact
        assert again.search(x[3], k=5).ids == before.ids
        assert again.search("text 17", k=1, mode="sparse")[0].id == 17
        again.add(["one more"], ids=["new"])
        assert again.count() == 201


def test_fitting_explicitly(location):
    x = clustered(300)
    with Collection.create("c", location=location, represent="pca(8)|turbo8") as c:
        report = c.fit(x)
        assert report.vectors == 300
        assert report.artifact == c.artifact
        assert 0 < report.squared_error < 0.5
        c.add(vectors=x[:3], ids=range(3))  # far too few to fit on: what was learned is used
        assert c.search(x[1], k=1)[0].id == 1
        with pytest.raises(octant.errors.InputError, match="a new fit would make them unreadable"):
            c.fit(x)


def test_same_seed_same_artifact(tmp_path):
    x = clustered(300)
    digests = []
    for name in "ab":
        with Collection.create(name, location=tmp_path, represent="random_projection(8)|turbo8", seed=5) as c:
            c.add(vectors=x)
            digests.append(c.artifact)
    assert digests[0] == digests[1]


async def test_every_twin(location):
    x = clustered(300)
    c = await Collection.acreate("c", location=location, represent="pca(12)|float8", sparse="bm25")
    async with c:
        await c.afit(x)
        await c.aadd([f"text {i}" for i in range(300)], vectors=x, ids=range(300))
        await c.aoptimize()
        assert (await c.asearch(x[3], k=1))[0].id == 3
        assert [r[0].id for r in await c.asearch_batch(x[:3], k=1)] == [0, 1, 2]
        assert (await c.asearch("text 9", k=1, mode="sparse"))[0].id == 9
        assert (await c.aget([4]))[0].text == "text 4"
        await c.adelete([4])
        assert await c.acount() == 299
        assert len([hit async for hit in c.ascroll(page_size=100)]) == 299
        info = await c.ainfo()
        assert info.points == 299
        assert (await c.afootprint()).points == 299
    async with await Collection.aopen("c", location=location) as again:
        assert (await again.asearch(x[3], k=1))[0].id == 3
        await again.adrop()


async def test_an_async_client_alone_is_enough(quiet):
    client = AsyncQdrantClient(":memory:")
    x = clustered(50)
    c = await Collection.acreate("c", location=client, represent="float32")
    await c.aadd(vectors=x, ids=range(50))
    assert (await c.asearch(x[3], k=1))[0].id == 3
    with pytest.raises(octant.errors.StoreError, match="opened with an AsyncQdrantClient only"):
        c.search(x[3], k=1)
    await client.close()


def test_collections_of_other_clients_open(quiet):
    client = QdrantClient(":memory:")
    client.create_collection(
        "theirs", vectors_config={"v": models.VectorParams(size=DIM, distance=models.Distance.COSINE)}
    )
    x = clustered(20)
    client.upsert(
        "theirs",
        [models.PointStruct(id=i, vector={"v": x[i].tolist()}, payload={"body": f"t{i}", "k": i}) for i in range(20)],
    )
    with Collection.open("theirs", location=client, vector_name="v", text_key="body") as c:
        hit = c.search(x[6], k=1)[0]
        assert (hit.id, hit.text, hit.payload) == (6, "t6", {"k": 6})
        assert hit.score == pytest.approx(1.0, abs=1e-5)
        assert c.get(["6"])[0].id == 6
        c.add(["new"], vectors=x[:1] * -1, ids=["77"])
        assert client.retrieve("theirs", [77])[0].payload == {"body": "new"}
        assert client.get_collection("theirs").config.metadata is None
    with pytest.raises(octant.errors.MismatchError, match="no dense vector named 'w'; it has 'v'"):
        Collection.open("theirs", location=client, vector_name="w")


def test_overwrite_and_exist_ok(location):
    x = clustered(30)
    with Collection.create("c", location=location, represent="float32") as c:
        c.add(vectors=x, ids=range(30))
    with pytest.raises(octant.errors.CollectionExistsError, match="exist_ok=True or overwrite=True"):
        Collection.create("c", location=location, represent="float32")
    with Collection.create("c", location=location, represent="float32", exist_ok=True) as c:
        assert c.count() == 30
    with pytest.raises(octant.errors.MismatchError, match="represent is 'float32', expected 'turbo8'"):
        Collection.create("c", location=location, represent="turbo8", exist_ok=True)
    with Collection.create("c", location=location, represent="turbo8", overwrite=True) as c:
        assert c.count() == 0


def test_bulk_loads_are_indexed_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(octant.ingest, "OPTIMIZE_AFTER", 2_000)  # a graph of as many as it takes by default is slow
    x = np.random.default_rng(0).standard_normal((2_000, 8)).astype(np.float32)
    hnsw = octant.HnswSettings(indexing_threshold=10)
    with Collection.create("c", location=tmp_path, represent="float32", hnsw=hnsw) as c:
        c.add(vectors=x[:100])
        graph = [part for part in c.footprint().components if part.name == "graph"]
        assert sum(part.bytes for part in graph) == 0
        c.add(vectors=x)
        graph = [part for part in c.footprint().components if part.name == "graph"]
        assert sum(part.bytes for part in graph) > len(x) * 8


def test_progress_is_shown_only_on_request(location, capsys):
    with Collection.create("c", location=location) as c:
        c.add(vectors=clustered(10))
        assert capsys.readouterr().err == ""
        c.add(vectors=clustered(10), progress=True)
        assert "10/10" in capsys.readouterr().err


def test_an_exact_search_scores_like_any_other_where_the_second_copy_is_the_code(tmp_path):
    pytest.importorskip("octant_toy_quantizer", reason="needs tests/toy_plugin installed")
    x = clustered(400)
    with Collection.create("c", location=tmp_path, represent="toy_sign") as c:
        c.add(vectors=x, ids=range(400))
        usual, exact = c.search(x[3], k=5), c.search(x[3], k=5, knobs=SearchKnobs(exact=True))
        assert usual[0].id == exact[0].id == 3
        assert exact[0].score == pytest.approx(usual[0].score, rel=0.1)
