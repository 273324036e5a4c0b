"""Judged rankings of real questions, found by Octant itself: dense or BM25, from any representation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import formats
import numpy as np
from harness import data_folder

from octant import Collection, Embedder, embedder
from octant.datasets import TextDataset, read_dataset
from octant.embedding_cache import Role, embed
from octant.gathering import gather
from octant.judged import Judged, JudgedRankings, Question
from octant.records import FloatArray

DEPTH = 100


@dataclass(frozen=True, eq=False)
class JudgedSet:
    """A corpus, the questions to test on, and those to learn from, none of which share a group.

    Attributes
    ----------
    name : str
    data : TextDataset
    test, train : tuple of Question
        ``train`` is empty for sets that nothing is learned from.
    relevant : int
        Lowest grade that counts for MRR.
    """

    name: str
    data: TextDataset
    test: tuple[Question, ...]
    train: tuple[Question, ...] = ()
    relevant: int = 1


def questions(data: TextDataset, group_of: dict[str, str] | None = None) -> tuple[Question, ...]:
    groups = group_of or {}
    return tuple(
        Question(name, text, {point: float(grade) for point, grade in data.qrels[name].items()}, groups.get(name, ""))
        for name, text in zip(data.query_ids, data.queries, strict=True)
        if any(grade > 0 for grade in data.qrels[name].values())
    )


def drawn(some: Sequence[Question], count: int | None, seed: int = 0) -> tuple[Question, ...]:
    """At most ``count`` of them, at random, in the order they have."""
    if count is None or count >= len(some):
        return tuple(some)
    chosen = np.sort(np.random.default_rng(seed).choice(len(some), count, replace=False))
    return tuple(some[place] for place in chosen)


def nq(tested: int | None, learned: int) -> JudgedSet:
    """Natural Questions: train and dev have questions of their own over one corpus."""
    folder = data_folder("nq-qed")
    dev, train = (read_dataset(folder, split=split) for split in ("dev", "train"))
    return JudgedSet("nq-qed dev", dev, drawn(questions(dev), tested), drawn(questions(train), learned))


def squad(tested: int | None, learned: int) -> JudgedSet:
    """SQuAD's dev articles: two thirds to learn from, a third to test on."""
    data = read_dataset(data_folder("squad-v1.1-dev"))
    group_of = {name: next(iter(judged)).partition("p")[0] for name, judged in data.qrels.items()}
    articles = sorted(set(group_of.values()))
    tested_on = set(np.random.default_rng(0).permutation(articles)[: len(articles) // 3].tolist())
    everything = questions(data, group_of)
    test = tuple(one for one in everything if one.group in tested_on)
    train = tuple(one for one in everything if one.group not in tested_on)
    return JudgedSet("squad-v1.1-dev", data, drawn(test, tested), drawn(train, learned))


def covid(tested: int | None, learned: int) -> JudgedSet:
    """COVID-QA: half of the relevant passages' questions to adopt on, half to test on."""
    data = read_dataset(data_folder("covid-qa"))
    everything = questions(data)
    order = np.random.default_rng(0).permutation(len(everything))
    half = set(order[: len(order) // 2].tolist())
    test = tuple(one for place, one in enumerate(everything) if place in half)
    train = tuple(one for place, one in enumerate(everything) if place not in half)
    return JudgedSet("covid-qa", data, drawn(test, tested), drawn(train, learned))


def trec_dl(tested: int | None, learned: int) -> JudgedSet:
    """TREC Deep Learning 2019 and 2020: never learned from."""
    del learned
    folder = data_folder("msmarco-trec-dl-v1")
    years = [read_dataset(folder, split=split) for split in ("dl19", "dl20")]
    test = tuple(one for year in years for one in questions(year))
    return JudgedSet("msmarco-trec-dl-v1", years[0], drawn(test, tested), relevant=2)


SETS = {"nq-qed": nq, "squad": squad, "covid-qa": covid, "trec-dl": trec_dl}


def wanted(asked: argparse.Namespace, usual: Sequence[str]) -> Sequence[str]:
    """The sets that ``--set`` names, in the order of :data:`SETS`; without it, the ``usual`` ones of a part."""
    unknown = set(asked.set or ()) - set(SETS)
    if unknown:
        raise SystemExit(f"no set {', '.join(sorted(unknown))}: there are {', '.join(SETS)}")
    return [name for name in SETS if name in asked.set] if asked.set else usual


class Cached:
    """MiniLM, whose vectors of a set's texts are made once and kept.

    Parameters
    ----------
    chosen : JudgedSet
    cache : Path, optional
    """

    def __init__(self, chosen: JudgedSet, cache: Path | None) -> None:
        self.model: Embedder = embedder(formats.MODEL)
        self._cache = cache
        self.documents = self._embedded("documents", chosen.data.documents)
        # As the dataset lists them, so that other runs find the same file.
        rows = self._embedded("queries", chosen.data.queries)
        self._known = dict(zip(chosen.data.queries, rows, strict=True))

    def _embedded(self, role: Role, texts: Sequence[str]) -> FloatArray:
        return embed(self.model, role, texts, folder=self._cache)

    def queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors (n, dim) of texts, those of the set from what was kept."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            self._known |= dict(zip(fresh, self._embedded("queries", fresh), strict=True))
        return np.stack([self._known[text] for text in texts])


def found(
    chosen: JudgedSet, asked: Sequence[Question], known: Cached, stages: Sequence[str], represent: str
) -> dict[str, JudgedRankings]:
    """What a collection of ``represent`` finds for ``asked`` by each first stage, "minilm" or "bm25".

    100 candidates each, with vectors decoded from what is stored.
    """
    with Collection.create(
        chosen.name, represent=represent, embedding=known.queries, sparse="bm25", dimension=known.documents.shape[1]
    ) as collection:
        collection.add(chosen.data.documents, vectors=known.documents, ids=chosen.data.document_ids)
        collection.optimize()
        return {
            stage: gather(collection, asked, k=DEPTH, mode="sparse" if stage == "bm25" else "dense") for stage in stages
        }


def cut(judged: JudgedRankings, depth: int) -> JudgedRankings:
    """Only the best ``depth`` candidates of every question."""
    return replace(judged, queries=tuple(_cut(one, depth) for one in judged))


def _cut(one: Judged, depth: int) -> Judged:
    return replace(one, ranking=replace(one.ranking, candidates=one.ranking.candidates[:depth]))
