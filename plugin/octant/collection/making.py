"""How a collection comes into a program's hands: made, or opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octant.core import Core, creating, opening
from octant.embedders import Embedder, embedder
from octant.errors import InputError
from octant.flow import Flow, step
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.location import Location, store_at
from octant.manifest import Manifest
from octant.recommendation import Recommendation
from octant.records import Distance
from octant.representation import Representation
from octant.sparse import SparseEncoder, sparse_encoder
from octant.terms import Terms
from octant.version import __version__

if TYPE_CHECKING:
    from octant.collection.collection import Collection

SPARSE_NAME = "sparse"
DEFAULT_REPRESENTATION = "turbo8"
TEXT_KEY = "page_content"
SETTINGS = ("embedding", "represent", "distance", "dimension", "hnsw", "placement", "knobs", "recommendation")
"""What each of several embeddings may say for itself."""


def create(
    cls: type[Collection],
    name: str,
    *,
    location: Location = ":memory:",
    embedding: object | None = None,
    embeddings: Mapping[str, object] | None = None,
    represent: str | None = None,
    distance: str | Distance | None = None,
    dimension: int | None = None,
    sparse: object | None = None,
    sparse_name: str = SPARSE_NAME,
    vector_name: str = "",
    text_key: str = TEXT_KEY,
    hnsw: HnswSettings | None = None,
    placement: MemoryPlacement | None = None,
    knobs: SearchKnobs | None = None,
    recommendation: Recommendation | str | Path | None = None,
    seed: int = 0,
    exist_ok: bool = False,
    overwrite: bool = False,
    client_options: Mapping[str, Any] | None = None,
    collection_options: Mapping[str, Any] | None = None,
) -> Flow[Collection]:
    """Make a collection.

    While neither ``dimension`` nor the embedding tells how wide vectors are, nothing is made yet: the
    first ``add`` or ``fit`` does it, and until then searches find nothing.

    Parameters
    ----------
    name : str
    location : str, Path or Qdrant client
        A directory (Qdrant Edge, embedded), ``":memory:"`` (Edge in a temporary directory), an http(s) URL
        (server, cluster, cloud), a ``QdrantClient``, an ``AsyncQdrantClient``, or a pair of both.
    embedding : optional
        A LangChain ``Embeddings``, the name or path of a sentence-transformers model, or a callable from a
        list of texts to (n, dim) vectors. Not needed where only vectors are added and searched.
    embeddings : mapping from name to settings, optional
        Several embeddings of every document, instead of ``embedding``: ``{"minilm": {"embedding": ...,
        "represent": ...}, "bge": {...}}``, or a model alone for its settings. Settings are ``embedding``,
        ``represent``, ``distance``, ``dimension``, ``hnsw``, ``placement``, ``knobs`` and ``recommendation``; what one
        does not say is what is said here for all. The names are those of the vectors; a search that names none asks
        the first one. A model that does not know its dimension embeds one short text.
    represent : str, optional
        Spec of how vectors are stored, e.g. ``"turbo8"`` (the default), ``"pca(192)|float8"``,
        ``"coarse=turbo4|turbo(1); fine=float8"``.
    distance : {"cosine", "dot", "euclid", "manhattan"}, optional
        Cosine by default.
    dimension : int, optional
        Of the embeddings; 0 stores sparse vectors only.
    sparse : optional
        ``"bm25"``, or an object with LangChain's sparse interface; enables sparse and hybrid search.
    sparse_name, vector_name : str
        Names of the vectors inside Qdrant.
    text_key : str
        Payload key of the text.
    hnsw : HnswSettings, optional
    placement : MemoryPlacement, optional
        Where codes, originals, graph and payload live. Payload lies where the first embedding says.
    knobs : SearchKnobs, optional
        Kept with the collection, for every search that is given none.
    recommendation : Recommendation, str or Path, optional
        What ``octant tune`` recommends, or the path of its JSON: sets ``represent``, ``hnsw``, ``placement`` and
        ``knobs``, none of which may be given beside it, and must be for this distance and dimension.
    seed : int
        Of everything random in a fit.
    exist_ok : bool
        Open the collection if it exists.
    overwrite : bool
        Delete the collection first if it exists.
    client_options, collection_options : mapping, optional
        See :func:`octant.location.store_at`.

    Raises
    ------
    SpecError, InputError
        If the spec or an argument is impossible.
    ArtifactError
        If the recommendation cannot be read.
    CollectionExistsError, LockedError, MismatchError, UnavailableError, UnsupportedError
    """
    if exist_ok and overwrite:
        raise InputError("exist_ok opens what is there, overwrite deletes it: choose one")
    compared = None if distance is None else Distance.parse(distance)
    terms = Terms(represent, compared, dimension, hnsw, placement, knobs)
    if embeddings is None:
        wanted = {vector_name: _Wanted.of(embedder(embedding), _agreed(terms, recommendation))}
    else:
        alone = {
            "embedding": embedding, "vector_name": vector_name or None, "dimension": dimension,
            "recommendation": recommendation,
        }  # fmt: skip
        wanted = _several(embeddings, terms, alone, sparse_name)
    encoder = None if sparse is None else sparse_encoder(sparse)
    store = store_at(location, name, client_options=client_options, collection_options=collection_options)
    shared = _Shared(text_key, encoder, sparse_name, seed)
    cores = {title: _core(store, title, part, shared) for title, part in wanted.items()}
    core = next(iter(cores.values()))
    core.siblings = {title: one for title, one in cores.items() if one is not core}
    asked = {title: part.terms for title, part in wanted.items()}
    models = None if embeddings is None else {title: part.embedder for title, part in wanted.items()}
    made = creating.create(core, asked, exist_ok=exist_ok, overwrite=overwrite, models=models)
    yield from _or_close(core, made)
    return cls(name, core)


def open_(
    cls: type[Collection],
    name: str,
    *,
    location: Location = ":memory:",
    embedding: object | None = None,
    embeddings: Mapping[str, object] | None = None,
    sparse: object | None = None,
    represent: str | None = None,
    dimension: int | None = None,
    artifact: str | None = None,
    recommendation: Recommendation | str | Path | None = None,
    sparse_name: str = SPARSE_NAME,
    vector_name: str | None = "",
    text_key: str = TEXT_KEY,
    client_options: Mapping[str, Any] | None = None,
) -> Flow[Collection]:
    """Open a collection that exists, Octant's own or somebody else's.

    Octant's own collections know everything but the embedding model itself. Of another client's (written by
    langchain-qdrant, say) ``vector_name``, ``sparse_name`` and ``text_key`` say where things are.

    Parameters
    ----------
    name, location, client_options
        As in :meth:`create`.
    embedding : optional
        The model that made the vectors; without it, search by vector. Of several embeddings it opens the one that
        records this model.
    embeddings : mapping from name to model, optional
        The models of several embeddings, by their names, instead of ``embedding``. Those that are left out can be
        searched by vector, and nothing can be added without them.
    sparse : optional
        The sparse encoder; Octant's own BM25 is restored without being named.
    represent, dimension, artifact, recommendation : optional
        What the caller expects of the embedding that is opened first; anything else is refused.
    vector_name : str, optional
        Which of several dense vectors comes first: what a search asks that names none. Empty for the unnamed one, or
        else the first that was not made of another; None takes whatever there is: to look at the collection rather
        than to search it.
    sparse_name, text_key : str
        Where a foreign collection keeps things; Octant's own remember it.

    Raises
    ------
    CollectionNotFoundError, LockedError, ArtifactError, UnavailableError
    MismatchError
        If a model, dimension, representation or artifact is another; the message names both. If there are several
        dense vectors of another client's and none was named; the message lists them.
    """
    if embedding is not None and embeddings is not None:
        raise InputError("embedding is the one model, embeddings are several by name: give one of the two")
    terms = _agreed(Terms(represent, dimension=dimension, artifact=artifact), recommendation)
    models = None if embeddings is None else {title: _model(title, given) for title, given in embeddings.items()}
    manifest = Manifest(
        represent="float32", distance=Distance.COSINE, dimension=None, embedding=None, artifact=None,
        vector_name=vector_name or "", text_key=text_key, sparse=None, sparse_name=sparse_name,
        hnsw=HnswSettings(), seed=0, octant=__version__,
    )  # fmt: skip
    store = store_at(location, name, client_options=client_options)
    encoder = None if sparse is None else sparse_encoder(sparse)
    core = Core(store, Representation.parse("float32"), manifest, embedder(embedding), encoder)
    yield from _or_close(core, opening.open_existing(core, any_vector=vector_name is None, models=models))
    yield from _or_close(core, step(lambda: terms.check(core.manifest, foreign=core.foreign)))
    return cls(name, core)


# -- what is asked for ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Wanted:
    """One embedding that a new collection shall have."""

    embedder: Embedder | None
    terms: Terms
    representation: Representation

    @classmethod
    def of(cls, model: Embedder | None, terms: Terms) -> _Wanted:
        """With the representation that the terms name, or the default one."""
        return cls(model, terms, Representation.parse(terms.represent or DEFAULT_REPRESENTATION))


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all embeddings of a collection have in common."""

    text_key: str
    sparse: SparseEncoder | None
    sparse_name: str
    seed: int


