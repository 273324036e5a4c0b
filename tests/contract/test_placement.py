"""Every placement is what the engine's own configuration says afterwards."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from octant import Collection, HnswSettings, MemoryPlacement
from octant.flow import run
from octant.layout import Stages, lay_out
from octant.records import Distance, Footprint, NativeQuantization, StorageNeeds
from octant.schema import CollectionSchema
from octant.store.client_schema import creation
from octant.store.client_schema import schema as read_schema

N, DIM = 450, 32
X = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
GRAPH = HnswSettings(m=8, ef_construct=32, full_scan_threshold=1, indexing_threshold=1)
COPY = StorageNeeds(8, Distance.DOT, "turbo4", NativeQuantization("turbo", 1))
ONLY = StorageNeeds(8, Distance.DOT, "turbo8")
PLACEMENTS = [
    MemoryPlacement(*combination)
    for combination in product(
        ("pinned", "cached", "cold"), (None, "pinned", "cached", "cold"), ("cached", "cold"), ("cached", "cold")
    )
]


def made(root: Path, represent: str, placement: MemoryPlacement) -> Footprint:
    with Collection.create("c", location=root, represent=represent, hnsw=GRAPH, placement=placement) as collection:
        collection.add(vectors=X, payloads=[{"n": i} for i in range(N)], ids=range(N), optimize=True)
        return collection.footprint()


def configured(root: Path) -> dict[str, Any]:
    return json.loads((root / "c" / "shard" / "edge_config.json").read_text())


def of_indexed_segment(root: Path) -> dict[str, Any]:
    files = (root / "c" / "shard" / "segments").glob("*/segment.json")
    configs = [json.loads(file.read_text())["config"] for file in files]
    return next(c for c in configs if any(v["index"]["type"] == "hnsw" for v in c["vector_data"].values()))


@pytest.mark.parametrize("graph", ["pinned", "cached", "cold"])
@pytest.mark.parametrize("codes", [None, "pinned", "cached", "cold"])
def test_edge_holds_a_second_copy_as_asked(tmp_path: Path, graph: str, codes: str | None) -> None:
    footprint = made(tmp_path, "turbo8|turbo(1)", MemoryPlacement(graph, codes))
    vector = configured(tmp_path)["vectors"][""]
    assert vector["memory"] == "cold"
    assert vector["hnsw_config"]["memory"] == graph
    assert vector["quantization_config"]["turbo"]["memory"] == (codes or "pinned")
    built = of_indexed_segment(tmp_path)["vector_data"][""]
    assert built["index"]["options"]["memory"] == graph
    assert built["quantization_config"]["turbo"]["memory"] == (codes or "pinned")
    held = {part.name: part.placement for part in footprint.components}
    assert held["graph"] == graph
    assert held["searched codes"] == (codes or "pinned")
    assert held["originals"] == "cold"


@pytest.mark.parametrize("originals", ["cached", "cold"])
@pytest.mark.parametrize("payload", ["cached", "cold"])
def test_edge_holds_originals_and_payload_as_asked(tmp_path: Path, originals: str, payload: str) -> None:
    footprint = made(
        tmp_path, "coarse=turbo4|turbo(1); fine=float8", MemoryPlacement("cached", None, originals, payload)
    )
    config = configured(tmp_path)
    assert config["payload_memory"] == payload
    assert {name: vector["memory"] for name, vector in config["vectors"].items()} == dict.fromkeys(
        ("coarse", "fine"), originals
    )
    assert config["vectors"]["fine"]["hnsw_config"]["memory"] == "cold"
    held = {part.name: part.placement for part in footprint.components if part.name != "graph"}
    assert (held["payload"], held["originals"], held["rescoring codes"]) == (payload, originals, originals)
    assert held["searched codes"] == "pinned"
    # The engine's own words for a file that is read ahead, and for one that is not.
    built = of_indexed_segment(tmp_path)
    assert built["payload_storage_type"]["type"] == {"cached": "in_ram_mmap", "cold": "mmap"}[payload]
    stored = {"cached": "InRamMmap", "cold": "Mmap"}[originals]
    assert built["vector_data"]["coarse"]["storage_type"] == stored


@pytest.mark.parametrize("codes", [None, "cached", "cold"])
def test_edge_holds_an_only_copy_as_asked(tmp_path: Path, codes: str | None) -> None:
    footprint = made(tmp_path, "turbo8", MemoryPlacement(codes=codes))
    assert configured(tmp_path)["vectors"][""]["memory"] == (codes or "cached")
    (part,) = [part for part in footprint.components if part.name == "searched codes"]
    assert part.placement == (codes or "cached")


@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda p: "-".join(map(str, vars(p).values())))
def test_a_server_is_asked_for_what_was_asked_for(placement: MemoryPlacement) -> None:
    layout = lay_out(Stages.of(COPY, ONLY), hnsw=HnswSettings(m=8), placement=placement)
    sent = creation(CollectionSchema(payload_placement=layout.payload_placement), layout.vectors, {})
    coarse, fine = sent["vectors_config"]["coarse"], sent["vectors_config"]["fine"]
    assert coarse.hnsw_config.memory.value == placement.graph
    assert coarse.memory.value == fine.memory.value == placement.originals
    assert coarse.quantization_config.turbo.memory.value == (placement.codes or "pinned")
    assert fine.hnsw_config.memory == models.Memory.COLD
    assert sent["payload"].memory.value == placement.payload
    # And a server that repeats it is understood to hold it so.
    info = models.CollectionInfo.model_validate(
        {
            "status": "green", "optimizer_status": "ok", "segments_count": 1, "payload_schema": {},
            "config": {
                "params": {"vectors": {"coarse": coarse, "fine": fine}, "payload": sent["payload"]},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {
                    "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
                    "flush_interval_sec": 5, "indexing_threshold": 10_000,
                },
            },
        }
    )  # fmt: skip
    assert read_schema(info).layout == layout


def test_the_description_of_an_edge_collection_says_it_too(tmp_path: Path) -> None:
    placement = MemoryPlacement("cold", "cached", "cached", "cached")
    made(tmp_path, "turbo8|turbo(1)", placement)
    with Collection.open("c", location=tmp_path) as collection:
        assert collection.info().manifest.placement == placement
        (vector,) = run(collection._core.store.describe()).vectors
        assert (vector.graph_placement, vector.quantization_placement, vector.placement) == ("cold", "cached", "cached")


def test_a_server_collection_of_somebody_else_tells_where_its_parts_are() -> None:
    deprecated = {"size": 4, "distance": "Dot", "on_disk": True, "hnsw_config": {"on_disk": True}}
    info = models.CollectionInfo.model_validate(
        {
            "status": "green", "optimizer_status": "ok", "segments_count": 1, "payload_schema": {},
            "config": {
                "params": {"vectors": {"a": deprecated, "b": {"size": 4, "distance": "Dot", "memory": "pinned"}}},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "memory": "pinned"},
                "optimizer_config": {
                    "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
        }
    )  # fmt: skip
    a, b = read_schema(info).layout.vectors
    assert (a.placement, a.graph_placement) == ("cold", "cold")
    # Qdrant takes a stored vector that shall be pinned, and holds it cached.
    assert (b.placement, b.graph_placement) == ("cached", "pinned")
