"""Whose vectors a collection holds: the model that made them is recorded, and another one refused."""

from __future__ import annotations

from dataclasses import replace

from octant.core.core import Core
from octant.errors import MismatchError
from octant.flow import Flow, step
from octant.identity import complete, describe, same_model
from octant.manifest import Manifest
from octant.records import EmbeddingIdentity, FloatArray
from octant.sparse import Bm25, sparse_encoder


def check_embedding(core: Core) -> Flow[None]:
    """Refuse a model that did not make the vectors.

    Raises
    ------
    MismatchError
        With both identities.
    """
    if core.embedder is None:
        return
    embedder, recorded = core.embedder, core.manifest.embedding
    identity = yield from step(lambda: embedder.identity)
    check_dimension(core.manifest, identity)
    if recorded is None:
        return
    reason = same_model(recorded, identity)
    if reason is not None:
        raise MismatchError(
            f"the collection's vectors were made by {describe(recorded)}; opened with {describe(identity)}: {reason}. "
            "Open it with the model that made it, or index the texts again with the other one"
        )


def check_dimension(manifest: Manifest, identity: EmbeddingIdentity) -> None:
    """Refuse a model of another dimension.

    Raises
    ------
    MismatchError
    """
    if None not in (manifest.dimension, identity.dimension) and manifest.dimension != identity.dimension:
        recorded = manifest.embedding
        maker = describe(recorded) if recorded is not None else f"{manifest.dimension} dimensions"
        raise MismatchError(
            f"the collection is for {maker}; got {describe(identity)}: open it with the model that made it"
        )


def check_sparse(core: Core) -> None:
    """Bring back Octant's own sparse encoder, or refuse one that did not make the sparse vectors.

    Raises
    ------
    MismatchError
        With both identities.
    """
    recorded, given = core.manifest.sparse, core.sparse
    if recorded is not None and given is None and recorded.startswith(Bm25.name):
        core.sparse = sparse_encoder(recorded)  # Octant's own encoder is its parameters: it needs no help to come back
    elif recorded is not None and given is not None and recorded != given.identity:
        raise MismatchError(
            f"the collection's sparse vectors were made by {recorded}; opened with {given.identity}: "
            "use the same encoder"
        )


def note_embedding(core: Core, vectors: FloatArray) -> Flow[None]:
    """Write down what the first real vectors tell about the model."""
    identity = core.manifest.embedding
    if identity is None or core.foreign or None not in (identity.dimension, identity.normalized):
        return
    core.manifest = replace(core.manifest, embedding=complete(identity, vectors))
    yield from core.store.write_manifest(core.manifest.to_json())
