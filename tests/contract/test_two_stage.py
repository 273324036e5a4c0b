"""Two stages from spec to answer: on Edge, on qdrant-client's local mode, and as what a server is sent."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import qdrant_edge as qe
from qdrant_client import QdrantClient
from typer.testing import CliRunner

import octant
from fake_server import serving
from octant import Collection, SearchKnobs
from octant.cli import app as application
from octant.layout import HnswSettings, PointBatch, Stages, coarse_query, lay_out
from octant.oversampling import CoverageCurve
from octant.records import Distance
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.store import edge_schema
from octant.store import edge_translate as translate
from octant.vectors import unit_rows

N, DIM = 700, 32
FEW = 450
"""Too few to measure anything on, which saves time where that is not what is tested."""
SCORED = ("turbo8", "turbo4", "pca(24)|turbo8", "pca(24)|turbo4", "uint8")
BYTES = ("float8", "int8", "int4", "pca(24)|float8")


def embeddings(n=N, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(25, DIM))
    return unit_rows((centers[rng.integers(25, size=n)] + 0.7 * rng.normal(size=(n, DIM))).astype(np.float32))


X = embeddings()
Q = embeddings(20, seed=1)
THIRD = {"must": [{"key": "group", "match": {"value": 1}}]}
ROWS = [{"group": i % 3} for i in range(N)]
TEXTS = [f"word{i % 7} text {i}" for i in range(N)]


@pytest.fixture(params=["edge", "local"])
def location(request, tmp_path):
    if request.param == "edge":
        yield tmp_path
        return
    client = QdrantClient(":memory:")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", octant.errors.LocalModeWarning)
        yield client
    client.close()


def embed(texts):
    return np.stack([X[int(text.rsplit(" ", 1)[1]) if text.startswith("word") else 0] for text in texts])


def filled(location, represent, n=N, **options):
    made = Collection.create("two", location=location, represent=represent, **options)
    made.add(texts=TEXTS[:n] if options else None, vectors=X[:n], ids=range(n), payloads=ROWS[:n])
    return made


def best_of_fine(collection, query, k, **options):
    """What the fine stage answers where everything is a candidate."""
    return collection.search(query, k=k, knobs=SearchKnobs(oversampling=N / k), **options).ids


@pytest.mark.parametrize("fine", [*SCORED, *BYTES])
def test_answers_are_the_fine_stages_own(location, fine):
    with filled(location, f"coarse=pca(12)|turbo4|turbo(2); fine={fine}", FEW) as c:
        sure = SearchKnobs(coverage=0.9999)
        found = [c.search(query, k=5, knobs=sure) for query in Q]
        kept = [len(set(one.ids) & set(best_of_fine(c, query, 5))) / 5 for one, query in zip(found, Q, strict=True)]
        assert np.mean(kept) >= 0.97
        close = [abs(hit.score - float(query @ X[hit.id])) for one, query in zip(found, Q, strict=True) for hit in one]
        assert np.mean(close) < 0.05


@pytest.mark.parametrize("fine", ["turbo8", "int8"])
def test_everything_a_search_can_be_asked(location, fine):
    options = {"embedding": embed, "sparse": "bm25"}
    with filled(location, f"coarse=binary(64); fine={fine}", FEW, **options) as c:
        sure = SearchKnobs(coverage=0.9999)
        whole = c.search(Q[0], k=6, knobs=sure)
        assert whole.scores == tuple(sorted(whole.scores, reverse=True))
        assert c.search(Q[0], k=4, offset=2, knobs=sure).ids == whole.ids[2:]
        assert c.search(Q[0], k=6, score_threshold=whole.scores[2], knobs=sure).ids == whole.ids[:3]
        batch = c.search_batch(Q[:3], k=6, knobs=sure)
        assert [one.ids for one in batch] == [c.search(query, k=6, knobs=sure).ids for query in Q[:3]]
        third = c.search(Q[0], k=6, filter=THIRD, knobs=sure)
        assert {hit.payload["group"] for hit in third} == {1}
        assert set(third.ids) == set(best_of_fine(c, Q[0], 6, filter=THIRD))
        exact = c.search(Q[0], k=6, filter=THIRD, knobs=SearchKnobs(exact=True))
        assert {hit.payload["group"] for hit in exact} == {1}
        hit = c.search(X[9], k=1, with_vectors=True)[0]
        assert hit.id == 9
        np.testing.assert_allclose(hit.vector, X[9], atol=0.03)
        fused = c.search(TEXTS[30], k=3, mode="hybrid")
        assert fused[0].id == 30
        assert set(fused[0].branch_scores) == {"dense", "sparse"}
        c.delete([whole.ids[0]])
        assert whole.ids[0] not in c.search(Q[0], k=6).ids
        c.add([TEXTS[5]], vectors=Q[:1], ids=[5])
        assert c.search(Q[0], k=1).ids == (5,)


async def test_awaited_searches_find_the_same(tmp_path):
    with filled(tmp_path, "coarse=turbo4|turbo(2); fine=int4", FEW) as c:
        assert (await c.asearch(Q[0], k=5)).ids == c.search(Q[0], k=5).ids


def test_an_exact_search_is_the_fine_stage_alone_where_qdrant_scores_it(tmp_path):
    with filled(tmp_path, "coarse=pca(4)|turbo4|turbo(1); fine=turbo8", FEW) as c:
        for query in Q[:5]:
            assert c.search(query, k=10, knobs=SearchKnobs(exact=True)).ids == best_of_fine(c, query, 10)


# -- how many candidates --------------------------------------------------------------------------


def test_a_fit_measures_coverage_and_every_process_that_opens_the_collection_has_it(tmp_path):
    x = embeddings(2500)
    with Collection.create("two", location=tmp_path, represent="coarse=pca(12)|turbo4; fine=turbo8") as c:
        report = c.fit(x)
        assert (report.coverage.source, report.coverage.points) == ("held-out", 500)
        c.add(vectors=x[:600], ids=range(600))
        info = c.info()
        assert info.coverage == report.coverage
        assert info.candidates == report.coverage.candidates(10, 600)
    with Collection.open("two", location=tmp_path) as again:
        assert again.info().coverage == report.coverage


def test_a_small_sample_is_learned_from_whole_and_the_curve_says_so(tmp_path):
    with Collection.create("two", location=tmp_path, represent="coarse=pca(12)|turbo4; fine=turbo8") as c:
        report = c.fit(X)
        assert (report.coverage.source, report.coverage.points, report.learned_from) == ("fitted", N, N)


def test_real_queries_are_asked_where_a_fit_is_given_some(tmp_path):
    """Queries that lie nowhere near the documents take more candidates than documents say."""
    x = embeddings(2500)
    far = unit_rows(np.random.default_rng(3).normal(size=(300, DIM)).astype(np.float32))
    needed = {}
    for spec, told, asked, weighed in (
        ("coarse=binary(32); fine=turbo8", None, 400, 0),
        ("coarse=binary(32); fine=turbo8", far, 60, 240),  # a fifth is kept out of what the codec learns from
        ("coarse=binary(32); fine=turbo8", far[:100], 400, 100),  # too few to keep any out
        ("coarse=pca(12)|turbo4; fine=turbo8", far, 300, 0),
    ):
        with Collection.create("two", represent=spec) as c:
            report = c.fit(x, queries=told)
            assert (report.coverage.queries, report.queries) == (asked, weighed)
            needed[spec, asked] = report.coverage.candidates(10, 2500)
    assert needed["coarse=binary(32); fine=turbo8", 60] > 1.5 * needed["coarse=binary(32); fine=turbo8", 400]


def test_what_learns_nothing_is_measured_on_the_first_vectors_added(tmp_path):
    with Collection.create("two", location=tmp_path, represent="int4") as c:
        c.add(vectors=X[:100], ids=range(100))
        assert c.info().coverage.source == "assumed"
        c.add(vectors=X, ids=range(N))
        curve = c.info().coverage
        assert (curve.source, curve.points) == ("held-out", N)
        c.add(vectors=X[:600])
        assert c.info().coverage == curve
    with Collection.open("two", location=tmp_path) as again:
        assert again.info().coverage == curve


def test_inspect_says_what_a_search_reads(tmp_path):
    with filled(tmp_path, "int4", FEW):
        pass
    shown = CliRunner().invoke(application.app, ["inspect", "two", "--location", str(tmp_path)], prog_name="octant")
    assert "a search reads 450 candidates for 10 answers, coverage 0.99 (assumed, not measured)" in shown.output
    asked = ["inspect", "two", "--location", str(tmp_path), "--json"]
    told = json.loads(CliRunner().invoke(application.app, asked, prog_name="octant").output)
    assert (told["candidates_for_10"], told["coverage"]["source"]) == (450, "assumed")


def test_one_stage_has_no_candidates(tmp_path):
    with Collection.create("one", location=tmp_path, represent="turbo8") as c:
        c.add(vectors=X, ids=range(N))
        assert (c.info().coverage, c.info().candidates, c.manifest.coverage) == (None, None, None)


def test_a_collection_from_before_there_were_curves_still_opens(tmp_path):
    with filled(tmp_path, "int4"):
        pass
    (path,) = [one for one in tmp_path.rglob("*.json") if '"coverage"' in one.read_text()]
    path.write_text(json.dumps(without_coverage(json.loads(path.read_text()))))
    with Collection.open("two", location=tmp_path) as c:
        assert c.info().coverage.source == "assumed"
        assert len(c.search(Q[0], k=5)) == 5


def without_coverage(value):
    if isinstance(value, dict):
        return {key: without_coverage(one) for key, one in value.items() if key != "coverage"}
    return [without_coverage(one) for one in value] if isinstance(value, list) else value


def test_a_higher_coverage_finds_more(tmp_path):
    with filled(tmp_path, "coarse=pca(6)|turbo4|turbo(1); fine=turbo8") as c:
        shares = []
        for coverage in (0.9, 0.98, 0.995):
            knobs = SearchKnobs(coverage=coverage)
            kept = [len(set(c.search(q, k=5, knobs=knobs).ids) & set(best_of_fine(c, q, 5))) for q in Q]
            shares.append(np.mean(kept) / 5)
        assert shares == sorted(shares)
        assert shares[0] < shares[-1]
        assert shares[-1] >= 0.96


# -- what a server is sent ------------------------------------------------------------------------


@pytest.mark.parametrize(("fine", "nested"), [("turbo8", True), ("int4", False)])
def test_a_search_is_one_request(fine, nested):
    represent = f"coarse=turbo4|turbo(1); fine={fine}"
    with serving() as server, Collection.create("two", location=server.url, represent=represent) as c:
        c.add(vectors=X, ids=range(N))
        curve = c.manifest.coverage
        assert CoverageCurve.from_json(server.collections["two"]["metadata"]["octant"]["coverage"]) == curve
        c.search(Q[0], k=3, filter=THIRD)
        before = len(server.requests)
        c.search(Q[0], k=10, offset=5, filter=THIRD)
        (request,) = server.requests[before:]
    reads = curve.candidates(15, N)
    body = request.body
    if not nested:
        assert (body["limit"], body["using"], body["with_vector"]) == (reads, "coarse", ["fine"])
        assert body["filter"] == THIRD
        assert body["params"]["quantization"]["rescore"] is False
        return
    assert (body["limit"], body["offset"], body["using"]) == (10, 5, "fine")
    inner = body["prefetch"][0] if isinstance(body["prefetch"], list) else body["prefetch"]
    assert (inner["limit"], inner["using"], inner["filter"]) == (reads, "coarse", THIRD)
    assert inner["params"]["quantization"]["rescore"] is False


def test_segments_do_not_change_how_many_candidates_a_shard_reads(tmp_path):
    representation = Representation.parse("coarse=turbo4; fine=turbo8")
    stages = Stages.of(*representation.needs(DIM, Distance.COSINE))
    laid_out = lay_out(stages, hnsw=HnswSettings(m=0, indexing_threshold=1))
    plain = edge_schema.config(CollectionSchema(), laid_out.vectors, wal=False)
    split = qe.EdgeOptimizersConfig(default_segment_number=6, max_segment_size=5, indexing_threshold=1)
    shard = qe.EdgeShard.create(
        str(tmp_path), qe.EdgeConfig(vectors=plain.vectors, optimizers=split, wal_enabled=False)
    )
    for start in range(0, N, 100):
        rows = X[start : start + 100]
        batch = PointBatch(range(start, start + len(rows)), {"coarse": rows, "fine": rows}, [{}] * len(rows))
        shard.update(qe.UpdateOperation.upsert_points(translate.points(batch)))
        shard.optimize()
    assert shard.info().segments_count > 2
    asked, _ = representation.encode_query(Q)
    for row in range(len(Q)):
        found = shard.query(translate.request(coarse_query(stages, asked, row, limit=40)))
        assert len(found) == 40
        best = np.argsort(-(X @ Q[row]))[:25]
        assert len(set(best) & {point.id for point in found}) >= 24
    shard.close()
