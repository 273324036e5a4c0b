"""What a compression is asked to do, decided completely before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from octant.errors import InputError, TooFewVectorsError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs, Stages, VectorLayout, lay_out
from octant.lifecycle.source import Embeddings, Source
from octant.oversampling import CoverageCurve
from octant.recommendation import Recommendation
from octant.records import Placement, StorageNeeds
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.terms import Terms

Choice: TypeAlias = str | Path | Recommendation
"""How to store a vector: a spec, a recommendation, or the path of one (``….json``)."""

IN_PLACE = "octant"
"""What the vectors of a representation that is added in place are called, after the name of the original."""


@dataclass(frozen=True)
class Part:
    """One embedding and what becomes of it.

    Attributes
    ----------
    name : str
        In the source.
    target : str
        Name of the representation in the target.
    represent : str
        Canonical spec.
    hnsw : HnswSettings
    placement : MemoryPlacement
    knobs : SearchKnobs or None
        What searches of the target use that are given none.
    coverage : CoverageCurve or None
        How many candidates two stages need, where a recommendation says so.
    """

    name: str
    target: str
    represent: str
    hnsw: HnswSettings
    placement: MemoryPlacement
    knobs: SearchKnobs | None
    coverage: CoverageCurve | None = None


@dataclass(frozen=True)
class Order:
    """Everything that decides what a target holds.

    Attributes
    ----------
    source, target : str
        Collections; the same one in place.
    origin : str
        Where the source is, in words.
    in_place : bool
    parts : tuple of Part
    drop : tuple of str
        Vectors that the target does not get.
    text_key : str or None
        Payload key of the text; None for what the source says.
    seed : int
    from_codes : bool
        Whether compressed vectors may be decoded and compressed again.
    skip_invalid : bool
        Whether points whose vector cannot be represented are carried over without it.
    """

    source: str
    target: str
    origin: str
    in_place: bool
    parts: tuple[Part, ...]
    drop: tuple[str, ...] = ()
    text_key: str | None = None
    seed: int = 0
    from_codes: bool = False
    skip_invalid: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it: what a resumed run must have in common with the one it goes on from."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def command(self) -> str:
        """The command line that gives this order, but for options that do not change the target."""
        where = " --in-place" if self.in_place else f" --into {self.target}"
        chosen = "".join(f" --vector '{part.name}={part.represent}'" for part in self.parts)
        return f"octant compress {self.source}{where}{chosen}"


@dataclass(frozen=True)
class Wish:
    """What the caller said; see :func:`octant.compress` for what each means."""

    into: str | None = None
    in_place: bool = False
    represent: str | None = None
    recommendation: Recommendation | str | Path | None = None
    vectors: Mapping[str, Choice] = field(default_factory=dict)
    drop_vectors: Sequence[str] = ()
    hnsw: HnswSettings | None = None
    placement: MemoryPlacement | None = None
    knobs: SearchKnobs | None = None
    text_key: str | None = None
    seed: int = 0
    from_codes: bool = False
    skip_invalid: bool = False

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises
        ------
        InputError
        """
        if (self.into is None) == (not self.in_place):
            raise InputError(
                "compress makes a new collection (--into NAME, into=) or adds vectors to this one (--in-place, "
                "in_place=True): choose one of the two"
            )
        ways = {
            "represent": self.represent is not None,
            "recommendation": self.recommendation is not None,
            "vectors": bool(self.vectors),
        }
        given = [name for name, is_given in ways.items() if is_given]
        if len(given) != 1:
            raise InputError(
                "say how vectors shall be stored with one of represent (--represent), vectors (--vector NAME=SPEC) and "
                f"recommendation (--recommendation); got {' and '.join(given) or 'none'}"
            )
        both = sorted(set(self.vectors) & set(self.drop_vectors))
        if both:
            raise InputError(f"a vector is compressed or dropped, not both: {', '.join(map(repr, both))}")
        if self.in_place and self.drop_vectors:
            raise InputError(
                "drop_vectors leaves vectors out of a new collection; in place, drop_originals (--drop-originals) "
                "takes away the compressed ones once they are verified"
            )


def resolve(wish: Wish, source: Source, origin: str, *, same_place: bool) -> Order:
    """The order that a wish means for this source.

    Raises
    ------
    InputError, SpecError, DimensionError
        If a vector is unknown or cannot be represented so.
    MismatchError
        If a recommendation was made for another dimension or distance.
    ArtifactError
        If it cannot be read.
    TooFewVectorsError
        If there is too little to learn from.
    """
    wish.check()
    if same_place and wish.into == source.name:
        raise InputError(
            f"{source.name!r} is the source itself, by its own name or by an alias that was switched to it already: "
            "give the new collection another name, or add vectors to this one with --in-place"
        )
    if not source.points:
        raise InputError(f"the collection {source.name!r} holds no points: there is nothing to compress")
    _check_dropped(wish, source)
    chosen = _chosen(wish, source)
    parts = tuple(_part(wish, source, embeddings, choice) for embeddings, choice in chosen)
    order = Order(
        source=source.name,
        target=source.name if wish.into is None else wish.into,
        origin=origin,
        in_place=wish.in_place,
        parts=parts,
        drop=tuple(sorted(wish.drop_vectors)),
        text_key=wish.text_key,
        seed=wish.seed,
        from_codes=wish.from_codes,
        skip_invalid=wish.skip_invalid,
    )
    _check_names(order, source)
    return order


