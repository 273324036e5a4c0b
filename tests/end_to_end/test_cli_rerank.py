"""``octant search --rerank`` and ``octant eval --rerank``: what moved, what it cost, and whether it helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import refuse, run, succeed
from octant import Collection
from scripted_models import Chat, shown

ANIMALS = ("octopus", "spider", "human", "snail", "worm", "earthworm", "cockroach", "hagfish")
"""All of them fit the question below; only the judgements know which is meant."""


def bag(texts: list[str]) -> Any:
    """Letters counted: texts alike are near."""
    rows = np.array([[text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Bag:
    """A stand-in for every named embedding model."""

    def encode(self, texts: list[str], **_: Any) -> Any:
        return bag(texts)


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octant.embedders.load_model", lambda name: Bag())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with Collection.create("animals", location=tmp_path / "data", embedding="a/bag", sparse="bm25") as made:
        made.add([f"The {animal} has hearts {i}" for i, animal in enumerate(ANIMALS)], ids=list(ANIMALS))
    monkeypatch.setenv("OCTANT_LOCATION", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Chat:
    """The chat model behind every name: the last number of a passage is how good it is."""

    def answer(prompt: str) -> str:
        order = sorted(shown(prompt), key=lambda passage: -int(passage[1].split()[-1]))
        return " > ".join(f"[{label}]" for label, _ in order)

    made = Chat(answer)
    monkeypatch.setattr("octant.cli.reranking.chat_model", lambda name: made)
    return made


# -- search ----------------------------------------------------------------------------------------


def test_search_reranks_and_explains(place: Path, llm: Chat) -> None:
    asked = ("search", "animals", "how many hearts has the octopus", "-k", 3, "--rerank", "listwise(structured=false)")
    plain = succeed(*asked, "--llm", "any:model").stdout.splitlines()
    assert [line.split()[2] for line in plain[::2]] == ["hagfish", "cockroach", "earthworm"]
    shown_ = succeed(*asked, "--llm", "any:model", "--prices", "1,2", "--explain").stdout
    first = shown_.splitlines()[0]
    assert "first stage" in first
    assert "(was " in first
    assert ", up " in first
    assert "of 8 candidates; what scores mean: rank" in shown_
    assert "1 call" in shown_
    assert "cost" in shown_


def test_search_tells_programs_the_same(place: Path, llm: Chat) -> None:
    asked = ("search", "animals", "octopus hearts", "-k", 2, "--rerank", "listwise", "--llm", "any:model", "--json")
    told = json.loads(succeed(*asked, "--candidates", 5).stdout)
    assert told["rerank"]["candidates"] == 5
    assert told["rerank"]["report"]["calls"] == 1
    assert [move["id"] for move in told["rerank"]["moves"]] == [hit["id"] for hit in told["hits"]]
    assert [move["after"] for move in told["rerank"]["moves"]] == [1, 2]
    assert told["hits"][0]["score"] == 1.0
    assert told["rerank"]["moves"][0]["first_stage_score"] < 1


def test_search_reranks_without_a_language_model(place: Path) -> None:
    shown_ = succeed("search", "animals", "octopus hearts", "--rerank", "rocchio", "--explain").stdout
    assert "what scores mean:" in shown_
    assert "not reranked" not in shown_
    sparse = succeed("search", "animals", "octopus", "--mode", "sparse", "--rerank", "first_stage", "--explain").stdout
    assert "(same place)" in sparse


def test_search_says_when_it_could_not_rerank(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octant.cli.reranking.chat_model", lambda name: Chat(lambda prompt: "no"))
    result = run("search", "animals", "hearts", "--rerank", "listwise(structured=false)", "--llm", "any:model")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2 * len(ANIMALS)
    blank = run("search", "animals", " ", "--mode", "dense", "--rerank", "rocchio")
    assert "not reranked: rocchio: the query is blank" in blank.stderr


def test_search_refuses_what_makes_no_sense(place: Path) -> None:
    asked = ("search", "animals", "hearts")
    assert refuse(*asked, "--explain") == "--explain is about reranking: pass --rerank SPEC too"
    assert refuse(*asked, "--llm", "a:b") == "--llm is about reranking: pass --rerank SPEC too"
    assert refuse(*asked, "--candidates", 9) == "--candidates is about reranking: pass --rerank SPEC too"
    assert refuse(*asked, "--rerank", "listwize").startswith(
        "in 'listwize', at position 0: no reranker 'listwize'; did"
    )
    assert "asks a language model: pass llm=" in refuse(*asked, "--rerank", "listwise")
    prices = refuse(*asked, "--rerank", "first_stage", "--prices", "cheap")
    assert prices == "--prices is two numbers, for a million tokens in and out, as 0.15,0.60; got 'cheap'"
    named = refuse(*asked, "--rerank", "listwise", "--llm", "gpt")
    assert named.endswith("named provider:model, e.g. openai:gpt-4o-mini; got 'gpt'")


# -- eval ------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Passages that end with how good they are, which the judgements agree with and the search cannot know."""
    folder = tmp_path / "judged"
    folder.mkdir()
    topics = ("harbor", "garden", "engine", "candle", "desert", "forest")
    documents = [(f"{topic}-{i}", f"about the {topic} {i}") for topic in topics for i in range(8)]
    lines = [json.dumps({"_id": name, "text": text}) for name, text in documents]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": topic, "text": topic}) for topic in topics))
    grades = [f"{topic}\t{topic}-{i}\t{max(0, i - 4)}" for topic in topics for i in range(8)]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *grades]))
    return folder


