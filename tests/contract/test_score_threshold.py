"""A score threshold reaches the engine, and keeps exactly what leaving out afterwards would keep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeQdrant, serving
from made_judged import judged
from octant import Collection, Cutoff, SearchKnobs
from octant.layout import ScoreMap, VectorQuery
from octant.records import Distance

N, DIM, K = 300, 24, 40
SIZE = np.float32(0.02)
"""Vectors of about this size have dot products and distances below 1."""
SURE = SearchKnobs(coverage=0.999999)

REPRESENTATIONS = [
    ("float32", "cosine"), ("turbo8", "cosine"), ("uint8", "cosine"), ("pca(12)|turbo8", "cosine"),
    ("bq(1)", "cosine"), ("turbo(2)", "cosine"), ("binary(48)", "cosine"), ("rabitq", "cosine"),
    ("float8", "cosine"), ("pca(12)|float8", "cosine"), ("coarse=pca(12)|turbo4; fine=turbo8", "cosine"),
    ("float32", "dot"), ("turbo8", "dot"), ("pca(12)|turbo8", "dot"), ("int8", "dot"),
    ("float32", "euclid"), ("turbo8", "euclid"), ("uint8", "euclid"), ("pca(12)|turbo8", "euclid"), ("int8", "euclid"),
    ("float32", "manhattan"), ("turbo8", "manhattan"), ("uint8", "manhattan"),
]  # fmt: skip
CLIENT_SIDE = {"float8", "pca(12)|float8", "int8"}


def made(seed: int, count: int = N) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(5).standard_normal((6, DIM))
    return (rng.standard_normal((count, 6)) @ mixed + 0.3 * rng.standard_normal((count, DIM))).astype(np.float32)


class Spy:
    """Sees what is asked of a collection's engine."""

    def __init__(self, collection: Collection) -> None:
        self.asked: list[VectorQuery] = []
        self.found: list[int] = []
        store = collection._core.store
        original = store.query

        def query(requests: Any) -> Any:
            self.asked.extend(requests)
            answers = yield from original(requests)
            self.found.extend(len(points) for points in answers)
            return answers

        store.query = query  # type: ignore[method-assign]


@pytest.fixture(scope="module", params=REPRESENTATIONS, ids=lambda pair: " ".join(pair))
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Collection, str]]:
    represent, distance = request.param
    with Collection.create("c", represent=represent, distance=distance) as c:
        c.add(vectors=made(0) * SIZE, ids=range(N))
        yield c, represent


def test_the_engine_leaves_out_exactly_what_scores_less(place: tuple[Collection, str]) -> None:
    c, represent = place
    queries = made(1, 4) * SIZE
    for query, rank in zip(queries, (0, 9, 25, K - 1), strict=True):
        ranking = c.search(query, k=K, knobs=SURE)
        least = ranking.scores[rank]
        for threshold in (least, np.nextafter(least, np.inf), least + 1e-4, least - 1e-4):
            expected = [hit for hit in ranking if hit.score >= threshold]
            spy = Spy(c)
            cut = c.search(query, k=K, score_threshold=threshold, knobs=SURE)
            assert list(cut) == expected
            (asked,) = spy.asked
            if represent in CLIENT_SIDE:
                assert asked.score_threshold is None
            else:
                # What rounding lets through is left out afterwards, and there is next to none of it.
                assert asked.score_threshold is not None
                assert len(expected) <= spy.found[0] <= len(expected) + 2
            paged = c.search(query, k=7, offset=3, score_threshold=threshold, knobs=SURE)
            # Of equal scores, as those of bytes are, another page may show another one first.
            assert list(paged.scores) == [hit.score for hit in expected[3:10]]


def test_thresholds_beyond_all_scores(place: tuple[Collection, str]) -> None:
    c, _ = place
    query = made(1, 1)[0] * SIZE
    whole = c.search(query, k=K, knobs=SURE)
    for low in (-np.inf, -1e30, -1e300):
        assert c.search(query, k=K, score_threshold=low, knobs=SURE) == whole
    for high in (np.inf, 1e30, 1e300):
        assert len(c.search(query, k=K, score_threshold=high, knobs=SURE)) == 0


@given(
    st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from(list(Distance)), st.booleans(), st.floats(-50, 50),
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=20),
)  # fmt: skip
def test_no_raw_score_is_lost_by_translation(
    scale: float, offset: float, metric: Distance, plain: bool, least: float, raws: list[float]
) -> None:
    one = ScoreMap(scale, offset, metric, metric if plain else Distance.EUCLID)
    limit = one.raw_threshold(least)
    assert limit is not None
    distances = metric in (Distance.EUCLID, Distance.MANHATTAN)
    for raw in map(abs, raws) if distances else raws:
        passes = np.float32(raw) <= np.float32(limit) if distances else np.float32(raw) >= np.float32(limit)
        assert passes or one(raw) < least


