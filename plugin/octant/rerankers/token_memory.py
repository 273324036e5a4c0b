"""Token vectors of passages that were embedded before, as many as fit into a fixed number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from octant.records import FloatArray


class TokenMemory:
    """The latest passages and their vectors; what was not used for longest goes first.

    Several threads may use one. Passages are known by the hash of model and text.

    Parameters
    ----------
    limit : int
        Bytes of vectors that are kept; 0 keeps none.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: OrderedDict[bytes, FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, model: str, texts: Sequence[str]) -> list[FloatArray | None]:
        """Vectors (tokens, dim) of each text; None for those that are not kept."""
        with self._lock:
            return [self._found(_key(model, text)) for text in texts]

    def keep(self, model: str, text: str, vectors: FloatArray) -> None:
        """Keep the vectors of a passage, unless they alone are too many."""
        if vectors.nbytes > self._limit:
            return
        name = _key(model, text)
        with self._lock:
            if name in self._kept:
                return
            self._kept[name] = vectors
            self._bytes += vectors.nbytes
            while self._bytes > self._limit:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes

    def _found(self, name: bytes) -> FloatArray | None:
        vectors = self._kept.get(name)
        if vectors is not None:
            self._kept.move_to_end(name)
        return vectors

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors that are kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)


def _key(model: str, text: str) -> bytes:
    hashed = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=16)
    hashed.update(b"\0" + text.encode("utf-8", "surrogatepass"))
    return hashed.digest()
