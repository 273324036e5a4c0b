"""``octant index``: files into a collection, again and again if need be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Annotated

import typer
from tqdm import tqdm

from octant.cli.indexer import Outcome, Survey, embed, survey
from octant.cli.indexer import index as index_documents
from octant.cli.options import (
    DEFAULT_MODEL,
    LOCATION,
    ApiKey,
    Embeddings,
    Location,
    client_options,
    open_collection,
)
from octant.cli.output import AsJson, echo_json, note, plural
from octant.cli.questions import read_questions
from octant.cli.several import Models, loaded, told
from octant.collection import Collection
from octant.collection.making import DEFAULT_REPRESENTATION, TEXT_KEY
from octant.documents import NOT_TEXT, Reader, Skipped
from octant.embedders import Embedder
from octant.errors import CollectionNotFoundError, InputError, MismatchError, TooFewVectorsError
from octant.ids import ID_KEY
from octant.recommendation import Recommendation
from octant.records import Distance, FloatArray
from octant.representation import Representation

SHOWN = 20
"""Skipped things that are listed one by one; JSON output lists all."""


def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files and folders: text, Markdown, JSON lines.", show_default=False),
    ],
    name: Annotated[str, typer.Option(help="Name of the collection.", show_default=False)],
    location: Location = LOCATION,
    embedding: Embeddings = None,
    represent: Annotated[
        str | None, typer.Option(metavar="SPEC", help="How vectors are stored.  [default: turbo8]", show_default=False)
    ] = None,
    recommendation: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The recommendation.json of octant tune: decides representation, graph, placement, search settings.",
            show_default=False,
        ),
    ] = None,
    distance: Annotated[
        Distance | None,
        typer.Option(case_sensitive=False, help="How vectors are compared.  [default: Cosine]", show_default=False),
    ] = None,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Store BM25 weights too, for sparse and hybrid search.")
    ] = False,
    chunk_size: Annotated[int, typer.Option(help="Characters of a passage.")] = 800,
    chunk_overlap: Annotated[int, typer.Option(help="Characters it repeats from the one before.")] = 80,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help='Real questions that the representation learns from: one a line, or JSON lines with a "text".',
            show_default=False,
        ),
    ] = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Read, split, embed and store files; a second run stores only what is new or changed.

    A killed run goes on where it was: run the same command again. Lines of JSON hold {"text": ..., "_id": ...,
    "title": ...}; their other fields become the payload.
    """
    # A typo is told before a word is read.
    if represent is not None:
        represent = Representation.parse(represent).spec
    chosen = None if recommendation is None else _recommended(recommendation, represent, distance)
    models = Models.parse(embedding)
    asked = None if queries is None else read_questions(queries)
    reader = Reader(paths, chunk_size, chunk_overlap, reserved=(TEXT_KEY, ID_KEY))
    found = survey(tqdm(reader, desc="read", unit=" documents"))
    if not found.passages:
        raise InputError(f"there is nothing to index in {', '.join(paths)}{_reasons(reader.skipped)}")
    wish = Wish(name, location, api_key, models, represent, chosen, distance, sparse, asked is not None)
    with _opened(wish, found) as collection:
        model = collection.embedding
        if model is None:
            raise InputError("the collection was opened without its embedding model")
        added = _added(collection, wish)
        known = _learn(collection, model, found, asked)
        with tqdm(total=found.passages, desc="store", unit=" passages") as bar:
            outcome = index_documents(collection, model, reader, known, bar.update)
        note("building indexes")
        collection.optimize()
        points, embeddings = collection.count(), list(collection.embeddings)
    result = {
        "collection": name, "location": location, "documents": found.documents, **asdict(outcome), "points": points,
        "embeddings": embeddings, "new_embeddings": added,
        "skipped": [asdict(entry) for entry in reader.skipped],
    }  # fmt: skip
    if as_json:
        echo_json(result)
    else:
        typer.echo(_summary(name, found, outcome, points) + told(added))
        _report(reader.skipped)


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line; None leaves a new collection its default, an old one its own."""

    name: str
    location: str
    api_key: str | None
    models: Models
    represent: str | None
    recommendation: Recommendation | None
    distance: Distance | None
    sparse: bool
    has_questions: bool

    @property
    def representation(self) -> Representation:
        """How a new collection stores vectors."""
        recommended = None if self.recommendation is None else self.recommendation.represent
        return Representation.parse(self.represent or recommended or DEFAULT_REPRESENTATION)


def _recommended(path: str, represent: str | None, distance: Distance | None) -> Recommendation:
    chosen = Recommendation.load(path)
    if represent is not None:
        raise InputError(f"--recommendation decides the representation ({chosen.represent}): leave --represent out")
    if distance not in (None, chosen.distance):
        raise MismatchError(
            f"the recommendation was made for {chosen.distance.value}, got --distance {distance}: leave it out"
        )
    Representation.parse(chosen.represent)
    return chosen


def _opened(wish: Wish, found: Survey) -> Collection:
    """The collection, open for writing: the one that is there, or a new one once it is sure to be possible."""
    try:
        with open_collection(wish.name, wish.location, wish.api_key) as there:
            manifest, embeddings = there.manifest, there.embeddings
    except CollectionNotFoundError:
        return _created(wish, found)
    if wish.distance is not None and wish.distance is not manifest.distance:
        raise MismatchError(
            f"the collection compares by {manifest.distance.value}, got --distance {wish.distance.value}: leave it out"
        )
    if wish.represent not in (None, manifest.represent) and not wish.models.new(embeddings):
        raise MismatchError(
            f"the collection stores {manifest.represent!r}, got --represent {wish.represent!r}: leave it out, or index "
            "into another collection"
        )
    if wish.sparse and manifest.sparse is None:
        raise MismatchError("the collection stores no sparse vectors: index into a new one to have them")
    _check_questions(wish, Representation.parse(manifest.represent))
    models = wish.models.of({name: info for name, info in embeddings.items() if info.complete})
    collection = Collection.open(
        wish.name, location=wish.location, embeddings=models, recommendation=wish.recommendation,
        client_options=client_options(wish.location, wish.api_key),
    )  # fmt: skip
    if not collection.representation.fitted:
        _check_size(collection.representation, collection.dimension, found)
    return collection


def _created(wish: Wish, found: Survey) -> Collection:
    chosen = wish.recommendation
    distance = wish.distance or (Distance.COSINE if chosen is None else chosen.distance)
    representation = wish.representation
    _check_questions(wish, representation)
    if wish.models.named and chosen is not None:
        raise InputError(
            "--recommendation is about one embedding: index with that one, then add the others to the collection by "
            "running octant index again with --embedding NAME=MODEL"
        )
    named = {name: loaded(model) for name, model in wish.models.named.items()}
    model = None if named else loaded(wish.models.alone or DEFAULT_MODEL)
    for one in named.values() if model is None else (model,):
        dimension = one.identity.dimension
        if dimension is not None:
            representation.check(dimension, distance)
        _check_size(representation, dimension, found)
    return Collection.create(
        wish.name, location=wish.location, embedding=model, embeddings=named or None, recommendation=chosen,
        distance=distance, represent=representation.spec if chosen is None else None,
        sparse="bm25" if wish.sparse else None, client_options=client_options(wish.location, wish.api_key),
    )  # fmt: skip


def _added(collection: Collection, wish: Wish) -> dict[str, int]:
    """Embeddings that the collection did not have, given to every document that it holds; how many each."""
    return {
        name: collection.add_embedding(name, loaded(model), represent=wish.represent, progress=True)
        for name, model in wish.models.new(collection.embeddings).items()
    }


def _check_size(representation: Representation, dimension: int | None, found: Survey) -> None:
    needed = 0 if dimension is None else representation.vectors_needed(dimension)
    if found.passages < needed:
        raise TooFewVectorsError(
            f"{representation.spec} needs at least {needed} passages to learn from, the corpus has {found.passages}: "
            "index more at once, or choose a representation that learns nothing, e.g. --represent turbo8"
        )


def _check_questions(wish: Wish, representation: Representation) -> None:
    if wish.has_questions and not representation.weighs_queries:
        raise InputError(f"{representation.spec} learns nothing from questions: leave --queries out")


def _learn(collection: Collection, model: Embedder, found: Survey, asked: list[str] | None) -> Mapping[str, FloatArray]:
    """Fit the representation if that is due; the vectors of the sample, to embed nothing twice."""
    for name in list(collection.embeddings)[1:]:
        if not collection.embeddings[name].fitted:
            note(f"fitting {name!r} on {plural(len(found.sample), 'passage')}")
            collection.fit(found.sample, queries=asked, embedding=name, progress=True)
    if collection.representation.fitted:
        if asked is not None:
            note("the representation has learned already: --queries changes nothing now")
        return {}
    with tqdm(total=len(found.sample), desc="sample", unit=" passages") as bar:
        vectors = embed(model, found.sample, bar.update)
    note(f"fitting {collection.representation.spec} on {plural(len(vectors), 'passage')}")
    report = collection.fit(vectors, queries=asked, progress=True)
    note(
        f"learned from {plural(report.learned_from, 'passage')}"
        + (f" and {plural(report.queries, 'question')}" if report.queries else "")
    )
    return dict(zip(found.sample, vectors, strict=True))


# -- saying what happened ------------------------------------------------------------------------


def _summary(name: str, found: Survey, outcome: Outcome, points: int) -> str:
    done = [f"{outcome.added:,} added"]
    done += [f"{outcome.replaced:,} replaced"] if outcome.replaced else []
    done += [f"{outcome.unchanged:,} already there, not embedded again"] if outcome.unchanged else []
    done += [f"{outcome.removed:,} removed"] if outcome.removed else []
    read = f"{plural(found.passages, 'passage')} of {plural(found.documents, 'document')}"
    return f"{name}: {read}: {', '.join(done)}; {plural(points, 'point')} in all"


def _report(skipped: list[Skipped]) -> None:
    """List what was not read on standard error; files of other kinds only by their number."""
    unread = [entry for entry in skipped if entry.reason != NOT_TEXT]
    for entry in unread[:SHOWN]:
        typer.echo(f"skipped {entry}", err=True)
    if len(unread) > SHOWN:
        typer.echo(f"skipped {len(unread) - SHOWN:,} more: --json lists them all", err=True)
    if len(unread) < len(skipped):
        typer.echo(f"left out {_other_kinds(skipped)}", err=True)


def _other_kinds(skipped: list[Skipped]) -> str:
    kinds = Counter(PurePath(entry.place).suffix or "no suffix" for entry in skipped if entry.reason == NOT_TEXT)
    listed = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(8))
    return f"{plural(kinds.total(), 'file')} of other kinds ({listed})"


def _reasons(skipped: list[Skipped]) -> str:
    reasons = Counter(entry.reason for entry in skipped).most_common(3)
    return "".join(f"; {count:,} skipped: {reason}" for reason, count in reasons)
