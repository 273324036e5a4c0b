"""A recommendation that is damaged, or is for something else, is refused before anything is made."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fake_server import serving
from octant import Collection, Expected, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.errors import ArtifactError, InputError, MismatchError

CHOSEN = Recommendation(
    "turbo8", HnswSettings(), MemoryPlacement(), SearchKnobs(), dimension=8, points=100,
    expected={"recall@10": Expected(0.9, 0.8, 0.95)},
)  # fmt: skip


def edited(**changes: object) -> dict[str, object]:
    return json.loads(json.dumps(CHOSEN.to_json())) | changes


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected a recommendation of octant tune, got other JSON"),
        ({"represent": "turbo8"}, "expected a recommendation of octant tune, got other JSON"),
        (edited(format=99), "expected a recommendation of format 1, got 99: .* upgrade qdrant-octant"),
        (edited(colour="red"), "unknown entries colour"),
        (edited(represent=None), "expected str, got None"),
        (edited(hnsw={"m": "16"}), "expected int, got '16'"),
        (edited(hnsw={"m": -1}), "m must be at least 0, got -1"),
        (edited(hnsw={"edges": 1}), "unexpected keyword argument 'edges'"),
        (edited(placement={"payload": "pinned"}), "Qdrant holds the payload cached or cold; got 'pinned'"),
        (edited(placement=None), "recommendation is damaged"),
        (edited(knobs={"oversampling": 0.5}), "oversampling must be a finite number of at least 1"),
        (edited(knobs={"exact": "no"}), "expected bool, got 'no'"),
        (edited(dimension=0), "expected a positive number, got 0"),
        (edited(points=True), "expected int, got True"),
        (edited(distance="angle"), "distance must be one of"),
        (edited(expected={"recall@10": {"value": 0.9, "low": 1.0, "high": 0.8}}), "low at most high"),
        (edited(expected=[1]), "expected dict"),
        (edited(unmet="all"), "expected list"),
    ],
)  # fmt: skip
def test_damaged_json(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Recommendation.from_json(value)
    path = tmp_path / "recommendation.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=r"recommendation\.json: .*(restore the file|upgrade)"):
        Collection.create("c", location=tmp_path / "data", recommendation=path)
    assert not (tmp_path / "data").exists()


def test_missing_entries_and_files(tmp_path: Path) -> None:
    value = edited()
    del value["knobs"]
    with pytest.raises(ArtifactError, match=r"damaged \(KeyError: 'knobs'"):
        Recommendation.from_json(value)
    with pytest.raises(ArtifactError, match=r"nothing\.json cannot be read"):
        Recommendation.load(tmp_path / "nothing.json")
    (tmp_path / "half.json").write_text('{"kind": "octant-rec')
    with pytest.raises(ArtifactError, match=r"half\.json cannot be read"):
        Recommendation.load(tmp_path / "half.json")
    with pytest.raises(InputError, match="a Recommendation or the path of its JSON, got int"):
        Recommendation.of(3)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_figures_are_finite(number: float) -> None:
    with pytest.raises(InputError, match="finite numbers"):
        Expected(number, 0.0, 1.0)


@pytest.mark.parametrize(
    "beside",
    [
        {"represent": "turbo8"},
        {"hnsw": HnswSettings()},
        {"placement": MemoryPlacement()},
        {"knobs": SearchKnobs()},
    ],
)
def test_nothing_is_given_twice(beside: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"decides represent, hnsw, placement, knobs: leave {next(iter(beside))} out"):
        Collection.create("c", recommendation=CHOSEN, **beside)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"distance": "euclid"}, "made for the distance 'cosine', got 'euclid'"),
        ({"dimension": 9}, "made for the dimension 8, got 9"),
        (
            {"embedding": lambda texts: [[1.0] * 9 for _ in texts]},
            "for 8 dimensions; got .*9 dimensions",
        ),
    ],
)
def test_it_is_for_one_distance_and_dimension(other: dict[str, object], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        Collection.create("c", recommendation=CHOSEN, **other)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"represent": "turbo4"}, "represent is 'turbo8', expected 'turbo4'"),
        ({"distance": "dot"}, "distance is 'cosine', expected 'dot'"),
        ({"dimension": 9}, "dimension is 8, expected 9"),
        ({"hnsw": HnswSettings(m=4)}, r"hnsw is HnswSettings\(m=16.*, expected HnswSettings\(m=4"),
        ({"placement": MemoryPlacement("cold")}, "placement is .*'cached'.*, expected .*'cold'"),
        ({"knobs": SearchKnobs(hnsw_ef=4)}, r"knobs is None, expected SearchKnobs\(hnsw_ef=4"),
        ({"recommendation": CHOSEN}, r"knobs is None, expected SearchKnobs\("),
    ],
)
def test_an_existing_collection_must_be_what_is_asked_for(
    tmp_path: Path, option: dict[str, object], message: str
) -> None:
    Collection.create("c", location=tmp_path, dimension=8).close()
    with pytest.raises(MismatchError, match=message):
        Collection.create("c", location=tmp_path, exist_ok=True, **option)
    Collection.open("c", location=tmp_path, represent="turbo8").close()  # and the lock was given back


# -- placements that Qdrant does not have --------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"originals": "pinned"}, "holds the originals cached or cold; got 'pinned'"),
        ({"payload": "pinned"}, "holds the payload cached or cold; got 'pinned'"),
        ({"graph": "ram"}, "holds the graph pinned or cached or cold; got 'ram'"),
        ({"codes": "disk"}, "holds the codes pinned or cached or cold; got 'disk'"),
        ({"graph": None}, "holds the graph pinned or cached or cold; got None"),
    ],
)
def test_impossible_placements(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MemoryPlacement(**wrong)


@pytest.mark.parametrize("represent", ["turbo8", "pca(4)|float16", "coarse=turbo4; fine=turbo8"])
def test_an_only_copy_cannot_be_pinned(tmp_path: Path, represent: str) -> None:
    with pytest.raises(InputError, match=r"codes='pinned' needs a second copy, and .* is the only one here"):
        Collection.create(
            "c", location=tmp_path, represent=represent, dimension=8, placement=MemoryPlacement(codes="pinned")
        )
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("option", [{"on_disk_payload": True}, {"payload": {"memory": "cold"}}])
def test_payload_is_placed_in_one_way(option: dict[str, object]) -> None:
    with (
        serving() as server,
        pytest.raises(InputError, match=r"and MemoryPlacement\(payload='cached'\) both say where the payload lives"),
    ):
        Collection.create(
            "c", location=server.url, dimension=8, placement=MemoryPlacement(payload="cached"),
            collection_options=option,
        )  # fmt: skip
    assert server.collections == {}


def test_knobs_that_no_search_could_use_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scores of binary quantization at 1 bits .*: leave rescore on"):
        Collection.create("c", location=tmp_path, represent="bq(1)", dimension=8, knobs=SearchKnobs(rescore=False))
    assert not (tmp_path / "c").exists()
    Collection.create("c", represent="turbo(1)", dimension=8, knobs=SearchKnobs(rescore=False)).close()
