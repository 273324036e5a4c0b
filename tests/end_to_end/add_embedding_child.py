"""Adds an embedding to a collection and kills itself on the way: run by ``test_several_embeddings.py``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from made_embeddings import HashedWords
from octant import Collection


class Dying(HashedWords):
    """Lives for so many texts."""

    def __init__(self, lives: int) -> None:
        super().__init__(2, 48)
        self.lives = lives

    def _vector(self, text: str) -> list[float]:
        if self.seen >= self.lives:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._vector(text)


if __name__ == "__main__":
    location, represent, lives = sys.argv[1:]
    with Collection.open("docs", location=location, embedding=HashedWords(1)) as collection:
        collection.add_embedding("large", Dying(int(lives)), represent=represent, batch_size=16)
