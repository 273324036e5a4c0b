"""``octant.reranker``: from a spec string to a reranker that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from octant import registry
from octant.construct import construct, refuse
from octant.embedders import embedder
from octant.errors import InputError, PluginError, SpecError, UnknownPluginError
from octant.rerankers.base import Reranker
from octant.rerankers.cache import AnswerCache
from octant.rerankers.chain import Chain, Stage
from octant.rerankers.model import Model
from octant.rerankers.settings import Budget, OnFailure, Prices, Settings, whole
from octant.rerankers.slots import Slots
from octant.spec import Argument, Call, parse_reranking

TOP = "top"
"""The argument that every reranker of a spec takes beside its own: how many candidates it works on."""


def reranker(
    spec: str | Reranker,
    llm: Any = None,
    *,
    model: str | None = None,
    embedding: Any = None,
    on_failure: OnFailure = "first_stage",
    max_calls: int | None = None,
    max_tokens: int | None = None,
    max_seconds: float | None = None,
    cache: str | Path | None = None,
    concurrency: int = 8,
    retries: int = 4,
    backoff: float = 1.0,
    timeout: float | None = None,
    prices: Prices | Mapping[str, float] | Sequence[float] | None = None,
    count_tokens: Callable[[str], int] | None = None,
    shuffle: bool = False,
    seed: int = 0,
) -> Reranker:
    """The reranker of a spec string.

    Parameters
    ----------
    spec : str or Reranker
        A name from ``octant plugins`` with its arguments, or several: ``"a > b(top=20)"`` lets ``b`` rerank the best
        20 of what ``a`` left. Every one takes ``top``. A name that is no plain word stands in quotes:
        ``"cross_encoder('org/model-v2')"``.
    llm : object, optional
        A LangChain chat model, or a function from text to text, plain or async. A plain function is called from
        several threads at once unless ``concurrency`` is 1.
    model : str, optional
        What the model is called, in the report and for the cache. LangChain's models tell it by themselves.
    embedding : object, optional
        As :func:`octant.embedder` takes it, for rerankers that embed texts.
    on_failure : {"first_stage", "raise"}
        What to do where a method cannot do its work: return the first-stage order with a report that says why, or
        raise :class:`octant.errors.RerankError`, also where one output of the model cannot be used.
    max_calls, max_tokens : int, optional
        What one reranking may spend; the best order so far is returned when it is spent. Requests that are under way
        then still finish, so ``max_tokens`` may be exceeded by what they answer.
    max_seconds : float, optional
        The same for wall time; requests that are under way are given up.
    cache : str or Path, optional
        A file that keeps answers between runs; several processes may share it. It holds what the model said, not the
        queries or passages themselves.
    concurrency : int
        Most requests under way at once, over all rankings this object is working on, in threads or in one event loop.
    retries : int
        How often one request is sent again after a time-out, a broken connection, a rate limit or a server error.
    backoff : float
        Seconds before the first of these, doubling from one to the next, up to 60, with jitter; what a provider asks
        for with ``Retry-After`` comes first.
    timeout : float, optional
        Seconds to wait for one answer.
    prices : (float, float), mapping or Prices, optional
        Input and output, each for a million tokens, in any currency.
    count_tokens : callable, optional
        Tokens of a text, for prompts and where the provider tells no counts. Without it: UTF-8 bytes / 4.
    shuffle : bool
        Show the passages in a random order, another one for every pass, to average out what their places do.
    seed : int
        Of that order.

    Raises
    ------
    SpecError
        If ``spec`` has a mistake: what, where, and the nearest that would be right.
    InputError
        If an argument is not what it should be, or one that the reranker needs is missing.
    PluginError
        If the plugin behind a name is no reranker, or cannot be imported.
    MissingExtraError
        If it needs an extra that is not installed.
    ArtifactError
        If ``cache`` is a file, but no such cache.

    Examples
    --------
    >>> reranker("first_stage > first_stage(top=20)")
    first_stage > first_stage(top=20)
    """
    built = spec if isinstance(spec, Reranker) else _parsed(spec)
    settings = Settings(
        model=None if llm is None else Model(llm, model),
        embedder=None if embedding is None else embedder(embedding),
        on_failure=on_failure,
        budget=Budget(max_calls, max_tokens, max_seconds),
        slots=Slots(whole("concurrency", concurrency, least=1)),
        retries=retries,
        backoff=backoff,
        timeout=timeout,
        prices=None if prices is None else Prices.of(prices),
        count_tokens=count_tokens,
        shuffle=shuffle,
        seed=seed,
    )
    return built.using(settings if cache is None else settings.with_cache(AnswerCache(cache)))


def reranker_class(name: str, *, call: Call | None = None, text: str = "") -> type[Reranker]:
    """The class registered as ``name``.

    Raises
    ------
    UnknownPluginError, or SpecError where a ``call`` in a spec names it
    PluginError
        If the plugin is not a reranker of that name, or cannot be imported.
    """
    try:
        cls = registry.load("rerankers", name)
    except UnknownPluginError as error:
        if call is None:
            raise
        raise SpecError(str(error), text=text, position=call.position, token=name) from error
    if not (isinstance(cls, type) and issubclass(cls, Reranker)):
        raise PluginError(f"the plugin {name!r} must be a subclass of octant.rerankers.Reranker, got {cls!r}")
    if cls.name != name:
        raise PluginError(f"the plugin {name!r} is a reranker that calls itself {cls.name!r}: the two must be equal")
    return cls


def _parsed(spec: str) -> Reranker:
    links = [_link(call, spec) for call in parse_reranking(spec)]
    return links[0].reranker if len(links) == 1 and links[0].top is None else Chain(links)


def _link(call: Call, text: str) -> Stage:
    own = tuple(argument for argument in call.arguments if argument.keyword != TOP)
    top = next((argument for argument in call.arguments if argument.keyword == TOP), None)
    built = construct(reranker_class(call.name, call=call, text=text), Call(call.name, own, call.position), text)
    return Stage(built, None if top is None else _top(top, text))


def _top(argument: Argument, text: str) -> int:
    try:
        return whole(TOP, argument.value, least=1)
    except InputError as error:
        refuse(str(error), text, argument, cause=error)
