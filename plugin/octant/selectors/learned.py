"""What a selector has learned: one trained part for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from octant.errors import MismatchError
from octant.identity import describe, same_model
from octant.records import JSON, EmbeddingIdentity
from octant.selectors.signals import Floats
from octant.trained import Origin, TrainedPart


class LearnedSelection(TrainedPart):
    """Weights of embeddings, and whatever else one selector has learned.

    Parameters
    ----------
    origin : Origin
    embeddings : tuple of str
        Names, in the order of the arrays' rows.
    identities : mapping from name to EmbeddingIdentity or None
        Which model is behind each name; None where nobody tells.
    depth : int
        Candidates of each embedding that it was learned from.
    state : mapping from str to array
        The selector's own, float64.
    """

    kind = "selection"

    def __init__(
        self,
        origin: Origin,
        embeddings: tuple[str, ...],
        identities: Mapping[str, EmbeddingIdentity | None],
        depth: int,
        state: Mapping[str, Floats],
    ) -> None:
        super().__init__(origin)
        self.embeddings, self.depth, self.state = embeddings, depth, dict(state)
        self.identities = {name: identities.get(name) for name in embeddings}

    @property
    def header(self) -> Mapping[str, JSON]:
        """Embeddings and depth."""
        return {
            "embeddings": list(self.embeddings),
            "identities": as_json(self.identities),
            "depth": self.depth,
        }

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The state."""
        return self.state

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The part that has this header and these arrays.

        Raises
        ------
        KeyError, TypeError, ValueError
            If they are not what this part writes.
        """
        embeddings = tuple(map(str, header["embeddings"]))
        state = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
        if not embeddings or len(set(embeddings)) < len(embeddings):
            raise ValueError("names of embeddings must be there, and differ")
        if not all(np.isfinite(value).all() for value in state.values()):
            raise ValueError("what was learned must be finite")
        if int(header["depth"]) < 1:
            raise ValueError("the depth is at least 1")
        return cls(origin, embeddings, from_json(header["identities"]), int(header["depth"]), state)

    def check_models(self, identities: Mapping[str, EmbeddingIdentity | None]) -> None:
        """Refuse embeddings that it was not made for; what nobody tells the model of passes.

        Raises
        ------
        MismatchError
            Naming both.
        """
        check_models(self.kind, self.spec, self.identities, identities)


def check_models(
    kind: str,
    spec: str,
    known: Mapping[str, EmbeddingIdentity | None],
    given: Mapping[str, EmbeddingIdentity | None],
) -> None:
    """Refuse ``given`` embeddings that are not ``known``, by name or by model.

    Raises
    ------
    MismatchError
        Naming both.
    """
    for name, identity in given.items():
        if name not in known:
            raise MismatchError(
                f"the {kind} {spec!r} was made for the embeddings {', '.join(known)}; got {name!r}: calibrate "
                "again for the embeddings that are there (octant calibrate), or leave this one out"
            )
        made = known[name]
        reason = None if made is None or identity is None else same_model(made, identity)
        if made is not None and identity is not None and reason is not None:
            raise MismatchError(
                f"the {kind} {spec!r} was made for {name!r} = {describe(made)}; got {describe(identity)}: {reason}. "
                "Calibrate again for this model (octant calibrate)"
            )


def as_json(identities: Mapping[str, EmbeddingIdentity | None]) -> dict[str, JSON]:
    """Identities as JSON values."""
    return {name: None if one is None else asdict(one) for name, one in identities.items()}


def from_json(value: Mapping[str, JSON]) -> dict[str, EmbeddingIdentity | None]:
    """What :func:`as_json` wrote; AttributeError or TypeError for anything else."""
    return {str(name): None if one is None else EmbeddingIdentity(**one) for name, one in value.items()}
