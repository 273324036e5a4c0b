"""``octant train cutoff`` and ``octant search --cutoff``: from judged questions to hits that are left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from octant import Collection, Cutoff, reranker
from octant.cli import search as search_command
from octant.cli import train_cutoff as train_command
from octant.cli.eval import evaluate
from octant.cutoff_evaluation import evaluate_cutoff
from octant.cutoff_training import atrain_cutoff
from octant.datasets import TextDataset
from octant.errors import InputError, MismatchError
from octant.judged import Question

WORDS = ["garden", "harbour", "lantern", "meadow", "orchard", "quarry", "river", "tower"]
TEXTS = [f"the {word} has a wall of stone number {n}" for n in range(6) for word in WORDS]


def letters(texts: list[str]) -> np.ndarray:
    """A toy model: counts of letters."""
    rows = [[text.count(chr(97 + i)) + 0.01 * i for i in range(26)] for text in texts]
    return np.array(rows, np.float32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection, judged questions about it, and a command line that opens it with the toy model."""
    with Collection.create("docs", location=tmp_path / "store", embedding=letters, represent="turbo8") as made:
        made.add(TEXTS, ids=range(len(TEXTS)))
    asked = [{"_id": f"q{row}", "text": f"what of the {WORDS[row % 8]} {'and ' * (row // 8)}"} for row in range(32)]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    right = [f"q{row}\t{point}\t1" for row in range(32) for point in range(row % 8, len(TEXTS), 8)]
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(right))

    def opened(name: str, location: str, *_: Any) -> Collection:
        return Collection.open(name, location=location, embedding=letters)

    monkeypatch.setattr(train_command, "open_to_train", opened)
    monkeypatch.setattr(search_command, "_open", opened)
    return tmp_path


def octant(command: Any, place: Path, *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*arguments, "--location", str(place / "store")])


def trained(place: Path, *arguments: str) -> Any:
    files = ["--queries", str(place / "queries.jsonl"), "--qrels", str(place / "qrels.tsv")]
    return octant(train_command.train_cutoff, place, "--collection", "docs", "--depth", "30", *files, *arguments)


def hits(place: Path, *arguments: str) -> list[Any]:
    done = octant(search_command.search, place, "docs", "what of the lantern", "--k", "30", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return list(json.loads(done.stdout)["hits"])


def test_what_was_trained_leaves_out_hits(place: Path) -> None:
    out = str(place / "cutoff")
    done = trained(place, "--out", out, "--precision", "0.5")
    assert done.exit_code == 0, done.output
    assert "PR-AUC" in done.stdout
    assert "it keeps probabilities of at least" in done.stdout
    assert "octant search docs QUERY --cutoff attached uses it" in done.stdout
    everything = hits(place)
    cutoff = Cutoff.load(out)
    least = cutoff.score_threshold(letters(["what of the lantern"])[0])
    expected = [hit["id"] for hit in everything if hit["score"] >= least]
    assert 0 < len(expected) < len(everything)
    for which in ("attached", "cutoff", out):
        assert [hit["id"] for hit in hits(place, "--cutoff", which)] == expected


def test_a_cutoff_nobody_made_is_told_how_to_be_made(place: Path) -> None:
    done = octant(search_command.search, place, "docs", "what", "--cutoff", "attached")
    assert isinstance(done.exception, InputError)
    assert "no cutoff is attached to 'docs': octant train cutoff --collection docs makes one" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--collection", "docs"], "learns from --queries and --qrels, or from --pseudo N"),
        (["--collection", "docs", "--pseudo", "9", "--qrels", "x"], "--pseudo makes its own questions"),
        (["--collection", "docs", "--pseudo", "9", "--llm", "x:y"], "pass --teacher SPEC too"),
        (["--collection", "docs", "--pseudo", "9", "--no-attach"], "would throw away what was learned"),
    ],
)
def test_options_that_do_not_go_together(place: Path, arguments: list[str], words: str) -> None:
    done = octant(train_command.train_cutoff, place, *arguments)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)


