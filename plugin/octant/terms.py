"""What a collection is asked to be, and whether one that exists is it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from octant.errors import InputError, MismatchError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.manifest import Manifest
from octant.oversampling import CoverageCurve
from octant.recommendation import Recommendation
from octant.records import Distance
from octant.representation import Representation

_RECOMMENDED = ("represent", "hnsw", "placement", "knobs")


@dataclass(frozen=True)
class Terms:
    """What was asked for; None leaves a new collection its default, and an existing one what it has."""

    represent: str | None = None
    distance: Distance | None = None
    dimension: int | None = None
    hnsw: HnswSettings | None = None
    placement: MemoryPlacement | None = None
    knobs: SearchKnobs | None = None
    artifact: str | None = None
    coverage: CoverageCurve | None = None

    def with_recommended(self, recommendation: Recommendation) -> Terms:
        """These terms with everything that a recommendation decides.

        Raises
        ------
        InputError
            If something was given that the recommendation decides.
        MismatchError
            If it was made for another distance or dimension.
        """
        given = [name for name in _RECOMMENDED if getattr(self, name) is not None]
        if given:
            raise InputError(f"a recommendation decides {', '.join(_RECOMMENDED)}: leave {', '.join(given)} out")
        for name in ("distance", "dimension"):
            asked, meant = getattr(self, name), getattr(recommendation, name)
            if asked not in (None, meant):
                raise MismatchError(
                    f"the recommendation was made for the {name} {_shown(meant)}, got {_shown(asked)}: its figures say "
                    "nothing about it, run octant tune for it"
                )
        decided = {name: getattr(recommendation, name) for name in (*_RECOMMENDED, "distance", "dimension", "coverage")}
        return replace(self, **decided)

    def check(self, found: Manifest, *, foreign: bool) -> None:
        """Refuse an existing collection that is not what was asked for.

        Of a collection that another client made, ``represent`` and ``distance`` are what they are.

        Raises
        ------
        MismatchError
            With both sides.
        """
        for name, asked, there in self._comparisons(found, foreign):
            if asked != there:
                raise MismatchError(
                    f"the collection's {name} is {_shown(there)}, expected {_shown(asked)}: open it as it is, or make "
                    "another one"
                )

    def _comparisons(self, found: Manifest, foreign: bool) -> Iterator[tuple[str, object, object]]:
        represent = None if self.represent is None else Representation.parse(self.represent).spec
        asked = {name: getattr(self, name) for name in ("dimension", "hnsw", "placement", "knobs", "artifact")}
        if not foreign:
            asked |= {"represent": represent, "distance": self.distance}
        yield from ((name, value, getattr(found, name)) for name, value in asked.items() if value is not None)


def _shown(value: object) -> str:
    return repr(value.value.lower() if isinstance(value, Distance) else value)
