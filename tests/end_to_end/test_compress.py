"""Collections of all kinds, compressed: what goes over, what is found, what is refused until it is complete."""

from __future__ import annotations

import json
import uuid
import warnings

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

import octant
from octant import Collection, HnswSettings, MemoryPlacement, Recommendation, SearchKnobs
from octant.errors import LocalModeWarning, UnfinishedError, VerificationError
from octant.flow import run
from octant.layout import PointBatch
from octant.lifecycle import stream
from octant.location import store_at
from octant.recommendation import Expected
from octant.store.edge import EdgeStore

DIM, COUNT = 16, 600
RNG = np.random.default_rng(0)
X = (RNG.standard_normal((12, DIM))[RNG.integers(0, 12, COUNT)] + RNG.standard_normal((COUNT, DIM))).astype(np.float32)
U = RNG.standard_normal((COUNT, 4)).astype(np.float32)
UUIDS = [str(uuid.UUID(int=int(value))) for value in RNG.integers(1, 2**62, COUNT)]


def payload(row):
    return {"page_content": f"text {row}", "n": row, "share": row / 7, "deep": {"tags": [f"t{row % 5}", None, True]}}


def sparse(row):
    return models.SparseVector(indices=[row % 7, 50], values=[1.0 + row % 3, 0.5])


def points():
    """Integers and UUIDs; some lack a vector."""
    for row in range(COUNT):
        vector = {"text": X[row].tolist(), "title": U[row].tolist(), "s": sparse(row), "many": [U[row].tolist()] * 2}
        lacking = {0: "title", 1: "s", 2: "many", 3: "text"}.get(row % 20)
        vector.pop(lacking, None)
        yield models.PointStruct(id=row if row % 2 else UUIDS[row], vector=vector, payload=payload(row))


@pytest.fixture
def client():
    """A collection that a program of somebody else's made, in local mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = QdrantClient(":memory:")
    made.create_collection(
        "docs",
        vectors_config={
            "text": models.VectorParams(size=DIM, distance=models.Distance.COSINE),
            "title": models.VectorParams(size=4, distance=models.Distance.DOT),
            "many": models.VectorParams(
                size=4,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata={"owner": "somebody"},
    )
    made.upsert("docs", list(points()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LocalModeWarning)
        store_at(made, "docs")
    yield made
    made.close()


@pytest.fixture
def edge(tmp_path):
    """A float collection of Octant's, with string ids and sparse vectors."""
    with Collection.create("docs", location=tmp_path, represent="float32", sparse="bm25", seed=3) as source:
        source.add(
            [f"text {row} word{row % 7}" for row in range(COUNT)], vectors=X, ids=[f"d{row}" for row in range(COUNT)],
            payloads=[{"n": row, "share": row / 7} for row in range(COUNT)],
        )  # fmt: skip
        source.index_payload("n", "integer")
    return tmp_path


def everything(location, name):
    """Every point of a collection as it is stored."""
    store = store_at(location, name)
    run(store.open())
    found, offset = {}, None
    while True:
        page, offset = run(store.read(limit=250, offset=offset))
        found |= {point.id: point for point in page}
        if offset is None:
            run(store.close())
            return found


# -- Edge to Edge --------------------------------------------------------------------------------


