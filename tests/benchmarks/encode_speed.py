"""How long do learned binary codes take to make? Against the time that Edge takes to index the same vectors.

The vectors are the passages of ``msmarco-trec-dl-v1``, embedded with all-MiniLM-L6-v2, and as many slightly moved
copies of them as ``--count`` asks for: a search for bits is not the faster for having seen the original. Encoding runs
in numpy and, where the extra ``fast`` is installed, in compiled code; both make the same codes, which is checked.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from codes_engine import GRAPH, stored
from formats import DATASETS
from harness import Bar, finish, interleaved, median_interval, parser, table

from octant import quantizer
from octant.quantizers import binary_sweep
from octant.representation import Representation
from octant.vectors import unit_rows

MOVED = 0.02
"""Length of the noise on a copy of a unit vector."""
SAMPLE = 5_000
INDEX = "Edge index, float32"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--count", type=int, default=100_000, help="vectors to encode and to index")
    options.add_argument("--bits", type=int, action="append", help="instead of 384 and 768")
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    data, _ = DATASETS["msmarco-trec-dl-v1"](chosen.cache)
    x = many(unit_rows(data.documents), chosen.count)
    widths = chosen.bits or [384, 768]
    contenders: dict[str, Callable[[], float]] = {INDEX: lambda: index(x)}
    for bits in widths:
        contenders |= encoders(bits, x)
    seconds = interleaved(contenders, chosen.rounds)
    rows, bars, ratios = [], [], {}
    for name, taken in seconds.items():
        ratio = median_interval(taken / seconds[INDEX])
        ratios[name] = {"seconds": taken.tolist(), "ratio": vars(ratio)}
        rows.append([name, f"{np.median(taken):.1f}", ratio])
        if name.startswith(f"binary({x.shape[1]})"):
            promise = f"{name} encodes {len(x):,} vectors in less time than Edge takes to index them"
            bars.append(Bar(promise, f"{ratio} of it", ratio.high < 1))
    text = f"{len(x):,} vectors of {x.shape[1]} coordinates, {os.cpu_count()} cores, {chosen.rounds} rounds\n" + table(
        ["", "seconds, median", "of Edge's"], rows
    )
    finish("encode_speed", text, {"count": len(x), "contenders": ratios}, bars)


def many(x: np.ndarray, count: int) -> np.ndarray:
    """``count`` unit rows: those of ``x``, then moved copies of them."""
    rng = np.random.default_rng(0)
    copies = x[np.arange(count) % len(x)]
    noise = rng.standard_normal(copies.shape, dtype=np.float32) * np.float32(MOVED / np.sqrt(x.shape[1]))
    noise[: len(x)] = 0
    return unit_rows(copies + noise)


def index(x: np.ndarray) -> float:
    """Seconds from vectors to a searchable shard."""
    with stored(Representation.parse("float32"), x, x.shape[1], GRAPH) as built:
        return built.index_seconds


def encoders(bits: int, x: np.ndarray) -> dict[str, Callable[[], float]]:
    codec = quantizer(f"binary({bits})").fit(x[:: max(1, len(x) // SAMPLE)])
    kept: list[np.ndarray] = []

    def encode() -> float:
        start = time.perf_counter()
        codes = codec.encode(x)
        seconds = time.perf_counter() - start
        if kept and not np.array_equal(kept[0], codes):
            raise SystemExit(f"binary({bits}): numpy and numba made different codes")
        kept[:] = [codes]
        return seconds

    def encode_in_numpy() -> float:
        with patch.object(binary_sweep, "compiled", lambda: None):
            return encode()

    found = {f"binary({bits}), numpy": encode_in_numpy}
    return found if binary_sweep.compiled() is None else {**found, f"binary({bits}), numba": encode}


if __name__ == "__main__":
    main()
