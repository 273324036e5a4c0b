"""The contract of a trained part: what it is, what it belongs to, what it learned, and the file it is kept in.

A trained part is anything that was learned from judged rankings: a reranker's weights, a cutoff, a calibration. It
says which embedding and which scores it was trained for, so that another is refused, and on which collections it has
been shown to help, so that it is not trusted elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray
from typing_extensions import Self

from octant import durable, envelope
from octant.errors import ArtifactError, InputError, MismatchError
from octant.identity import describe, same_model
from octant.records import JSON, EmbeddingIdentity
from octant.statistics import Estimate

_REMEDY = "train it again, or restore the file from a backup"


@dataclass(frozen=True)
class Figure:
    """One number of a validation, before and after.

    Attributes
    ----------
    name : str
        e.g. ``"nDCG@10"``; higher is better.
    before : float
        Without the trained part.
    after : float
        With it.
    difference : Estimate
        Of the two, query by query, with its interval.
    """

    name: str
    before: float
    after: float
    difference: Estimate

    def __str__(self) -> str:
        """One line."""
        low, high = self.difference.low, self.difference.high
        change = f"{self.difference.value:+.4f} [{low:+.4f}, {high:+.4f}]"
        return f"{self.name}: {self.before:.4f} before, {self.after:.4f} after, {change}"


@dataclass(frozen=True)
class TrainingReport:
    """What a training learned, and how that was checked.

    Attributes
    ----------
    learned : str
        In plain words.
    fitted_on, validated_on : int
        Queries; none of the latter among the former, unless ``crossed``.
    figures : tuple of Figure
        On the queries that it was validated on, with 95 % intervals.
    no_change : bool
        Whether leaving everything as it is was chosen: the part then changes nothing.
    remarks : tuple of str
    crossed : bool
        Whether every query was validated on, each by what had learned from others than it; what serves learned from
        all of them.
    """

    learned: str
    fitted_on: int
    validated_on: int
    figures: tuple[Figure, ...] = ()
    no_change: bool = False
    remarks: tuple[str, ...] = ()
    crossed: bool = False

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return {**asdict(self), "figures": [asdict(figure) for figure in self.figures], "remarks": list(self.remarks)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> TrainingReport:
        """The report that :meth:`as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        figures = tuple(
            Figure(
                str(entry["name"]), float(entry["before"]), float(entry["after"]), Estimate(**entry["difference"])
            )
            for entry in value["figures"]
        )  # fmt: skip
        return cls(
            str(value["learned"]), int(value["fitted_on"]), int(value["validated_on"]), figures,
            bool(value["no_change"]), tuple(map(str, value["remarks"])), bool(value.get("crossed", False)),
        )  # fmt: skip

    def __str__(self) -> str:
        """Several lines for people."""
        checked = f"validated on {self.validated_on:,} others"
        if self.crossed:
            checked = "each of which was validated by what had learned from others"
        lines = [self.learned, f"fitted on {self.fitted_on:,} queries, {checked}", *map(str, self.figures)]
        if self.no_change:
            lines.append("no model was surely better than no change, so it changes nothing")
        return "\n".join([*lines, *self.remarks])


@dataclass(frozen=True)
class Origin:
    """Where a trained part comes from, and what it belongs to.

    Attributes
    ----------
    spec : str
        What it was trained for, e.g. ``"learned(vectors=true)"``.
    embedding : EmbeddingIdentity or None
        Whose vectors and scores it reads; None where it depends on no embedding.
    scores : str
        Which first-stage scores it was trained on, e.g. ``"dense cosine"``; empty where that does not matter.
    report : TrainingReport
    corpora : mapping from str to TrainingReport
        Collections (by :meth:`octant.Collection.corpus`) on which validation has shown what it does, and what.
    """

    spec: str
    embedding: EmbeddingIdentity | None
    scores: str
    report: TrainingReport
    corpora: Mapping[str, TrainingReport]

    def as_json(self) -> dict[str, JSON]:
        """JSON values."""
        return {
            "spec": self.spec,
            "embedding": None if self.embedding is None else asdict(self.embedding),
            "scores": self.scores,
            "report": self.report.as_json(),
            "corpora": {corpus: report.as_json() for corpus, report in self.corpora.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Origin:
        """The origin that :meth:`as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        embedding = None if value["embedding"] is None else EmbeddingIdentity(**value["embedding"])
        corpora = {str(name): TrainingReport.from_json(entry) for name, entry in value["corpora"].items()}
        report = TrainingReport.from_json(value["report"])
        return cls(str(value["spec"]), embedding, str(value["scores"]), report, corpora)


