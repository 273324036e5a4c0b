"""``octant train`` as its users run it, with the real model: learn, attach, rerank, adopt elsewhere, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from octant import Collection, reranker
from octant.cli.app import app
from octant.rerankers.learned import LearnedPart

RUNNER = CliRunner()
TOWNS = ("Bergen", "Lyon", "Porto", "Ghent", "Turku", "Graz", "Split", "Derby")
TRADES = ("bakers", "weavers", "sailors", "printers", "masons")
COUNT = len(TOWNS) * len(TRADES)


def passages() -> list[str]:
    """One on every trade in every town; each has a number that no other has."""
    return [
        f"The {trade} of {town} founded guild{row} long ago, and its records are kept in the old hall by the river."
        for row, (town, trade) in enumerate((town, trade) for town in TOWNS for trade in TRADES)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, minilm_path: str) -> Path:
    folder = tmp_path_factory.mktemp("train")
    for name, first in (("docs", 0), ("others", 500)):
        with Collection.create(name, location=folder / "store", embedding=minilm_path) as made:
            made.add(passages(), ids=range(first, first + COUNT))
    # To the embedding every guild is like any other; only the word itself tells them apart.
    asked = [
        {"_id": f"{word}{row}", "text": f"{word} founded guild{row}?"}
        for row in range(COUNT)
        for word in ("who", "what")
    ]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    for name, first in (("docs", 0), ("others", 500)):
        lines = [f"{word}{row}\t{first + row}\t1" for row in range(COUNT) for word in ("who", "what")]
        (folder / f"{name}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines))
    return folder


def octant(place: Path, *arguments: str, code: int = 0, collection: str = "docs") -> str:
    common = ["--collection", collection, "--location", str(place / "store"), "--queries", str(place / "queries.jsonl")]
    result = RUNNER.invoke(app, ["train", *arguments, *common, "--qrels", str(place / f"{collection}.tsv")])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def learned(place: Path) -> tuple[str, str]:
    """What training said, and the file that it wrote."""
    part = str(place / "learned.octant")
    return octant(place, "learned", "--depth", "30", "--out", part), part


def test_what_is_trained_reranks_here_and_elsewhere_once_adopted(
    place: Path, minilm_path: str, learned: tuple[str, str]
) -> None:
    told, part = learned
    assert "fitted on 80 queries, each of which was validated by what had learned from others" in told
    assert "attached to 'docs': octant.reranker('learned', trained=collection) uses it" in told
    assert f"written to {part}" in told
    with Collection.open("docs", location=place / "store", embedding=minilm_path) as docs:
        found = docs.search("who founded guild31?", k=30)
        done = reranker("learned", trained=docs).rerank("who founded guild31?", found, k=3)
        assert done.ids[0] == 31
        trained = docs.trained(LearnedPart)
        assert trained is not None
        assert str(trained.report) in told

    with Collection.open("others", location=place / "store", embedding=minilm_path) as others:
        found = others.search("who founded guild17?", k=30)
        done = reranker("learned", trained=part, collection=others).rerank("who founded guild17?", found)
        assert done.ids == found.ids
        assert "neither trained on this collection nor adopted" in str(done.report)
    another = octant(place, "refine", "--adopt", part, collection="others", code=2)
    assert "holds what was trained for 'learned', not for refine: name that one" in another
    told = octant(place, "learned", "--depth", "30", "--adopt", part, "--json", collection="others")
    report = json.loads(told[told.index("{") :])
    assert (report["validated_on"], report["no_change"]) == (80, False)
    with Collection.open("others", location=place / "store", embedding=minilm_path) as others:
        done = reranker("learned", trained=others).rerank("who founded guild17?", found, k=3)
        assert done.ids[0] == 517


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lerned"], "did you mean 'learned'?"),
        (["listwise"], "learns nothing from judged rankings"),
        (["learned", "--no-attach"], "would throw away what was learned"),
        (["learned", "--adopt", "nowhere"], "nowhere, cannot read it"),
        (["learned", "--adopt", "x", "--teacher", "lexical"], "--adopt trains nothing, so --teacher would do nothing"),
        (["learned", "--adopt", "x", "--seed", "0"], "--adopt trains nothing, so --seed would do nothing"),
        (["learned", "--llm", "openai:x"], "--llm is about a teacher"),
        (["learned", "--groups", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], message: str, place: Path) -> None:
    output = octant(place, *arguments, code=2)
    assert message in output
    assert output.strip().count("\n") == 0


def evaluated(place: Path, minilm_path: str, *arguments: str, code: int = 0) -> str:
    """``octant eval`` on the passages of "docs" and ten of its questions."""
    folder = place / "judged"
    if not folder.exists():
        folder.mkdir()
        texts = [json.dumps({"_id": str(row), "text": text}) for row, text in enumerate(passages())]
        (folder / "corpus.jsonl").write_text("\n".join(texts))
        (folder / "queries.jsonl").write_text((place / "queries.jsonl").read_text())
        (folder / "qrels.tsv").write_text((place / "docs.tsv").read_text())
    common = ["--embedding", minilm_path, "--candidates", "30", "--questions", "10", "--cache", str(place / "cache")]
    result = RUNNER.invoke(app, ["eval", str(folder), *common, *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_eval_measures_what_was_trained_from_its_file(place: Path, minilm_path: str, learned: tuple[str, str]) -> None:
    told = evaluated(
        place, minilm_path, "--rerank", "learned", "--rerank", "lexical", "--trained", learned[1], "--json", "-"
    )
    report = json.loads(told[told.index("{") :])
    first, row, lexical, _ = report["rows"]
    assert [row["method"], lexical["method"]] == ["learned", "lexical"]
    assert row["verdict"] == "better"
    assert row["metrics"]["ndcg@10"]["value"] > first["metrics"]["ndcg@10"]["value"] + 0.1
    assert row["failures"] == {}
    (note,) = report["notes"]
    assert note.startswith("learned acts here because it is measured.")
    assert "octant train 'learned' --adopt" in note


def test_eval_refuses_what_cannot_act_before_anything_is_embedded(
    place: Path, minilm_path: str, learned: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded(*_: object) -> None:
        raise AssertionError("the corpus was embedded")

    monkeypatch.setattr("octant.rerank_evaluation.embedded_dataset", embedded)
    monkeypatch.setattr("octant.cutoff_evaluation.embedded_dataset", embedded)

    def refused(*arguments: str) -> str:
        return evaluated(place, minilm_path, *arguments, code=2).splitlines()[-1]

    nothing = refused("--rerank", "learned")
    assert "has nothing attached: pass trained= (--trained FILE), the file that octant train 'learned' --out" in nothing
    another = refused("--rerank", "refine > learned(vectors=true)", "--trained", learned[1])
    assert "refine has to be trained first" in another
    assert "given was what was trained for 'learned'" in another
    idle = refused("--rerank", "lexical", "--trained", learned[1])
    assert "what was trained for 'learned' belongs to none of the rerankers: evaluate 'learned' too" in idle
    otherwise = refused("--rerank", "learned", "--trained", learned[1], "--mode", "hybrid")
    assert "was trained on 'dense cosine' rankings, these are 'hybrid'" in otherwise
    missing = refused("--rerank", "learned", "--trained", str(place / "nowhere"))
    assert "cannot read it" in missing
