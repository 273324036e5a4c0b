"""A collection whose fit takes long and keeps checkpoints; run as a script, by a subprocess that is killed.

Usage: python slow_fit.py DIRECTORY SEED SHIFT HOLD

After round HOLD, where it is not 0, the fit waits to be killed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from octant import Collection
from octant.quantizers.reduce import PCA
from octant.work import Work, fingerprint

ROUNDS = 30
FOR_EVER = 600.0
SPEC = "coarse=pca(4)|turbo4; fine=pca(4)|float8"


def learn(codec: Any, x: Any, queries: Any, rng: Any, work: Work) -> dict[str, Any]:
    """Power iteration, a round at a time: each is said, and the basis kept."""
    key = fingerprint("slow", rng, x, queries)
    kept = work.restore(key) or {"round": np.asarray(0), "basis": rng.standard_normal((codec.m, x.shape[1]))}
    basis, first = kept["basis"], int(kept["round"])
    centred = x - x.mean(axis=0)
    for turn in work.steps(range(first, ROUNDS), what="slow pca", total=ROUNDS, first=first):
        basis = np.linalg.qr((basis @ centred.T @ centred).T)[0].T
        work.save(key, {"round": np.asarray(turn + 1), "basis": basis})
        print("round", turn + 1, flush=True)
        if turn + 1 == HOLD:
            time.sleep(FOR_EVER)
    work.done(key)
    return {"mean": x.mean(axis=0), "basis": basis.astype(np.float32), "residual": np.float32(0)}


def vectors(shift: float) -> Any:
    return np.random.default_rng(1).normal(size=(300, 16)).astype(np.float32) + np.float32(shift)


HOLD = int(sys.argv[4]) if __name__ == "__main__" else 0

if __name__ == "__main__":
    PCA._learn = learn
    directory, seed, shift = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with Collection.create("c", location=directory, represent=SPEC, distance="dot", seed=seed, exist_ok=True) as c:
        c.fit(vectors(shift), progress=True)
        print("artifact", c.artifact, flush=True)
