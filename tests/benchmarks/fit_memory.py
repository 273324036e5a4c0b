"""How much memory does a fit take whose vectors are a file? A million of them by default, 3 GB on disk.

The vectors are made up, of falling variance along random directions as embeddings have them. They are fitted in a
process of its own, from a memory map; what is measured is the peak of its resident memory, pages of the file included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Bar, finish, parser, table

from octant import quantizer

GIB = 2**30
MOST = 4 * GIB
ROWS = 20_000
"""Vectors that are made and written at a time."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--dim", type=int, default=768)
    options.add_argument("--spec", action="append", help="instead of binary(768) and pca(256)|binary(256)")
    options.add_argument("--dtype", choices=("float32", "float16"), action="append", help="instead of float32")
    options.add_argument("--folder", type=Path, help="where the file is made; a temporary folder by default")
    options.add_argument("--fit", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.fit:
        print(json.dumps(fitted(**json.loads(chosen.fit))))
        return
    specs = chosen.spec or ["binary(768)", "pca(256)|binary(256)"]
    results = []
    for dtype in chosen.dtype or ["float32"]:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            path = Path(folder) / "vectors"
            write(path, chosen.count, chosen.dim, dtype)
            results += [in_a_process(spec, path, chosen.count, chosen.dim, dtype) for spec in specs]
    rows = [
        [one["spec"], one["dtype"], f"{one['seconds']:.0f}", f"{one['peak'] / GIB:.2f}", f"{one['before'] / GIB:.2f}"]
        for one in results
    ]
    header = ["fit", "file of", "seconds", "peak GiB", "GiB before the fit"]
    bars = [
        Bar(f"{one['spec']} of {chosen.count:,} x {chosen.dim} {one['dtype']} stays under {MOST / GIB:.0f} GiB",
            f"{one['peak'] / GIB:.2f} GiB", one["peak"] < MOST)
        for one in results
    ]  # fmt: skip
    finish("fit_memory", table(header, rows), {"count": chosen.count, "dim": chosen.dim, "fits": results}, bars)


def write(path: Path, count: int, dim: int, dtype: str) -> None:
    """``count`` vectors of about unit length, as plain rows of ``dtype``."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    spread = (1 + np.arange(dim, dtype=np.float32)) ** -0.5
    basis = directions * (spread / np.linalg.norm(spread))
    with path.open("wb") as stream:
        for first in range(0, count, ROWS):
            rows = rng.standard_normal((min(ROWS, count - first), dim), dtype=np.float32) @ basis.T
            stream.write(rows.astype(dtype).tobytes())


def in_a_process(spec: str, path: Path, count: int, dim: int, dtype: str) -> dict:
    arguments = {"spec": spec, "path": str(path), "count": count, "dim": dim, "dtype": dtype}
    done = subprocess.run(
        [sys.executable, __file__, "--fit", json.dumps(arguments)], stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


def fitted(spec: str, path: str, count: int, dim: int, dtype: str) -> dict:
    """What a fit of ``spec`` on the file at ``path`` takes, in seconds and bytes."""
    x = np.memmap(path, dtype=dtype, mode="r", shape=(count, dim))
    before, started = peak(), time.perf_counter()
    codec = quantizer(spec).fit(x)
    seconds = time.perf_counter() - started
    error = float(np.square(x[:1000] - codec.decode(codec.encode(x[:1000]))).mean() / np.square(x[:1000]).mean())
    return {"spec": spec, "dtype": dtype, "seconds": seconds, "before": before, "peak": peak(), "squared_error": error}


def peak() -> int:
    """Bytes of the most memory that was resident so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss on from the parent; this is the process's own.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
