"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from octant.collection import Collection
from octant.errors import InputError
from octant.hub import MINILM
from octant.manifest import Manifest
from octant.records import EmbeddingIdentity

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.", show_default=False)]
Location = Annotated[
    str,
    typer.Option(
        metavar="DIR|URL",
        envvar="OCTANT_LOCATION",
        help="Directory of the embedded engine, or the http(s) URL of a Qdrant server.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", envvar="QDRANT_API_KEY", show_envvar=True, help="Of the server.", show_default=False),
]
Embedding = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Name or path of a sentence-transformers model.", show_default=False),
]
Embeddings = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]MODEL",
        help="Name or path of a sentence-transformers model; with a NAME, and more than once, several embeddings of "
        "every passage. One that a collection does not have yet is added to it.",
        show_default=False,
    ),
]
AskedEmbeddings = Annotated[
    list[str] | None,
    typer.Option(
        "--embedding", metavar="[NAME=]MODEL", show_default=False,
        help="Name or path of a sentence-transformers model; with a NAME, and more than once, of several embeddings. "
        "As recorded without it.",
    ),
]  # fmt: skip
Collected = Annotated[
    str, typer.Option("--collection", metavar="NAME", help="The collection to train for.", show_default=False)
]
_QUERIES = typer.Option(metavar="FILE", help='Questions, {"_id", "text"} a line; gzipped or not.', show_default=False)
_QRELS = typer.Option(
    metavar="FILE", help="A .tsv of question id, document id and grade that judges them.", show_default=False
)
Queries = Annotated[str, _QUERIES]
Qrels = Annotated[str, _QRELS]
SomeQueries = Annotated[str | None, _QUERIES]
SomeQrels = Annotated[str | None, _QRELS]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Question id and group between tabs: a group is never split.", show_default=False
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Learn this reranker's order instead of the judgements.", show_default=False),
]
TrainedFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write what was learned to a file too.", show_default=False)
]
Attach = Annotated[bool, typer.Option(help="Keep what was learned with the collection.")]

LOCATION = "octant-data"
DEFAULT_MODEL = MINILM


def client_options(location: str, api_key: str | None) -> dict[str, str] | None:
    """What the client of a server needs beside the URL; None for a directory."""
    is_server = location.startswith(("http://", "https://"))
    return {"api_key": api_key} if is_server and api_key else None


def open_collection(
    name: str, location: str, api_key: str | None, embedding: str | None = None, vector_name: str | None = ""
) -> Collection:
    """Open a collection to be read by vector; errors as in :meth:`Collection.open`."""
    return Collection.open(
        name, location=location, embedding=embedding, vector_name=vector_name,
        client_options=client_options(location, api_key),
    )  # fmt: skip


def open_any(name: str, location: str, api_key: str | None) -> Collection:
    """Open a collection to be looked at, whatever vectors it has; errors as in :meth:`Collection.open`."""
    options = client_options(location, api_key)
    return Collection.open(name, location=location, vector_name=None, client_options=options)


def recorded_model(manifest: Manifest) -> str:
    """The name of the model that a collection was made with; see :func:`recorded_name`."""
    return recorded_name(manifest.embedding)


def recorded_name(recorded: EmbeddingIdentity | None) -> str:
    """The name of the model that made the vectors, if the command line can load it.

    Raises
    ------
    InputError
        If the collection holds vectors of an unknown model, or of one that only a program can build.
    """
    if recorded is None:
        raise InputError("the collection does not record which model made its vectors: pass --embedding")
    name, probe = recorded.name, recorded.probe
    if probe is None:
        raise InputError(
            f"the collection was made with {name}, which needs a program to be set up: search it from Python, "
            "or pass --embedding if a sentence-transformers model gives the same vectors"
        )
    return name