def test_eval_says_plainly_what_helps_and_what_does_not(dataset: Path, llm: Chat, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    shown_ = succeed(
        "eval", dataset, "--rerank", "listwise(structured=false)", "--rerank", "first_stage", "--llm", "any:model",
        "--candidates", 8, "--prices", "1,1", "--json", out,
    ).stdout  # fmt: skip
    assert "48 documents in turbo8, 6 queries, 8 candidates of a dense search" in shown_
    assert "listwise(structured=false) helps on these queries (ndcg@10 +0." in shown_
    assert "first_stage does not help as far as these 6 queries can tell (ndcg@10 +0.0000" in shown_
    report = json.loads(out.read_text())
    first, reranked, control, best = report["rows"]
    assert [row["method"] for row in report["rows"]] == [
        "first stage", "listwise(structured=false)", "first_stage", "best order of the candidates",
    ]  # fmt: skip
    assert reranked["metrics"]["ndcg@10"]["value"] == pytest.approx(best["metrics"]["ndcg@10"]["value"])
    assert reranked["metrics"]["ndcg@10"]["value"] > first["metrics"]["ndcg@10"]["value"]
    assert reranked["verdict"] == "better"
    assert reranked["calls_per_query"] == 1
    assert reranked["cost_per_query"] > 0
    assert control["metrics"] == first["metrics"]


def test_eval_tells_of_rerankers_that_fail_or_harm(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octant.cli.reranking.chat_model", lambda name: Chat(lambda prompt: "no idea"))
    asked = ("eval", dataset, "--candidates", 8, "--mode", "sparse", "--llm", "any:model", "--questions", 4)
    shown_ = succeed(*asked, "--rerank", "listwise(structured=false)").stdout
    assert "4 queries, 8 candidates of a sparse search" in shown_
    assert "4 outputs could not be used." in shown_


def test_eval_refuses_what_makes_no_sense(dataset: Path, tmp_path: Path) -> None:
    assert refuse("eval", dataset) == "nothing to measure: pass --represent SPEC, or --rerank SPEC"
    assert refuse("eval", dataset, "--represent", "turbo8", "--questions", 3).startswith("--questions is about rerank")
    assert refuse("eval", dataset, "--represent", "turbo8", "--trained", "x").startswith("--trained is about reranking")
    both = refuse("eval", dataset, "--rerank", "first_stage", "--represent", "turbo8", "--represent", "turbo4")
    assert both == "--rerank and --cutoff compare over one --represent, got 2"
    archive = tmp_path / "x.npz"
    np.savez(archive, ids=np.arange(300).astype(str), vectors=np.ones((300, 4), np.float32))
    assert "has no texts with judgements" in refuse("eval", archive, "--rerank", "first_stage")
