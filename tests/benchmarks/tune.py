"""Does `octant tune` keep its word? Its intervals on queries it has not seen, and its bytes against hand-made settings.

For each of many seeds, queries are dealt into those that the tuner is given and those that it never sees; the tuner
recommends the cheapest representation with recall@10 of at least .95, and the recommended collection is built on all
documents. Two promises: the true recall, over the unseen queries, lies inside the stated interval in nine seeds of ten
and is not below the bound; and its measured RAM and disk, everything counted, are at most .7 of the best of 15
configurations that an expert would write by hand with Qdrant's own means, each at the least oversampling that does it.

True recall has an error of its own, since unseen queries are a sample too: both counts are printed, the interval as it
is and the interval widened by that error; the bar is about the first.

Datasets: BGE vectors (documents as queries), MS MARCO passages (documents as queries, and what the recommendation finds
for the 97 judged queries), SQuAD, Natural Questions (both with real questions only), Cranfield (its 225 questions, and
the sentences of its documents, titles among them: 225 are too few to deal, and the mean over those that remain unseen
has to be surer than the interval that it is to lie in). Everything but the first is embedded with all-MiniLM-L6-v2.

Every study and every configuration is kept in benchmark-results/tune.jsonl when it is done: the next run goes on from
there. A full run takes 5 datasets x 20 seeds x the budget; --dataset, --seeds and --budget make it smaller. With
--processor-time the budget counts this process's seconds on its cores, both of them together, so that what else the
machine does changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import codes_data
import numpy as np
from harness import ROOT, Bar, data_folder, finish, parser, table
from tqdm import tqdm

from octant import Collection, HnswSettings, SearchKnobs
from octant.datasets import TextDataset, VectorDataset, read_dataset
from octant.quality import ExactSearch
from octant.recommendation import Recommendation
from octant.records import Distance
from octant.statistics import bootstrap_mean
from octant.tuning import study
from octant.tuning.study import Goal
from octant.vectors import unit_rows
from octant.version import __version__

K = 10
ENOUGH = 0.95
OVERSAMPLINGS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0)
NATIVE = (
    "float16", "turbo8", "turbo4", "uint8", "scalar", "turbo(2)", "turbo(1)", "bq(1)",
    "float16|turbo(1)", "float16|bq(1)", "turbo8|turbo(1)", "turbo8|bq(1)", "turbo4|turbo(1)", "turbo4|bq(1)",
)  # fmt: skip
"""With Qdrant's default graph of 16 edges; the fifteenth is turbo4 with 8, the leanest that needs no tuning."""
PACKED = ("turbo4", "turbo4|turbo(1)", "turbo4|bq(1)")
"""Controls beside the fifteen: no graph, and thresholds so low that Qdrant packs every segment. Tuning does that too:
what is left of the ratio is what Octant's own codecs bring."""


