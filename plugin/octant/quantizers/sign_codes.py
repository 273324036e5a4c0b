"""How codes of -1 and +1 lie in Qdrant: one bit each in RAM, weighed by a real-valued query."""

from __future__ import annotations

import numpy as np

from octant.records import CodeArray, Distance, FloatArray, NativeQuantization, StorageNeeds

_OVERSAMPLING = 8.0


def sign_storage(bits: int) -> StorageNeeds:
    """What the engine stores for ``bits`` signs a vector.

    turbo4 is the smallest carrier that keeps signs; it rests on disk and is never compared with a query.
    """
    return StorageNeeds(
        bits, Distance.DOT, "turbo4", NativeQuantization("binary", 1, query_bits=8),
        rescore=False, oversampling=_OVERSAMPLING, raw_slope=1.0, raw_slope_by_query_peak=True,
    )  # fmt: skip


def carried_signs(codes: CodeArray) -> FloatArray:
    """-1 and +1 of ``codes`` (n, bits) that turbo4 gave back: no longer -1 and +1, but of the same sign."""
    return np.where(codes >= 0, 1, -1).astype(np.float32)
