"""What a compression refuses, before anything is written."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

import octant
import octant.location
from octant import Collection, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    DimensionError,
    InputError,
    LockedError,
    MismatchError,
    SpecError,
    TooFewVectorsError,
    UnfinishedError,
    VectorValueError,
)
from octant.lifecycle import sizing

X = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """Octant's float vectors, codes, and an empty collection; tests write nothing there."""
    place = tmp_path_factory.mktemp("edge")
    for name, represent, x in (("docs", "float32", X), ("codes", "turbo8", X), ("empty", "float32", X[:0])):
        with Collection.create(name, location=place, represent=represent, dimension=8) as made:
            if len(x):
                made.add(vectors=x, ids=range(len(x)))
    return place


@pytest.fixture
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = QdrantClient(":memory:")
        octant.location.store_at(made, "warn")
    sizes = {
        "text": models.VectorParams(size=8, distance=models.Distance.COSINE),
        "title": models.VectorParams(size=4, distance=models.Distance.DOT),
    }
    made.create_collection("docs", vectors_config=sizes)
    rows = range(len(X))
    made.upsert(
        "docs",
        [models.PointStruct(id=row, vector={"text": X[row].tolist(), "title": X[row, :4].tolist()}) for row in rows],
    )
    yield made
    made.close()


INTO = {"into": "small", "represent": "turbo8"}


def recommendation(**changes):
    settings = (HnswSettings(), MemoryPlacement(), SearchKnobs())
    return Recommendation("turbo8", *settings, **{"dimension": 8, "points": 10, **changes})


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ({"represent": "turbo8"}, InputError, "choose one of the two"),
        ({**INTO, "in_place": True}, InputError, "choose one of the two"),
        ({"into": "small"}, InputError, "got none"),
        ({**INTO, "vectors": {"": "turbo8"}}, InputError, "got represent and vectors"),
        ({**INTO, "represent": "turbo9"}, SpecError, "turbo8"),
        ({**INTO, "represent": "pca(9)|turbo8"}, DimensionError, "9"),
        (
            {**INTO, "represent": "pca(8)|binary(9000)"},
            TooFewVectorsError,
            "to learn from, the collection has 60",
        ),
        ({"into": "small", "vectors": {"x": "turbo8"}}, InputError, "no dense vector 'x' to compress; .* has ''"),
        (
            {"into": "small", "vectors": {"": "turbo8"}, "drop_vectors": [""]},
            InputError,
            "dropped, not both",
        ),
        ({**INTO, "drop_vectors": ["x"]}, InputError, "no vector 'x' to drop"),
        ({"in_place": True, "represent": "turbo8", "drop_vectors": ["x"]}, InputError, "drop_originals"),
        ({"in_place": True, "represent": "turbo8", "alias": "x"}, InputError, "in place there is one collection"),
        ({"in_place": True, "represent": "turbo8", "drop_originals": True}, InputError, "only vector and has no name"),
        ({**INTO, "drop_originals": True}, InputError, "belongs to --in-place"),
        ({**INTO, "into": "docs"}, InputError, "is the source itself"),
        ({**INTO, "into": "codes"}, CollectionExistsError, "no compression of 'docs' began it"),
        ({**INTO, "alias": "codes"}, CollectionExistsError, "'codes' is a collection"),
        ({**INTO, "alias": "small"}, InputError, "another name for it"),
        ({**INTO, "to": ":memory:"}, InputError, "in memory is gone"),
        ({**INTO, "min_recall": 2.0}, InputError, "between 0 and 1, got 2"),
        ({**INTO, "max_passes": 0}, InputError, "at least 1, got 0"),
        ({"into": "small", "recommendation": recommendation(dimension=9)}, MismatchError, "dimension 9, got 8"),
        ({"into": "small", "recommendation": recommendation(), "hnsw": HnswSettings()}, InputError, "leave hnsw out"),
        (
            {**INTO, "embedding": lambda texts: [[0.0] * 3 for _ in texts], "vectors": {}},
            InputError,
            "cannot have",
        ),
    ],
)
def test_impossible_orders_are_refused_and_nothing_is_written(edge, order, error, message):
    before = sorted(path.name for path in edge.iterdir())
    for function in (octant.compress, octant.plan_compression):
        unknown = {"min_recall", "max_passes"} if function is octant.plan_compression else set()
        if not unknown & set(order):
            with pytest.raises(error, match=message):
                function("docs", location=edge, **order)
    assert sorted(path.name for path in edge.iterdir()) == before


def test_sources_that_cannot_be_compressed_are_refused(edge):
    with pytest.raises(InputError, match="holds no points"):
        octant.compress("empty", location=edge, **INTO)
    with pytest.raises(InputError, match=r"stored as 'turbo8', not as floats: .*--from-codes"):
        octant.compress("codes", location=edge, **INTO)
    with pytest.raises(CollectionNotFoundError, match="'nothing'"):
        octant.compress("nothing", location=edge, **INTO)
    with Collection.open("docs", location=edge), pytest.raises(LockedError, match="open elsewhere"):
        octant.compress("docs", location=edge, **INTO)


