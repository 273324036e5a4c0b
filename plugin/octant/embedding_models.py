"""An embedding model by its name, where a program is not there to make one."""

from __future__ import annotations

from typing import Any

from octant.chat_models import provided
from octant.errors import InputError


def embedding_model(name: str, **options: Any) -> Any:
    """What an embedding's ``model`` in a configuration means.

    Parameters
    ----------
    name : str
        The name or path of a sentence-transformers model, returned as it is; or ``"provider:model"``, e.g.
        ``"openai:text-embedding-3-small"``, of which LangChain's ``init_embeddings`` makes a model.
    **options
        For the model of a provider.

    Raises
    ------
    InputError
        If there are options for a model that takes none, or the provider refuses to make the model.
    MissingExtraError
        If langchain is not installed, and a provider is named.

    Examples
    --------
    >>> embedding_model("sentence-transformers/all-MiniLM-L6-v2")
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    if ":" in name and not name.startswith(("/", ".", "~")):
        return provided("embedding model", name, "langchain.embeddings", "init_embeddings", options)
    if options:
        raise InputError(
            f"options ({', '.join(options)}) are for the model of a provider, provider:model; got {name!r}"
        )
    return name
