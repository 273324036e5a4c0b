"""A trained cutoff: probabilities of relevance for a search's scores, and the score below which to leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from octant.cutoffs import maps, network, training
from octant.cutoffs.maps import FAMILIES, Real, ScoreMaps
from octant.cutoffs.measures import Filtering
from octant.cutoffs.network import Normal, Shape
from octant.cutoffs.pairs import Pairs
from octant.cutoffs.report import Curve, CutoffReport, measured, training_report
from octant.cutoffs.training import Fitted
from octant.errors import DimensionError, InputError, MismatchError
from octant.judged import JudgedRankings
from octant.records import JSON, Distance, EmbeddingIdentity, FloatArray
from octant.trained import Origin, TrainedPart
from octant.vectors import as_matrix, unit_rows
from octant.work import QUIET, Work

Labels = Literal["judgements", "teacher", "source"]
"""Where relevance comes from: people's judgements, a reranker's answers, or the document a question was made of."""
MOST_PROBED = 1000
RECALL = 0.95
"""Of the relevant candidates, the share that a cutoff keeps unless it is told otherwise."""


class Cutoff(TrainedPart):
    """Leaves out what is too improbably relevant (cosine adapter, 2408.04887); made by :meth:`train`, or read.

    A small network reads the query's vector, and with ``probe`` its best scores too, and gives a monotone map from
    score to probability. What is kept has at least the probability :attr:`least`. Order never changes. Probabilities
    are those of the collection and the depth that it was trained on: on another collection, train it again.

    Examples
    --------
    >>> from octant.records import Candidate, Ranking
    >>> from octant.judged import Judged
    >>> rng = np.random.default_rng(0)
    >>> def one(row):  # a question that points to the right has high scores, relevant or not
    ...     angle = rng.uniform(0, 6.28)
    ...     scores = 0.5 * np.cos(angle) + 0.3 * (np.arange(20) < 5) + 0.05 * rng.normal(size=20)
    ...     found = Ranking(tuple(Candidate(i, float(score)) for i, score in enumerate(scores)))
    ...     return Judged("", found, {i: 1.0 for i in range(5)}, np.float32([np.cos(angle), np.sin(angle)]), f"{row}")
    >>> cutoff = Cutoff.train(JudgedRankings(tuple(map(one, range(30)))), families=["linear"], hidden=0)
    >>> bool(cutoff.score_threshold([1.0, 0.0]) - cutoff.score_threshold([-1.0, 0.0]) > 0.5)
    True
    """

    kind = "cutoff"

    def __init__(self, origin: Origin, fitted: Fitted, least: float, dimension: int, told: CutoffReport) -> None:
        super().__init__(origin)
        self._fitted, self._least, self._dimension, self._told = fitted, least, dimension, told

    # -- making one ----------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        judged: JudgedRankings,
        *,
        probe: int = 0,
        relevant: float = 1.0,
        recall: float | None = None,
        precision: float | None = None,
        labels: Labels = "judgements",
        families: Sequence[str] = tuple(FAMILIES),
        hidden: int = 16,
        seed: int = 0,
        work: Work = QUIET,
    ) -> Cutoff:
        """Learn from judged rankings; the same for the same input and seed.

        Shape, length of training and threshold are chosen by queries that a network has not seen, in four folds. Where
        no network is surely better than one fixed threshold for all queries, it is that fixed threshold.

        Parameters
        ----------
        judged : JudgedRankings
            With the queries' vectors, as deep as searches will be; of a dense search.
        probe : int
            Best scores of the query that the network reads beside its vector. Searches with such a cutoff ask twice:
            first for these scores, without payload.
        relevant : float
            Lowest gain that counts as relevant.
        recall : float, optional
            Share of the relevant candidates to keep, above 0 up to 1; 0.95 where ``precision`` is not given either.
        precision : float, optional
            Share of what is kept that shall be relevant, instead.
        labels : {"judgements", "teacher", "source"}
            Where the gains come from; noted in the report.
        families : sequence of str
            Maps to choose from: ``"linear"``, ``"square root"``, ``"quadratic"``, ``"power"``.
        hidden : int
            Units of the hidden layer that is tried beside a network without one.
        seed : int
        work : Work
            Progress.

        Raises
        ------
        InputError
            If an argument makes no sense, there are too few judged queries, or the precision is never reached.
        """
        _check_arguments(probe, recall, precision, labels, families, hidden)
        if judged.first_stage and not judged.first_stage.startswith("dense"):
            raise InputError(
                f"a cutoff judges the scores of a dense search, got rankings of {judged.first_stage!r}: gather them "
                "again with mode='dense'"
            )
        pairs = Pairs.of(judged, relevant)
        pairs = replace(pairs, vectors=_directed(pairs.vectors, judged.first_stage))
        chosen = training.choose(pairs, training.shapes(probe, hidden), families, seed=seed, work=work)
        curve = Curve.of(chosen.unseen, pairs.relevant)
        told = measured(pairs, chosen, curve, probe=probe, labels=labels, relevant=relevant)
        report = training_report(told, chosen)
        corpora = {} if judged.corpus is None else {judged.corpus: report}
        spec = f"cutoff(probe={probe})" if probe else "cutoff"
        origin = Origin(spec, judged.embedding, judged.first_stage, report, corpora)
        made = cls(origin, chosen.fitted, 0.5, pairs.vectors.shape[1], told)
        return made.at(recall=RECALL if recall is None and precision is None else recall, precision=precision)

    def at(
        self, *, recall: float | None = None, precision: float | None = None, probability: float | None = None
    ) -> Cutoff:
        """The same cutoff with another threshold; by what held-out queries showed, unless ``probability`` says it.

        Parameters
        ----------
        recall : float, optional
            Share of the relevant candidates to keep, above 0 up to 1.
        precision : float, optional
            Share of what is kept that shall be relevant.
        probability : float, optional
            The least probability of relevance itself, between 0 and 1.

        Raises
        ------
        InputError
            If not exactly one is given, it is out of range, or the precision was never reached.
        """
        if sum(value is not None for value in (recall, precision, probability)) != 1:
            raise InputError("a cutoff's threshold is chosen by recall, precision or probability: give one of them")
        least = probability
        if recall is not None:
            least = self._told.curve.for_recall(_share("recall", recall))
        elif precision is not None:
            least = self._told.curve.for_precision(_share("precision", precision))
        if least is None or not 0 <= least <= 1:
            raise InputError(f"a probability lies between 0 and 1, got {least}")
        return type(self)(self.origin, self._fitted, float(least), self._dimension, self._told)

    # -- what it says --------------------------------------------------------------------------

    @property
    def least(self) -> float:
        """The least probability of relevance that is kept."""
        return self._least

    @property
    def probe(self) -> int:
        """Best scores of a query that it must know first; 0 for none."""
        return self._fitted.shape.probe

    @property
    def dimension(self) -> int:
        """Coordinates of the query vectors that it reads."""
        return self._dimension

    @property
    def measures(self) -> CutoffReport:
        """What it was measured to do on queries that it had not seen, beside controls."""
        return self._told

    def expected(self) -> Filtering:
        """What its threshold did on queries that it had not seen."""
        return self._told.curve.at(self.least, self._told.rows["cutoff"].pr_auc)

    def probability(self, query_vector: ArrayLike, scores: ArrayLike) -> Real:
        """Probabilities of relevance (n,), between 0 and 1, of the ``scores`` (n,) that a search for a query gave.

        Parameters
        ----------
        query_vector : (dim,) array_like
        scores : (n,) array_like
            All of the ranking's from the top, where the cutoff probes: it reads the best of them.

        Raises
        ------
        InputError, DimensionError, VectorValueError
            If the shapes do not fit, or there are fewer scores than it reads while more could have been found.
        """
        values = np.asarray(scores, np.float64)
        if values.ndim != 1 or np.isnan(values).any():
            raise InputError(f"expected scores of shape (n,) without NaN, got shape {values.shape}")
        told = self._maps(query_vector, self._tops_of(values)).log_odds(values[None, :])
        return maps.probability(told[0])

    def score_threshold(self, query_vector: ArrayLike, scores: ArrayLike | None = None) -> float:
        """The least score that is kept for a query (dim,): what Qdrant leaves out below.

        Parameters
        ----------
        query_vector : (dim,) array_like
        scores : (n,) array_like, optional
            The query's best scores, where the cutoff probes.

        Returns
        -------
        float
            Minus infinity where every score is kept, infinity where none is.

        Raises
        ------
        InputError
            If the cutoff probes and there are no scores.
        """
        tops = None if scores is None else self._tops_of(np.asarray(scores, np.float64))
        return float(self.score_thresholds(as_matrix(query_vector), tops)[0])

    def score_thresholds(self, query_vectors: FloatArray, tops: ArrayLike | None = None) -> Real:
        """:meth:`score_threshold` (m,) of queries (m, dim) with their best scores (m, probe), NaN where there are none.

        Raises
        ------
        InputError, DimensionError
        """
        return self._maps(query_vectors, tops).scores(maps.log_odds(self.least))

    def check(self, embedding: EmbeddingIdentity | None, dimension: int, distance: Distance) -> None:
        """Refuse a collection whose scores are not those that it was trained on.

        Raises
        ------
        MismatchError, DimensionError
            Naming both.
        """
        self.check_embedding(embedding)
        if dimension != self.dimension:
            raise DimensionError(
                f"the cutoff was trained for {self.dimension} dimensions, the collection has {dimension}"
            )
        trained, here = self.origin.scores, f"dense {distance.value.lower()}"
        if trained and trained != here:
            raise MismatchError(
                f"the cutoff was trained on scores of the kind {trained!r}, these are {here!r}: train it on this "
                "collection"
            )

    def _tops_of(self, scores: Real) -> Real:
        """The best scores (1, probe) among a query's (n,)."""
        best = np.sort(scores)[::-1][: self.probe]
        return np.pad(best, (0, self.probe - len(best)), constant_values=np.nan)[None, :]

    def _maps(self, query_vectors: ArrayLike, tops: ArrayLike | None) -> ScoreMaps:
        vectors = as_matrix(query_vectors, dim=self.dimension, what="query vectors")
        vectors = _directed(vectors, self.origin.scores)
        if tops is None and self.probe:
            raise InputError(f"this cutoff reads the query's best {self.probe} scores beside its vector: give them too")
        given = np.zeros((len(vectors), 0)) if tops is None else np.asarray(tops, np.float64)
        if given.shape != (len(vectors), self.probe):
            raise InputError(f"expected the best scores of shape {(len(vectors), self.probe)}, got {given.shape}")
        fitted = self._fitted
        read = network.inputs(fitted.shape, fitted.normal, vectors, given)
        return network.maps(fitted.shape, fitted.normal, fitted.weights, read)

    # -- its file ------------------------------------------------------------------------------

    @property
    def header(self) -> Mapping[str, JSON]:
        """Shape, threshold and what was measured."""
        return {
            "shape": asdict(self._fitted.shape), "least": self.least, "dimension": self.dimension,
            "measures": self._told.as_json(),
        }  # fmt: skip

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Weights, units and the curve of held-out queries."""
        normal = self._fitted.normal
        return {
            **{f"weights.{name}": value for name, value in self._fitted.weights.items()},
            "normal": np.array([normal.scale, normal.middle, normal.spread, normal.length]),
            "features": np.stack([normal.mean, normal.deviation]),
            "curve": self._told.curve.as_array(),
        }

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The cutoff that has this header and these arrays; ValueError where they do not belong together."""
        shape = Shape(**header["shape"])
        dimension, least = int(header["dimension"]), float(header["least"])
        width = dimension * shape.vector + network.FEATURES * bool(shape.probe)
        expected = network.start(shape, width, np.random.default_rng(0))
        weights = {name: _array(arrays, f"weights.{name}", value.shape) for name, value in expected.items()}
        scale, middle, spread, length = _array(arrays, "normal", (4,)).tolist()
        mean, deviation = _array(arrays, "features", (2, network.FEATURES * bool(shape.probe)))
        if shape.family not in FAMILIES or not 0 <= least <= 1 or min(scale, spread, length) <= 0:
            raise ValueError("parameters out of range")
        fitted = Fitted(shape, Normal(scale, middle, spread, length, mean, deviation), weights)
        curve = Curve.from_array(_array(arrays, "curve", (5, None)))
        return cls(origin, fitted, least, dimension, CutoffReport.from_json(header["measures"], curve))


