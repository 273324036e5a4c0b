"""The Edge engine behind the store contract."""

from __future__ import annotations

import numpy as np
import pytest

from octant.errors import (
    ArtifactError,
    CollectionExistsError,
    CollectionNotFoundError,
    FilterError,
    InputError,
    LockedError,
    PartialUploadError,
    StoreError,
)
from octant.flow import arun, run
from octant.layout import (
    CollectionLayout,
    HnswSettings,
    PointBatch,
    QuerySettings,
    Stages,
    VectorQuery,
    lay_out,
)
from octant.records import Distance, NativeQuantization, SparseVector, StorageNeeds
from octant.store.edge import FLUSH_EVERY, EdgeStore

RNG = np.random.default_rng(0)


def one_vector(width=8, **needs):
    return lay_out(Stages.of(StorageNeeds(width=width, metric=Distance.DOT, **needs), None))


def batch(n, width=8, name=""):
    x = np.random.default_rng(1).standard_normal((n, width)).astype(np.float32)
    return PointBatch(list(range(n)), {name: x}, [{"n": i} for i in range(n)])


@pytest.fixture
def store(tmp_path):
    made = EdgeStore(tmp_path, "things")
    run(made.create(one_vector(), {"hello": 1}))
    yield made
    run(made.close())


def test_points_come_back_by_id_with_payload_and_vector(store):
    points = batch(20)
    run(store.upsert(points, batch_size=7))
    found = {point.id: point for point in run(store.retrieve([3, 19, 99], with_vectors=[""]))}
    assert sorted(found) == [3, 19]
    assert found[3].payload == {"n": 3}
    np.testing.assert_array_equal(found[19].vectors[""], points.vectors[""][19])


def test_search_orders_by_dot_product(store):
    points = batch(200)
    run(store.upsert(points, batch_size=64))
    query = RNG.standard_normal(8).astype(np.float32)
    (answer,) = run(store.query([VectorQuery(query, "", 10)]))
    expected = np.argsort(-(points.vectors[""] @ query))[:10]
    assert [point.id for point in answer] == expected.tolist()
    np.testing.assert_allclose([p.score for p in answer], points.vectors[""][expected] @ query, rtol=1e-5)


async def test_the_same_flows_are_awaited(store):
    await arun(store.upsert(batch(10), batch_size=4))
    assert await arun(store.count()) == 10


def test_several_queries_keep_their_order_and_their_offsets(store):
    points = batch(50)
    run(store.upsert(points, batch_size=50))
    queries = [
        VectorQuery(row, "", 5, offset=shift) for row, shift in zip(points.vectors[""][:3], (0, 1, 2), strict=True)
    ]
    answers = run(store.query(queries))
    for query, answer in zip(queries, answers, strict=True):
        ranked = np.argsort(-(points.vectors[""] @ query.vector))
        assert [p.id for p in answer] == ranked[query.offset : query.offset + 5].tolist()


def test_scroll_pages_until_the_end(store):
    run(store.upsert(batch(25), batch_size=25))
    seen, offset = [], None
    while True:
        page, offset = run(store.scroll(limit=10, offset=offset))
        seen += [point.id for point in page]
        if offset is None:
            break
    assert seen == list(range(25))


def test_delete_and_count(store):
    run(store.upsert(batch(10), batch_size=10))
    run(store.delete([1, 2, 77]))
    assert run(store.count()) == 8
    run(store.delete_where({"must": [{"key": "n", "range": {"gte": 8}}]}))
    assert run(store.count()) == 6


def test_uuid_ids_and_sparse_vectors_and_bytes(tmp_path):
    needs = StorageNeeds(width=8, metric=Distance.DOT)
    fine = StorageNeeds(width=12, metric=Distance.DOT, datatype="uint8", scored=False)
    store = EdgeStore(tmp_path, "two")
    run(store.create(lay_out(Stages.of(needs, fine), sparse="words"), {}))
    x = RNG.standard_normal((2, 8)).astype(np.float32)
    codes = RNG.integers(0, 256, (2, 12)).astype(np.uint8)
    ids = ["6a1f0c53-6d7e-5b0c-9c5e-0c7a47d1b0a7", "00000000-0000-0000-0000-000000000001"]
    words = [SparseVector(np.array([5, 9], np.uint32), np.array([1.0, 2.0], np.float32))] * 2
    run(store.upsert(PointBatch(ids, {"coarse": x, "fine": codes}, [{}, {}], {"words": words}), batch_size=1))
    run(store.optimize())
    found = {point.id: point for point in run(store.retrieve(ids, with_vectors=["fine"]))}
    for row, point in enumerate(ids):
        np.testing.assert_array_equal(found[point].vectors["fine"], codes[row])
    (answer,) = run(store.query([VectorQuery(words[0], "words", 2)]))
    assert {point.id for point in answer} == set(ids)
    run(store.close())


