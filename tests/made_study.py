"""A tuning that never ran: forty candidates with figures such as a real one has, for what shows studies."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.recommendation import Expected, Recommendation
from octant.records import Distance, Placement
from octant.report import Distortion
from octant.tuning.choose import ranked, unmet, violations
from octant.tuning.study import Candidate, Goal, Study, Trial

DIM = 384
#      spec, coded bytes searched, bytes behind them on disk, share of neighbours lost, native, Distortion
SPECS: tuple[tuple[str, float, float, float, bool, Distortion | None], ...] = (
    ("float16", 768, 0, 0.0004, True, None),
    ("turbo8", 388, 0, 0.0021, True, None),
    ("turbo4", 196, 0, 0.031, True, None),
    ("uint8", 384, 0, 0.012, True, None),
    ("scalar", 388, 1536, 0.0011, True, None),
    ("bq(1)", 48, 1536, 0.019, True, None),
    ("bq(2)", 96, 1536, 0.008, True, None),
    ("turbo(1)", 56, 1536, 0.011, True, None),
    ("turbo(2)", 104, 1536, 0.003, True, None),
    ("product(x16)", 96, 1536, 0.021, True, None),
    ("product(x32)", 48, 1536, 0.05, True, None),
    ("pca(192)|turbo8", 196, 0, 0.072, False, None),
    ("pca(192)|turbo4", 100, 0, 0.098, False, None),
    ("truncate(192)|turbo8", 196, 0, 0.24, False, None),
    ("pca(96)|float16", 192, 0, 0.19, False, None),
    ("binary(384)", 48, 196, 0.178, False, Distortion(384, 0.183, 0.112)),
    ("binary(768)", 96, 388, 0.098, False, Distortion(768, 0.082, 0.041)),
    ("rabitq", 48, 196, 0.262, False, Distortion(384, 0.36, 0.112)),
    ("autoencoder(64)|float32", 256, 0, 0.33, False, Distortion(2048, 0.26, 0.0012)),
    ("coarse=binary(128); fine=turbo8", 16, 452, 0.027, False, Distortion(128, 0.471, 0.371)),
    ("coarse=binary(256); fine=turbo8", 32, 500, 0.009, False, Distortion(256, 0.282, 0.203)),
    ("coarse=binary(384); fine=turbo8", 48, 580, 0.004, False, Distortion(384, 0.183, 0.112)),
    ("coarse=binary(384); fine=int8", 48, 584, 0.005, False, Distortion(384, 0.183, 0.112)),
    ("coarse=pca(96)|turbo4; fine=turbo8", 52, 388, 0.016, False, None),
    ("coarse=pca(192)|turbo4; fine=turbo8", 100, 388, 0.006, False, None),
    ("coarse=turbo4; fine=float8", 196, 388, 0.013, False, None),
    ("coarse=rabitq; fine=turbo8", 48, 580, 0.018, False, Distortion(384, 0.36, 0.112)),
)
CHOSEN = "coarse=binary(256); fine=turbo8"
GRAPHS = (4, 6, 8, 12, 16, 24)
QUERIES = 200
TOPICS = ("rotate the signing keys", "deploy to two regions", "read a cold snapshot", "merge two shards", "cap memory")


@lru_cache
def made_study(
    *,
    name: str = "handbook",
    points: int = 10_000_000,
    sample: int = 30_000,
    k: int = 10,
    labels: bool = True,
    texts: bool = True,
    stand_in: bool = False,
    satisfied: bool = True,
    interrupted: bool = False,
    goal: Goal | None = None,
    seed: int = 0,
) -> Study:
    """A study; two calls with the same arguments make equal ones."""
    rng = np.random.default_rng(seed)
    bench = _Bench(points, sample, k, labels, rng)
    goal = goal or Goal(k=k, min_recall=0.97, max_ram=120.0 if satisfied else 12.0)
    reference = bench.trial(Candidate("float32", native=True), 1536, 0, 0.0, None, 2)
    finals = [bench.trial(Candidate(spec, native=native), size, behind, lost, distortion, rung=2 if lost < 0.1 else 1)
              for spec, size, behind, lost, native, distortion in SPECS]  # fmt: skip
    _, size, behind, lost, _, distortion = next(spec for spec in SPECS if spec[0] == CHOSEN)
    series = [
        bench.trial(Candidate(CHOSEN, HnswSettings(m=m), MemoryPlacement(codes="pinned"), SearchKnobs(hnsw_ef=96)),
                    size, behind, lost + 0.09 / m**1.6, distortion, rung=2)
        for m in GRAPHS
    ]  # fmt: skip
    chosen = ranked([*finals, *series], goal)[0]
    small = [bench.trial(trial.candidate, *_sizes(trial.candidate.represent), 0) for trial in finals[::3]]
    trials = (*small, *finals, *series, *_failed(bench))
    recommendation = Recommendation(
        represent=chosen.candidate.represent, hnsw=chosen.candidate.hnsw, placement=chosen.candidate.placement,
        knobs=chosen.candidate.knobs, expected=dict(chosen.at_full_size), reference=dict(reference.at_full_size),
        dimension=DIM, points=points, distance=Distance.COSINE, goal=goal.to_json(),
        satisfied=not violations(chosen.at_full_size, goal),
        unmet=unmet(chosen.at_full_size, goal),
        source="a sample of 30,000 vectors",
    )  # fmt: skip
    return Study(
        name=name, points=points, dimension=DIM, distance=Distance.COSINE, sample=min(sample, points), queries=QUERIES,
        stand_in=stand_in, goal=goal, trials=trials, reference=reference, recommendation=recommendation,
        query_ids=tuple(f"q{i:03d}" for i in range(QUERIES)),
        query_texts=tuple(f"How do I {TOPICS[i % len(TOPICS)]}, variant {i}?" if texts else None
                          for i in range(QUERIES)),
        baseline_per_query=dict(reference.per_query), interrupted=interrupted, seconds=552.4,
        notes=("Edge builds one segment; a server builds several.",),
    )  # fmt: skip


def with_trials(study: Study, *trials: Trial) -> Study:
    """The study with more trials."""
    return replace(study, trials=(*study.trials, *trials))


class _Bench:
    def __init__(self, points: int, sample: int, k: int, labels: bool, rng: np.random.Generator) -> None:
        self.points, self.sample, self.k, self.labels, self.rng = points, min(sample, points), k, labels, rng
        self.difficulty = rng.gamma(0.6, size=QUERIES)
        self.relevance = rng.beta(4, 2, size=QUERIES)

    def trial(
        self,
        candidate: Candidate,
        size: float,
        behind: float,
        lost: float,
        distortion: Distortion | None,
        rung: int,
    ) -> Trial:
        chance = np.clip(1 - lost * self.difficulty / self.difficulty.mean(), 0, 1)
        recall = self.rng.binomial(self.k, chance) / self.k
        per_query = {f"recall@{self.k}": recall}
        if self.labels:
            per_query[f"ndcg@{self.k}"] = np.clip(self.relevance - 0.3 * (1 - recall) * self.rng.random(QUERIES), 0, 1)
        components, held = _parts(candidate, size, behind)
        points = (self.sample // 8, self.sample // 3, self.sample)[rung]
        figures = {name: _expected(values) for name, values in per_query.items()}
        figures |= _bytes(components, held)
        figures["query_time_ratio"] = Expected.certain(_time(candidate))
        full = points < self.points
        at_full_size = {
            name: replace(one, value=one.value - 0.001, low=one.low - 0.004, estimated=True)
            if full and "@" in name and candidate.represent != "float32" else replace(one, estimated=full)
            for name, one in figures.items()
        }  # fmt: skip
        kept = {name: tuple(map(float, values)) for name, values in per_query.items()} if rung == 2 else {}
        return Trial(
            candidate, points, figures, at_full_size, components, held, kept, 4.0 + size / 50, rung, distortion
        )


def _expected(values: np.ndarray) -> Expected:
    mean, error = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return Expected(mean, max(0.0, mean - error), min(1.0, mean + error))


def _time(candidate: Candidate) -> float:
    if candidate.represent == "float32":
        return 1.0
    return (1.31 if candidate.represent.startswith("coarse=") else 0.78) + candidate.hnsw.m / 500


def _sizes(spec: str) -> tuple[float, float, float, Distortion | None]:
    return next((size, behind, lost, distortion) for name, size, behind, lost, _, distortion in SPECS if name == spec)


def _parts(candidate: Candidate, size: float, behind: float) -> tuple[dict[str, float], dict[str, Placement]]:
    two_stage, graph = candidate.represent.startswith("coarse="), 3.4 * candidate.hnsw.m + 6.0
    components = {"searched codes": size, "graph": graph, "ids": 12.0, "payload": 310.0, "bookkeeping": 1.5}
    held: dict[str, Placement] = {
        "searched codes": "pinned" if behind else "cached", "graph": "cached", "ids": "cached", "payload": "cold",
        "bookkeeping": "cold",
    }  # fmt: skip
    if behind:
        name = "rescoring codes" if two_stage else "originals"
        components[name], held[name] = behind, "cold"
    return components, held


def _bytes(components: dict[str, float], held: dict[str, Placement]) -> dict[str, Expected]:
    ram = sum(size for name, size in components.items() if held[name] != "cold")
    return {
        "ram_bytes_per_vector": Expected.certain(ram),
        "disk_bytes_per_vector": Expected.certain(sum(components.values())),
    }


def _failed(bench: _Bench) -> list[Trial]:
    reasons = {
        "umap(32)|turbo8": "umap(32) needs the module 'umap': pip install 'qdrant-octant[umap]'",
        "bq(2, symmetric)": "the fit ran out of its share of the time budget",
    }
    return [Trial(Candidate(spec), bench.sample // 8, {}, {}, {}, {}, {}, 0.2, 0, None, reason)
            for spec, reason in reasons.items()]  # fmt: skip
