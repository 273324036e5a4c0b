"""Embed the texts of a dataset, and keep the vectors on disk where a folder for them is given."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from octant.embedders import Embedder
from octant.errors import ArtifactError
from octant.flow import run
from octant.records import FloatArray

CHUNK = 1024
"""Texts handed to the model at a time."""

Role = Literal["documents", "queries"]


def embed(
    model: Embedder,
    role: Role,
    texts: Sequence[str],
    *,
    folder: str | Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> FloatArray:
    """Vectors (n, dim) of ``texts``, from ``folder`` where they were kept before.

    Parameters
    ----------
    model : Embedder
    role : {"documents", "queries"}
        Which side of the model embeds them.
    texts : sequence of n str
    folder : str or Path, optional
        Where vectors are kept, one file for a model, a role and a list of texts; without it nothing is kept.
        A model that cannot be probed for free (see :attr:`Embedder.identity`) is told from others by its name.
    progress : callable, optional
        Called with the number of texts that were just embedded.

    Raises
    ------
    ArtifactError
        If a kept file is damaged.
    """
    if folder is None:
        return _embedded(model, role, texts, progress)
    path = Path(folder) / f"{_key(model, role, texts)}.npy"
    if not path.exists():
        _keep(path, _embedded(model, role, texts, progress))
    elif progress is not None:
        progress(len(texts))
    return _kept(path, len(texts))


def _embedded(
    model: Embedder, role: Role, texts: Sequence[str], progress: Callable[[int], object] | None
) -> FloatArray:
    blocks = []
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        blocks.append(run(model.embed_documents(chunk) if role == "documents" else model.embed_queries(chunk)))
        if progress is not None:
            progress(len(chunk))
    return np.concatenate(blocks)


def _key(model: Embedder, role: Role, texts: Sequence[str]) -> str:
    identity = model.identity
    digest = hashlib.sha256(json.dumps([identity.name, identity.probe, role]).encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def _keep(path: Path, vectors: FloatArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed, so that a killed run leaves no half file under the final name.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
        np.save(stream, vectors, allow_pickle=False)
    Path(stream.name).replace(path)


def _kept(path: Path, count: int) -> FloatArray:
    try:
        with path.open("rb") as stream:
            vectors = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"the kept embeddings {path} are damaged ({error}): delete the file") from error
    if vectors.shape[:1] != (count,) or vectors.dtype != np.float32:
        raise ArtifactError(f"the kept embeddings {path} do not hold {count} float32 vectors: delete the file")
    return np.asarray(vectors, np.float32)