def test_a_second_copy_is_searched_and_rescored(tmp_path):
    needs = {"quantization": NativeQuantization("turbo", 1)}
    store = EdgeStore(tmp_path, "tq")
    run(store.create(one_vector(64, **needs), {}))
    points = batch(500, 64)
    run(store.upsert(points, batch_size=500))
    run(store.optimize())
    query = points.vectors[""][7]
    exact = np.sort(points.vectors[""] @ query)[::-1]
    rescored = VectorQuery(query, "", 5, QuerySettings(rescore=True, oversampling=40.0))
    raw = VectorQuery(query, "", 5, QuerySettings(rescore=False))
    with_rescore, without = run(store.query([rescored, raw]))
    np.testing.assert_allclose([p.score for p in with_rescore], exact[:5], rtol=1e-4)
    assert not np.allclose([p.score for p in without], exact[:5], rtol=1e-4)
    run(store.close())


# -- reopening, locking, crashing ----------------------------------------------------------------


def test_manifest_and_points_survive_reopening(tmp_path, store):
    run(store.upsert(batch(5), batch_size=5))
    run(store.write_manifest({"hello": 2}))
    run(store.close())
    again = EdgeStore(tmp_path, "things")
    assert run(again.open()).manifests == {"": {"hello": 2}}
    assert run(again.count()) == 5
    assert run(again.describe()) == one_vector()
    run(again.close())


def test_an_open_directory_is_locked(tmp_path, store):
    other = EdgeStore(tmp_path, "things")
    with pytest.raises(LockedError, match=r"open elsewhere \(process \d+\)"):
        run(other.open())
    with pytest.raises(LockedError, match="open elsewhere"):
        run(other.drop())
    run(store.close())
    run(other.open())
    run(other.close())


def test_creating_twice_is_refused(tmp_path, store):
    with pytest.raises(CollectionExistsError, match="already a collection 'things'"):
        run(EdgeStore(tmp_path, "things").create(one_vector(), {}))


def test_opening_nothing_is_refused(tmp_path):
    with pytest.raises(CollectionNotFoundError, match="no collection 'nope'"):
        run(EdgeStore(tmp_path, "nope").open())


def test_a_creation_that_was_killed_is_made_again(tmp_path):
    first = EdgeStore(tmp_path, "half")
    run(first.create(one_vector(), {}))
    run(first.close())
    (tmp_path / "half" / "octant.json").unlink()  # what a kill before the last step leaves
    second = EdgeStore(tmp_path, "half")
    assert not run(second.exists())
    run(second.create(one_vector(4), {}))
    assert run(second.count()) == 0
    run(second.close())


def test_a_damaged_manifest_is_named(tmp_path, store):
    run(store.close())
    (tmp_path / "things" / "octant.json").write_text("{ not json")
    with pytest.raises(ArtifactError, match=r"octant\.json should hold the collection's manifest"):
        run(EdgeStore(tmp_path, "things").open())


def test_artifacts_are_checked_by_digest(tmp_path, store):
    import hashlib

    data = b"state" * 100
    digest = hashlib.sha256(data).hexdigest()
    run(store.write_artifact(digest, data))
    assert run(store.read_artifact(digest)) == data
    path = tmp_path / "things" / f"{digest}.safetensors"
    path.write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match="corrupt or truncated"):
        run(store.read_artifact(digest))
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        run(store.read_artifact(digest))


@pytest.mark.parametrize("name", ["docs/2024", "..", ".hidden", "a b", "ünïcode", "c:\\x"])
def test_names_are_data_not_paths(tmp_path, name):
    root = tmp_path / "root"
    store = EdgeStore(root, name)
    run(store.create(one_vector(), {}))
    run(store.close())
    assert [entry.parent for entry in root.iterdir()] == [root]
    assert list(tmp_path.iterdir()) == [root]
    again = EdgeStore(root, name)
    run(again.open())
    run(again.close())


def test_an_empty_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one character"):
        EdgeStore(tmp_path, "")


def test_a_closed_store_says_so(store):
    run(store.close())
    with pytest.raises(StoreError, match="is closed"):
        run(store.count())


def test_a_temporary_store_leaves_nothing_behind():
    store = EdgeStore(None, "gone")
    run(store.create(one_vector(), {}))
    directory = store._root
    assert directory.exists()
    run(store.close())
    assert not directory.exists()


