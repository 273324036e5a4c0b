"""Fits the representations of a target on a sample of the source, drawn over all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from octant.artifact import load as load_artifact
from octant.core import Core
from octant.core.fitting import learn
from octant.embedders import Embedder
from octant.errors import InputError, MismatchError
from octant.flow import Flow, step
from octant.identity import describe, same_model
from octant.layout import Stages, StoredPoint
from octant.lifecycle.encode import Encoder
from octant.lifecycle.neighbours import K, Neighbours
from octant.lifecycle.order import Order, Part, embeddings_of
from octant.lifecycle.run import Run
from octant.lifecycle.source import Embeddings, Source
from octant.manifest import Manifest
from octant.records import EmbeddingIdentity, FloatArray
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.store.base import Store
from octant.version import __version__
from octant.work import Work

SAMPLE = 50_000
SAMPLE_NUMBERS = 1 << 25
"""Numbers of a sample, 128 MiB as float32: of wide vectors fewer than ``SAMPLE`` are drawn."""
ASKED = 200
"""Points that are asked for when recall is measured; nothing learns from them."""
TEXT_KEY = "page_content"


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors of one embedding, drawn over the whole collection.

    Attributes
    ----------
    learn : (n, dimension) float32
        To learn from.
    ask : (m, dimension) float32
        To ask for; disjoint from ``learn`` unless there are too few.
    ids : tuple of m int or str
        Of the points that ``ask`` is.
    """

    learn: FloatArray
    ask: FloatArray
    ids: tuple[int | str, ...]


