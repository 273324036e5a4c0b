"""A trained E2Rank model: a sentence-transformers folder, and a record of what it was trained for beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray
from typing_extensions import Self

from octant import durable
from octant.errors import ArtifactError, InputError
from octant.records import JSON
from octant.rerankers import e2rank_prompt
from octant.trained import Origin, TrainedPart

RECORD = "octant_e2rank.json"
_FORMAT = "octant-e2rank"
_UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_REMEDY = "train it again, or restore the folder from a backup"


@dataclass(frozen=True)
class Use:
    """How the pseudo-query of a model is made and used, as validation chose it.

    Attributes
    ----------
    passages : int
        Most passages in the prompt.
    shortest : int
        Fewest tokens a passage is cut to.
    weight : float
        Share of the pseudo-query in the vector that scores; the query's own vector has the rest. 0: no change.
    tuned : bool
        Whether training changed the model, and its weights are beside the record; False: the model as it came.
    context : int or None
        Tokens of a prompt, where fewer are wanted than the model reads.
    """

    passages: int = e2rank_prompt.PASSAGES
    shortest: int = e2rank_prompt.SHORTEST
    weight: float = 1.0
    tuned: bool = False
    context: int | None = None


class E2RankRecord(TrainedPart):
    """What a trained model belongs to, how it is used, and the figures of its validation.

    Attributes
    ----------
    use : Use
    weights : str
        SHA-256 over the model's weights: others are refused.
    prompt : str
        Version of the prompt's wording.
    """

    kind: ClassVar[str] = "e2rank"

    def __init__(self, origin: Origin, use: Use, weights: str, prompt: str = e2rank_prompt.VERSION) -> None:
        super().__init__(origin)
        self.use, self.weights, self.prompt = use, weights, prompt

    @property
    def header(self) -> Mapping[str, JSON]:
        """Everything: the arrays are the model's own files."""
        return {
            "passages": self.use.passages, "shortest": self.use.shortest, "weight": self.use.weight,
            "tuned": self.use.tuned, "context": self.use.context, "weights": self.weights, "prompt": self.prompt,
        }  # fmt: skip

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """None."""
        return {}

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The record that has this header."""
        del arrays
        context = None if header["context"] is None else int(header["context"])
        use = Use(
            int(header["passages"]), int(header["shortest"]), float(header["weight"]), bool(header["tuned"]), context
        )  # fmt: skip
        if use.passages < 1 or use.shortest < 1 or not 0 <= use.weight <= 1:
            raise ValueError(f"{use} is out of range")
        return cls(origin, use, str(header["weights"]), str(header["prompt"]))

    def write(self, folder: Path) -> None:
        """Put the record into a model's folder.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        value = {**self.header, "origin": self.origin.as_json(), "format": _FORMAT, "version": self.version}
        durable.write(folder / RECORD, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record of a model's folder; the weights are not looked at.

        Raises
        ------
        InputError
            If ``folder`` is none, or has no record.
        ArtifactError
            If the record is damaged, from a newer Octant, or for a prompt that this one does not write.
        """
        path = folder / RECORD
        if not path.is_file():
            raise InputError(f"model must be a folder that octant train e2rank wrote; {folder} has no {RECORD}")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != _FORMAT or int(value["version"]) > cls.version:
                raise ArtifactError(f"{path} is of another kind or from a newer Octant: {_REMEDY}")
            record = cls.restore(Origin.from_json(value["origin"]), value, {})
        except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} does not hold a whole record ({error!r}): {_REMEDY}") from error
        if record.prompt != e2rank_prompt.VERSION:
            raise ArtifactError(
                f"{folder} was trained for the prompt {record.prompt!r}, and this Octant writes "
                f"{e2rank_prompt.VERSION!r}: train it again"
            )
        return record

    def check_weights(self, folder: Path) -> None:
        """Refuse weights that could run code when they are loaded, or that are not those of the record.

        Raises
        ------
        ArtifactError
        """
        unsafe = sorted(str(path.relative_to(folder)) for kind in _UNSAFE for path in folder.rglob(kind))
        if unsafe:
            raise ArtifactError(f"{folder} holds {unsafe[0]}, which may run code when loaded: {_REMEDY}")
        if weights_digest(folder) != self.weights:
            raise ArtifactError(f"the weights in {folder} are not those that were trained there: {_REMEDY}")


def weights_digest(folder: Path) -> str:
    """SHA-256 over every safetensors file under ``folder``, by name."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
