"""What was written stays readable: artifacts and codes on disk, from when a format was introduced."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from octant import artifact
from octant.representation import Representation

FILES = Path(__file__).parent / "quantizers"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("regenerate", Path(__file__).parent / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _script()


@pytest.fixture(params=golden.SPECS)
def kept(request: pytest.FixtureRequest) -> tuple[str, bytes, dict[str, Any]]:
    stem = golden.name(request.param)
    with np.load(FILES / f"{stem}.npz") as arrays:
        return request.param, (FILES / f"{stem}.safetensors").read_bytes(), dict(arrays)


def assert_same(chain: Any, codes: Any, wanted: Any) -> None:
    """Equal bytes; behind a reducer, whose sums depend on the machine's last digit, equal vectors."""
    assert codes.dtype == wanted.dtype
    if not chain.reducers:
        assert np.array_equal(codes, wanted)
    assert np.allclose(chain.decode(codes), chain.decode(wanted), atol=0.05 if codes.dtype == np.uint8 else 1e-4)


def test_an_old_artifact_still_encodes_as_it_did(kept: tuple[str, bytes, dict[str, Any]]) -> None:
    spec, data, codes = kept
    representation, dim = artifact.load(data)
    assert dim == 9
    assert Representation.parse(spec).spec == representation.spec
    got = dict(zip(representation.stages, representation.encode(golden.vectors()), strict=False))
    assert set(codes) == set(representation.stages)
    for stage, chain in representation.stages.items():
        assert_same(chain, got[stage], codes[stage])
        decoded = representation.decode(codes[stage], stage)
        error = np.square(decoded - golden.vectors()).mean() / golden.vectors().var()
        assert error < (0.02 if not chain.reducers else 0.7), "the codes on disk decode to something else"


def test_an_artifact_is_written_as_it_was(kept: tuple[str, bytes, dict[str, Any]]) -> None:
    _, data, _ = kept
    assert artifact.dump(*artifact.load(data)) == data


def test_a_fit_with_the_same_seed_gives_the_same_codes(kept: tuple[str, bytes, dict[str, Any]]) -> None:
    spec, _, codes = kept
    representation = Representation.parse(spec).fit(golden.vectors(), rng=0)
    got = dict(zip(representation.stages, representation.encode(golden.vectors()), strict=False))
    for stage, chain in representation.stages.items():
        assert_same(chain, got[stage], codes[stage])
