"""Embed the texts of a dataset, and keep the vectors on disk where a folder for them is given.

One file holds the vectors of a model, a role and a list of texts. While they are being made there is a folder of that
name with a block for every 1,024 texts: a run that is stopped goes on from there.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from octant import durable
from octant.embedders import Embedder
from octant.errors import ArtifactError
from octant.flow import run
from octant.records import FloatArray

BLOCK = 1024
"""Texts handed to the model, and kept, at a time."""

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
        Called with the number of texts that were just embedded, or found.

    Raises
    ------
    ArtifactError
        If a kept file is damaged.
    """
    blocks = list(_blocks(texts))
    if folder is None:
        return np.concatenate([_reported(_embedded(model, role, block), progress) for block in blocks])
    path = Path(folder) / f"{_key(model, role, texts)}.npy"
    if path.exists():
        vectors = _kept(path, len(texts))
        return _reported(vectors, progress)
    unfinished = path.with_suffix("")
    unfinished.mkdir(parents=True, exist_ok=True)
    vectors = np.concatenate(
        [
            _reported(_kept_or_embedded(unfinished / f"{number}.npy", model, role, block), progress)
            for number, block in enumerate(blocks)
        ]
    )
    _keep(path, vectors)
    shutil.rmtree(unfinished, ignore_errors=True)
    return vectors


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK))


def _kept_or_embedded(path: Path, model: Embedder, role: Role, texts: Sequence[str]) -> FloatArray:
    if not path.exists():
        _keep(path, _embedded(model, role, texts))
    return _kept(path, len(texts))


def _embedded(model: Embedder, role: Role, texts: Sequence[str]) -> FloatArray:
    return run(model.embed_documents(texts) if role == "documents" else model.embed_queries(texts))


def _reported(vectors: FloatArray, progress: Callable[[int], object] | None) -> FloatArray:
    if progress is not None:
        progress(len(vectors))
    return vectors


def _key(model: Embedder, role: Role, texts: Sequence[str]) -> str:
    identity = model.identity
    digest = hashlib.sha256(json.dumps([identity.name, identity.probe, role]).encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def _keep(path: Path, vectors: FloatArray) -> None:
    stream = io.BytesIO()
    np.save(stream, vectors, allow_pickle=False)
    durable.write(path, stream.getvalue())


def _kept(path: Path, count: int) -> FloatArray:
    try:
        with path.open("rb") as stream:
            vectors = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"the kept embeddings {path} are damaged ({error}): delete the file") from error
    if vectors.shape[:1] != (count,) or vectors.dtype != np.float32:
        raise ArtifactError(f"the kept embeddings {path} do not hold {count} float32 vectors: delete the file")
    return np.asarray(vectors, np.float32)
