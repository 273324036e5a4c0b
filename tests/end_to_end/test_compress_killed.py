"""A compression killed without warning at any moment: the same command goes on, and nothing is lost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from octant import Collection
from octant.errors import CollectionNotFoundError, UnfinishedError

CHILD = Path(__file__).with_name("compress_child.py")
COUNT, DIM = 8_000, 16
X = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float32)
SPEC = "pca(12)|turbo8"

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


def started(place, order):
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(place), json.dumps(order)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait(process, moment, seconds):
    """Until the bar of a step appears, or for so many seconds after the first one."""
    seen = process.stderr.read(1)  # bars tell that the work has begun: imports are not what is to be killed
    while moment is not None and moment not in seen and process.poll() is None:
        seen += process.stderr.read(1)
    time.sleep(seconds if moment is None else seconds / 10)


def source(place):
    with Collection.create("docs", location=place, represent="float32", dimension=DIM) as made:
        rows = range(COUNT)
        payloads = [{"n": row, "page_content": f"text {row}"} for row in rows]
        made.add(vectors=X, ids=[row if row % 2 else f"d{row}" for row in rows], payloads=payloads, optimize=False)


def state(place, vector_name):
    try:
        Collection.open("docs" if vector_name else "small", location=place, vector_name=vector_name).close()
    except UnfinishedError:
        return "refused"
    except CollectionNotFoundError:
        return "not there"
    return "complete"


@pytest.mark.parametrize("vector_name", ["", "octant"], ids=["into", "in place"])
def test_kills_lose_nothing(tmp_path, vector_name):
    source(tmp_path)
    order = {"represent": SPEC, "in_place": True} if vector_name else {"represent": SPEC, "into": "small"}
    rng, states = random.Random(vector_name), []
    for moment in ("copy:", "verify:", "copy:", None, None):
        process = started(tmp_path, {**order, "progress": True})
        wait(process, moment, rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        states.append(state(tmp_path, vector_name))
        if states[-1] == "complete":
            break
    assert "refused" in states, "no kill hit the middle of the work: the test proves nothing"
    process = started(tmp_path, order)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    report = json.loads(output.splitlines()[-1])
    assert (report["copied"], report["without"]) == (COUNT, {vector_name: 0})
    with Collection.open("docs" if vector_name else "small", location=tmp_path, vector_name=vector_name) as made:
        assert made.count() == COUNT
        wanted = [row if row % 2 else f"d{row}" for row in range(COUNT)]
        found = made.get(wanted, with_vectors=True)
        assert [hit.id for hit in found] == wanted
        assert [(hit.payload["n"], hit.text) for hit in found] == [(row, f"text {row}") for row in range(COUNT)]
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        expected = made.representation.decode(made.representation.encode(unit)[0])
        assert np.abs(np.stack([hit.vector for hit in found]) - expected).max() < 0.02
