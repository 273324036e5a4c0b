"""Evaluation, end to end on Edge: vectors and texts in, a report out."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from octant import HnswSettings, SearchKnobs, embedder, embedding_cache, evaluate, quantizer
from octant.datasets import TextDataset, VectorDataset, hold_out
from octant.errors import ArtifactError
from octant.quantizers.chain import Chain
from octant.representation import Representation

METRICS = ("recall@10", "recall@100", "ndcg@10", "mrr@10")


@pytest.fixture(scope="module")
def vectors():
    """Clustered vectors, so that neighbours are meaningful, and a share of them as queries."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 32))
    x = (centres[rng.integers(0, 40, 900)] + 0.6 * rng.normal(size=(900, 32))).astype(np.float32)
    return hold_out("clusters", [f"v{i}" for i in range(900)], x)


@pytest.fixture(scope="module")
def report(vectors):
    return evaluate(vectors, ["turbo8", "pca(2)|float8", "float32", "truncate(8)"], rounds=1)


TEXTS = {
    "d1": "A cat is a small animal that hunts mice.", "d2": "Dogs guard the house and chase cats.",
    "d3": "Bread is baked from flour, water and yeast.", "d4": "Sourdough needs a starter of wild yeast.",
    "d5": "The violin is a string instrument.", "d6": "An orchestra has strings, brass and percussion.",
    "d7": "A sailing boat is driven by the wind.", "d8": "Submarines travel under water.",
}  # fmt: skip
QUESTIONS = {"q1": ("What do cats eat?", {"d1": 2, "d2": 0}), "q2": ("How is sourdough made?", {"d4": 2, "d3": 1}),
             "q3": ("Which instruments are in an orchestra?", {"d6": 1})}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "tiny"
    root.mkdir()
    corpus = [{"_id": key, "text": text} for key, text in TEXTS.items()]
    queries = [{"_id": key, "text": text} for key, (text, _) in QUESTIONS.items()]
    (root / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (root / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries))
    judged = [f"{q}\t{d}\t{grade}\n" for q, (_, grades) in QUESTIONS.items() for d, grade in grades.items()]
    (root / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    return root


def letters(texts):
    """An embedding that costs nothing: how often each letter comes."""
    return [[text.lower().count(chr(97 + i)) + 0.01 for i in range(26)] for text in texts]


def test_the_json_has_the_promised_keys(report, vectors):
    data = json.loads(json.dumps(report.as_json()))
    assert set(data) == {"dataset", "rows"}
    assert data["dataset"] == "clusters"
    # float32 comes first, asked for or not; a spec asked for twice comes once.
    assert [row["represent"] for row in data["rows"]] == ["float32", "turbo8", "pca(2)|float8", "truncate(8)"]
    for row in data["rows"]:
        assert {
            "represent",
            *METRICS,
            "ram_bytes_per_vector",
            "disk_bytes_per_vector",
            "segments",
            "query_ratio",
        } <= set(row)
        for name in ("recall@10", "recall@100"):
            estimate = row[name]
            assert set(estimate) == {"value", "low", "high"}
            assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
        assert row["ndcg@10"] is None
        assert row["mrr@10"] is None
        assert row["segments"] >= 1
        assert row["query_ratio"] > 0
        assert sum(row["bytes_per_vector"].values()) == pytest.approx(row["disk_bytes_per_vector"])


def test_two_stages_say_what_they_read_and_what_share_it_brings(report):
    assert report["float32"].reads is None
    reads = report["pca(2)|float8"].reads
    assert reads.candidates >= 10
    assert 0.9 <= reads.coverage.value <= 1.0
    header, first = report.table().splitlines()[1:3]
    assert "coverage" in header.split()
    assert first.split().count("-") >= 2


def test_float32_finds_everything_and_differs_from_itself_by_nothing(report):
    row = report["float32"]
    assert row.metrics["recall@10"].value == row.metrics["recall@100"].value == 1.0
    assert row.differences["recall@10"].as_json() == {"value": 0, "low": 0, "high": 0}
    assert row.query_ratio == 1.0


def test_what_throws_more_away_finds_less(report):
    recall = {row.represent: row.metrics["recall@10"].value for row in report.rows}
    assert 1.0 >= recall["turbo8"] > 0.95 > recall["truncate(8)"] > recall["pca(2)|float8"]
    worst = report["pca(2)|float8"].differences["recall@10"]
    assert worst.low <= worst.value <= worst.high < 0


def test_bytes_are_those_of_the_files(report):
    codes = {row.represent: row.components["searched codes"] for row in report.rows}
    assert codes["float32"] >= 32 * 4
    assert codes["turbo8"] < codes["float32"] / 2
    assert report["turbo8"].ram_bytes_per_vector < report["float32"].ram_bytes_per_vector


def test_the_table_has_a_line_for_every_row(report):
    lines = report.table().splitlines()
    assert lines[0] == "clusters: 810 documents, 90 queries, 32 dimensions"
    assert [line.split()[0] for line in lines[1:]] == ["represent", "float32", "turbo8", "pca(2)|float8", "truncate(8)"]
    with pytest.raises(KeyError, match=r"'int4' was not evaluated; these were: float32, turbo8"):
        report["int4"]


def test_recall_is_what_a_plain_search_of_the_codes_gives(vectors, report):
    """The oracle: decode everything, multiply, sort."""
    codec = quantizer("truncate(8)").fit(vectors.documents)
    unit = vectors.documents / np.linalg.norm(vectors.documents, axis=1, keepdims=True)
    asked = vectors.queries / np.linalg.norm(vectors.queries, axis=1, keepdims=True)
    best = np.argsort(-asked @ unit.T, axis=1)[:, :10]
    found = np.argsort(-asked @ codec.decode(codec.encode(unit)).T, axis=1)[:, :10]
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(best, found, strict=True)])
    assert report["truncate(8)"].metrics["recall@10"].value == pytest.approx(overlap, abs=0.005)


