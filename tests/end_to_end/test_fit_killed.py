"""A fit killed without warning: nothing of it is in use, and the next one goes on to the very same end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octant import Collection
from octant.errors import ArtifactError, NotFittedError

SCRIPT = Path(__file__).with_name("slow_fit.py")

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


def command(place: Path, seed: int = 0, shift: float = 0.0, hold: int = 0) -> list[str]:
    return [sys.executable, str(SCRIPT), str(place), str(seed), str(shift), str(hold)]


def killed(place: Path, after: int) -> None:
    order = command(place, hold=after)
    process = subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == f"round {after}":
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed: the test proves nothing"


def finished(place: Path, **options: float) -> tuple[list[int], str]:
    """Rounds that were gone through, and the artifact."""
    done = subprocess.run(command(place, **options), capture_output=True, text=True, check=True)  # type: ignore[arg-type]
    assert "slow pca" in done.stderr
    lines = done.stdout.split("\n")
    rounds = [int(line.split()[1]) for line in lines if line.startswith("round")]
    return rounds, next(line.split()[1] for line in lines if line.startswith("artifact"))


def checkpoints(place: Path) -> list[Path]:
    return list((place / "c" / "fit").glob("*"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    rounds, artifact = finished(tmp_path_factory.mktemp("whole"))
    assert rounds == list(range(1, 31))
    return artifact


def test_the_next_fit_resumes_and_ends_as_if_nothing_had_happened(tmp_path: Path, uninterrupted: str) -> None:
    killed(tmp_path, after=12)
    assert len(checkpoints(tmp_path)) == 1
    with Collection.open("c", location=tmp_path) as c:
        assert not c.info().fitted
        assert c.artifact is None
        with pytest.raises(NotFittedError, match="call fit"):
            c.search([0.0] * 16)
    rounds, artifact = finished(tmp_path)
    assert rounds == list(range(13, 31))
    assert artifact == uninterrupted
    assert not (tmp_path / "c" / "fit").exists()


def test_another_fit_starts_from_the_beginning(tmp_path: Path, uninterrupted: str) -> None:
    killed(tmp_path, after=3)
    rounds, artifact = finished(tmp_path, shift=1.0)
    assert rounds == list(range(1, 31))
    assert artifact != uninterrupted
    assert not (tmp_path / "c" / "fit").exists()


def test_a_damaged_checkpoint_stops_the_fit_by_name(tmp_path: Path, uninterrupted: str) -> None:
    killed(tmp_path, after=3)
    (path,) = checkpoints(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{ArtifactError.__name__}: the checkpoint {path} is damaged" in done.stderr
    assert "delete it, and the fit starts from the beginning" in done.stderr
    path.unlink()
    assert finished(tmp_path) == (list(range(1, 31)), uninterrupted)
