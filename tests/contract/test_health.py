"""Every known trap, provoked for real where that can be done here; and silence where all is well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as qe
from qdrant_client import QdrantClient

from fake_server import FakeQdrant, serving
from octant import Collection, HnswSettings, MemoryPlacement, SearchKnobs
from octant.errors import LocalModeWarning
from octant.health import Check, Evidence, achecks, checks, diagnose

N, DIM = 600, 384
X = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
GRAPH = HnswSettings(m=8, ef_construct=32, indexing_threshold=50)


def model(texts: list[str]) -> np.ndarray:
    return np.stack([X[sum(map(ord, text)) % N] for text in texts])


@contextmanager
def made(path: Path, represent: str, **options: Any) -> Iterator[Collection]:
    adding = {"optimize": options.pop("optimize", True), "payloads": options.pop("payloads", None)}
    options = {"hnsw": GRAPH, "embedding": model, **options}
    with Collection.create("c", location=path, represent=represent, **options) as collection:
        collection.add(vectors=X, ids=range(N), **adding)
        yield collection


def wrong(collection: Collection) -> dict[str, Check]:
    found = [check for check in checks(collection) if not check.ok]
    assert all(check.advice for check in found), "a trap without advice"
    return {check.name: check for check in found}


# -- all is well ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("represent", "options"),
    [
        ("turbo8", {}),
        ("float32", {"hnsw": HnswSettings(m=0)}),
        ("turbo8|turbo(1)", {}),
        ("coarse=turbo4|turbo(1); fine=float8", {}),
        ("turbo8", {"sparse": "bm25", "placement": MemoryPlacement("pinned", payload="cold")}),
        ("turbo8|turbo(1)", {"placement": MemoryPlacement("cold", "cached"), "knobs": SearchKnobs(oversampling=4)}),
    ],
)
async def test_a_healthy_collection_is_silent(tmp_path: Path, represent: str, options: dict[str, Any]) -> None:
    sparse = options.get("sparse") is not None
    with Collection.create(
        "c", location=tmp_path, represent=represent, embedding=model, **{"hnsw": GRAPH} | options
    ) as collection:
        count = 450 if "fine" in represent else N  # more would measure how deep to search, which takes a while
        texts = [f"{i} words" for i in range(count)] if sparse else None
        collection.add(texts, vectors=X[:count], ids=range(count), optimize=True)
        found = checks(collection)
        assert {check.name: check.detail for check in found if not check.ok} == {}
        assert not any(check.advice for check in found)
        assert await achecks(collection) == found
    with Collection.open("c", location=tmp_path, embedding=model) as collection:
        assert wrong(collection) == {}


def test_small_collections_need_no_index(tmp_path: Path) -> None:
    with made(tmp_path, "turbo8", hnsw=HnswSettings()) as collection:
        (indexes,) = [check for check in checks(collection) if check.name == "indexes"]
        assert indexes.ok
        assert "below the indexing threshold of 10.2 MB and are scanned" in indexes.detail


# -- traps ---------------------------------------------------------------------------------------


def test_quantization_that_is_not_applied_yet(tmp_path: Path) -> None:
    with made(tmp_path, "scalar", optimize=False) as collection:
        found = wrong(collection)["indexes"]
        assert "no graph and no second copy built for 92" in found.detail  # 600 x 384 x 4 bytes
        assert "above the indexing threshold of 51.2 kB" in found.detail
        assert "optimize()" in found.advice
        collection.optimize()
        assert "indexes" not in wrong(collection)


def test_indexing_that_is_switched_off(tmp_path: Path) -> None:
    with made(tmp_path, "turbo8", hnsw=replace(GRAPH, indexing_threshold=0)) as collection:
        found = wrong(collection)["indexes"]
        assert "no graph: indexing is switched off" in found.detail
        assert "set indexing_threshold back" in found.advice


def test_originals_that_are_still_in_ram(tmp_path: Path) -> None:
    with made(tmp_path, "scalar", placement=MemoryPlacement(originals="cached")) as collection:
        found = wrong(collection)["originals"]
        (originals,) = [part for part in collection.footprint().components if part.name == "originals"]
        assert found.saves == originals.bytes
        assert "(1536 bytes a vector) of original vectors are held in RAM beside their second copy" in found.detail
        assert "originals='cold'" in found.advice


@pytest.mark.parametrize("knobs", [SearchKnobs(oversampling=1.0), SearchKnobs(oversampling=1.0, rescore=True)])
def test_rescoring_without_oversampling(tmp_path: Path, knobs: SearchKnobs) -> None:
    with made(tmp_path, "scalar", knobs=knobs) as collection:
        found = wrong(collection)["rescoring"]
        assert "as many candidates as answers" in found.detail
        assert "SearchKnobs(oversampling=3)" in found.advice
    other = replace(knobs, oversampling=2.5)
    with made(tmp_path, "scalar", knobs=other, overwrite=True) as collection:
        assert wrong(collection) == {}


def test_a_graph_that_outweighs_its_codes(tmp_path: Path) -> None:
    wide = HnswSettings(m=32, ef_construct=40, indexing_threshold=1)
    with made(tmp_path, "truncate(32)|turbo8|turbo(1)", hnsw=wide) as collection:
        found, footprint = wrong(collection)["graph"], collection.footprint()
        sizes = {part.name: part.bytes for part in footprint.components}
        assert sizes["graph"] > sizes["searched codes"]
        assert found.saves == sizes["graph"]
        assert f"{sizes['graph'] / sizes['searched codes']:.1f} times their size" in found.detail
        assert " instead of 32 saves about " in found.advice
        assert "graph='cold'" in found.advice
    cold = MemoryPlacement("cold")
    with made(tmp_path, "truncate(32)|turbo8|turbo(1)", hnsw=wide, placement=cold, overwrite=True) as collection:
        assert "graph" not in wrong(collection)


def test_payload_that_takes_more_ram_than_what_is_searched(tmp_path: Path) -> None:
    texts = [{"text": "x" * 400}] * N
    with made(tmp_path, "turbo8", payloads=texts, placement=MemoryPlacement(payload="cached")) as collection:
        found, footprint = wrong(collection)["payload"], collection.footprint()
        # What is read into memory is the whole file, empty space included.
        assert found.saves > 32 * 2**20
        held = sum(part.bytes for part in footprint.components if part.name == "payload")
        assert found.saves == held + footprint.reserved_bytes
        assert "payload='cold'" in found.advice


def test_a_log_that_is_larger_than_the_data(tmp_path: Path) -> None:
    options = {"hnsw": HnswSettings(m=0), "collection_options": {"wal": True}}
    with made(tmp_path, "truncate(32)|turbo8", **options) as collection:
        for _ in range(6):  # the log keeps what was overwritten
            collection.add(vectors=X, ids=range(N))
        found = wrong(collection)["write-ahead log"]
        assert "more than the" in found.detail
        assert "create without" in found.advice


def test_what_was_not_learned_or_measured(tmp_path: Path) -> None:
    with Collection.create("new", location=tmp_path, represent="pca(4)|turbo8", dimension=DIM) as collection:
        assert set(wrong(collection)) == {"artifact", "embedding"}
    with Collection.create("few", location=tmp_path, represent="coarse=turbo4; fine=turbo8", dimension=32) as few:
        for start in range(0, N, 100):  # too few at a time to measure anything on
            few.add(vectors=X[start : start + 100, :32], ids=range(start, start + 100))
        assert few.info().coverage.source == "assumed"
        assert "by a curve that is assumed" in wrong(few)["candidates"].detail


def test_local_mode(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    with pytest.warns(LocalModeWarning, match="local mode stores plain float32"):
        collection = Collection.create("c", location=client, dimension=DIM, embedding=model)
    collection.add(vectors=X[:20])
    assert set(wrong(collection)) == {"engine"}
    client.close()


def test_settings_that_were_changed_behind_octants_back(tmp_path: Path) -> None:
    with made(tmp_path, "scalar") as collection:
        seen = Evidence(collection.info(), collection.footprint(), collection.schema(), {})
    (vector,) = seen.schema.vectors
    warm = replace(vector, settings={**vector.settings, "memory": "cached"})
    changed = replace(seen, schema=replace(seen.schema, vectors=(warm,), payload_placement="cached"))
    details = [check.detail for check in diagnose(changed) if check.name == "placement"]
    assert details == [
        "what is stored was made cold, and the engine holds it cached",
        "payload was made cold, and the engine holds it cached",
    ]
    assert not [check for check in diagnose(seen) if check.name == "placement"]


def test_another_representations_artifact_that_is_missing(tmp_path: Path) -> None:
    with made(tmp_path, "turbo8") as collection:
        core, other = collection._core, "ab" * 32
        manifest = replace(core.manifest, vector_name="second", artifact=other)
        from octant.flow import run

        run(core.store.write_manifest(manifest.to_json()))
        found = wrong(collection)["artifact"]
        assert (found.vector, "cannot be read" in found.detail) == ("second", True)


# -- collections of others -----------------------------------------------------------------------


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Somebody's own shard: several named vectors, a multivector, a sparse one, flags that contradict."""

    def graph(m: int) -> qe.HnswIndexConfig:
        return qe.HnswIndexConfig(m=m, ef_construct=32, full_scan_threshold=1)

    copy = qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, always_ram=False, memory=qe.Memory.Pinned)
    rows = qe.MultiVectorConfig(comparator=qe.MultiVectorComparator.MaxSim)
    warm = {"on_disk": True, "memory": qe.Memory.Cached}
    vectors = {
        "title": qe.EdgeVectorParams(
            size=64, distance=qe.Distance.Cosine, hnsw_config=graph(8), quantization_config=copy, **warm
        ),
        "body": qe.EdgeVectorParams(size=32, distance=qe.Distance.Dot, hnsw_config=graph(8)),
        "tokens": qe.EdgeVectorParams(size=8, distance=qe.Distance.Dot, hnsw_config=graph(0), multivector_config=rows),
    }
    config = qe.EdgeConfig(
        vectors=vectors,
        sparse_vectors={"words": qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)},
        optimizers=qe.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=20),
    )
    (tmp_path / "theirs").mkdir()
    made = qe.EdgeShard.create(str(tmp_path / "theirs"), config)
    points = [
        qe.Point(
            i,
            {
                "title": row[:64].tolist(), "body": row[:32].tolist(), "tokens": [row[:8].tolist()] * 2,
                "words": qe.SparseVector(indices=[i % 7], values=[1.0]),
            },
            {"n": i},
        )
        for i, row in enumerate(X)
    ]  # fmt: skip
    made.update(qe.UpdateOperation.upsert_points(points))
    made.flush()
    made.close()
    return tmp_path


