"""Every error Octant raises on purpose.

Each message says what was expected, what came, and what to do.

::

    OctantError
    ├── InputError (ValueError)           the caller's data or arguments; nothing was written
    │   ├── SpecError                     a spec string with a mistake: token, position, suggestion
    │   ├── DimensionError                vectors of another width than the collection's
    │   ├── VectorValueError              NaN, inf, zero, ragged or non-float vectors
    │   ├── TooFewVectorsError            not enough vectors to fit
    │   ├── DuplicateIdError              one id twice in one call
    │   ├── FilterError                   not a Qdrant filter
    │   └── ConfigError                   a configuration with mistakes: line, key and remedy
    ├── NotFittedError (RuntimeError)     encode before fit
    ├── PluginError
    │   ├── UnknownPluginError (LookupError)
    │   └── PluginClashError              two packages register one name
    ├── MissingExtraError (ImportError)   an optional dependency is absent
    ├── ArtifactError                     a fitted state that is corrupt, truncated or of another kind
    ├── MismatchError                     another model, dimension or artifact than the collection's
    ├── VerificationError                 a copy that differs from its source, or finds too little
    ├── RerankError                       a reranker that could not do its work, where the caller asked to be told so
    ├── NoLogprobsError                   an answer without log-probabilities, where a confidence needs them
    └── StoreError
        ├── CollectionNotFoundError (LookupError)
        ├── CollectionExistsError
        ├── UnfinishedError               the target of a compression that is not complete
        ├── LockedError                   another process holds the Edge directory
        ├── AccessDeniedError             the credentials, or a lock, do not allow it
        ├── UnsupportedError              the server or engine lacks the feature, or its strict mode forbids it
        ├── UnavailableError (ConnectionError)  down, timed out, or answering 5xx
        └── PartialUploadError            an upload stopped half-way: how many were stored, how to resume

    LocalModeWarning (UserWarning)        qdrant-client's local mode, which compresses nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class OctantError(Exception):
    """Root of the tree above."""


class InputError(OctantError, ValueError):
    """The caller's data or arguments were refused; nothing was written."""


class SpecError(InputError):
    """A spec string does not parse or names something impossible.

    Attributes
    ----------
    text : str
        The spec as given.
    position : int
        Zero-based index of the first wrong character.
    token : str
        The wrong part.
    """

    def __init__(self, message: str, *, text: str, position: int, token: str) -> None:
        pointer = f"\n  {text}\n  {' ' * position}^"
        super().__init__(f"at position {position}: {message}{pointer}")
        self.text, self.position, self.token = text, position, token


class DimensionError(InputError):
    """Vectors of another width than expected."""


class VectorValueError(InputError):
    """Vectors that hold NaN, inf or only zeros, or are ragged or not numbers."""


class TooFewVectorsError(InputError):
    """Not enough vectors to fit the representation."""


class DuplicateIdError(InputError):
    """The same id appears twice in one call."""


class FilterError(InputError):
    """Something that is not a Qdrant filter, or a condition this engine lacks."""


class NotFittedError(OctantError, RuntimeError):
    """A quantizer that must learn from data was used before ``fit``."""


class PluginError(OctantError):
    """A plugin could not be found or registered."""


class UnknownPluginError(PluginError, LookupError):
    """No plugin of that name in the group."""


class PluginClashError(PluginError):
    """Two packages register the same name."""


class MissingExtraError(OctantError, ImportError):
    """An optional dependency is absent; the message carries the install line.

    Parameters
    ----------
    feature : str
        What the caller wanted.
    module : str
        The import that is missing.
    extra : str
        The extra of ``qdrant-octant`` that brings it.
    """

    def __init__(self, feature: str, *, module: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the module {module!r}, which is not installed: pip install 'qdrant-octant[{extra}]'"
        )
        self.module, self.extra = module, extra


class OutdatedLibraryError(OctantError, ImportError):
    """A library is installed, but lacks a module that came with a later version; the message says which."""


class ArtifactError(OctantError):
    """A fitted state that is corrupt, truncated, or made by something else."""


class MismatchError(OctantError):
    """The collection was made with another model, dimension or artifact."""


class VerificationError(OctantError):
    """A compressed copy differs from its source, or finds too little; nothing was switched or deleted."""


class RerankError(OctantError):
    """A reranker could not do its work, and ``on_failure`` is "raise"."""


class NoLogprobsError(OctantError):
    """An answer carries no log-probabilities that a confidence could be read from; the message says what would help."""


class StoreError(OctantError):
    """The engine refused or failed."""


class CollectionNotFoundError(StoreError, LookupError):
    """No collection of that name at that location."""


class CollectionExistsError(StoreError):
    """A collection of that name is already there."""


class UnfinishedError(StoreError):
    """The collection is the target of a compression that is not complete; the message says how to go on."""


class LockedError(StoreError):
    """Another process holds the Edge directory."""


class AccessDeniedError(StoreError):
    """The credentials do not allow it, or the server is locked for it."""


class UnsupportedError(StoreError):
    """The server or engine is too old for, or lacks, the feature, or a collection's strict mode forbids it."""


class UnavailableError(StoreError, ConnectionError):
    """The server is down, timed out, or answers 5xx."""


class PartialUploadError(StoreError):
    """An upload stopped half-way.

    Attributes
    ----------
    stored : int
        Points the server acknowledged before the failure.
    total : int
        Points in the call.
    missing_ids : tuple of int or str
        Ids of the points that were not acknowledged, in the caller's order: add these again to resume.
        Adding all of them again is safe too, since points are written by id.
    """

    def __init__(self, message: str, *, stored: int, total: int, missing_ids: Sequence[int | str]) -> None:
        super().__init__(message)
        self.stored, self.total, self.missing_ids = stored, total, tuple(missing_ids)


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration.

    Attributes
    ----------
    key : str
        Which one, e.g. ``"embeddings.bge.represent"``; empty for the whole.
    message : str
        What is wrong and what would be right; never a secret.
    line : int or None
        From 1; None where the configuration is no file.
    """

    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}: "
        return f"{line}{self.key}: {self.message}" if self.key else f"{line}{self.message}"


class ConfigError(InputError):
    """A configuration with mistakes, all of them told at once.

    Parameters
    ----------
    source : str
        Name of the file; empty for a dict.
    problems : sequence of Problem

    Attributes
    ----------
    problems : tuple of Problem
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        named = source or "the configuration"
        told = [str(problem).replace("\n", "\n    ") for problem in self.problems]
        super().__init__(
            f"{named}: {told[0]}" if len(told) == 1 else f"{named} has {len(told)} mistakes:\n  " + "\n  ".join(told)
        )


class LocalModeWarning(UserWarning):
    """qdrant-client's local mode compresses nothing: sizes and recall measured on it mean nothing."""


_LONGEST_MESSAGE = 300


def told(error: BaseException) -> str:
    r"""One line on ``error``, anybody's, for a record that outlives it.

    Examples
    --------
    >>> told(ValueError("no\nsuch thing"))
    'ValueError: no such thing'
    """
    text = " ".join(str(error).split())
    shown = text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
