"""``octant tune`` as its users run it: real embeddings, files, a collection, mistakes, Ctrl-C and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from octant import Collection, Recommendation
from octant.cli.app import app
from octant.tuning import Study
from octant.tuning.kept import FILE

RUNNER = CliRunner()
ONLY = ["--only", "--represent", "turbo8", "--represent", "turbo4"]
WORDS = [
    "river",
    "bank",
    "loan",
    "money",
    "water",
    "fish",
    "boat",
    "credit",
    "tax",
    "court",
    "law",
    "judge",
    "engine",
    "wheel",
    "road",
    "bridge",
]


def run(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["tune", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def npz(path: Path, count: int = 400, dim: int = 24) -> str:
    x = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    np.savez(path, ids=np.arange(count), vectors=x, queries=x[:60] + 0.1)
    return str(path)


def test_a_folder_of_texts_with_the_real_model(minilm_path: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra [report]")
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS, 9)) for _ in range(240)]
    lines = [json.dumps({"_id": f"d{i}", "title": "", "text": text}) for i, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    said = run(
        str(folder), "--embedding", minilm_path, "--min-recall", "0.7", "--budget", "30s", "--out", str(out), *ONLY
    )
    assert "wanted: recall@10 at least 0.7" in said
    assert "held-out documents" in said
    assert {path.name for path in out.iterdir()} == {
        "recommendation.json", "study.json", "report.html", "report.png", FILE,
    }  # fmt: skip
    chosen = Recommendation.load(out / "recommendation.json")
    assert chosen.represent in ("turbo8", "turbo4")
    assert Study.load(out / "study.json").query_texts[0] in texts
    assert "<html" in (out / "report.html").read_text()


def test_an_archive_with_its_queries(tmp_path: Path) -> None:
    said = run(npz(tmp_path / "x.npz"), "--budget", "20s", "--no-report", *ONLY)
    assert "45 queries" in said
    assert "held-out" not in said
    assert "No quality was asked for: recall@10 of at least 0.95 is assumed." in said


def test_a_collection_and_what_is_created_from_the_recommendation(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    with Collection.create("notes", location=tmp_path / "place", represent="float32") as collection:
        collection.add(vectors=x, ids=range(300))
    out = str(tmp_path / "out")
    run("notes", "--location", str(tmp_path / "place"), "--min-recall", "0.5", "--out", out, "--no-report", *ONLY)
    with Collection.create("small", recommendation=f"{out}/recommendation.json") as collection:
        collection.add(vectors=x, ids=range(300))
        assert collection.search(x[3], k=1).ids == (3,)


def test_mistakes_end_in_one_line(tmp_path: Path) -> None:
    archive = npz(tmp_path / "x.npz")
    for arguments, words in [
        ([archive, "--location", str(tmp_path)], "give one of the two"),
        ([archive, "--vector", "text"], "--vector chooses among the vectors of a collection"),
        ([archive, "--budget", "soon"], "a time budget is written as"),
        ([archive, "--max-ram", "300", "--max-disk", "200"], "allows more than max_disk"),
        (["nowhere", "--location", str(tmp_path)], "no collection 'nowhere'"),
    ]:
        result = RUNNER.invoke(app, ["tune", *arguments], prog_name="octant")
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert "Traceback" not in result.output


def octant(*arguments: str) -> subprocess.Popen[bytes]:
    # Where the tests run in the background a child inherits that Ctrl-C is ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; import sys; from octant.cli.app import main; sys.argv = ['octant', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "tune", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_it_goes_on_from_there(how: signal.Signals, tmp_path: Path) -> None:
    archive, out = npz(tmp_path / "x.npz", count=1_500, dim=48), tmp_path / "out"
    arguments = [archive, "--min-recall", "0.9", "--budget", "60s", "--out", str(out), "--no-report"]
    process = octant(*arguments)
    wait_for_lines(out / FILE, 10, process)
    process.send_signal(how)
    told, said = (stream.decode() for stream in process.communicate(timeout=250))
    kept = (out / FILE).read_text().count("\n")
    assert kept >= 10
    if how == signal.SIGINT:
        assert process.returncode == 0, said
        assert "interrupted: this is the best so far" in told
        assert "goes on from" in said
        assert Study.load(out / "study.json").interrupted
    said = run(archive, "--min-recall", "0.9", "--budget", "1s", "--out", str(out), "--no-report")
    assert "=>" in said or "the closest is" in said
    lines = [json.loads(line) for line in (out / FILE).read_text().splitlines()]
    built = [
        (line["digest"], json.dumps(line["family"]), line["points"]) for line in lines if not line["record"]["answers"]
    ]
    assert len(built) == len(set(built)), "what was measured before the stop was built again"


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 250
    while not path.exists() or path.read_text(errors="replace").count("\n") < count:
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)
