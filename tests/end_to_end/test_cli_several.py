"""``octant index`` and ``octant inspect`` with several embeddings."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import run
from octant import Collection

DRIVER = Path(__file__).with_name("cli_driver.py")


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for every named model, each different from the others."""
    spec = importlib.util.spec_from_file_location("cli_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    made: dict[str, Any] = {}

    class Other(driver.WordHashes):  # type: ignore[misc, name-defined]
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def encode(self, texts: list[str], **options: Any) -> np.ndarray:
            found = super().encode(texts, **options)
            return np.roll(found, sum(self.name.encode()), axis=1)[:, ::-1].copy()

    def load(name: str) -> Any:
        return made.setdefault(name, Other(name))

    monkeypatch.setattr("octant.embedders.load_model", load)
    return made


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = [{"_id": f"d{i}", "text": f"line {i} speaks of topic{i % 7}", "topic": i % 7} for i in range(30)]
    (folder / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_index_stores_every_embedding(corpus: Path, tmp_path: Path, models: dict[str, Any]) -> None:
    place = tmp_path / "there"
    asked = ["--embedding", "one=model/one", "--embedding", "two=model/two", "--represent", "pca(8)|turbo8", "--sparse"]
    result = run("index", corpus, "--name", "c", "--location", place, *asked, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["embeddings"] == ["one", "two", "sparse"]
    both = {"one": models["model/one"].encode, "two": models["model/two"].encode}
    with Collection.open("c", location=place) as collection:
        for name, encode in both.items():
            vector = encode(["line 9 speaks of topic2"])[0]
            assert collection.search(vector, embedding=name, k=1)[0].payload["topic"] == 2
    shown = run("inspect", "c", "--location", place).stdout
    assert [line.split()[0] for line in shown.splitlines() if "model/" in line and "  384" in line] == ["one", "two"]
    told = json.loads(run("inspect", "c", "--location", place, "--json").stdout)["embeddings"]
    assert told["two"]["model"]["name"] == "model/two"
    assert told["two"]["complete"]
    for model in models.values():
        model.embedded.clear()
    again = run("index", corpus, "--name", "c", "--location", place)
    assert again.exit_code == 0, again.output
    assert "30 already there" in again.output
    assert not [text for model in models.values() for text in model.embedded if text.startswith("line")]


def test_an_embedding_that_is_not_there_is_added(corpus: Path, tmp_path: Path) -> None:
    place = tmp_path / "there"
    assert run("index", corpus, "--name", "c", "--location", place, "--embedding", "model/one").exit_code == 0
    result = run("index", corpus, "--name", "c", "--location", place, "--embedding", "two=model/two")
    assert result.exit_code == 0, result.output
    assert "new embeddings: 'two' (30 documents embedded)" in result.stdout
    with Collection.open("c", location=place) as collection:
        assert list(collection.embeddings) == ["dense", "two"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embedding", "a=x", "--embedding", "y"], "--embedding NAME=y"),
        (["--embedding", "a=x", "--embedding", "a=y"], "--embedding a=... is given twice"),
    ],
)
def test_names_are_checked_before_anything_is_read(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("index", tmp_path / "missing", "--name", "c", "--location", tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_one_model_for_several_is_refused(corpus: Path, tmp_path: Path) -> None:
    both = ["--embedding", "a=x", "--embedding", "b=y"]
    assert run("index", corpus, "--name", "c", "--location", tmp_path / "there", *both).exit_code == 0
    result = run("index", corpus, "--name", "c", "--location", tmp_path / "there", "--embedding", "x")
    assert result.exit_code == 2
    assert "--embedding a=MODEL, --embedding b=MODEL" in result.output
