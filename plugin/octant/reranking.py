"""``octant.reranker``: from a spec string to a reranker that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from octant.embedders import Embedder, embedder

if TYPE_CHECKING:
    from octant.rerankers.base import Reranker
    from octant.rerankers.settings import OnFailure, Prices


def reranker(
    spec: str | Reranker,
    llm: Any = None,
    *,
    model: str | None = None,
    embedding: Any = None,
    cross_encoder: Any = None,
    collection: Any = None,
    trained: Any = None,
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
    cross_encoder : object, optional
        For ``cross_encoder`` where the spec names no model: a ``sentence_transformers.CrossEncoder``, an object with
        LangChain's ``BaseCrossEncoder`` interface, or a function from a list of (query, passage) to numbers.
    collection : Collection, optional
        What the candidates come from, for rerankers that search it themselves, or that were trained on it. Its
        embedding is used where no other is given.
    trained : optional
        For rerankers that are trained: what was learned (a part, the path of its file, or a list of these), or the
        collection that it is attached to. It acts only where validation has shown that it helps, so say with
        ``collection`` where the candidates come from; the report tells where it does not act, and why.
    on_failure : {"first_stage", "raise"}
        What to do where a method cannot do its work: return the first-stage order with a report that says why, or
        raise :class:`octant.errors.RerankError`, also where one output of the model cannot be used.
    max_calls, max_tokens : int, optional
        What one reranking may spend; the best order so far is returned when it is spent. Requests that are under way
        then still finish, so ``max_tokens`` may be exceeded by what they answer.
    max_seconds : float, optional
        The same for wall time; requests that are under way are given up. What a method computes by itself is not
        interrupted.
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
        If ``cache`` is a file, but no such cache; if a file of ``trained`` is none.

    Examples
    --------
    >>> reranker("first_stage > first_stage(top=20)")
    first_stage > first_stage(top=20)
    """
    # Here, not above: most programs that import octant rerank nothing.
    from octant.rerankers.assemble import assembled
    from octant.rerankers.cache import AnswerCache
    from octant.rerankers.model import Model
    from octant.rerankers.pair_scorers import pair_scorer
    from octant.rerankers.settings import Budget, Prices, Settings, whole
    from octant.rerankers.shelf import Shelf
    from octant.rerankers.slots import Slots
    from octant.rerankers.trained import parts_of

    built = assembled(spec)
    if hasattr(trained, "corpus"):  # a collection
        trained, collection = (), trained if collection is None else collection
    given = () if trained is None else trained if isinstance(trained, list | tuple) else (trained,)
    settings = Settings(
        model=None if llm is None else Model(llm, model),
        embedder=embedder(getattr(collection, "embedding", None) if embedding is None else embedding),
        collection=collection,
        shelf=Shelf(parts_of(built, given), collection) if given or collection is not None else None,
        model_at=_model_at(),
        cross_encoder=None if cross_encoder is None else pair_scorer(cross_encoder),
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


def _model_at() -> Callable[[Path, Callable[[Path], None]], Embedder]:
    """Loads models from folders, each once."""
    kept: dict[Path, Embedder] = {}
    loading = Lock()

    def model_at(folder: Path, check: Callable[[Path], None]) -> Embedder:
        with loading:
            if folder not in kept:
                check(folder)
                kept[folder] = embedder(str(folder))
            return kept[folder]

    return model_at
