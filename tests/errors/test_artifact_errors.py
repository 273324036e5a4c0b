"""Artifacts that are damaged, foreign or from the future are refused, and the message says what to do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors

from octant import artifact, envelope
from octant.errors import ArtifactError, DimensionError, NotFittedError, UnknownPluginError
from octant.representation import Representation


@pytest.fixture(scope="module")
def data() -> bytes:
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    return artifact.dump(Representation.parse("pca(4)|float8").fit(x), 8)


def rewritten(data: bytes, **changes: Any) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["octant"])
    return safetensors.save(safetensors.load(data), metadata={"octant": json.dumps({**header, **changes})})


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"\xff" * len(data),
        lambda data: b"PK\x03\x04 some other file",
        lambda data: safetensors.save({"weights": np.ones(3)}),
        lambda data: safetensors.save({}, metadata={"octant": "not json"}),
    ],
    ids=["empty", "five bytes", "half", "one byte short", "one byte long", "noise", "zip", "no header", "no JSON"],
)
def test_what_is_no_whole_artifact_is_refused(damage: Any, data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"expected a safetensors file written by Octant, got \d+ bytes .* fit the"):
        artifact.load(damage(data))


def test_a_changed_byte_is_found_by_the_digest(data: bytes) -> None:
    changed = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(ArtifactError, match=r"expected an artifact with SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}: it is"):
        artifact.load(changed, expected=envelope.digest(data))


def test_an_artifact_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="expected an artifact of the format 'octant-representation'"):
        artifact.load(rewritten(data, format="octant-reranker"))


def test_an_artifact_from_the_future_asks_for_an_upgrade(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"version 1 or earlier, got version 7: .* pip install -U qdrant-octant"):
        artifact.load(rewritten(data, version=7))


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": {}},
        {"stages": {"coarse": []}},
        {"stages": {"coarse": [{"name": "pca", "config": {"m": 4}}, {"name": "int8"}]}},
        {"stages": {"coarse": [{"name": "pca", "config": {"m": 0}}]}},
        {"stages": {"coarse": [{"name": "pca", "config": {"size": 4}}]}},
        {"stages": {"coarse": [{"name": "whiten", "config": {"m": 4}}]}},
        {"stages": None},
        {"dim": "many"},
        {"dim": 9},
    ],
    ids=str,
)
def test_an_incomplete_artifact_is_refused(changes: dict[str, Any], data: bytes) -> None:
    with pytest.raises(ArtifactError, match="the artifact does not hold a whole representation"):
        artifact.load(rewritten(data, **changes))


def test_a_plugin_that_is_not_installed_is_named(data: bytes) -> None:
    stages = {"coarse": [{"name": "theirs", "config": {}}]}
    with pytest.raises(UnknownPluginError, match=r"no quantizer 'theirs'\. Known: autoencoder, binary, bq"):
        artifact.load(rewritten(data, stages=stages))


def test_what_has_not_learned_cannot_be_kept() -> None:
    with pytest.raises(NotFittedError, match=r"pca\(4\)\|turbo4 has to learn from vectors first"):
        artifact.dump(Representation.parse("pca(4)|float8"), 8)


def test_another_dimension_than_the_fitted_one_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    with pytest.raises(DimensionError, match="was fitted on vectors of 8 coordinates, got 9"):
        artifact.dump(Representation.parse("pca(4)|float8").fit(x), 9)
