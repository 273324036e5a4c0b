"""What the benchmarks share: where data lies, fair timing, tables and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np

Key = TypeVar("Key")

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = 77
"""Exit status of a benchmark whose data is not there, as automake and meson have it."""


def data_folder(name: str) -> Path:
    """A folder of real data, or the end of the benchmark where it is absent."""
    root = Path(os.environ.get("OCTANT_DATA", ROOT / "../shared/data")).resolve()
    if not (root / name).is_dir():
        skip(f"no {name} under {root}: point OCTANT_DATA at the folder that holds it")
    return root / name


def skip(reason: str) -> NoReturn:
    print(f"SKIPPED: {reason}", file=sys.stderr)
    raise SystemExit(SKIPPED)


@dataclass(frozen=True)
class Ratio:
    """How many times as large something is as the reference, both measured in the same rounds.

    Attributes
    ----------
    value : float
        Median over rounds.
    low, high : float
        95 % bootstrap interval of that median.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def median_interval(values: Sequence[float] | np.ndarray, resamples: int = 4000) -> Ratio:
    """Median of ``values`` (n,) and its bootstrap interval."""
    sample = np.asarray(values, float)
    draws = np.random.default_rng(0).integers(0, len(sample), size=(resamples, len(sample)))
    low, high = np.quantile(np.median(sample[draws], axis=1), [0.025, 0.975])
    return Ratio(float(np.median(sample)), float(low), float(high))


def interleaved(contenders: Mapping[Key, Callable[[], float]], rounds: int) -> dict[Key, np.ndarray]:
    """Seconds (rounds,) of every contender; each round runs all of them, in an order that rotates.

    One round more is run first and thrown away: it pays for imports and cold caches.
    """
    names = list(contenders)
    seconds: dict[Key, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken = contenders[name]()
            if turn:
                seconds[name].append(taken)
    return {name: np.array(taken) for name, taken in seconds.items()}


@dataclass(frozen=True)
class Bar:
    """Something the project promises, and whether this run kept it."""

    promise: str
    measured: str
    kept: bool

    def __str__(self) -> str:
        return f"[{'kept' if self.kept else 'MISSED'}] {self.promise}: {self.measured}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: names to the left, numbers to the right."""
    lines = [list(map(str, header)), *(list(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def finish(name: str, text: str, results: Mapping[str, object], bars: Sequence[Bar]) -> NoReturn:
    """Print the table and the bars, keep both as JSON, and exit with 1 where a bar was missed."""
    report(name, text, results, bars)
    raise SystemExit(0 if all(bar.kept for bar in bars) else 1)


def report(name: str, text: str, results: Mapping[str, object], bars: Sequence[Bar]) -> None:
    """Print the table and the bars, and keep both as JSON."""
    print(text, *bars, sep="\n")
    path = ROOT / "benchmark-results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    kept = {"benchmark": name, "machine": _machine(), **results, "bars": [asdict(bar) for bar in bars]}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"-> {path.relative_to(ROOT)}")


def _machine() -> dict[str, object]:
    packages = ("qdrant-client", "qdrant-edge-py", "langchain-qdrant", "numpy")
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def parser(doc: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
