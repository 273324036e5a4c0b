"""``octant index`` killed without warning: nothing acknowledged is lost, and the next run goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from octant import Collection

DRIVER = Path(__file__).with_name("cli_driver.py")
STORED = re.compile(r"store:.*?(\d+)/(\d+) ")


def command(corpus: Path, place: Path, represent: str) -> list[str]:
    options = ["--name", "c", "--location", str(place), "--represent", represent, "--json"]
    return [sys.executable, str(DRIVER), "index", str(corpus), *options]


def killed(arguments: list[str], due: Callable[[str], bool], log: Path) -> str:
    """Run, kill as soon as what standard error says is ``due``, and return what it had said."""
    with log.open("wb") as stream:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=stream)
    try:
        deadline = time.monotonic() + 250
        while not due(log.read_text(encoding="utf-8", errors="replace")):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed: the test proves nothing"
    return log.read_text(encoding="utf-8", errors="replace")


def stored(said: str) -> int:
    """Passages that the progress bar has acknowledged."""
    return max((int(done) for done, _ in STORED.findall(said)), default=0)


def corpus_of(path: Path, lines: int) -> Path:
    entries = ({"_id": f"d{i}", "text": f"passage {i} about topic{i % 91} and item{i % 13}"} for i in range(lines))
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("represent", ["turbo8", "pca(16)|turbo8"])
def test_killed_while_storing(represent: str, tmp_path: Path) -> None:
    lines = 6_000
    corpus, place = corpus_of(tmp_path / "c.jsonl", lines), tmp_path / "place"
    said = killed(command(corpus, place, represent), lambda said: stored(said) >= 512, tmp_path / "log")
    acknowledged = stored(said)
    assert acknowledged < lines
    with Collection.open("c", location=place) as collection:
        present = {candidate.id: candidate.text for candidate in collection.scroll()}
    assert {f"d{i}" for i in range(acknowledged)} <= set(present)
    assert present["d7"] == "passage 7 about topic7 and item7"

    again = subprocess.run(command(corpus, place, represent), capture_output=True, text=True, check=True)
    result = json.loads(again.stdout)
    assert result["unchanged"] == len(present)
    assert result["added"] == lines - len(present)
    assert result["points"] == lines


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_while_building_indexes(tmp_path: Path) -> None:
    lines = 8_000  # enough float32 vectors that a graph is due
    corpus, place = corpus_of(tmp_path / "c.jsonl", lines), tmp_path / "place"
    building: list[float] = []

    def due(said: str) -> bool:
        if "building indexes" in said:
            building.append(time.monotonic())
        return bool(building) and time.monotonic() - building[0] > 0.3

    killed(command(corpus, place, "float32"), due, tmp_path / "log")
    with Collection.open("c", location=place) as collection:
        assert {candidate.id for candidate in collection.scroll()} == {f"d{i}" for i in range(lines)}

    again = subprocess.run(command(corpus, place, "float32"), capture_output=True, text=True, check=True)
    result = json.loads(again.stdout)
    assert (result["unchanged"], result["added"], result["points"]) == (lines, 0, lines)
    with Collection.open("c", location=place) as collection:
        assert any(part.name == "graph" and part.bytes for part in collection.footprint().components)
