"""Which model made these vectors: what is recorded with a collection, and how two records are compared."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from octant.records import EmbeddingIdentity, FloatArray
from octant.vectors import as_matrix

PROBE_TEXT = "An octant is an eighth of a circle; a navigator reads the angle between two distant lights with it."
"""What a probed model embeds once. Changing it would make every recorded probe unknown."""

PROBE_BITS = 128
PROBE_TOLERANCE = 4
"""Differing bits that float noise may cause: 4 of 128 is an angle of under 6 degrees, a cosine above .995."""

UNIT_TOLERANCE = 1e-3


def complete(identity: EmbeddingIdentity, vectors: FloatArray) -> EmbeddingIdentity:
    """``identity`` with what ``vectors`` (n, dim) float32 reveal; what is known already stays.

    Examples
    --------
    >>> complete(EmbeddingIdentity("m"), np.ones((2, 4), np.float32))
    EmbeddingIdentity(name='m', dimension=4, normalized=False, probe=None)
    """
    matrix = as_matrix(vectors)
    if identity.dimension is None:
        identity = replace(identity, dimension=matrix.shape[1])
    if identity.normalized is None:
        off_unit = np.abs(np.linalg.norm(matrix, axis=1) - 1)
        identity = replace(identity, normalized=bool((off_unit < UNIT_TOLERANCE).all()))
    return identity


def probe_of(vector: FloatArray) -> str:
    """Signs of 128 fixed projections of ``vector`` (dim,), as 32 hexadecimal digits.

    The projections come from SHAKE-256 rather than a random generator, whose stream may change between
    numpy versions: the same vector has the same probe on every machine, for good.
    """
    count = len(vector) * PROBE_BITS
    stream = hashlib.shake_256(b"octant probe").digest(2 * count)
    planes = np.frombuffer(stream, "<u2").astype(np.float64).reshape(len(vector), PROBE_BITS) - 32767.5
    return np.packbits(vector.astype(np.float64) @ planes > 0).tobytes().hex()


def same_model(a: EmbeddingIdentity, b: EmbeddingIdentity) -> str | None:
    """Why ``a`` and ``b`` are not the same model; None where nothing that both record speaks against it.

    Two probes decide whatever the names are, so a model may be moved or loaded under another name. Without
    them the names do, apart from the class that served the model (``HuggingFaceEmbeddings:x`` is ``x``).

    Examples
    --------
    >>> same_model(EmbeddingIdentity("m", 384), EmbeddingIdentity("m", 768))
    'one gives 384 coordinates, the other 768'
    """
    if None not in (a.dimension, b.dimension) and a.dimension != b.dimension:
        return f"one gives {a.dimension} coordinates, the other {b.dimension}"
    if None not in (a.normalized, b.normalized) and a.normalized != b.normalized:
        return "one gives vectors of unit length, the other does not"
    if a.probe is not None and b.probe is not None:
        differing = (int(a.probe, 16) ^ int(b.probe, 16)).bit_count()
        if differing > PROBE_TOLERANCE:
            return f"they embed the same text differently ({differing} of {PROBE_BITS} probe bits differ)"
        return None
    if _model_part(a.name) != _model_part(b.name):
        return f"one is called {a.name!r}, the other {b.name!r}"
    return None


def describe(identity: EmbeddingIdentity) -> str:
    """One line that tells a model from another.

    Examples
    --------
    >>> describe(EmbeddingIdentity("all-MiniLM-L6-v2", 384, True, "ab" * 16))
    'all-MiniLM-L6-v2 (384 dimensions, probe abababab)'
    """
    known = [f"{identity.dimension} dimensions" if identity.dimension else "dimension unknown"]
    if identity.probe:
        known.append(f"probe {identity.probe[:8]}")
    return f"{identity.name} ({', '.join(known)})"


def _model_part(name: str) -> str:
    """``x`` of ``SomeEmbeddings:x``; the whole name where no class stands before the model."""
    server, colon, model = name.partition(":")
    # One letter is a Windows drive; a lower-case word is a model with a tag, e.g. "nomic-embed-text:latest".
    return model if colon and server.isidentifier() and server[0].isupper() and len(server) > 1 else name