def sample_points(embeddings: Embeddings) -> int:
    """How many points are drawn for a fit."""
    return min(SAMPLE, max(1_000, SAMPLE_NUMBERS // embeddings.dimension))


def draw(source: Source, encoder: Encoder, *, count: int, needed: int, seed: int) -> Flow[Sample]:
    """A sample of about ``count`` vectors; the same one as long as the points stay the same.

    Parameters
    ----------
    source : Source
    encoder : Encoder
        Reads the vectors; it need not be fitted.
    count : int
    needed : int
        Fewest to learn from: nothing is kept out where that would leave less.
    seed : int
    """
    name = encoder.embeddings.stored[-1]
    points = yield from source.store.sample(count, seed=seed, vectors=[name], with_payload=False)
    if len(points) < source.points and sum(name in point.vectors for point in points) < min(count, needed + ASKED):
        # Few points have this vector: draw among those.
        has = {"must": [{"has_vector": name}]}
        points = yield from source.store.sample(count, seed=seed, filter=has, vectors=[name], with_payload=False)
    return (yield from step(lambda: split(encoder, points, needed, seed)))


def split(encoder: Encoder, points: Sequence[StoredPoint], needed: int, seed: int) -> Sample:
    """What to learn from and what to ask for, of ``points``.

    Raises
    ------
    InputError
        If none of them has such a vector.
    VectorValueError
        If one cannot be represented: the ids.
    """
    # By a hash of the id, so that what is asked for stays the same when a few points come or go.
    shuffled = sorted(points, key=lambda point: hashlib.blake2b(f"{seed}:{point.id}".encode()).digest())
    rows, x = encoder.read(shuffled)
    if not rows:
        raise InputError(
            f"no point of the collection has a vector {encoder.embeddings.name!r}: there is nothing to compress"
        )
    asked = min(ASKED, max(1, len(rows) // 10))
    ids = tuple(shuffled[row].id for row in rows[:asked])
    rest = x[asked:] if len(rows) - asked >= max(needed, 1) else x
    return Sample(rest, x[:asked], ids)


# -- the target as its readers will see it -------------------------------------------------------


def cores(
    order: Order, source: Source, target: Store, kept: CollectionSchema, identity: EmbeddingIdentity | None
) -> tuple[Core, ...]:
    """The target's representations, not fitted yet."""
    return tuple(_core(order, part, source, target, kept, identity) for part in order.parts)


def _core(
    order: Order, part: Part, source: Source, target: Store, kept: CollectionSchema, identity: EmbeddingIdentity | None
) -> Core:
    embeddings = embeddings_of(part, source)
    known = embeddings.manifest or next(
        (other.manifest for other in source.embeddings if other.manifest is not None), None
    )
    sparse = [vector.name for vector in (source.schema if order.in_place else kept).sparse]
    sparse_name = known.sparse_name if known and known.sparse_name in sparse else None
    if sparse_name is None and len(sparse) == 1:
        sparse_name = sparse[0]
    recorded = embeddings.manifest.embedding if embeddings.manifest else None
    manifest = Manifest(
        represent=part.represent,
        distance=embeddings.distance,
        dimension=embeddings.dimension,
        embedding=recorded or identity,
        artifact=None,
        vector_name=part.target,
        text_key=order.text_key or (known.text_key if known else TEXT_KEY),
        sparse=known.sparse if known and sparse_name == known.sparse_name else None,
        sparse_name=sparse_name,
        hnsw=part.hnsw,
        seed=order.seed,
        octant=__version__,
        placement=part.placement,
        knobs=part.knobs,
        coverage=part.coverage,
        source=part.name if order.in_place else None,
        foreign_ids=known is None or known.foreign_ids,
    )
    return Core(target, Representation.parse(part.represent), manifest)


def encoder_of(core: Core, embeddings: Embeddings, order: Order) -> Encoder:
    """What encodes a part as its core says."""
    # What is stored does not depend on the engine; how it is asked does (local mode).
    stages = Stages.of(*core.representation.needs(core.dimension, core.distance), core.manifest.vector_name)
    return Encoder(embeddings, core.representation, stages, order.skip_invalid)


def identity_of(model: Embedder | None, order: Order, source: Source) -> Flow[EmbeddingIdentity | None]:
    """Which model made the vectors, where the caller names it.

    Raises
    ------
    InputError
        If it cannot be, or belongs to one of several embeddings.
    MismatchError
        If the source records another one.
    """
    if model is None:
        return None
    if len(order.parts) > 1:
        raise InputError("an embedding (--embedding) makes one vector, and several are compressed: leave it out")
    identity = yield from step(lambda: model.identity)
    embeddings = embeddings_of(order.parts[0], source)
    dimension = embeddings.dimension
    recorded = embeddings.manifest.embedding if embeddings.manifest else None
    reason = None if recorded is None else same_model(recorded, identity)
    if recorded is not None and reason is not None:
        raise MismatchError(
            f"the collection's vectors were made by {describe(recorded)}; got --embedding {describe(identity)}: "
            f"{reason}"
        )
    if identity.dimension not in (None, dimension):
        raise InputError(
            f"the embedding {identity.name} gives {identity.dimension} dimensions, the collection's vectors have "
            f"{dimension}: it cannot have made them"
        )
    return replace(identity, dimension=dimension)


def fit(run: Run, work: Work) -> Flow[tuple[Neighbours, ...]]:
    """Fit what has to learn, or take up what an earlier run fitted; ``run`` can encode afterwards.

    Returns
    -------
    tuple of Neighbours
        For each part, what recall will be measured with.

    Raises
    ------
    TooFewVectorsError, VectorValueError, ArtifactError
    """
    nears = []
    for core, part in zip(run.cores, run.order.parts, strict=True):
        embeddings = embeddings_of(part, run.source)
        if part.target in run.journal.manifests:
            yield from _restore(core, Manifest.from_json(run.journal.manifests[part.target]))
            points = yield from _asked(run, part, embeddings)
            ids, x = _read(encoder_of(core, embeddings, run.order), points)
        else:
            needed = core.representation.vectors_needed(embeddings.dimension)
            reader = encoder_of(core, embeddings, run.order)
            sample = yield from draw(
                run.source, reader, count=sample_points(embeddings), needed=needed, seed=run.order.seed
            )
            yield from run.let_go()
            learned = yield from learn(core, sample.learn, given=run.source.points, work=work)
            core.representation, core.manifest = learned.representation, learned.manifest
            ids, x = sample.ids, sample.ask
            yield from _note(run, part, core.manifest, ids)
        nears.append(Neighbours(x, ids, K, embeddings.distance))
    yield from run.target.drop_checkpoints()
    run.encoders = [
        encoder_of(core, embeddings_of(part, run.source), run.order)
        for core, part in zip(run.cores, run.order.parts, strict=True)
    ]
    if run.journal.phase == "learn":
        yield from run.note(replace(run.journal, phase="copy"))
    return tuple(nears)


def _note(run: Run, part: Part, manifest: Manifest, asked: Sequence[int | str]) -> Flow[None]:
    journal = run.journal
    yield from run.note(
        replace(
            journal,
            manifests={**journal.manifests, part.target: manifest.to_json()},
            asked={**journal.asked, part.target: list(asked)},
        )
    )


def _asked(run: Run, part: Part, embeddings: Embeddings) -> Flow[list[StoredPoint]]:
    """The points that an earlier run put aside, as far as they are there still."""
    wanted = list(run.journal.asked[part.target])
    return (yield from run.source.store.retrieve(wanted, with_payload=False, with_vectors=[embeddings.stored[-1]]))


def _read(encoder: Encoder, points: Sequence[StoredPoint]) -> tuple[tuple[int | str, ...], FloatArray]:
    rows, x = encoder.read(points)
    return tuple(points[row].id for row in rows), x


def _restore(core: Core, manifest: Manifest) -> Flow[None]:
    if manifest.artifact is not None:
        core.representation, _ = load_artifact((yield from core.store.read_artifact(manifest.artifact)))
    core.manifest = manifest
