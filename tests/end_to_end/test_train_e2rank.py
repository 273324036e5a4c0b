"""``octant train e2rank``: from judged questions to a model that acts there, and elsewhere once it is adopted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from made_e2rank import WORDS, embedding_model_in
from octant import Collection, reranker
from octant.cli.app import app
from octant.rerankers.e2rank import E2Rank

pytest.importorskip("torch", reason="needs the extra [models]")

TEXTS = [f"the passage tells of the {word} {number}" for number in range(4) for word in WORDS]
QUESTIONS = 100


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two collections with the same texts under other ids, and questions that are judged for both."""
    folder = tmp_path_factory.mktemp("train")
    model = embedding_model_in(folder / "tiny")
    for name, first in (("docs", 0), ("others", 500)):
        ids = range(first, first + len(TEXTS))
        with Collection.create(name, location=folder / "store", embedding=model, represent="turbo8") as made:
            made.add(TEXTS, ids=ids)
    asked = [{"_id": f"q{row}", "text": f"about {row % 10} the {WORDS[row % 8]}"} for row in range(QUESTIONS)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    for name, first in (("docs", 0), ("others", 500)):
        # Whatever is asked, the passages on the last word answer: nothing in the vectors says so, all can learn it.
        right = [first + number * 8 + 7 for number in range(4)]
        lines = [f"q{row}\t{point}\t1" for row in range(QUESTIONS) for point in right]
        (folder / f"{name}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines))
    return folder


def octant(place: Path, *arguments: str, collection: str = "docs") -> Any:
    common = ["--collection", collection, "--location", str(place / "store"), "--queries", str(place / "queries.jsonl")]
    given = ["train", "e2rank", *common, "--qrels", str(place / f"{collection}.tsv"), *arguments]
    return CliRunner().invoke(app, given)


FAST = ("--steps", "30", "--rate", "0.05", "--layers", "1", "--passages", "4", "--depth", "32")


def test_what_was_trained_acts_where_it_was_trained_and_elsewhere_once_adopted(place: Path) -> None:
    out = str(place / "model")
    done = octant(place, "--out", out, *FAST, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["folder"] == out
    assert told["tuned"], told["origin"]["report"]
    assert told["origin"]["report"]["validated_on"] == 25
    assert not Path(f"{out}.checkpoint").exists()
    with Collection.open("docs", location=place / "store", embedding=str(place / "tiny/model")) as docs:
        found = docs.search("about 3 the garden", 10)
        acted = reranker(E2Rank(out), collection=docs).rerank("about 3 the garden", found)
        assert acted.score_kind == "cosine", acted.report

    def elsewhere() -> str:
        with Collection.open("others", location=place / "store", embedding=str(place / "tiny/model")) as others:
            found = others.search("about 3 the garden", 10)
            return reranker(E2Rank(out), collection=others).rerank("about 3 the garden", found).score_kind

    assert elsewhere() == "first stage"
    adopted = octant(place, "--adopt", out, "--depth", "32", collection="others")
    assert adopted.exit_code == 0, adopted.output
    assert "nDCG@10" in adopted.stdout
    assert elsewhere() == "cosine"


def test_one_of_out_and_adopt_is_needed(place: Path) -> None:
    for given in ((), ("--out", "a", "--adopt", "b")):
        done = octant(place, *given)
        assert done.exit_code == 2
        assert "--out to train a model, or --adopt" in done.output


@pytest.mark.parametrize("option", [("--teacher", "lexical"), ("--steps", "9"), ("--passages", "20"), ("--seed", "0")])
def test_what_only_a_training_reads_is_refused_beside_adopt(place: Path, option: tuple[str, str]) -> None:
    done = octant(place, "--adopt", "b", *option)
    assert done.exit_code == 2
    assert f"--adopt trains nothing, so {option[0]} would do nothing: leave out one of them" in done.output


def test_a_folder_that_is_there_is_refused_before_any_search(place: Path) -> None:
    done = octant(place, "--out", str(place / "tiny"), *FAST)
    assert done.exit_code == 2
    assert "out must be a folder that is not there yet" in done.output
    assert "search" not in done.output


def test_a_chat_model_is_for_a_teacher(place: Path) -> None:
    done = octant(place, "--out", str(place / "new"), "--llm", "openai:gpt-4o-mini")
    assert done.exit_code == 2
    assert "--llm is about a teacher that asks a chat model: pass --teacher SPEC too" in done.output


def test_a_teacher_is_any_reranker(place: Path) -> None:
    out = str(place / "taught")
    done = octant(place, "--out", out, *FAST[2:], "--steps", "2", "--teacher", "first_stage")
    assert done.exit_code == 0, done.output
    assert "learned from the order of first_stage" in done.stdout
