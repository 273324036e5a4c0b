"""``octant search``: ask a collection."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer

from octant.cli.choosing import Of, Select, check_select, chosen, told
from octant.cli.options import (
    LOCATION,
    ApiKey,
    AskedEmbeddings,
    Location,
    Name,
    client_options,
    open_collection,
    recorded_model,
)
from octant.cli.output import AsJson, echo_json, excerpt
from octant.cli.reranking import Candidates, Llm, MaxCalls, PricesOption, RerankOptions, explained, explained_json
from octant.cli.several import Models, opened
from octant.collection import Collection
from octant.cutoffs.cutoff import Cutoff
from octant.decision import Decision
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
    mode: Annotated[
        SearchMode | None, typer.Option(help="What is compared; dense without it.", show_default=False)
    ] = None,
    select: Select = None,
    of: Of = None,
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
    embedding: AskedEmbeddings = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Search a collection; scores estimate the similarity of the original embeddings, higher is better.

    With --select several embeddings are asked: scores are then the selector's, and what was chosen, how sure that is
    and why comes after the hits.
    """
    wanted = None if filter_ is None else _filter(filter_)
    options = RerankOptions(llm, candidates, prices, max_calls)
    if rerank is None:
        options.refuse_without_rerank(explain=explain)
    if select is not None:
        check_select(select, **{"mode": mode, "score-threshold": score_threshold, "cutoff": cutoff})
    elif len(of or ()) > 1:
        raise InputError(
            f"--of {' --of '.join(of or ())} are several embeddings: pass --select SPEC to choose between them"
        )
    fetched = k if rerank is None else max(k, options.candidates or CANDIDATES)
    compared = mode or SearchMode.dense
    decision: Decision | None = None
    with _open(name, location, compared, select, of, Models.parse(embedding), api_key) as collection:
        method = None if rerank is None else reranker(rerank, collection=collection, **options.arguments())
        with_vectors = method is not None and any(stage.needs_vectors for stage in method.stages)
        if select is not None:
            found, decision = chosen(collection, query, select, of, fetched, filter_=wanted, with_vectors=with_vectors)
        else:
            judge = None if cutoff is None else _cutoff(collection, cutoff)
            found = collection.search(
                query, k=fetched, filter=wanted, score_threshold=score_threshold, mode=compared.value, cutoff=judge,
                with_vectors=with_vectors, embedding=of[0] if of else None,
            )  # fmt: skip
        ranking = found if method is None else method.rerank(query, found, k)
    more = {} if method is None else {"rerank": explained_json(found, ranking)}
    if as_json:
        asked = {"mode": compared.value} if decision is None else {"select": select, "decision": decision.as_json()}
        echo_json({"collection": name, "query": query, **asked, "hits": [_hit(one) for one in ranking], **more})
        return
    if explain:
        typer.echo(explained(found, ranking))
    else:
        _print(ranking)
    if decision is not None:
        typer.echo(told(decision))


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


def _open(
    name: str,
    location: str,
    mode: SearchMode,
    select: str | None,
    of: list[str] | None,
    models: Models,
    api_key: str | None,
) -> Collection:
    if select is not None or of or models.named:
        return opened(name, location, api_key, models, of)
    collection = open_collection(name, location, api_key)
    if mode is SearchMode.sparse:
        return collection
    with collection:
        model = models.alone or recorded_model(collection.manifest)
    return Collection.open(name, location=location, embedding=model, client_options=client_options(location, api_key))


def _hit(candidate: Candidate) -> dict[str, JSON]:
    return {
        "id": candidate.id, "score": candidate.score, "text": candidate.text, "payload": dict(candidate.payload),
        "branch_scores": dict(candidate.branch_scores),
    }  # fmt: skip
