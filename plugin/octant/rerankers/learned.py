"""A small network over what is known of each candidate, trained on judged rankings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from octant.errors import InputError
from octant.judged import JudgedRankings, ndcg
from octant.records import FloatArray, Ranking
from octant.rerankers.features import FeatureSet
from octant.rerankers.network import HIDDEN, Adam, Example, Weights, batches, forward, gradients, scaled, scaling, start
from octant.rerankers.rocchio import stacked
from octant.rerankers.trained import Learned, RerankerPart, TrainedReranker
from octant.rerankers.words import WordCounts
from octant.work import Work

PROJECTED = 16
"""Coordinates of the candidates' vectors that are features with ``vectors=true``."""
EPOCHS, PATIENCE, BATCH = 60, 8, 16
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
        expected = {"mean": (wide,), "spread": (wide,), "linear": (wide,)}
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
        return FeatureSet(tuple(map(str, header["branches"])), bool(header["density"]), int(header["projected"]))


class LearnedReranker(TrainedReranker):
    """A small permutation-equivariant network over scores, gaps, ranks, words in common and density.

    Learns in minutes on two cores, from judged queries or another reranker's rankings, and serves with numpy in about
    a millisecond for 100 candidates. It starts as the order of the search, and moves away from it only as far as
    queries it did not learn from bear out. Whether density is read, and whether the model is linear, is decided on
    such queries too.

    Parameters
    ----------
    vectors : bool
        Read the candidates' vectors too, through a projection on their principal axes.
    """

    name = "learned"
    needs_text = False
    part = LearnedPart

    def __init__(self, vectors: bool = False) -> None:
        if not isinstance(vectors, bool):
            raise InputError(f"vectors must be true or false, got {vectors!r}")
        self.vectors = vectors
        self.needs_vectors = vectors
        self._words = WordCounts()

    # -- learning ------------------------------------------------------------------------------

    def _learn(self, judged: JudgedRankings, seed: int, work: Work) -> Learned | None:
        known, stopping = judged.split(0.2, seed=seed + 1)
        known = known.where(lambda one: len(set(one.found_gains.tolist())) > 1)
        if not known:
            return None
        has_vectors = all(found.vector is not None for one in judged for found in one.ranking)
        branches = sorted({branch for one in known for found in one.ranking for branch in found.branch_scores})
        least = FeatureSet(tuple(branches), projected=PROJECTED if self.vectors else 0)
        tried = [(features, hidden) for features in _sets(least, has_vectors) for hidden in (0, HIDDEN)]
        drafts = [self._fitted(features, hidden, known, stopping, seed, work) for features, hidden in tried]
        best = max(drafts, key=lambda draft: draft.quality)
        density = ", how close candidates lie to each other" if best.features.density else ""
        form = "a network of two layers" if "w1" in best.weights else "a linear model"
        vectors = f", {best.features.projected} coordinates of the vectors" if best.features.projected else ""
        what = f"{form} over scores, gaps, ranks, words in common{density}{vectors}"
        return Learned(
            {"features": {
                "branches": list(best.features.branches), "density": best.features.density,
                "projected": best.features.projected,
            }},
            best.weights, what,
        )  # fmt: skip

    def _fitted(
        self, features: FeatureSet, hidden: int, known: JudgedRankings, stopping: JudgedRankings, seed: int, work: Work
    ) -> _Draft:
        rng = np.random.default_rng(seed)
        projection = _projection(known, features.projected) if features.projected else None
        raw = [Example(features.of(one.query, one.ranking, self._words, projection), one.found_gains) for one in known]
        mean, spread = scaling(raw)
        examples = [replace(one, x=scaled(one.x, mean, spread)) for one in raw]
        held = [scaled(features.of(one.query, one.ranking, self._words, projection), mean, spread) for one in stopping]
        weights = start(len(mean), _SKIP, hidden, rng)
        adam = Adam(weights, rate=0.02 if not hidden else 0.005, decay=0.01)
        best, quality, waited = _copied(weights), _quality(weights, held, stopping), 0
        title = f"learn ({'network' if hidden else 'linear'}{', density' if features.density else ''})"
        for _ in work.steps(range(EPOCHS), what=title):
            for batch in batches(len(examples), BATCH, rng):
                found = [gradients(weights, examples[place].x, examples[place].gains)[1] for place in batch]
                adam.step({name: sum(one[name] for one in found) / len(found) for name in weights})
            reached = _quality(weights, held, stopping)
            waited += 1
            if reached > quality + 1e-5:
                best, quality, waited = _copied(weights), reached, 0
            if waited >= PATIENCE:
                break
        kept = {**best, "mean": mean, "spread": spread}
        return _Draft(features, kept if projection is None else {**kept, "projection": projection}, quality)

    # -- serving -------------------------------------------------------------------------------

    def _scores(self, part: RerankerPart, query: str, ranking: Ranking, vector: FloatArray | None) -> FloatArray:
        del vector
        features = part.features if isinstance(part, LearnedPart) else FeatureSet()
        weights = part.arrays
        x = features.of(query, ranking, self._words, weights.get("projection"))
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
class _Draft:
    features: FeatureSet
    weights: Weights
    quality: float


def _sets(least: FeatureSet, has_vectors: bool) -> list[FeatureSet]:
    return [least, replace(least, density=True)] if has_vectors else [least]


def _quality(weights: Weights, held: list[FloatArray], stopping: JudgedRankings) -> float:
    orders = [np.argsort(-forward(weights, x), kind="stable").tolist() for x in held]
    return float(np.mean([ndcg(one, order) for one, order in zip(stopping, orders, strict=True)]))


def _copied(weights: Weights) -> Weights:
    return {name: value.copy() for name, value in weights.items()}


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