# -- data -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pool:
    """Unit vectors.

    Attributes
    ----------
    documents : (n, dim) float32
    queries : (m, dim) float32
        None of them is a document.
    given : int
        Queries that a tuner is given; the others tell the truth.
    judged : (j, dim) float32 or None
        Real queries, to be told beside the others.
    """

    name: str
    documents: np.ndarray
    queries: np.ndarray
    given: int
    judged: np.ndarray | None = None

    def deal(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ``queries`` for the tuner, and the other rows."""
        order = np.random.default_rng(1000 + seed).permutation(len(self.queries))
        return order[: self.given], order[self.given :]


def beir(cache: Path) -> Pool:
    data = codes_data.DATASETS["vectors-beir-queries"](cache)
    return documents_ask("vectors-beir-queries", np.concatenate([data.documents, data.queries]), 2_600, 800)


def msmarco(cache: Path) -> Pool:
    data = codes_data.DATASETS["msmarco-trec-dl-v1"](cache)
    return documents_ask("msmarco-trec-dl-v1", data.documents, 3_000, 800, judged=unit_rows(data.queries))


def documents_ask(name: str, x: np.ndarray, count: int, given: int, judged: np.ndarray | None = None) -> Pool:
    order = np.random.default_rng(0).permutation(len(x))
    x = unit_rows(x)
    return Pool(name, x[np.sort(order[count:])], x[order[:count]], given, judged)


def squad(cache: Path) -> Pool:
    data = read_dataset(data_folder("squad-v1.1-dev"))
    documents = codes_data.DATASETS["squad"](cache).documents
    return people_ask("squad", documents, data.queries, cache)


def nq(cache: Path) -> Pool:
    documents = codes_data.DATASETS["nq-qed"](cache).documents
    train = read_dataset(data_folder("nq-qed"), split="train")
    return people_ask("nq-qed", documents, train.queries, cache)


def people_ask(name: str, documents: np.ndarray, texts: Sequence[str], cache: Path) -> Pool:
    drawn = [texts[i] for i in np.random.default_rng(2).permutation(len(texts))]
    return Pool(name, unit_rows(documents), asked(cache, drawn), 800)


def cranfield(cache: Path) -> Pool:
    data = read_dataset(data_folder("cranfield"))
    embedded = codes_data.embedded(data, cache)
    sentences = {sentence.strip() for text in data.documents for sentence in text.replace("\n", " . ").split(" . ")}
    sentences = sorted({one for one in sentences if 20 < len(one) < 200} - set(data.queries))
    queries = np.concatenate([unit_rows(embedded.queries), asked(cache, sentences)])
    return Pool("cranfield", unit_rows(embedded.documents), queries, 500)


def asked(cache: Path, texts: list[str]) -> np.ndarray:
    ids = tuple(map(str, range(len(texts))))
    return unit_rows(codes_data.embedded(TextDataset("asked", ("0",), ("-",), ids, tuple(texts)), cache).queries)


POOLS: Mapping[str, Callable[[Path], Pool]] = {
    "vectors-beir-queries": beir, "msmarco-trec-dl-v1": msmarco, "squad": squad, "nq-qed": nq, "cranfield": cranfield,
}  # fmt: skip


# -- what is kept -----------------------------------------------------------------------------------


class Ledger:
    """Results by a key of strings and numbers, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            entry = json.loads(line)
            self.known[tuple(entry["key"])] = entry["value"]

    def get(self, key: tuple[object, ...], make: Callable[[], object]) -> object:
        key = (*map(str, key), __version__)
        if key not in self.known:
            self.known[key] = json.loads(json.dumps(make()))
            with self.path.open("a") as stream:
                stream.write(json.dumps({"key": key, "value": self.known[key]}) + "\n")
        return self.known[key]


# -- measuring --------------------------------------------------------------------------------------


@contextmanager
def built(pool: Pool, **settings: object) -> Iterator[Collection]:
    with Collection.create("tuned", **settings) as collection:
        collection.add(vectors=pool.documents, ids=range(len(pool.documents)), optimize=True)
        yield collection


def recalls(pool: Pool, collection: Collection, queries: np.ndarray, knobs: SearchKnobs | None = None) -> list[float]:
    exact = ExactSearch(pool.documents, queries, K, Distance.COSINE)
    found = [[int(one) for one in collection.search(query, k=K, knobs=knobs).ids] for query in queries]
    return [float(value) for value in exact.recall(found, K)]


def sizes(collection: Collection) -> dict[str, float]:
    footprint = collection.footprint()
    return {
        "ram": footprint.per_vector(footprint.ram_bytes),
        "disk": footprint.per_vector(footprint.disk_bytes),
    }


def native(pool: Pool, spec: str, hnsw: HnswSettings) -> dict[str, object]:
    """Recall and bytes, at the least oversampling with which the recall of 1,000 queries is enough."""
    drawn = pool.queries[np.random.default_rng(1).permutation(len(pool.queries))[:1000]]
    with built(pool, represent=spec, hnsw=hnsw) as collection:
        for oversampling in OVERSAMPLINGS if "|" in spec or "(" in spec or spec == "scalar" else (None,):
            knobs = SearchKnobs(oversampling=oversampling)
            per_query = recalls(pool, collection, drawn, knobs)
            if np.mean(per_query) >= ENOUGH:
                break
        return {"recall": float(np.mean(per_query)), "oversampling": oversampling, "m": hnsw.m, **sizes(collection)}


def recommended(pool: Pool, seed: int, budget: float, clock: Callable[[], float]) -> dict[str, object]:
    given, _ = pool.deal(seed)
    ids = tuple(map(str, range(len(pool.documents))))
    data = VectorDataset(pool.name, ids, pool.documents, tuple(map(str, given)), pool.queries[given])
    found = study(data, goal=Goal(k=K, min_recall=ENOUGH), budget=budget, seed=seed, clock=clock)
    return {"recommendation": found.recommendation.to_json(), "seconds": found.seconds, "trials": len(found.trials)}


def truth(pool: Pool, given: Recommendation) -> dict[str, object]:
    """What the recommended collection, built on all documents, really does for every query."""
    with built(pool, recommendation=given) as collection:
        judged = None if pool.judged is None else float(np.mean(recalls(pool, collection, pool.judged)))
        return {"recall": recalls(pool, collection, pool.queries), "judged": judged, **sizes(collection)}


# -- reporting --------------------------------------------------------------------------------------


def main() -> None:
    chosen = arguments()
    ledger = Ledger(chosen.ledger)
    texts, results, bars = [], [], []
    for name in chosen.dataset or POOLS:
        pool = POOLS[name](chosen.cache)
        try:
            natives, seeds = measure(pool, chosen, ledger)
        except KeyboardInterrupt:
            print("interrupted: what was measured is kept, the same command goes on from there", file=sys.stderr)
            break
        text, promises = report(pool, natives, seeds, chosen)
        texts.append(text)
        bars += promises
        results.append({"dataset": name, "native": natives, "seeds": seeds})
    finish("tune", "\n\n".join(texts), {"datasets": results}, bars)


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--dataset", action="append", choices=list(POOLS), help="may be given again; all of them")
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--budget", type=float, default=600.0, help="seconds of every study")
    options.add_argument("--processor-time", action="store_true", help="count the budget in seconds of the processor")
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--ledger", type=Path, default=ROOT / "benchmark-results" / "tune.jsonl")
    return options.parse_args()


def measure(
    pool: Pool, chosen: argparse.Namespace, ledger: Ledger
) -> tuple[dict[str, dict[str, object]], list[dict[str, object]]]:
    natives, seeds = {}, []
    configurations = [(spec, 16, f"{spec}, m 16", HnswSettings()) for spec in NATIVE]
    configurations.append(("turbo4", 8, "turbo4, m 8", HnswSettings(m=8)))
    low = HnswSettings(m=0, full_scan_threshold=10, indexing_threshold=10)
    configurations += [(spec, "packed", f"{spec}, packed", low) for spec in PACKED]
    for spec, key, name, hnsw in tqdm(configurations, desc=f"{pool.name}, by hand", disable=None):
        natives[name] = ledger.get(
            (pool.name, "native", spec, key), lambda spec=spec, hnsw=hnsw: native(pool, spec, hnsw)
        )
    clock, kind = (time.process_time, "processor") if chosen.processor_time else (time.monotonic, "wall")
    for seed in tqdm(range(chosen.seeds), desc=f"{pool.name}, tuned", disable=None):
        study_key = (pool.name, "study", seed, chosen.budget, kind)
        found = ledger.get(study_key, lambda seed=seed: recommended(pool, seed, chosen.budget, clock))
        given = Recommendation.from_json(found["recommendation"])
        config = json.dumps({**given.to_json(), "expected": None, "reference": None}, sort_keys=True)
        real = ledger.get((pool.name, "truth", len(pool.queries), config), lambda given=given: truth(pool, given))
        seeds.append(judged(pool, seed, given, found, real))
    return natives, seeds


def judged(
    pool: Pool, seed: int, given: Recommendation, found: Mapping[str, object], real: Mapping[str, object]
) -> dict[str, object]:
    """One seed: what was stated, and what is true for the queries that this seed's tuner has not seen."""
    _, unseen = pool.deal(seed)
    stated = given.expected[f"recall@{K}"]
    true = bootstrap_mean(np.array(real["recall"])[unseen])
    noise = (true.high - true.low) / 3.92
    half = (stated.high - stated.low) / 3.92
    return {
        "seed": seed, "represent": given.represent, "m": given.hnsw.m, "satisfied": given.satisfied,
        "stated": [stated.value, stated.low, stated.high], "true": [true.value, true.low, true.high],
        "inside": stated.low <= true.value <= stated.high,
        "inside_with_noise": bool(abs(true.value - stated.value) <= 1.96 * np.hypot(noise, half)),
        "holds": true.value >= ENOUGH, "ram": real["ram"], "disk": real["disk"], "judged": real["judged"],
        "seconds": found["seconds"], "trials": found["trials"],
    }  # fmt: skip


def report(
    pool: Pool,
    natives: Mapping[str, Mapping[str, object]],
    seeds: list[dict[str, object]],
    chosen: argparse.Namespace,
) -> tuple[str, list[Bar]]:
    by_hand = table(
        ["by hand", "oversampling", f"recall@{K}", "RAM B", "disk B", "RAM + disk"],
        [
            [name, row["oversampling"] or "-", f"{row['recall']:.4f}", f"{row['ram']:.0f}", f"{row['disk']:.0f}",
             f"{row['ram'] + row['disk']:.0f}"]
            for name, row in sorted(natives.items(), key=lambda item: item[1]["ram"] + item[1]["disk"])
        ],
    )  # fmt: skip
    tuned = table(
        ["seed", "recommended", "m", "stated", "true", "RAM B", "disk B", "RAM + disk", "judged", "s", "trials"],
        [
            [row["seed"], row["represent"], row["m"], _interval(row["stated"]), _interval(row["true"]),
             f"{row['ram']:.0f}", f"{row['disk']:.0f}", f"{row['ram'] + row['disk']:.0f}",
             "-" if row["judged"] is None else f"{row['judged']:.4f}", f"{row['seconds']:.0f}", row["trials"]]
            for row in seeds
        ],
    )  # fmt: skip
    title = f"{pool.name}: {len(pool.documents)} documents, {pool.given} queries given, {len(pool.queries)} in all"
    return "\n".join([title, by_hand, "", tuned]), promises(pool, natives, seeds, chosen)


def promises(
    pool: Pool,
    natives: Mapping[str, Mapping[str, object]],
    seeds: list[dict[str, object]],
    chosen: argparse.Namespace,
) -> list[Bar]:
    count = len(seeds)
    inside, widened = (sum(bool(row[key]) for row in seeds) for key in ("inside", "inside_with_noise"))
    holds = sum(bool(row["holds"]) for row in seeds)
    slowest = max(float(row["seconds"]) for row in seeds)
    good = {name: row["ram"] + row["disk"] for name, row in natives.items() if row["recall"] >= ENOUGH}
    told, ratio = compared(seeds, {name: cost for name, cost in good.items() if "packed" not in name})
    packed, _ = compared(seeds, {name: cost for name, cost in good.items() if "packed" in name})
    return [
        Bar(
            f"{pool.name}: true recall inside the stated interval in at least 90 % of seeds",
            f"{inside} of {count} ({widened} allowing for the error of the truth); at least {ENOUGH} in {holds}",
            inside >= 0.9 * count,
        ),
        Bar(f"{pool.name}: RAM + disk at most .7 of the best by hand", f"{told}; {packed}", ratio <= 0.7),
        Bar(
            f"{pool.name}: a study ends within its budget of {chosen.budget:.0f} s"
            f"{' of the processor' if chosen.processor_time else ''}",
            f"slowest {slowest:.0f} s",
            slowest <= chosen.budget,
        ),
    ]


def compared(seeds: list[dict[str, object]], costs: Mapping[str, float]) -> tuple[str, float]:
    """Bytes of what was recommended over the least of ``costs``, in words and as the median over seeds."""
    if not costs:
        return "none of these keeps enough", float("nan")
    name = min(costs, key=costs.__getitem__)
    ratios = [(row["ram"] + row["disk"]) / costs[name] for row in seeds]
    median = float(np.median(ratios))
    return f"{median:.2f} [{min(ratios):.2f} to {max(ratios):.2f}] of {name} ({costs[name]:.0f} B)", median


def _interval(values: list[float]) -> str:
    return "{:.4f} [{:.3f}, {:.3f}]".format(*values)


if __name__ == "__main__":
    main()