def _directed(vectors: FloatArray, scores: str) -> FloatArray:
    """What the network reads of vectors (m, dim): the direction alone where scores know no length."""
    return unit_rows(vectors, what="query vectors") if scores in ("", "dense cosine") else vectors


def _array(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...]) -> Real:
    found = arrays[name]
    fits = found.ndim == len(shape) and all(w in (None, g) for w, g in zip(shape, found.shape, strict=True))
    if not fits or found.dtype != np.float64 or not np.isfinite(found).all():
        raise ValueError(f"expected finite float64 numbers {name!r} of shape {shape}")
    return found


def _check_arguments(
    probe: int, recall: float | None, precision: float | None, labels: str, families: Sequence[str], hidden: int
) -> None:
    if not 0 <= probe <= MOST_PROBED:
        raise InputError(f"probe counts the best scores to read, 0 to {MOST_PROBED}; got {probe}")
    if hidden < 0:
        raise InputError(f"hidden counts units, at least 0; got {hidden}")
    if recall is not None and precision is not None:
        raise InputError("recall and precision both choose the threshold: give one of them")
    for name, value in (("recall", recall), ("precision", precision)):
        if value is not None:
            _share(name, value)
    if labels not in get_args(Labels):
        raise InputError(f"labels must be one of {', '.join(get_args(Labels))}; got {labels!r}")
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise InputError(f"families must be among {', '.join(FAMILIES)}; got {', '.join(unknown) or 'none'}")


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise InputError(f"{name} must lie above 0 and be at most 1, got {value}")
    return value
