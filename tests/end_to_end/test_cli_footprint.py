"""``octant footprint``, ``octant inspect`` of anybody's collection, and ``octant index --recommendation``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import refuse, succeed
from fake_server import serving
from octant import Collection, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.store import pages

X = np.random.default_rng(0).standard_normal((800, 64)).astype(np.float32)
GRAPH = HnswSettings(m=8, ef_construct=32, indexing_threshold=10)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collections")
    for name, represent in {"before": "float32", "after": "turbo8|turbo(1)"}.items():
        with Collection.create(name, location=folder, represent=represent, hnsw=GRAPH) as collection:
            rows = X if name == "before" else X[:400]
            payloads = [{"text": "x" * 100}] * len(rows)
            collection.add(vectors=rows, ids=range(len(rows)), payloads=payloads, optimize=True)
    return folder


def rows_of(table: str) -> dict[str, list[str]]:
    return {line.split("  ")[0].strip(): line.split()[-6:] for line in table.splitlines() if line}


# -- one collection ------------------------------------------------------------------------------


def test_a_footprint_adds_up_and_says_what_is_in_memory(place: Path) -> None:
    seen = json.loads(succeed("footprint", "before", "--location", place, "--json").stdout)
    footprint, held = seen["footprint"], seen["residency"]
    assert footprint["points"] == 800
    assert footprint["disk_bytes"] == sum(part["bytes"] for part in footprint["components"])
    in_ram = [part for part in footprint["components"] if part["placement"] != "cold"]
    assert footprint["ram_bytes"] == sum(part["bytes"] for part in in_ram)
    assert footprint["ram_bytes_per_vector"] == pytest.approx(footprint["ram_bytes"] / 800)
    with Collection.open("before", location=place) as collection:
        assert footprint["disk_bytes"] == pytest.approx(collection.footprint().disk_bytes, rel=0.01)
    assert {part["name"] for part in held["components"]} == {part["name"] for part in footprint["components"]}
    if pages.reason_unknown() is None:
        codes = next(part for part in held["components"] if part["name"] == "searched codes")
        assert codes["cached_bytes"] >= 800 * 64 * 4


def test_its_table_is_for_people(place: Path) -> None:
    shown = succeed("footprint", "before", "--location", place).stdout
    for words in ("searched codes  cached", "all in RAM", "all on disk", "in memory now", "page cache", "not known:"):
        assert words in shown
    # Describing and judging it is another command's work.
    assert "representation" not in shown
    assert "note" not in shown


# -- before and after ----------------------------------------------------------------------------


def test_two_collections_side_by_side(place: Path) -> None:
    seen = json.loads(succeed("footprint", "before", "--location", place, "--against", "after", "--json").stdout)
    before, after = seen["before"]["footprint"], seen["after"]["footprint"]
    assert (before["points"], after["points"]) == (800, 400)
    # A vector's bytes are compared, so the sizes of the collections do not matter.
    assert seen["ratios"]["ram"] == pytest.approx(after["ram_bytes_per_vector"] / before["ram_bytes_per_vector"])
    assert seen["ratios"]["disk"] < 1
    assert seen["ratios"]["components"]["searched codes"] < 0.2
    assert seen["ratios"]["components"]["originals"] is None
    table = succeed("footprint", "before", "--location", place, "--against", "after").stdout
    assert "before: before, 800 points" in table
    assert "cached → pinned" in table
    assert "none → cold" in table
    assert rows_of(table)["all in RAM"][-1] == f"{seen['ratios']['ram']:.2f}"


def test_they_may_live_in_two_places(place: Path, tmp_path: Path) -> None:
    with Collection.create("there", location=tmp_path, dimension=64) as collection:
        collection.add(vectors=X[:10])
    seen = succeed(
        "footprint", "before", "--location", place, "--against", "there", "--against-location", tmp_path, "--json"
    ).stdout
    assert json.loads(seen)["after"]["footprint"]["points"] == 10
    line = refuse("footprint", "before", "--location", place, "--against-location", tmp_path)
    assert "--against-location says where the collection of --against is" in line
    assert "no collection 'there'" in refuse("footprint", "before", "--location", place, "--against", "there")


def test_a_server_that_reports_nothing_is_not_compared(place: Path) -> None:
    with serving(version="1.17.0") as server:
        server.collections["docs"] = {"vectors": {"size": 4, "distance": "Dot"}}
        server.points["docs"] = {1: {}}
        arguments = ("--against", "docs", "--against-location", server.url)
        table = succeed("footprint", "before", "--location", place, *arguments).stdout
        alone = succeed("footprint", "docs", "--location", server.url).stdout
    assert "not measurable: the engine reports no sizes" in table
    assert "not known: Qdrant 1.17 has no memory report: 1.18 and newer do" in alone


# -- inspect -------------------------------------------------------------------------------------


def test_inspect_lists_every_vector_of_anybodys_collection() -> None:
    with serving() as server:
        server.collections["docs"] = {
            "vectors": {
                "title": {"size": 384, "distance": "Cosine", "quantization_config": {"turbo": {"bits": "bits1"}}},
                "body": {"size": 768, "distance": "Dot", "datatype": "float16", "on_disk": True},
                "tokens": {"size": 128, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}},
            },
            "sparse_vectors": {"words": {"modifier": "idf"}},
        }
        server.points["docs"] = {}
        shown = succeed("inspect", "docs", "--location", server.url).stdout
        seen = json.loads(succeed("inspect", "docs", "--location", server.url, "--json").stdout)
    assert "made by another client" in shown
    for row in (
        "title   384 x float32        cached  turbo 1 bits  pinned  m=16, cached",
        "body    768 x float16        cold    none                  m=16, cached",
        "tokens  multi 128 x float32  cached  none                  m=16, cached",
        "words   sparse                       idf",
    ):
        assert row in shown
    assert {vector["name"] for vector in seen["vectors"]} == {"title", "body", "tokens"}
    assert {check["vector"] for check in seen["health"] if check["name"] == "rescoring"} == {"title"}


def test_inspect_shows_placement_and_kept_settings(tmp_path: Path) -> None:
    kept = {"placement": MemoryPlacement("cold"), "knobs": SearchKnobs(hnsw_ef=77, oversampling=3.0)}
    with Collection.create("c", location=tmp_path, dimension=64, represent="turbo8|turbo(1)", **kept) as collection:
        collection.add(vectors=X)
    shown = succeed("inspect", "c", "--location", tmp_path).stdout
    assert "placement       graph cold, originals cold, payload cold" in shown
    assert "searches with   hnsw_ef=77, oversampling=3.0" in shown
    assert "ok    rescoring: of 3 candidates for every answer" in shown


# -- index and search with a recommendation ------------------------------------------------------


CHOSEN = Recommendation(
    "turbo8|turbo(1)", HnswSettings(m=8), MemoryPlacement("cold"), SearchKnobs(hnsw_ef=33, oversampling=4.0),
    dimension=384, points=1000,
)  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    class Model:
        def encode(self, texts: list[str], **options: Any) -> np.ndarray:
            rows = [np.random.default_rng(sum(map(ord, text))).standard_normal(384) for text in texts]
            return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    monkeypatch.setattr("octant.embedders.load_model", lambda name: Model())
    (tmp_path / "notes.md").write_text("# One\n\noctants\n\n# Two\n\nquadrants\n")
    CHOSEN.save(tmp_path / "recommendation.json")
    return tmp_path


def test_index_makes_what_is_recommended_and_search_uses_it(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--name", "c", "--location", corpus / "data", "--recommendation", corpus / "recommendation.json")
    succeed("index", corpus / "notes.md", *given)
    succeed("index", corpus / "notes.md", *given)  # again, into the same collection
    with Collection.open("c", location=corpus / "data") as collection:
        manifest = collection.manifest
    assert (manifest.represent, manifest.hnsw, manifest.placement, manifest.knobs) == (
        CHOSEN.represent, CHOSEN.hnsw, CHOSEN.placement, CHOSEN.knobs,
    )  # fmt: skip
    asked: list[Any] = []
    from octant.store.edge import EdgeStore

    query = EdgeStore.query
    monkeypatch.setattr(EdgeStore, "query", lambda self, queries: asked.extend(queries) or query(self, queries))
    assert "octants" in succeed("search", "c", "octants", "--location", corpus / "data").stdout
    assert [(one.settings.hnsw_ef, one.settings.oversampling) for one in asked] == [(33, 4.0)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--represent", "turbo4"), "--recommendation decides the representation"),
        (("--distance", "dot"), "the recommendation was made for Cosine"),
    ],
)
def test_index_takes_no_second_opinion(corpus: Path, more: tuple[str, ...], message: str) -> None:
    given = ("--name", "c", "--location", corpus / "data", "--recommendation", corpus / "recommendation.json")
    assert message in refuse("index", corpus / "notes.md", *given, *more)
    assert not (corpus / "data").exists()


def test_index_refuses_a_damaged_or_other_recommendation(corpus: Path) -> None:
    given = ("--name", "c", "--location", corpus / "data", "--recommendation", corpus / "recommendation.json")
    succeed("index", corpus / "notes.md", "--name", "c", "--location", corpus / "data")
    assert "expected" in refuse("index", corpus / "notes.md", *given)
    (corpus / "recommendation.json").write_text("{}")
    assert "recommendation.json: expected a recommendation of octant tune" in refuse(
        "index", corpus / "notes.md", *given
    )
