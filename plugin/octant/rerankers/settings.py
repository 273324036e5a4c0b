"""How a reranker is run: its model, limits and prices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar, get_args

from octant.errors import InputError
from octant.flow import Flow
from octant.records import Distance, EmbeddingIdentity, Filter, FloatArray, PointId, Ranking
from octant.rerankers.cache import AnswerCache
from octant.rerankers.model import Model
from octant.rerankers.pair_scorers import PairScorer
from octant.rerankers.slots import Slots
from octant.tokens import Tokens
from octant.trained import TrainedPart

if TYPE_CHECKING:
    from octant.rerankers.shelf import Shelf

Part = TypeVar("Part", bound=TrainedPart)
OnFailure: TypeAlias = Literal["first_stage", "raise"]
Check: TypeAlias = Callable[[Path], None]
"""Refuses a model's folder."""


class TextEmbedder(Protocol):
    """What embeds texts: an :class:`octant.Embedder` is one."""

    name: str

    def embed_queries(self, texts: Sequence[str]) -> Flow[FloatArray]:
        """Unit vectors (n, dim) of queries."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Flow[FloatArray]:
        """Unit vectors (n, dim) of passages."""
        ...

    def embed_query_tokens(self, texts: Sequence[str]) -> Flow[list[FloatArray]]:
        """Unit vectors (tokens, dim) of the tokens of each query."""
        ...

    def embed_document_tokens(self, texts: Sequence[str]) -> Flow[list[FloatArray]]:
        """Unit vectors (tokens, dim) of the tokens of each passage."""
        ...

    def tokens(self) -> Flow[Tokens | None]:
        """How the model splits texts, and how much of one it reads; None where it does not tell."""
        ...

    @property
    def identity(self) -> EmbeddingIdentity:
        """Who the model is."""
        ...


class Searchable(Protocol):
    """What candidates come from: an :class:`octant.Collection` is one."""

    @property
    def distance(self) -> Distance:
        """How its vectors are compared."""
        ...

    def search(self, query: FloatArray, k: int, *, filter: Filter | None) -> Ranking:  # noqa: A002
        """The ``k`` documents nearest to a vector."""
        ...

    async def asearch(self, query: FloatArray, k: int, *, filter: Filter | None) -> Ranking:  # noqa: A002
        """Awaited twin of :meth:`search`."""
        ...

    def corpus(self) -> str:
        """Identity of the documents."""
        ...

    def token_scores(self, query: str, ids: Sequence[PointId], *, name: str) -> Mapping[PointId, float]:
        """MaxSim of the documents that have token vectors under ``name``."""
        ...

    async def atoken_scores(self, query: str, ids: Sequence[PointId], *, name: str) -> Mapping[PointId, float]:
        """Awaited twin of :meth:`token_scores`."""
        ...

    async def acorpus(self) -> str:
        """Awaited twin of :meth:`corpus`."""
        ...

    def trained(self, cls: type[Part], spec: str | None = None) -> Part | None:
        """The part of a class that is kept with the collection, and of a spec where there are several."""
        ...

    async def atrained(self, cls: type[Part], spec: str | None = None) -> Part | None:
        """Awaited twin of :meth:`trained`."""
        ...


@dataclass(frozen=True)
class Budget:
    """What one reranking may spend; None is no limit.

    Attributes
    ----------
    max_calls : int or None
        Requests to the model, failed ones included.
    max_tokens : int or None
        Input and output together. A request is not sent if its prompt would go beyond; what the requests that are
        under way will answer is not known before, so the answers of the last ones may.
    max_seconds : float or None
        Wall time. Requests under way are then given up.
    """

    max_calls: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None:
                whole(name, value, least=1)
        if self.max_seconds is not None:
            positive("max_seconds", self.max_seconds)


@dataclass(frozen=True)
class Prices:
    """What a model costs, in any currency, for a million tokens.

    Attributes
    ----------
    input, output : float
    """

    input: float
    output: float

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            value = getattr(self, name)
            if not _is_number(value) or not math.isfinite(value) or value < 0:
                raise InputError(f"prices must be finite numbers of at least 0 for a million tokens, got {value!r}")

    @classmethod
    def of(cls, given: Prices | Mapping[str, float] | Sequence[float]) -> Prices:
        """Prices from themselves, ``{"input": …, "output": …}`` or a pair.

        Raises
        ------
        InputError
            If it is none of these, or a price is not a finite number of at least 0.
        """
        if isinstance(given, Prices):
            return given
        if isinstance(given, Mapping) and set(given) == {"input", "output"}:
            return cls(given["input"], given["output"])
        if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
            return cls(*given)
        raise InputError(f"prices must be (input, output) for a million tokens of each, got {given!r}")

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Price of so many tokens."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


@dataclass(frozen=True)
class Settings:
    """How a reranker is run; see :func:`octant.reranker` for what each one means."""

    model: Model | None = None
    embedder: TextEmbedder | None = None
    collection: Searchable | None = None
    shelf: Shelf | None = None
    model_at: Callable[[Path, Check], TextEmbedder] | None = None
    cross_encoder: PairScorer | None = None
    on_failure: OnFailure = "first_stage"
    budget: Budget = Budget()
    cache: AnswerCache | None = None
    slots: Slots = field(default_factory=lambda: Slots(8))
    retries: int = 4
    backoff: float = 1.0
    timeout: float | None = None
    prices: Prices | None = None
    count_tokens: Callable[[str], int] | None = None
    shuffle: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.on_failure not in get_args(OnFailure):
            raise InputError(f"on_failure must be 'first_stage' or 'raise', got {self.on_failure!r}")
        whole("retries", self.retries, least=0)
        whole("seed", self.seed, least=0)
        positive("backoff", self.backoff)
        if self.timeout is not None:
            positive("timeout", self.timeout)
        if self.count_tokens is not None and not callable(self.count_tokens):
            raise InputError(f"count_tokens must be a function of a text, got {type(self.count_tokens).__name__}")
        if not isinstance(self.shuffle, bool):
            raise InputError(f"shuffle must be True or False, got {self.shuffle!r}")

    def with_cache(self, cache: AnswerCache) -> Settings:
        """The same, with answers kept in ``cache``.

        Raises
        ------
        InputError
            If the model does not tell which one it is.
        """
        if self.model is not None and self.model.identity is None:
            raise InputError(
                f"a cache needs to know which model answers, and {self.model.name} does not tell: pass model='its name'"
            )
        return replace(self, cache=cache)


def whole(name: str, value: object, *, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def positive(name: str, value: object) -> None:
    """Refuse what is not a finite number above 0.

    Raises
    ------
    InputError
    """
    if not _is_number(value) or not 0 < value < math.inf:  # type: ignore[operator]  # a number, as just checked
        raise InputError(f"{name} must be a finite number above 0, got {value!r}")


def finite(name: str, value: object, *, least: float) -> float:
    """``value`` if it is a finite number of at least ``least``.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if not _is_number(value) or not least <= value < math.inf:  # type: ignore[operator]  # a number, as just checked
        raise InputError(f"{name} must be a finite number of at least {least:g}, got {value!r}")
    return value  # type: ignore[return-value]  # as just checked


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
