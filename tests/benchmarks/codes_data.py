"""Data of the codes benchmark: real embeddings, the half of them that codes learn from, and queries no fit sees.

``vectors-beir-queries``: 10,747 BGE-base vectors of 768 dimensions, a tenth of them held out as queries.
``msmarco-trec-dl-v1``: 27,274 passages, 97 judged queries. ``squad``: paragraphs of SQuAD 1.1 dev and the sentences of
squad-sentences in one collection of 15,514, 1,000 questions drawn from both (of the sentences' questions only the test
split: its dev split holds the same questions again). ``nq-qed``: 8,096 paragraphs, 1,355 real queries. The last three
are embedded with all-MiniLM-L6-v2, 384 dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import formats
import numpy as np
from harness import data_folder

from octant.datasets import Qrels, TextDataset, VectorDataset, read_dataset
from octant.embedders import embedder
from octant.embedding_cache import embed
from octant.vectors import unit_rows

ASKED = 1000
"""Questions drawn where there are many."""


@dataclass(frozen=True, eq=False)
class Halves:
    """A dataset whose documents were dealt into two halves.

    Attributes
    ----------
    documents : (n, dim) float32, unit rows
        What is stored and searched; first the half that codes learn from.
    queries : (m, dim) float32, unit rows
        In neither half.
    document_ids, query_ids : tuple of str
    qrels : mapping
        Empty where nothing is judged.
    """

    name: str
    documents: np.ndarray
    queries: np.ndarray
    document_ids: tuple[str, ...]
    query_ids: tuple[str, ...]
    qrels: Qrels

    @classmethod
    def of(cls, data: VectorDataset, limit: int | None = None) -> Halves:
        """All of ``data``, or the first ``limit`` documents and queries drawn at random (to try the benchmark out)."""
        least = 2 * max(256, data.documents.shape[1])
        if limit is not None and limit < least:
            # FAISS wants 256 vectors to learn from, and with fewer than dimensions its OPQ crashes.
            raise SystemExit(f"--limit {limit} leaves too few to learn from: {data.name} needs at least {least}")
        order = np.random.default_rng(0).permutation(len(data.documents))[:limit]
        asked = np.arange(len(data.queries))[:limit]
        return cls(
            data.name if limit is None else f"{data.name}[:{limit}]",
            unit_rows(data.documents[order]), unit_rows(data.queries[asked], what="queries"),
            tuple(data.document_ids[i] for i in order), tuple(data.query_ids[i] for i in asked), data.qrels,
        )  # fmt: skip

    @property
    def dimension(self) -> int:
        return self.documents.shape[1]

    @property
    def half(self) -> int:
        return len(self.documents) // 2

    @property
    def learn(self) -> np.ndarray:
        """The half that codes learn from (half, dim)."""
        return self.documents[: self.half]

    @property
    def rest(self) -> np.ndarray:
        """The half that no fit has seen (n - half, dim), which tells the error."""
        return self.documents[self.half :]


def squad(cache: Path) -> VectorDataset:
    paragraphs, sentences = (read_dataset(data_folder(name)) for name in ("squad-v1.1-dev", "squad-sentences"))
    tested = read_dataset(data_folder("squad-sentences"), split="test")
    asked = dict(zip(paragraphs.query_ids, paragraphs.queries, strict=True))
    asked |= dict(zip(tested.query_ids, tested.queries, strict=True))
    drawn = np.sort(np.random.default_rng(0).permutation(len(asked))[:ASKED])
    texts = list(asked.items())
    return embedded(
        TextDataset(
            "squad",
            (*paragraphs.document_ids, *sentences.document_ids), (*paragraphs.documents, *sentences.documents),
            tuple(texts[i][0] for i in drawn), tuple(texts[i][1] for i in drawn),
        ),
        cache,
    )  # fmt: skip


def nq(cache: Path) -> VectorDataset:
    return embedded(read_dataset(data_folder("nq-qed"), split="dev"), cache)


def embedded(data: TextDataset, cache: Path) -> VectorDataset:
    model = embedder(formats.MODEL)
    return VectorDataset(
        data.name.split("/")[0],
        data.document_ids, embed(model, "documents", data.documents, folder=cache),
        data.query_ids, embed(model, "queries", data.queries, folder=cache),
        data.qrels,
    )  # fmt: skip


DATASETS: Mapping[str, Callable[[Path], VectorDataset]] = {
    "vectors-beir-queries": lambda cache: formats.beir_queries(cache)[0],
    "msmarco-trec-dl-v1": lambda cache: formats.trec_dl(cache)[0],
    "squad": squad,
    "nq-qed": nq,
}
