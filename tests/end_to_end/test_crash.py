"""Kill the process at any moment: reopening finds every acknowledged point."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from octant import Collection

WRITER = """
import sys
import numpy as np
from octant import Collection, HnswSettings

x = np.random.default_rng(0).standard_normal((200_000, 32)).astype(np.float32)
hnsw = HnswSettings(indexing_threshold=1)
with Collection.create("c", location=sys.argv[1], represent="pca(16)|turbo8|turbo(1)", hnsw=hnsw) as c:
    for start in range(0, len(x), 500):
        rows = range(start, start + 500)
        c.add(vectors=x[start : start + 500], ids=rows, payloads=[{"n": i} for i in rows], optimize=False)
        print(start + 500, flush=True)
        if sys.argv[2] == "optimize" and start % 2000 == 1500:
            print("optimizing", flush=True)
            c.optimize()
            print("optimized", flush=True)
"""


def acknowledged_before_kill(directory, mode, wait_for, pause):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), mode], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    acknowledged = 0
    for line in process.stdout:
        if line.strip().isdigit():
            acknowledged = int(line)
        if line.strip() == wait_for:
            break
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:  # what was said between the sign and the kill
        if line.strip().isdigit():
            acknowledged = int(line)
    process.wait()
    process.stdout.close()
    return acknowledged


@pytest.mark.parametrize(
    ("mode", "wait_for", "pause"),
    [("add", "2000", 0.02), ("add", "3500", 0.11), ("optimize", "optimizing", 0.0), ("optimize", "optimizing", 0.05)],
)
def test_every_acknowledged_point_is_there(tmp_path, mode, wait_for, pause):
    acknowledged = acknowledged_before_kill(tmp_path, mode, wait_for, pause)
    assert acknowledged > 0
    x = np.random.default_rng(0).standard_normal((acknowledged, 32)).astype(np.float32)
    with Collection.open("c", location=tmp_path) as c:
        assert c.count() >= acknowledged
        found = c.get(range(acknowledged), with_vectors=True)
        assert [hit.payload["n"] for hit in found] == list(range(acknowledged))
        assert all(hit.vector is not None for hit in found)
        # It goes on as if nothing had happened.
        c.add(vectors=x[:10], ids=range(10))
        c.optimize()
        assert c.search(x[7], k=1)[0].id == 7


def test_a_kill_between_fit_and_first_point(tmp_path):
    code = """
import os, signal, sys
import numpy as np
from octant import Collection
c = Collection.create("c", location=sys.argv[1], represent="pca(4)|turbo8")
c.fit(np.random.default_rng(0).standard_normal((100, 8)))
print(c.artifact, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False)
    with Collection.open("c", location=tmp_path) as c:
        assert c.artifact == done.stdout.strip()
        c.add(vectors=np.eye(8), ids=range(8))
        assert c.count() == 8
