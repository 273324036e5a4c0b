"""Several embeddings on the command line: ``--embedding NAME=MODEL``, more than once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octant.cli.options import client_options, open_any, open_collection, recorded_name
from octant.cli.output import note, plural
from octant.collection import Collection
from octant.embedders import Embedder, embedder
from octant.errors import InputError
from octant.several_embeddings import EmbeddingInfo

_NAMED = re.compile(r"([\w.-]+)=(.+)")


@dataclass(frozen=True)
class Models:
    """What ``--embedding`` says.

    Attributes
    ----------
    alone : str or None
        The one model of a collection with one embedding.
    named : mapping from name to str
        The models of several embeddings.
    """

    alone: str | None
    named: Mapping[str, str]

    @classmethod
    def parse(cls, given: Sequence[str] | None) -> Models:
        """Read the values of the option.

        Raises
        ------
        InputError
            If there are several and one has no name, or a name comes twice.

        Examples
        --------
        >>> Models.parse(["minilm=all-MiniLM-L6-v2", "mine=./models/mine"]).named["mine"]
        './models/mine'
        >>> Models.parse(["./models/mine"]).alone
        './models/mine'
        """
        values = list(given or [])
        found = [_NAMED.fullmatch(value) for value in values]
        if len(values) == 1 and found[0] is None:
            return cls(values[0], {})
        named: dict[str, str] = {}
        for value, parts in zip(values, found, strict=True):
            if parts is None:
                raise InputError(f"each of several embeddings needs a name: --embedding NAME={value}")
            if parts[1] in named:
                raise InputError(f"--embedding {parts[1]}=... is given twice: every embedding needs a name of its own")
            named[parts[1]] = parts[2]
        return cls(None, named)

    def of(self, there: Mapping[str, EmbeddingInfo]) -> dict[str, Embedder]:
        """A model for every dense embedding that is there: as given, or as recorded.

        Raises
        ------
        InputError
            If one model is given for several, or one was not recorded.
        """
        dense = {name: info for name, info in there.items() if info.sparse is None}
        if self.alone is not None and len(dense) > 1:
            listed = ", ".join(f"--embedding {name}=MODEL" for name in dense)
            raise InputError(f"the collection has several embeddings: say whose model it is, as in {listed}")
        given = {name: self.named.get(name) or self.alone or recorded_name(info.model) for name, info in dense.items()}
        return {name: loaded(model) for name, model in given.items()}

    def new(self, there: Mapping[str, EmbeddingInfo]) -> dict[str, str]:
        """Models of embeddings that are not there yet, or not complete."""
        return {name: model for name, model in self.named.items() if name not in there or not there[name].complete}


def opened(
    name: str, location: str, api_key: str | None, models: Models, only: Sequence[str] | None = None
) -> Collection:
    """Open a collection to be asked texts: every dense embedding, or ``only`` these, with its model.

    Raises
    ------
    InputError
        If an embedding is not there, or its model is not known.
    """
    if idle := sorted(set(models.named) - set(models.named if only is None else only)):
        raise InputError(f"--embedding {idle[0]}=... is not asked: add --of {idle[0]}, or leave it out")
    with open_any(name, location, api_key) as there:
        known = there.embeddings
    unknown = sorted({*models.new(known), *(only or ())} - {name for name, info in known.items() if info.complete})
    if unknown:
        raise InputError(
            f"the collection's embeddings are {', '.join(known)}; got {', '.join(unknown)}, which octant index "
            "--embedding NAME=MODEL adds"
        )
    wanted = models.of({name: info for name, info in known.items() if only is None or name in only})
    options = client_options(location, api_key)
    if not wanted:  # only words are compared
        return open_collection(name, location, api_key)
    return Collection.open(name, location=location, embeddings=wanted, client_options=options)


def loaded(name: str) -> Embedder:
    """The model called ``name``; said on standard error, since it may take a while."""
    model = embedder(name)
    note(f"loading {model.name}")
    return model


def told(added: Mapping[str, int]) -> str:
    """What was added to a collection that held documents; nothing where nothing was."""
    listed = ", ".join(f"{name!r} ({plural(count, 'document')} embedded)" for name, count in added.items())
    return f"; new embeddings: {listed}" if added else ""
