"""Write the golden files anew: ``python tests/golden/regenerate.py``. Only for a deliberate change of a format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from octant import artifact
from octant.representation import Representation

HERE = Path(__file__).parent / "quantizers"
SPECS = (
    "float8",
    "float8(e5m2)",
    "int8",
    "int4",
    "uint8",
    "pca(4)|float8",
    "whiten(4)|turbo8|bq(1)",
    "truncate(5)|turbo8",
    "pca(6)|rabitq",
    "transform(3.5)",
    "pca(6)|binary(20)",
    "leanvec(4)|int8",
    "opq(x16)|float32|product(x16)",
    "kernel_pca(5, landmarks=16)",
    "coarse=random_projection(6)|turbo4|turbo(1.5); fine=random_projection(6)|int8",
)

TRAINED = (
    "recurrent_binary(6, steps=3)",
    "recurrent_binary(4, 2, mlp, hidden=5, blocks=2, steps=3)",
    "coarse=recurrent_binary(8, 0, steps=3); fine=recurrent_binary(6, 1, residual, decoder=mlp, hidden=5, steps=3)",
    "autoencoder(4, hidden=5, steps=3)|turbo8",
)
"""What torch learned is kept as it is: another build of torch may round another way, and need not be there at all."""


def name(spec: str) -> str:
    """A file name for ``spec``."""
    return re.sub(r"\W+", "-", spec).strip("-")


def vectors() -> np.ndarray:
    """Vectors (24, 9) whose every bit is written here: sevenths of small whole numbers."""
    numbers = (np.arange(24 * 9) * 37 % 101 - 50).reshape(24, 9)
    return (numbers / 7).astype(np.float32)


def main() -> None:
    """Fit every spec and keep its artifact and its codes."""
    HERE.mkdir(exist_ok=True)
    for spec in SPECS + TRAINED:
        representation = Representation.parse(spec).fit(vectors(), rng=0)
        coarse, fine = representation.encode(vectors())
        (HERE / f"{name(spec)}.safetensors").write_bytes(artifact.dump(representation, 9))
        np.savez(HERE / f"{name(spec)}.npz", coarse=coarse, **({} if fine is None else {"fine": fine}))


if __name__ == "__main__":
    main()
