"""``octant compress`` as it is typed: what it prints, what it asks, what it refuses, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from command_line import refuse, run, succeed
from octant import Collection, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs

DIM, COUNT = 16, 400
X = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch):
    with Collection.create("docs", location=tmp_path / "data", represent="float32", dimension=DIM) as made:
        made.add(vectors=X, ids=range(COUNT), payloads=[{"page_content": f"text {row}"} for row in range(COUNT)])
    monkeypatch.setenv("OCTANT_LOCATION", str(tmp_path / "data"))
    return tmp_path


def test_planned_then_done_then_served_under_the_old_name(place):
    order = ("compress", "docs", "--into", "small", "--represent", "turbo8")
    plan = succeed(*order, "--plan").stdout
    assert "nothing was written" in plan
    assert "searched codes" in plan
    assert not (place / "data" / "small").exists()
    done = succeed(*order, "--alias", "docs", "--min-recall", "0.5")
    assert f"{COUNT} points of 'docs' (edge) are in 'small' (edge), verified one by one in 1 pass" in done.stdout
    assert "'docs' now stands for 'small'; the source is called 'docs.before'" in done.stdout
    assert "verify: 100%" in done.stderr
    shown = json.loads(succeed("inspect", "docs", "--json").stdout)
    assert shown["manifest"]["represent"] == "turbo8"


def test_json_is_one_object(place):
    order = ("compress", "docs", "--into", "small", "--vector", "=pca(8)|turbo8", "--json")
    assert json.loads(succeed(*order, "--plan").stdout)["represent"] == {"": "pca(8)|turbo8"}
    report = json.loads(succeed(*order).stdout)
    assert report["copied"] == COUNT
    assert 0 < report["recall"][""]["low"] <= report["recall"][""]["value"]


def test_a_recommendation_of_a_file(place):
    settings = (HnswSettings(), MemoryPlacement(), SearchKnobs())
    Recommendation("turbo8", *settings, dimension=DIM, points=COUNT).save(place / "recommendation.json")
    succeed("compress", "docs", "--into", "small", "--recommendation", place / "recommendation.json")
    assert json.loads(succeed("inspect", "small", "--json").stdout)["manifest"]["represent"] == "turbo8"


def test_deletions_are_asked_for(place, monkeypatch):
    order = ("compress", "docs", "--into", "small", "--represent", "turbo8", "--delete-source")
    assert "add --yes to say that you mean it" in refuse(*order)
    assert (place / "data" / "docs").exists()
    succeed(*order, "--yes")
    assert not (place / "data" / "docs").exists()
    with Collection.open("small", location=place / "data") as made:
        assert made.count() == COUNT


@pytest.mark.parametrize(("answer", "kept"), [("n\n", True), ("y\n", False)])
def test_at_a_terminal_the_answer_decides(place, monkeypatch, answer, kept):
    monkeypatch.setattr("octant.cli.compress._at_a_terminal", lambda: True)
    run("compress", "docs", "--into", "small", "--represent", "turbo8", "--delete-source", input=answer)
    assert (place / "data" / "docs").exists() is kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--represent", "turbo8"), "choose one of the two"),
        (("--into", "small", "--vector", "turbo8"), "--vector is NAME=SPEC"),
        (("--into", "small", "--vector", "=turbo8", "--vector", "=turbo4"), "names '' twice"),
        (("--into", "small", "--represent", "turbo9"), "in 'turbo9', at position"),
        (("--into", "docs", "--represent", "turbo8"), "is the source itself"),
        (("--into", "small", "--recommendation", "no.json"), "no.json cannot be read"),
        (
            ("--into", "small", "--represent", "pca(2)|turbo4", "--min-recall", "0.99"),
            "below 0.99: nothing",
        ),
    ],
)
def test_refusals_are_one_line(place, options, message):
    assert message in refuse("compress", "docs", *options)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(place):
    with Collection.open("docs", location=place / "data") as made:
        x = np.random.default_rng(1).standard_normal((12_000, DIM)).astype(np.float32)
        made.add(vectors=x, ids=range(COUNT, COUNT + len(x)), optimize=False)
    # Where the tests run in the background a child inherits that Ctrl-C is ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from octant.cli.app import main; main()"
    order = [sys.executable, "-c", code, "compress", "docs", "--into", "small", "--represent", "turbo8"]
    process = subprocess.Popen(order, stderr=subprocess.PIPE, text=True)
    seen = ""
    while "copy:  " not in seen and process.poll() is None:
        seen += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate()[1]
    assert process.returncode == 130, rest
    assert "interrupted; run the same command again to go on" in rest
    done = succeed("compress", "docs", "--into", "small", "--represent", "turbo8")
    assert f"{COUNT + 12_000:,} points of 'docs' (edge) are in 'small'" in done.stdout