def settings_of(name: str, given: object) -> dict[str, Any]:
    """The settings of one embedding; a model alone is the only one of them.

    Raises
    ------
    InputError
        If there is one that no embedding has.
    """
    settings = {**given} if isinstance(given, Mapping) else {"embedding": given}
    if unknown := [str(key) for key in settings if key not in SETTINGS]:
        raise InputError(
            f"the embedding {name!r} has the settings {', '.join(SETTINGS)}; got {', '.join(map(repr, unknown))}"
        )
    return settings


def wanted_of(name: str, given: object, common: Terms) -> tuple[Embedder | None, Terms]:
    """Model and terms of one embedding; what it does not say is in ``common``.

    Raises
    ------
    SpecError, InputError, MismatchError, ArtifactError
        If they are impossible.
    """
    settings = settings_of(name, given)
    model, recommendation = settings.pop("embedding", None), settings.pop("recommendation", None)
    if settings.get("distance") is not None:
        settings["distance"] = Distance.parse(settings["distance"])
    own = {key: value for key, value in settings.items() if value is not None}
    if recommendation is None:
        return embedder(model), replace(common, **own)
    # What is said for all embeddings is no contradiction to what one of them is recommended.
    return embedder(model), _agreed(Terms(**{"distance": common.distance, **own}), recommendation)