def test_an_edge_collection_is_compressed_and_takes_its_name(edge):
    report = octant.compress(
        "docs", location=edge, into="small", represent="coarse=pca(8)|turbo4; fine=turbo8", alias="docs", min_recall=0.7
    )
    assert (report.copied, report.passes, report.source_engine, report.target_engine) == (COUNT, 1, "edge", "edge")
    assert {part.vector for part in report.after.components} == {None, "coarse", "fine", "sparse"}
    assert report.switched == ("'docs' now stands for 'small'; the source is called 'docs.before' from now on",)
    assert report.artifacts[""] is not None
    assert report.recall[""].low > 0.7
    json.dumps(report.as_json())
    with Collection.open("docs", location=edge) as compressed:
        assert compressed.representation.spec == "coarse=pca(8)|turbo4; fine=turbo8"
        assert compressed.artifact == report.artifacts[""]
        assert compressed.manifest.text_key == "page_content"
        hit = compressed.search(X[7], k=1)[0]
        assert (hit.id, hit.text, hit.payload) == ("d7", "text 7 word0", {"n": 7, "share": 1.0})
        assert compressed.search("word3", k=3, mode="sparse")[0].payload["n"] % 7 == 3
        assert compressed.info().coverage is not None
    store = store_at(edge, "docs")
    assert [(index.field, index.kind) for index in run(store.open()).indexes] == [("n", "integer")]
    run(store.close())
    with Collection.open("docs.before", location=edge) as before:
        assert before.count() == COUNT


def test_every_point_goes_over_as_it_is(edge):
    octant.compress("docs", location=edge, into="small", represent="turbo8")
    before, after = everything(edge, "docs"), everything(edge, "small")
    assert list(before) == list(after)
    for point, copy in zip(before.values(), after.values(), strict=True):
        assert point.payload.keys() == copy.payload.keys()
        assert np.array_equal(point.sparse["sparse"].indices, copy.sparse["sparse"].indices)
        assert np.abs(point.vectors[""] - copy.vectors[""]).max() < 0.03


def test_the_same_command_again_changes_nothing(edge):
    first = octant.compress("docs", location=edge, into="small", represent="pca(8)|turbo8")
    again = octant.compress("docs", location=edge, into="small", represent="pca(8)|turbo8", alias="live")
    assert again.notes[0].startswith("it was complete already: nothing was copied or compared")
    assert (again.copied, again.recall, again.before, again.seconds) == (
        first.copied, first.recall, first.before, first.seconds,
    )  # fmt: skip
    assert again.switched == ("the alias 'live' now stands for 'small'",)


def test_a_complete_target_is_held_to_a_bound_that_comes_later(edge):
    found = octant.compress("docs", location=edge, into="small", represent="pca(2)|turbo4")
    order = {"into": "small", "represent": "pca(2)|turbo4", "alias": "live"}
    for bound in (0.99, found.recall[""].value):  # the lower limit counts, not the estimate
        with pytest.raises(VerificationError, match=r"is below 0\.\d+: nothing was switched"):
            octant.compress("docs", location=edge, min_recall=bound, **order)
    assert run(store_at(edge, "live").aliases()) == {}


def test_a_complete_target_catches_up_until_somebody_writes_to_it(edge):
    octant.compress("docs", location=edge, **ORDER)
    change(edge)
    report = octant.compress("docs", location=edge, catch_up=True, alias="live", **ORDER)
    assert report.caught_up == {"new": 2, "changed": 2, "deleted": 3}
    assert list(everything(edge, "docs")) == list(everything(edge, "small"))
    with Collection.open("live", location=edge) as served:
        served.add(["of the application"], vectors=X[:1], ids=["mine"])
    with Collection.open("docs", location=edge) as source:
        source.delete(["d9"])
    with pytest.raises(VerificationError, match="1 are there that were never copied"):
        octant.compress("docs", location=edge, catch_up=True, alias="live", **ORDER)
    with Collection.open("live", location=edge) as served:
        assert served.get(["mine"])[0].text == "of the application"


def test_the_source_goes_only_when_asked(edge):
    report = octant.compress("docs", location=edge, into="small", represent="turbo8", alias="docs", delete_source=True)
    assert report.switched == ("deleted the source 'docs'", "the alias 'docs' now stands for 'small'")
    with Collection.open("docs", location=edge) as compressed:
        assert compressed.count() == COUNT
    assert not (edge / "docs").exists()


