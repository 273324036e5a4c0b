"""Collections that anyone made, on every engine: read back, copied, extended, sampled, written to."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as qe
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from fake_server import FakeQdrant, serving
from octant.errors import InputError, StoreError, UnsupportedError
from octant.flow import Flow, arun, run
from octant.layout import HnswSettings, PointBatch, Stages, VectorLayout, VectorQuery, lay_out
from octant.records import Distance, NativeQuantization, SparseVector, StorageNeeds
from octant.schema import CollectionSchema, DenseVector, PayloadIndex, SparseVectorSchema, filled
from octant.store import edge_schema
from octant.store.base import Store
from octant.store.client import ClientStore
from octant.store.client_connection import RetrySettings
from octant.store.edge import EdgeStore

pytestmark = pytest.mark.filterwarnings("ignore:qdrant-client's local mode:octant.errors.LocalModeWarning")

N = 60
RNG = np.random.default_rng(3)
X = RNG.standard_normal((N, 6)).astype(np.float32)
TOKENS = [RNG.standard_normal((1 + row % 3, 2)).astype(np.float32) for row in range(N)]
WORDS = [SparseVector(np.array([row, row + 7], np.uint32), np.array([1.0, 0.5], np.float32)) for row in range(N)]
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(row))) for row in range(N // 2)]
IDS: list[int | str] = [*range(N // 2), *UUIDS]

Drive = Callable[[Flow[Any]], Any]
FLOAT = {"size": 6, "distance": "Dot"}
QUICK = RetrySettings(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
THEIRS = CollectionSchema(
    sparse=(
        SparseVectorSchema("words", {"modifier": "idf", "index": {"datatype": "float16"}}),
        SparseVectorSchema("t"),
    ),
    metadata={"theirs": {"owner": 7}},
)


class Place:
    """Somewhere that collections live, and how flows are driven there."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self._root = kind, root
        self._serving = serving() if kind.startswith("server") else None
        self.server: FakeQdrant | None = self._serving.__enter__() if self._serving else None
        self._loop = asyncio.new_event_loop()
        self._client = QdrantClient(":memory:") if kind == "local" else None
        self._async = AsyncQdrantClient(":memory:") if kind == "local async" else None
        self._stores: list[Store] = []

    def store(self, name: str) -> Store:
        if self.kind == "edge":
            made: Store = EdgeStore(self._root, name)
        elif self.server is not None:
            made = ClientStore.connect(self.server.url, name, {"timeout": 5}, retry=QUICK)
        else:
            made = ClientStore(self._client, self._async, name)
        self._stores.append(made)
        return made

    def drive(self, flow: Flow[Any]) -> Any:
        if self.kind.endswith("async"):
            return self._loop.run_until_complete(arun(flow))
        return run(flow)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *failure: object) -> None:
        for store in self._stores:
            self.drive(store.close())
        self._loop.close()
        if self._serving is not None:
            self._serving.__exit__(None, None, None)


