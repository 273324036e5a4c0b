"""What a collection finds for a query, by one embedding or by several apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from octant import search as searches
from octant import several_embeddings
from octant.errors import InputError
from octant.flow import Flow
from octant.fusion import Fusion
from octant.layout import SearchKnobs
from octant.rankings import Rankings
from octant.records import Ranking
from octant.search import Mode, Request

if TYPE_CHECKING:
    from octant.collection.collection import Collection
    from octant.cutoffs.cutoff import Cutoff


def search(
    collection: Collection,
    query: object,
    k: int = 10,
    *,
    filter: object | None = None,  # noqa: A002
    score_threshold: float | None = None,
    offset: int = 0,
    knobs: SearchKnobs | None = None,
    mode: Mode = "dense",
    fusion: str | Fusion = "rrf",
    with_vectors: bool = False,
    embedding: str | None = None,
    cutoff: Cutoff | None = None,
) -> Flow[Ranking]:
    """The documents nearest to ``query``, best first.

    Parameters
    ----------
    query : str, (dim,) array_like, or SparseVector
    k : int
        Answers wanted.
    filter : qdrant_client.models.Filter or mapping, optional
        On payloads; a mapping is Qdrant's REST form. ``has_id`` takes the caller's own ids.
    score_threshold : float, optional
        Answers with a lower score are left out; in units of the returned scores.
    offset : int
        Answers to leave out at the top.
    knobs : SearchKnobs, optional
        In place of those that are kept with the collection, all of them.
    mode : {"dense", "sparse", "hybrid"}
    fusion : {"rrf", "dbsf"} or Fusion
        Of a hybrid search.
    with_vectors : bool
        Whether candidates carry their decoded vectors.
    embedding : str, optional
        Which of several embeddings is searched, by its name; the first one without it. The name of the sparse
        vector means ``mode="sparse"``.
    cutoff : Cutoff, optional
        Answers that are too improbably relevant are left out too, by Qdrant itself; dense searches only.

    Raises
    ------
    InputError, VectorValueError, DimensionError, FilterError
    MismatchError
        If the cutoff was trained for another embedding or distance.
    UnavailableError, StoreError
    """
    rankings = yield from search_batch(
        collection, [query], k, filter=filter, score_threshold=score_threshold, offset=offset, knobs=knobs, mode=mode,
        fusion=fusion, with_vectors=with_vectors, embedding=embedding, cutoff=cutoff,
    )  # fmt: skip
    return rankings[0]


def search_batch(
    collection: Collection,
    queries: Sequence[object] | Any,
    k: int = 10,
    *,
    filter: object | None = None,  # noqa: A002
    score_threshold: float | None = None,
    offset: int = 0,
    knobs: SearchKnobs | None = None,
    mode: Mode = "dense",
    fusion: str | Fusion = "rrf",
    with_vectors: bool = False,
    embedding: str | None = None,
    cutoff: Cutoff | None = None,
) -> Flow[list[Ranking]]:
    """Several searches in one request to the engine; see :meth:`search`.

    Parameters
    ----------
    queries : list of str, or (n, dim) array_like
    """
    core, mode = several_embeddings.chosen(collection._core, embedding, mode)
    knobs = knobs or core.manifest.knobs or SearchKnobs()
    fused = Fusion.parse(fusion)
    request = Request(k, offset, filter, score_threshold, knobs, mode, fused, with_vectors, cutoff)
    return (yield from searches.search(core, list(queries), request))


def search_each(
    collection: Collection,
    query: object,
    k: int = 10,
    *,
    embeddings: Sequence[str] | None = None,
    filter: object | None = None,  # noqa: A002
    offset: int = 0,
    knobs: SearchKnobs | None = None,
    with_vectors: bool = False,
    timeout: float | None = None,
) -> Flow[Rankings]:
    """What each of several embeddings finds, apart, all from one request to the engine.

    A model that fails or is too late costs the others nothing: the result says which one failed and why.

    Parameters
    ----------
    query : str, or mapping from embedding to text or vector
    k : int
        Answers wanted of each.
    embeddings : sequence of str, optional
        Which are asked, by name, the sparse one among them; all that can be asked this, without it.
    filter, offset
        As for :meth:`search`.
    knobs : SearchKnobs, optional
        For all of them, in place of those that are kept with each.
    with_vectors : bool
        Whether candidates carry their decoded vectors, each ranking those of its own embedding. Sparse rankings
        carry those of the first one.
    timeout : float, optional
        Seconds that each model has. A call that cannot be stopped goes on in its thread, and nobody waits for it.

    Raises
    ------
    InputError, VectorValueError, DimensionError, FilterError
        If nothing can be asked this, or a given vector is impossible.
    UnavailableError, StoreError
    """
    found = yield from search_each_batch(
        collection, [query], k, embeddings=embeddings, filter=filter, offset=offset, knobs=knobs,
        with_vectors=with_vectors, timeout=timeout,
    )  # fmt: skip
    return found[0]


def search_each_batch(
    collection: Collection,
    queries: Sequence[object],
    k: int = 10,
    *,
    embeddings: Sequence[str] | None = None,
    filter: object | None = None,  # noqa: A002
    offset: int = 0,
    knobs: SearchKnobs | None = None,
    with_vectors: bool = False,
    timeout: float | None = None,
) -> Flow[list[Rankings]]:
    """Several searches of several embeddings, in one request to the engine; see :meth:`search_each`.

    Parameters
    ----------
    queries : list of str, or of mappings from embedding to text or vector
    """
    names = None if embeddings is None else _names(embeddings)
    request = Request(k, offset, filter, with_vectors=with_vectors)
    return (
        yield from several_embeddings.search_each(
            collection._core, list(queries), request, names, knobs=knobs, timeout=timeout
        )
    )


def _names(embeddings: Sequence[str]) -> list[str]:
    if isinstance(embeddings, str):
        raise InputError(f"embeddings is a list of names, got one string: pass [{embeddings!r}]")
    return list(dict.fromkeys(embeddings))
