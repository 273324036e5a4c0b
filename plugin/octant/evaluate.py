"""What does a representation cost in recall, and what does it save? Measured on Qdrant's own engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octant.collection import Collection
from octant.datasets import TextDataset, VectorDataset, read_dataset
from octant.distortion import code_bits, gaussian_bound, variances
from octant.embedders import embedder
from octant.embedding_cache import Role, embed
from octant.errors import InputError
from octant.layout import HnswSettings, SearchKnobs
from octant.oversampling import DEFAULT_COVERAGE
from octant.quality import ExactSearch, PerQuery, per_query
from octant.records import Distance, FloatArray
from octant.report import REFERENCE, Distortion, Reads, Report, Row, differences, estimates
from octant.representation import Representation
from octant.statistics import bootstrap_mean
from octant.vectors import unit_rows
from octant.work import progress_bar

TIMED_QUERIES = 100
"""Queries that are timed, drawn at random where there are more."""
DEEP_READS = 5_000
"""Candidates from which a fine stage is taken to give the answers that it would give from all."""
HELD_OUT = 1000
"""Documents, or a tenth of all where those are fewer, that a learned code is judged by and never learns from."""


@dataclass(frozen=True)
class Protocol:
    """How every representation of one evaluation is built and asked; see :func:`evaluate`."""

    k: int
    distance: Distance
    hnsw: HnswSettings | None
    knobs: SearchKnobs
    relevant: int
    rounds: int
    seed: int


def evaluate(
    dataset: str | Path | TextDataset | VectorDataset,
    represent: str | Sequence[str],
    embedding: object | None = None,
    k: int = 10,
    *,
    split: str | None = None,
    distance: str | Distance = Distance.COSINE,
    hnsw: HnswSettings | None = None,
    knobs: SearchKnobs | None = None,
    relevant: int = 1,
    held_out: float = 0.1,
    rounds: int = 5,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: bool = False,
) -> Report:
    """Build every representation on Qdrant Edge, search it, and compare it with float32.

    Everything that a representation learns it learns from the documents; no fit sees a query. Learned codes that
    Octant decodes as exactly as Qdrant scores them see nine tenths of the documents at least, and the others tell
    their squared error, next to the least that codes of their size could have. recall@k and
    recall@10k are measured against an exact float32 search in numpy, each in a search of its own depth; nDCG@k
    and MRR@k, where the dataset has judgements, in the one of depth ``k``. float32 on the same engine always
    comes first. Segments below Qdrant's thresholds are scanned rather than searched through a graph; pass
    ``hnsw`` to decide otherwise.

    Parameters
    ----------
    dataset : str, Path, TextDataset or VectorDataset
        A BEIR-style folder or a ``.npz`` of vectors, see :mod:`octant.datasets`; or what those read to.
    represent : str or sequence of str
        Specs, e.g. ``"pca(192)|float8"``.
    embedding : optional
        What :func:`octant.embedder` takes. Texts need one, vectors take none.
    k : int
    split : str, optional
    distance : {"cosine", "dot", "euclid", "manhattan"}
    hnsw : HnswSettings, optional
    knobs : SearchKnobs, optional
        Settings of every search, for every representation.
    relevant : int
        Lowest grade that MRR counts as relevant.
    held_out : float
        Share of the vectors of a ``.npz`` that become queries.
    rounds : int
        How often each timed query is asked.
    seed : int
        Of every random draw: held-out queries, fits, timed queries, bootstrap.
    cache_dir : str or Path, optional
        Keep the embeddings of texts there for the next evaluation.
    progress : bool
        Show progress bars on standard error.

    Returns
    -------
    Report

    Raises
    ------
    InputError, SpecError
        If the dataset, a spec or an argument is impossible; nothing is embedded then.

    Examples
    --------
    >>> from octant.datasets import hold_out
    >>> vectors = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    >>> data = hold_out("noise", [str(i) for i in range(300)], vectors)
    >>> report = evaluate(data, "turbo4", rounds=1)
    >>> [row.represent for row in report.rows]
    ['float32', 'turbo4']
    >>> report["float32"].metrics["recall@10"].value
    1.0
    """
    if k < 1 or rounds < 1:
        raise InputError(f"k and rounds must be at least 1, got {k} and {rounds}")
    specs = _specs(represent)
    if isinstance(dataset, str | Path):
        dataset = read_dataset(dataset, split=split, held_out=held_out, seed=seed)
    elif split is not None:
        raise InputError(f"a split is chosen while reading a folder; {dataset.name!r} is already read")
    data = embedded_dataset(dataset, embedding, cache_dir, progress)
    protocol = Protocol(k, Distance.parse(distance), hnsw, knobs or SearchKnobs(), relevant, rounds, seed)
    for spec in specs:
        Representation.parse(spec).check(data.documents.shape[1], protocol.distance)
    return Report(
        data.name, len(data.documents), len(data.queries), data.documents.shape[1],
        tuple(_rows(specs, data, protocol, progress)),
    )  # fmt: skip


def _specs(represent: str | Sequence[str]) -> list[str]:
    """Specs to build beside float32, each once; a typo is found here, before any work is done."""
    asked = [represent] if isinstance(represent, str) else list(represent)
    canonical: dict[str, str] = {}
    for spec in asked:
        canonical.setdefault(Representation.parse(spec).spec, spec)
    canonical.pop(Representation.parse(REFERENCE).spec, None)
    return list(canonical.values())


def embedded_dataset(
    dataset: TextDataset | VectorDataset,
    embedding: object | None,
    cache_dir: str | Path | None,
    progress: bool,
) -> VectorDataset:
    """``dataset`` as vectors: embedded, or read from ``cache_dir`` where it was before.

    Raises
    ------
    InputError
        If texts have no model, or vectors have one.
    """
    model = embedder(embedding)
    if isinstance(dataset, VectorDataset):
        if model is not None:
            raise InputError(f"{dataset.name} already holds vectors: leave the embedding out")
        return dataset
    if model is None:
        raise InputError(f"{dataset.name} holds texts: pass embedding=, e.g. 'sentence-transformers/all-MiniLM-L6-v2'")

    def embedded(role: Role, texts: Sequence[str]) -> FloatArray:
        with progress_bar(len(texts), title=f"embed {role}", unit="text", show=progress) as advance:
            return embed(model, role, texts, folder=cache_dir, progress=advance)

    return VectorDataset(
        dataset.name,
        dataset.document_ids, embedded("documents", dataset.documents),
        dataset.query_ids, embedded("queries", dataset.queries),
        dataset.qrels,
    )  # fmt: skip


# -- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Bench:
    """Everything that stays the same from one representation to the next."""

    data: VectorDataset
    exact: ExactSearch
    protocol: Protocol
    reference: Collection
    baseline: PerQuery

    def row(self, spec: str, collection: Collection, values: PerQuery) -> Row:
        seed, footprint = self.protocol.seed, collection.footprint()
        components: dict[str, float] = {}
        for part in footprint.components:
            components[part.name] = components.get(part.name, 0.0) + footprint.per_vector(part.bytes)
        return Row(
            represent=spec,
            metrics=estimates(values, seed),
            differences=differences(values, self.baseline, seed),
            ram_bytes_per_vector=footprint.per_vector(footprint.ram_bytes),
            disk_bytes_per_vector=footprint.per_vector(footprint.disk_bytes),
            segments=collection.segments(),
            query_ratio=query_ratio(collection, self.reference, self.data.queries, self.protocol),
            components=components,
            distortion=self.distortion(collection.representation),
            reads=self.reads(collection),
        )

    def reads(self, collection: Collection) -> Reads | None:
        """What two stages read for ``k`` answers, and the share it brings of those of ``DEEP_READS`` candidates."""
        curve, k, knobs = collection.info().coverage, self.protocol.k, self.protocol.knobs
        if curve is None:
            return None
        points = len(self.data.documents)
        candidates = curve.candidates(k, points, knobs.coverage or DEFAULT_COVERAGE)
        if knobs.oversampling is not None:
            candidates = ceil(k * knobs.oversampling)
        deep = replace(knobs, coverage=None, oversampling=max(1.0, min(points, max(DEEP_READS, candidates)) / k))
        asked = _drawn(self.data.queries, self.protocol.seed)
        pairs = [
            (set(collection.search(q, k=k, knobs=knobs).ids), set(collection.search(q, k=k, knobs=deep).ids))
            for q in asked
        ]
        shares = [len(found & true) / max(1, len(true)) for found, true in pairs]
        return Reads(candidates, bootstrap_mean(shares, seed=self.protocol.seed))

    def distortion(self, representation: Representation) -> Distortion | None:
        """Of the searched codes, on documents that the fit has not seen; None where that is unknown."""
        documents, distance = self.data.documents, self.protocol.distance
        unseen = held_out(representation, documents, self.protocol)
        if not len(unseen):
            return None
        return code_distortion(representation, _prepared(documents[unseen], distance), self.spectrum, distance)

    @cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Variances of all documents along their principal directions."""
        return variances(_prepared(self.data.documents, self.protocol.distance))

    def build_and_measure(self, spec: str) -> Row:
        with built(spec, self.data.documents, self.protocol) as collection:
            return self.row(spec, collection, _values(collection, self.data, self.exact, self.protocol))


