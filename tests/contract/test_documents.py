"""Files become passages with stable ids; what cannot be read is reported."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from octant.documents import Document, Reader, Skipped, passage_id
from octant.errors import InputError

# With a fixed time in its header: every worker must collect the same test names.
CUT_OFF = gzip.compress(b'{"text": "cut off"}' * 999, mtime=0)[:30]
PARAGRAPHS = [f"Paragraph {number} says something about octopuses and ships." for number in range(40)]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*entries: Any) -> str:
    return "".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in entries)


def read(*paths: Path, **options: Any) -> tuple[list[Document], list[Skipped]]:
    reader = Reader(paths, **options)
    return list(reader), reader.skipped


def test_a_short_text_is_one_passage_named_by_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "note.txt", "three hearts")
    [document], skipped = read(path)
    assert document == Document(str(path), ("three hearts",), ({"source": str(path)},))
    assert document.ids == (str(path),)
    assert skipped == []


def test_a_long_text_is_split_and_every_word_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "long.txt", "\n\n".join(PARAGRAPHS))
    [document], _ = read(path, chunk_size=200, chunk_overlap=0)
    assert len(document.passages) > 5
    assert max(map(len, document.passages)) <= 200
    assert " ".join(document.passages).split() == " ".join(PARAGRAPHS).split()
    assert document.ids[:2] == (str(path), f"{path}#1")
    assert [payload["part"] for payload in document.payloads] == list(range(len(document.passages)))


def test_overlap_repeats_text(tmp_path: Path) -> None:
    path = write(tmp_path / "long.txt", " ".join(PARAGRAPHS))
    [apart], _ = read(path, chunk_size=200, chunk_overlap=0)
    [overlapping], _ = read(path, chunk_size=200, chunk_overlap=60)
    assert sum(map(len, overlapping.passages)) > sum(map(len, apart.passages))


def test_markdown_is_split_at_headings(tmp_path: Path) -> None:
    text = "# One\n\n" + "alpha beta gamma. " * 6 + "\n\n## Two\n\n" + "delta epsilon zeta. " * 6
    [document], _ = read(write(tmp_path / "a.md", text), chunk_size=180, chunk_overlap=0)
    assert [passage.split("\n")[0] for passage in document.passages] == ["# One", "## Two"]


def test_lines_of_json_keep_their_id_title_and_fields(tmp_path: Path) -> None:
    entry = {"_id": "d1", "title": "Octopus", "text": "has three hearts", "year": 1999, "tags": ["sea"]}
    path = write(tmp_path / "c.jsonl", lines(entry, {"_id": 7, "text": "seven"}, {"text": "nameless"}))
    documents, skipped = read(path)
    assert [document.id for document in documents] == ["d1", "7", f"{path}:3"]
    assert documents[0].passages == ("Octopus has three hearts",)
    assert documents[0].payloads == ({"source": str(path), "title": "Octopus", "year": 1999, "tags": ["sea"]},)
    assert skipped == []


def test_a_lines_own_source_field_wins(tmp_path: Path) -> None:
    [document], _ = read(write(tmp_path / "c.jsonl", lines({"text": "x y", "source": "the web"})))
    assert document.payloads == ({"source": "the web"},)


def test_a_long_line_is_split_and_every_passage_titled(tmp_path: Path) -> None:
    entry = {"_id": "d", "title": "Ships", "text": " ".join(PARAGRAPHS)}
    [document], _ = read(write(tmp_path / "c.jsonl", lines(entry)), chunk_size=300, chunk_overlap=0)
    assert len(document.passages) > 3
    assert all(passage.startswith("Ships ") for passage in document.passages)
    assert document.ids[:2] == ("d", "d#1")


def test_gzip_gives_what_plain_gives(tmp_path: Path) -> None:
    content = lines({"_id": "a", "text": "one"}, {"_id": "b", "text": "two"})
    plain, _ = read(write(tmp_path / "c.jsonl", content))
    zipped, skipped = read(write(tmp_path / "d.jsonl.gz", gzip.compress(content.encode())))
    assert [(one.id, one.passages) for one in zipped] == [(one.id, one.passages) for one in plain]
    assert skipped == []


def test_a_folder_is_walked_in_order_hidden_things_left_out(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", "sub/c.rst", "sub/deep/d.jsonl", ".hidden.txt", ".git/e.txt"):
        write(tmp_path / name, lines({"text": "in a line"}) if name.endswith("jsonl") else f"text of {name}")
    picture = write(tmp_path / "p.png", b"\x89PNG")
    documents, skipped = read(tmp_path)
    names = [Path(str(document.payloads[0]["source"])).name for document in documents]
    assert names == ["a.md", "b.txt", "c.rst", "d.jsonl"]
    assert skipped == [Skipped(str(picture), "not a text, Markdown or JSON-lines file")]


def test_a_file_given_by_name_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    [document], skipped = read(write(tmp_path / "LICENSE", "do as you please"))
    assert document.passages == ("do as you please",)
    assert skipped == []


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "once")
    documents, skipped = read(path, tmp_path, path)
    assert len(documents) == 1
    assert skipped == []


def test_reading_twice_gives_the_same_and_reports_once(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "\n\n".join(PARAGRAPHS))
    write(tmp_path / "b.txt", " ")
    write(tmp_path / "c.bin", "x")
    reader = Reader([tmp_path], chunk_size=200)
    first, reported = list(reader), list(reader.skipped)
    assert list(reader) == first
    assert reader.skipped == reported
    assert len(reported) == 2


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    [text], _ = read(write(tmp_path / "a.txt", b"\xef\xbb\xbfhello"))
    [line], _ = read(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "hello"}'))
    assert text.passages == line.passages == ("hello",)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t ", "empty"),
        ("a.txt", b"caf\xe9", "not UTF-8 text (byte 3): convert it first"),
        ("a.md", b"a\0b", "not text: it holds NUL characters"),
        ("a.jsonl.gz", CUT_OFF, "cannot be read: Compressed file ended"),
        ("a.jsonl.gz", b"not gzip", "cannot be read: Not a gzipped file"),
    ],
)
def test_what_a_file_can_suffer_from(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = write(tmp_path / name, content)
    good = write(tmp_path / "good.txt", "good")
    documents, [skipped] = read(path, good)
    assert [document.id for document in documents] == [str(good)]
    assert skipped.place == str(path)
    assert skipped.reason.startswith(reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{bad", "not a line of UTF-8 JSON: "),
        ("[1, 2]", 'expected a JSON object with a string under "text"'),
        ('{"title": "no text"}', 'expected a JSON object with a string under "text"'),
        ('{"text": 3}', 'expected a JSON object with a string under "text"'),
        ('{"text": "  "}', "empty"),
        ('{"text": "x", "n": NaN}', "not a line of UTF-8 JSON: NaN is no number that Qdrant can keep"),
        ('{"text": "x", "n": 1e999}', "not a line of UTF-8 JSON: 1e999 is no number"),
        ('{"text": "x", "n": 18446744073709551616}', "not a line of UTF-8 JSON: 18446744073709551616 is no number"),
        ('{"text": "x", "_id": [1]}', '"_id" must be a string or an integer, got [1]'),
        ('{"text": "half \\ud800"}', "holds half of a surrogate pair"),
        ('{"text": "x", "note": "\\ud800"}', "holds half of a surrogate pair"),
        ('{"text": "x", "taken": 1}', "the field 'taken' is reserved for the collection: rename it"),
        ('{"_id": "first", "text": "again"}', "repeats the id 'first', which came before: the first one is kept"),
        ("[" * 100_000, "not a line of UTF-8 JSON: "),
    ],
)
def test_what_a_line_can_suffer_from(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", lines({"_id": "first", "text": "one"}, line, "", {"_id": "last", "text": "two"}))
    documents, [skipped] = read(path, reserved=("taken",))
    assert [document.id for document in documents] == ["first", "last"]
    assert skipped.place == f"{path}:2"
    assert skipped.reason.startswith(reason)


def test_an_id_that_a_split_passage_has_is_taken(tmp_path: Path) -> None:
    entries = [{"_id": "d", "text": " ".join(PARAGRAPHS)}, {"_id": "d#1", "text": "clash"}]
    documents, [skipped] = read(write(tmp_path / "a.jsonl", lines(*entries)), chunk_size=300)
    assert [document.id for document in documents] == ["d"]
    assert "repeats the id 'd#1'" in skipped.reason


def test_ids_count_from_the_second_passage() -> None:
    assert [passage_id("d", part) for part in range(3)] == ["d", "d#1", "d#2"]


def test_a_missing_path_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file or folder '.*nowhere'"):
        Reader([tmp_path / "nowhere"])


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-5, 0), (100, 100), (100, -1)])
def test_impossible_sizes(tmp_path: Path, size: int, overlap: int) -> None:
    with pytest.raises(InputError, match=f"chunk_size={size}, chunk_overlap={overlap}"):
        Reader([tmp_path], chunk_size=size, chunk_overlap=overlap)
