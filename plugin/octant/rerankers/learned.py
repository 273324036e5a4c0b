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
    queries it did not learn from bear out. Whether the model is linear is decided on such queries too.

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
        branches = sorted({branch for one in known for found in one.ranking for branch in found.branch_scores})
        cosine = self.vectors and not judged.first_stage.startswith("dense")
        cosine = cosine and all(one.vector is not None for one in judged)
        # A projection of short vectors has no more axes than they have coordinates.
        width = min(PROJECTED, stacked(known[0].ranking).shape[1]) if self.vectors else 0
        features = FeatureSet(tuple(branches), self.vectors, width, cosine)
        material = self._material(features, known, stopping)
        drafts = [
            _fitted(tried, hidden, material.only(features, tried), seed, work)
            for tried in dict.fromkeys((replace(features, density=False), features))
            for hidden in (0, HIDDEN)
        ]
        best = max(drafts, key=lambda draft: draft.quality)
        density = ", how close candidates lie to each other" if best.features.density else ""
        form = "a network of two layers" if "w1" in best.weights else "a linear model"
        vectors = f", {best.features.projected} coordinates of the vectors" if best.features.projected else ""
        cosines = ", cosines with the query" if best.features.cosine else ""
        what = f"{form} over scores, gaps, ranks, words in common{cosines}{density}{vectors}"
        return Learned(
            {"features": {
                "branches": list(best.features.branches), "density": best.features.density,
                "projected": best.features.projected, "cosine": best.features.cosine,
            }},
            best.weights, what,
        )  # fmt: skip

    def _material(self, features: FeatureSet, known: JudgedRankings, stopping: JudgedRankings) -> _Material:
        projection = _projection(known, features.projected) if features.projected else None
        rows = [features.of(one.query, one.ranking, self._words, projection, one.vector) for one in (*known, *stopping)]
        examples = [Example(x, one.found_gains) for x, one in zip(rows, known, strict=False)]
        mean, spread = scaling(examples)
        scaled_rows = [scaled(x, mean, spread) for x in rows]
        examples = [Example(x, one.found_gains) for x, one in zip(scaled_rows, known, strict=False)]
        return _Material(examples, scaled_rows[len(known) :], stopping, mean, spread, projection)

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
    """Scaled features to learn from, and those of the queries that tell when to stop.

    Attributes
    ----------
    examples : list of Example
    held : list of (n, features) float32
    stopping : JudgedRankings
        The queries of ``held``.
    mean, spread : (features,) float32
    projection : (dim, projected) float32 or None
    """

    examples: list[Example]
    held: list[FloatArray]
    stopping: JudgedRankings
    mean: FloatArray
    spread: FloatArray
    projection: FloatArray | None

    def only(self, everything: FeatureSet, wanted: FeatureSet) -> _Material:
        """The columns of ``wanted``."""
        names = everything.names
        columns = [names.index(name) for name in wanted.names]
        if len(columns) == len(names):
            return self
        examples = [replace(one, x=np.ascontiguousarray(one.x[:, columns])) for one in self.examples]
        held = [np.ascontiguousarray(x[:, columns]) for x in self.held]
        return replace(self, examples=examples, held=held, mean=self.mean[columns], spread=self.spread[columns])


@dataclass(frozen=True, eq=False)
class _Draft:
    features: FeatureSet
    weights: Weights
    quality: float


def _fitted(features: FeatureSet, hidden: int, material: _Material, seed: int, work: Work) -> _Draft:
    rng = np.random.default_rng(seed)
    weights = start(len(material.mean), _SKIP, hidden, rng)
    adam = Adam(weights, rate=0.005 if hidden else 0.02, decay=0.01)
    best, quality, waited = _copied(weights), _quality(weights, material), 0
    title = f"learn ({'network' if hidden else 'linear'}{', density' if features.density else ''})"
    for _ in work.steps(range(EPOCHS), what=title):
        for batch in batches(len(material.examples), BATCH, rng):
            found = [gradients(weights, one.x, one.gains)[1] for one in map(material.examples.__getitem__, batch)]
            adam.step({name: np.mean([one[name] for one in found], axis=0) for name in weights})
        reached = _quality(weights, material)
        waited += 1
        if reached > quality + 1e-5:
            best, quality, waited = _copied(weights), reached, 0
        if waited >= PATIENCE:
            break
    kept = {**best, "mean": material.mean, "spread": material.spread}
    return _Draft(
        features, kept if material.projection is None else {**kept, "projection": material.projection}, quality
    )


def _quality(weights: Weights, material: _Material) -> float:
    orders = [np.argsort(-forward(weights, x), kind="stable").tolist() for x in material.held]
    return float(np.mean([ndcg(one, order) for one, order in zip(material.stopping, orders, strict=True)]))


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
