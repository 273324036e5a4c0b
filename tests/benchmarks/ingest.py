"""How fast do points get in? Raw client, langchain-qdrant and Octant, into Edge and into local mode.

Every contender stores the same ids, payloads and float32 vectors, in batches of the same size, into an empty
collection; what is timed ends when all points are durable (Edge, without a write-ahead log: flushed every 4,096
points and at the end, as Octant does) or in memory (local mode). No index is built. Contenders take turns within
every round. Vectors come as a numpy matrix to the raw client and to ``Collection``, and as the lists of floats of
LangChain's ``Embeddings`` (looked up, not computed) to the vector stores and to the raw client beside them.

There is no langchain-qdrant on Edge.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

import numpy as np
import qdrant_edge as qe
from harness import Bar, Ratio, finish, interleaved, median_interval, parser, table
from langchain_qdrant import QdrantVectorStore
from points import Lookup, Points, make_points
from qdrant_client import QdrantClient, models

from octant import Collection
from octant.errors import LocalModeWarning
from octant_langchain import OctantVectorStore

FLUSH_EVERY = 4096
NAME = "benchmark"


def main() -> None:
    warnings.simplefilter("ignore", LocalModeWarning)  # compression is not what is measured here
    options = parser(__doc__)
    options.add_argument("--points", type=int, default=4000)
    options.add_argument("--dimension", type=int, default=384)
    options.add_argument("--batch-size", type=int, default=256)
    options.add_argument("--rounds", type=int, default=9)
    chosen = options.parse_args()
    points = make_points(chosen.points, chosen.dimension)
    runs = {key: partial(timed, contender, points, chosen.batch_size) for key, contender in CONTENDERS.items()}
    seconds = interleaved(runs, chosen.rounds)
    rows = [summary(key, seconds, chosen.points) for key in CONTENDERS]
    text = table(
        ["client", "store", "vectors/s", "x raw", "x raw, given lists"],
        [
            [row["client"], row["store"], round(row["vectors_per_second"]),
             Ratio(**row["speed_to_raw"]), Ratio(**row["speed_to_raw_given_lists"])]
            for row in rows
        ],
    )  # fmt: skip
    finish("ingest", text, {"settings": vars(chosen), "rows": rows}, bars(seconds))


# -- the contenders: each makes an empty collection and yields the call that fills it ---------------


def timed(contender: Callable, points: Points, batch_size: int) -> float:
    with contender(points, batch_size) as load:
        start = time.perf_counter()
        load()
        return time.perf_counter() - start


def slices(points: Points, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, len(points.ids), size)]


@contextmanager
def edge_raw(points: Points, batch_size: int, *, lists: bool = False):
    """The engine's own calls, with what is fastest for it: lists of floats."""
    payloads = points.payloads

    def load() -> None:
        unflushed = 0
        for part in slices(points, batch_size):
            rows = points.rows[part] if lists else points.vectors[part].tolist()
            batch = [qe.Point(*point) for point in zip(points.ids[part], rows, payloads[part], strict=True)]
            shard.update(qe.UpdateOperation.upsert_points(batch))
            unflushed += len(batch)
            if unflushed >= FLUSH_EVERY:
                shard.flush()
                unflushed = 0
        shard.flush()

    vectors = qe.EdgeVectorParams(size=points.vectors.shape[1], distance=qe.Distance.Cosine)
    with tempfile.TemporaryDirectory() as folder:
        shard = qe.EdgeShard.create(folder, qe.EdgeConfig(vectors={"": vectors}, wal_enabled=False))
        yield load
        shard.close()


@contextmanager
def local_raw(points: Points, batch_size: int, *, lists: bool = False):
    """``upsert`` of a ``Batch``: faster here than of ``PointStruct``, and than ``upload_collection``."""
    payloads = points.payloads

    def load() -> None:
        for part in slices(points, batch_size):
            rows = points.rows[part] if lists else points.vectors[part].tolist()
            client.upsert(NAME, models.Batch(ids=points.ids[part], vectors=rows, payloads=payloads[part]))

    with empty_client(points) as client:
        yield load


@contextmanager
def local_langchain(points: Points, batch_size: int):
    with empty_client(points) as client:
        store = QdrantVectorStore(
            client, NAME, Lookup(points.texts, points.rows), validate_embeddings=False, validate_collection_config=False
        )
        yield lambda: store.add_texts(points.texts, points.metadatas, points.ids, batch_size=batch_size)


@contextmanager
def collection(points: Points, batch_size: int, make_location: Callable = lambda: ":memory:"):
    payloads = [{"metadata": metadata} for metadata in points.metadatas]
    with empty_collection(points, make_location) as stored:
        yield lambda: stored.add(
            points.texts, vectors=points.vectors, payloads=payloads, ids=points.ids, batch_size=batch_size,
            optimize=False,
        )  # fmt: skip


@contextmanager
def vector_store(points: Points, batch_size: int, make_location: Callable = lambda: ":memory:"):
    with empty_collection(points, make_location, embedding=Lookup(points.texts, points.rows)) as stored:
        store = OctantVectorStore(collection=stored)
        yield lambda: store.add_texts(points.texts, points.metadatas, ids=points.ids, batch_size=batch_size)


def empty_collection(points: Points, make_location: Callable, embedding: Lookup | None = None) -> Collection:
    return Collection.create(
        NAME,
        location=make_location(),
        embedding=embedding,
        represent="float32",
        dimension=points.vectors.shape[1],
    )


def in_memory() -> QdrantClient:
    return QdrantClient(":memory:")


@contextmanager
def empty_client(points: Points):
    client = in_memory()
    vectors = models.VectorParams(size=points.vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection(NAME, vectors_config=vectors)
    yield client
    client.close()


CONTENDERS = {
    ("edge", "raw"): edge_raw,
    ("edge", "raw, given lists"): partial(edge_raw, lists=True),
    ("edge", "Collection"): collection,
    ("edge", "OctantVectorStore"): vector_store,
    ("local", "raw"): local_raw,
    ("local", "raw, given lists"): partial(local_raw, lists=True),
    ("local", "langchain-qdrant"): local_langchain,
    ("local", "Collection"): partial(collection, make_location=in_memory),
    ("local", "OctantVectorStore"): partial(vector_store, make_location=in_memory),
}

# -- what came out ---------------------------------------------------------------------------------


def speed(seconds: dict, ours: tuple[str, str], theirs: tuple[str, str]) -> Ratio:
    """Speed of ``ours`` as a multiple of that of ``theirs``, round by round; above 1 is faster."""
    return median_interval(seconds[theirs] / seconds[ours])


def summary(key: tuple[str, str], seconds: dict, count: int) -> dict:
    store, client = key
    return {
        "store": store,
        "client": client,
        "vectors_per_second": count / float(np.median(seconds[key])),
        "speed_to_raw": asdict(speed(seconds, key, (store, "raw"))),
        "speed_to_raw_given_lists": asdict(speed(seconds, key, (store, "raw, given lists"))),
    }


def bars(seconds: dict) -> list[Bar]:
    kept = []
    for store in ("edge", "local"):
        ratio = speed(seconds, (store, "Collection"), (store, "raw"))
        kept.append(Bar(f"Collection at least 0.9 of the raw client into {store}", str(ratio), ratio.value >= 0.9))
    for client in ("Collection", "OctantVectorStore"):
        ratio = speed(seconds, ("local", client), ("local", "langchain-qdrant"))
        kept.append(Bar(f"{client} not slower than langchain-qdrant", str(ratio), ratio.value >= 1))
    return kept


if __name__ == "__main__":
    main()