# -- failing -------------------------------------------------------------------------------------


def test_engine_errors_are_ours(store):
    with pytest.raises(StoreError, match="Qdrant Edge refused"):
        run(store.query([VectorQuery(np.ones(8, np.float32), "nope", 3)]))


def test_a_failure_half_way_tells_what_is_missing(store):
    n = FLUSH_EVERY + 100
    points = batch(n)
    bad = PointBatch([*points.ids[:-1], "not-an-id"], points.vectors, points.payloads)
    acknowledged = []
    with pytest.raises(PartialUploadError, match=f"{FLUSH_EVERY} of {n} points were stored") as caught:
        run(store.upsert(bad, batch_size=64, progress=acknowledged.append))
    assert caught.value.stored == FLUSH_EVERY == sum(acknowledged)
    assert len(caught.value.missing_ids) == 100


def test_progress_counts_every_point_once(store):
    acknowledged = []
    run(store.upsert(batch(FLUSH_EVERY + 300), batch_size=500, progress=acknowledged.append))
    assert sum(acknowledged) == FLUSH_EVERY + 300


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"must": [{"kei": "n"}]}, "a filter condition has one of"),
        ({"must": [{"key": "n"}]}, "a condition on 'n' needs one of"),
        ({"must": [{"key": "n", "match": {"valu": 3}}]}, "a match has one of"),
        ({"must": [{"key": "n", "range": {"above": 3}}]}, "a range has one or more of"),
    ],
)
def test_wrong_filters_are_named(store, bad, message):
    with pytest.raises(FilterError, match=message):
        run(store.query([VectorQuery(np.ones(8, np.float32), "", 3, filter=bad)]))


# -- footprint -----------------------------------------------------------------------------------


def test_the_footprint_is_what_the_files_hold(tmp_path):
    n, width = 4000, 64
    layout = lay_out(
        Stages.of(
            StorageNeeds(width=width, metric=Distance.DOT, quantization=NativeQuantization("turbo", 1)),
            StorageNeeds(width=40, metric=Distance.DOT, datatype="uint8", scored=False),
        ),
        hnsw=HnswSettings(indexing_threshold=100),
        sparse="words",
    )
    store = EdgeStore(tmp_path, "big")
    run(store.create(layout, {}))
    x = RNG.standard_normal((n, width)).astype(np.float32)
    codes = RNG.integers(0, 256, (n, 40)).astype(np.uint8)
    words = [SparseVector(np.array([i], np.uint32), np.ones(1, np.float32)) for i in range(n)]
    run(
        store.upsert(
            PointBatch(range(n), {"coarse": x, "fine": codes}, [{"t": "x" * 50}] * n, {"words": words}), batch_size=1000
        )
    )
    run(store.optimize())
    found = run(store.footprint())
    sizes = {(part.name, part.vector): part.bytes for part in found.components}
    placements = {(part.name, part.vector): part.placement for part in found.components}
    assert found.points == n
    assert found.source == "files"
    assert n * width * 4 <= sizes["originals", "coarse"] <= 1.05 * n * width * 4
    assert n * width / 8 <= sizes["searched codes", "coarse"] <= n * (width / 8 + 24)
    assert n * 40 <= sizes["rescoring codes", "fine"] <= 1.05 * n * 40 + 8192
    assert sizes["graph", "coarse"] > n * 8
    assert sizes["payload", None] > n * 50
    assert placements["originals", "coarse"] == "cold"
    assert placements["searched codes", "coarse"] == "pinned"
    assert placements["rescoring codes", "fine"] == "cold"
    assert ("sparse index", "words") in sizes
    assert found.ram_bytes < sizes["originals", "coarse"] < found.disk_bytes
    run(store.close())


def test_the_write_ahead_log_is_counted_when_there_is_one(tmp_path):
    store = EdgeStore(tmp_path, "logged", wal=True)
    run(store.create(one_vector(), {}))
    run(store.upsert(batch(1000), batch_size=100))
    log = [part for part in run(store.footprint()).components if part.name == "write-ahead log"]
    assert log
    assert log[0].bytes > 10_000
    run(store.close())


def test_layouts_survive_json():
    layout = lay_out(
        Stages.of(
            StorageNeeds(width=5, metric=Distance.COSINE, quantization=NativeQuantization("binary", 1, query_bits=8)),
            StorageNeeds(width=9, metric=Distance.EUCLID, datatype="uint8"),
            "v",
        ),
        sparse="s",
    )
    import json

    assert CollectionLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
