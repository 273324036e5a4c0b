"""From points as the source gives them to points as the target stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octant.errors import VectorValueError
from octant.layout import PointBatch, Stage, Stages, StoredPoint
from octant.lifecycle.source import Embeddings
from octant.records import CodeArray, Distance, FloatArray, StorageNeeds
from octant.representation import Representation, StageName
from octant.schema import CollectionSchema
from octant.vectors import unit_rows

SHOWN = 10
"""Ids that a message names."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """One embedding of the source and the fitted representation that it gets in the target.

    Attributes
    ----------
    embeddings : Embeddings
    representation : Representation
        Fitted.
    stages : Stages
        Named as in the target.
    skip_invalid : bool
        Whether points whose vector has no direction, or holds NaN, go without it; they are refused otherwise.
    """

    embeddings: Embeddings
    representation: Representation
    stages: Stages
    skip_invalid: bool = False

    def read(self, points: Sequence[StoredPoint]) -> tuple[list[int], FloatArray]:
        """Positions of the ``points`` that can be represented, and their vectors (m, dimension) as that is done.

        Raises
        ------
        VectorValueError
            If a vector is not finite, or all zeros under cosine: the ids.
        """
        rows, x = self.embeddings.of(points)
        if not rows:
            return rows, x
        good = _representable(x, self.embeddings.distance)
        if not good.all():
            if not self.skip_invalid:
                raise _refused(self.embeddings, [points[rows[bad]].id for bad in np.flatnonzero(~good)])
            rows, x = [row for row, is_good in zip(rows, good, strict=True) if is_good], x[good]
        if rows and self.embeddings.distance is Distance.COSINE:
            x = unit_rows(x)
        return rows, x

    def codes(self, x: FloatArray) -> dict[str, CodeArray]:
        """Named vectors of the target for ``x`` (m, dimension) as :meth:`read` gives it."""
        coarse, fine = self.representation.encode(x)
        if self.stages.fine is None or fine is None:
            return {self.stages.coarse.name: coarse}
        return {self.stages.coarse.name: coarse, self.stages.fine.name: fine}

    def name_of(self, stage: StageName) -> str:
        """The named vector of a stage in the target."""
        return self._stage(stage).name

    def needs_of(self, stage: StageName) -> StorageNeeds:
        """What the engine stores for a stage."""
        return self._stage(stage).needs

    def _stage(self, stage: StageName) -> Stage:
        return self.stages.coarse if stage == "coarse" or self.stages.fine is None else self.stages.fine

    @property
    def names(self) -> tuple[str, ...]:
        """Named vectors in the target."""
        return (self.stages.coarse.name,) + (() if self.stages.fine is None else (self.stages.fine.name,))


def _representable(x: FloatArray, distance: Distance) -> NDArray[np.bool_]:
    finite = np.asarray(np.isfinite(x).all(axis=1))
    return finite if distance is not Distance.COSINE else np.logical_and(finite, x.any(axis=1))


def _refused(embeddings: Embeddings, ids: Sequence[int | str]) -> VectorValueError:
    listed = ", ".join(str(point) for point in ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
    return VectorValueError(
        f"vector {embeddings.name!r} of {len(ids)} points is all zeros, which has no cosine, or holds NaN or inf: ids "
        f"{listed}. Correct or delete these points and run the same command again, or carry such points over without "
        "that vector with --skip-invalid (skip_invalid=True)"
    )


@dataclass(frozen=True, eq=False)
class Encoded:
    """A page on its way to the target.

    Attributes
    ----------
    batch : PointBatch
    floats : mapping from position of the encoder to (positions, (m, dimension) float32)
        What was encoded.
    """

    batch: PointBatch
    floats: Mapping[int, tuple[list[int], FloatArray]]


def encode(points: Sequence[StoredPoint], encoders: Sequence[Encoder], kept: CollectionSchema) -> Encoded:
    """Points of the target: vectors of ``encoders`` in place of their originals, those of ``kept`` as they are.

    Raises
    ------
    VectorValueError
        As for :meth:`Encoder.read`.
    """
    vectors: dict[str, CodeArray] = {}
    absent: dict[str, NDArray[np.bool_]] = {}
    floats: dict[int, tuple[list[int], FloatArray]] = {}
    for position, encoder in enumerate(encoders):
        rows, x = encoder.read(points)
        floats[position] = rows, x
        for name, codes in encoder.codes(x).items() if rows else ():
            vectors[name], absent[name] = _spread(codes, rows, len(points))
    for vector in kept.vectors:
        if not vector.multivector:
            rows = [row for row, point in enumerate(points) if vector.name in point.vectors]
            if rows:
                stacked = np.stack([points[row].vectors[vector.name] for row in rows])
                vectors[vector.name], absent[vector.name] = _spread(stacked, rows, len(points))
    batch = PointBatch(
        [point.id for point in points],
        vectors,
        [point.payload for point in points],
        {one.name: [point.sparse.get(one.name) for point in points] for one in kept.sparse},
        {one.name: [point.multi.get(one.name) for point in points] for one in kept.vectors if one.multivector},
        {name: missing for name, missing in absent.items() if missing.any()},
    )
    return Encoded(batch, floats)


def _spread(rows_of: CodeArray, rows: Sequence[int], count: int) -> tuple[CodeArray, NDArray[np.bool_]]:
    """``rows_of`` (m, width) at the positions ``rows`` of ``count``, and the positions (count,) left empty."""
    if len(rows) == count:
        return rows_of, np.zeros(count, np.bool_)
    spread = np.zeros((count, rows_of.shape[1]), rows_of.dtype)
    spread[rows] = rows_of
    missing = np.ones(count, np.bool_)
    missing[rows] = False
    return spread, missing
