"""From how sure a model was to how often such answers are right, learned from labelled answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from octant import durable
from octant.calibration import Calibrator, fit_calibrator
from octant.errors import ArtifactError, InputError, MismatchError

if TYPE_CHECKING:
    from octant.confidence.answer_selector import AnswerSelector
    from octant.confidence.generation import Generation

FORMAT, VERSION = "octant-answer-calibration", 1


@dataclass(frozen=True, eq=False)
class AnswerCalibration:
    """The probability that an answer is right, given its score.

    Attributes
    ----------
    by : str
        The way of choosing that gave the scores.
    on : str
        What it was learned from, for the decisions made with it.
    chosen : Calibrator
        For the answer that was chosen among all.
    each : Calibrator or None
        For one answer before there are others, as a cascade sees it; None for ways that compare answers.
    model : str or None
        The model that generated them, where that was told.
    embeddings : tuple of str
        Names of the embeddings whose passages they were read from; empty where that was not told.
    """

    by: str
    on: str
    chosen: Calibrator
    each: Calibrator | None = field(default=None)
    model: str | None = None
    embeddings: tuple[str, ...] = ()

    def check(self, by: str, model: str | None = None, embeddings: Sequence[str] = ()) -> None:
        """Refuse another way of choosing, another model or other embeddings than it was made for.

        What either side does not tell passes.

        Raises
        ------
        MismatchError
            Naming both.
        """
        if by != self.by:
            raise MismatchError(f"the calibration was made for {self.by}, and answers are chosen by {by}: make another")
        if model is not None and self.model is not None and model != self.model:
            raise MismatchError(f"the calibration was made for the model {self.model}, not for {model}: make another")
        if embeddings and self.embeddings and set(embeddings) != set(self.embeddings):
            made, asked = (", ".join(sorted(names)) for names in (self.embeddings, embeddings))
            raise MismatchError(f"the calibration was made for the embeddings {made}, not for {asked}: make another")

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        value = {
            "format": FORMAT, "version": VERSION, "by": self.by, "on": self.on, "model": self.model,
            "embeddings": list(self.embeddings),
            "chosen": self.chosen.as_json(), "each": None if self.each is None else self.each.as_json(),
        }  # fmt: skip
        durable.write(Path(path), (json.dumps(value, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> AnswerCalibration:
        """What :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            If the file is no such calibration.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
            found = (value["format"], value["version"])
            each = None if value["each"] is None else Calibrator.from_json(value["each"])
            texts = str(value["by"]), str(value["on"])
            model, embeddings = value["model"], tuple(map(str, value["embeddings"]))
            read = cls(*texts, Calibrator.from_json(value["chosen"]), each, model, embeddings)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} holds no calibration of answers ({error}): calibrate again") from error
        if found != (FORMAT, VERSION):
            raise ArtifactError(f"expected {FORMAT} of version {VERSION} in {path}, got {found[0]} of {found[1]}")
        return read


def calibrate_answers(
    selector: AnswerSelector,
    questions: Sequence[tuple[Sequence[Generation], Sequence[bool]]],
    *,
    on: str,
    model: str | None = None,
    embeddings: Sequence[str] = (),
) -> AnswerCalibration:
    """Learn how often answers with a score are right.

    Parameters
    ----------
    selector : AnswerSelector
    questions : sequence of (generations, rights)
        For every question its generations, and for each of these whether it is right.
    on : str
        What the questions are, e.g. ``"200 questions about our handbook"``.
    model : str, optional
        The model that generated, as :class:`octant_langchain.ConfidentRAG` finds it in ``model_name`` or ``model``.
    embeddings : sequence of str, optional
        Names of the embeddings whose passages were read.

    Raises
    ------
    InputError
        If there are fewer labels than a calibration needs, or one is missing.
    """
    plain = selector.calibrated(None)
    scores, rights, single, single_rights = [], [], [], []
    for generations, labels in questions:
        if len(labels) != len(generations):
            raise InputError(f"every generation needs a label, got {len(labels)} for {len(generations)}")
        if (found := plain.best(generations)) is not None:
            place, score = found
            scores.append(score)
            rights.append(bool(labels[place]))
        for one, label in zip(generations, labels, strict=True):
            value = plain.score(one)
            if value is not None:
                single.append(value)
                single_rights.append(bool(label))
    each = fit_calibrator(np.array(single), np.array(single_rights)) if single else None
    chosen = fit_calibrator(np.array(scores), np.array(rights))
    return AnswerCalibration(selector.by, on, chosen, each, model, tuple(embeddings))
