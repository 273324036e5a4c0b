"""Reading datasets: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from octant.datasets import hold_out, read_dataset


def write_lines(path, entries):
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_qrels(path, rows, header="query-id\tcorpus-id\tscore\n"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    """Three documents, two splits of one judged query each, and a query that nobody judged."""
    root = tmp_path / "tiny"
    write_lines(
        root / "corpus.jsonl.gz",
        [{"_id": "d1", "title": "Fish", "text": "swim"}, {"_id": "d2", "title": "", "text": "birds fly"},
         {"_id": "d3", "text": "moles dig"}],
    )  # fmt: skip
    write_lines(root / "queries-a.jsonl.gz", [{"_id": "q1", "text": "who swims?"}, {"_id": "q9", "text": "unjudged"}])
    write_lines(root / "queries-b.jsonl", [{"_id": "q2", "text": "who digs?"}])
    write_qrels(root / "qrels-a.tsv", [("q1", "d1", 2), ("q1", "d2", 0)])
    write_qrels(root / "qrels-b.tsv", [("q2", "d3", 1)])
    return root


def test_without_a_split_everything_is_read(folder):
    data = read_dataset(folder)
    assert data.name == "tiny"
    assert data.document_ids == ("d1", "d2", "d3")
    assert data.documents == ("Fish swim", "birds fly", "moles dig")
    assert dict(zip(data.query_ids, data.queries, strict=True)) == {"q1": "who swims?", "q2": "who digs?"}
    assert data.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 1}}


def test_a_split_takes_its_own_queries_and_the_shared_corpus(folder):
    data = read_dataset(folder, split="b")
    assert (data.name, data.query_ids, len(data.documents)) == ("tiny/b", ("q2",), 3)
    assert data.qrels == {"q2": {"d3": 1}}


def test_the_folder_of_judgements_that_beir_ships_is_read(folder):
    (folder / "qrels-a.tsv").unlink()
    (folder / "qrels-b.tsv").unlink()
    write_qrels(folder / "qrels" / "test.tsv", [("q2", "d2", 1)])
    (folder / "queries-a.jsonl.gz").unlink()
    (folder / "queries-b.jsonl").rename(folder / "queries.jsonl")
    assert read_dataset(folder, split="test").qrels == {"q2": {"d2": 1}}


def test_gzipped_judgements_are_left_alone(folder):
    (folder / "qrels-a-full.tsv.gz").write_bytes(gzip.compress(b"query-id\tcorpus-id\tscore\nq1\tnowhere\t1\n"))
    assert read_dataset(folder).qrels["q1"] == {"d1": 2, "d2": 0}


def test_without_judgements_every_query_is_kept(folder):
    for path in folder.glob("qrels*"):
        path.unlink()
    data = read_dataset(folder)
    assert data.query_ids == ("q1", "q9", "q2")
    assert data.qrels == {}


def test_a_missing_header_loses_no_judgement(folder):
    write_qrels(folder / "qrels-b.tsv", [("q2", "d3", 1)], header="")
    assert read_dataset(folder, split="b").qrels == {"q2": {"d3": 1}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus-x.jsonl", "{oops\n", r"corpus-x\.jsonl:1: not valid JSON"),
        (
            "corpus-x.jsonl",
            '{"_id": "d8", "text": "a"}\n\n["d9"]\n',
            r'corpus-x\.jsonl:3: expected an object with "_id"',
        ),
        (
            "corpus-x.jsonl",
            '{"_id": "d8", "text": 3}\n',
            r'corpus-x\.jsonl:1: "text".*must be strings, id \'d8\'',
        ),
        (
            "corpus-x.jsonl",
            '{"_id": "d1", "text": "other"}\n',
            "document 'd1' was there before with another text",
        ),
        (
            "queries-x.jsonl",
            '{"_id": "q1", "text": "other"}\n',
            "query 'q1' was there before with another text",
        ),
        (
            "qrels-x.tsv",
            "h\th\th\nq1\td1\n",
            r"qrels-x\.tsv:2: expected query-id, corpus-id and grade.*got 2 fields",
        ),
        (
            "qrels-x.tsv",
            "h\th\th\nq1\td1\tgood\n",
            r"qrels-x\.tsv:2: the grade must be a whole number, got 'good'",
        ),
        (
            "qrels-x.tsv",
            "h\th\th\nq7\td1\t1\n",
            r"qrels-x\.tsv:2: query 'q7' is in none of the queries files",
        ),
        (
            "qrels-x.tsv",
            "h\th\th\nq1\td7\t1\n",
            r"qrels-x\.tsv:2: document 'd7' is in none of the corpus files",
        ),
        (
            "qrels-x.tsv",
            "h\th\th\nq1\td1\t1\n",
            r"qrels-x\.tsv:2: query 'q1' and document 'd1' were judged before",
        ),
        ("corpus-x.jsonl.gz", "no gzip", r"corpus-x\.jsonl\.gz: not readable as UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_dataset(folder)


def test_an_unknown_split_lists_the_known_ones(folder):
    with pytest.raises(ValueError, match="no file of the split 'dev'; the splits here are: a, b"):
        read_dataset(folder, split="dev")


def test_a_split_without_queries_is_refused(folder):
    write_qrels(folder / "qrels-c.tsv", [("q2", "d3", 1)])
    with pytest.raises(ValueError, match=r"none of queries-a\.jsonl\.gz, queries-b\.jsonl belongs to the split 'c'"):
        read_dataset(folder, split="c")


@pytest.mark.parametrize("kind", ["corpus", "queries"])
def test_a_missing_kind_of_file_is_named(folder, kind):
    for path in folder.glob(f"{kind}*"):
        path.unlink()
    with pytest.raises(ValueError, match=rf"expected {kind}\*\.jsonl or {kind}\*\.jsonl\.gz, found neither"):
        read_dataset(folder)


def test_empty_files_are_refused(folder):
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b"\n"))
    with pytest.raises(ValueError, match="expected at least one document, the files are empty"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "found nothing at"), ("notes.txt", r"got the file .*notes\.txt")]
)
def test_a_path_that_is_no_dataset_is_refused(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=message):
        read_dataset(tmp_path / name)


# -- vectors -------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "points.npz"
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.savez(path, ids=[f"v{i}" for i in range(50)], vectors=vectors)
    return path, vectors


def test_a_seeded_share_of_the_vectors_becomes_queries(archive):
    path, vectors = archive
    data = read_dataset(path, held_out=0.2, seed=3)
    assert (data.name, len(data.documents), len(data.queries), data.qrels) == ("points", 40, 10, {})
    assert set(data.document_ids) | set(data.query_ids) == {f"v{i}" for i in range(50)}
    for ids, rows in ((data.document_ids, data.documents), (data.query_ids, data.queries)):
        np.testing.assert_array_equal(rows, vectors[[int(i[1:]) for i in ids]])
    assert read_dataset(path, held_out=0.2, seed=3).query_ids == data.query_ids
    assert read_dataset(path, held_out=0.2, seed=4).query_ids != data.query_ids


def test_a_split_of_vectors_is_refused(archive):
    with pytest.raises(ValueError, match="holds vectors and no splits, got split='dev'"):
        read_dataset(archive[0], split="dev")


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_that_is_no_share_is_refused(archive, share):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        read_dataset(archive[0], held_out=share)


def test_a_broken_archive_is_refused(tmp_path, archive):
    (tmp_path / "cut.npz").write_bytes(archive[0].read_bytes()[:200])
    (tmp_path / "text.npz").write_text("hello")
    for name in ("cut.npz", "text.npz"):
        with pytest.raises(ValueError, match=r"is not a readable \.npz of plain arrays"):
            read_dataset(tmp_path / name)


def test_pickled_ids_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "o.npz", ids=np.array(["a", "b"], object), vectors=np.eye(2))
    with pytest.raises(ValueError, match="plain arrays"):
        read_dataset(tmp_path / "o.npz")


def test_other_arrays_are_named(tmp_path):
    np.savez(tmp_path / "o.npz", words=["a"], vectors=np.eye(2))
    with pytest.raises(ValueError, match=r"expected the arrays 'ids' and 'vectors', found \['vectors', 'words'\]"):
        read_dataset(tmp_path / "o.npz")


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["a"], "1 ids for 2 vectors"), (["a", "a"], "ids must be unique, 1 are repeated")],
)
def test_ids_must_match_the_vectors(ids, message):
    with pytest.raises(ValueError, match=message):
        hold_out("x", ids, np.eye(2, dtype=np.float32))


def test_too_few_vectors_to_hold_any_out():
    with pytest.raises(ValueError, match=r"1 vectors are too few to hold out 0\.1"):
        hold_out("x", ["a"], np.eye(1, dtype=np.float32))
