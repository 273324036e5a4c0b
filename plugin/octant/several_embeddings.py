"""Several embeddings in one collection: what they are, and one search that asks several of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from octant.core import Core
from octant.errors import AccessDeniedError, FilterError, InputError, StoreError, UnavailableError, told
from octant.flow import Flow, arun, fork, run, step
from octant.layout import SearchKnobs, StoredPoint
from octant.rankings import Rankings
from octant.records import Distance, EmbeddingIdentity, Ranking
from octant.search import Mode, Request, Search, prepare
from octant.threads import awaited_within, within

T = TypeVar("T")


@dataclass(frozen=True)
class EmbeddingInfo:
    """One embedding of a collection.

    Attributes
    ----------
    name : str
        What searches call it: the name of its vector, or "dense" where that has none.
    model : EmbeddingIdentity or None
        Which model made the vectors; None where nobody recorded it, and for sparse vectors.
    represent : str or None
        How it is stored; None for sparse vectors.
    distance : Distance or None
        None for sparse vectors.
    dimension : int or None
        None before the first vector, and for sparse vectors.
    sparse : str or None
        Identity of the encoder, where the vectors are sparse.
    takes_texts : bool
        Whether its model is at hand, so that texts can be searched and added.
    fitted : bool
        Whether codes can be made: nothing has to be learned, or it has been.
    complete : bool
        False while it is being added to a collection that held documents before.
    """

    name: str
    model: EmbeddingIdentity | None = None
    represent: str | None = None
    distance: Distance | None = None
    dimension: int | None = None
    sparse: str | None = None
    takes_texts: bool = False
    fitted: bool = True
    complete: bool = True


def described(core: Core) -> dict[str, EmbeddingInfo]:
    """Every embedding of the collection by name, the first one first, the sparse one last."""
    found = {}
    for name, one in core.embeddings.items():
        own = one.manifest
        if not one.sparse_only:
            found[name] = EmbeddingInfo(
                name, own.embedding, own.represent, own.distance, own.dimension,
                takes_texts=one.embedder is not None, fitted=one.representation.fitted, complete=not own.unfinished,
            )  # fmt: skip
    sparse = core.manifest.sparse_name
    if sparse is not None:
        encoder = core.manifest.sparse or (None if core.sparse is None else core.sparse.identity)
        found[sparse] = EmbeddingInfo(sparse, sparse=encoder, takes_texts=core.sparse is not None)
    return found


def chosen(core: Core, name: str | None, mode: Mode) -> tuple[Core, Mode]:
    """The embedding called ``name``, and the mode that searches it.

    Raises
    ------
    InputError
        If there is none of that name, or the mode is for others.
    """
    if name is None or name != core.manifest.sparse_name or name in core.embeddings:
        return core.of(name), mode
    if mode == "hybrid":
        raise InputError(f"a hybrid search asks {name!r} anyway: name the dense embedding that it is fused with")
    return core, "sparse"


# -- asking several at once ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _How:
    """What is the same for every embedding."""

    request: Request
    knobs: SearchKnobs | None
    timeout: float | None


@dataclass(frozen=True, eq=False)
class _Job:
    """Some of the queries, for one embedding: ready to be sent, or failed."""

    name: str
    rows: tuple[int, ...]
    ready: Search | None
    failure: str = ""


def search_each(
    core: Core,
    queries: Sequence[object],
    request: Request,
    names: Sequence[str] | None = None,
    *,
    knobs: SearchKnobs | None = None,
    timeout: float | None = None,
) -> Flow[list[Rankings]]:
    """One :class:`Rankings` a query: every embedding's own ranking, all from one request to the engine.

    Parameters
    ----------
    core : Core
    queries : sequence of str, or of mappings from name to text or vector
    request : Request
        Mode and knobs aside, which are each embedding's own.
    names : sequence of str, optional
        Embeddings to ask; without it, all that can be asked this.
    knobs : SearchKnobs, optional
        For all of them, in place of those that are kept with each.
    timeout : float, optional
        Seconds that each embedding has to make its query vectors.

    Raises
    ------
    InputError
        If no embedding can be asked, or one of ``names`` is not there, or a query vector is impossible.
    FilterError
        If the filter is none.
    StoreError
        If the engine answers none of them.
    """
    if not queries:
        return []
    asked = [_by_name(core, query, names) for query in queries]
    everybody = list(dict.fromkeys(name for query in asked for name in query))
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout is a positive number of seconds, got {timeout}")
    how = _How(request, knobs, timeout)
    flows = [partial(_jobs, core, name, asked, how) for name in everybody]
    jobs = [job for some in (yield from fork(flows, limit=len(flows))) for job in some]
    found: list[dict[str, Ranking]] = [{} for _ in queries]
    failures: list[dict[str, str]] = [{} for _ in queries]
    for job, rankings, failure in (yield from _answers(core, jobs)):
        for place, row in enumerate(job.rows):
            if failure:
                failures[row][job.name] = failure
            else:
                found[row][job.name] = rankings[place]
    texts = [query if isinstance(query, str) else None for query in queries]
    return [
        Rankings(_ordered(rankings, everybody), _ordered(failed, everybody), text)
        for rankings, failed, text in zip(found, failures, texts, strict=True)
    ]


def _ordered(found: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    return {name: found[name] for name in names if name in found}


def _by_name(core: Core, query: object, names: Sequence[str] | None) -> dict[str, object]:
    """What each embedding is asked."""
    known = described(core)
    if isinstance(query, Mapping):
        wanted = list(query) if names is None else [name for name in names if name in query]
        asked = {name: query[name] for name in wanted}
    elif isinstance(query, str):
        able = [name for name, one in known.items() if one.takes_texts and one.complete]
        asked = dict.fromkeys(able if names is None else names, query)
    else:
        raise InputError(
            "a query of several embeddings is a text, or a mapping from their names to texts or vectors; got "
            f"{type(query).__name__}"
        )
    for name in asked:
        if name not in known:
            raise InputError(f"the collection has no embedding {name!r}; it has {', '.join(map(repr, known))}")
        chosen(core, name, "dense")
    if not asked:
        raise InputError(
            f"no embedding can be asked this; the collection has {', '.join(map(repr, known)) or 'none'}: open it with "
            "their models (embeddings={name: model}), or pass vectors by name"
        )
    return asked


def _jobs(core: Core, name: str, asked: Sequence[Mapping[str, object]], how: _How) -> Flow[list[_Job]]:
    rows = tuple(row for row, query in enumerate(asked) if name in query)
    queries = [asked[row][name] for row in rows]
    job = yield from _job(core, name, rows, queries, how)
    if job.ready is not None or len(rows) == 1 or job.failure.startswith("TimeoutError"):
        return [job]
    # One query may be to blame, and the others need not suffer for it.
    apart = []
    for row, query in zip(rows, queries, strict=True):
        alone = yield from _job(core, name, (row,), [query], how)
        apart.append(alone)
    return apart


def _job(core: Core, name: str, rows: tuple[int, ...], queries: Sequence[object], how: _How) -> Flow[_Job]:
    one, mode = chosen(core, name, "dense")
    wanted = replace(how.request, mode=mode, knobs=how.knobs or one.manifest.knobs or SearchKnobs())
    timeout = how.timeout

    def call() -> Search:
        return within(lambda: run(prepare(one, queries, wanted)), timeout)

    async def acall() -> Search:
        return await awaited_within(lambda: arun(prepare(one, queries, wanted)), timeout)

    try:
        return _Job(name, rows, (yield from step(call, acall)))
    except (UnavailableError, AccessDeniedError, FilterError):
        raise
    except Exception as error:
        # A vector that is impossible is the caller's mistake; whatever goes wrong with a text is the model's failure.
        if isinstance(error, InputError) and not all(isinstance(query, str) for query in queries):
            raise
        return _Job(name, rows, None, told(error))


def _answers(core: Core, jobs: Sequence[_Job]) -> Flow[list[tuple[_Job, list[Ranking], str]]]:
    ready = [job for job in jobs if job.ready is not None]
    requests = [request for job in ready if job.ready for request in job.ready.requests]
    refused: dict[int, str] = {}
    parts: dict[int, Sequence[Sequence[StoredPoint]]] = {}
    try:
        answers = (yield from core.store.query(requests)) if requests else []
    except (UnavailableError, AccessDeniedError):
        raise
    except StoreError:
        if len(ready) == 1:
            raise
        parts, refused = yield from _one_by_one(core, ready)
    else:
        start = 0
        for place, job in enumerate(ready):
            count = len(job.ready.requests) if job.ready else 0
            parts[place] = answers[start : start + count]
            start += count
    found: list[tuple[_Job, list[Ranking], str]] = [(job, [], job.failure) for job in jobs if job.ready is None]
    for place, job in enumerate(ready):
        if place in refused:
            found.append((job, [], refused[place]))
        elif job.ready is not None:
            rankings = yield from step(partial(job.ready.rankings, parts[place]))
            found.append((job, rankings, ""))
    return found


def _one_by_one(
    core: Core, ready: Sequence[_Job]
) -> Flow[tuple[dict[int, Sequence[Sequence[StoredPoint]]], dict[int, str]]]:
    """The engine refused all of it; one embedding's part may be to blame.

    Raises
    ------
    StoreError
        If it refuses each of them.
    """
    parts: dict[int, Sequence[Sequence[StoredPoint]]] = {}
    refused: dict[int, str] = {}
    last: StoreError | None = None
    for place, job in enumerate(ready):
        try:
            parts[place] = yield from core.store.query(job.ready.requests if job.ready else ())
        except StoreError as error:  # noqa: PERF203  # what is refused is what is asked here
            refused[place], last = told(error), error
    if last is not None and not parts:
        raise last
    return parts, refused
