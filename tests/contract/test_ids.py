"""Any id the caller chooses comes back as it was."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.errors import DuplicateIdError, InputError
from octant.ids import IdCodec

OWN, FOREIGN = IdCodec(), IdCodec(digits_are_integers=True)
IDS = st.one_of(
    st.integers(0, 2**64 - 1), st.text(min_size=1), st.uuids().map(str), st.uuids().map(lambda u: str(u).upper())
)


@given(IDS, st.booleans())
def test_every_id_survives_the_round_trip(point, foreign):
    codec = FOREIGN if foreign else OWN
    stored = codec.to_qdrant(point)
    assert isinstance(stored, int) or str(uuid.UUID(stored)) == stored
    back = codec.from_qdrant(stored, codec.payload_entry(point, stored))
    if foreign and isinstance(point, str) and point.isascii() and point.isdigit() and int(point) < 2**64:
        assert str(back) in (point, str(int(point)))
    else:
        assert back == point


@given(st.lists(IDS, min_size=2, max_size=2, unique_by=repr))
def test_different_ids_are_different_points(pair):
    a, b = pair
    if isinstance(a, str) and isinstance(b, str) and a.lower() == b.lower():
        return  # one UUID in two spellings is one point
    try:
        if uuid.UUID(str(a)) == uuid.UUID(str(b)):
            return
    except ValueError:
        pass
    assert OWN.to_qdrant(a) != OWN.to_qdrant(b)


def test_digits_are_text_in_our_collections_and_numbers_in_others():
    assert isinstance(OWN.to_qdrant("7"), str)
    assert FOREIGN.to_qdrant("7") == 7
    assert OWN.to_qdrant(7) == FOREIGN.to_qdrant(7) == 7


@pytest.mark.parametrize("bad", ["", -1, 2**64, 1.5, None, True, b"x", ("a",)])
def test_what_is_no_id_is_refused(bad):
    with pytest.raises(InputError, match="an id is a non-negative integer"):
        OWN.to_qdrant(bad)


def test_columns():
    fresh, stored = OWN.columns(None, 3)
    assert fresh == stored
    assert len(set(fresh)) == 3
    five = str(uuid.UUID(int=5))
    assert OWN.columns(["a", uuid.UUID(int=5)], 2) == (["a", five], [OWN.to_qdrant("a"), five])
    with pytest.raises(InputError, match="one id per point, 3 in all, got 2"):
        OWN.columns(["a", "b"], 3)
    with pytest.raises(DuplicateIdError, match="'a' names the same point as 'a'"):
        OWN.columns(["a", "b", "a"], 3)
    shouted = "6A1F0C53-6D7E-5B0C-9C5E-0C7A47D1B0A7"
    with pytest.raises(DuplicateIdError, match="names the same point"):
        OWN.columns([shouted, shouted.lower()], 2)
