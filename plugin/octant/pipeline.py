"""From a question to passages and a decision: collection, choice, reranking and cutoff as one object."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from octant.chat_models import chat_model
from octant.closing import Closing
from octant.collection import Collection, attaching, ending, making, searching
from octant.config import Config, EmbeddingConfig, read_config
from octant.cutoffs.cutoff import Cutoff
from octant.decision import Decision
from octant.embedding_models import embedding_model
from octant.errors import CollectionNotFoundError, InputError
from octant.flow import Flow, awaitable, blocking, fork, step
from octant.location import Location
from octant.rankings import Rankings
from octant.records import Ranking
from octant.rerank_report import RerankReport
from octant.reranking import reranker
from octant.selection import _selector

if TYPE_CHECKING:
    from octant.rerankers import Reranker
    from octant.selectors import Selector

AT_ONCE = 8
"""Questions of a batch that are answered side by side."""
DEFAULT_SELECTOR = "fuse"


@dataclass(frozen=True)
class Retrieved:
    """What was found for a question.

    Attributes
    ----------
    ranking : Ranking
        Best first; empty where nothing was good enough.
    decision : Decision or None
        Which embeddings it comes from and how sure that is; None where there was nothing to choose.
    withheld : Ranking or None
        What was found and not returned, because the confidence was too low.
    """

    ranking: Ranking
    decision: Decision | None = None
    withheld: Ranking | None = None

    @property
    def abstained(self) -> bool:
        """Whether something was found and not thought good enough."""
        return self.withheld is not None

    @property
    def report(self) -> RerankReport | None:
        """What the reranking did and cost."""
        return self.ranking.report


class Pipeline(Closing):
    """Retrieves as a configuration says; made by :func:`octant.from_config`.

    Every method that touches the engine or a model has an awaited twin with an ``a`` in front.

    Attributes
    ----------
    config : Config
    collection : Collection
    selector : octant.selectors.Selector or None
        Chooses between embeddings.
    reranker : octant.rerankers.Reranker or None
    cutoff : octant.Cutoff or None
    model : object or None
        The chat model.
    embeddings : tuple of str
        What the selector chooses between.
    """

    def __init__(
        self,
        config: Config,
        collection: Collection,
        *,
        selector: Selector | None = None,
        reranker: Reranker | None = None,
        cutoff: Cutoff | None = None,
        model: Any = None,
    ) -> None:
        self.config, self.collection = config, collection
        self.selector, self.reranker, self.cutoff, self.model = selector, reranker, cutoff, model
        self.embeddings = () if selector is None else _asked(config, collection)

    # -- asking --------------------------------------------------------------------------------

    def _retrieve(self, query: str, k: int | None = None, *, filter: object | None = None) -> Flow[Retrieved]:  # noqa: A002
        """The best passages for a question.

        Parameters
        ----------
        query : str
        k : int, optional
            Passages wanted; as configured without it.
        filter : optional
            As for :meth:`Collection.search`; as configured without it.

        Raises
        ------
        InputError
            If an argument is impossible.
        UnavailableError, StoreError
        RerankError
            Where the reranker is configured to raise.
        """
        if not isinstance(query, str):
            raise InputError(f"a question is a text, got {type(query).__name__}")
        search = self.config.search
        wanted = search.k if k is None else k
        depth = wanted if self.reranker is None else max(wanted, search.candidates)
        ranking, decision = yield from self._found(query, depth, search.filter if filter is None else filter)
        confidence = self.config.confidence
        if decision is not None and confidence is not None and decision.confidence < confidence.abstain_below:
            told = f"confidence {decision.confidence:.2f} is below {confidence.abstain_below:.2f}: nothing is returned"
            return Retrieved(replace(ranking, candidates=()), decision.remarking(told), ranking)
        if self.reranker is not None:
            method, found = self.reranker, ranking
            ranking = yield from step(
                lambda: method.rerank(query, found, wanted), lambda: method.arerank(query, found, wanted)
            )
        return Retrieved(ranking, decision)

    retrieve = blocking(_retrieve)
    aretrieve = awaitable(_retrieve)

    def _retrieve_batch(
        self, queries: Sequence[str], k: int | None = None, *, filter: object | None = None  # noqa: A002
    ) -> Flow[list[Retrieved]]:  # fmt: skip
        """:meth:`retrieve` for several questions, some of them side by side; the results in their order."""
        if isinstance(queries, str):
            raise InputError("queries is a list of questions, got one string: use retrieve")
        return (yield from fork([partial(self._retrieve, query, k, filter=filter) for query in queries], AT_ONCE))

    retrieve_batch = blocking(_retrieve_batch)
    aretrieve_batch = awaitable(_retrieve_batch)

    def _found(self, query: str, depth: int, filter: object | None) -> Flow[tuple[Ranking, Decision | None]]:  # noqa: A002
        search = self.config.search
        with_vectors = self.reranker is not None and any(stage.needs_vectors for stage in self.reranker.stages)
        if self.selector is None:
            ranking = yield from searching.search(
                self.collection, query, depth, filter=filter, score_threshold=search.score_threshold,
                knobs=search.knobs, mode=search.mode, fusion=search.fusion, with_vectors=with_vectors,
                embedding=search.embedding, cutoff=self.cutoff,
            )  # fmt: skip
            return ranking, None

        def ask(names: tuple[str, ...], count: int) -> Flow[Rankings]:
            return searching.search_each(
                self.collection, query, count, embeddings=names, filter=filter, knobs=search.knobs,
                with_vectors=with_vectors, timeout=search.timeout,
            )  # fmt: skip

        return (yield from self.selector.searching(ask, self.embeddings, depth))

    # -- ending --------------------------------------------------------------------------------

    def _close(self) -> Flow[None]:
        return ending.close(self.collection)

    def __repr__(self) -> str:
        parts = {"select": self.selector, "rerank": self.reranker, "cutoff": self.cutoff}
        told = "".join(f", {name}={part!r}" for name, part in parts.items() if part is not None)
        return f"Pipeline({self.collection.name!r}{told})"


# -- from a configuration ------------------------------------------------------------------------


def _from_config(
    source: str | os.PathLike[str] | Mapping[str, Any] | Config,
    *,
    location: Location | None = None,
    embedding: object | None = None,
    embeddings: Mapping[str, object] | None = None,
    model: object | None = None,
) -> Flow[Pipeline]:
    """A retriever as a YAML file or a dict describes it.

    ``octant/config.schema.json`` says what can be in it; an editor that is told of it completes and checks.

    Parameters
    ----------
    source : path, mapping or Config
        ``${NAME}`` and ``${NAME:-default}`` are replaced by the environment; what came from there is never shown.
        Files are named relative to the configuration's folder.
    location, embedding, embeddings, model : optional
        What a file cannot hold, in place of what it says: a Qdrant client, embedding models (``embeddings`` by name),
        a chat model.

    Returns
    -------
    Pipeline
        Close it, or use it in a ``with`` block.

    Raises
    ------
    ConfigError
        If the configuration has mistakes: all of them, with line, key and what would be right.
    InputError, MismatchError, ArtifactError, MissingExtraError
        If what it describes cannot be had.
    CollectionNotFoundError, LockedError, UnavailableError, UnsupportedError
    """
    config = source if isinstance(source, Config) else read_config(source)
    place = config.store.location if location is None else location
    named = _models(config, embedding, embeddings)
    collection = yield from _collection(config, place, named)
    try:
        chat = yield from step(lambda: _chat_model(config) if model is None else model)
        method = yield from step(lambda: _reranker(config, collection, chat))
        selected = config.select.spec if config.select else DEFAULT_SELECTOR if config.confidence else None
        chooser: Selector | None = None
        if selected is not None:
            own = config.select
            chooser = yield from _selector(
                selected, learned=own.learned if own else None, calibration=own.calibration if own else None,
                collection=collection,
            )  # fmt: skip
        cutoff = yield from _cutoff(config, collection)
        return Pipeline(config, collection, selector=chooser, reranker=method, cutoff=cutoff, model=chat)
    except BaseException:
        yield from ending.close(collection)
        raise


from_config = blocking(_from_config)
afrom_config = awaitable(_from_config)


def _models(config: Config, embedding: object | None, embeddings: Mapping[str, object] | None) -> dict[str, object]:
    """The model of every embedding, by its name; of the only one, by an empty name."""
    if embedding is not None and config.embeddings is not None:
        raise InputError("the configuration names several embeddings: pass their models as embeddings={name: model}")
    if embeddings is not None and config.embeddings is None:
        raise InputError("the configuration has one embedding: pass its model as embedding=")
    if unknown := [name for name in embeddings or () if name not in (config.embeddings or ())]:
        raise InputError(
            f"the configuration has the embeddings {', '.join(map(repr, config.embeddings or ()))}; got a model for "
            f"{', '.join(map(repr, unknown))}"
        )
    if config.embeddings is None:
        return {"": embedding if embedding is not None else _model(config.embedding)}
    return {name: (embeddings or {}).get(name) or _model(one) for name, one in config.embeddings.items()}


def _model(config: EmbeddingConfig | None) -> object:
    given = None if config is None else config.model
    return embedding_model(given, **config.options) if config is not None and isinstance(given, str) else given


def _collection(config: Config, place: Location, models: Mapping[str, object]) -> Flow[Collection]:
    parts = config.embeddings or {"": config.embedding or EmbeddingConfig()}
    first = config.search.embedding if config.search.embedding in parts else None
    names = sorted(parts, key=lambda name: name != first)  # the one that is searched comes first
    settings = {name: {**parts[name].terms(), "embedding": models[name]} for name in names}
    several = config.embeddings is not None
    client = config.store.options() if isinstance(place, str) and place.startswith(("http://", "https://")) else None
    shared: dict[str, Any] = {
        "location": place, "sparse": config.sparse, "sparse_name": config.sparse_name, "text_key": config.text_key,
        "client_options": client,
    }  # fmt: skip
    if config.create:
        asked: dict[str, Any] = {"embeddings": settings} if several else {
            **settings[""], "vector_name": config.vector_name
        }  # fmt: skip
        return (
            yield from making.create(
                Collection, config.collection, **shared, **asked, seed=config.seed, exist_ok=True,
                collection_options=config.store.collection_options or None,
            )
        )  # fmt: skip
    opened: dict[str, Any] = {"embeddings": models} if several else {"embedding": models[""]}
    try:
        collection = yield from making.open_(
            Collection, config.collection, **shared, **opened, vector_name=first or config.vector_name
        )
    except CollectionNotFoundError as error:
        raise CollectionNotFoundError(f"{error}; 'create: true' in the configuration makes it") from error
    try:
        making.check_settings(collection, settings)
    except BaseException:
        yield from ending.close(collection)
        raise
    return collection


def _chat_model(config: Config) -> Any:
    asked = config.model
    if asked is None or not isinstance(asked.name, str):
        return None if asked is None else asked.name
    key = asked.api_key.get_secret_value() if asked.api_key else ""
    try:
        return chat_model(asked.name, **({"api_key": key} if key else {}), **asked.options)
    except InputError as error:
        if not key:
            raise
        # What a provider says of its arguments may quote them.
        raise InputError(str(error).replace(key, "(the key)")) from None


def _reranker(config: Config, collection: Collection, chat: Any) -> Reranker | None:
    asked = config.rerank
    if asked is None:
        return None
    limits = ("max_calls", "max_tokens", "max_seconds", "on_failure", "cache", "concurrency", "retries", "timeout")
    prices = None if asked.prices is None else asked.prices.model_dump()
    return reranker(
        asked.spec, chat, collection=collection, trained=asked.trained or None, prices=prices, shuffle=asked.shuffle,
        seed=asked.seed, **{name: getattr(asked, name) for name in limits},
    )  # fmt: skip


def _cutoff(config: Config, collection: Collection) -> Flow[Cutoff | None]:
    if config.cutoff is None:
        return None
    if config.cutoff.file != "attached":
        file = config.cutoff.file
        return (yield from step(lambda: Cutoff.load(file)))
    found = yield from attaching.trained(collection, Cutoff)
    if found is None:
        raise InputError("cutoff: no cutoff is attached to the collection: train one, octant train cutoff --attach")
    return found


def _asked(config: Config, collection: Collection) -> tuple[str, ...]:
    able = tuple(name for name, info in collection.embeddings.items() if info.takes_texts and info.complete)
    wanted = tuple(config.select.embeddings or ()) if config.select else ()
    if missing := [name for name in wanted if name not in able]:
        raise InputError(
            f"select.embeddings: the collection's embeddings that take a question are {', '.join(able) or 'none'}; got "
            f"{', '.join(missing)}"
        )
    if not able:
        raise InputError("no embedding of the collection takes a question: name its model under embedding")
    return wanted or able
