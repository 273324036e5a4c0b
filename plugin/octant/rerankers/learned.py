"""A small network over what is known of each candidate, trained on judged rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from octant.errors import InputError
from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import FloatArray, Ranking
from octant.rerankers.features import FeatureSet
from octant.rerankers.network import (
    HIDDEN,
    Adam,
    Batch,
    Example,
    Weights,
    average,
    batches,
    copied,
    forward,
    gradients,
    scaled,
    scaling,
    start,
)
from octant.rerankers.rocchio import stacked
from octant.rerankers.trained import Learned, RerankerPart, TrainedReranker
from octant.rerankers.words import WordCounts
from octant.work import Work

PROJECTED = 16
"""Coordinates of the candidates' vectors that are features with ``vectors=true``."""
EPOCHS, PATIENCE, BATCH = 60, 8, 16
FOLDS = 5
"""Models that are averaged; each stops learning on another fifth of the queries."""
_SKIP = 0
"""The feature that the score starts as: the standardised score of the search."""


class LearnedPart(RerankerPart):
    """A network, and the features it reads."""

    kind = "learned"

    def check(self) -> None:
        """Raise KeyError, TypeError or ValueError where header and arrays do not belong together."""
        if not self.arrays and self.report.no_change:
            return
        wide = len(self.features.names)
        expected: dict[str, tuple[int, ...]] = {"mean": (wide,), "spread": (wide,), "linear": (wide,)}
        if "w1" in self.arrays:
            hidden = self.arrays["b1"].shape[0]
            square = (hidden, hidden)
            expected |= {
                "w1": (wide, hidden), "b1": (hidden,), "w2": square, "u2": square, "b2": (hidden,), "out": (hidden,),
            }  # fmt: skip
        if self.features.projected:
            expected["projection"] = (self.arrays["projection"].shape[0], self.features.projected)
        if {name: array.shape for name, array in self.arrays.items()} != expected:
            raise ValueError("the shapes of the weights do not fit the features")
        if not all(np.isfinite(array).all() for array in self.arrays.values()):
            raise ValueError("a weight is not finite")

    @property
    def features(self) -> FeatureSet:
        """Which features it reads."""
        header = self.header["features"]
        return FeatureSet(
            tuple(map(str, header["branches"])), bool(header["density"]), int(header["projected"]),
            bool(header.get("cosine", False)),
        )  # fmt: skip


class LearnedReranker(TrainedReranker):
    """A small permutation-equivariant network over scores, gaps, ranks and words in common.

    Learns in minutes on two cores, from judged queries or another reranker's rankings, and serves with numpy in about
    a millisecond for 100 candidates. It starts as the order of the search, and moves away from it only as far as
    queries it did not learn from bear out. Whether the model is linear is decided on such queries too. What serves is
    the mean of several models (bagging, 10.1007/BF00058655), each trained on other queries.

    Parameters
    ----------
    vectors : bool
        Read the candidates' vectors too: a projection on their principal axes, and, where that helps, how close
        candidates lie to each other. Candidates then need vectors. After a search that did not rank by their cosine
        with the query, it reads this cosine too, and embeds the query.
    """

    name = "learned"
    needs_text = False
    part = LearnedPart
    folds = 5

    def __init__(self, vectors: bool = False) -> None:
        if not isinstance(vectors, bool):
            raise InputError(f"vectors must be true or false, got {vectors!r}")
        self.vectors = vectors
        self.needs_vectors = vectors
        self._words = WordCounts()

    # -- learning ------------------------------------------------------------------------------

    def _learn(self, judged: JudgedRankings, seed: int, work: Work) -> Learned | None:
        judged = judged.where(lambda one: len(one.ranking) > 0)
        if not judged.where(lambda one: one.teaches):
            return None
        branches = sorted({branch for one in judged for found in one.ranking for branch in found.branch_scores})
        cosine = self.vectors and not judged.first_stage.startswith("dense")
        cosine = cosine and all(one.vector is not None for one in judged)
        # A projection of short vectors has no more axes than they have coordinates.
        width = min(PROJECTED, stacked(judged[0].ranking).shape[1]) if self.vectors else 0
        features = FeatureSet(tuple(branches), self.vectors, width, cosine)
        forms = [
            (tried, hidden)
            for tried in dict.fromkeys((replace(features, density=False), features))
            for hidden in (0, HIDDEN)
        ]
        chosen, weights = _best(forms, self._material(features, judged), judged, seed, work)
        density = ", how close candidates lie to each other" if chosen.density else ""
        form = "networks of two layers" if "w1" in weights else "linear models"
        vectors = f", {chosen.projected} coordinates of the vectors" if chosen.projected else ""
        cosines = ", cosines with the query" if chosen.cosine else ""
        what = f"the mean of {FOLDS} {form} over scores, gaps, ranks, words in common{cosines}{density}{vectors}"
        return Learned(
            {"features": {
                "branches": list(chosen.branches), "density": chosen.density,
                "projected": chosen.projected, "cosine": chosen.cosine,
            }},
            weights, what,
        )  # fmt: skip

    def _material(self, features: FeatureSet, judged: JudgedRankings) -> _Material:
        projection = _projection(judged, features.projected) if features.projected else None
        rows = [features.of(one.query, one.ranking, self._words, projection, one.vector) for one in judged]
        mean, spread = scaling(rows)
        known = {one: scaled(x, mean, spread) for one, x in zip(judged, rows, strict=True)}
        return _Material(features, known, mean, spread, projection)

    # -- serving -------------------------------------------------------------------------------

    def _reads_query(self, part: RerankerPart) -> bool:
        return isinstance(part, LearnedPart) and bool(part.arrays) and part.features.cosine

    def _scores(self, part: RerankerPart, query: str, ranking: Ranking, vector: FloatArray | None) -> FloatArray:
        features = part.features if isinstance(part, LearnedPart) else FeatureSet()
        weights = part.arrays
        x = features.of(query, ranking, self._words, weights.get("projection"), vector)
        return forward(weights, scaled(x, weights["mean"], weights["spread"]))

    def _unlike(self, part: RerankerPart, ranking: Ranking) -> str | None:
        reason = super()._unlike(part, ranking)
        if reason is not None or not isinstance(part, LearnedPart):
            return reason
        if part.features.reads_vectors and any(candidate.vector is None for candidate in ranking):
            return f"{self!r} reads vectors, which the candidates lack: search with with_vectors=True"
        found = sorted({branch for candidate in ranking for branch in candidate.branch_scores})
        if not set(found) <= set(part.features.branches) or bool(found) != bool(part.features.branches):
            trained = ", ".join(part.features.branches) or "none"
            return f"{self!r} was trained on the branches {trained}, this ranking has {', '.join(found) or 'none'}"
        return None