def _rows(specs: Sequence[str], data: VectorDataset, protocol: Protocol, progress: bool) -> Iterator[Row]:
    exact = ExactSearch(data.documents, data.queries, 10 * protocol.k, protocol.distance)
    with (
        built(REFERENCE, data.documents, protocol) as reference,
        progress_bar(1 + len(specs), title="represent", unit="spec", show=progress) as advance,
    ):
        baseline = _values(reference, data, exact, protocol)
        bench = _Bench(data, exact, protocol, reference, baseline)
        yield bench.row(REFERENCE, reference, baseline)
        if advance is not None:
            advance(1)
        for spec in specs:
            yield bench.build_and_measure(spec)
            if advance is not None:
                advance(1)


@contextmanager
def built(spec: str, documents: FloatArray, protocol: Protocol) -> Iterator[Collection]:
    """Put all documents in a temporary Edge collection, fitted and indexed; their rows are their ids."""
    with Collection.create(
        "evaluation", represent=spec, distance=protocol.distance, hnsw=protocol.hnsw, seed=protocol.seed
    ) as collection:
        unseen = held_out(collection.representation, documents, protocol)
        if len(unseen):
            collection.fit(np.delete(documents, unseen, axis=0))
        collection.add(vectors=documents, ids=range(len(documents)), optimize=True)
        yield collection


