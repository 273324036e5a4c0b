"""Measuring a family on a sample of one size, on Qdrant Edge."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octant.collection import Collection
from octant.distortion import variances
from octant.evaluate import Protocol, code_distortion, query_ratio
from octant.layout import HnswSettings, SearchKnobs
from octant.quality import ExactSearch, relevance_metrics
from octant.records import Footprint, Placement
from octant.representation import Representation
from octant.tuning.candidates import Family
from octant.tuning.deal import Deal
from octant.tuning.fits import Fits
from octant.tuning.kept import Answers, Ledger, Record

REFERENCE = Family("float32", HnswSettings(16, 100, 1, 1))
ROUNDS = 3
"""How often each timed query is asked."""
_BATCH = 256
_NO_TEXT = "octant.no-text"
"""Payloads bring their texts under the key that their own collection has for them."""
_Sizes: TypeAlias = dict[str, dict[Placement, float]]


class Bench:
    """The first ``size`` documents of a deal, and everything that was measured on them.

    Parameters
    ----------
    deal : Deal
    size : int
    k : int
    seed : int
    ledger : Ledger
    roughly : bool
        Whether it only sorts out what surely fails; see :class:`octant.tuning.fits.Fits`.
    clock : callable
        Seconds that count against the budget. Query times, which are ratios, are always of the wall.
    """

    def __init__(
        self,
        deal: Deal,
        size: int,
        k: int,
        seed: int,
        ledger: Ledger,
        *,
        roughly: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deal, self.size, self.k, self.seed, self.ledger, self.clock = deal, size, k, seed, ledger, clock
        self.documents = deal.documents[:size]
        self.fits = Fits(self.documents, deal.distance, seed, roughly=roughly)

    @cached_property
    def exact(self) -> ExactSearch:
        """The true neighbours of every query."""
        return ExactSearch(self.documents, self.deal.queries, self.k, self.deal.distance)

    @cached_property
    def judged(self) -> bool:
        """Whether every relevant document is in the sample, so that nDCG means something."""
        held = set(self.deal.document_ids[: self.size])
        relevant = (doc for judged in self.deal.qrels.values() for doc, grade in judged.items() if grade > 0)
        return bool(self.deal.qrels) and all(doc in held for doc in relevant)

    @cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Variances of the documents along their principal directions."""
        return variances(self.documents)

    @contextmanager
    def probe(self, family: Family) -> Iterator[Probe]:
        """What is known of ``family``, and the means to ask more of it; built only if that is needed."""
        probe = Probe(self, family)
        try:
            yield probe
        finally:
            probe.close()

    # -- building ----------------------------------------------------------------------------------

    def build(self, family: Family) -> Collection:
        """A temporary collection of all documents under their rows as ids, as Qdrant would hold a large one.

        The sample is packed and its graph is used however small it is: the sample stands for a collection that would
        have both.
        """
        forced = replace(family.hnsw, full_scan_threshold=1, indexing_threshold=1)
        collection = Collection.create(
            "sample", represent=family.represent, distance=self.deal.distance, dimension=self.deal.dimension,
            hnsw=forced, placement=family.placement, seed=self.seed,
        )  # fmt: skip
        try:
            if Representation.parse(family.represent).learns:
                fitted = self.fits.representation(family.represent)
                collection.adopt(fitted, coverage=self.fits.curve(fitted))
            collection.add(vectors=self.documents, ids=range(self.size), optimize=True)
        except BaseException:
            collection.close()
            raise
        return collection

    @cached_property
    def surroundings(self) -> _Sizes:
        """Bytes of ids and payload as the source has them; nothing where it is not a collection."""
        if self.deal.payloads is None:
            return {}
        hnsw = HnswSettings(0, 100, 1, 1)
        with Collection.create(
            "payload",
            represent="float32",
            distance=self.deal.distance,
            dimension=self.deal.dimension,
            hnsw=hnsw,
            text_key=_NO_TEXT,
        ) as collection:
            collection.add(
                vectors=self.documents, ids=self.deal.ids[: self.size], payloads=self.deal.payloads[: self.size],
                optimize=True,
            )  # fmt: skip
            sizes = _sizes(collection.footprint())
        return {name: sizes[name] for name in ("ids", "payload", "payload index") if name in sizes}

    # -- asking ------------------------------------------------------------------------------------

    def ask(self, collection: Collection, knobs: SearchKnobs, count: int) -> Answers:
        """Recall and nDCG of the first ``count`` queries."""
        started = self.clock()
        found: list[list[int]] = []
        for start in range(0, count, _BATCH):
            rankings = collection.search_batch(
                self.deal.queries[start : min(start + _BATCH, count)], self.k, knobs=knobs
            )
            found += [[int(candidate.id) for candidate in ranking] for ranking in rankings]
        seconds = self.clock() - started
        recall = self.exact.recall(found, self.k)
        return Answers(tuple(recall.tolist()), self._ndcg(found), None, seconds)

    def _ndcg(self, found: Sequence[Sequence[int]]) -> tuple[float, ...]:
        if not self.judged:
            return ()
        deal = self.deal
        ndcg, _ = relevance_metrics(
            found, deal.query_ids[: len(found)], deal.document_ids, deal.qrels, k=self.k, relevant=1
        )
        return tuple(ndcg.tolist())

    # -- timing ------------------------------------------------------------------------------------

    @cached_property
    def reference(self) -> Collection:
        """float32 with a graph, kept open to be timed beside the others."""
        return self.build(REFERENCE)

    def ratio(self, collection: Collection, knobs: SearchKnobs) -> float:
        """Query time as a multiple of float32's, measured alternately."""
        protocol = Protocol(self.k, self.deal.distance, None, knobs, 1, ROUNDS, self.seed)
        asked = self.deal.queries[: self.deal.selecting]
        return query_ratio(collection, self.reference, asked, protocol, reference_knobs=SearchKnobs())

    def close(self) -> None:
        """Delete the float32 collection."""
        if "reference" in self.__dict__:
            self.reference.close()
            del self.__dict__["reference"]


