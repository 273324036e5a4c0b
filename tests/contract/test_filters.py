"""The same qdrant_client filter finds the same points on Edge and in qdrant-client's own engine."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from octant.errors import FilterError
from octant.filters import as_filter, map_ids
from octant.flow import run
from octant.layout import PointBatch, Stages, VectorQuery, lay_out
from octant.records import Distance, StorageNeeds
from octant.store.edge import EdgeStore

N = 40
X = np.random.default_rng(3).standard_normal((N, 4)).astype(np.float32)
PAYLOADS = [
    {
        "n": i,
        "city": ["Oslo", "Rome", "Kyoto"][i % 3],
        "flag": i % 2 == 0,
        "text": f"number {i} of the series",
        "tags": [f"t{j}" for j in range(i % 4)],
        "day": f"2024-01-{1 + i % 28:02d}T00:00:00Z",
        "place": {"lon": float(i), "lat": float(i) / 2},
        "parts": [{"name": "bolt", "count": i}, {"name": "nut", "count": 2 * i}],
        **({"rare": None} if i % 5 == 0 else {}),
        **({"rare": i} if i % 7 == 0 else {}),
    }
    for i in range(N)
]
M = models
KEY = M.FieldCondition
FILTERS = {
    "value": M.Filter(must=[KEY(key="city", match=M.MatchValue(value="Oslo"))]),
    "number": M.Filter(must=[KEY(key="n", match=M.MatchValue(value=7))]),
    "bool": M.Filter(must=[KEY(key="flag", match=M.MatchValue(value=True))]),
    "any": M.Filter(must=[KEY(key="city", match=M.MatchAny(any=["Oslo", "Rome"]))]),
    "except": M.Filter(must=[KEY(key="city", match=M.MatchExcept(**{"except": ["Oslo"]}))]),
    "text": M.Filter(must=[KEY(key="text", match=M.MatchText(text="12"))]),
    "range": M.Filter(must=[KEY(key="n", range=M.Range(gt=3, lte=20))]),
    "days": M.Filter(
        must=[KEY(key="day", range=M.DatetimeRange(gte=datetime.datetime(2024, 1, 20, tzinfo=datetime.timezone.utc)))]
    ),
    "must_not": M.Filter(must_not=[KEY(key="city", match=M.MatchValue(value="Oslo"))]),
    "should": M.Filter(should=[KEY(key="n", match=M.MatchValue(value=1)), KEY(key="n", match=M.MatchValue(value=2))]),
    "both": M.Filter(
        must=[KEY(key="flag", match=M.MatchValue(value=True))], must_not=[KEY(key="n", range=M.Range(lt=10))]
    ),
    "min_should": M.Filter(
        min_should=M.MinShould(
            conditions=[
                KEY(key="flag", match=M.MatchValue(value=True)),
                KEY(key="city", match=M.MatchValue(value="Oslo")),
                KEY(key="n", range=M.Range(gte=20)),
            ],
            min_count=2,
        )
    ),
    "nested filter": M.Filter(must=[M.Filter(should=[KEY(key="n", match=M.MatchValue(value=5))])]),
    "nested objects": M.Filter(
        must=[
            M.NestedCondition(
                nested=M.Nested(
                    key="parts",
                    filter=M.Filter(
                        must=[KEY(key="name", match=M.MatchValue(value="bolt")), KEY(key="count", range=M.Range(gt=30))]
                    ),
                )
            )
        ]
    ),
    "array key": M.Filter(must=[KEY(key="parts[].count", match=M.MatchValue(value=8))]),
    "is_empty": M.Filter(must=[M.IsEmptyCondition(is_empty=M.PayloadField(key="rare"))]),
    "is_null": M.Filter(must=[M.IsNullCondition(is_null=M.PayloadField(key="rare"))]),
    "has_id": M.Filter(must=[M.HasIdCondition(has_id=[1, 5, 99])]),
    "values_count": M.Filter(must=[KEY(key="tags", values_count=M.ValuesCount(gte=2))]),
    "radius": M.Filter(
        must=[KEY(key="place", geo_radius=M.GeoRadius(center=M.GeoPoint(lon=5, lat=2.5), radius=300_000))]
    ),
    "box": M.Filter(
        must=[
            KEY(
                key="place",
                geo_bounding_box=M.GeoBoundingBox(
                    top_left=M.GeoPoint(lon=2, lat=9), bottom_right=M.GeoPoint(lon=15, lat=1)
                ),
            )
        ]
    ),
    "polygon": M.Filter(
        must=[
            KEY(
                key="place",
                geo_polygon=M.GeoPolygon(
                    exterior=M.GeoLineString(
                        points=[
                            M.GeoPoint(lon=lon, lat=lat) for lon, lat in ((0, 0), (30, 0), (30, 10), (0, 10), (0, 0))
                        ]
                    )
                ),
            )
        ]
    ),
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    store = EdgeStore(tmp_path_factory.mktemp("edge"), "f")
    run(store.create(lay_out(Stages.of(StorageNeeds(width=4, metric=Distance.DOT), None)), {}))
    run(store.upsert(PointBatch(list(range(N)), {"": X}, PAYLOADS), batch_size=N))
    yield store
    run(store.close())


@pytest.fixture(scope="module")
def client():
    made = QdrantClient(":memory:")
    made.create_collection("f", vectors_config=M.VectorParams(size=4, distance=M.Distance.DOT))
    made.upsert("f", [M.PointStruct(id=i, vector=X[i].tolist(), payload=PAYLOADS[i]) for i in range(N)])
    yield made
    made.close()


@pytest.mark.parametrize("name", FILTERS)
def test_edge_agrees_with_qdrant_client(edge, client, name):
    wanted = FILTERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            point.id for point in client.query_points("f", query=X[0].tolist(), query_filter=wanted, limit=N).points
        }
    (answer,) = run(edge.query([VectorQuery(X[0], "", N, filter=as_filter(wanted))]))
    assert {point.id for point in answer} == expected
    assert 0 < len(expected) < N, "the filter tells nothing apart"
    assert run(edge.count(as_filter(wanted))) == len(expected)


def test_a_filter_reaches_the_inner_stage(edge, tmp_path):
    needs = StorageNeeds(width=4, metric=Distance.DOT)
    store = EdgeStore(tmp_path, "two")
    run(store.create(lay_out(Stages.of(needs, needs)), {}))
    run(store.upsert(PointBatch(list(range(N)), {"coarse": X, "fine": X}, PAYLOADS), batch_size=N))
    inner = VectorQuery(X[0], "coarse", 6, filter=as_filter(FILTERS["value"]))
    (answer,) = run(store.query([VectorQuery(X[0], "fine", 6, prefetch=inner)]))
    assert len(answer) == 6
    assert all(point.payload["city"] == "Oslo" for point in answer)
    run(store.close())


def test_a_single_condition_needs_no_list(edge):
    alone = {"must": {"key": "n", "match": {"value": 7}}}
    assert run(edge.count(as_filter(alone))) == 1


def test_the_callers_filter_is_not_changed():
    given = {"must": [{"has_id": ["a"]}], "should": [{"must": [{"has_id": ["b"]}]}]}
    before = repr(given)
    mapped = map_ids(as_filter(given), str.upper)
    assert mapped == {"must": [{"has_id": ["A"]}], "should": [{"must": [{"has_id": ["B"]}]}]}
    assert repr(given) == before


def test_ids_inside_min_should_are_mapped():
    given = {"min_should": {"conditions": [{"has_id": ["a"]}], "min_count": 1}}
    assert map_ids(given, str.upper) == {"min_should": {"conditions": [{"has_id": ["A"]}], "min_count": 1}}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("city = Oslo", "expected a qdrant_client.models.Filter or its REST form as a mapping, got str"),
        ({"musst": []}, "has the clauses must, should, must_not, min_should; got musst"),
    ],
)
def test_what_is_no_filter_is_refused(bad, message):
    with pytest.raises(FilterError, match=message):
        as_filter(bad)


def test_a_condition_that_is_no_mapping_is_refused():
    with pytest.raises(FilterError, match="a filter condition is a mapping, got 'x'"):
        map_ids({"must": ["x"]}, str)