@pytest.mark.parametrize("represent", ["pca(8)|float8", "random_projection(8)|int4", "whiten(8)|turbo4|bq(1)"])
def test_codes_that_are_made_again_are_recognised(edge, represent):
    """Matrix products differ in the last digit when a page is another one: that is no damage."""
    report = octant.compress("docs", location=edge, into="small", represent=represent)
    assert (report.copied, report.passes) == (COUNT, 1)


def test_a_recommendation_decides_everything(edge, tmp_path):
    chosen = Recommendation(
        "coarse=pca(8)|turbo4; fine=turbo8", HnswSettings(m=8), MemoryPlacement(graph="cold"),
        SearchKnobs(oversampling=20), dimension=DIM, points=COUNT, goal={"min_recall": 0.5},
        expected={"recall@10": Expected(0.9, 0.8, 0.95)},
    )  # fmt: skip
    chosen.save(tmp_path / "recommendation.json")
    report = octant.compress("docs", location=edge, into="small", recommendation=tmp_path / "recommendation.json")
    assert report.min_recall == 0.5
    with Collection.open("small", location=edge) as compressed:
        manifest = compressed.manifest
    assert (manifest.hnsw, manifest.placement, manifest.knobs) == (chosen.hnsw, chosen.placement, chosen.knobs)


def test_compressed_codes_are_taken_only_when_asked_and_lose_twice(edge):
    octant.compress("docs", location=edge, into="small", represent="coarse=turbo4; fine=int8")
    report = octant.compress("small", location=edge, into="smaller", represent="pca(14)|turbo8", from_codes=True)
    assert report.copied == COUNT
    with Collection.open("smaller", location=edge) as compressed:
        assert compressed.search(X[7], k=1)[0].id == "d7"


def test_a_plan_says_what_to_expect_and_writes_nothing(edge):
    plan = octant.plan_compression("docs", location=edge, into="small", represent="pca(8)|turbo8")
    assert sorted(path.name for path in edge.iterdir()) == ["docs"]
    report = octant.compress("docs", location=edge, into="small", represent="pca(8)|turbo8")
    assert plan.before == report.before
    assert plan.after.disk_bytes == pytest.approx(report.after.disk_bytes, rel=0.3)
    assert plan.recall[""].low <= report.recall[""].value <= plan.recall[""].high
    assert (plan.points, plan.sampled, plan.resumes) == (COUNT, COUNT, False)
    assert {"read", "learn", "encode", "write", "index", "verify"} == set(plan.seconds)
    assert "nothing was written" in plan.table()
    json.dumps(plan.as_json())


# -- somebody else's, several vectors, other engines ------------------------------------------------