def test_a_map_that_falls_has_no_threshold() -> None:
    assert ScoreMap(-1.0, 0.0, Distance.DOT, Distance.DOT).raw_threshold(0.5) is None
    assert ScoreMap(1.0, 0.0, Distance.DOT, Distance.DOT).raw_threshold(-np.inf) is None


def test_sparse_searches_too() -> None:
    texts = [f"{'octant ' * (1 + n % 4)} number {n}" for n in range(20)]
    with Collection.create("c", sparse="bm25", dimension=0) as c:
        c.add(texts, ids=range(20))
        whole = c.search("octant", k=20, mode="sparse")
        least = whole.scores[7]
        spy = Spy(c)
        assert list(c.search("octant", k=20, mode="sparse", score_threshold=least)) == [
            hit for hit in whole if hit.score >= least
        ]
        assert spy.asked[0].score_threshold == pytest.approx(least, rel=1e-4)


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as fake:
        yield fake


@pytest.mark.parametrize(("distance", "expected"), [("cosine", 0.5), ("euclid", 3.0), ("manhattan", 3.0)])
def test_a_server_is_sent_the_threshold(server: FakeQdrant, distance: str, expected: float) -> None:
    least = 0.5 if distance == "cosine" else -3.0
    with Collection.create("docs", location=server.url, dimension=DIM, distance=distance, represent="float32") as c:
        c.add(vectors=made(0, 3), ids=range(3))
        c.search(made(1, 1)[0], score_threshold=least)
        asked = [request.body for request in server.requests if "/points/query" in request.path][-1]
        body = asked["searches"][0] if "searches" in asked else asked
        assert body["score_threshold"] == pytest.approx(expected, rel=1e-4)


# -- the same by a cutoff ------------------------------------------------------------------------


@cache
def trained(probe: int) -> Cutoff:
    """For vectors of this width and scores of any kind."""
    asked = judged(30, dimension=DIM, first_stage="")
    return Cutoff.train(asked, probe=probe, families=["linear"], hidden=0)


@pytest.mark.parametrize("probe", [0, 5], ids=["by the vector", "with a probe"])
def test_a_cutoff_leaves_out_in_the_engine_exactly_what_it_would_afterwards(
    place: tuple[Collection, str], probe: int
) -> None:
    c, represent = place
    asked = trained(probe)
    queries = made(1, 3) * SIZE
    whole = c.search_batch(queries, k=K, knobs=SURE)
    middle = np.median([asked.probability(q, hits.scores) for q, hits in zip(queries, whole, strict=True)])
    cutoff = asked.at(probability=float(middle))
    expected = [
        [hit for hit in hits if hit.score >= cutoff.score_threshold(query, hits.scores[: cutoff.probe] or None)]
        for query, hits in zip(queries, whole, strict=True)
    ]
    assert 0 < sum(map(len, expected)) < 3 * K
    spy = Spy(c)
    cut = c.search_batch(queries, k=K, knobs=SURE, cutoff=cutoff)
    assert [list(hits) for hits in cut] == expected
    probes = spy.asked[:-3]
    assert [(query.limit >= 5, query.with_payload) for query in probes] == [(True, False)] * (3 if cutoff.probe else 0)
    assert {query.score_threshold is None for query in spy.asked[-3:]} == {represent in CLIENT_SIDE}
    # The higher of the two thresholds decides.
    higher = cut[0].scores[0] if len(cut[0]) else 1e9
    both = c.search_batch(queries, k=K, knobs=SURE, cutoff=cutoff, score_threshold=higher)
    assert list(both[0]) == [hit for hit in expected[0] if hit.score >= higher]


@pytest.mark.parametrize("probe", [0, 5])
async def test_awaited_searches_and_filters_cut_alike(probe: int) -> None:
    async with await Collection.acreate("c", represent="turbo8") as c:
        await c.aadd(vectors=made(0), ids=range(N), payloads=[{"odd": bool(n % 2)} for n in range(N)])
        odd = {"must": [{"key": "odd", "match": {"value": True}}]}
        query = made(1, 1)[0]
        whole = await c.asearch(query, k=K, filter=odd)
        cutoff = trained(probe).at(probability=float(np.median(trained(probe).probability(query, whole.scores))))
        cut = await c.asearch(query, k=K, filter=odd, cutoff=cutoff)
        least = cutoff.score_threshold(query, whole.scores[: cutoff.probe] or None)
        assert list(cut) == [hit for hit in whole if hit.score >= least]
        assert 0 < len(cut) < K


def test_fewer_points_than_the_probe_asks_for() -> None:
    cutoff = trained(5).at(probability=1e-300)
    with Collection.create("c", represent="float32") as c:
        assert len(c.search(made(1, 1)[0], cutoff=cutoff)) == 0  # a draft
        c.add(vectors=made(0, 3), ids=range(3))
        whole = c.search(made(1, 1)[0])
        assert list(c.search(made(1, 1)[0], cutoff=cutoff)) == [
            hit for hit in whole if hit.score >= cutoff.score_threshold(made(1, 1)[0], whole.scores)
        ]