class Probe:
    """One family on one sample: answers from the ledger, or from a collection that is built for the first question."""

    def __init__(self, bench: Bench, family: Family) -> None:
        self._bench, self._family = bench, family
        self._collection: Collection | None = None

    @property
    def size(self) -> int:
        """Vectors in the sample."""
        return self._bench.size

    @property
    def record(self) -> Record:
        """Everything that is known."""
        return self._bench.ledger.get(self._family, self._bench.size)

    def build(self) -> Record:
        """What the family weighs; its record says why if it cannot be built."""
        if not self._bench.ledger.knows(self._family, self._bench.size):
            started = self._bench.clock()
            try:
                self._collection = self._bench.build(self._family)
                self._weigh(self._collection, self._bench.clock() - started)
            except Exception as error:  # noqa: BLE001  # whatever a plugin raises must not end the others' tuning
                said = " ".join(str(error).split()) or type(error).__name__
                failed = Record(failed=said, seconds=self._bench.clock() - started)
                self._bench.ledger.put(self._family, self._bench.size, failed)
        return self.record

    def ask(self, knobs: SearchKnobs, count: int) -> Answers:
        """What the first ``count`` queries, or more, find with ``knobs``; the family was built before."""
        known = self.record.answers.get(knobs)
        if known is None or len(known.recall) < count:
            known = self._bench.ask(self._open(), knobs, count)
            self._keep(knobs, known)
        return known

    def time(self, knobs: SearchKnobs) -> float:
        """Query time with ``knobs``, which were asked before, as a multiple of float32's."""
        known = self.record.answers[knobs]
        if known.ratio is None:
            known = replace(known, ratio=self._bench.ratio(self._open(), knobs))
            self._keep(knobs, known)
        return float(known.ratio or 0.0)

    def close(self) -> None:
        """Delete the collection."""
        if self._collection is not None:
            self._collection.close()
            self._collection = None

    def _keep(self, knobs: SearchKnobs, found: Answers) -> None:
        self._bench.ledger.add_answers(self._family, self._bench.size, knobs, found)

    def _open(self) -> Collection:
        if self._collection is None:
            self._collection = self._bench.build(self._family)
        return self._collection

    def _weigh(self, collection: Collection, seconds: float) -> None:
        bench = self._bench
        sizes = {**_sizes(collection.footprint()), **bench.surroundings}
        unseen, distortion = bench.fits.unseen, None
        if collection.representation.coarse.learns and len(unseen):
            distortion = code_distortion(collection.representation, unseen, bench.spectrum, bench.deal.distance)
        named = _named(sizes)
        record = Record(
            components={name: size for name, (_, size) in named.items()},
            held={name: place for name, (place, _) in named.items()},
            ram=sum(size for parts in sizes.values() for place, size in parts.items() if place != "cold"),
            seconds=seconds,
            curve=collection.info().coverage,
            distortion=distortion,
        )
        bench.ledger.put(self._family, bench.size, record)


def _sizes(footprint: Footprint) -> _Sizes:
    sizes: _Sizes = defaultdict(lambda: defaultdict(float))
    for part in footprint.components:
        sizes[part.name][part.placement] += part.bytes
    return {name: dict(parts) for name, parts in sizes.items()}


def _named(sizes: _Sizes) -> dict[str, tuple[Placement, float]]:
    """Components by name; one that lives in two places, as graphs of two vectors may, has two."""
    named: dict[str, tuple[Placement, float]] = {}
    for name, parts in sizes.items():
        for place, size in sorted(parts.items(), key=lambda part: -part[1]):
            named[name if name not in named else f"{name} ({place})"] = (place, size)
    return named
