"""Tuning on the real engine, small: what comes out can be built, holds, survives interruption and repeats itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

import octant
from fake_server import serving
from octant import Collection
from octant.datasets import VectorDataset
from octant.errors import StoreError
from octant.quality import ExactSearch
from octant.records import Distance, FloatArray
from octant.tuning import Goal, Study, report_html, study
from octant.tuning.bench import Bench
from octant.tuning.candidates import Family
from octant.tuning.deal import deal
from octant.tuning.kept import FILE
from octant.tuning.sources import from_array
from octant.tuning.study import DISK, RAM, TIME

DIM = 32
ONLY = ("turbo8", "turbo4", "coarse=pca(8)|turbo4; fine=turbo8")


def clustered(count: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, DIM))
    return (centres[rng.integers(40, size=count)] + 0.6 * rng.standard_normal((count, DIM))).astype(np.float32)


def quick(source: object, goal: Goal | None = None, **options: object) -> Study:
    return study(source, goal, **{"represent": ONLY, "only": True, "budget": 60, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Study:
    """Of codes of one stage, of two, and of the graphs of the best."""
    return quick(clustered(800), Goal(min_recall=0.9))


def test_a_study_says_what_it_did(found: Study) -> None:
    assert {trial.candidate.represent for trial in found.trials} == set(ONLY)
    assert (found.points, found.dimension, found.stand_in) == (800, DIM, True)
    assert found.sample + 100 == 800
    assert found.queries == len(found.query_ids) == 75
    assert any("held out" in note for note in found.notes)
    assert not found.interrupted
    for trial in found.finals:
        assert len(trial.per_query["recall@10"]) == found.queries
        recall, mean = trial.figures["recall@10"], np.mean(trial.per_query["recall@10"])
        assert recall.low <= recall.value <= mean + 1e-9 <= recall.high + 2e-9
        if recall.low < 0.9:  # it did not pass: nothing is taken off for luck
            assert recall.value == pytest.approx(mean)
        assert sum(trial.components.values()) == pytest.approx(trial.at_full_size[DISK].value)
        held = sum(size for name, size in trial.components.items() if trial.held_in_ram[name] != "cold")
        assert held == pytest.approx(trial.at_full_size[RAM].value)
        assert trial.at_full_size[TIME].value > 0
        assert not any(one.estimated for one in trial.at_full_size.values())


def test_the_recommendation_satisfies_and_nothing_cheaper_does(found: Study) -> None:
    chosen = found.recommendation
    assert chosen.satisfied
    assert chosen.expected["recall@10"].low >= 0.9
    assert chosen.reference[RAM].value > chosen.expected[RAM].value
    assert chosen.goal["min_recall"] == 0.9
    assert "held-out documents" in chosen.source


def test_what_was_recommended_can_be_built_and_does_what_was_expected(found: Study, tmp_path: Path) -> None:
    path = tmp_path / "recommendation.json"
    found.recommendation.save(path)
    x, asked = clustered(800), clustered(300, seed=7)
    with Collection.create("tuned", recommendation=path) as collection:
        collection.add(vectors=x, ids=range(len(x)), optimize=True)
        answers = [[int(one) for one in ranking.ids] for ranking in collection.search_batch(asked, 10)]
        footprint = collection.footprint()
    recall = ExactSearch(x, asked, 10, Distance.COSINE).recall(answers, 10).mean()
    expected = found.recommendation.expected
    assert recall == pytest.approx(expected["recall@10"].value, abs=0.04)
    assert footprint.per_vector(footprint.ram_bytes) == pytest.approx(expected[RAM].value, rel=0.1)
    assert footprint.per_vector(footprint.disk_bytes) == pytest.approx(expected[DISK].value, rel=0.1)


def test_a_collection_reads_as_many_candidates_as_the_figures_are_about(tmp_path: Path) -> None:
    """A curve of its own would be measured on other vectors, and bring another recall than was stated."""
    x = clustered(1_500)
    spec = "coarse=pca(16)|turbo4; fine=turbo8"
    result = quick(x, Goal(min_recall=0.5), represent=[spec]).recommendation
    assert result.represent == spec
    assert result.coverage is not None
    with Collection.create("made", location=tmp_path, recommendation=result, seed=5) as collection:
        collection.add(vectors=x, ids=range(len(x)))
        assert collection.info().coverage == result.coverage
    with Collection.create("floats", location=tmp_path, represent="float32") as source:
        source.add(vectors=x, ids=range(len(x)))
    octant.compress("floats", location=tmp_path, into="small", recommendation=result)
    with Collection.open("small", location=tmp_path) as collection:
        assert collection.info().coverage == result.coverage
        assert collection.manifest.artifact is not None


def test_a_study_comes_back_from_json(found: Study, tmp_path: Path) -> None:
    found.save(tmp_path / "study.json")
    assert Study.load(tmp_path / "study.json") == found
    text = found.table()
    assert found.recommendation.represent in text
    assert "=>" in text


def test_the_same_seed_recommends_the_same(found: Study) -> None:
    again = quick(clustered(800), Goal(min_recall=0.9), represent="turbo8")
    assert again.query_ids == found.query_ids
    mine, theirs = again.finals[0], next(one for one in found.finals if one.candidate == again.finals[0].candidate)
    assert mine.per_query == theirs.per_query
    assert mine.components == pytest.approx(theirs.components, rel=0.1)  # threads build graphs in another order


def test_documents_that_stand_in_are_neither_stored_nor_fitted() -> None:
    dealt = deal(from_array("x", clustered(500), distance=Distance.COSINE), seed=3)
    stored = {row.tobytes() for row in dealt.documents}
    assert len(stored) + len(dealt.queries) == 500
    assert not any(row.tobytes() in stored for row in dealt.queries)


def test_real_queries_and_labels_are_used() -> None:
    x, asked = clustered(500), clustered(60, seed=5)
    ids = tuple(f"d{i}" for i in range(len(x)))
    exact = ExactSearch(x, asked, 3, Distance.COSINE)
    qrels = {f"q{i}": {ids[row]: 1 for row in rows} for i, rows in enumerate(exact.neighbours)}
    data = VectorDataset("judged", ids, x, tuple(qrels), asked, qrels)
    made = quick(data, Goal(min_ndcg=0.5), represent=("turbo8", "turbo4"))
    assert not made.stand_in
    assert made.sample == 500
    assert set(made.finals[0].per_query) == {"recall@10", "ndcg@10"}
    assert made.recommendation.expected["ndcg@10"].low >= 0.5
    assert made.recommendation.satisfied


def test_a_sample_of_something_larger_is_estimated_from_two_sizes() -> None:
    made = quick(clustered(900), Goal(min_recall=0.7), points="1M", represent=("turbo8", "turbo4"))
    chosen = made.recommendation
    assert (made.points, chosen.points) == (1_000_000, 1_000_000)
    assert chosen.hnsw.m > 0  # a million would not be scanned
    assert {4, 8, 16} == {
        trial.candidate.hnsw.m for trial in made.finals if trial.candidate.represent == chosen.represent
    }
    for name in ("recall@10", RAM, DISK):
        assert chosen.expected[name].estimated
    trial = next(one for one in made.finals if one.candidate.hnsw == chosen.hnsw)
    assert not any(one.estimated for one in trial.figures.values())
    # Files have a part that does not grow: it weighs on a sample, and not on a million.
    assert chosen.expected[DISK].value < trial.figures[DISK].value
    assert "estimates for the full size" in " ".join(made.notes)


def test_bounds_that_nothing_satisfies_name_the_closest_and_what_to_relax() -> None:
    made = quick(clustered(400), Goal(min_recall=0.95, max_ram=10, max_disk=30))
    chosen = made.recommendation
    assert not chosen.satisfied
    assert any("--max-disk" in line for line in chosen.unmet)
    assert "closest" in made.table()


def test_graph_and_codes_leave_ram_only_where_nothing_else_satisfies() -> None:
    made = quick(clustered(400), Goal(min_recall=0.8, max_ram=30), represent=("turbo8", "turbo4"))
    assert made.recommendation.satisfied
    assert made.recommendation.placement.codes == "cold"
    assert TIME not in made.recommendation.expected
    assert "read from disk" in " ".join(made.notes)
    with_time = replace(made.goal, max_latency_ratio=50.0)
    assert not quick(clustered(400), with_time, represent=("turbo8", "turbo4")).recommendation.satisfied


def test_a_candidate_that_cannot_be_built_stops_nobody() -> None:
    made = quick(clustered(400), Goal(min_recall=0.5), represent=("binary(768)", "turbo8"))
    failed = [trial for trial in made.trials if trial.failed]
    assert [trial.candidate.represent for trial in failed] == ["binary(768)"]
    assert "768" in str(failed[0].failed)
    assert made.recommendation.represent == "turbo8"
    assert "1 could not be built" in made.table()


def test_a_collection_is_sampled_with_its_payload(tmp_path: Path) -> None:
    x = clustered(400)
    payloads = [{"page": i, "note": "about nothing in particular " * 8} for i in range(len(x))]
    with Collection.create("made", location=tmp_path, represent="float32") as collection:
        collection.add(vectors=x, payloads=payloads, ids=[f"id-{i}" for i in range(len(x))])
    made = quick("made", Goal(min_recall=0.8), location=tmp_path, represent=("turbo4",))
    plain = quick(x, Goal(min_recall=0.8), represent=("turbo4",))
    trial, other = made.finals[0], plain.finals[0]
    assert made.name == "made"
    assert trial.components["payload"] > other.components["payload"] + 150
    assert trial.held_in_ram["payload"] == "cold"


def test_anybodys_collection_on_a_server_is_tuned_for() -> None:
    x = clustered(500)
    with serving() as server:
        client = QdrantClient(server.url)
        vectors = {"text": models.VectorParams(size=DIM, distance=models.Distance.COSINE)}
        client.create_collection("theirs", vectors_config=vectors)
        rows = enumerate(x.tolist())
        client.upsert("theirs", [models.PointStruct(id=i, vector={"text": row}, payload={"n": i}) for i, row in rows])
        result = quick("theirs", Goal(min_recall=0.7), location=server.url, represent=["turbo4"])
        client.close()
    assert (result.points, result.dimension, result.stand_in) == (500, DIM, True)
    assert result.recommendation.represent == "turbo4"
    assert result.recommendation.satisfied


def test_where_everything_fails_float32_is_the_closest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = Bench.build

    def failing(bench: Bench, family: Family) -> Collection:
        if family.represent != "float32":
            raise StoreError("made to fail")
        return build(bench, family)

    monkeypatch.setattr(Bench, "build", failing)
    found = quick(clustered(300), Goal(min_recall=0.5, max_ram=10.0, max_latency_ratio=2.0))
    assert all(trial.failed for trial in found.trials)
    assert found.recommendation.represent == "float32"
    assert not found.recommendation.satisfied
    assert any("--max-ram" in one for one in found.recommendation.unmet)
    assert "made to fail" in found.table()
    report_html.write(found, tmp_path / "report.html")
    assert "could not be measured" in (tmp_path / "report.html").read_text()


def test_an_interrupted_tuning_returns_what_it_found_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, goal, built = clustered(300), Goal(min_recall=0.5), []
    build = Bench.build

    def interrupted(bench: Bench, family: object) -> Collection:
        if len(built) == 3:
            raise KeyboardInterrupt
        built.append(family)
        return build(bench, family)  # type: ignore[arg-type]

    monkeypatch.setattr(Bench, "build", interrupted)
    options = {"represent": ("turbo8", "turbo4", "float16"), "out": tmp_path}
    first = quick(x, goal, **options)
    assert first.interrupted
    assert first.recommendation.represent in options["represent"]
    assert "interrupted" in first.table()
    lines = (tmp_path / FILE).read_text().count("\n")
    assert lines >= 3

    again: list[object] = []

    def counted(bench: Bench, family: object) -> Collection:
        again.append(family)
        return build(bench, family)  # type: ignore[arg-type]

    monkeypatch.setattr(Bench, "build", counted)
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"digest": "half a li')  # killed while writing
    second = quick(x, goal, **options)
    assert not second.interrupted
    everything, again[:] = len(again), []
    third = quick(x, goal, **options)
    assert everything > 0
    assert again == []
    assert third.recommendation == second.recommendation
    other = quick(x, goal, **{**options, "seed": 1})
    assert again, "another seed must not be answered from what this one measured"
    assert other.query_ids != third.query_ids


def test_tune_writes_its_recommendation(tmp_path: Path) -> None:
    chosen = octant.tune(clustered(400), min_recall=0.5, represent="turbo4", only=True, out=tmp_path)
    assert octant.Recommendation.load(tmp_path / "recommendation.json") == chosen
    assert json.loads((tmp_path / "study.json").read_text())["points"] == 400
