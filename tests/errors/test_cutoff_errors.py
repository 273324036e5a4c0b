"""Cutoffs that cannot be trained, used or read, and the message each mistake gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_judged import DIM, judged
from octant import Collection, Cutoff, EmbeddingIdentity
from octant.envelope import pack
from octant.errors import ArtifactError, DimensionError, InputError, MismatchError
from octant.records import Distance


@pytest.fixture(scope="module")
def cutoff() -> Cutoff:
    asked = replace(judged(30), embedding=EmbeddingIdentity("mine", DIM))
    return Cutoff.train(asked, families=["linear"], hidden=0)


@pytest.fixture(scope="module")
def probing() -> Cutoff:
    return Cutoff.train(judged(30, by_vector=0.0, by_chance=0.5), probe=5, families=["linear"], hidden=0)


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"probe": -1}, r"probe counts the best scores to read, 0 to 1000; got -1"),
    ({"hidden": -1}, r"hidden counts units, at least 0; got -1"),
    ({"recall": 0.9, "precision": 0.5}, r"both choose the threshold: give one"),
    ({"recall": 0.0}, r"recall must lie above 0 and be at most 1, got 0"),
    ({"precision": 1.5}, r"precision must lie above 0 and be at most 1, got 1.5"),
    ({"labels": "clicks"}, r"labels must be one of judgements, teacher, source; got 'clicks'"),
    ({"families": ["cubic"]}, r"families must be among linear, square root, quadratic, power; got cubic"),
    ({"families": []}, r"families must be among .*; got none"),
    ({"relevant": 9.0}, r"got 0 relevant ones of 600: do the judgements belong to this collection"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cutoff.train(judged(30), **arguments)


def test_rankings_that_cannot_be_learned_from() -> None:
    with pytest.raises(InputError, match=r"at least 20 judged queries with candidates .*, got 19: judge more"):
        Cutoff.train(judged(19))
    with pytest.raises(InputError, match=r"got rankings of 'hybrid': gather them again with mode='dense'"):
        Cutoff.train(judged(30, first_stage="hybrid"))
    blind = replace(judged(30), queries=tuple(replace(one, vector=None) for one in judged(30)))
    with pytest.raises(InputError, match=r"reads the queries' vectors"):
        Cutoff.train(blind)


def test_thresholds_that_cannot_be_chosen(cutoff: Cutoff) -> None:
    for given in ({}, {"recall": 0.9, "probability": 0.5}):
        with pytest.raises(InputError, match=r"by recall, precision or probability: give one"):
            cutoff.at(**given)
    for least in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match=r"between 0 and 1, got"):
            cutoff.at(probability=least)


def test_a_precision_that_was_never_reached() -> None:
    hopeless = judged(30, by_vector=0.0)
    shuffled = tuple(replace(one, gains={"d19": 1.0}) for one in hopeless)
    with pytest.raises(InputError, match=r"no threshold reached a precision of 0.99 .* the best was 0\.\d+"):
        Cutoff.train(replace(hopeless, queries=shuffled), precision=0.99, families=["linear"], hidden=0)


def test_queries_of_another_shape(cutoff: Cutoff, probing: Cutoff) -> None:
    with pytest.raises(DimensionError):
        cutoff.score_threshold(np.ones(DIM + 1))
    with pytest.raises(InputError, match=r"scores of shape \(n,\) without NaN"):
        cutoff.probability(np.ones(DIM), [[0.1]])
    with pytest.raises(InputError, match=r"reads the query's best 5 scores beside its vector: give them too"):
        probing.score_threshold(np.ones(DIM))
    with pytest.raises(InputError, match=r"best scores of shape \(2, 5\), got \(2, 4\)"):
        probing.score_thresholds(np.ones((2, DIM), np.float32), np.ones((2, 4)))


def test_another_collection(cutoff: Cutoff) -> None:
    with pytest.raises(MismatchError, match=r"trained for mine .*; got other"):
        cutoff.check(EmbeddingIdentity("other", DIM), DIM, Distance.COSINE)
    with pytest.raises(DimensionError, match=r"trained for 6 dimensions, the collection has 7"):
        cutoff.check(None, 7, Distance.COSINE)
    with pytest.raises(MismatchError, match=r"of the kind 'dense cosine', these are 'dense euclid'"):
        cutoff.check(None, DIM, Distance.EUCLID)


def test_a_search_of_another_kind(cutoff: Cutoff) -> None:
    with Collection.create("c", embedding=None, dimension=DIM, sparse="bm25", distance="euclid") as c:
        c.add(["one", "two"], vectors=np.eye(DIM)[:2])
        for mode in ("sparse", "hybrid"):
            with pytest.raises(InputError, match=f"got mode '{mode}': leave the cutoff out"):
                c.search("one", mode=mode, cutoff=cutoff)
        with pytest.raises(MismatchError, match=r"these are 'dense euclid'"):
            c.search(np.ones(DIM), cutoff=cutoff)
        with pytest.raises(InputError, match=r"score_threshold must be a number .* got NaN"):
            c.search(np.ones(DIM), score_threshold=float("nan"))


def changed(cutoff: Cutoff, header: dict[str, Any], **arrays: Any) -> bytes:
    whole = {**cutoff.header, "origin": cutoff.origin.as_json(), **header}
    return pack("octant-cutoff", 1, whole, {**cutoff.arrays, **arrays})


BROKEN: list[Callable[[Cutoff], bytes]] = [
    lambda cutoff: cutoff.dumps()[:-9],
    lambda cutoff: changed(cutoff, {"least": 2.0}),
    lambda cutoff: changed(cutoff, {"dimension": DIM + 1}),
    lambda cutoff: changed(cutoff, {"shape": {"family": "cubic", "vector": True, "probe": 0, "hidden": 0}}),
    lambda cutoff: changed(cutoff, {"shape": {"family": "linear", "vector": True, "probe": 0, "hidden": -3}}),
    lambda cutoff: changed(cutoff, {"shape": {"surprise": 1}}),
    lambda cutoff: changed(cutoff, {"measures": {}}),
    lambda cutoff: changed(cutoff, {}, normal=np.zeros(4)),
    lambda cutoff: changed(cutoff, {}, normal=np.full(4, np.nan)),
    lambda cutoff: changed(cutoff, {}, curve=np.ones((4, 9))),
    lambda cutoff: changed(cutoff, {}, curve=np.full((5, 9), 2.0)),
    lambda cutoff: changed(cutoff, {}, **{"weights.linear": np.zeros((DIM, 3), np.float32)}),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_damaged_files_are_refused(broken: Callable[[Cutoff], bytes], cutoff: Cutoff, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(broken(cutoff))
    with pytest.raises(ArtifactError, match=r"train it again, or restore the file"):
        Cutoff.load(tmp_path / "c")
