"""What the commands that train have in common: the collection with its model, and a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from octant.chat_models import chat_model
from octant.cli.options import client_options, open_collection, recorded_model
from octant.collection import Collection
from octant.errors import InputError
from octant.reranking import reranker

if TYPE_CHECKING:
    from octant.rerankers.base import Reranker


def check_teacher(teacher: str | None, llm: str | None) -> None:
    """Refuse a chat model that nobody asks.

    Raises
    ------
    InputError
    """
    if llm is not None and teacher is None:
        raise InputError("--llm is about a teacher that asks a chat model: pass --teacher SPEC too")


def check_adoption(context: typer.Context, *names: str) -> None:
    """Refuse options that only a training reads beside ``--adopt``, which trains nothing.

    Parameters
    ----------
    context : typer.Context
    names : str
        Of the options, as parameters.

    Raises
    ------
    InputError
        Naming the first one that was given.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--adopt trains nothing, so --{name} would do nothing: leave out one of them")


def teacher_of(collection: Collection, teacher: str | None, llm: str | None) -> Reranker | None:
    """The reranker that is learned from; None where nobody named one."""
    if teacher is None:
        return None
    return reranker(teacher, None if llm is None else chat_model(llm), collection=collection)


def open_to_train(name: str, location: str, embedding: str | None, api_key: str | None) -> Collection:
    """Open a collection with the model that is named, or the one that made its vectors, if it has any."""
    with open_collection(name, location, api_key) as found:
        model = embedding or (recorded_model(found.manifest) if found.dimension else None)
    return Collection.open(name, location=location, embedding=model, client_options=client_options(location, api_key))
