"""What do learned codes buy? Recall at measured bytes against Qdrant's own codes and FAISS's, and error against theory.

Codes learn from one half of the documents; all documents are stored on Edge and asked real queries that no fit has
seen, without rescoring: through a graph, however few they are, and by scanning all codes. Next to ``binary`` at seven
rates stand Qdrant's TurboQuant, binary, scalar and product quantization (these may look at all documents), its turbo
datatypes, trivial controls (principal components under turbo codes; ``rabitq``, signs of rotated principal directions)
and FAISS's OPQ, RQ and ITQ (all codes scanned, no engine). Recall is against exact float32 search.

The bars, for every dataset: (1) recall over TurboQuant's and over rotated signs; (2) bytes that reach TurboQuant's
recall, interpolated; (3) two stages at recall .98: see two_stage.py; (4) nDCG after a fine stage against float32;
(5) squared error, on the half no fit has seen, against the rate-distortion bound of Gaussian vectors.

Every row is kept in benchmark-results/codes.jsonl as soon as it is measured, and the next run goes on from there: stop
it at any time. A row is measured again when its codec's sources or the engine have changed.

Datasets: see codes_data.py. Product quantization takes minutes a row: --skip 'product*' leaves it for another run.
Others to compare: --spec 'recurrent_binary(192, 1)', for one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path

import codes_bars
import codes_faiss
import codes_picture
from codes_data import DATASETS, Halves
from codes_results import Ledger, Result
from codes_rows import Row, Truth, rows
from harness import ROOT, Bar, finish, parser, table
from tqdm import tqdm

Seeds = dict[int, dict[str, Result]]
"""Results of one dataset, by seed and row."""


def main() -> None:
    chosen = arguments()
    ledger = Ledger(chosen.ledger, fresh=chosen.fresh)
    for reason in filter(None, (codes_faiss.missing(), codes_picture.missing())):
        print(f"SKIPPED: {reason}", file=sys.stderr)
    texts, bars, first, stopped = [], [], {}, False
    for name in chosen.dataset or DATASETS:
        results: Seeds = {seed: {} for seed in chosen.seed}
        truth = None
        try:
            truth = Truth.of(Halves.of(DATASETS[name](chosen.cache), chosen.limit))
            measure(truth, chosen, ledger, results)
        except KeyboardInterrupt:
            stopped = True
            print("interrupted: what was measured is kept, the same command goes on from there", file=sys.stderr)
        if truth is not None:
            first[truth.data.name] = results[chosen.seed[0]]
            texts.append(report(truth, results))
            bars += codes_bars.bars(truth.data.name, truth.data.dimension, results[chosen.seed[0]])
        if stopped:
            break
    texts.append("Bar 3, two stages at recall .98: python tests/benchmarks/two_stage.py")
    if not codes_picture.missing() and any(first.values()):
        picture = chosen.ledger.with_suffix(".png")
        codes_picture.draw(first, picture)
        texts.append(f"picture: {picture}")
    finish("codes", "\n".join(texts), as_json(first), [*bars, *missing_bars(stopped)])


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--dataset", action="append", choices=list(DATASETS), help="may be given again; all of them")
    options.add_argument(
        "--rows", action="append", metavar="PATTERN", help="only rows whose names match, e.g. 'turbo*'"
    )
    options.add_argument("--skip", action="append", default=[], metavar="PATTERN", help="all but these")
    options.add_argument("--spec", action="append", default=[], help="measure this too; may be given again")
    options.add_argument("--seed", action="append", type=int, help="of the fits; the bars are about the first; 0")
    options.add_argument("--limit", type=int, help="documents and queries, to try the benchmark out")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--ledger", type=Path, default=ROOT / "benchmark-results" / "codes.jsonl")
    options.add_argument("--fresh", action="store_true", help="forget what was measured before")
    chosen = options.parse_args()
    chosen.seed = chosen.seed or [0]
    return chosen


# -- measuring ------------------------------------------------------------------------------------


def measure(truth: Truth, chosen: argparse.Namespace, ledger: Ledger, results: Seeds) -> None:
    """Fill ``results``, from the ledger where it can be."""
    wanted = [row for row in rows(truth.data.dimension, chosen.spec) if is_wanted(row, chosen)]
    tasks = [(row, seed) for seed in chosen.seed for row in wanted]
    with tqdm(tasks, desc=truth.data.name, unit="row", disable=None if sys.stderr.isatty() else True) as bar:
        for row, seed in bar:
            bar.set_postfix_str(row.name)
            # What learns nothing from us is the same for every seed.
            kept = seed if row.learns else chosen.seed[0]
            result = ledger.find(truth.data.name, row.name, kept, row.version)
            if result is None:
                result = timed(row, truth, kept)
                ledger.add(result)
                cost = "{wall:.0f} s, processor {cpu:.0f} s".format(**result.seconds)
                bar.write(f"{truth.data.name}: {row.name}, seed {kept}: {cost}", sys.stderr)
            results[seed][row.name] = result


def timed(row: Row, truth: Truth, seed: int) -> Result:
    """The result and what it cost: ``wall`` and ``cpu`` seconds, of all threads."""
    began, worked = time.perf_counter(), time.process_time()
    result = row(truth, seed)
    cost = {"wall": time.perf_counter() - began, "cpu": time.process_time() - worked}
    return replace(result, seconds={**(result.seconds or {}), **cost})


def is_wanted(row: Row, chosen: argparse.Namespace) -> bool:
    if row.family == "faiss" and codes_faiss.missing():
        return False
    asked = row.name in chosen.spec or matches(row.name, chosen.rows or ["*"])
    return asked and not matches(row.name, chosen.skip)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# -- reporting ------------------------------------------------------------------------------------

HEADER = ["row", "code B", "RAM B", "disk B", "HNSW", "scan", "nDCG@10", "fit s", "encode s"]


def report(truth: Truth, results: Seeds) -> str:
    data, first = truth.data, next(iter(results.values()))
    title = f"{data.name}: {len(data.documents)} documents, {len(data.queries)} queries, {data.dimension} dimensions"
    parts = [
        f"{title}; recall@10 unless named otherwise",
        table(HEADER, [line(row) for row in sorted(first.values(), key=lambda row: row.code_bytes)]),
        codes_bars.savings_table(first),
        codes_bars.error_table(truth, first),
        codes_bars.spread_table(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def line(row: Result) -> list[str]:
    seconds = row.seconds or {}
    shown = [(value, ".1f") for value in (row.code_bytes, row.ram_bytes, row.disk_bytes)]
    shown += [(row.recall(how), ".4f") for how in ("graph", "scan", "ndcg")]
    shown += [(seconds.get(what), ".1f") for what in ("fit", "encode")]
    return [row.row, *("-" if value is None else format(value, how) for value, how in shown)]


def as_json(datasets: dict[str, dict[str, Result]]) -> dict[str, object]:
    """Means instead of what every single query found; the ledger has that."""
    per_query = ("graph", "scan", "ndcg")
    return {
        "datasets": [
            {
                "dataset": name,
                "rows": [{**asdict(row), **{how: row.recall(how) for how in per_query}} for row in measured.values()],
            }
            for name, measured in datasets.items()
        ]
    }


def missing_bars(stopped: bool) -> list[Bar]:
    return (
        [Bar("the run was not interrupted", "it was: the bars above are about a part", kept=False)] if stopped else []
    )


if __name__ == "__main__":
    main()