@pytest.fixture(params=["edge", "local", "local async", "server", "server async"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with Place(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def on_server(tmp_path: Path) -> Iterator[Place]:
    with Place("server", tmp_path) as found:
        yield found


def behind(place: Place) -> FakeQdrant:
    return place.server


def theirs(name: str = "") -> CollectionSchema:
    """What somebody else made: a dense vector, a multivector, two sparse ones."""
    dense = {"size": 6, "distance": "Dot", "hnsw_config": {"m": 24, "payload_m": 8}, "on_disk": True}
    multi = {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}
    vectors = (DenseVector(name, dense), DenseVector("tokens", multi))
    return CollectionSchema(vectors, THEIRS.sparse, metadata=THEIRS.metadata)


def points(name: str = "") -> PointBatch:
    """Every third point has no words, every fourth no tokens, every fifth no dense vector."""
    rows = range(N)
    return PointBatch(
        IDS,
        {name: X},
        [{"n": row, "text": f"number {row}"} for row in rows],
        {"words": [None if row % 3 == 0 else WORDS[row] for row in rows], "t": WORDS},
        {"tokens": [None if row % 4 == 0 else TOKENS[row] for row in rows]},
        {name: np.arange(N) % 5 == 0},
    )


def made(place: Place, name: str = "docs", vector: str = "") -> Store:
    store = place.store(name)
    place.drive(store.create_like(theirs(vector)))
    place.drive(store.upsert(points(vector), batch_size=17))
    return store


def everything(place: Place, store: Store, **how: Any) -> list[Any]:
    found, offset = [], None
    while True:
        page, offset = place.drive(store.read(offset=offset, **{"limit": 16, **how}))
        found += page
        if offset is None:
            return found


def check(found: list[Any], vector: str = "") -> None:
    by_id = {point.id: point for point in found}
    assert list(by_id) == [*range(N // 2), *sorted(UUIDS)]  # by id, none twice
    for row, point in enumerate(by_id[key] for key in IDS):
        assert point.payload == {"n": row, "text": f"number {row}"}
        assert set(point.vectors) == (set() if row % 5 == 0 else {vector})
        assert set(point.multi) == (set() if row % 4 == 0 else {"tokens"})
        assert set(point.sparse) == ({"t"} if row % 3 == 0 else {"t", "words"})
        if point.vectors:
            np.testing.assert_allclose(point.vectors[vector], X[row], rtol=1e-6)
        if point.multi:
            np.testing.assert_allclose(point.multi["tokens"], TOKENS[row], rtol=1e-6)
        for name, sparse in point.sparse.items():
            assert dict(zip(sparse.indices.tolist(), sparse.values.tolist(), strict=True)) == {
                row: 1.0,
                row + 7: 0.5,
            }, name


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", ["", "dense"])
def test_points_with_vectors_of_every_kind_come_back_in_pages(place: Place, vector: str) -> None:
    check(everything(place, made(place, vector=vector)), vector)


def test_reading_resumes_at_an_offset_and_may_be_narrowed(place: Place) -> None:
    store = made(place)
    _, offset = place.drive(store.read(limit=20))
    rest = everything(place, store)[20:]
    page, _ = place.drive(store.read(limit=N, offset=offset, vectors=["tokens"], with_payload=False))
    assert [point.id for point in page] == [point.id for point in rest]
    assert not any(point.vectors or point.sparse or point.payload for point in page)
    assert any(point.multi for point in page)
    wanted = {"must": [{"key": "n", "match": {"value": 7}}]}
    assert [point.id for point in place.drive(store.read(filter=wanted, vectors=()))[0]] == [7]


@pytest.mark.parametrize("count", [1, 12, 45])
def test_a_sample_is_spread_and_repeats_itself(place: Place, count: int) -> None:
    store = made(place)
    first = place.drive(store.sample(count, seed=1, vectors=["t"]))
    again = place.drive(store.sample(count, seed=1, vectors=()))
    other = place.drive(store.sample(count, seed=2, vectors=()))
    ids = [point.id for point in first]
    assert len(set(ids)) == count == len(ids)
    assert ids == [point.id for point in again]
    assert set(ids) != {point.id for point in other}
    assert all(point.sparse for point in first)
    if count == 45:
        assert {type(point) for point in ids} == {int, str}


def test_a_sample_is_the_same_on_every_engine(tmp_path: Path) -> None:
    drawn = []
    for kind in ("edge", "local", "server"):
        with Place(kind, tmp_path) as place:
            drawn.append([point.id for point in place.drive(made(place).sample(9, seed=5))])
    assert drawn[0] == drawn[1] == drawn[2]


def many(place: Place, count: int) -> Store:
    store = place.store("many")
    place.drive(store.create_like(CollectionSchema(sparse=(SparseVectorSchema("t"),))))
    one = SparseVector(np.array([1], np.uint32), np.array([1.0], np.float32))
    place.drive(store.upsert(PointBatch(range(count), {}, [{}] * count, {"t": [one] * count}), batch_size=1000))
    return store


def test_a_sample_is_uniform(tmp_path: Path) -> None:
    with Place("edge", tmp_path) as place:
        store = many(place, 60)
        counts = np.zeros(60)
        for seed in range(200):
            for point in place.drive(store.sample(45, seed=seed, vectors=(), with_payload=False)):
                counts[point.id] += 1
    assert counts.sum() == 200 * 45
    # Each half of the ids gets its half, within five standard deviations: no slice is cut off at its small ids.
    assert abs(counts[:30].sum() - counts[30:].sum()) < 5 * np.sqrt(9000 * 0.75 * 0.25)


def test_a_sample_reads_little_more_than_it_returns(on_server: Place) -> None:
    place = on_server
    store = many(place, 800)
    read: list[int] = []
    answer = behind(place).answer
    behind(place).answer = lambda request: _counting(read, request, answer(request))  # type: ignore[method-assign]
    assert len(place.drive(store.sample(80))) == 80
    assert 80 <= sum(read) <= 80 * 1.5


def _counting(read: list[int], request: Any, answered: Any) -> Any:
    if request.path.endswith("/scroll"):
        assert "slice" in str(request.body["filter"])
        read.append(len(answered[1]["points"]))
    return answered


def test_small_collections_and_filters_are_sampled_whole(place: Place) -> None:
    store = made(place)
    assert len(place.drive(store.sample(1000, seed=0))) == N
    few = {"must": [{"has_id": [3, 4, UUIDS[0]]}]}
    assert {point.id for point in place.drive(store.sample(3, filter=few))} == {3, 4, UUIDS[0]}
    assert {point.id for point in place.drive(store.sample(2, filter=few))} < {3, 4, UUIDS[0]}
    with pytest.raises(InputError, match="at least one point, got 0"):
        place.drive(store.sample(0))


# -- schemas and copies --------------------------------------------------------------------------


def test_a_copy_holds_what_the_original_did_and_octants_vectors_beside(place: Place) -> None:
    source = made(place, "docs", "dense")
    binary = StorageNeeds(8, Distance.DOT, "turbo4", NativeQuantization("binary", 1, query_bits=8))
    laid_out = lay_out(Stages.of(binary, StorageNeeds(6, Distance.DOT, "turbo8"), "small"), hnsw=HnswSettings(m=4))
    schema = place.drive(source.schema())
    target = place.store("copy")
    place.drive(target.create_like(schema.without(["dense"]), laid_out.vectors))
    place.drive(target.write_manifest({"vector_name": "small", "format": 1}))
    found = place.drive(target.schema())
    assert set(found.names) == {"small.coarse", "small.fine", "tokens", "words", "t"}
    assert found.vector("tokens").multivector
    assert [entry.idf for entry in sorted(found.sparse, key=lambda entry: entry.name)] == [False, True]
    assert found.metadata == {"theirs": {"owner": 7}}
    assert found.manifests == {"small": {"vector_name": "small", "format": 1}}
    if not place.kind.startswith("local"):
        assert found.vector("tokens") == schema.vector("tokens")
        assert {entry.name: entry.settings for entry in found.sparse} == {
            entry.name: entry.settings for entry in schema.sparse
        }
        by_name = {vector.name: vector for vector in laid_out.vectors}
        assert found.vector("small.coarse").layout == by_name["small.coarse"]
        assert found.vector("small.fine").layout == by_name["small.fine"]
    batch = points("dense")
    codes = {"small.coarse": np.sign(RNG.standard_normal((N, 8))).astype(np.float32), "small.fine": X}
    absent = dict.fromkeys(codes, batch.absent["dense"])
    place.drive(target.upsert(PointBatch(IDS, codes, batch.payloads, batch.sparse, batch.multi, absent), batch_size=20))
    copied = everything(place, target)
    assert [point.id for point in copied] == [point.id for point in everything(place, source)]
    assert {frozenset(point.vectors) for point in copied} == {frozenset(), frozenset(codes)}
    again = place.store("copy")
    if place.kind == "edge":
        place.drive(target.close())
    assert place.drive(again.open()) == found


def test_copying_is_refused_where_a_name_would_be_there_twice(place: Place) -> None:
    schema = theirs("dense")
    twice = lay_out(Stages.of(StorageNeeds(6, Distance.DOT), None, "dense")).vectors
    with pytest.raises(InputError, match=r"given twice: 'dense'.*schema\.without"):
        place.drive(place.store("copy").create_like(schema, twice))
    with pytest.raises(InputError, match="at least one vector"):
        place.drive(place.store("copy").create_like(CollectionSchema()))
    assert not place.drive(place.store("copy").exists())


# -- a live collection ---------------------------------------------------------------------------


def octants(name: str = "octant") -> tuple[VectorLayout, ...]:
    needs = StorageNeeds(6, Distance.DOT, "turbo8", NativeQuantization("turbo", 1))
    return lay_out(Stages.of(needs, None, name), hnsw=HnswSettings(m=6)).vectors


@pytest.mark.parametrize("vector", ["", "dense"])
def test_vectors_are_added_written_and_dropped_while_points_stay(place: Place, vector: str) -> None:
    store = made(place, vector=vector)
    for _ in range(2):  # a killed migration asks again
        place.drive(store.add_vectors(octants(), [SparseVectorSchema("more", {"modifier": "idf"})]))
    schema = place.drive(store.schema())
    assert set(schema.names) == {vector, "tokens", "words", "t", "octant", "more"}
    if not place.kind.startswith("local"):
        assert schema.vector("octant").layout == octants()[0]
    check(everything(place, store, vectors=[vector, "tokens", "words", "t"]), vector)
    gone = str(uuid.uuid4())
    seen: list[int] = []
    skipped = place.drive(
        store.write_vectors([*IDS, 777, gone], {"octant": np.vstack([X, X[:2]])}, batch_size=25, progress=seen.append)
    )
    assert skipped == [777, gone]
    assert sum(seen) == N + 2
    assert place.drive(store.count()) == N
    for point in everything(place, store, vectors=["octant"]):
        np.testing.assert_allclose(point.vectors["octant"], X[IDS.index(point.id)], atol=0.05)
    check(everything(place, store, vectors=[vector, "tokens", "words", "t"]), vector)
    place.drive(store.drop_vectors(["octant", "more", "never"]))
    assert set(place.drive(store.schema()).names) == {vector, "tokens", "words", "t"}
    check(everything(place, store), vector)


def test_an_added_vector_is_searched(place: Place) -> None:
    if place.kind.startswith("server"):
        pytest.skip("the fake server does not search")
    store = made(place)
    place.drive(store.add_vectors(octants()))
    place.drive(store.write_vectors(IDS, {"octant": X}))
    place.drive(store.optimize())
    ((best, *_),) = place.drive(store.query([VectorQuery(X[7], "octant", 3)]))
    assert best.id == IDS[int(np.argmax(X @ X[7]))]


def test_another_vector_of_that_name_is_refused(place: Place) -> None:
    store = made(place, vector="dense")
    with pytest.raises(InputError, match="another vector named 'dense' already"):
        place.drive(store.add_vectors(lay_out(Stages.of(StorageNeeds(9, Distance.DOT), None, "dense")).vectors))
    with pytest.raises(InputError, match="another vector named 'words' already"):
        place.drive(store.add_vectors(octants("words")))
    with pytest.raises(InputError, match="another vector named 'words' already"):
        place.drive(store.add_vectors(sparse=[SparseVectorSchema("words", {})]))


def test_the_only_unnamed_vector_stays(place: Place) -> None:
    store = place.store("one")
    schema = theirs("")
    place.drive(store.create_like(schema.without(["tokens", "words", "t"])))
    with pytest.raises(InputError, match="cannot drop the unnamed vector while it is the only dense one"):
        place.drive(store.drop_vectors([""]))


def test_nothing_is_written_for_points_that_are_gone(place: Place) -> None:
    store = made(place)
    place.drive(store.add_vectors(octants()))
    assert place.drive(store.write_vectors([900, 901], {"octant": X[:2]})) == [900, 901]
    assert place.drive(store.count()) == N
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        place.drive(store.write_vectors([1], {"octant": X[:1]}, batch_size=0))


# -- notes and manifests -------------------------------------------------------------------------


def test_notes_are_kept_with_the_collection_and_shown_to_nobody(place: Place) -> None:
    store = made(place)
    assert place.drive(store.read_state("a/../b")) is None
    place.drive(store.write_state("a/../b", {"offset": 3, "list": [1, None]}))
    place.drive(store.write_state("other", None))
    place.drive(store.write_state("a/../b", {"offset": 4}))
    assert place.drive(store.read_state("a/../b")) == {"offset": 4}
    assert place.drive(store.read_state("other")) is None
    schema = place.drive(store.schema())
    assert (schema.metadata, schema.manifests) == (THEIRS.metadata, {})
    place.drive(store.delete_state("a/../b"))
    place.drive(store.delete_state("never"))
    assert place.drive(store.read_state("a/../b")) is None


def test_a_manifest_for_every_family(place: Place) -> None:
    store = made(place)
    for name in ("x", "y", ""):
        place.drive(store.write_manifest({"vector_name": name, "format": 1}))
    place.drive(store.write_manifest({"vector_name": "y", "format": 2}))
    found = place.drive(store.schema()).manifests
    assert found == {name: {"vector_name": name, "format": 2 if name == "y" else 1} for name in ("x", "y", "")}
    place.drive(store.drop_manifest("x"))
    place.drive(store.drop_manifest("never"))
    place.drive(store.write_manifest({"vector_name": "y", "format": 3}))
    found = place.drive(store.schema())
    assert found.manifests == {"y": {"vector_name": "y", "format": 3}, "": {"vector_name": "", "format": 1}}
    assert found.metadata == THEIRS.metadata


# -- payload indexes -----------------------------------------------------------------------------

INDEXES = (
    PayloadIndex("city", "keyword", {"is_tenant": True, "on_disk": True}),
    PayloadIndex("n", "integer", {"lookup": True, "range": False}),
    PayloadIndex("place", "geo"),
    PayloadIndex("price", "float", {"is_principal": True, "memory": "cold"}),
    PayloadIndex(
        "text", "text",
        {
            "tokenizer": "word", "min_token_len": 2, "lowercase": True, "phrase_matching": True, "ascii_folding": True,
            "stopwords": {"languages": ["english", "german"], "custom": ["the"]},
            "stemmer": {"type": "snowball", "language": "english"},
        },
    ),
    PayloadIndex("user", "uuid", {"is_tenant": True}),
    PayloadIndex("when", "datetime"),
    PayloadIndex("yes", "bool"),
)  # fmt: skip


def test_payload_indexes_are_carried_with_their_parameters(place: Place) -> None:
    store = place.store("docs")
    place.drive(store.create_like(CollectionSchema(theirs().vectors, indexes=INDEXES)))
    for index in INDEXES:
        place.drive(store.create_index(index))  # again, as after a kill
    found = place.drive(store.schema()).indexes
    if place.kind.startswith("local"):
        assert found == ()  # it has none
        return
    shown = [PayloadIndex(index.field, index.kind, _without_defaults(index)) for index in found]
    assert shown == list(INDEXES)
    copy = place.store("copy")
    place.drive(copy.create_like(place.drive(store.schema())))
    assert place.drive(copy.schema()).indexes == found


def _without_defaults(index: PayloadIndex) -> dict[str, Any]:
    # Edge says the tokenizer's default.
    return {key: value for key, value in index.settings.items() if (key, value) != ("is_tenant", False)}


def test_an_index_of_unknown_kind_or_setting(place: Place) -> None:
    store = made(place)
    with pytest.raises(InputError, match=r"one of .*keyword.*; got 'number'"):
        place.drive(store.create_index(PayloadIndex("n", "number")))
    with pytest.raises(UnsupportedError, match="sparkle"):
        place.drive(store.create_index(PayloadIndex("n", "integer", {"sparkle": True})))


# -- made by other clients -----------------------------------------------------------------------


def test_a_bare_shard_of_qdrant_edge_is_a_source(tmp_path: Path) -> None:
    shard = qe.EdgeShard.create(
        _folder(tmp_path / "bare"),
        qe.EdgeConfig(
            vectors={
                "dense": qe.EdgeVectorParams(
                    size=6, distance=qe.Distance.Dot, on_disk=True,
                    quantization_config=qe.ScalarQuantizationConfig(qe.ScalarType.Int8, quantile=0.9, always_ram=True),
                ),
            },
            sparse_vectors={"words": qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf, full_scan_threshold=9)},
            hnsw_config=qe.HnswIndexConfig(m=5, ef_construct=50, full_scan_threshold=77, payload_m=3),
        ),
    )  # fmt: skip
    rows = [qe.Point(row, {"dense": X[row].tolist()}, {"n": row}) for row in range(N)]
    shard.update(qe.UpdateOperation.upsert_points(rows))
    shard.update(qe.UpdateOperation.create_field_index("n", qe.IntegerIndexParams(lookup=True, range=False)))
    shard.flush()
    shard.close()
    store = EdgeStore(tmp_path, "bare")
    assert run(store.exists())
    schema = run(store.open())
    settings = schema.vector("dense").settings
    assert settings["hnsw_config"]["payload_m"] == 3
    assert settings["quantization_config"] == {"scalar": {"type": "int8", "quantile": 0.9, "always_ram": True}}
    assert (schema.manifests, schema.indexes) == ({}, (PayloadIndex("n", "integer", {"lookup": True, "range": False}),))
    assert schema.sparse == (
        SparseVectorSchema("words", {"modifier": "idf", "index": {"full_scan_threshold": 9}}),
    )  # fmt: skip
    run(store.add_vectors(octants()))
    run(store.write_vectors(range(N), {"octant": X}))
    run(store.write_manifest({"vector_name": "octant", "format": 1}))
    run(store.write_state("k", 1))
    run(store.close())
    again = run(store.open())
    assert set(again.names) == {"dense", "octant", "words"}
    assert again.vector("dense") == schema.vector("dense")  # not touched by the reload
    assert list(again.manifests) == ["octant"]
    assert run(store.count()) == N
    run(store.optimize())
    assert run(store.footprint()).points == N
    copy = EdgeStore(tmp_path, "copy")
    run(copy.create_like(again.without(["octant"])))
    assert run(copy.schema()).vector("dense") == schema.vector("dense")
    run(copy.close())
    run(store.drop())
    assert not (tmp_path / "bare").exists()


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


def test_a_shard_that_does_not_describe_itself_says_so(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path, "docs")
    run(store.create_like(theirs()))
    run(store.close())
    (tmp_path / "docs" / "shard" / "edge_config.json").write_text("[")
    with pytest.raises(StoreError, match=r"Qdrant Edge refused: .*edge_config\.json"):
        run(store.open())
    (tmp_path / "docs" / "shard" / "edge_config.json").unlink()
    with pytest.raises(UnsupportedError, match=r"edge_config\.json should hold .*open and close the shard once"):
        edge_schema.configuration(tmp_path / "docs" / "shard")
    assert set(run(store.open()).names) == {"", "tokens", "words", "t"}  # the engine finds it in its segments
    run(store.close())


def test_a_servers_schema_is_lossless(on_server: Place) -> None:
    place = on_server
    client = QdrantClient(behind(place).url, check_compatibility=False)
    client.create_collection(
        "docs",
        {
            "": models.VectorParams(size=6, distance=models.Distance.COSINE),
            "b": models.VectorParams(
                size=4, distance=models.Distance.EUCLID, datatype=models.Datatype.FLOAT16, on_disk=True,
                hnsw_config=models.HnswConfigDiff(m=0, on_disk=True),
                quantization_config=models.ProductQuantization(
                    product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X32, always_ram=True)
                ),
            ),
        },
        sparse_vectors_config={"s": models.SparseVectorParams(index=models.SparseIndexParams(on_disk=True))},
        hnsw_config=models.HnswConfigDiff(m=40, payload_m=4),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.5)
        ),
        shard_number=3, replication_factor=2, write_consistency_factor=2, on_disk_payload=False,
        strict_mode_config=models.StrictModeConfig(enabled=True, max_query_limit=50),
        wal_config=models.WalConfigDiff(wal_capacity_mb=7, wal_segments_ahead=1),
        metadata={"made by": "them"},
    )  # fmt: skip
    client.update_collection("docs", collection_params=models.CollectionParamsDiff(read_fan_out_factor=2))
    client.close()
    store = place.store("docs")
    schema = place.drive(store.open())
    assert schema.payload_placement == "cached"
    assert schema.vector("").settings["quantization_config"] == {"scalar": {"type": "int8", "quantile": 0.5}}
    assert schema.vector("").layout.hnsw.m == 40
    assert schema.vector("b").settings["hnsw_config"] == {
        "m": 0, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "payload_m": 4,
        "on_disk": True,
    }  # fmt: skip
    wanted = {"shard_number": 3, "replication_factor": 2, "write_consistency_factor": 2, "read_fan_out_factor": 2}
    assert {name: schema.options[name] for name in wanted} == wanted
    assert schema.options["strict_mode_config"]["max_query_limit"] == 50
    copy = place.store("copy")
    place.drive(copy.create_like(schema))
    copied = place.drive(copy.open())
    assert copied == schema
    # Nothing of Octant's own may take over what the collection set for all vectors.
    place.drive(store.add_vectors(lay_out(Stages.of(StorageNeeds(6, Distance.DOT), None, "octant")).vectors))
    (sent,) = [request.body["vectors"] for request in behind(place).requests if (request.body or {}).get("vectors")][
        -1:
    ]
    assert sent["octant"]["quantization_config"] == "Disabled"


def test_a_vectors_own_placement_goes_before_the_collections() -> None:
    own = {**FLOAT, "hnsw_config": {"on_disk": True}}
    common = {"hnsw_config": {"m": 5, "memory": "pinned"}}
    assert filled(own, common)["hnsw_config"] == {"m": 5, "on_disk": True}
    assert DenseVector("", filled(own, common)).layout.graph_placement == "cold"
    assert DenseVector("", filled(FLOAT, common)).layout.graph_placement == "pinned"


def test_settings_of_the_future_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"settings of vector 'x' are none .*upgrade qdrant-octant"):
        _ = DenseVector("x", {**FLOAT, "quantization_config": {"quantum": {}}}).layout


