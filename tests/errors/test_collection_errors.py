"""Bad input gets a clear error, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

import octant
from octant import Collection
from octant.errors import (
    ArtifactError,
    CollectionNotFoundError,
    DimensionError,
    DuplicateIdError,
    InputError,
    LockedError,
    MismatchError,
    NotFittedError,
    PartialUploadError,
    SpecError,
    TooFewVectorsError,
    VectorValueError,
)

DIM = 8
X = np.random.default_rng(0).standard_normal((40, DIM)).astype(np.float32)


def model(texts):
    return np.array([[float(len(text)), *range(1, DIM)] for text in texts], np.float32)


def other_model(texts):
    return np.array([[*range(1, DIM), -float(len(text))] for text in texts], np.float32)


def wide_model(texts):
    return np.ones((len(texts), DIM + 1), np.float32)


@pytest.fixture
def collection(tmp_path):
    made = Collection.create("c", location=tmp_path, dimension=DIM, represent="float32")
    made.add(vectors=X[:5], ids=range(5))
    yield made
    assert made.count() == 5, "something was written"
    made.close()


def broken(value, row=3):
    x = X.copy()
    x[row, 2] = value
    return x


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (X[:, :7], DimensionError, "expected vectors of 8 coordinates, got 7"),
        (broken(np.nan), VectorValueError, "row 3 holds NaN or inf"),
        (broken(np.inf), VectorValueError, "row 3 holds NaN or inf"),
        (np.vstack([X[:2], np.zeros((1, DIM))]), VectorValueError, "must not be all zeros under cosine; row 2 is"),
        ([[1.0] * DIM, [1.0] * 3], VectorValueError, "same number of coordinates"),
        ([["a"] * DIM], VectorValueError, "must be numbers"),
        (np.full((2, DIM), 1e300), VectorValueError, "NaN or inf"),
        (np.zeros((0, DIM)), VectorValueError, "n and dim at least 1"),
        (np.zeros((2, 2, DIM)), VectorValueError, r"shape \(n, dim\)"),
        ([object()] * 3, VectorValueError, "must be numbers"),
    ],
)
def test_wrong_vectors(collection, vectors, error, message):
    with pytest.raises(error, match=message):
        collection.add(vectors=vectors)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InputError, "takes texts, vectors, or both; got neither"),
        ({"texts": []}, InputError, "got an empty list"),
        ({"texts": "one"}, InputError, "wrap it in a list"),
        ({"texts": ["a", 3], "vectors": X[:2]}, InputError, "row 1 is int"),
        ({"texts": ["a"]}, InputError, "texts need an embedding"),
        ({"texts": ["a"], "vectors": X[:2]}, InputError, "one vector per text, 1 in all, got 2"),
        ({"vectors": X[:2], "ids": ["a"]}, InputError, "one id per point, 2 in all, got 1"),
        ({"vectors": X[:2], "ids": ["a", "a"]}, DuplicateIdError, "'a' names the same point"),
        ({"vectors": X[:2], "ids": ["a", -1]}, InputError, "an id is a non-negative integer"),
        ({"vectors": X[:2], "payloads": [{}]}, InputError, "one payload per point, 2 in all, got 1"),
        ({"texts": ["a"], "vectors": X[:1], "payloads": [{"page_content": "b"}]}, InputError, "Octant's own"),
        ({"vectors": X[:1], "payloads": [{"_octant_id": "b"}]}, InputError, "Octant's own"),
        ({"vectors": X[:1], "payloads": [3]}, InputError, "a payload is a mapping; row 0 is int"),
        (
            {"vectors": X[:1], "payloads": [{"a": {"b": [1, object()]}}]},
            InputError,
            r"key 'a'\.b\[1\]: .* not a JSON value",
        ),
        ({"vectors": X[:1], "payloads": [{"a": float("nan")}]}, InputError, "nan of type float is not a JSON value"),
        ({"vectors": X[:1], "payloads": [{"a": 2**64}]}, InputError, "not a JSON value"),
        ({"vectors": X[:1], "payloads": [{1: 2}]}, InputError, "keys must be strings, got 1"),
        ({"vectors": X[:1], "batch_size": 0}, InputError, "batch_size must be at least 1"),
    ],
)
def test_wrong_arguments_of_add(collection, arguments, error, message):
    with pytest.raises(error, match=message):
        collection.add(**arguments)


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        (X[0][:5], {}, DimensionError, "got 5"),
        (np.full(DIM, np.nan), {}, VectorValueError, "NaN or inf"),
        (np.zeros(DIM), {}, VectorValueError, "all zeros"),
        ("words", {}, InputError, "a text query needs an embedding"),
        (X[:2], {}, InputError, "use search_batch"),
        (X[0], {"k": 0}, InputError, "k must be at least 1"),
        (X[0], {"offset": -1}, InputError, "offset must be at least 0"),
        (X[0], {"mode": "spares"}, InputError, "mode is dense, sparse or hybrid"),
        ("words", {"mode": "sparse"}, InputError, "needs sparse vectors"),
        (X[0], {"fusion": "sum"}, InputError, "fusion is 'rrf' or 'dbsf'"),
        (X[0], {"filter": "x"}, octant.errors.FilterError, "REST form"),
    ],
)
def test_wrong_searches(collection, query, options, error, message):
    with pytest.raises(error, match=message):
        collection.search(query, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"oversampling": 0.5}, "at least 1, got 0.5"), ({"hnsw_ef": 0}, "at least 1, got 0")],
)
def test_wrong_knobs(options, message):
    with pytest.raises(InputError, match=message):
        octant.SearchKnobs(**options)


def test_delete_wants_one_thing(collection):
    for arguments in ({}, {"ids": ["a"], "filter": {"must": []}}):
        with pytest.raises(InputError, match="takes ids or a filter, one of the two"):
            collection.delete(**arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"represent": "pcaa(4)"}, SpecError, "pca"),
        ({"represent": "pca(9)", "dimension": DIM}, DimensionError, "9"),
        ({"represent": "pca(4)", "dimension": DIM, "distance": "manhattan"}, InputError, "not of manhattan"),
        ({"distance": "hamming"}, ValueError, "cosine, dot, euclid, manhattan"),
        ({"sparse": "bm26"}, InputError, "bm25"),
        ({"embedding": 3}, InputError, "embedding"),
        ({"location": 3}, InputError, "a location is a directory"),
        ({"location": ""}, InputError, "got an empty string"),
        ({"client_options": {"api_key": "x"}}, InputError, "need an http"),
        ({"collection_options": {"shard_number": 2}}, InputError, "take the option wal, got shard_number"),
        ({"exist_ok": True, "overwrite": True}, InputError, "choose one"),
        ({"embedding": model, "dimension": DIM + 1}, MismatchError, "9 dimensions"),
    ],
)
def test_wrong_creations_make_nothing(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        Collection.create("c", **{"location": tmp_path, **options})
    assert not any(tmp_path.rglob("octant.json"))


def test_too_few_vectors_to_fit(tmp_path):
    with Collection.create("c", location=tmp_path, represent="pca(6)|turbo8") as c:
        with pytest.raises(TooFewVectorsError, match=r"got 3.*call fit\(sample\)"):
            c.add(vectors=X[:3])
        assert c.count() == 0
        assert c.artifact is None
        c.add(vectors=X)
        assert c.count() == 40


def test_nothing_to_search_before_a_fit(tmp_path):
    with (
        Collection.create("c", location=tmp_path, represent="pca(6)|turbo8", dimension=DIM) as c,
        pytest.raises(NotFittedError, match="call fit"),
    ):
        c.search(X[0])


def test_opening_nothing(tmp_path):
    with pytest.raises(CollectionNotFoundError, match="no collection 'nope'"):
        Collection.open("nope", location=tmp_path)


def test_two_at_once(tmp_path):
    with (
        Collection.create("c", location=tmp_path, dimension=DIM),
        pytest.raises(LockedError, match="open elsewhere"),
    ):
        Collection.open("c", location=tmp_path)
    Collection.open("c", location=tmp_path).close()


def test_a_failed_opening_leaves_no_lock(tmp_path):
    with Collection.create("c", location=tmp_path, dimension=DIM, embedding=model):
        pass
    for _ in range(2):
        with pytest.raises(MismatchError, match="probe"):
            Collection.open("c", location=tmp_path, embedding=other_model)
    Collection.open("c", location=tmp_path, embedding=model).close()


def test_another_model_dimension_representation_or_artifact(tmp_path):
    with Collection.create("c", location=tmp_path, embedding=model, represent="pca(4)|turbo8") as c:
        c.add([str(10**i) for i in range(30)], ids=range(30), vectors=X[:30])
        artifact = c.artifact
    with pytest.raises(MismatchError, match=r"(?s)other_model.*8 dimensions|8 dimensions.*other_model"):
        Collection.open("c", location=tmp_path, embedding=other_model)
    with pytest.raises(MismatchError, match=r"8 dimensions.*wide_model \(9 dimensions"):
        Collection.open("c", location=tmp_path, embedding=wide_model)
    with pytest.raises(MismatchError, match=r"represent is 'pca\(4\)\|turbo8', expected 'turbo8'"):
        Collection.open("c", location=tmp_path, represent="turbo8")
    with pytest.raises(MismatchError, match="dimension is 8, expected 9"):
        Collection.open("c", location=tmp_path, dimension=9)
    with pytest.raises(MismatchError, match=f"artifact is '{artifact}', expected '00'"):
        Collection.open("c", location=tmp_path, artifact="00")
    Collection.open("c", location=tmp_path, represent="pca(4)|turbo8", dimension=DIM, artifact=artifact).close()


def test_another_sparse_encoder(tmp_path):
    with Collection.create("c", location=tmp_path, dimension=DIM, sparse="bm25"):
        pass
    with pytest.raises(MismatchError, match="sparse vectors were made by"):
        Collection.open("c", location=tmp_path, sparse='bm25(language="german")')


def test_a_damaged_artifact(tmp_path):
    with Collection.create("c", location=tmp_path, represent="pca(4)|turbo8") as c:
        c.add(vectors=X)
        path = tmp_path / "c" / f"{c.artifact}.safetensors"
    data = path.read_bytes()
    for damage in (data[:-5], data[:50] + b"x" + data[51:], b""):
        path.write_bytes(damage)
        with pytest.raises(ArtifactError, match="corrupt or truncated"):
            Collection.open("c", location=tmp_path)
    path.write_bytes(data)
    Collection.open("c", location=tmp_path).close()


def test_a_manifest_of_a_later_version(tmp_path):
    with Collection.create("c", location=tmp_path, dimension=DIM):
        pass
    path = tmp_path / "c" / "octant.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ArtifactError, match=r"format 1, got 2.*upgrade"):
        Collection.open("c", location=tmp_path)


def test_a_model_that_fails_half_way(tmp_path):
    calls = []

    def flaky(texts):
        calls.append(len(texts))
        if len(calls) > 3:
            return np.ones((len(texts), DIM + 2))
        return model(texts)

    with Collection.create("c", location=tmp_path, embedding=flaky) as c:
        texts = [f"text {i}" for i in range(50)]
        with pytest.raises(PartialUploadError, match="20 of 50 points were stored") as caught:
            c.add(texts, ids=range(50), batch_size=10)
        assert caught.value.stored == c.count() == 20
        assert caught.value.missing_ids == tuple(range(20, 50))
