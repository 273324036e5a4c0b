"""What a collection learns from its first vectors, and keeps."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from octant import artifact as artifacts
from octant import coverage, envelope
from octant.core.core import Core
from octant.errors import InputError, MismatchError, StoreError
from octant.flow import Flow, step
from octant.manifest import Manifest
from octant.oversampling import CoverageCurve
from octant.records import FitReport, FloatArray
from octant.representation import Representation
from octant.work import QUIET, Work

_JUDGED = 10_000
"""Vectors, about, that the squared error is measured on: more say the same and take long to encode."""


def fit(
    core: Core, sample: FloatArray, queries: FloatArray | None = None, *, given: int | None = None, work: Work = QUIET
) -> Flow[FitReport]:
    """Fit the representation on prepared vectors, and keep what it learned beside the collection.

    Parameters
    ----------
    core : Core
    sample : (n, dim) float32
    queries : (m, dim) float32, optional
    given : int, optional
        How many vectors the sample was drawn from, where that was done already.
    work : Work
        Checkpoints go to the folder that the store has for them where ``work`` names none.

    Raises
    ------
    InputError
        If points are stored already: their codes would lose their meaning.
    TooFewVectorsError
    """
    if core.representation.fitted and core.manifest.artifact is not None and (yield from core.store.count()):
        raise InputError(
            f"the collection holds points encoded with artifact {core.manifest.artifact[:12]}; a new fit would "
            "make them unreadable: create another collection for it"
        )
    learned = yield from learn(core, sample, queries, given=given, work=work)
    # The artifact is there before the manifest names it, and both before the first code is written.
    yield from core.store.write_manifest(learned.manifest.to_json())
    core.representation, core.manifest = learned.representation, learned.manifest
    yield from core.store.drop_checkpoints()
    return learned.report


def adopt(core: Core, fitted: Representation, curve: CoverageCurve | None) -> Flow[None]:
    """Take over what a fit elsewhere has learned, and keep it beside the collection.

    Raises
    ------
    InputError
        If points are stored already, or ``fitted`` has learned nothing yet.
    MismatchError, DimensionError
        If it is another representation, or of another dimension.
    """
    wanted = core.representation.spec
    if fitted.spec != wanted:
        raise MismatchError(f"the collection stores {wanted!r}, got a fitted {fitted.spec!r}: create it with that spec")
    if not fitted.fitted:
        raise InputError(f"{wanted!r} has learned nothing yet: call its fit first")
    fitted.check(core.dimension, core.distance)
    if (yield from core.store.count()):
        raise InputError("the collection holds points; another fit would make them unreadable: create another one")
    digest = None
    if fitted.learns:
        data = artifacts.dump(fitted, core.dimension)
        digest = envelope.digest(data)
        yield from core.store.write_artifact(digest, data)
    manifest = replace(core.manifest, artifact=digest, coverage=curve)
    yield from core.store.write_manifest(manifest.to_json())
    core.representation, core.manifest = fitted, manifest


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted representation, the manifest that names it, and what the fit saw."""

    representation: Representation
    manifest: Manifest
    report: FitReport


def learn(
    core: Core, sample: FloatArray, queries: FloatArray | None = None, *, given: int | None = None, work: Work = QUIET
) -> Flow[Learned]:
    """What :func:`fit` fits. The artifact is written; ``core`` and its collection stay what they are."""
    fresh = Representation.parse(core.representation.spec)
    started = time.perf_counter()
    kept = work if work.keeps else work.at(core.store.checkpoints)
    rng = np.random.default_rng(core.manifest.seed)
    learned, unseen = coverage.split(fresh, sample, rng)
    known, asked = coverage.split_queries(fresh, queries, rng)
    yield from step(lambda: fresh.fit(learned, queries=known, rng=core.manifest.seed, work=kept))
    seconds = time.perf_counter() - started
    digest = None
    if fresh.learns:
        data = artifacts.dump(fresh, core.dimension)
        digest = envelope.digest(data)
        yield from core.store.write_artifact(digest, data)
    points = learned if unseen is None else unseen
    # Before the first fit there is only what a recommendation brought: its figures are about reading by that curve.
    curve = core.manifest.coverage if fresh.learns and core.manifest.artifact is None else None
    if curve is None:
        curve = yield from step(lambda: _coverage(core, fresh, points, held_out=unseen is not None, queries=asked))
    manifest = replace(core.manifest, artifact=digest, coverage=curve)
    weighed = len(known) if known is not None and fresh.weighs_queries else 0
    count = given or len(sample)
    error = squared_error(fresh, sample[:: 1 + len(sample) // _JUDGED])
    seen = min(fresh.learns_from(count), len(learned))
    report = FitReport(count, sample.shape[1], seen, weighed, error, seconds, digest, curve)
    return Learned(fresh, manifest, report)


def _coverage(
    core: Core, fitted: Representation, x: FloatArray, *, held_out: bool, queries: FloatArray | None = None
) -> CoverageCurve | None:
    """The curve, or None: where it cannot be measured, a search goes by the assumed one, and info() says so."""
    try:
        return coverage.measure(fitted, x, core.distance, held_out=held_out, queries=queries, rng=core.manifest.seed)
    except (StoreError, OSError):
        # The engine found no temporary directory to work in; that must not cost a fit that took an hour.
        return None


def measure_coverage(core: Core, x: FloatArray) -> Flow[None]:
    """Measure on the first vectors (n, dim) stored what no fit has measured, and write it down."""
    if core.sparse_only or core.foreign or core.stages.fine is None or core.manifest.coverage is not None:
        return
    curve = yield from step(lambda: _coverage(core, core.representation, x, held_out=True))
    if curve is not None:
        core.manifest = replace(core.manifest, coverage=curve)
        yield from core.store.write_manifest(core.manifest.to_json())


def squared_error(representation: Representation, x: FloatArray) -> float:
    """Mean squared error of decoding ``x`` (n, dim), relative to the mean squared distance to its mean."""
    coarse, fine = representation.encode(x)
    decoded = representation.decode(coarse, "coarse") if fine is None else representation.decode(fine, "fine")
    spread = float(np.square(x - x.mean(0)).sum(1).mean())
    error = float(np.square(x - decoded).sum(1).mean())
    return error / spread if spread else error
