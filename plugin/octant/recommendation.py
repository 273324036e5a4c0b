"""A decision that a collection can be made from, with what it is expected to cost and to find.

Pure values: only ``save`` and ``load`` touch a disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from octant import durable
from octant.errors import ArtifactError, InputError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.oversampling import CoverageCurve
from octant.records import JSON, Distance
from octant.version import __version__

T = TypeVar("T")

KIND = "octant-recommendation"
FORMAT = 1
_REMEDY = "write it anew with octant tune --out, or restore the file"


@dataclass(frozen=True)
class Expected:
    """One expected figure.

    Attributes
    ----------
    value : float
    low, high : float
        95 % interval; both are ``value`` where it is no statistic of a sample.
    estimated : bool
        Whether it was carried to the full size rather than measured there.

    Raises
    ------
    InputError
        If a number is not finite, or ``low`` is above ``high``.
    """

    value: float
    low: float
    high: float
    estimated: bool = False

    def __post_init__(self) -> None:
        if not all(isfinite(number) for number in (self.value, self.low, self.high)) or self.low > self.high:
            raise InputError(
                f"an expected figure has finite numbers, low at most high; got value {self.value}, low {self.low}, "
                f"high {self.high}"
            )

    @classmethod
    def certain(cls, value: float, *, estimated: bool = False) -> Expected:
        """A figure that is no statistic of a sample.

        Examples
        --------
        >>> Expected.certain(446.0)
        Expected(value=446.0, low=446.0, high=446.0, estimated=False)
        """
        return cls(value, value, value, estimated)


@dataclass(frozen=True)
class Recommendation:
    """How a collection should be stored and searched.

    ``Collection.create(recommendation=…)`` takes it, or the path of its JSON.

    Attributes
    ----------
    represent : str
        Spec of the representation.
    hnsw : HnswSettings
    placement : MemoryPlacement
    knobs : SearchKnobs
        Of every search that is given none.
    expected : mapping from str to Expected
        ``"recall@10"`` and ``"ndcg@10"`` (higher is better; the latter with labels only), ``"ram_bytes_per_vector"``,
        ``"disk_bytes_per_vector"`` and ``"query_time_ratio"`` (lower is better), at the full size.
    reference : mapping from str to Expected
        The same figures of plain float32 with Qdrant's own settings.
    dimension : int
    distance : Distance
    points : int
        Of the full collection that was asked about.
    goal : mapping
        Bounds and objective as they were asked for, in JSON values.
    satisfied : bool
        False where nothing satisfies the goal: this is then what comes closest.
    unmet : tuple of str
        Which bounds fail, and what to relax.
    source : str
        What it was measured on, in words.
    octant : str
        Version of the library that made it.
    coverage : CoverageCurve or None
        Of two stages: how many candidates they need, as measured with the figures. A collection that is made as
        recommended goes by it instead of measuring its own, so that it reads what the figures are about.

    Examples
    --------
    >>> chosen = Recommendation(
    ...     "turbo8", HnswSettings(), MemoryPlacement(), SearchKnobs(hnsw_ef=64), dimension=384, points=10_000,
    ...     expected={"recall@10": Expected(0.991, 0.985, 0.996)},
    ... )
    >>> Recommendation.from_json(chosen.to_json()) == chosen
    True
    """

    represent: str
    hnsw: HnswSettings
    placement: MemoryPlacement
    knobs: SearchKnobs
    dimension: int
    points: int
    distance: Distance = Distance.COSINE
    expected: Mapping[str, Expected] = field(default_factory=dict)
    reference: Mapping[str, Expected] = field(default_factory=dict)
    goal: Mapping[str, JSON] = field(default_factory=dict)
    satisfied: bool = True
    unmet: tuple[str, ...] = ()
    source: str = ""
    octant: str = __version__
    coverage: CoverageCurve | None = None

    def to_json(self) -> dict[str, JSON]:
        """The recommendation as JSON values."""
        return {"kind": KIND, "format": FORMAT, **asdict(self), "distance": self.distance.value, "unmet": [*self.unmet]}

    @classmethod
    def from_json(cls, value: JSON) -> Recommendation:
        """The recommendation that ``to_json`` wrote.

        Raises
        ------
        ArtifactError
            If ``value`` is none, is of a later format, or is damaged.
        """
        if not isinstance(value, Mapping) or value.get("kind") != KIND:
            raise ArtifactError(f"expected a recommendation of octant tune, got other JSON: {_REMEDY}")
        if value.get("format") != FORMAT:
            raise ArtifactError(
                f"expected a recommendation of format {FORMAT}, got {value.get('format')!r}: it was written by Octant "
                f"{value.get('octant', 'unknown')}, upgrade qdrant-octant to read it"
            )
        unknown = sorted(set(value) - {entry.name for entry in fields(cls)} - {"kind", "format"})
        if unknown:
            raise ArtifactError(f"the recommendation has unknown entries {', '.join(unknown)}: {_REMEDY}")
        try:
            return cls(**{entry.name: _READ[entry.name](value[entry.name]) for entry in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the recommendation is damaged ({type(error).__name__}: {error}): {_REMEDY}"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the recommendation as JSON, in one step.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        durable.write(Path(path), text.encode() + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> Recommendation:
        """The recommendation that :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            Naming the file, if it cannot be read or is damaged.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"the recommendation {path} cannot be read ({error}): {_REMEDY}") from error
        try:
            return cls.from_json(value)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error

    @classmethod
    def of(cls, value: Recommendation | str | Path) -> Recommendation:
        """``value`` itself, or what is in the file of that path.

        Raises
        ------
        InputError
            If it is neither.
        ArtifactError
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str | Path):
            return cls.load(value)
        raise InputError(f"a recommendation is a Recommendation or the path of its JSON, got {type(value).__name__}")


# -- reading what may have been edited by hand ---------------------------------------------------


def _is(kind: type[T], value: JSON) -> T:
    # True is an int to Python, and 384.0 is not one to Qdrant.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value


def _positive(value: JSON) -> int:
    if _is(int, value) < 1:
        raise ValueError(f"expected a positive number, got {value}")
    return int(value)


def _hnsw(value: JSON) -> HnswSettings:
    settings = HnswSettings(**value)
    for name, number in asdict(settings).items():
        if _is(int, number) < 0:
            raise ValueError(f"{name} must be at least 0, got {number}")
    return settings


def _knobs(value: JSON) -> SearchKnobs:
    knobs = SearchKnobs(**value)
    _is(bool, knobs.exact)
    if knobs.hnsw_ef is not None:
        _is(int, knobs.hnsw_ef)
    if knobs.rescore is not None:
        _is(bool, knobs.rescore)
    return knobs


def _figures(value: JSON) -> dict[str, Expected]:
    return {_is(str, name): Expected(**figure) for name, figure in _is(dict, value).items()}


def _lines(value: JSON) -> tuple[str, ...]:
    return tuple(_is(str, line) for line in _is(list, value))


def _text(value: JSON) -> str:
    return _is(str, value)


_READ: dict[str, Callable[[JSON], Any]] = {
    "represent": _text,
    "hnsw": _hnsw,
    "placement": lambda value: MemoryPlacement(**value),
    "knobs": _knobs,
    "dimension": _positive,
    "points": _positive,
    "distance": lambda value: Distance.parse(_text(value)),
    "expected": _figures,
    "reference": _figures,
    "goal": lambda value: _is(dict, value),
    "satisfied": lambda value: _is(bool, value),
    "unmet": _lines,
    "source": _text,
    "octant": _text,
    "coverage": lambda value: None if value is None else CoverageCurve.from_json(value),
}
