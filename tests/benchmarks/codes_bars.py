"""The bars for learned codes: what was promised of recall, bytes, relevance and error, and by how much it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from codes_results import Result
from codes_rows import REFERENCE, WORD, Truth
from harness import Bar, table

from octant.statistics import paired_difference

HOW = {"graph": "HNSW", "scan": "scan"}
RESAMPLES = 1000
BYTES_RATIO, MOONSHOT = 1.5, 2.0
LLOYD_MAX = {1: 0.3634, 2: 0.1175, 4: 0.009497}
"""Error of the best scalar quantizer of a Gaussian of variance 1 at so many bits (Max 1960, table I).

TurboQuant's idea: after a random rotation the coordinates of a centred vector are nearly Gaussian, of one variance.
"""
MOST_BITS = 4.5
"""A dimension; beyond that the bound is too small to compare with."""

Rows = Mapping[str, Result]
"""Results of one dataset from one seed, by row."""


def bars(name: str, dim: int, rows: Rows) -> list[Bar]:
    """Bars 1, 2 and 4, and that of encoding speed, as far as their rows were measured."""
    checks = [gain(name, rows, *pair, how) for pair in pairs(dim) for how in HOW if ready(rows, pair[:2], how)]
    for native in ("turbo(1)", "turbo(2)"):
        checks += [fewer_bytes(name, rows, native, how) for how in HOW if ready(rows, [native], how) and ours(rows)]
    checks += relevance(name, dim, rows)
    learned = rows.get(f"binary({dim})")
    if learned and learned.seconds and "index float32" in learned.seconds:
        ratio = learned.seconds["encode"] / learned.seconds["index float32"]
        checks.append(Bar(f"{name}: encoding takes less time than Edge's indexing", f"{ratio:.2f} of it", ratio < 1))
    return checks


def pairs(dim: int) -> list[tuple[str, str, float]]:
    """Bar 1: ours, theirs, and the recall that ours must be ahead by."""
    return [
        (f"binary({dim})", "turbo(1)", 0.06),
        (f"binary({2 * dim})", "turbo(2)", 0.03),
        (f"binary({dim // 2})", f"rabitq({dim // 2})", 0.03),
    ]


def ready(rows: Rows, names: Sequence[str], how: str) -> bool:
    return all(name in rows and rows[name].recall(how) is not None for name in names)


def gain(name: str, rows: Rows, ours_: str, theirs: str, least: float, how: str) -> Bar:
    difference = paired_difference(getattr(rows[ours_], how), getattr(rows[theirs], how))
    measured = (
        f"{difference.value:+.4f} [{difference.low:+.3f}, {difference.high:+.3f}], {surplus(difference.value - least)}"
    )
    return Bar(f"{name}, {HOW[how]}: recall of {ours_} over {theirs} by {least}", measured, difference.value >= least)


def surplus(difference: float) -> str:
    return f"{abs(difference):.4f} {'more than' if difference >= 0 else 'short of'} the bar"


# -- bytes ----------------------------------------------------------------------------------------


class Saving(NamedTuple):
    """How many times the bytes of ours another row takes at its recall, with the bootstrap interval.

    ``within`` is False where its recall lies outside of what ours was measured at: below, the ratio is a lower
    bound; above, it is 0, and no measured rate of ours is enough.
    """

    value: float
    low: float
    high: float
    within: bool

    def __str__(self) -> str:
        if not self.within and not self.value:
            return "not reached at any rate"
        return f"{'' if self.within else '>= '}{self.value:.2f}x [{self.low:.2f}, {self.high:.2f}]"


def ours(rows: Rows) -> list[Result]:
    """``binary`` at every rate but for those that pad to another's words, by size."""
    codes = [row for row in rows.values() if row.family == "ours" and row.row.startswith("binary(")]
    fullest = {-(-row.bits // WORD): row for row in sorted(codes, key=lambda row: row.bits)}
    return [fullest[words] for words in sorted(fullest)]


def fewer_bytes(name: str, rows: Rows, native: str, how: str) -> Bar:
    codes, ram = (saving(rows, native, how, what) for what in ("code_bytes", "ram_bytes"))
    moonshot = ", moonshot kept" if codes.value >= MOONSHOT else ""
    short = f"{abs(codes.value / BYTES_RATIO - 1):.0%} {'above' if codes.value >= BYTES_RATIO else 'below'} the bar"
    promise = f"{name}, {HOW[how]}: the recall of {native} at 1/{BYTES_RATIO} of its code bytes"
    return Bar(promise, f"{codes}, {short}{moonshot}; of all RAM {ram}", codes.value >= BYTES_RATIO)


def saving(rows: Rows, native: str, how: str, what: str) -> Saving:
    """The row's bytes over those at which ours, interpolated, reaches its recall."""
    ladder, theirs = ours(rows), rows[native]
    sizes = np.array([getattr(row, what) for row in ladder])
    found = np.array([getattr(row, how) for row in ladder] + [getattr(theirs, how)])
    queries = found.shape[1]
    draws = np.random.default_rng(0).multinomial(queries, np.full(queries, 1 / queries), size=RESAMPLES) / queries
    value = getattr(theirs, what) / bytes_to_reach(sizes, found[:-1].mean(axis=1), found[-1].mean())
    ratios = []
    for recalls in draws @ found.T:
        ratios.append(getattr(theirs, what) / bytes_to_reach(sizes, recalls[:-1], recalls[-1]))
    low, high = np.quantile(ratios, [0.025, 0.975])
    means = found.mean(axis=1)
    return Saving(value, float(low), float(high), bool(means[0] <= means[-1] <= means[:-1].max()))


def bytes_to_reach(sizes: np.ndarray, recalls: np.ndarray, target: float) -> float:
    """Bytes at which codes of ``sizes``, rising, with ``recalls`` reach ``target``.

    Logarithms of bytes are linear in recall between two measured rates. Below the smallest it is the smallest,
    beyond what is reached it is infinite.
    """
    # A larger code that finds less than a smaller one is never chosen.
    reached = np.maximum.accumulate(recalls)
    if target > reached[-1]:
        return float("inf")
    at = int(np.searchsorted(reached, target))
    if at == 0:
        return float(sizes[0])
    share = (target - reached[at - 1]) / (reached[at] - reached[at - 1])
    return float(np.exp((1 - share) * np.log(sizes[at - 1]) + share * np.log(sizes[at])))


def savings_table(rows: Rows) -> str:
    """Every native setting against ours at its recall."""
    if not ours(rows):
        return ""
    lines = []
    for row in rows.values():
        if row.family in ("native", "control") and row.graph is not None:
            cells = [str(saving(rows, row.row, how, what)) for how in HOW for what in ("code_bytes", "ram_bytes")]
            lines.append([row.row, *cells])
    header = ["binary reaches the recall of", *(f"{HOW[how]}: {what}" for how in HOW for what in ("code B", "RAM B"))]
    return table(header, lines) if lines else ""


# -- relevance ------------------------------------------------------------------------------------


def relevance(name: str, dim: int, rows: Rows) -> list[Bar]:
    """Bar 4, promised of msmarco-trec-dl-v1."""
    spec = f"coarse=binary({dim}); fine=turbo8"
    values = [rows[row].ndcg for row in (spec, REFERENCE) if row in rows]
    if not name.startswith("msmarco-trec-dl-v1") or len(values) < 2 or None in values:
        return []
    one = paired_difference(*values)
    measured = f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}] of {np.mean(values[1]):.4f}"
    return [Bar(f"{name}: nDCG@10 of {spec} within the noise of float32", measured, one.low <= 0 <= one.high)]


