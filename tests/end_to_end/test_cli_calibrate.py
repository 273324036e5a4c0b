"""``octant calibrate``: learned and reported from judged questions, or from sentences, and kept with the collection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import octant
from command_line import refuse, run
from made_embeddings import HashedWords, documents
from octant.selectors import Calibration, LearnedSelection

TEXTS = documents(90)
NAMES = ("good", "blind")


class Words:
    """As sentence-transformers has it: sums of vectors of words, of the first ``read`` words of a text only."""

    def __init__(self, seed: int, read: int) -> None:
        self.made_of, self.read = HashedWords(seed, 48), read

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        vectors = self.made_of.embed_documents([" ".join(text.split()[: self.read]) for text in texts])
        return np.array(vectors, np.float32)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """One embedding that reads every word, and one that only tells topics apart."""
    found = {"good": Words(1, 99), "blind": Words(2, 1)}
    monkeypatch.setattr("octant.embedders.load_model", lambda name: found[name])


@pytest.fixture
def place(tmp_path: Path, models: None) -> Path:
    settings = {name: {"embedding": name, "represent": "turbo8"} for name in NAMES}
    with octant.Collection.create("docs", location=tmp_path / "data", embeddings=settings) as collection:
        collection.add(TEXTS, ids=range(len(TEXTS)))
    return tmp_path / "data"


@pytest.fixture
def judgements(tmp_path: Path) -> list[object]:
    """Questions that name a passage by its own word, or by its topic alone."""
    words = [text.split() for text in TEXTS]
    asked = {f"q{n}": f"{words[n][0]} {words[n][-1] if n % 4 else 'known'}" for n in range(90)}
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in asked.items()))
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\t{n}\t1\n" for n in range(90)))
    return ["--queries", queries, "--qrels", qrels]


def test_a_report_about_held_out_questions(place: Path, judgements: list[object], tmp_path: Path) -> None:
    command = ["calibrate", "docs", "--location", place, *judgements, "--within", 1, "--depth", 30]
    page = tmp_path / "report.html"
    result = run(*command, "--attach", "--out", tmp_path / "learned", "--report", page)
    assert result.exit_code == 0, result.output
    for words in ("learned from 60 questions, measured on 30 others", "AUROC", "Brier", "expected calibration error",
                  "gain over it", "confidence  said   true   n", "answering only the surest"):  # fmt: skip
        assert words in result.stdout
    assert "<svg" in page.read_text()
    part = LearnedSelection.load(tmp_path / "learned" / "selection")
    assert part.embeddings == NAMES
    assert sum(part.state["weights"]) == pytest.approx(1)
    assert Calibration.load(tmp_path / "learned" / "calibration").within == 1


def test_what_is_attached_is_found_again(place: Path, judgements: list[object], tmp_path: Path) -> None:
    command = ["calibrate", "docs", "--location", place, *judgements, "--within", 1, "--attach", "--json"]
    result = run(*command, "--report", tmp_path / "r.svg")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout)
    assert numbers["held_out"] == 30
    assert numbers["auroc"]["low"] <= numbers["auroc"]["value"] <= numbers["auroc"]["high"]
    assert numbers["searches"] == 2
    assert (tmp_path / "r.svg").read_text().startswith("<svg"), "the report is what its name says"
    with octant.Collection.open("docs", location=place, embeddings={name: name for name in NAMES}) as collection:
        chooser = octant.selector("fuse", collection=collection)
        assert chooser.learned is not None
        decision = chooser.select(collection.search_each(f"{TEXTS[5].split()[0]} note5", 30)).decision
        assert decision.calibrated == "90 judged queries of this collection"
        assert decision.estimates == "a relevant passage is among the first 1"
        assert octant.selector("weight", collection=collection).learned is None, "another selector learned that"


def test_sentences_stand_in_for_questions(place: Path) -> None:
    result = run(
        "calibrate", "docs", "--location", place, "--pseudo", 90, "--select", "cascade(rate=0.4)", "--within", 1
    )
    assert "sentences of the passages, not from questions" in result.output or "which did not" in result.output
    assert result.exit_code in (0, 2), result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--queries", "q.jsonl"], "--queries and --qrels go together"),
        (["--groups", "g.tsv"], "--groups is about --queries"),
        (["--report", "r.pdf"], "--report is a file that ends in"),
        (["--report", "no folder/r.html"], "there is no folder for no folder/r.html"),
        (["--select", "fuze"], "did you mean 'fuse'"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refuse("calibrate", "docs", "--location", tmp_path, *arguments)


def test_mistakes_about_the_collection_end_in_one_line(place: Path) -> None:
    command = ("calibrate", "docs", "--location", place)
    assert "the collection's embeddings are good, blind; got third" in refuse(*command, "--embedding", "third=good")
    assert "third" in refuse(*command, "--of", "third")
    assert "at least 40 queries" in refuse(*command, "--pseudo", 30)