class TrainedPart(ABC):
    """Something learned from judged rankings. Immutable.

    A subclass sets ``kind`` and ``version``, and tells and reads back what it learned. ``header`` and ``arrays``
    rebuild an equal part; equal parts have equal bytes.

    Attributes
    ----------
    kind : str
        A plain word, e.g. ``"cutoff"``: what the file says it holds, and the name it is attached to a collection
        under, beside its spec.
    version : int
        Of the layout of header and arrays.
    origin : Origin
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    @property
    @abstractmethod
    def header(self) -> Mapping[str, JSON]:
        """What it learned that is no array, as JSON values."""

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What it learned that is arrays."""

    @classmethod
    @abstractmethod
    def restore(cls, origin: Origin, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The part that has this header and these arrays.

        Raises
        ------
        KeyError, TypeError, ValueError
            If they are not what this part writes: shapes must be checked, the file may come from anywhere.
        """

    # -- what it belongs to --------------------------------------------------------------------

    @property
    def spec(self) -> str:
        """What it was trained for."""
        return self.origin.spec

    @property
    def report(self) -> TrainingReport:
        """What it learned, and how that was checked."""
        return self.origin.report

    def check_embedding(self, embedding: EmbeddingIdentity | None) -> None:
        """Refuse another embedding than it was trained for; one that nobody knows passes.

        Raises
        ------
        MismatchError
            Naming both.
        """
        trained = self.origin.embedding
        if trained is None or embedding is None:
            return
        reason = same_model(trained, embedding)
        if reason is not None:
            raise MismatchError(
                f"the {self.kind} {self.spec!r} was trained for {describe(trained)}; got {describe(embedding)}: "
                f"{reason}. Train it again for this embedding, or use the one it was trained for"
            )

    def untried_on(self, corpus: str | None) -> str | None:
        """Why it cannot be trusted on a collection; None where validation there says that it may act."""
        if corpus is None:
            return f"{self.spec} does not know which collection this is: pass collection="
        if corpus not in self.origin.corpora:
            return f"{self.spec} was neither trained on this collection nor adopted for it: validate it there first"
        if self.origin.corpora[corpus].no_change:
            return f"validation on this collection has not shown that {self.spec} helps"
        return None

    def check_adoption(self, embedding: EmbeddingIdentity | None, corpus: str | None, scores: str) -> str:
        """The collection that rankings are of, if it can be validated on them.

        Raises
        ------
        InputError
            If nobody knows which collection that is.
        MismatchError
            If the rankings were made by another embedding, or another kind of search.
        """
        self.check_embedding(embedding)
        if corpus is None:
            raise InputError("the judged rankings do not tell which collection they are of: gather them from one")
        if scores != self.origin.scores:
            raise MismatchError(
                f"the {self.kind} was trained on {self.origin.scores!r} rankings, these are {scores!r}: search in the "
                "same way, or train it on these"
            )
        return corpus

    def adopted(self, corpus: str, report: TrainingReport) -> Self:
        """The same part, with what it was shown to do on another collection."""
        origin = replace(self.origin, corpora={**self.origin.corpora, corpus: report})
        return self.restore(origin, self.header, self.arrays)

    # -- its file ------------------------------------------------------------------------------

    def dumps(self) -> bytes:
        """The part as bytes: safetensors and JSON."""
        header = {**self.header, "origin": self.origin.as_json()}
        return envelope.pack(self._format(), self.version, header, self.arrays)

    @classmethod
    def loads(cls, data: bytes, *, expected: str | None = None) -> Self:
        """The part that :meth:`dumps` wrote.

        Raises
        ------
        ArtifactError
            If ``data`` is damaged, something else, or from a newer Octant.
        """
        header, arrays = envelope.unpack(data, cls._format(), cls.version, expected=expected, remedy=_REMEDY)
        try:
            return cls.restore(Origin.from_json(header["origin"]), header, arrays)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the file does not hold a whole {cls.kind} ({error!r}): {_REMEDY}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return envelope.digest(self.dumps())

    def save(self, path: str | Path) -> None:
        """Write it to a file, in one step.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        try:
            durable.write(Path(path), self.dumps())
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error}): name a file in a folder that is there") from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read it from a file.

        Raises
        ------
        ArtifactError
            If there is none, or it is damaged, something else, or from a newer Octant.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ArtifactError(f"expected a {cls.kind} at {path}, cannot read it: {error}") from error
        return cls.loads(data)

    @classmethod
    def _format(cls) -> str:
        return f"octant-{cls.kind}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.dumps() == other.dumps()

    def __hash__(self) -> int:
        return hash(self.dumps())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"
