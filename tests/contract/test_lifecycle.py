"""The pure parts of a compression: digests, order, exact neighbours, payload equality, orders, journals."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest

from octant.errors import ArtifactError, UnfinishedError, VectorValueError
from octant.flow import run
from octant.layout import HnswSettings, MemoryPlacement, Stages, StoredPoint
from octant.lifecycle import journal as journals
from octant.lifecycle.cursor import Cursor
from octant.lifecycle.digests import Stretch, order_of, point_digest
from octant.lifecycle.encode import Encoder
from octant.lifecycle.journal import BLOCK, Journal, with_stretch
from octant.lifecycle.neighbours import Neighbours
from octant.lifecycle.order import Order, Part
from octant.lifecycle.run import MOST_STRETCHES, stretch_points
from octant.lifecycle.source import Embeddings
from octant.lifecycle.verify import same_payload
from octant.records import Distance, SparseVector
from octant.representation import Representation
from octant.unfinished import refuse
from octant.vectors import similarity, unit_rows

X = np.random.default_rng(0).standard_normal((700, 12)).astype(np.float32)


def test_ids_are_ordered_as_the_engine_orders_them(tmp_path):
    from octant.layout import CollectionLayout, PointBatch
    from octant.store.edge import EdgeStore

    ids = [2**64 - 1, 0, 17, *(str(uuid.UUID(int=value)) for value in (1, 2**127, 2**128 - 1))]
    store = EdgeStore(tmp_path, "c")
    run(store.create(CollectionLayout((), "s"), {}))
    tokens = [SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))] * len(ids)
    run(store.upsert(PointBatch(ids[::-1], {}, [{}] * len(ids), {"s": tokens}), batch_size=10))
    found, _ = run(store.read(limit=10))
    run(store.close())
    assert [point.id for point in found] == sorted(ids, key=order_of)


@pytest.mark.parametrize(
    "other",
    [
        (8, {"a": 1}, {"": X[0]}),
        (7, {"a": 2}, {"": X[0]}),
        (7, {"a": 1}, {"": X[1]}),
        (7, {"a": 1}, {"": X[0], "b": X[0]}),
        (7, {"a": 1}, {}),
        (7, {"a": 1}, {"": X[:2, :6]}),
        (7, {"a": 1}, {"": SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))}),
    ],
)
def test_a_digest_changes_with_whatever_changes(other):
    assert point_digest(7, {"a": 1}, {"": X[0]}) == point_digest(7, {"a": 1}, {"": X[0].copy()})
    assert point_digest(7, {"a": 1}, {"": X[0]}) != point_digest(*other)


def test_the_digest_of_a_sparse_vector_does_not_depend_on_the_order_of_its_tokens():
    one = SparseVector(np.array([3, 1], np.uint32), np.array([0.5, 2], np.float32))
    other = SparseVector(np.array([1, 3], np.uint32), np.array([2, 0.5], np.float32))
    assert point_digest(1, {}, {"s": one}) == point_digest(1, {}, {"s": other})


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("block", [1, 37, 700])
def test_neighbours_are_those_of_sorting_everything(distance, block):
    x = unit_rows(X) if distance is Distance.COSINE else X
    near = Neighbours(x[:20], list(range(20)), 10, distance)
    for start in range(0, len(x), block):
        near.add(list(range(start, min(start + block, len(x)))), x[start : start + block])
    scores = similarity(x[:20], x, distance)
    scores[np.arange(20), np.arange(20)] = -np.inf
    ranked = np.argsort(-scores, axis=1)
    assert near.recall(ranked[:, :10].tolist()).tolist() == [1.0] * 20
    assert near.recall(ranked[:, 5:15].tolist()).tolist() == [0.5] * 20
    with_itself = [[row, *found] for row, found in enumerate(ranked[:, :10].tolist())]
    assert near.recall(with_itself).tolist() == [1.0] * 20


def test_which_of_equal_points_is_found_says_nothing():
    x = np.repeat(unit_rows(X[:40]), 2, axis=0)
    near = Neighbours(x[:1], [0], 3, Distance.COSINE)
    near.add(list(range(80)), x)
    scores = x[:1] @ x.T
    twins = np.argsort(-scores[0], kind="stable")[2:].tolist()
    # The point's own twin, then either of the next two pairs.
    assert near.recall([[1, twins[0], twins[1]]])[0] == near.recall([[1, twins[1], twins[0]]])[0] == 1.0


def test_fewer_neighbours_than_asked_for_are_all_there_is():
    near = Neighbours(X[:1], ["a"], 10, Distance.DOT)
    near.add(["a", "b", "c"], X[:3])
    assert near.recall([["c", "b"]]).tolist() == [1.0]
    assert near.recall([["c"]]).tolist() == [0.5]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1, None, {"b": "x"}]}, {"a": [1, None, {"b": "x"}]}, True),
        (90.28571428571429, 90.28571428571428, True),
        (90.28571428571429, 90.28571428571, False),
        (2**53, 2**53 + 1, False),
        (1, True, False),
        (1, 1.0, False),
        ("1", 1, False),
        (None, False, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
    ],
)
def test_payloads_are_equal_but_for_the_last_digit_of_fractions(one, other, same):
    assert same_payload(one, other) is same


@pytest.mark.parametrize(("points", "stretch"), [(1, 1024), (2_000_000, 1024), (100_000_000, 48_829)])
def test_a_journal_has_a_bounded_number_of_stretches(points, stretch):
    assert stretch_points(points) == stretch
    assert points / stretch_points(points) <= MOST_STRETCHES


# -- reading -------------------------------------------------------------------------------------


class Listed:
    """A store that holds points 0, 10, 20 …."""

    def __init__(self, count):
        self.ids = [10 * place for place in range(count)]

    def read(self, *, limit, offset, vectors, with_payload):
        left = [point for point in self.ids if offset is None or point >= offset]
        following = left[limit] if len(left) > limit else None
        return [StoredPoint(point, 0.0, {}, {}) for point in left[:limit]], following
        yield


@pytest.mark.parametrize("page", [1, 3, 100])
def test_a_cursor_stops_at_the_end_of_a_stretch_and_goes_on_after_it(page):
    cursor = Cursor(Listed(9), page, after=10)
    seen = []
    for last in (45, 45, 60, None):
        stretch: list = []
        while points := run(cursor.within(Stretch(last, 0, ""))):
            stretch += [point.id for point in points]
        seen.append(stretch)
    assert seen == [[20, 30, 40], [], [50, 60], [70, 80]]
    assert run(cursor.ended())


def test_a_cursor_goes_on_where_the_point_before_is_gone():
    cursor = Cursor(Listed(4), 2, after=15)
    assert [point.id for point in run(cursor.take(5))] == [20, 30]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_cannot_be_represented_are_named_or_left_out(value):
    codec = Representation.parse("float32")
    embeddings = Embeddings("v", 12, Distance.COSINE, ("v",), "float32", HnswSettings())
    encoder = Encoder(embeddings, codec, Stages.of(*codec.needs(12, Distance.COSINE), "v"))
    spoiled = X[:20].copy()
    spoiled[:15] = value
    points = [StoredPoint(100 + row, 0.0, {}, {"v": x}) for row, x in enumerate(spoiled)]
    with pytest.raises(VectorValueError, match=r"'v' of 15 points .* ids 100, 101, .*109, …\. .*--skip-invalid"):
        encoder.read(points)
    rows, x = replace(encoder, skip_invalid=True).read(points)
    assert rows == list(range(15, 20))
    assert np.allclose(x, unit_rows(X[15:20]))


# -- orders and journals -------------------------------------------------------------------------


def order(**changes):
    part = Part("text", "text", "turbo8", HnswSettings(), MemoryPlacement(), None)
    return replace(Order("docs", "small", "/data", False, (part,)), **changes)


def test_another_order_has_another_fingerprint():
    others = [{"target": "x"}, {"origin": "/y"}, {"drop": ("s",)}, {"seed": 1}, {"skip_invalid": True}, {"parts": ()}]
    prints = {order(**change).fingerprint for change in others}
    assert len(prints) == len(others)
    assert order().fingerprint not in prints
    assert order().fingerprint == order().fingerprint


def test_an_order_tells_the_command_line_that_gives_it():
    assert order().command == "octant compress docs --into small --vector 'text=turbo8'"
    assert order(in_place=True).command == "octant compress docs --in-place --vector 'text=turbo8'"


class Notes:
    """A store that keeps notes, as JSON text."""

    def __init__(self):
        self.kept = {}

    def write_state(self, key, value):
        self.kept[key] = json.dumps(value)
        return
        yield

    def read_state(self, key):
        return json.loads(self.kept[key]) if key in self.kept else None
        yield


def journal_of(count):
    journal = Journal("abc", "octant compress docs", ("v",), 1024, asked={"v": (1, "b")})
    notes = Notes()
    for position in range(count):
        journal = with_stretch(journal, position, Stretch(position, 10, f"{position:032x}"))
        run(journals.save(notes, journal, changed=position))
    return notes, journal


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_journal_comes_back(count):
    notes, journal = journal_of(count)
    run(journals.save(notes, journal))
    found = run(journals.load(notes))
    assert found.stretches == journal.stretches
    assert (found.copied, found.after) == (10 * count, count - 1 if count else None)
    assert found.document() == json.loads(json.dumps(journal.document()))


def test_a_block_that_nobody_counts_says_nothing():
    """A process killed between the block and the document."""
    notes, journal = journal_of(3)
    document = notes.kept["compress"]
    longer = with_stretch(journal, 3, Stretch(99, 10, "f" * 32))
    run(journals.save(notes, longer, changed=3))
    notes.kept["compress"] = document
    assert run(journals.load(notes)).stretches == journal.stretches


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda document: document.pop("phase"), r"damaged \(KeyError"),
        (lambda document: document.update(stretches=900), "damaged .*65 of 900 stretches"),
        (lambda document: document.update(format=9), "format 1, got 9"),
    ],
)
def test_a_damaged_journal_is_refused(spoil, message):
    notes, _ = journal_of(BLOCK + 1)
    document = json.loads(notes.kept["compress"])
    spoil(document)
    notes.kept["compress"] = json.dumps(document)
    with pytest.raises(ArtifactError, match=message):
        run(journals.load(notes))


def test_who_opens_an_unfinished_target_is_told_how_to_go_on():
    state = {"phase": "copy", "command": "octant compress docs --into small", "vectors": []}
    with pytest.raises(UnfinishedError, match=r"complete \(next: copy\): run octant compress docs --into small again"):
        refuse(state, "")
    refuse(None, "")
    refuse({**state, "phase": "done"}, "")
    refuse({**state, "vectors": ["octant"]}, "")
    with pytest.raises(UnfinishedError, match="not complete"):
        refuse({**state, "vectors": ["octant"]}, "octant")
