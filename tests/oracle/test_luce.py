"""Strengths from orders, against the likelihood written out choice by choice."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octant.rerankers.luce import _OWN, _SPREAD, _TRUST, Reading, strengths


def posterior(own: np.ndarray, trust: float, readings: list[Reading]) -> float:
    """The logarithm of it, up to a constant."""
    ranks = np.log(np.arange(1, len(own) + 1))
    values = own - trust * (ranks - ranks.mean())
    told = -float(own @ own) / (2 * _OWN**2) - (trust - _TRUST) ** 2 / (2 * _SPREAD**2)
    for reading in readings:
        for place in range(reading.named):
            left = [math.exp(values[candidate]) for candidate in reading.order[place:]]
            told += reading.weight * math.log(left[0] / sum(left))
    return told


def drawn(seed: int, count: int = 12) -> list[Reading]:
    rng = random.Random(seed)
    readings = []
    for _ in range(5):
        order = rng.sample(range(count), rng.randint(2, count))
        readings.append(Reading(tuple(order), rng.randint(1, len(order)), rng.choice((0.7, 1.0))))
    return readings


@pytest.mark.parametrize("seed", range(6))
def test_no_nearby_strengths_are_likelier(seed: int) -> None:
    readings = drawn(seed)
    found = strengths(12, readings)
    ranks = np.log(np.arange(1, 13))
    own = found.values + found.trust * (ranks - ranks.mean())
    best = posterior(own, found.trust, readings)
    rng = np.random.default_rng(seed)
    for size in (0.3, 0.1, 0.03):
        for _ in range(20):
            away = own + size * rng.standard_normal(12)
            trust = max(0.0, found.trust + size * rng.standard_normal() / 4)
            assert posterior(away, trust, readings) < best + 1e-3


def test_without_an_answer_the_first_stage_decides() -> None:
    found = strengths(6, [])
    assert found.trust == _TRUST
    assert (-found.values).argsort().tolist() == list(range(6))


def test_answers_that_contradict_the_first_stage_lower_its_trust() -> None:
    agrees = strengths(20, [Reading(tuple(range(20)), 20)] * 3)
    contradicts = strengths(20, [Reading(tuple(range(19, -1, -1)), 20)] * 3)
    assert contradicts.trust == 0 < _TRUST < agrees.trust
    assert (-contradicts.values).argsort().tolist() == list(range(19, -1, -1))


def test_what_an_answer_leaves_out_comes_behind_what_it_names() -> None:
    values = strengths(4, [Reading((3, 0, 1, 2), 1)] * 8).values
    assert values[3] > max(values[:3])
    assert values[0] > values[1] > values[2]  # their order is the first stage's


@settings(deadline=None, max_examples=50)
@given(st.lists(st.permutations(range(8)), max_size=12), st.integers(1, 8), st.floats(0.01, 1.0))
def test_strengths_are_finite_whatever_was_said(orders: list[list[int]], named: int, weight: float) -> None:
    found = strengths(8, [Reading(tuple(order), named, weight) for order in orders])
    assert np.isfinite(found.values).all()
    assert 0 <= found.trust < math.inf