def test_no_fit_ever_sees_a_query(vectors, monkeypatch):
    seen = []
    original = Representation.fit

    def watched(self, x, *, queries=None, **rest):
        seen.append((np.array(x), queries))
        return original(self, x, queries=queries, **rest)

    monkeypatch.setattr(Representation, "fit", watched)
    evaluate(vectors, "pca(8)|turbo8", rounds=1)
    asked = vectors.queries / np.linalg.norm(vectors.queries, axis=1, keepdims=True)
    samples = [x for x, _ in seen if x.shape[1] == 32]
    assert samples
    assert all(queries is None for _, queries in seen)
    assert max((asked @ sample.T).max() for sample in samples) < 1 - 1e-6


def test_a_graph_can_be_forced(vectors):
    graph = HnswSettings(full_scan_threshold=1, indexing_threshold=1)
    scanned, searched = evaluate(vectors, [], rounds=1), evaluate(vectors, [], hnsw=graph, rounds=1)
    assert scanned["float32"].components.get("graph", 0) < searched["float32"].components["graph"]


def test_knobs_reach_the_search(vectors):
    few = evaluate(vectors, "turbo4|turbo(1)", rounds=1, knobs=SearchKnobs(oversampling=1))
    many = evaluate(vectors, "turbo4|turbo(1)", rounds=1, knobs=SearchKnobs(oversampling=10))
    name = "recall@10"
    assert few["turbo4|turbo(1)"].metrics[name].value < many["turbo4|turbo(1)"].metrics[name].value


def test_another_k_changes_the_cutoffs(vectors):
    row = evaluate(vectors, [], k=3, rounds=1).rows[0]
    assert list(row.metrics) == ["recall@3", "recall@30", "ndcg@3", "mrr@3"]


def test_texts_are_judged_by_their_labels(folder, minilm):
    report = evaluate(folder, "turbo8", minilm, rounds=1)
    assert (report.dataset, report.documents, report.queries, report.dimension) == ("tiny", 8, 3, 384)
    for row in report.rows:
        assert row.metrics["mrr@10"].value == 1.0
        assert 0.9 < row.metrics["ndcg@10"].value <= 1.0
        assert row.metrics["recall@10"].value == 1.0


