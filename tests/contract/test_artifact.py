"""A fitted representation comes back from its bytes as it was, and equal ones give equal bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors

from octant import artifact, envelope
from octant.representation import Representation

SPECS = [
    "turbo8",
    "float8",
    "pca(6)|turbo8|turbo(1)",
    "truncate(8)|pca(6)|uint8",
    "coarse=pca(6)|turbo4; fine=pca(6)|int4",
    "coarse=whiten(6)|turbo4; fine=random_projection(8)|float8(e5m2)",
]


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
def test_a_round_trip_changes_nothing(spec: str, x: Any) -> None:
    representation = Representation.parse(spec).fit(x, rng=4)
    data = artifact.dump(representation, 12)
    again, dim = artifact.load(data, expected=envelope.digest(data))
    assert (again, dim, again.spec) == (representation, 12, representation.spec)
    for one, other in zip(representation.encode(x), again.encode(x), strict=True):
        assert np.array_equal(one, other)  # type: ignore[arg-type]
    assert artifact.dump(again, dim) == data


@pytest.mark.parametrize("spec", SPECS)
def test_equal_fits_give_equal_bytes_in_any_process(spec: str, x: Any) -> None:
    here = envelope.digest(artifact.dump(Representation.parse(spec).fit(x, rng=4), 12))
    assert here == hashlib.sha256(artifact.dump(Representation.parse(spec).fit(x.copy(), rng=4), 12)).hexdigest()
    code = f"""
import numpy as np
from octant import artifact, envelope
from octant.representation import Representation
x = np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)
print(envelope.digest(artifact.dump(Representation.parse({spec!r}).fit(x, rng=4), 12)))
"""
    if spec == SPECS[-1]:  # one process is enough: the header's order is what could differ
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == here


def test_what_both_stages_share_is_stored_once(x: Any) -> None:
    shared = Representation.parse("coarse=pca(6)|turbo4; fine=pca(6)|int4").fit(x)
    arrays = safetensors.load(artifact.dump(shared, 12))
    assert sorted(arrays) == ["coarse.0.basis", "coarse.0.mean", "coarse.0.residual"]
    again, _ = artifact.load(artifact.dump(shared, 12))
    assert again.fine is not None
    assert again.fine.reducers[0] == again.coarse.reducers[0]