def test_another_model_than_the_recorded_one_is_refused(tmp_path):
    class Model:
        def embed_documents(self, texts):
            return [[float(len(text)), 1.0, 0.5, 2.0] for text in texts]

        def embed_query(self, text):
            return self.embed_documents([text])[0]

    class Other(Model):
        pass

    with Collection.create("docs", location=tmp_path, embedding=Model(), represent="float32") as made:
        made.add(["one", "three", "fifteen"])
    with pytest.raises(MismatchError, match=r"made by Model .*; got --embedding Other"):
        octant.compress("docs", location=tmp_path, embedding=Other(), **INTO)
    octant.compress("docs", location=tmp_path, embedding=Model(), **INTO)
    with Collection.open("small", location=tmp_path, embedding=Model()) as made:
        assert made.search("three", k=1)[0].text == "three"
    with pytest.raises(MismatchError, match="opened with Other"):
        Collection.open("small", location=tmp_path, embedding=Other())


def test_of_several_vectors_one_must_be_named(client):
    with pytest.raises(InputError, match=r"dense vectors 'text', 'title': say which .*--vector 'text=SPEC'"):
        octant.compress("docs", location=client, **INTO)
    with pytest.raises(InputError, match="makes one vector, and several"):
        octant.compress(
            "docs", location=client, into="small", vectors={"text": "turbo8", "title": "turbo8"},
            embedding=lambda texts: [[0.0] * 8 for _ in texts],
        )  # fmt: skip
    assert not client.collection_exists("small")


def test_a_servers_own_name_cannot_become_an_alias_while_it_is_there(client):
    with pytest.raises(CollectionExistsError, match=r"cannot rename a collection: let the application open 'small'"):
        octant.compress("docs", location=client, into="small", vectors={"text": "turbo8"}, alias="docs")
    octant.compress("docs", location=client, into="small", vectors={"text": "turbo8"}, alias="docs", delete_source=True)
    assert client.count("docs").count == len(X)
    assert [entry.name for entry in client.get_collections().collections] == ["small"]


def test_a_disk_too_small_is_noticed_first(edge, monkeypatch):
    monkeypatch.setattr(sizing, "free_bytes", lambda location: 10_000)
    with pytest.raises(InputError, match=r"will take about .* has 10.0 kB free: make room there, or .*--to"):
        octant.compress("docs", location=edge, **INTO)
    assert not (edge / "small").exists()


def test_free_space_is_that_of_the_disk_the_target_is_on(tmp_path):
    assert sizing.free_bytes(tmp_path / "not" / "there" / "yet") > 0
    assert sizing.free_bytes(":memory:") is None
    assert sizing.free_bytes("http://localhost:6333") is None
    assert sizing.free_bytes(object()) is None


def test_vectors_that_cannot_be_represented_are_named_or_skipped(client):
    client.upsert("docs", [models.PointStruct(id=7, vector={"text": [0.0] * 8, "title": [1.0] * 4})])
    order = {"into": "small", "vectors": {"text": "turbo8"}}
    with pytest.raises(VectorValueError, match=r"vector 'text' of 1 points is all zeros.*: ids 7\. .*--skip-invalid"):
        octant.compress("docs", location=client, **order)
    with pytest.raises(CollectionExistsError, match="target of another compression"):
        octant.compress("docs", location=client, skip_invalid=True, **order)
    report = octant.compress("docs", location=client, skip_invalid=True, overwrite=True, **order)
    assert report.without == {"text": 1}
    found = client.retrieve("small", [7], with_vectors=True)[0]
    assert set(found.vector) == {"title"}


def test_an_unfinished_target_belongs_to_its_order(tmp_path, monkeypatch):
    with Collection.create("docs", location=tmp_path, represent="float32", dimension=8) as made:
        made.add(vectors=X, ids=range(len(X)))

    def stop(*_, **__):
        raise RuntimeError("stopped")
        yield

    with monkeypatch.context() as patch:
        patch.setattr("octant.lifecycle.stream.copy", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            octant.compress("docs", location=tmp_path, **INTO)
    with pytest.raises(CollectionExistsError, match=r"target of another compression \(octant compress docs --into"):
        octant.compress("docs", location=tmp_path, into="small", represent="turbo4")
    with pytest.raises(UnfinishedError, match="next: copy"):
        octant.Collection.open("small", location=tmp_path)
    report = octant.compress("docs", location=tmp_path, into="small", represent="turbo4", overwrite=True)
    assert report.represent == {"": "turbo4"}
    assert not report.resumed


def test_in_place_vectors_that_are_there_are_replaced_only_when_asked(tmp_path):
    with Collection.create("docs", location=tmp_path, represent="float32", dimension=8) as made:
        made.add(vectors=X, ids=range(len(X)))
    octant.compress("docs", location=tmp_path, in_place=True, represent="turbo8")
    with pytest.raises(CollectionExistsError, match="has vectors called 'octant' already"):
        octant.compress("docs", location=tmp_path, in_place=True, represent="turbo4")
    octant.compress("docs", location=tmp_path, in_place=True, represent="turbo4", overwrite=True)
    with Collection.open("docs", location=tmp_path, vector_name="octant") as made:
        assert made.representation.spec == "turbo4"


def test_an_alias_is_no_name_for_a_target(tmp_path):
    with Collection.create("docs", location=tmp_path, represent="float32", dimension=8) as made:
        made.add(vectors=X, ids=range(len(X)))
    octant.compress("docs", location=tmp_path, alias="live", **INTO)
    with pytest.raises(InputError, match="'live' is an alias"):
        octant.compress("docs", location=tmp_path, into="live", represent="turbo8", overwrite=True)
