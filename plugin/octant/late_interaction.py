"""Token vectors kept with the documents, as a multivector beside the others, and compared inside Qdrant (MaxSim)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from octant.core import Core
from octant.embedders import Embedder
from octant.errors import InputError
from octant.flow import Flow
from octant.layout import QuerySettings, StoredPoint, VectorLayout, VectorQuery
from octant.records import Datatype, Distance, FloatArray, PointId, uuid_or_int
from octant.work import progress_bar

NAME = "tokens"
"""What the multivector is called where nobody says otherwise."""
DATATYPES: tuple[Datatype, ...] = ("float32", "float16", "turbo8", "turbo4")


def store(core: Core, name: str, datatype: Datatype, *, batch_size: int, progress: bool) -> Flow[int]:
    """Write the token vectors of every document that has none; how many got theirs.

    Raises
    ------
    InputError, UnsupportedError
        As :meth:`octant.Collection.store_tokens`.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if not name:
        raise InputError("token vectors need a name of their own, got an empty one")
    if datatype not in DATATYPES:
        raise InputError(f"datatype must be one of {', '.join(DATATYPES)}; got {datatype!r}")
    if core.draft:
        raise InputError("the collection is empty: add documents first")
    model = _model(core)
    (probe,) = yield from model.embed_query_tokens(["how wide is a vector of a token?"])
    yield from core.store.add_vectors([_layout(core, name, probe.shape[1], datatype)])
    # What is left to do is what Qdrant finds without, so that a run that was killed goes on.
    left = {
        "must_not": [{"has_vector": name}, {"is_empty": {"key": core.manifest.text_key}}],
    }
    due, done = (yield from core.store.count(left)), 0
    with progress_bar(due, title=f"token vectors {name}", unit="doc", show=progress) as advance:
        offset: int | str | None = None
        while True:
            page, offset = yield from core.store.read(filter=left, limit=batch_size, offset=offset, vectors=())
            texts = [(point, text) for point in page if (text := _text(core, point))]
            if texts:
                made = yield from model.embed_document_tokens([text for _, text in texts])
                ids = [point.id for point, _ in texts]
                gone = yield from core.store.write_vectors(ids, {}, multi={name: made}, batch_size=batch_size)
                done += len(ids) - len(gone)
            if advance is not None:
                advance(len(page))
            if offset is None:
                return done


def scores(core: Core, query: str, ids: Sequence[PointId], name: str) -> Flow[dict[PointId, float]]:
    """MaxSim of the documents ``ids`` by their stored token vectors; those without any are left out.

    Raises
    ------
    InputError
        If there is no such multivector, or it is of another width than the model's tokens.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError(f"token vectors are compared with those of a text, got {query!r}")
    schema = yield from core.store.schema()
    found = next((vector for vector in schema.vectors if vector.name == name and vector.multivector), None)
    if found is None:
        known = ", ".join(repr(vector.name) for vector in schema.vectors if vector.multivector) or "none"
        raise InputError(
            f"the collection has no multivector {name!r} (it has {known}): call store_tokens({name!r}) first"
        )
    (tokens,) = yield from _model(core).embed_query_tokens([query])
    if found.layout.size != tokens.shape[1]:
        raise InputError(
            f"the multivector {name!r} has rows of {found.layout.size} numbers, and the model's tokens have "
            f"{tokens.shape[1]}: it was made with another model"
        )
    asked = {uuid_or_int(core.ids.to_qdrant(point)): point for point in ids}
    if not asked:
        return {}
    known_ids = [core.ids.to_qdrant(point) for point in asked.values()]
    request = VectorQuery(
        vector=np.ascontiguousarray(tokens, np.float32),
        using=name,
        limit=len(asked),
        settings=QuerySettings(exact=True),
        filter={"must": [{"has_id": known_ids}]},
        with_payload=False,
    )
    (points,) = yield from core.store.query([request])
    return {asked[uuid_or_int(point.id)]: _mean(point.score, tokens) for point in points}


def _mean(total: float, tokens: FloatArray) -> float:
    """From the sum over the query's tokens that Qdrant gives to their mean, a cosine."""
    return min(1.0, max(-1.0, total / len(tokens)))


def _layout(core: Core, name: str, width: int, datatype: Datatype) -> VectorLayout:
    """On disk and without a graph: it is only read for the candidates of another vector."""
    return VectorLayout(
        name=name,
        size=width,
        metric=Distance.COSINE,
        datatype=datatype,
        placement="cold",
        quantization=None,
        quantization_placement="cold",
        hnsw=replace(core.manifest.hnsw, m=0),
        graph_placement="cold",
        multivector=True,
    )


def _model(core: Core) -> Embedder:
    if core.embedder is None:
        raise InputError("token vectors are made by the collection's model: open it with embedding=")
    return core.embedder


def _text(core: Core, point: StoredPoint) -> str | None:
    text = point.payload.get(core.manifest.text_key)
    return text if isinstance(text, str) and text.strip() else None