def held_out(representation: Representation, documents: FloatArray, protocol: Protocol) -> NDArray[np.int64]:
    """Rows of the documents that a fit must not see: none unless they can tell the error of what it learns.

    Too few documents are not divided either: the fit needs all of them.
    """
    count, dim = len(documents), documents.shape[1]
    share = min(HELD_OUT, count // 10)
    exact = code_bits(representation.needs(dim, protocol.distance)[0]) is not None
    if not representation.coarse.learns or not exact or count - share < representation.vectors_needed(dim):
        share = 0
    return np.sort(np.random.default_rng(protocol.seed).permutation(count)[:share])


def code_distortion(
    representation: Representation, unseen: FloatArray, spectrum: NDArray[np.float64], distance: Distance
) -> Distortion | None:
    """What the searched codes lose of vectors that no fit has seen; None where Qdrant makes a code of its own.

    Parameters
    ----------
    representation : Representation
        Fitted.
    unseen : (n, dim) float32
        As codecs get them.
    spectrum : (dim,) float
        Variances of all vectors along their principal directions.
    distance : Distance
    """
    bits, spread = code_bits(representation.needs(unseen.shape[1], distance)[0]), float(spectrum.sum())
    if bits is None or not spread:
        return None
    searched = representation.coarse
    error = float(np.square(unseen - searched.decode(searched.encode(unseen))).sum(axis=1).mean())
    return Distortion(bits, error / spread, gaussian_bound(spectrum, bits) / spread)


def _prepared(x: FloatArray, distance: Distance) -> FloatArray:
    """Vectors as codecs get them."""
    return unit_rows(x) if distance is Distance.COSINE else x


def _values(collection: Collection, data: VectorDataset, exact: ExactSearch, protocol: Protocol) -> PerQuery:
    # Two searches: the deeper one may rescore more candidates, so its first k are not those of a search for k.
    found = {depth: _found(collection, data, depth, protocol.knobs) for depth in (protocol.k, 10 * protocol.k)}
    return per_query(found, data, exact, relevant=protocol.relevant)


def _found(collection: Collection, data: VectorDataset, depth: int, knobs: SearchKnobs) -> list[list[int]]:
    rankings = (collection.search(query, k=depth, knobs=knobs) for query in data.queries)
    return [[int(candidate.id) for candidate in ranking] for ranking in rankings]


def _drawn(queries: FloatArray, seed: int) -> FloatArray:
    return queries[np.random.default_rng(seed).permutation(len(queries))[:TIMED_QUERIES]]


def query_ratio(
    collection: Collection,
    reference: Collection,
    queries: FloatArray,
    protocol: Protocol,
    reference_knobs: SearchKnobs | None = None,
) -> float:
    """Time of a query as a multiple of the reference's; below 1 is faster.

    ``reference_knobs`` are the reference's own settings, where they are not the protocol's.

    Both are asked the same queries (m, dim) alternately, each query ``rounds`` times. A query's fastest time
    counts, because noise only makes it slower; the medians over queries are compared.
    """
    if collection is reference:
        return 1.0
    timed = _drawn(queries, protocol.seed)
    pair = ((collection, protocol.knobs), (reference, reference_knobs or protocol.knobs))
    seconds = np.full((2, len(timed)), np.inf)
    for turn in range(protocol.rounds):
        for i, query in enumerate(timed):
            for which in (0, 1) if (turn + i) % 2 else (1, 0):
                asked, knobs = pair[which]
                start = time.perf_counter()
                asked.search(query, k=protocol.k, knobs=knobs)
                seconds[which, i] = min(seconds[which, i], time.perf_counter() - start)
    ours, theirs = np.median(seconds, axis=1)
    return float(ours / theirs)
