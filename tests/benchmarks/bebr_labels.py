"""The table of arXiv:2302.08714 as it measures: R@1, R@5 and R@10 of what people judged right.

nq-qed, all-MiniLM-L6-v2: 8,096 paragraphs and 1,355 real questions of the dev split, each with one right paragraph.
Everything learns from one half of the paragraphs, and no fit sees these questions. Hashing (``u`` = 0) and one loop
(``u`` = 1) of as many bits stand against the same training without signs (``float``), as published (MLPs, the hard
contrast) and as Octant starts them (linear, the soft contrast), trained on paragraphs alone and with 2,000 questions of
the train split besides. The paper trains on labelled pairs; Octant pairs a given question with a paragraph near to it.

``python tests/benchmarks/bebr.py --cache DIR --only labels`` runs this part alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import formats
import numpy as np
from codes_data import Halves, nq
from harness import Bar, data_folder, table

import octant
from octant.datasets import read_dataset
from octant.embedders import embedder
from octant.embedding_cache import embed
from octant.quantizers.recurrent import RecurrentBinary
from octant.quantizers.symmetric import SymmetricIndex
from octant.statistics import Estimate, bootstrap_mean, paired_difference
from octant.vectors import unit_rows

CUTS = (1, 5, 10)
WAYS = ("code-code", "query-code")
TAUGHT = 2000
"""Questions of the train split that a fit is given."""
RECIPES = {"published": ("mlp", "hard"), "ours": ("linear", "soft")}
"""Method and contrast."""
BITS = {"published": (768,), "ours": (768, 1024)}
"""An MLP takes minutes already at 768 bits."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Unit vectors, and which document is right.

    Attributes
    ----------
    documents : (n, dim) float32
    learn : (n / 2, dim) float32
        The half of them that codes learn from.
    taught : (t, dim) float32
        Queries that a fit may see.
    asked : (m, dim) float32
        Queries that no fit sees.
    right : (m,) int64
        The row of the document that was judged right for each of ``asked``.
    """

    documents: np.ndarray
    learn: np.ndarray
    taught: np.ndarray
    asked: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, cache: Path) -> Judged:
        data = Halves.of(nq(cache))
        texts = read_dataset(data_folder("nq-qed"), split="train").queries[:TAUGHT]
        rows = {name: row for row, name in enumerate(data.document_ids)}
        right = []
        for query in data.query_ids:
            (one,) = data.qrels[query]  # the data has one judgement a query, and R@k counts it alone
            right.append(rows[one])
        taught = embed(embedder(formats.MODEL), "queries", texts, folder=cache)
        return cls(data.documents, data.learn, unit_rows(taught), data.queries, np.array(right))

    def hits(self, scores: np.ndarray) -> np.ndarray:
        """Chance (m, cuts) that the right document is among the best of ``scores`` (m, n), ties in random order.

        Codes compared with codes tie often: order of storage must not decide.
        """
        own = scores[np.arange(len(scores)), self.right][:, None]
        above, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
        return np.clip((np.array(CUTS) - above[:, None]) / tied[:, None], 0, 1)


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of code; ``hits`` (m, cuts) by the way of comparing."""

    name: str
    bits: int
    hits: dict[str, np.ndarray]
    seconds: float | None = None

    def cells(self) -> list[str]:
        shown = [f"{value:.3f}" for way in WAYS for value in self.hits[way].mean(axis=0)]
        return [self.name, str(self.bits), *shown, "-" if self.seconds is None else f"{self.seconds:.0f}"]

    def as_json(self) -> dict[str, object]:
        values = {
            f"{way} R@{cut}": bootstrap_mean(self.hits[way][:, i]).as_json()
            for way in WAYS
            for i, cut in enumerate(CUTS)
        }
        return {"name": self.name, "bits": self.bits, "fit seconds": self.seconds, **values}


@dataclass(frozen=True)
class Gap:
    """What a loop finds more than something else, by one way of comparing.

    Attributes
    ----------
    found : tuple of Estimate
        Paired differences, one for each of ``CUTS``; above 0 the loop is better.
    ordered : bool
        Whether all of them are as the paper has them: more than hashing, no less than float.
    """

    what: str
    way: str
    found: tuple[Estimate, ...]
    ordered: bool

    @classmethod
    def between(cls, loop: Row, other: Row, way: str, *, hashing: bool) -> Gap:
        found = tuple(paired_difference(loop.hits[way][:, i], other.hits[way][:, i]) for i in range(len(CUTS)))
        ordered = all(one.low > 0 if hashing else one.high >= 0 for one in found)
        return cls(f"{loop.name} - {other.name}", way, found, ordered)

    def cells(self) -> list[str]:
        return [self.what, self.way, *map(signed, self.found), "yes" if self.ordered else "no"]

    def as_json(self) -> dict[str, object]:
        values = {f"R@{cut}": one.as_json() for cut, one in zip(CUTS, self.found, strict=True)}
        return {"difference": self.what, "way": self.way, **values, "as the paper has it": self.ordered}

    def bar(self) -> Bar:
        measured = ", ".join(f"R@{cut} {signed(one)}" for cut, one in zip(CUTS, self.found, strict=True))
        return Bar(f"{self.what} as the paper has it, {self.way}", measured, self.ordered)


def signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


HEADER = ["codes", "bits", *(f"{way} R@{cut}" for way in WAYS for cut in CUTS), "fit s"]
GAP_HEADER = ["difference", "compared", *(f"R@{cut}" for cut in CUTS), "as the paper"]


def judged_table(cache: Path, steps: int) -> tuple[list[str], dict[str, object], list[Bar]]:
    """Tables, JSON and promises; each code is trained for ``steps`` batches at most."""
    data = Judged.of(cache)
    rows: dict[str, Row] = {}
    for row in chain(controls(data), trained_rows(data, steps)):
        rows[row.name] = row
        print(" | ".join(row.cells()), file=sys.stderr, flush=True)
    found = gaps(rows)
    texts = [table(HEADER, [row.cells() for row in rows.values()]), ""]
    texts += [table(GAP_HEADER, [gap.cells() for gap in found]), ""]
    results = {"labels": [row.as_json() for row in rows.values()], "label gaps": [gap.as_json() for gap in found]}
    return texts, results, [gap.bar() for gap in found if gap.way == "code-code"]


def gaps(rows: dict[str, Row]) -> list[Gap]:
    """One loop against hashing and float of the same recipe and training."""
    found = []
    for recipe, taught in product(RECIPES, (False, True)):
        control = rows[named(recipe, "float", 0, taught)]
        for bits, way in product(BITS[recipe], WAYS):
            loop, hashing = (rows[named(recipe, kind, bits, taught)] for kind in ("u=1", "u=0"))
            found.append(Gap.between(loop, hashing, way, hashing=True))
            found.append(Gap.between(loop, control, way, hashing=False))
    return found


def named(recipe: str, kind: str, bits: int, taught: bool) -> str:
    size = "" if kind == "float" else f" {bits}"
    return f"{recipe}{', queries' if taught else ''}: {kind}{size}"


# -- what is measured ----------------------------------------------------------------------------------


def controls(data: Judged) -> Iterator[Row]:
    """What is not trained by gradient descent; decoded codes are compared with each other where they are not signs."""
    exact = data.hits(data.asked @ data.documents.T)
    yield Row("float32", 32 * data.documents.shape[1], dict.fromkeys(WAYS, exact))
    for spec, bits in (("rabitq(384)", 384), ("binary(768)", 768)):
        began = time.perf_counter()
        codec = octant.quantizer(spec).fit(data.learn)
        taken = time.perf_counter() - began
        codes, asked = codec.encode(data.documents), codec.encode(data.asked)
        decoded = codec.decode(codes)
        if spec.startswith("rabitq"):
            symmetric = asked @ codes.T
        else:
            symmetric = unit_rows(codec.decode(asked)) @ unit_rows(decoded).T
        yield row_of(spec, bits, data, symmetric, decoded, taken)


def trained_rows(data: Judged, steps: int) -> Iterator[Row]:
    dim = data.documents.shape[1]
    for recipe, taught in product(RECIPES, (False, True)):
        method, contrast = RECIPES[recipe]
        for bits, loops in product(BITS[recipe], (0, 1)):
            codec = RecurrentBinary(bits // (loops + 1), loops, method, contrast=contrast, steps=steps)
            yield trained(named(recipe, f"u={loops}", bits, taught), codec, data, taught)
        control = RecurrentBinary(dim, 0, "float", contrast=contrast, steps=steps)
        yield trained(named(recipe, "float", 0, taught), control, data, taught)


def trained(name: str, codec: RecurrentBinary, data: Judged, taught: bool) -> Row:
    began = time.perf_counter()
    codec.fit(data.learn, queries=data.taught if taught else None)
    taken = time.perf_counter() - began
    codes = codec.encode(data.documents)
    if codec.method == "float":
        symmetric = unit_rows(codec.encode(data.asked)) @ unit_rows(codes).T
        return row_of(name, 32 * codec.dim, data, symmetric, codec.decode(codes), taken)
    index = SymmetricIndex(codec.symmetric(data.documents))
    return row_of(name, codec.bits, data, index.cosines(codec.symmetric(data.asked)), codec.decode(codes), taken)


def row_of(
    name: str, bits: int, data: Judged, symmetric: np.ndarray, decoded: np.ndarray, seconds: float | None
) -> Row:
    hits = dict(zip(WAYS, (data.hits(symmetric), data.hits(data.asked @ decoded.T)), strict=True))
    return Row(name, bits, hits, seconds)
