"""The object a user holds: a named set of documents, compressed, in a stock Qdrant.

What its methods do stands in the rooms beside this one, each under the name of its method, as a flow whose first
argument is the collection. Other flows of Octant call those; users call the methods.
"""

from __future__ import annotations

from collections.abc import Mapping

from octant.closing import Closing
from octant.collection import attaching, describing, ending, making, reading, searching, vectors, writing
from octant.core import Core
from octant.embedders import Embedder
from octant.flow import Flow, awaitable, blocking
from octant.manifest import Manifest
from octant.records import Distance
from octant.representation import Representation
from octant.several_embeddings import EmbeddingInfo, described


class Collection(Closing):
    """Documents and their compressed embeddings, in one Qdrant collection.

    Make one with :meth:`create` or :meth:`open`. Every method that touches the engine has a twin with an ``a``
    in front that is awaited; where the engine or the model has native async, the twin uses it.

    Scores estimate the cosine or dot product of the original vectors, or minus their distance under Euclid and
    Manhattan: higher is always better. Several threads may search at once; the first ``add`` or ``fit`` of a
    collection must have returned before another thread writes.

    Attributes
    ----------
    name : str

    Examples
    --------
    >>> import numpy as np
    >>> from octant import Collection
    >>> x = np.random.default_rng(0).standard_normal((200, 32))
    >>> with Collection.create("demo", represent="pca(16)|turbo8") as collection:
    ...     ids = collection.add(vectors=x, ids=range(200))
    ...     collection.search(x[7], k=1)[0].id
    7
    """

    def __init__(self, name: str, core: Core) -> None:
        self.name = name
        self._core = core

    create = classmethod(blocking(making.create))
    acreate = classmethod(awaitable(making.create))
    open = classmethod(blocking(making.open_))
    aopen = classmethod(awaitable(making.open_))

    # -- what it is -------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What is written down with the collection."""
        return self._core.manifest

    @property
    def dimension(self) -> int | None:
        """Coordinates of an embedding; None until the first one has been seen."""
        return self._core.manifest.dimension

    @property
    def distance(self) -> Distance:
        """How vectors are compared."""
        return self._core.distance

    @property
    def representation(self) -> Representation:
        """How vectors are stored."""
        return self._core.representation

    @property
    def embedding(self) -> Embedder | None:
        """The model that texts go through."""
        return self._core.embedder

    @property
    def embeddings(self) -> Mapping[str, EmbeddingInfo]:
        """Every embedding of the documents by name, the first one first; sparse vectors count as one of them."""
        return described(self._core)

    @property
    def artifact(self) -> str | None:
        """SHA-256 of the fitted state; None where nothing is or was learned."""
        return self._core.manifest.artifact

    @property
    def engine(self) -> str:
        """``"edge"``, ``"server"`` or ``"local"``."""
        return self._core.store.engine

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, represent={self.representation.spec!r}, engine={self.engine!r})"

    info = blocking(describing.info)
    ainfo = awaitable(describing.info)
    segments = blocking(describing.segments)
    asegments = awaitable(describing.segments)
    footprint = blocking(describing.footprint)
    afootprint = awaitable(describing.footprint)
    residency = blocking(describing.residency)
    aresidency = awaitable(describing.residency)
    schema = blocking(describing.schema)
    aschema = awaitable(describing.schema)

    # -- writing ----------------------------------------------------------------------------------

    add = blocking(writing.add)
    aadd = awaitable(writing.add)
    fit = blocking(writing.fit)
    afit = awaitable(writing.fit)
    adopt = blocking(writing.adopt)
    aadopt = awaitable(writing.adopt)
    delete = blocking(writing.delete)
    adelete = awaitable(writing.delete)
    optimize = blocking(writing.optimize)
    aoptimize = awaitable(writing.optimize)
    index_payload = blocking(writing.index_payload)
    aindex_payload = awaitable(writing.index_payload)

    # -- its embeddings ---------------------------------------------------------------------------

    add_embedding = blocking(vectors.add_embedding)
    aadd_embedding = awaitable(vectors.add_embedding)
    drop_embedding = blocking(vectors.drop_embedding)
    adrop_embedding = awaitable(vectors.drop_embedding)
    store_tokens = blocking(vectors.store_tokens)
    astore_tokens = awaitable(vectors.store_tokens)
    token_scores = blocking(vectors.token_scores)
    atoken_scores = awaitable(vectors.token_scores)

    # -- reading ----------------------------------------------------------------------------------

    search = blocking(searching.search)
    asearch = awaitable(searching.search)
    search_batch = blocking(searching.search_batch)
    asearch_batch = awaitable(searching.search_batch)
    search_each = blocking(searching.search_each)
    asearch_each = awaitable(searching.search_each)
    search_each_batch = blocking(searching.search_each_batch)
    asearch_each_batch = awaitable(searching.search_each_batch)
    get = blocking(reading.get)
    aget = awaitable(reading.get)
    sample = blocking(reading.sample)
    asample = awaitable(reading.sample)
    count = blocking(reading.count)
    acount = awaitable(reading.count)
    scroll = reading.scroll
    ascroll = reading.ascroll

    # -- what was trained for it ------------------------------------------------------------------

    corpus = blocking(attaching.corpus)
    acorpus = awaitable(attaching.corpus)
    attach = blocking(attaching.attach)
    aattach = awaitable(attaching.attach)
    attached = blocking(attaching.attached)
    aattached = awaitable(attaching.attached)
    trained = blocking(attaching.trained)
    atrained = awaitable(attaching.trained)
    detach = blocking(attaching.detach)
    adetach = awaitable(attaching.detach)

    # -- ending -----------------------------------------------------------------------------------

    def _close(self) -> Flow[None]:
        return ending.close(self)

    drop = blocking(ending.drop)
    adrop = awaitable(ending.drop)