def test_custom_sharding_is_refused_in_words(tmp_path: Path) -> None:
    schema = CollectionSchema(theirs().vectors, options={"sharding_method": "custom"})
    with pytest.raises(UnsupportedError, match=r"shard keys of its own .*add vectors to the live collection"):
        run(EdgeStore(tmp_path, "copy").create_like(schema))


# -- strict mode and old servers -----------------------------------------------------------------


def test_pages_and_uploads_keep_to_what_strict_mode_allows(on_server: Place) -> None:
    place = on_server
    strict = {"enabled": True, "max_query_limit": 7, "upsert_max_batchsize": 11}
    store = place.store("docs")
    place.drive(store.create_like(CollectionSchema(theirs().vectors, options={"strict_mode_config": strict})))
    place.drive(store.open())
    place.drive(store.upsert(PointBatch(IDS, {"": X}, [{}] * N), batch_size=256))
    uploads = [request for request in behind(place).requests if request.writes_points]
    assert max(len(request.body["batch"]["ids"]) for request in uploads) == 11
    assert len(everything(place, store, limit=1000)) == N
    assert len(place.drive(store.sample(20))) == 20


def test_a_server_without_slices_lists_its_ids(on_server: Place) -> None:
    place = on_server
    store = made(place)
    behind(place).version = "1.18.3"
    old = place.store("docs")
    place.drive(old.open())
    del behind(place).requests[:]
    first = [point.id for point in place.drive(old.sample(20, seed=1))]
    assert first == [point.id for point in place.drive(old.sample(20, seed=1))]
    assert len(set(first)) == 20
    assert not any("slice" in str(request.body) for request in behind(place).requests)
    place.drive(store.close())


def test_a_server_without_vector_names_is_told_before_anything_is_sent(on_server: Place) -> None:
    place = on_server
    made(place)
    behind(place).version = "1.17.0"
    old = place.store("docs")
    for flow in (old.add_vectors(octants()), old.drop_vectors(["words"])):
        with pytest.raises(UnsupportedError, match=r"adding or dropping vectors .* needs Qdrant 1\.18 or newer"):
            place.drive(flow)
    assert not [request for request in behind(place).requests if "/vectors/" in request.path]