def test_the_other_vectors_of_a_strangers_collection_go_over_unchanged(client):
    report = octant.compress("docs", location=client, into="small", vectors={"text": "pca(8)|turbo8"}, alias="live")
    assert report.without == {"text": COUNT // 20}
    before, after = everything(client, "docs"), everything(client, "small")
    assert list(before) == list(after)
    for point, copy in zip(before.values(), after.values(), strict=True):
        assert point.payload == copy.payload
        assert ("text" in point.vectors) == ("text" in copy.vectors)
        assert point.multi.keys() == copy.multi.keys()
        assert point.sparse.keys() == copy.sparse.keys()
        if "title" in point.vectors:
            assert np.allclose(point.vectors["title"], copy.vectors["title"])
    info = client.get_collection("small")
    assert info.config.metadata["owner"] == "somebody"
    assert info.config.params.sparse_vectors["s"].modifier is models.Modifier.IDF
    assert [alias.alias_name for alias in client.get_collection_aliases("small").aliases] == ["live"]
    with Collection.open("live", location=client, vector_name="text") as compressed:
        assert compressed.get(["7"])[0].payload["n"] == 7  # a stranger's "7" can only be the integer
        assert compressed.manifest.foreign_ids


def test_vectors_can_be_left_out(client):
    octant.compress(
        "docs", location=client, into="small", vectors={"text": "turbo8"}, drop_vectors=["title", "s", "many"]
    )
    info = client.get_collection("small")
    assert set(info.config.params.vectors) == {"text"}
    assert not info.config.params.sparse_vectors


def test_several_vectors_are_compressed_at_once(client):
    report = octant.compress(
        "docs", location=client, into="small", vectors={"text": "pca(8)|turbo8", "title": "pca(3)|turbo8"}
    )
    assert set(report.recall) == {"text", "title"}
    for name, x in (("text", X), ("title", U)):
        with Collection.open("small", location=client, vector_name=name) as compressed:
            assert compressed.search(x[9], k=5).ids


def test_there_and_back_between_engines(client, tmp_path):
    first = octant.compress("docs", location=client, into="small", to=tmp_path, vectors={"text": "float16"})
    assert (first.source_engine, first.target_engine) == ("local", "edge")
    second = octant.compress("small", location=tmp_path, into="back", to=client, vectors={"text": "turbo8"})
    assert (second.source_engine, second.target_engine) == ("edge", "local")
    before, after = everything(client, "docs"), everything(client, "back")
    assert list(before) == list(after)
    assert all(point.payload.keys() == after[point.id].payload.keys() for point in before.values())


async def test_the_awaited_twin_does_the_same(edge):
    plan = await octant.aplan_compression("docs", location=edge, into="small", represent="turbo8")
    report = await octant.acompress("docs", location=edge, into="small", represent="turbo8")
    assert plan.points == report.copied == COUNT


# -- in place ------------------------------------------------------------------------------------


def test_vectors_are_added_in_place_and_originals_dropped_only_when_asked(edge):
    report = octant.compress("docs", location=edge, in_place=True, represent="pca(14)|turbo8")
    assert "open the compressed vectors with vector_name='octant'" in report.notes[0]
    assert "the original vectors are still there" in report.notes[1]
    with Collection.open("docs", location=edge) as source:
        assert source.representation.spec == "float32"
    with Collection.open("docs", location=edge, vector_name="octant") as compressed:
        assert compressed.representation.spec == "pca(14)|turbo8"
        assert compressed.search(X[7], k=1)[0].id == "d7"
        compressed.add(["new"], vectors=X[:1], ids=["new"])  # gets both
    dropped = octant.compress(
        "docs", location=edge, in_place=True, represent="pca(14)|turbo8", drop_originals=True, catch_up=True
    )
    assert dropped.caught_up == {"new": 1, "changed": 0, "deleted": 0}
    assert dropped.switched == ("dropped the original vectors ''",)
    with Collection.open("docs", location=edge) as compressed:
        assert (compressed.representation.spec, compressed.count()) == ("pca(14)|turbo8", COUNT + 1)
        compressed.add(["newer"], vectors=X[1:2], ids=["newer"])
        assert "newer" in compressed.search(X[1], k=2).ids


def test_in_place_in_local_mode(client):
    report = octant.compress("docs", location=client, in_place=True, vectors={"text": "coarse=turbo4; fine=int8"})
    assert report.without == {"text.octant": COUNT // 20}
    vectors = set(client.get_collection("docs").config.params.vectors)
    assert vectors == {"text", "title", "many", "text.octant.coarse", "text.octant.fine"}
    with Collection.open("docs", location=client, vector_name="text.octant") as compressed:
        assert compressed.get([7], with_vectors=True)[0].vector @ (X[7] / np.linalg.norm(X[7])) > 0.99


# -- interrupted, and written to meanwhile -----------------------------------------------------------


class StopError(Exception):
    """Stands for a crash."""


@pytest.fixture
def stopped(monkeypatch):
    """Makes the copy stop after so many writes."""

    def arrange(writes):
        left, write = [writes], stream.write

        def counted(run_, points_):
            left[0] -= 1
            if left[0] < 0:
                raise StopError
            return write(run_, points_)

        monkeypatch.setattr(stream, "write", counted)
        monkeypatch.setattr("octant.lifecycle.run.LEAST_STRETCH", 100)
        monkeypatch.setattr("octant.lifecycle.run.LARGEST_PAGE", 40)

    return arrange


def interrupted(stopped, monkeypatch, location, writes, **order):
    with monkeypatch.context() as patch:
        stopped(writes)
        with pytest.raises(StopError):
            octant.compress("docs", location=location, **order)
        patch.undo()
    monkeypatch.undo()


ORDER = {"into": "small", "represent": "pca(8)|turbo8"}


def test_an_unfinished_target_is_refused_until_the_same_command_completes_it(edge, stopped, monkeypatch):
    interrupted(stopped, monkeypatch, edge, 7, **ORDER)
    with pytest.raises(UnfinishedError, match=r"next: copy\): run octant compress docs --into small --vector '=pca"):
        Collection.open("small", location=edge)
    with pytest.raises(UnfinishedError, match="not complete"):
        octant.compress("small", location=edge, into="smaller", represent="turbo8", from_codes=True)
    assert octant.plan_compression("docs", location=edge, **ORDER).resumes
    copied = []
    write = stream.write
    monkeypatch.setattr(stream, "write", lambda run_, points_: copied.append(len(points_)) or write(run_, points_))
    report = octant.compress("docs", location=edge, **ORDER)
    assert report.resumed
    assert report.copied == COUNT
    assert sum(copied) == COUNT - 200  # two stretches of 100 were complete
    with Collection.open("small", location=edge) as compressed:
        assert compressed.count() == COUNT


def test_in_place_the_application_goes_on_while_it_is_unfinished(edge, stopped, monkeypatch):
    order = {"in_place": True, "represent": "pca(8)|turbo8"}
    interrupted(stopped, monkeypatch, edge, 3, **order)
    with Collection.open("docs", location=edge) as source:
        assert source.search(X[7], k=1)[0].id == "d7"
    with pytest.raises(UnfinishedError, match="--in-place"):
        Collection.open("docs", location=edge, vector_name="octant")
    assert octant.compress("docs", location=edge, **order).resumed


def change(location):
    with Collection.open("docs", location=location) as source:
        source.add(["text 5 other"], vectors=X[5:6], ids=["d5"], payloads=[{"n": -5}])
        source.add(["text 6 word6"], vectors=-X[6:7], ids=["d6"], payloads=[{"n": 6, "share": 6 / 7}])
        source.add(["new", "newer"], vectors=X[8:10], ids=["n1", "n2"])
        source.delete(["d1", "d2", "d3"])


@pytest.mark.parametrize("writes", [7, 15])
def test_a_source_that_was_written_to_is_noticed_and_caught_up_with(edge, stopped, monkeypatch, writes):
    interrupted(stopped, monkeypatch, edge, writes, **ORDER) if writes < 15 else complete_but_unverified(
        edge, monkeypatch
    )
    change(edge)
    with pytest.raises(VerificationError, match=r"was written to while it was copied: .*Nothing was .*--catch-up"):
        octant.compress("docs", location=edge, alias="live", **ORDER)
    with pytest.raises(UnfinishedError, match="next: verify"):
        Collection.open("small", location=edge)
    report = octant.compress("docs", location=edge, catch_up=True, **ORDER)
    if writes == 15:
        assert report.caught_up == {"new": 2, "changed": 2, "deleted": 3}
    assert (report.copied, report.passes) == (COUNT - 1, 2)
    before, after = everything(edge, "docs"), everything(edge, "small")
    assert list(before) == list(after)
    with Collection.open("small", location=edge) as compressed:
        assert compressed.get(["d5"])[0].payload == {"n": -5}
        assert compressed.search(-X[6], k=1)[0].id == "d6"


def complete_but_unverified(location, monkeypatch):
    def stop(*_, **__):
        raise StopError
        yield

    with monkeypatch.context() as patch:
        patch.setattr("octant.lifecycle.verify.compare", stop)
        with pytest.raises(StopError):
            octant.compress("docs", location=location, **ORDER)


def test_a_source_that_never_rests_is_given_up(edge, monkeypatch):
    complete_but_unverified(edge, monkeypatch)
    # On Edge nobody else can write to a source that is read; a server's source is written to by others.
    monkeypatch.setattr(EdgeStore, "open_to_read", EdgeStore.open)
    compare = octant.lifecycle.verify.compare
    turns = iter(range(9))

    def busy(run_, neighbours, **options):
        turn = next(turns)
        store = run_.source.store
        point = yield from store.retrieve([run_.journal.asked[""][0]], with_vectors=[""])
        yield from store.upsert(
            PointBatch([point[0].id], {"": point[0].vectors[""][None]}, [{"n": turn}]), batch_size=1
        )
        return (yield from compare(run_, neighbours, **options))

    monkeypatch.setattr("octant.lifecycle.verify.compare", busy)
    with pytest.raises(VerificationError, match="through 3 passes: stop who writes to it"):
        octant.compress("docs", location=edge, catch_up=True, max_passes=3, **ORDER)


LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda store, point: run(store.delete([point.id])), "1 points are missing, 0 are there that .*, 0 have"),
        (lambda store, point: _upsert(store, 123, point), "0 points are missing, 1 are there that .*, 0 have"),
        (lambda store, point: _upsert(store, LAST, point), "0 points are missing, 1 are there that .*, 0 have"),
        (lambda store, point: _upsert(store, point.id, point, {**point.payload, "n": "x"}), "0 are .*, 1 have another"),
        (lambda store, point: _upsert(store, point.id, point, turned=True), "0 are .*, 1 have another"),
        (lambda store, point: _upsert(store, point.id, point, tokens=False), "0 are .*, 1 have another"),
    ],
    ids=["missing", "extra before", "extra at the end", "payload", "codes", "sparse vector"],
)
def test_a_target_that_is_not_what_was_written_fails(edge, monkeypatch, damage, message):
    complete_but_unverified(edge, monkeypatch)
    store = store_at(edge, "small")
    run(store.open())
    page, _ = run(store.read(limit=1))
    damage(store, page[0])
    run(store.close())
    with pytest.raises(VerificationError, match=message):
        octant.compress("docs", location=edge, alias="live", catch_up=True, **ORDER)
    with Collection.open("docs", location=edge) as source:
        assert source.count() == COUNT


