"""What does a wrapper add to a query? Octant and langchain-qdrant over the raw call on the same store.

Local mode: one collection in one ``QdrantClient(":memory:")``, asked by the client itself, by
``QdrantVectorStore`` and by ``OctantVectorStore`` and ``Collection``. Edge: one collection on disk, asked by the
engine's own ``query`` and by Octant (there is no langchain-qdrant on Edge). The raw call gets the vector; the others
get the text, whose vector they look up, and answer with documents and scores. All take turns on every query, round by
round. What a client adds is its p50 over queries minus that of the raw call.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import qdrant_edge as qe
from harness import Bar, finish, parser, table
from langchain_qdrant import QdrantVectorStore
from points import Lookup, Points, make_points
from qdrant_client import QdrantClient

from octant import Collection
from octant.errors import LocalModeWarning
from octant_langchain import OctantVectorStore

NAME = "benchmark"


def main() -> None:
    warnings.simplefilter("ignore", LocalModeWarning)
    options = parser(__doc__)
    options.add_argument("--points", type=int, default=1000)
    options.add_argument("--dimension", type=int, default=384)
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--k", type=int, default=10)
    chosen = options.parse_args()
    points = make_points(chosen.points, chosen.dimension)
    asked = points.texts[: chosen.queries]
    rows = []
    for store, clients in (("local", local_clients), ("edge", edge_clients)):
        with clients(points, chosen.k) as calls:
            rows += summaries(store, timed(calls, asked, chosen.rounds))
    text = table(
        ["client", "store", "p50 us", "added us"],
        [[row["client"], row["store"], f"{row['p50_us']:.0f}", Added(**row["added_us"])] for row in rows],
    )
    finish("query_overhead", text, {"settings": vars(chosen), "rows": rows}, bars(rows))


# -- the clients ------------------------------------------------------------------------------------

Ask = Callable[[str], object]


@contextmanager
def local_clients(points: Points, k: int):
    client = QdrantClient(":memory:")
    vector_of = Lookup(points.texts, points.rows).rows
    with filled(points, client) as collection:
        ours = OctantVectorStore(collection=collection)
        theirs = QdrantVectorStore(
            client, NAME, collection.embedding.source, validate_embeddings=False, validate_collection_config=False
        )
        yield {
            "raw": lambda text: client.query_points(NAME, query=vector_of[text], limit=k, with_payload=True),
            "langchain-qdrant": lambda text: theirs.similarity_search_with_score(text, k),
            "OctantVectorStore": lambda text: ours.similarity_search_with_score(text, k),
            "Collection": lambda text: collection.search(text, k),
        }


@contextmanager
def edge_clients(points: Points, k: int):
    vector_of = Lookup(points.texts, points.rows).rows
    with tempfile.TemporaryDirectory() as folder, filled(points, folder) as collection:
        ours = OctantVectorStore(collection=collection)
        # A second reader of the same files; Edge itself does not lock them.
        shard = qe.EdgeShard.load(str(next(Path(folder).glob("*/shard"))))
        yield {
            "raw": lambda text: shard.query(nearest(vector_of[text], k)),
            "OctantVectorStore": lambda text: ours.similarity_search_with_score(text, k),
            "Collection": lambda text: collection.search(text, k),
        }
        shard.close()


def nearest(vector: list[float], k: int) -> qe.QueryRequest:
    return qe.QueryRequest(limit=k, query=qe.Query.Nearest(vector), with_payload=True)


@contextmanager
def filled(points: Points, location: object):
    """A float32 collection of all points, laid out as langchain-qdrant lays it out."""
    embedding = Lookup(points.texts, points.rows)
    with Collection.create(NAME, location=location, embedding=embedding, represent="float32") as collection:
        OctantVectorStore(collection=collection).add_texts(points.texts, points.metadatas, ids=points.ids)
        yield collection


# -- timing -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """Microseconds that a client adds to the raw call's p50, and the 95 % bootstrap interval over queries."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.0f} [{self.low:.0f}, {self.high:.0f}]"


def timed(calls: Mapping[str, Ask], asked: list[str], rounds: int) -> dict[str, np.ndarray]:
    """Microseconds (queries,) of every client: the fastest round of each query, since noise only makes slower."""
    names = list(calls)
    taken = {name: np.empty((rounds, len(asked))) for name in names}
    for turn in range(rounds):
        for i, text in enumerate(asked):
            first = (turn + i) % len(names)
            for name in names[first:] + names[:first]:
                start = time.perf_counter_ns()
                calls[name](text)
                taken[name][turn, i] = (time.perf_counter_ns() - start) / 1000
    return {name: values.min(axis=0) for name, values in taken.items()}


def summaries(store: str, taken: Mapping[str, np.ndarray]) -> list[dict]:
    return [
        {
            "store": store,
            "client": name,
            "p50_us": float(np.median(values)),
            "added_us": asdict(added(values, taken["raw"])),
        }
        for name, values in taken.items()
    ]


def added(values: np.ndarray, raw: np.ndarray, resamples: int = 2000) -> Added:
    draws = np.random.default_rng(0).integers(0, len(raw), size=(resamples, len(raw)))
    differences = np.median(values[draws], axis=1) - np.median(raw[draws], axis=1)
    low, high = np.quantile(differences, [0.025, 0.975])
    return Added(float(np.median(values) - np.median(raw)), float(low), float(high))


def bars(rows: list[dict]) -> list[Bar]:
    local = {row["client"]: row["added_us"]["value"] for row in rows if row["store"] == "local"}
    theirs = local["langchain-qdrant"]
    return [
        Bar(
            f"{client} adds less than half of what langchain-qdrant adds",
            f"{local[client]:.0f} us against {theirs:.0f} us, {local[client] / theirs:.2f} of it",
            local[client] < theirs / 2,
        )
        for client in ("OctantVectorStore", "Collection")
    ]


if __name__ == "__main__":
    main()
