"""A further embedding for a collection that holds documents: added while it lives, and taken away again.

What is left to do is always what Qdrant finds without the new vector, so a run that was killed goes on by being called
again, and documents that somebody writes meanwhile get theirs too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from octant import families
from octant.core import Core, creating, fitting
from octant.core.embedding import check_embedding, note_embedding
from octant.embedders import Embedder
from octant.errors import InputError, MismatchError, TooFewVectorsError
from octant.flow import Flow, step
from octant.ingest import FIT_TEXTS, codes, embed
from octant.layout import HnswSettings, MemoryPlacement, StoredPoint
from octant.manifest import Manifest
from octant.records import JSON, Distance, FloatArray, uuid_or_int
from octant.representation import Representation
from octant.terms import Terms
from octant.version import __version__
from octant.work import Work, progress_bar

MAX_PASSES = 10
"""Times that a backfill looks for documents that were written meanwhile."""

Progress = Callable[[int], object]


def add(
    core: Core,
    name: str,
    model: Embedder | None,
    terms: Terms,
    representation: Representation,
    *,
    batch_size: int,
    progress: bool,
) -> Flow[int]:
    """Give every document a vector of another model; the number of documents that got one in this run.

    Parameters
    ----------
    core : Core
    name : str
    model : Embedder or None
        None is refused, unless all that is to be done was done.
    terms : Terms
    representation : Representation
        As parsed from ``terms``.
    batch_size : int
        Documents that are embedded and written at a time.
    progress : bool

    Raises
    ------
    InputError
        Before anything is written: if the collection cannot have that embedding, or documents have no text.
    MismatchError
        If it was begun with another model or representation.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if core.draft or core.sparse_only:
        raise InputError("add_embedding is for collections that have one already: create with embeddings={...} instead")
    if model is None:
        raise InputError(f"the embedding {name!r} needs its model: pass embedding=")
    begun = core.embeddings.get(name)
    if begun is not None and not begun.manifest.unfinished:
        raise InputError(f"the collection has an embedding {name!r} already: give the new one another name")
    added = Core(core.store, representation, _manifest(core, name, representation, terms), model, core.sparse)
    added.ids = core.ids
    dimension = yield from creating.find_dimension(added, certain=True)
    added.manifest = replace(added.manifest, dimension=dimension)
    vectors = creating.laid_out(representation, added.manifest)
    points = yield from core.store.count()
    _check_size(representation, added.dimension, points)
    yield from _check_texts(core)
    if begun is None:
        yield from _begin(core, added)
    else:
        yield from _go_on(begun, added, terms)
    yield from core.store.add_vectors(vectors)
    core.siblings[name] = added
    work = Work(progress=progress)
    if points and not added.representation.fitted:
        yield from _fit(added, batch_size, work)
    with progress_bar((yield from _left(added)), title=f"embed {name}", unit="doc", show=progress) as advance:
        done = yield from _fill(added, batch_size, advance)
    yield from core.store.optimize()
    added.manifest = replace(added.manifest, unfinished=False)
    yield from core.store.write_manifest(added.manifest.to_json())
    return done


def drop(core: Core, name: str) -> Flow[None]:
    """Take an embedding from the collection: its vectors, those made of it, and what describes them.

    Raises
    ------
    InputError
        If there is none of that name, or it is the one that the collection is open with.
    UnsupportedError
        If the server is older than 1.18.
    """
    dropped = core.embeddings.get(name)
    if dropped is None:
        raise InputError(f"the collection has no embedding {name!r}; it has {', '.join(map(repr, core.embeddings))}")
    if dropped is core:
        others = ", ".join(f"vector_name={one!r}" for one in core.siblings) or "another one, of which there is none"
        raise InputError(f"{name!r} is the embedding that the collection is open with: open it with {others}")
    schema = yield from core.store.schema()
    gone = [dropped.manifest.vector_name, *dropped.kin.twins]
    members = [member for family in gone for member in families.members(schema, family)]
    yield from core.store.drop_vectors([member for member in members if member in schema.names])
    for family in gone:
        yield from core.store.drop_manifest(family)
    del core.siblings[dropped.manifest.vector_name]


# -- beginning, or going on ----------------------------------------------------------------------


def _manifest(core: Core, name: str, representation: Representation, terms: Terms) -> Manifest:
    own = core.manifest
    return Manifest(
        represent=representation.spec,
        distance=terms.distance or Distance.COSINE,
        dimension=terms.dimension,
        embedding=None,
        artifact=None,
        vector_name=name,
        text_key=own.text_key,
        sparse=own.sparse,
        sparse_name=own.sparse_name,
        hnsw=terms.hnsw or HnswSettings(),
        seed=own.seed,
        octant=__version__,
        coverage=terms.coverage,
        placement=terms.placement or MemoryPlacement(),
        knobs=terms.knobs,
        foreign_ids=core.foreign or own.foreign_ids,
        unfinished=True,
    )


