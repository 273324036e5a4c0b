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
from octant.collection import Collection
from octant.errors import FilterError
from octant.records import JSON, Candidate


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
    embedding: Embedding = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Search a collection; scores estimate the similarity of the original embeddings, higher is better."""
    wanted = None if filter_ is None else _filter(filter_)
    with _open(name, location, mode, embedding, api_key) as collection:
        ranking = collection.search(query, k=k, filter=wanted, score_threshold=score_threshold, mode=mode.value)
    if as_json:
        echo_json({"collection": name, "query": query, "mode": mode.value, "hits": [_hit(one) for one in ranking]})
        return
    for rank, candidate in enumerate(ranking, start=1):
        typer.echo(f"{rank:>3}  {candidate.score:8.4f}  {candidate.id}\n     {excerpt(candidate.text)}")
    if not ranking:
        typer.echo("nothing found")


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
