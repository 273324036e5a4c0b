"""Trained artifacts on disk stay readable, and encode as they did, on any machine and without torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octant import artifact
from octant.representation import Representation

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("regenerate", HERE / "regenerate.py")
assert spec is not None
assert spec.loader is not None
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


@pytest.fixture(params=golden.TRAINED)
def kept(request: pytest.FixtureRequest) -> tuple[str, bytes, dict[str, Any]]:
    stem = golden.name(request.param)
    with np.load(HERE / "quantizers" / f"{stem}.npz") as arrays:
        return request.param, (HERE / "quantizers" / f"{stem}.safetensors").read_bytes(), dict(arrays)


def test_an_old_artifact_still_encodes_as_it_did(kept: tuple[str, bytes, dict[str, Any]]) -> None:
    written, data, codes = kept
    representation, dim = artifact.load(data)
    assert dim == 9
    assert Representation.parse(written).spec == representation.spec
    got = dict(zip(representation.stages, representation.encode(golden.vectors()), strict=False))
    assert set(codes) == set(representation.stages)
    for stage, chain in representation.stages.items():
        assert got[stage].dtype == codes[stage].dtype
        if chain.reducers:
            np.testing.assert_allclose(got[stage], codes[stage], atol=1e-4)
        else:
            assert np.array_equal(got[stage], codes[stage])
        error = np.square(chain.decode(codes[stage]) - golden.vectors()).mean() / golden.vectors().var()
        assert error < 0.9, "the codes on disk decode to something else"


def test_an_artifact_is_written_as_it_was(kept: tuple[str, bytes, dict[str, Any]]) -> None:
    _, data, _ = kept
    assert artifact.dump(*artifact.load(data)) == data
