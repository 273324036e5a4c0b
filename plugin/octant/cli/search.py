"""``octant search``: ask a collection."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer

from octant.cli.options import (
    LOCATION,
    ApiKey,
    Embedding,
    Location,
    Name,
    client_options,
    open_collection,
    recorded_model,
)
from octant.cli.output import AsJson, echo_json, excerpt
from octant.cli.reranking import Candidates, Llm, MaxCalls, PricesOption, RerankOptions, explained, explained_json
from octant.collection import Collection
from octant.cutoffs.cutoff import Cutoff
from octant.errors import FilterError, InputError
from octant.records import JSON, Candidate, Ranking
from octant.reranking import reranker

CANDIDATES = 50
"""What is reranked where nobody says how many."""


class SearchMode(str, Enum):
    """What is compared: meanings, words, or both."""

    dense = "dense"
    sparse = "sparse"
    hybrid = "hybrid"


def search(
    name: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)],
    location: Location = LOCATION,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits.")] = 10,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", metavar="JSON", help="Qdrant filter in its REST form.", show_default=False),
    ] = None,
    mode: Annotated[SearchMode, typer.Option(help="What is compared.")] = SearchMode.dense,
    score_threshold: Annotated[float | None, typer.Option(help="Leave out hits below it.", show_default=False)] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            show_default=False,
            help="Leave out hits that are too improbably relevant: 'attached' for what octant train cutoff kept with "
            "the collection, or a file of it.",
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Put the hits in a better order, e.g. listwise.", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell what reranking moved, and what it cost.")] = False,
    candidates: Candidates = None,
    llm: Llm = None,
    prices: PricesOption = None,
    max_calls: MaxCalls = None,
    embedding: Embedding = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Search a collection; scores estimate the similarity of the original embeddings, higher is better."""
    wanted = None if filter_ is None else _filter(filter_)
    options = RerankOptions(llm, candidates, prices, max_calls)
    if rerank is None:
        options.refuse_without_rerank(explain=explain)
    fetched = k if rerank is None else max(k, options.candidates or CANDIDATES)
    with _open(name, location, mode, embedding, api_key) as collection:
        method = None if rerank is None else reranker(rerank, collection=collection, **options.arguments())
        judge = None if cutoff is None else _cutoff(collection, cutoff)
        found = collection.search(
            query, k=fetched, filter=wanted, score_threshold=score_threshold, mode=mode.value, cutoff=judge,
            with_vectors=method is not None and any(stage.needs_vectors for stage in method.stages),
        )  # fmt: skip
        ranking = found if method is None else method.rerank(query, found, k)
    told = {} if method is None else {"rerank": explained_json(found, ranking)}
    if as_json:
        hits = [_hit(one) for one in ranking]
        echo_json({"collection": name, "query": query, "mode": mode.value, "hits": hits, **told})
        return
    if explain:
        typer.echo(explained(found, ranking))
        return
    _print(ranking)


def _cutoff(collection: Collection, which: str) -> Cutoff:
    attached = [part.spec for part in collection.attached() if part.kind == Cutoff.kind]
    if which != "attached" and which not in attached:
        return Cutoff.load(which)
    found = collection.trained(Cutoff, None if which == "attached" else which)
    if found is None:
        make = f"octant train cutoff --collection {collection.name}"
        raise InputError(f"no cutoff is attached to {collection.name!r}: {make} makes one")
    return found


def _print(ranking: Ranking) -> None:
    for rank, candidate in enumerate(ranking, start=1):
        typer.echo(f"{rank:>3}  {candidate.score:8.4f}  {candidate.id}\n     {excerpt(candidate.text)}")
    if not ranking:
        typer.echo("nothing found")
    if ranking.report is not None and ranking.report.failure is not None:
        typer.echo(f"not reranked: {ranking.report.failure}", err=True)


def _filter(text: str) -> JSON:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FilterError(f"--filter must be a Qdrant filter as JSON: {error}") from error


def _open(name: str, location: str, mode: SearchMode, embedding: str | None, api_key: str | None) -> Collection:
    collection = open_collection(name, location, api_key)
    if mode is SearchMode.sparse:
        return collection
    with collection:
        model = embedding or recorded_model(collection.manifest)
    return Collection.open(name, location=location, embedding=model, client_options=client_options(location, api_key))


def _hit(candidate: Candidate) -> dict[str, JSON]:
    return {
        "id": candidate.id, "score": candidate.score, "text": candidate.text, "payload": dict(candidate.payload),
        "branch_scores": dict(candidate.branch_scores),
    }  # fmt: skip
