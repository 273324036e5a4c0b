"""Sizes, counts and durations as people write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.errors import InputError
from octant.tuning.amounts import bytes_per_vector, count, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (200, 200.0), ("200", 200.0), ("200 B", 200.0), ("0.5kB", 500.0), ("1 KiB", 1024.0),
        ("2GiB for 10M vectors", 2 * 2**30 / 1e7), ("2 GiB for 10M", 2 * 2**30 / 1e7), ("3GB for 30_000 points", 1e5),
    ],
)  # fmt: skip
def test_sizes(text, expected):
    assert bytes_per_vector(text) == pytest.approx(expected)


@given(st.integers(1, 10**6), st.sampled_from(["kB", "MB", "GB", "KiB", "MiB", "GiB"]), st.integers(1, 10**9))
def test_a_total_is_shared_among_its_vectors(number, unit, vectors):
    assert bytes_per_vector(f"{number}{unit} for {vectors} vectors") * vectors == pytest.approx(
        bytes_per_vector(f"{number} {unit}")
    )


@pytest.mark.parametrize(
    "text", ["", "many", "-3", "0", "2GiB for", "2GiB per 10M", "2 XB", "1e3", "nan", "2GiB for 0"]
)
def test_other_sizes_are_refused(text):
    with pytest.raises(InputError, match="a size is bytes a vector"):
        bytes_per_vector(text)


@pytest.mark.parametrize(("text", "expected"), [("10M", 10**7), ("30_000", 30_000), (5, 5), ("1.5k", 1500)])
def test_counts(text, expected):
    assert count(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "-1", "0", "10M vectors", 0])
def test_other_counts_are_refused(text):
    with pytest.raises(InputError, match="a number of vectors is written as"):
        count(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("10 min", 600),
        ("1h", 3600),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (2.5, 2.5),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == expected


@given(st.integers(0, 20), st.integers(0, 59), st.integers(1, 59))
def test_parts_of_a_duration_add_up(hours, minutes, rest):
    assert seconds(f"{hours}h {minutes}m {rest}s") == 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", "10 x", "1h 30", "inf", "nan", "9999h", 0, float("nan")])
def test_other_durations_are_refused(text):
    with pytest.raises(InputError, match="a time budget is written as"):
        seconds(text)


@given(st.text(max_size=20))
def test_no_text_ends_in_anything_but_a_number_or_a_refusal(text):
    for read in (bytes_per_vector, count, seconds):
        with suppress(InputError):
            assert read(text) > 0
