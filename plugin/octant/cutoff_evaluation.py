"""What a trained cutoff leaves out on judged queries, beside one score or one number of hits for all queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octant.collection import Collection
from octant.cutoffs import controls
from octant.cutoffs.cutoff import Cutoff
from octant.cutoffs.maps import Real
from octant.cutoffs.measures import Filtering, Ordered
from octant.datasets import TextDataset, read_dataset
from octant.embedders import embedder
from octant.errors import InputError
from octant.evaluate import embedded_dataset
from octant.records import JSON, Distance, FloatArray
from octant.report import aligned


@dataclass(frozen=True)
class CutoffEvaluation:
    """A cutoff, measured.

    Attributes
    ----------
    dataset, represent, cutoff : str
    queries, candidates : int
    rows : mapping from name to Filtering
        ``"cutoff"`` at its own threshold; ``"fixed threshold"`` and ``"fixed k"`` where they keep as many of the
        relevant candidates. Recall is of what the search found.
    """

    dataset: str
    represent: str
    cutoff: str
    queries: int
    candidates: int
    rows: Mapping[str, Filtering]

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return {
            "dataset": self.dataset, "represent": self.represent, "cutoff": self.cutoff, "queries": self.queries,
            "candidates": self.candidates, "rows": {name: row.as_json() for name, row in self.rows.items()},
        }  # fmt: skip

    def table(self) -> str:
        """Aligned columns under a title."""
        header = ["", "PR-AUC", "precision", "recall", "filtered", "no hit left"]
        cells = [
            [name, f"{row.pr_auc:.4f}", *(f"{x:.1%}" for x in (row.precision, row.recall, row.filtered, row.empty))]
            for name, row in self.rows.items()
        ]
        title = f"{self.dataset}: {self.queries:,} queries, {self.candidates} candidates each, {self.represent}"
        return "\n".join([title, *aligned([header, *cells])])


def evaluate_cutoff(
    dataset: str | Path | TextDataset,
    cutoff: Cutoff,
    embedding: object | None = None,
    *,
    represent: str = "turbo8",
    candidates: int = 100,
    relevant: int = 1,
    split: str | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = False,
) -> CutoffEvaluation:
    """Search the judged queries of ``dataset`` on Qdrant Edge with and without ``cutoff``.

    Parameters
    ----------
    dataset : str, Path or TextDataset
        With judgements, on other queries than the cutoff was trained on.
    cutoff : Cutoff
    embedding : optional
        The model that the cutoff was trained for.
    represent : str
    candidates : int
        Of each query; as many as the cutoff was trained with.
    relevant : int
        Lowest grade that counts as relevant.
    split, cache_dir, progress
        As for :func:`octant.evaluate`.

    Raises
    ------
    InputError
        If the dataset has no judgements, or nothing relevant is found.
    MismatchError
        If the cutoff was trained for another embedding.
    """
    if candidates < 1:
        raise InputError(f"candidates must be at least 1, got {candidates}")
    data = read_dataset(dataset, split=split) if isinstance(dataset, str | Path) else dataset
    if not isinstance(data, TextDataset) or not data.qrels:
        raise InputError(f"{data.name} has no texts with judgements, without which nobody knows what is relevant")
    model = embedder(embedding)
    if model is not None:  # before the texts are embedded, not after
        known = model.identity
        cutoff.check(known, known.dimension or cutoff.dimension, Distance.COSINE)
    vectors = embedded_dataset(data, model, cache_dir, progress)
    scores, found, kept = (np.full((len(data.queries), candidates), value) for value in (np.nan, 0.0, 0.0))
    with Collection.create("evaluation", embedding=model, represent=represent) as collection:
        collection.add(vectors=vectors.documents, ids=range(len(data.documents)), optimize=True)
        for row, name in enumerate(data.query_ids):
            whole = collection.search(vectors.queries[row], k=candidates)
            left = set(collection.search(vectors.queries[row], k=candidates, cutoff=cutoff).ids)
            grades = data.qrels[name]
            scores[row, : len(whole)] = whole.scores
            found[row, : len(whole)] = [grades.get(data.document_ids[int(i)], 0) >= relevant for i in whole.ids]
            kept[row, : len(whole)] = [point in left for point in whole.ids]
    if not found.any():
        raise InputError(f"nothing with a grade of at least {relevant} was found for any query of {data.name}")
    rows = _rows(cutoff, vectors.queries, scores, found > 0, np.where(np.isnan(scores), np.nan, kept))
    return CutoffEvaluation(data.name, represent, cutoff.spec, len(data.queries), candidates, rows)


def _rows(
    cutoff: Cutoff, queries: FloatArray, scores: Real, relevant: NDArray[np.bool_], kept: Real
) -> dict[str, Filtering]:
    told = np.full(scores.shape, np.nan)
    for row, known in enumerate(~np.isnan(scores)):
        told[row, known] = cutoff.probability(queries[row], scores[row, known])
    # What Qdrant kept, and the area over all thresholds that the cutoff could have.
    rows = {"cutoff": replace(Ordered(kept, relevant).at(0.5), pr_auc=Ordered(told, relevant).pr_auc())}
    for name, values in (
        ("fixed threshold", controls.fixed_threshold(scores)),
        ("fixed k", controls.fixed_k(scores)),
    ):
        ordered = Ordered(values, relevant)
        rows[name] = ordered.at(ordered.for_recall(rows["cutoff"].recall))
    return rows
