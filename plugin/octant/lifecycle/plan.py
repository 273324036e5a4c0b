"""What a compression would bring, from a sample that is really stored and searched; nothing of it is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from octant.core import Core
from octant.core.fitting import learn
from octant.flow import Flow, step
from octant.layout import StoredPoint
from octant.lifecycle import learn as learning
from octant.lifecycle import recall, sizing
from octant.lifecycle.encode import Encoder, encode
from octant.lifecycle.neighbours import K, Neighbours
from octant.lifecycle.order import Order, embeddings_of
from octant.lifecycle.report import comparison, footprint_json, interval, shown
from octant.lifecycle.source import Source
from octant.lifecycle.target import all_layouts
from octant.records import JSON, EmbeddingIdentity, Footprint
from octant.report import aligned
from octant.schema import CollectionSchema
from octant.statistics import Estimate
from octant.store.base import Store
from octant.units import duration, size
from octant.work import Work

SAMPLE = 10_000
"""Points that a plan reads, encodes, stores and searches."""


@dataclass(frozen=True)
class CompressPlan:
    """What to expect of a compression. Everything but ``before`` is an estimate.

    Attributes
    ----------
    source, target : str
    source_engine, target_engine : {"edge", "server", "local"}
    represent : mapping from vector name in the target to spec
    points, sampled : int
        In the source, and of these how many the estimates come from.
    before, after : Footprint
        Of the source as it is; of the target, multiplied out from the sample.
    free_bytes : int or None
        On the disk of an Edge target.
    seconds : mapping
        By step: ``read``, ``learn``, ``encode``, ``write``, ``index``, ``verify``; measured on the sample, multiplied
        out.
    recall : mapping from vector name in the target to Estimate
        Recall@10 *among the sample*, asked with points that nothing has learned from. Among more points it is lower.
    resumes : bool
        Whether an unfinished target of this very order is there.
    """

    source: str
    target: str
    source_engine: str
    target_engine: str
    represent: Mapping[str, str]
    points: int
    sampled: int
    before: Footprint
    after: Footprint
    free_bytes: int | None
    seconds: Mapping[str, float]
    recall: Mapping[str, Estimate]
    resumes: bool

    def as_json(self) -> dict[str, JSON]:
        """The plan as JSON values."""
        return {
            **asdict(self),
            "before": footprint_json(self.before),
            "after": footprint_json(self.after),
            "recall": {name: estimate.as_json() for name, estimate in self.recall.items()},
        }

    def table(self) -> str:
        """The plan for people."""
        lines = [
            f"{self.points:,} points of {self.source!r} ({self.source_engine}) into {self.target!r} "
            f"({self.target_engine}): an estimate from {self.sampled:,} of them; nothing was written",
            "",
        ]
        for name, spec in self.represent.items():
            found = interval(self.recall[name])
            lines.append(f"{shown(name)}: {spec}, recall@{K} {found} among the {self.sampled:,} sampled")
        steps = [[what, duration(seconds)] for what, seconds in self.seconds.items()]
        lines += ["", *comparison(self.before, self.after), ""]
        lines += aligned([["step", "time"], *steps, ["all", duration(sum(self.seconds.values()))]])
        if self.target_engine != "edge":
            lines.append("writing and indexing were timed on this machine, not on the server")
        if self.free_bytes is not None:
            lines += ["", f"free on the disk of the target: {size(self.free_bytes)}, needed for a while: "
                      f"{size(sizing.HEADROOM * self.after.disk_bytes)}"]  # fmt: skip
        if self.resumes:
            lines += ["", "an unfinished target of this very order is there: the same command without --plan goes on"]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def plan(
    order: Order,
    source: Source,
    target: Store,
    kept: CollectionSchema,
    identity: EmbeddingIdentity | None,
    *,
    free: int | None,
    resumes: bool,
    work: Work,
) -> Flow[CompressPlan]:
    """Read, learn, encode, store and search a sample; the clock runs along.

    Raises
    ------
    TooFewVectorsError, VectorValueError
        If the sample already shows what the compression would refuse.
    """
    clock = _Clock()
    names = [*(embeddings_of(part, source).stored[-1] for part in order.parts), *kept.names]
    points = yield from source.store.sample(
        min(SAMPLE, source.points), seed=order.seed, vectors=list(dict.fromkeys(names)), with_payload=not order.in_place
    )
    clock.tick("read")
    store = yield from sizing.scratch(kept, all_layouts(order, source), source.points)
    try:
        cores = learning.cores(order, source, store, kept, identity)
        encoders, nears = yield from _learned(order, source, cores, points, clock, work)
        encoded = yield from step(lambda: encode(points, encoders, kept))
        clock.tick("encode")
        yield from store.upsert(encoded.batch, batch_size=256)
        clock.tick("write")
        yield from store.optimize()
        clock.tick("index")
        after = sizing.multiplied((yield from store.footprint()), source.points)
        estimates = {}
        for part, core, near in zip(order.parts, cores, nears, strict=True):
            estimates[part.target] = yield from recall.measure(core, near)
    finally:
        yield from store.close()
    factor = source.points / len(points)
    seconds = {what: taken * (1.0 if what == "learn" else factor) for what, taken in clock.seconds.items()}
    seconds["verify"] = 2 * seconds["read"]  # source and target, each once
    return CompressPlan(
        source=order.source,
        target=order.target,
        source_engine=source.store.engine,
        target_engine=target.engine,
        represent={part.target: part.represent for part in order.parts},
        points=source.points,
        sampled=len(points),
        before=(yield from source.store.footprint()),
        after=after,
        free_bytes=free,
        seconds=seconds,
        recall=estimates,
        resumes=resumes,
    )


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def tick(self, what: str, factor: float = 1.0) -> None:
        """Everything since the last tick was ``what``; the whole collection takes ``factor`` times as long."""
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + factor * (now - self._last)
        self._last = now

    def skip(self) -> None:
        """What was done since the last tick belongs to no step."""
        self._last = time.perf_counter()


def _learned(
    order: Order, source: Source, cores: Sequence[Core], points: Sequence[StoredPoint], clock: _Clock, work: Work
) -> Flow[tuple[list[Encoder], list[Neighbours]]]:
    encoders, nears = [], []
    for core, part in zip(cores, order.parts, strict=True):
        embeddings = embeddings_of(part, source)
        reader = learning.encoder_of(core, embeddings, order)
        needed = core.representation.vectors_needed(embeddings.dimension)
        sample = learning.split(reader, points, needed, order.seed)
        learned = yield from learn(core, sample.learn, given=source.points, work=work)
        core.representation, core.manifest = learned.representation, learned.manifest
        whole = min(learning.sample_points(embeddings), source.points)
        clock.tick("learn", max(1.0, whole / len(sample.learn)) if core.representation.learns else 1.0)
        encoder = replace(reader, representation=core.representation)
        near = Neighbours(sample.ask, sample.ids, K, embeddings.distance)
        rows, x = encoder.read(points)
        near.add([points[row].id for row in rows], x)
        encoders.append(encoder)
        nears.append(near)
    clock.skip()
    return encoders, nears
