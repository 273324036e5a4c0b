"""The rows of the codes benchmark: what is measured, and how one row is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import codes_faiss
import numpy as np
from codes_controls import raw_binary
from codes_data import Halves
from codes_engine import GRAPH, KNOBS, SCAN, stored
from codes_results import Family, Result, version_of

import octant
from octant.distortion import code_bits, gaussian_bound, variances
from octant.quality import ExactSearch, relevance_metrics
from octant.records import Distance
from octant.representation import Representation

K = 10
RELEVANT = 2
WORD = 128
"""Bits of the words in which Qdrant keeps one-bit codes."""
RATES = (0.5, 1.0, 1.5, 2.0)
"""Bits a dimension that the bars speak of."""
ALIGNED = (0.25, 2 / 3, 4 / 3)
"""Further rates, rounded to whole words, for the interpolation."""
REFERENCE = "float32"


@dataclass(frozen=True, eq=False)
class Truth:
    """A dataset, its exact neighbours and the spread that errors are relative to."""

    data: Halves
    exact: ExactSearch
    spectrum: np.ndarray

    @classmethod
    def of(cls, data: Halves) -> Truth:
        exact = ExactSearch(data.documents, data.queries, K, Distance.COSINE)
        return cls(data, exact, variances(data.documents))

    @property
    def variance(self) -> float:
        return float(self.spectrum.sum())

    def recall(self, found: list[list[int]] | np.ndarray) -> list[float]:
        return self.exact.recall(found, K).tolist()

    def ndcg(self, found: list[list[int]]) -> list[float] | None:
        data = self.data
        if not data.qrels:
            return None
        values, _ = relevance_metrics(found, data.query_ids, data.document_ids, data.qrels, k=K, relevant=RELEVANT)
        return values.tolist()

    def bound(self, bits: float) -> float:
        return gaussian_bound(self.spectrum, bits) / self.variance


@dataclass(frozen=True, eq=False)
class Row:
    """Something to measure.

    Attributes
    ----------
    name : str
    family : str
    version : str
    measure : callable
        From truth and seed to all that is known but dataset, seed and version.
    learns : bool
        Whether another seed makes another result.
    """

    name: str
    family: Family
    version: str
    measure: Callable[[Truth, int], Result]
    learns: bool = True

    def __call__(self, truth: Truth, seed: int) -> Result:
        result = self.measure(truth, seed)
        return replace(result, dataset=truth.data.name, row=self.name, seed=seed, version=self.version)


def rows(dim: int, extra: list[str]) -> Iterator[Row]:
    """All rows for vectors of ``dim`` coordinates; ``extra`` specs join the family of ours. The slowest come last."""
    yield on_engine(REFERENCE, "reference")
    yield from (on_engine(f"turbo({bits:g})", "native") for bits in (1, 1.5, 2, 4))
    yield from (on_engine(spec, "ours") for spec in (*map("binary({})".format, rates(dim)), *extra))
    yield two_stage(f"coarse=binary({dim}); fine=turbo8")
    half, quarter = dim // 2, dim // 4
    trivial = [f"rabitq({half})", f"rabitq({dim})", f"pca({quarter})|turbo4"]
    trivial += [f"pca({half})|{coder}" for coder in ("turbo(1)", "turbo(2)", "turbo4")]
    yield from (on_engine(spec, "control") for spec in trivial)
    for bits in (1, 1.5, 2):
        yield on_engine(f"bq({bits:g})", "native", raw_binary(bits, None), estimates=False)
        yield on_engine(f"bq({bits:g}), scalar8 queries", "native", raw_binary(bits, 8), estimates=False)
    yield from (on_engine(spec, "native") for spec in ("scalar", "turbo4", "turbo8"))
    for method in codes_faiss.METHODS:
        most = 2 if method == "OPQ" else 1  # ITQ has one sign a dimension at most, RQ takes too long
        yield from (from_faiss(method, round(rate * dim / 8)) for rate in (0.5, 1, 2) if rate <= most)
    yield from (on_engine(f"product(x{ratio})", "native") for ratio in (64, 32, 16, 8, 4))


def rates(dim: int) -> list[int]:
    """Bits of ``binary``, rising: what the bars speak of, and whole words between for the interpolation."""
    aligned = {WORD * max(1, round(rate * dim / WORD)) for rate in ALIGNED}
    return sorted({round(rate * dim) for rate in RATES} | aligned)


# -- on the engine --------------------------------------------------------------------------------


def on_engine(
    name: str, family: Family, representation: Representation | None = None, *, estimates: bool = True
) -> Row:
    """A representation of one stage, by its spec unless it is given.

    Parameters
    ----------
    estimates : bool
        Whether raw scores estimate the cosine, so that they tell the squared error.
    """
    blank = representation or Representation.parse(name)

    def measure(truth: Truth, seed: int) -> Result:
        fitted, data, seconds = Representation(blank.coarse.blank()), truth.data, {}
        with clock(seconds, "fit"):
            if fitted.learns:
                fitted.fit(data.learn, rng=seed)
        with clock(seconds, "encode"):
            codes, _ = fitted.encode(data.documents)
        with stored(fitted, codes, data.dimension, GRAPH) as built:
            found, seconds["index"] = built.found(data.queries, K), built.index_seconds
            size, width = built.footprint(), built.code_bytes()
        with stored(fitted, codes, data.dimension, SCAN) as built:
            scanned = built.found(data.queries, K)
            bits = code_bits(fitted.needs(data.dimension, Distance.COSINE)[0])
            error = None
            if bits is not None:
                error = squared_error(data.rest, fitted.decode(codes[data.half :]))
            elif estimates:
                error = built.squared_error(data.documents)
        if family == "ours" and bits == data.dimension:
            seconds["index float32"] = index_float32(data)
        rate = bits or 8 * width
        return Result(
            "", "", family, 0, "", width, rate, size.per_vector(size.ram_bytes),
            size.per_vector(size.disk_bytes), truth.recall(found), truth.recall(scanned), truth.ndcg(found),
            None if error is None else error / truth.variance, truth.bound(rate), seconds,
        )  # fmt: skip

    return Row(name, family, version_of(blank), measure, learns=blank.learns)


def two_stage(spec: str) -> Row:
    """A coarse and a fine stage as a collection searches them, with its own choice of candidates."""

    def measure(truth: Truth, seed: int) -> Result:
        data = truth.data
        with octant.Collection.create("codes", represent=spec, hnsw=GRAPH, seed=seed) as collection:
            collection.fit(data.learn)
            collection.add(vectors=data.documents, ids=range(len(data.documents)), optimize=True)
            rankings = collection.search_batch(list(data.queries), K, knobs=octant.SearchKnobs(hnsw_ef=KNOBS.hnsw_ef))
            found = [[int(hit.id) for hit in hits] for hits in rankings]
            size = collection.footprint()
        searched = size.per_vector(sum(part.bytes for part in size.components if part.name == "searched codes"))
        return Result(
            "", "", "two-stage", 0, "", searched, None, size.per_vector(size.ram_bytes),
            size.per_vector(size.disk_bytes), truth.recall(found), None, truth.ndcg(found),
        )  # fmt: skip

    return Row(spec, "two-stage", version_of(Representation.parse(spec)), measure)


def index_float32(data: Halves) -> float:
    """Seconds Edge takes to index the vectors as they are."""
    with stored(Representation.parse(REFERENCE), data.documents, data.dimension, GRAPH) as built:
        return built.index_seconds


# -- without one ----------------------------------------------------------------------------------


def from_faiss(method: str, size: int) -> Row:
    """A FAISS code of ``size`` bytes."""

    def measure(truth: Truth, seed: int) -> Result:
        data, seconds = truth.data, {}
        with clock(seconds, "all"):
            scores, decoded = codes_faiss.METHODS[method](data.learn, data.documents, data.queries, size, seed)
        scanned = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        error = None if decoded is None else squared_error(data.rest, decoded[data.half :]) / truth.variance
        return Result(
            "", "", "faiss", 0, "", float(size), 8 * size,
            scan=truth.recall(scanned), error=error, bound=truth.bound(8 * size), seconds=seconds,
        )  # fmt: skip

    return Row(f"FAISS {method} ({size} B)", "faiss", codes_faiss.version(), measure)


def squared_error(x: np.ndarray, decoded: np.ndarray) -> float:
    return float(np.square(x - decoded).sum(axis=1).mean())


@contextmanager
def clock(seconds: dict[str, float], what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[what] = time.perf_counter() - began
