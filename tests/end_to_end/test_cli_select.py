"""``octant search --select`` and ``--of``: several embeddings asked, and the decision between them told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import octant
from command_line import refuse, run
from made_embeddings import HashedWords, documents
from octant import Collection, Decision
from octant.gathering_each import gather_each
from octant.judged import Question
from octant.selectors import Calibration

PASSAGES = {
    "hearts": "The octopus has three hearts and blue blood.",
    "bread": "Dough rises because yeast makes carbon dioxide.",
    "sextant": "A sextant measures the angle between two visible objects.",
    "glacier": "Ice of a glacier flows slowly downhill under its own weight.",
}
QUESTION = "How many hearts does an octopus have?"


class Words:
    """As sentence-transformers has it: sums of vectors of words."""

    def __init__(self) -> None:
        self.made_of = HashedWords(1, 64)

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        return np.array(self.made_of.embed_documents(list(texts)), np.float32)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, minilm: Any) -> list[str]:
    """The real model and a made-up one; the names of what was loaded."""
    found: list[str] = []

    def load(name: str) -> Any:
        found.append(name)
        return minilm if name == "real" else Words()

    monkeypatch.setattr("octant.embedders.load_model", load)
    return found


@pytest.fixture
def facts(tmp_path: Path, loaded: list[str]) -> list[object]:
    """Four passages with a real model, a made-up one and BM25; the arguments that search them."""
    settings = {"minilm": {"embedding": "real"}, "words": {"embedding": "made up", "represent": "turbo8"}}
    with Collection.create("facts", location=tmp_path, embeddings=settings, sparse="bm25") as collection:
        collection.add(list(PASSAGES.values()), ids=list(PASSAGES))
    loaded.clear()
    return ["search", "facts", QUESTION, "--location", tmp_path]


def test_what_was_chosen_is_told_with_its_confidence_and_why(facts: list[object], loaded: list[str]) -> None:
    result = run(*facts, "--select", "fuse", "--k", 2)
    assert result.exit_code == 0, result.output
    assert sorted(loaded) == ["made up", "real"]
    lines = result.stdout.splitlines()
    assert lines[0].split()[::2] == ["1", "hearts"]
    assert sum(line.split()[0].isdigit() for line in lines) == 2
    assert "chosen: minilm + words + sparse" in lines
    [confidence] = [line for line in lines if line.startswith("confidence: ")]
    assert "that a relevant passage is among the first 5 (not calibrated)" in confidence
    assert "what spoke for each: minilm 0.3333, words 0.3333, sparse 0.3333" in lines
    assert [line.split(":")[0] for line in lines if line.startswith("signals of")] == [
        "signals of minilm", "signals of words", "signals of sparse"
    ]  # fmt: skip
    assert "embeddings searched: 3" in lines
    assert any(line.startswith("note: nothing was learned") for line in lines)


def test_programs_get_the_decision_whole(facts: list[object]) -> None:
    told = json.loads(run(*facts, "--select", "fuse", "--of", "words", "--of", "sparse", "--json").stdout)
    decision = Decision.from_json(told["decision"])
    assert (told["select"], decision.chosen, decision.cost) == ("fuse", "words + sparse", {"searches": 2})
    assert told["hits"][0]["id"] == "hearts"
    assert set(told["hits"][0]["branch_scores"]) == {"words", "sparse"}
    moved = json.loads(run(*facts, "--select", "rrf", "--rerank", "lexical", "-k", 1, "--json").stdout)
    assert [hit["id"] for hit in moved["hits"]] == ["hearts"]
    assert moved["rerank"]["candidates"] == 4
    assert moved["decision"]["chosen"] == "minilm + words + sparse"


def test_a_cascade_asks_in_the_order_that_was_named(facts: list[object]) -> None:
    some = '{"must": [{"has_id": ["hearts", "bread"]}]}'
    result = run(*facts, "--select", "cascade", "--of", "sparse", "--of", "minilm", "--filter", some)
    assert result.exit_code == 0, result.output
    assert "chosen: minilm" in result.stdout
    ids = [line.split()[2] for line in result.stdout.splitlines() if line.startswith("  ") and line[2].isdigit()]
    assert ids == ["hearts", "bread"]
    assert "note: no threshold was learned" in result.stdout


@pytest.mark.parametrize(("name", "models"), [("words", ["made up"]), ("sparse", []), ("minilm", ["real"])])
def test_one_of_several_is_searched_by_its_name(
    facts: list[object], loaded: list[str], name: str, models: list[str]
) -> None:
    told = json.loads(run(*facts, "--of", name, "--json").stdout)
    assert told["hits"][0]["id"] == "hearts"
    assert "decision" not in told
    assert loaded == models


def test_a_calibrated_confidence_says_on_what(tmp_path: Path, loaded: list[str]) -> None:
    settings = {"words": {"embedding": "made up"}}
    with Collection.create("notes", location=tmp_path, embeddings=settings, sparse="bm25") as collection:
        texts = documents()
        collection.add(texts, ids=range(len(texts)))
        asked = [
            Question(str(n), f"{texts[n].split()[0]} {f'note{n}' if n % 3 else 'known'}", {n: 1.0}, "")
            for n in range(60)
        ]
        collection.attach(Calibration.learn(gather_each(collection, asked), octant.selector("rrf")))
    found = run("search", "notes", "tides note6", "--location", tmp_path, "--select", "rrf")
    assert found.exit_code == 0, found.output
    [confidence] = [line for line in found.stdout.splitlines() if line.startswith("confidence: ")]
    assert confidence.endswith("(calibrated on 60 judged queries of this collection)")
    low, high = map(float, confidence.partition("[")[2].partition("]")[0].split(", "))
    assert 0 <= low <= float(confidence.split()[1]) <= high <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--select", "fuse", "--mode", "hybrid"], "--mode is about one embedding, and --select asks several"),
        (["--select", "fuse", "--score-threshold", "0.5"], "--score-threshold is about one embedding"),
        (["--select", "fuse", "--cutoff", "attached"], "--cutoff is about one embedding"),
        (["--select", "fusse"], "did you mean 'fuse'"),
        (["--of", "minilm", "--of", "words"], "--of minilm --of words are several embeddings: pass --select SPEC"),
        (["--select", "fuse", "--of", "bge"], "are minilm, words, sparse; got bge, which octant index"),
        (["--of", "words", "--embedding", "minilm=real"], "--embedding minilm=... is not asked: add --of minilm"),
        (["--select", "fuse", "--embedding", "real"], "say whose model it is, as in --embedding minilm=MODEL"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_model_is_loaded(
    facts: list[object], loaded: list[str], options: list[str], message: str
) -> None:
    assert message in refuse(*facts, *options)
    assert not loaded


def test_a_filter_that_is_none_is_refused(facts: list[object]) -> None:
    assert "a Qdrant filter has the clauses" in refuse(*facts, "--select", "fuse", "--filter", '{"has_id": ["bread"]}')