def _check_dropped(wish: Wish, source: Source) -> None:
    known = {embeddings.name for embeddings in source.embeddings} | set(source.schema.names)
    unknown = sorted(set(wish.drop_vectors) - known)
    if unknown:
        raise InputError(
            f"there is no vector {', '.join(map(repr, unknown))} to drop; the collection has {_listed(sorted(known))}"
        )


def _chosen(wish: Wish, source: Source) -> list[tuple[Embeddings, Choice]]:
    known = {embeddings.name: embeddings for embeddings in source.embeddings}
    if not known:
        raise InputError(f"the collection {source.name!r} has no dense vectors: there is nothing to compress")
    choices = dict(wish.vectors)
    if not choices:
        left = [name for name in known if name not in wish.drop_vectors]
        if len(left) != 1:
            raise InputError(
                f"the collection has the dense vectors {_listed(left)}: say which to compress, as in "
                f"--vector '{left[0] if left else 'NAME'}=SPEC' (vectors={{name: spec}})"
            )
        choices[left[0]] = wish.recommendation if wish.recommendation is not None else str(wish.represent)
    unknown = sorted(set(choices) - set(known))
    if unknown:
        raise InputError(
            f"there is no dense vector {', '.join(map(repr, unknown))} to compress; the collection has "
            f"{_listed(list(known))}"
        )
    return [(known[name], choice) for name, choice in choices.items()]


def _part(wish: Wish, source: Source, embeddings: Embeddings, choice: Choice) -> Part:
    terms = Terms(None, embeddings.distance, embeddings.dimension, wish.hnsw, wish.placement, wish.knobs)
    if isinstance(choice, Recommendation | Path) or choice.endswith(".json"):
        terms = terms.with_recommended(Recommendation.of(choice))
        representation = Representation.parse(str(terms.represent))
    else:
        representation = Representation.parse(choice)
    _check_floats(wish, source, embeddings)
    representation.check(embeddings.dimension, embeddings.distance)
    needed = representation.vectors_needed(embeddings.dimension)
    if source.points < needed:
        raise TooFewVectorsError(
            f"{representation.spec} needs at least {needed} vectors to learn from, the collection has {source.points}: "
            "choose a representation that learns nothing, e.g. turbo8"
        )
    name = embeddings.name
    target = name if not wish.in_place else (f"{name}.{IN_PLACE}" if name else IN_PLACE)
    placement = terms.placement or MemoryPlacement(payload=_payload(source.schema))
    return Part(
        name, target, representation.spec, terms.hnsw or embeddings.hnsw, placement, terms.knobs, terms.coverage
    )


def _payload(schema: CollectionSchema) -> Placement:
    return schema.payload_placement


def _check_floats(wish: Wish, source: Source, embeddings: Embeddings) -> None:
    if embeddings.exact or wish.from_codes:
        return
    stored = embeddings.manifest.represent if embeddings.manifest else embeddings.datatype
    raise InputError(
        f"vector {embeddings.name!r} of {source.name!r} is stored as {stored!r}, not as floats: what it lost is lost, "
        "and would be compressed a second time. Compress the collection it was made from, or accept both losses with "
        "--from-codes (from_codes=True); recall is then measured against the decoded codes"
    )


def _check_names(order: Order, source: Source) -> None:
    taken = set(source.schema.names) if order.in_place else set(carried(order, source).names)
    made = [layout.name for part in order.parts for layout in layouts(part, source)]
    twice = sorted({name for name in made if name in taken or made.count(name) > 1})
    if twice and not order.in_place:
        raise InputError(
            f"the target would have two vectors called {_listed(twice)}: leave the others out with --drop-vector, or "
            "choose a representation of one stage"
        )


def layouts(part: Part, source: Source) -> tuple[VectorLayout, ...]:
    """The named vectors of a part in the target."""
    coarse, fine = needs(part, source)
    return lay_out(Stages.of(coarse, fine, part.target), hnsw=part.hnsw, placement=part.placement).vectors


def needs(part: Part, source: Source) -> tuple[StorageNeeds, StorageNeeds | None]:
    """What the target must store for a part."""
    embeddings = embeddings_of(part, source)
    return Representation.parse(part.represent).needs(embeddings.dimension, embeddings.distance)


def embeddings_of(part: Part, source: Source) -> Embeddings:
    """What a part is made from."""
    return next(embeddings for embeddings in source.embeddings if embeddings.name == part.name)


def carried(order: Order, source: Source) -> CollectionSchema:
    """What goes over unchanged: every vector that is neither compressed nor dropped, indexes, options."""
    replaced = [name for part in order.parts for name in (part.name, *embeddings_of(part, source).stored)]
    dropped = [
        name
        for embeddings in source.embeddings
        if embeddings.name in order.drop
        for name in (embeddings.name, *embeddings.stored)
    ]
    return source.schema.without([*replaced, *order.drop, *dropped])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
