"""Tuning: from a source and a goal to a study and its recommendation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from octant.collection import Collection
from octant.datasets import TextDataset, VectorDataset
from octant.errors import InputError
from octant.recommendation import Recommendation
from octant.records import Distance
from octant.representation import Representation
from octant.tuning import amounts, sources
from octant.tuning.candidates import Family, first_graph, other_graphs, representations
from octant.tuning.conclusion import concluded
from octant.tuning.deal import Deal, deal
from octant.tuning.halving import Search
from octant.tuning.kept import Ledger, digest
from octant.tuning.laboratory import Laboratory
from octant.tuning.progress import shown
from octant.tuning.sources import Queries, Source
from octant.tuning.study import Goal, Study

DEFAULT_BUDGET = "10m"
DEFAULT_RECALL = 0.95
COARSE_RECALL = 0.97
"""Bounds above which four bits a coordinate seldom do: representations that end in them are tried last."""


def study(
    source: object,
    goal: Goal | None = None,
    *,
    location: object | None = None,
    vector_name: str | None = None,
    embedding: object | None = None,
    queries: object | None = None,
    qrels: str | Path | None = None,
    split: str | None = None,
    distance: str | Distance | None = None,
    points: int | str | None = None,
    represent: str | Sequence[str] = (),
    only: bool = False,
    budget: float | str = DEFAULT_BUDGET,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Study:
    """Measure many ways to store and search ``source``, and recommend one.

    Every candidate is built on Qdrant Edge from a sample of the vectors and asked queries that neither it nor any fit
    has seen. Candidates are ranked by one part of the queries; what is stated about the recommendation comes from the
    other part, which also has the last word on whether it satisfies the goal. A bound on quality is satisfied when the
    lower end of the 95 % interval reaches it. Of many that are tried, the one passes that the queries happen to like:
    what that adds on average is estimated and taken off the value and the lower end (``octant.tuning.optimism``).

    Parameters
    ----------
    source : Collection, VectorDataset, TextDataset, (n, dim) array_like, str or Path
        What to tune for: an open collection, the name of one at ``location``, vectors, or the path of a BEIR-style
        folder or a ``.npz``.
    goal : Goal, optional
        A recall of .95 at the least cost unless told otherwise.
    location : optional
        Where the collection of that name is; see :meth:`octant.Collection.create`.
    vector_name : str, optional
        Which vector of a collection at ``location``; not needed where it has one only.
    embedding : optional
        What :func:`octant.embedder` takes. Texts need one.
    queries : str, Path, (m, dim) array_like, optional
        Real queries: vectors, or a ``.npz`` of them, or a ``.jsonl`` of texts. Without any, documents are held out and
        asked in their place.
    qrels : str or Path, optional
        A ``.tsv`` that judges ``queries``.
    split : str, optional
        Of a folder.
    distance : {"cosine", "dot", "euclid", "manhattan"}, optional
        Of vectors and datasets, cosine unless given; a collection knows its own.
    points : int or str, optional
        How many vectors ``source`` stands for, where it is a sample of a larger collection: ``"10M"``.
    represent : str or sequence of str
        Further specs to try, before all others.
    only : bool
        Try no others.
    budget : float or str
        Seconds, or as in ``"10m"``.
    out : str or Path, optional
        Folder in which every measurement is kept, so that a tuning that was interrupted goes on from there.
    cache_dir : str or Path, optional
        Keep the embeddings of texts there.
    seed : int
        Of every draw and every fit.
    progress : bool
        Show on standard error what is tried, and what is best so far.
    clock : callable
        Seconds, from any origin, that the budget counts: of the wall, or ``time.process_time`` where other work keeps
        the machine busy.

    Returns
    -------
    Study
        After Ctrl-C what was found until then, marked as interrupted.

    Raises
    ------
    InputError, SpecError
        If source, goal or an argument is impossible; nothing is measured then.
    KeyboardInterrupt
        If it comes before anything was measured.
    """
    started = clock()
    wanted, notes = _completed(goal or Goal())
    seconds = amounts.seconds(budget)
    for spec in [represent] if isinstance(represent, str) else represent:
        Representation.parse(spec)
    specs = (represent,) if isinstance(represent, str) else tuple(represent)
    if only and not specs:
        raise InputError("only= leaves nothing to try: name representations with represent=")
    given = _source(
        source, location, vector_name, embedding, split, None if distance is None else Distance.parse(distance),
        cache_dir, seed, progress,
    )  # fmt: skip
    given = given.standing_for(None if points is None else amounts.count(points))
    given = _with_queries(given, queries, qrels, embedding, cache_dir, progress)
    _check_labels(given, wanted)
    dealt = deal(given, seed)
    families = _families(dealt, wanted, specs, only)
    folder, key = _folder(out), _digest(dealt, wanted.k, seed)
    ledgers = Ledger(folder, key), Ledger(folder, f"{key} roughly")
    resumed = sum(ledger.resumed for ledger in ledgers)
    if resumed:
        notes += (f"{resumed} measurements were taken over from {folder}.",)
    lab = Laboratory(dealt, wanted, seed, *ledgers, clock=clock)
    remaining = max(1.0, seconds - (clock() - started))
    with shown(wanted, progress) as tell:
        search = Search(
            lab, wanted, len(dealt.documents), dealt.complete, remaining, clock, tell,
            partial(_graphs, dealt),
        )  # fmt: skip
        interrupted = False
        try:
            search.run(families)
        except KeyboardInterrupt:
            if search.reference is None or not any(one.selected.failed is None for one in search.outcomes):
                raise
            interrupted = True
        finally:
            lab.close()
    return concluded(given, dealt, wanted, search, (*notes, *given.notes), interrupted, clock() - started)


def tune(
    source: object,
    *,
    k: int = 10,
    min_recall: float | None = None,
    min_ndcg: float | None = None,
    max_ram: float | str | None = None,
    max_disk: float | str | None = None,
    max_latency_ratio: float | None = None,
    objective: str = "cheapest",
    ram_weight: float = 1.0,
    out: str | Path | None = None,
    **options: object,
) -> Recommendation:
    """Recommend how to store and search ``source``: the cheapest way that satisfies every bound, or the best.

    ``Collection.create(recommendation=…)`` takes what comes back.

    Parameters
    ----------
    source : Collection, VectorDataset, TextDataset, (n, dim) array_like, str or Path
        See :func:`octant.tuning.study`, which also takes the further ``options``: location, queries, budget, …
    k : int
        Answers of a search that are judged.
    min_recall, min_ndcg : float, optional
        Least recall@k of the exact neighbours, least nDCG@k where there are judgements.
    max_ram, max_disk : float or str, optional
        Bytes a vector, or a total as in ``"2GiB for 10M vectors"``.
    max_latency_ratio : float, optional
        Time of a query as a multiple of float32's.
    objective : {"cheapest", "best"}
    ram_weight : float
        ``cost = ram_weight * RAM + disk``.
    out : str or Path, optional
        Folder for ``recommendation.json``, ``study.json`` and every measurement.

    Returns
    -------
    Recommendation
        With ``satisfied=False``, the closest candidate and what to relax where nothing satisfies.

    Raises
    ------
    InputError, SpecError

    Examples
    --------
    >>> vectors = np.random.default_rng(0).standard_normal((400, 32)).astype(np.float32)
    >>> found = tune(vectors, min_recall=0.5, represent=["turbo8", "turbo4"], only=True)
    >>> found.represent, found.satisfied
    ('turbo4', True)
    """
    goal = Goal(
        k=k, min_recall=min_recall, min_ndcg=min_ndcg,
        max_ram=None if max_ram is None else amounts.bytes_per_vector(max_ram),
        max_disk=None if max_disk is None else amounts.bytes_per_vector(max_disk),
        max_latency_ratio=max_latency_ratio,
        objective=objective,  # type: ignore[arg-type]  # Goal refuses what is neither
        ram_weight=ram_weight,
    )  # fmt: skip
    found = study(source, goal, out=out, **options)  # type: ignore[arg-type]
    if out is not None:
        found.recommendation.save(Path(out) / "recommendation.json")
        found.save(Path(out) / "study.json")
    return found.recommendation


def _completed(goal: Goal) -> tuple[Goal, tuple[str, ...]]:
    """The goal with the bound that it cannot do without, and what was assumed."""
    if goal.objective == "best":
        if goal.max_ram is None and goal.max_disk is None and goal.max_latency_ratio is None:
            raise InputError("the best without a budget is float32: give max_ram, max_disk or max_latency_ratio")
        return goal, ()
    if goal.min_recall is not None or goal.min_ndcg is not None:
        return goal, ()
    note = f"No quality was asked for: {goal.recall} of at least {DEFAULT_RECALL} is assumed."
    return replace(goal, min_recall=DEFAULT_RECALL), (note,)


def _source(
    source: object,
    location: object | None,
    vector_name: str | None,
    embedding: object | None,
    split: str | None,
    distance: Distance | None,
    cache_dir: str | Path | None,
    seed: int,
    progress: bool,
) -> Source:
    if location is not None:
        if not isinstance(source, str):
            raise InputError(
                "location says where the collection of a name is: pass its name as the source, or no location"
            )
        with Collection.open(source, location=location, vector_name=vector_name) as collection:
            return _of_collection(collection, distance, seed, progress)
    if vector_name:
        raise InputError("vector_name is for collections at a location; an open one has its vector already")
    if isinstance(source, Collection):
        return _of_collection(source, distance, seed, progress)
    metric = distance or Distance.COSINE
    if isinstance(source, str | Path):
        return sources.from_path(
            source, embedding=embedding, split=split, distance=metric, cache_dir=cache_dir, seed=seed, progress=progress
        )
    if split is not None:
        raise InputError(f"a split is chosen while reading a folder, got split={split!r} with data in memory")
    if isinstance(source, TextDataset | VectorDataset):
        return sources.from_dataset(
            source, embedding=embedding, distance=metric, cache_dir=cache_dir, progress=progress
        )
    if embedding is not None:
        raise InputError("vectors need no embedding: leave it out")
    return sources.from_array("vectors", source, distance=metric, seed=seed)


def _of_collection(collection: Collection, distance: Distance | None, seed: int, progress: bool) -> Source:
    if distance is not None and distance is not collection.distance:
        raise InputError(
            f"the collection {collection.name!r} compares by {collection.distance.value.lower()}, got "
            f"distance={distance.value.lower()!r}: leave it out"
        )
    return sources.from_collection(collection, seed=seed, progress=progress)


def _with_queries(
    source: Source,
    queries: object | None,
    qrels: str | Path | None,
    embedding: object | None,
    cache_dir: str | Path | None,
    progress: bool,
) -> Source:
    if queries is not None:
        asked: Queries
        if isinstance(queries, str | Path):
            asked = sources.read_query_file(queries, embedding=embedding, cache_dir=cache_dir, progress=progress)
        else:
            asked = sources.query_vectors(queries)
        source = replace(source, queries=asked)
    return source if qrels is None else sources.with_judgements(source, qrels)


def _check_labels(source: Source, goal: Goal) -> None:
    if goal.min_ndcg is not None and (source.queries is None or not source.queries.qrels):
        raise InputError("min_ndcg needs judged queries: use a folder with qrels, or pass queries and qrels")


def _families(dealt: Deal, goal: Goal, specs: Sequence[str], only: bool) -> list[Family]:
    grid = representations(dealt.dimension, dealt.distance, specs)
    if (goal.min_recall or 0.0) > COARSE_RECALL:
        grid.sort(key=lambda spec: spec not in specs and _scored_by_four_bits(spec))  # the rest keeps its order
    if only:
        wanted = {Representation.parse(spec).spec for spec in specs}
        grid = [spec for spec in grid if spec in wanted]
    for spec in specs:
        Representation.parse(spec).check(dealt.dimension, dealt.distance)
    return [first_graph(spec, dealt.dimension, dealt.distance, dealt.points) for spec in grid]


def _scored_by_four_bits(spec: str) -> bool:
    parsed = Representation.parse(spec)
    return (parsed.fine or parsed.coarse).coder.name == "turbo4"


def _graphs(dealt: Deal, family: Family) -> list[Family]:
    return other_graphs(family, dealt.dimension, dealt.distance, dealt.points)


def _folder(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out is a folder for what was measured, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(dealt: Deal, k: int, seed: int) -> str:
    judged = repr(sorted((query, sorted(found.items())) for query, found in dealt.qrels.items()))
    with_payload = "" if dealt.payloads is None else f"{len(dealt.payloads)} payloads"
    settings = f"{k} {seed} {dealt.distance.value} {dealt.points} {dealt.selecting} {np.__version__}"
    return digest(dealt.documents, dealt.queries, settings, with_payload, judged)
