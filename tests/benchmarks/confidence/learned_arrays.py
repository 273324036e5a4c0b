"""What ``weight`` and ``select`` have learned, applied to many queries at once."""

from __future__ import annotations

import numpy as np

from octant.selectors.pool import Pool


def weights_of(pool: Pool, state: dict[str, np.ndarray]) -> np.ndarray:
    """Weights (queries, embeddings) of ``weight``."""
    standard = np.clip(np.nan_to_num((pool.signals - state["mean"]) / state["scale"]), -3, 3)
    return state["weights"] * np.exp((standard * state["slopes"]).sum(axis=2))


def expected_of(pool: Pool, state: dict[str, np.ndarray]) -> np.ndarray:
    """Log-odds (queries, embeddings) of the nDCG@10 that ``select`` expects."""
    standard = np.clip(np.nan_to_num((pool.signals - state["mean"]) / state["scale"]), -4, 4)
    return (standard * state["slopes"]).sum(axis=2) + state["intercepts"]