def test_labels_of_passages_and_of_a_teacher(place: Path) -> None:
    done = octant(train_command.train_cutoff, place, "--collection", "docs", "--pseudo", "30", "--json", "--no-attach",
                  "--out", str(place / "made"))  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["measures"]["labels"].startswith("the documents that questions came from")
    assert told["attached"] is False
    done = trained(place, "--teacher", "first_stage", "--probe", "5", "--json")
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["measures"]["labels"].startswith("a teacher's answers")
    assert told["measures"]["relevant"] == 3 * 32
    assert told["spec"] == "cutoff(probe=5)"


async def test_awaited_training_is_the_same(place: Path) -> None:
    questions = [
        Question(f"q{row}", f"what of the {WORDS[row % 8]} {row}", dict.fromkeys(range(row % 8, len(TEXTS), 8), 1.0))
        for row in range(24)
    ]
    async with await Collection.aopen("docs", location=place / "store", embedding=letters) as docs:
        made = await atrain_cutoff(docs, questions, k=20)
        assert await docs.atrained(Cutoff) == made
        teacher = reranker("first_stage")
        taught = await atrain_cutoff(docs, questions, k=20, teacher=teacher, attach=False)
        assert "teacher" in taught.measures.labels
        with pytest.raises(InputError, match=r"a teacher gives the labels, got labels='source' too"):
            await atrain_cutoff(docs, questions, k=20, teacher=teacher, labels="source")


def test_a_cutoff_is_measured_on_a_dataset(place: Path) -> None:
    out = place / "cutoff"
    assert trained(place, "--out", str(out), "--precision", "0.5").exit_code == 0
    data = TextDataset(
        "toy", tuple(map(str, range(len(TEXTS)))), tuple(TEXTS), ("a", "b"), ("what of the river", "what of the tower"),
        {"a": {str(n): 1 for n in range(6, 48, 8)}, "b": {str(n): 1 for n in range(7, 48, 8)}},
    )  # fmt: skip
    cutoff = Cutoff.load(out)
    told = evaluate_cutoff(data, cutoff, letters, candidates=30)
    with Collection.open("docs", location=place / "store", embedding=letters) as docs:
        kept = sum(len(docs.search(text, k=30, cutoff=cutoff)) for text in data.queries)
    assert told.rows["cutoff"].filtered == pytest.approx(1 - kept / 60)
    assert told.rows["fixed k"].recall >= told.rows["cutoff"].recall
    assert "PR-AUC" in told.table()
    assert told.as_json()["queries"] == 2
    with pytest.raises(InputError, match="nobody knows what is relevant"):
        evaluate_cutoff(replace(data, qrels={}), cutoff, letters)
    with pytest.raises(InputError, match="nothing with a grade of at least 5"):
        evaluate_cutoff(data, cutoff, letters, relevant=5)
    with pytest.raises(InputError, match="one at a time"):
        evaluate(str(place), cutoff=str(out), rerank=["first_stage"], candidates=None, llm=None, out=None)


def test_eval_refuses_a_cutoff_that_it_cannot_use_before_anything_is_embedded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place / "cutoff"
    assert trained(place, "--out", str(out)).exit_code == 0

    def embedded(*_: Any) -> None:
        raise AssertionError("the corpus was embedded")

    monkeypatch.setattr("octant.cutoff_evaluation.embedded_dataset", embedded)
    with pytest.raises(InputError, match=r"names no file: 'attached'.*octant train cutoff --out FILE"):
        evaluate(str(place), cutoff="attached", rerank=None, candidates=None, llm=None, out=None, k=10)
    data = TextDataset("toy", ("0",), ("the river",), ("a",), ("what of the river",), {"a": {"0": 1}})

    def narrower(texts: list[str]) -> np.ndarray:
        return letters(texts)[:, :20]

    with pytest.raises(MismatchError, match="was trained for"):
        evaluate_cutoff(data, Cutoff.load(out), narrower)