def test_every_vector_of_somebody_elses_collection_is_examined(shard: Path) -> None:
    with Collection.open("theirs", location=shard, vector_name=None) as collection:
        found = [(check.name, check.vector) for check in checks(collection) if not check.ok]
        assert found == [
            ("embedding", None), ("indexes", "body"), ("indexes", "title"), ("originals", "title"),
            ("rescoring", "title"), ("settings", "title"), ("settings", "title"),
        ]  # fmt: skip
        contradictions = [check.detail for check in checks(collection) if check.name == "settings"]
        assert contradictions == [
            "of the vectors, on_disk=true says another thing than memory='cached'",
            "of the second copy, always_ram=false says another thing than memory='pinned'",
        ]
        collection.optimize()
        assert "indexes" not in wrong(collection)
        sizes = {(part.name, part.vector): part for part in collection.footprint().components}
        assert {vector for name, vector in sizes if name in ("searched codes", "rescoring codes", "originals")} == {
            "title", "body", "tokens",
        }  # fmt: skip
        assert sizes["originals", "title"].placement == "cached"
        assert sizes["searched codes", "title"].placement == "pinned"
        assert sizes["searched codes", "body"].bytes >= N * 32 * 4
        assert sizes["sparse index", "words"].placement == "pinned"


def test_a_collection_without_a_dense_vector_can_be_examined(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    config = qe.EdgeConfig(vectors={}, sparse_vectors={"w": qe.EdgeSparseVectorParams()})
    qe.EdgeShard.create(str(tmp_path / "s"), config).close()
    with Collection.open("s", location=tmp_path, vector_name=None) as collection:
        assert set(wrong(collection)) == {"embedding"}


# -- servers -------------------------------------------------------------------------------------


def usage(disk: int, ram: int = 0, cached: int = 0, wanted: int = 0) -> dict[str, int]:
    return {"disk_bytes": disk, "ram_bytes": ram, "cached_bytes": cached, "expected_cache_bytes": wanted}


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as fake:
        yield fake


def described(server: FakeQdrant, vectors: dict[str, Any], memory: dict[str, Any]) -> dict[str, Check]:
    server.collections["docs"] = {"vectors": vectors}
    server.points["docs"] = {i: {} for i in range(1000)}
    server.memory = memory
    with Collection.open("docs", location=server.url, vector_name=None) as collection:
        return wrong(collection)


def test_a_langchain_collection_on_a_server(server: FakeQdrant) -> None:
    scalar = {"scalar": {"type": "int8"}}
    vectors = {"size": 1536, "distance": "Cosine", "quantization_config": scalar}
    storage = {"name": "", "storage": usage(60_000_000, 0, 60_000_000, 60_000_000), "index": usage(0)}
    found = described(server, vectors, {"vectors": [storage]})
    assert set(found) == {"embedding", "indexes", "originals", "rescoring"}
    assert "no graph and no second copy built for 60.0 MB" in found["indexes"].detail
    assert "wait until the collection is green" in found["indexes"].advice
    built = {**storage, "index": usage(9_000_000, 0, 0, 9_000_000), "quantized": usage(15_000_000, 15_000_000)}
    found = described(server, vectors, {"vectors": [built]})
    assert set(found) == {"embedding", "originals", "rescoring"}
    assert found["originals"].saves == 60_000_000


def test_what_a_server_holds_is_what_it_reports(server: FakeQdrant) -> None:
    report = {
        "vectors": [
            {"name": "", "storage": usage(400, 0, 123), "index": usage(70, 0, 60, 70), "quantized": usage(9, 9)}
        ],
        "payload": usage(50, 0, 0), "other": {"id_tracker": usage(8, 11)},
    }  # fmt: skip
    described(server, {"size": 4, "distance": "Dot"}, report)
    with Collection.open("docs", location=server.url) as collection:
        held = collection.residency()
    assert held.source == "api"
    assert [(p.name, p.placement, p.disk_bytes, p.cached_bytes, p.heap_bytes) for p in held.components] == [
        ("originals", "cold", 400, 123, 0), ("searched codes", "pinned", 9, 0, 9), ("graph", "cached", 70, 60, 0),
        ("payload", "cold", 50, 0, 0), ("ids", "pinned", 8, 0, 11),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "memory", "reason"),
    [("1.17.3", None, "Qdrant 1.17 has no memory report"), ("1.20.0", {"other": []}, "reports no memory")],
)
def test_servers_that_report_nothing_say_so(version: str, memory: dict[str, Any] | None, reason: str) -> None:
    with serving(version=version, memory=memory) as server:
        server.collections["docs"] = {"vectors": {"size": 4, "distance": "Dot"}}
        server.points["docs"] = {1: {}}
        with Collection.open("docs", location=server.url) as collection:
            held = collection.residency()
    assert (held.source, held.components) == ("none", ())
    assert reason in held.unknown[0]


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"on_disk": False, "memory": "cold"}, "of the vectors, on_disk=false says another thing than memory='cold'"),
    ({"hnsw_config": {"on_disk": True, "memory": "pinned"}}, "of the graph, on_disk=true says another thing"),
    (
        {"quantization_config": {"turbo": {"bits": "bits1", "always_ram": True, "memory": "cold"}}},
        "of the second copy, always_ram=true says another thing than memory='cold'",
    ),
]


@pytest.mark.parametrize(("settings", "message"), CONTRADICTIONS)
def test_flags_that_contradict(server: FakeQdrant, settings: dict[str, Any], message: str) -> None:
    found = described(server, {"size": 4, "distance": "Dot", **settings}, {})
    assert message in found["settings"].detail


def test_flags_that_agree_are_silent(server: FakeQdrant) -> None:
    agreeing = {
        "on_disk": True, "memory": "cold", "hnsw_config": {"on_disk": False, "memory": "pinned"},
        "quantization_config": {"turbo": {"bits": "bits1", "always_ram": True, "memory": "pinned"}},
    }  # fmt: skip
    assert "settings" not in described(server, {"size": 4, "distance": "Dot", **agreeing}, {})
