"""Recall against bytes a vector, one panel a dataset: ours, Qdrant's own, FAISS's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from codes_bars import HOW, Rows

COLOURS = {"ours": "tab:red", "native": "tab:blue", "control": "tab:gray", "faiss": "tab:green"}
TITLES = {"ours": "binary", "native": "Qdrant", "control": "controls", "faiss": "FAISS"}


def missing() -> str | None:
    """Why there can be no picture, or None."""
    if find_spec("matplotlib") is None:
        return "no picture: matplotlib is not installed: pip install 'qdrant-octant[benchmarks]'"
    return None


def draw(datasets: Mapping[str, Rows], path: Path) -> None:
    """Through the graph above, scanning all codes below; at the bytes of the searched codes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    size = (5.5 * len(datasets), 9)
    figure, panels = plt.subplots(len(HOW), len(datasets), figsize=size, squeeze=False, layout="constrained")
    for column, (name, rows) in enumerate(datasets.items()):
        for line, (how, title) in enumerate(HOW.items()):
            panel(panels[line][column], rows, how)
            panels[line][column].set_title(f"{name}, {title}")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def panel(axes: object, rows: Rows, how: str) -> None:
    for family, colour in COLOURS.items():
        shown = [row for row in rows.values() if row.family == family and row.recall(how) is not None]
        points = sorted((row.code_bytes, row.recall(how), row.row) for row in shown)
        if not points:
            continue
        x, y, names = zip(*points, strict=True)
        axes.plot(x, y, "o-" if family == "ours" else "o", color=colour, markersize=4, label=TITLES[family])
        for row in zip(x, y, names, strict=True):
            axes.annotate(row[2], row[:2], xytext=(4, -7), textcoords="offset points", fontsize=5.5, color=colour)
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    ticks = [2**power for power in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("bytes a vector, searched codes")
    axes.set_ylabel("recall@10, not rescored")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