# -- error against theory -------------------------------------------------------------------------


def error_table(truth: Truth, rows: Rows) -> str:
    """Bar 5: squared error over the variance, and how many times the bound it is, by rate."""
    dim = truth.data.dimension
    known = [row for row in rows.values() if row.error is not None and row.bits <= MOST_BITS * dim]
    measured = [(row.bits, row.row, row.error) for row in known]
    theory = [(bits * dim, f"scalar codes of Gaussians, formula ({bits})", lost) for bits, lost in LLOYD_MAX.items()]
    lines = []
    for bits, row, error in sorted([*measured, *theory]):
        bound = truth.bound(bits)
        lines.append([row, f"{bits / dim:.2f}", f"{error:.4f}", f"{bound:.4f}", f"{error / bound:.2f}"])
    return table(["squared error over variance", "bits/dim", "error", "bound", "error/bound"], lines)


def spread_table(seeds: Mapping[int, Rows]) -> str:
    """How much of ours depends on the seed of the fit."""
    if len(seeds) < 2:
        return ""
    lines = []
    for name, first in next(iter(seeds.values())).items():
        runs = [rows[name] for rows in seeds.values() if name in rows]
        if first.family in ("ours", "control") and len(runs) > 1:
            shown = [[run.recall(how) for run in runs] for how in HOW]
            errors = [run.error for run in runs if run.error is not None]
            columns = [*shown, errors]
            lines.append([name, len(runs), *(f"{np.mean(c):.4f} ± {np.std(c, ddof=1):.4f}" for c in columns)])
    return table(["over seeds", "fits", "HNSW", "scan", "error"], lines) if lines else ""
