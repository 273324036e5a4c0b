"""The command line with a fast stand-in for the embedding model; also run as a script, by a subprocess."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import numpy as np

WIDTH = 384


class WordHashes:
    """Sums of random vectors of words: texts that share words are near each other."""

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self._words: dict[str, np.ndarray] = {}

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        self.embedded += texts
        rows = np.stack([np.sum([self._word(word) for word in text.lower().split() or [""]], axis=0) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _word(self, word: str) -> np.ndarray:
        if word not in self._words:
            rng = np.random.default_rng(zlib.crc32(word.encode()))
            self._words[word] = rng.standard_normal(WIDTH)
        return self._words[word]


if __name__ == "__main__":
    import octant.embedders
    from octant.cli.app import main

    model = WordHashes()
    octant.embedders.load_model = lambda name: model
    sys.argv[0] = "octant"
    main()