def _check_size(representation: Representation, dimension: int, points: int) -> None:
    needed = 0 if representation.fitted else representation.vectors_needed(dimension)
    if 0 < points < needed:
        raise TooFewVectorsError(
            f"{representation.spec!r} needs {needed} vectors to learn from, and the collection holds {points} "
            "documents: add more first, or choose a representation that learns less"
        )


def _check_texts(core: Core) -> Flow[None]:
    key = core.manifest.text_key
    without = yield from core.store.count({"must": [{"is_empty": {"key": key}}]})
    if without:
        raise InputError(
            f"{without} of the collection's documents have no text under {key!r}, so that no model can embed them: "
            "delete them, or add their text"
        )


def _begin(core: Core, added: Core) -> Flow[None]:
    schema = yield from core.store.schema()
    made = creating.laid_out(added.representation, added.manifest)
    taken = sorted({layout.name for layout in made} & set(schema.names))
    if taken:
        raise InputError(
            f"the collection has a vector called {', '.join(map(repr, taken))} already: give the embedding another name"
        )
    if core.store.engine != "edge":
        yield from core.store.add_vectors(())  # a server that is too old refuses before anything is written
    # First the manifest: a vector without one would be taken for somebody else's.
    yield from core.store.write_manifest(added.manifest.to_json())


def _go_on(begun: Core, added: Core, terms: Terms) -> Flow[None]:
    """Take over what the run before has learned.

    Raises
    ------
    MismatchError
    """
    if begun.manifest.represent != added.manifest.represent:
        raise MismatchError(
            f"{added.title!r} was begun with {begun.manifest.represent!r}, got {added.manifest.represent!r}: go on "
            f"with the former, or drop_embedding({added.title!r}) and begin anew"
        )
    terms.check(begun.manifest, foreign=False)
    added.manifest, added.representation, added.kin = begun.manifest, begun.representation, begun.kin
    yield from check_embedding(added)


def _fit(added: Core, batch_size: int, work: Work) -> Flow[None]:
    """Learn from texts drawn at random from the whole collection."""
    sample = yield from added.store.sample(FIT_TEXTS, seed=added.manifest.seed, vectors=())
    texts = [_text(added, point) for point in sample]
    batches = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
    x: FloatArray = np.empty((0, added.dimension), np.float32)
    for some in work.steps(batches, what=f"learn {added.title}"):
        x = np.concatenate([x, (yield from _vectors(added, some))])
    yield from fitting.fit(added, x, work=work)


# -- filling -------------------------------------------------------------------------------------


def _without(added: Core) -> dict[str, JSON]:
    return {"must_not": [{"has_vector": added.stages.coarse.name}]}


def _left(added: Core) -> Flow[int]:
    return (yield from added.store.count(_without(added)))


def _fill(added: Core, batch_size: int, progress: Progress | None) -> Flow[int]:
    """Write the vector of every document that has none; how many got one."""
    done = 0
    for _ in range(MAX_PASSES):
        offset: int | str | None = None
        while True:
            page, offset = yield from added.store.read(
                filter=_without(added), limit=batch_size, offset=offset, vectors=()
            )
            if page:
                done += yield from _write(added, page)
                if progress is not None:
                    progress(len(page))
            if offset is None:
                break
        left = yield from _left(added)
        if not left:
            return done
    raise MismatchError(
        f"{left} documents are still without a vector of {added.title!r}: the collection is written to faster than "
        "they are embedded; call add_embedding again when it is quieter"
    )


def _write(added: Core, page: Sequence[StoredPoint]) -> Flow[int]:
    """Embed ``page`` and write what belongs to the text that is there once it is written."""
    due = list(page)
    written = 0
    while due:
        x = yield from _vectors(added, [_text(added, point) for point in due])
        if not written:
            yield from fitting.measure_coverage(added, x)
        made = yield from step(partial(codes, added, x))
        gone = yield from added.store.write_vectors([point.id for point in due], made)
        written += 0 if written else len(due) - len(gone)
        # Somebody may have replaced a document while its old text was embedded.
        now = yield from added.store.retrieve([point.id for point in due])
        before = {uuid_or_int(point.id): _text(added, point) for point in due}
        due = [point for point in now if _text(added, point) != before[uuid_or_int(point.id)]]
    return written


def _vectors(added: Core, texts: list[str]) -> Flow[FloatArray]:
    raw = yield from embed(added, texts)
    x = added.prepare(raw, what="embeddings")
    yield from note_embedding(added, raw)
    return x


def _text(added: Core, point: StoredPoint) -> str:
    key = added.manifest.text_key
    text = point.payload.get(key)
    if not isinstance(text, str):
        raise InputError(
            f"the document {point.id} has no text under {key!r} (got {type(text).__name__}), so that no model can "
            "embed it: delete it, or add its text, and call add_embedding again"
        )
    return text