def test_labels_decide_not_neighbours():
    """A query whose nearest document is the wrong one, and one whose answer comes second."""
    documents = np.eye(4, dtype=np.float32)
    queries = np.array([[1, 0.5, 0, 0], [0, 0, 1, 0.5]], np.float32)
    qrels = {"a": {"0": 1}, "b": {"3": 1, "2": 0}}
    data = VectorDataset("four", tuple("0123"), documents, ("a", "b"), queries, qrels)
    row = evaluate(data, [], rounds=1)["float32"]
    assert row.metrics["mrr@10"].value == pytest.approx((1 + 1 / 2) / 2)
    assert row.metrics["ndcg@10"].value == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_the_lowest_relevant_grade_decides_the_reciprocal_rank():
    documents, queries = np.eye(3, dtype=np.float32), np.array([[1, 0.5, 0.2]], np.float32)
    data = VectorDataset("three", tuple("012"), documents, ("q",), queries, {"q": {"0": 1, "1": 2}})
    assert evaluate(data, [], rounds=1)["float32"].metrics["mrr@10"].value == 1.0
    assert evaluate(data, [], rounds=1, relevant=2)["float32"].metrics["mrr@10"].value == 0.5


def test_kept_embeddings_are_used_again(folder, tmp_path):
    calls = []

    def counted(texts):
        calls.append(len(texts))
        return letters(texts)

    first = evaluate(folder, [], counted, rounds=1, cache_dir=tmp_path / "cache")
    embedded = sum(calls)
    again = evaluate(folder, [], counted, rounds=1, cache_dir=tmp_path / "cache")
    assert sum(calls) - embedded <= 1  # at most the probe that tells models apart
    assert again.rows[0].metrics == first.rows[0].metrics


def test_an_interrupted_embedding_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_cache, "BLOCK", 2)
    texts, asked = [f"text {letter}" for letter in "abcde"], []

    def stopped(given):
        asked.extend(given)
        if "text e" in given:
            raise KeyboardInterrupt("stopped")
        return letters(given)

    with pytest.raises(KeyboardInterrupt, match="stopped"):
        embedding_cache.embed(embedder(stopped, name="model"), "documents", texts, folder=tmp_path)
    assert not list(tmp_path.glob("*.npy"))
    again, counted = [], []
    model = embedder(lambda given: again.extend(given) or letters(given), name="model")
    vectors = embedding_cache.embed(model, "documents", texts, folder=tmp_path, progress=counted.append)
    assert np.array_equal(vectors, np.array(letters(texts), np.float32))
    assert [text for text in again if text.startswith("text")] == ["text e"]
    assert counted == [2, 2, 1]
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]  # the blocks are gone


def test_embeddings_are_kept_by_model_not_by_its_name(folder, tmp_path):
    others = embedder(lambda texts: 9 - np.array(letters(texts)), name="model")
    for model in (embedder(letters, name="model"), others):
        evaluate(folder, [], model, rounds=1, cache_dir=tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 4


def test_nothing_is_kept_unless_asked(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    evaluate(folder, [], letters, rounds=1)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(path.read_bytes()[:-8]), lambda path: np.save(path, np.ones((2, 26), "f4"))],
)
def test_a_damaged_kept_file_is_refused(folder, tmp_path, damage):
    evaluate(folder, [], letters, rounds=1, cache_dir=tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        damage(path)
    with pytest.raises(ArtifactError, match=r"the kept embeddings .* delete the file"):
        evaluate(folder, [], letters, rounds=1, cache_dir=tmp_path / "cache")


def test_a_text_dataset_can_be_passed_as_it_is():
    data = TextDataset("two", ("a", "b"), ("one cat", "two dogs"), ("q",), ("cat",))
    assert evaluate(data, [], letters, rounds=1).dimension == 26


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"represent": "flaot8"}, "no quantizer 'flaot8'"),
        ({"represent": "pca(99)"}, "99"),
        ({"represent": [], "k": 0}, "k and rounds must be at least 1, got 0 and 1"),
        ({"represent": [], "embedding": letters}, "already holds vectors: leave the embedding out"),
        ({"represent": [], "split": "dev"}, "is already read"),
    ],
)
def test_impossible_arguments_are_refused_before_any_work(vectors, monkeypatch, options, message):
    monkeypatch.setattr(Chain, "fit", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=message):
        evaluate(vectors, rounds=1, **options)


def test_texts_without_a_model_are_refused(folder):
    with pytest.raises(ValueError, match="tiny holds texts: pass embedding="):
        evaluate(folder, "turbo8")


def test_the_function_survives_the_import_of_its_module():
    """``octant.evaluate`` is a function and a module; the function must be what the package shows."""
    code = "import octant, octant.evaluate, octant.report; print(callable(octant.evaluate))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
