"""Further vectors for the documents of a collection: of another model, or of every token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from octant import backfill, late_interaction
from octant.collection import making
from octant.flow import Flow
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.recommendation import Recommendation
from octant.records import Datatype, Distance, PointId
from octant.representation import Representation
from octant.terms import Terms

if TYPE_CHECKING:
    from octant.collection.collection import Collection


def add_embedding(
    collection: Collection,
    name: str,
    embedding: object,
    *,
    represent: str | None = None,
    distance: str | Distance | None = None,
    hnsw: HnswSettings | None = None,
    placement: MemoryPlacement | None = None,
    knobs: SearchKnobs | None = None,
    recommendation: Recommendation | str | Path | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> Flow[int]:
    """Give every document a vector of a further model, while the collection is searched and written to.

    Killed at any moment, the same call goes on where it was. Until it is complete the new embedding answers no
    search. Needs a server from 1.18 on, or Edge.

    Parameters
    ----------
    name : str
        Of the embedding and of its vector.
    embedding : optional
        As for :meth:`create`.
    represent, distance, hnsw, placement, knobs, recommendation : optional
        As for :meth:`create`.
    batch_size : int
        Documents that are embedded and written at a time; so many may be embedded twice after a kill.
    progress : bool
        Show progress bars on standard error.

    Returns
    -------
    int
        Documents that got a vector in this run.

    Raises
    ------
    InputError, SpecError, TooFewVectorsError
        Before anything is written, if it cannot be added; or if documents have no text.
    MismatchError
        If it was begun with another model or representation.
    UnsupportedError
        If the server is too old.
    """
    settings = {
        "embedding": embedding, "represent": represent, "distance": distance, "hnsw": hnsw,
        "placement": placement, "knobs": knobs, "recommendation": recommendation,
    }  # fmt: skip
    making.check_name(name, (), collection._core.manifest.sparse_name or "")
    model, terms = making.wanted_of(name, settings, Terms())
    representation = Representation.parse(terms.represent or making.DEFAULT_REPRESENTATION)
    return (
        yield from backfill.add(
            collection._core, name, model, terms, representation, batch_size=batch_size, progress=progress
        )
    )


def drop_embedding(collection: Collection, name: str) -> Flow[None]:
    """Take an embedding, complete or not, from the collection; documents stay.

    Raises
    ------
    InputError
        If there is none of that name, or it is the one that the collection is open with.
    UnsupportedError
        If the server is older than 1.18.
    """
    yield from backfill.drop(collection._core, name)


def store_tokens(
    collection: Collection, name: str = late_interaction.NAME, *, datatype: Datatype = "float16", batch_size: int = 32,
    progress: bool = False,
) -> Flow[int]:  # fmt: skip
    """Keep a vector of every token of every document, for ``maxsim(stored=...)`` to score inside Qdrant.

    A multivector beside the other vectors, on disk and without a graph: some 75 KB for a document of 100 tokens
    in 384 dimensions and float16, half of that in turbo8, a quarter in turbo4. Documents that have theirs are left
    alone, so a run that was killed goes on by being called again, and later documents get theirs by another call.

    Parameters
    ----------
    name : str
        Of the vector inside Qdrant.
    datatype : {"float32", "float16", "turbo8", "turbo4"}
    batch_size : int
        Documents that are embedded and written at a time.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    int
        Documents that got their vectors in this run; those without text get none.

    Raises
    ------
    InputError
        If the model gives no vectors of tokens, or the name is taken by another vector; nothing is written then.
    UnsupportedError
        If the server is older than 1.18.
    """
    return late_interaction.store(collection._core, name, datatype, batch_size=batch_size, progress=progress)


def token_scores(
    collection: Collection, query: str, ids: Sequence[PointId], *, name: str = late_interaction.NAME
) -> Flow[dict[PointId, float]]:
    """MaxSim of documents for a text, computed by Qdrant: see :class:`octant.rerankers.maxsim.MaxSim`.

    Parameters
    ----------
    query : str
    ids : sequence of int or str
    name : str
        As for :meth:`store_tokens`, or whatever multivector of this model another client wrote.

    Returns
    -------
    dict of id to float
        Mean over the query's tokens of the greatest cosine with a token of the document, in [-1, 1]. Documents
        that are not there, or have no such vectors, are left out.

    Raises
    ------
    InputError
        If there is no such multivector, or it is of another width than the model's tokens.
    """
    return late_interaction.scores(collection._core, query, ids, name)