@dataclass(frozen=True, eq=False)
class _Material:
    """Scaled features of every query.

    Attributes
    ----------
    features : FeatureSet
    known : mapping from Judged to (n, features) float32
    mean, spread : (features,) float32
    projection : (dim, projected) float32 or None
    """

    features: FeatureSet
    known: Mapping[Judged, FloatArray]
    mean: FloatArray
    spread: FloatArray
    projection: FloatArray | None

    def only(self, wanted: FeatureSet) -> _Material:
        """The columns of ``wanted``."""
        names = self.features.names
        columns = [names.index(name) for name in wanted.names]
        if len(columns) == len(names):
            return self
        known = {one: np.ascontiguousarray(x[:, columns]) for one, x in self.known.items()}
        return replace(self, features=wanted, known=known, mean=self.mean[columns], spread=self.spread[columns])


def _best(
    forms: Sequence[tuple[FeatureSet, int]], material: _Material, judged: JudgedRankings, seed: int, work: Work
) -> tuple[FeatureSet, Weights]:
    """The form that does best on queries it did not learn from, as the mean of one model for each fold.

    One model alone leans on which queries happened to stop it, and on one fold alone which form is best is often a
    matter of chance.
    """
    folds = [judged.split(0.2, seed=seed + 1 + fold) for fold in range(FOLDS)]
    columns = {features: material.only(features) for features, _ in forms}
    models: dict[tuple[FeatureSet, int], list[Weights]] = {form: [] for form in forms}
    quality = dict.fromkeys(forms, 0.0)
    plan = [(form, fold) for fold in range(FOLDS) for form in forms]
    for form, fold in work.steps(plan, what="learn"):
        weights, reached = _fitted(columns[form[0]], form[1], *folds[fold], seed + fold)
        models[form].append(weights)
        quality[form] += reached
    best = max(forms, key=quality.__getitem__)
    chosen = columns[best[0]]
    weights = {**average(models[best]), "mean": chosen.mean, "spread": chosen.spread}
    return best[0], weights if material.projection is None else {**weights, "projection": material.projection}


def _fitted(
    material: _Material, hidden: int, known: JudgedRankings, stopping: JudgedRankings, seed: int
) -> tuple[Weights, float]:
    """What is learned from ``known`` until ``stopping`` gains no more, and nDCG@10 of these."""
    rng = np.random.default_rng(seed)
    weights = start(len(material.mean), _SKIP, hidden, rng)
    adam = Adam(weights, rate=0.005 if hidden else 0.02, decay=0.01)
    examples = [Example.of(material.known[one], one.found_gains) for one in known if one.teaches]
    held = [material.known[one] for one in stopping]
    best, quality, waited = copied(weights), _quality(weights, held, stopping), 0
    for _ in range(EPOCHS):
        for batch in batches(len(examples), BATCH, rng):
            adam.step(gradients(weights, Batch.of([examples[place] for place in batch]))[1])
        reached = _quality(weights, held, stopping)
        waited += 1
        if reached > quality + 1e-5:
            best, quality, waited = copied(weights), reached, 0
        if waited >= PATIENCE:
            break
    return best, quality


def _quality(weights: Weights, held: Sequence[FloatArray], stopping: JudgedRankings) -> float:
    orders = [np.argsort(-forward(weights, x), kind="stable").tolist() for x in held]
    return float(np.mean([ndcg(one, order) for one, order in zip(stopping, orders, strict=True)]))


def _projection(judged: JudgedRankings, width: int) -> FloatArray:
    """The principal axes (dim, width) of the candidates, less the mean of each ranking."""
    covariance: np.ndarray | float = 0.0
    for one in judged:
        vectors = stacked(one.ranking).astype(np.float64)
        centred = vectors - vectors.mean(0)
        covariance = covariance + centred.T @ centred
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :width]
    # An eigenvector's sign is arbitrary: fix it, so that the same data give the same bytes.
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return np.ascontiguousarray(axes * signs, np.float32)
