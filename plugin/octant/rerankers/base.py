"""The contract of a reranker."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import ClassVar

from octant.flow import Flow
from octant.records import JSON, Ranking
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.spec import Argument, Call


class Reranker(ABC):
    """Puts the candidates of a ranking in a better order.

    A subclass sets ``name``, stores its constructor's arguments under the same attribute names, and writes
    ``_rerank``. The base class checks, keeps the order of ties and of what is not mentioned, cuts, and reports.
    A constructor refuses an argument with an InputError whose message opens with the argument's name, so that a
    spec string can point at it.

    Attributes
    ----------
    name : str
        The registry's name, and the word of the spec string.
    needs_llm : bool
        Whether it asks a language model.
    needs_text : bool
        Whether it reads the passages: those without text are then kept from it, and follow the others.
    needs_vectors : bool
        Whether it reads the candidates' vectors.
    needs_embedder : bool
        Whether it embeds texts.
    usage : str
        How to write it in a spec, where the constructor's signature does not say it.
    """

    name: ClassVar[str]
    needs_llm: ClassVar[bool] = False
    needs_text: ClassVar[bool] = True
    needs_vectors: ClassVar[bool] = False
    needs_embedder: ClassVar[bool] = False
    usage: ClassVar[str] = ""

    @abstractmethod
    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        """The order of ``ranking``, of at least two candidates.

        Parameters
        ----------
        query : str
            Not blank.
        ranking : Ranking
            Never to be edited.
        run : Run
            What the model is asked through, and what is told to the report.

        Returns
        -------
        Flow of Order
            Of positions into ``ranking``.
        """

    @property
    def config(self) -> dict[str, JSON]:
        """The constructor's arguments, as JSON values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        """The spec that makes it; arguments at their defaults are left out."""
        arguments: list[Argument] = []
        named = False
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if parameter.default is not parameter.empty and parameter.default == value:
                named = True
            else:
                arguments.append(Argument(value, name if named else None))
        return str(Call(self.name, tuple(arguments)))