def check_settings(collection: Collection, settings: Mapping[str, object]) -> None:
    """Refuse an open collection whose embeddings are not what their settings say.

    Parameters
    ----------
    collection : Collection
    settings : mapping from name to settings
        As for :func:`create`; an empty name is the first embedding.

    Raises
    ------
    SpecError, InputError, MismatchError, ArtifactError
    """
    core = collection._core
    for name, given in settings.items():
        _, terms = wanted_of(name, given, Terms())
        terms.check(core.of(name or None).manifest, foreign=core.foreign)


def check_name(name: object, taken: Sequence[str], sparse_name: str) -> str:
    """A name that a further embedding may have.

    Raises
    ------
    InputError
        If it is no text, or belongs to another vector.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"an embedding needs a name, such as 'minilm'; got {name!r}")
    if name in (*taken, sparse_name):
        raise InputError(f"the collection has a vector called {name!r} already: give the embedding another name")
    return name


def _several(
    embeddings: Mapping[str, object], common: Terms, alone: Mapping[str, object], sparse_name: str
) -> dict[str, _Wanted]:
    if not isinstance(embeddings, Mapping) or not embeddings:
        raise InputError(f"embeddings is a mapping from names to settings, with one at least; got {embeddings!r}")
    if given := [key for key, value in alone.items() if value is not None]:
        raise InputError(f"each of several embeddings says for itself what {', '.join(given)} is: put it there")
    names = [check_name(name, (), sparse_name) for name in embeddings]
    return {name: _Wanted.of(*wanted_of(name, embeddings[name], common)) for name in names}


def _model(name: str, given: object) -> Embedder | None:
    # The settings that a collection was created with open it too: it knows all of them but the model.
    return embedder(settings_of(name, given).get("embedding")) if isinstance(given, Mapping) else embedder(given)


def _core(store: Any, vector_name: str, wanted: _Wanted, shared: _Shared) -> Core:
    terms = wanted.terms
    manifest = Manifest(
        represent=wanted.representation.spec,
        distance=terms.distance or Distance.COSINE,
        dimension=terms.dimension,
        embedding=None,
        artifact=None,
        vector_name=vector_name,
        text_key=shared.text_key,
        sparse=None if shared.sparse is None else shared.sparse.identity,
        sparse_name=None if shared.sparse is None else shared.sparse_name,
        hnsw=terms.hnsw or HnswSettings(),
        seed=shared.seed,
        octant=__version__,
        placement=terms.placement or MemoryPlacement(),
        knobs=terms.knobs,
        coverage=terms.coverage,
    )
    return Core(store, wanted.representation, manifest, wanted.embedder, shared.sparse)


def _agreed(terms: Terms, recommendation: Recommendation | str | Path | None) -> Terms:
    return terms if recommendation is None else terms.with_recommended(Recommendation.of(recommendation))


def _or_close(core: Core, flow: Flow[None]) -> Flow[None]:
    """Run ``flow``; if it fails, leave no lock or connection behind."""
    try:
        yield from flow
    except BaseException:
        yield from core.store.close()
        raise