def _upsert(store, id_, point, payload_=None, *, turned=False, tokens=True):
    codes = -point.vectors[""] if turned else point.vectors[""]
    sparse_ = {"sparse": [point.sparse["sparse"] if tokens else None]}
    batch = PointBatch([id_], {"": codes[None]}, [payload_ or point.payload], sparse_)
    run(store.upsert(batch, batch_size=1))


def test_a_vector_that_changed_alone_is_noticed(edge, monkeypatch):
    complete_but_unverified(edge, monkeypatch)
    before = everything(edge, "docs")
    with Collection.open("docs", location=edge) as source:
        hit = source.get(["d6"])[0]
        source.add([hit.text], vectors=-X[6:7], ids=["d6"], payloads=[hit.payload])
    assert everything(edge, "docs").keys() == before.keys()
    with pytest.raises(VerificationError, match=r"0 points are new, 1 changed, 0 deleted \(ids .*-"):
        octant.compress("docs", location=edge, **ORDER)


def test_too_little_recall_switches_nothing_and_may_be_accepted_later(edge):
    order = {"into": "small", "represent": "pca(2)|turbo4", "location": edge, "alias": "live"}
    with pytest.raises(VerificationError, match=r"recall@10 of pca\(2\)\|turbo4 is 0\.\d+ .* is below 0.95: nothing"):
        octant.compress("docs", min_recall=0.95, **order)
    with pytest.raises(UnfinishedError, match="next: verify"):
        Collection.open("small", location=edge)
    report = octant.compress("docs", min_recall=0.01, **order)
    assert report.resumed
    assert report.switched == ("the alias 'live' now stands for 'small'",)
