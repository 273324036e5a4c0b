"""Where a reranker finds what was trained for it: what the caller passed, or what is kept with the collection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from octant.errors import InputError
from octant.flow import Flow, step
from octant.records import EmbeddingIdentity
from octant.rerankers.settings import Part, Searchable, TextEmbedder
from octant.trained import TrainedPart


class Shelf:
    """Trained parts, and the collection that candidates come from. What was found once is kept.

    Parameters
    ----------
    parts : sequence of TrainedPart
        What the caller passed.
    collection : Searchable, optional
        Where the candidates come from: it tells what is attached to it, and whether a part has been shown to help
        there.
    measured : bool
        Let every part act, shown to help or not: an evaluation is about to show what it does.
    """

    def __init__(
        self, parts: Sequence[TrainedPart] = (), collection: Searchable | None = None, *, measured: bool = False
    ) -> None:
        self.parts = tuple(parts)
        self._collection = collection
        self._measured = measured
        self._found: dict[tuple[type, str], TrainedPart] = {}
        self._corpus: str | None = None

    def find(self, cls: type[Part], spec: str, embedder: TextEmbedder | None) -> Flow[Part]:
        """The part of the class ``cls`` that was trained for ``spec``.

        Raises
        ------
        InputError
            If there is none.
        MismatchError
            If it was trained for another embedding than the collection's, or the one given.
        """
        kept = self._found.get((cls, spec))
        if isinstance(kept, cls):
            return kept
        part = self._passed(cls, spec)
        if part is None:
            part = yield from self._attached(cls, spec)
        identity: EmbeddingIdentity | None = getattr(getattr(self._collection, "manifest", None), "embedding", None)
        part.check_embedding(identity)
        if embedder is not None:
            part.check_embedding((yield from step(lambda: embedder.identity)))
        self._found[cls, spec] = part
        return part

    def untried(self, part: TrainedPart) -> Flow[str | None]:
        """Why ``part`` must leave the order as it is; None where it may act."""
        return None if self._measured else part.untried_on((yield from self._here()))

    def _here(self) -> Flow[str | None]:
        """Identity of the collection; None where it was not passed."""
        collection = self._collection
        if self._corpus is None and collection is not None:
            self._corpus = yield from step(collection.corpus, collection.acorpus)
        return self._corpus

    def _passed(self, cls: type[Part], spec: str) -> Part | None:
        fitting = [part for part in self.parts if isinstance(part, cls)]
        for part in fitting:
            if part.spec == spec:
                return part
        if fitting and self._collection is None:
            raise InputError(f"{spec} was given what was trained for {fitting[0].spec!r}: write the spec it belongs to")
        return None

    def _attached(self, cls: type[Part], spec: str) -> Flow[Part]:
        collection = self._collection
        if collection is None:
            raise InputError(f"nothing trained for {spec!r} was passed: train it with octant train {spec!r}")
        call: Any = partial(collection.trained, cls, spec)
        part: Part | None = yield from step(call, partial(collection.atrained, cls, spec))
        if part is None:
            raise InputError(
                f"nothing trained for {spec!r} is attached to the collection: train it with octant train {spec!r}, or "
                "attach what was trained elsewhere with octant train --adopt"
            )
        return part
