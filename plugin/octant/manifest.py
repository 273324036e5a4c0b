"""How a collection describes itself, so that any process that opens it can encode queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from octant.errors import ArtifactError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.oversampling import CoverageCurve
from octant.records import JSON, Distance, EmbeddingIdentity

FORMAT = 1
_LATER = ("coverage", "placement", "knobs", "source", "foreign_ids", "unfinished")
"""What collections of earlier releases do not say; the defaults are what they have."""


@dataclass(frozen=True)
class Manifest:
    """What is written down with a collection.

    Attributes
    ----------
    represent : str
        Canonical spec of the representation.
    distance : Distance
    dimension : int or None
        Of the embeddings, before any reduction; None until the first vector of a collection is seen.
    embedding : EmbeddingIdentity or None
        None for collections that were given vectors only.
    artifact : str or None
        SHA-256 of the fitted state; None before a fit, or where nothing is learned.
    vector_name : str
        Of the dense vector; a two-stage representation adds ``coarse`` and ``fine`` to it.
    text_key : str
        Payload key of the text.
    sparse : str or None
        Identity of the sparse encoder.
    sparse_name : str or None
        Name of the sparse vector.
    hnsw : HnswSettings
    seed : int
        Of the fit.
    octant : str
        Version of the library that created the collection.
    coverage : CoverageCurve or None
        How many candidates two stages need; None where it was not measured, or there is one stage.
    placement : MemoryPlacement
    knobs : SearchKnobs or None
        What a search uses that is given none; None leaves it to the representation.
    source : str or None
        Name of the vector of the same collection that holds the embeddings these codes were made of: documents that
        are added get both.
    foreign_ids : bool
        Whether the points came from a collection that somebody else made: there "7" can only mean the integer 7.
    unfinished : bool
        Whether the embedding was added to a collection that held points, and some may be without it yet.
    """

    represent: str
    distance: Distance
    dimension: int | None
    embedding: EmbeddingIdentity | None
    artifact: str | None
    vector_name: str
    text_key: str
    sparse: str | None
    sparse_name: str | None
    hnsw: HnswSettings
    seed: int
    octant: str
    coverage: CoverageCurve | None = None
    placement: MemoryPlacement = field(default_factory=MemoryPlacement)
    knobs: SearchKnobs | None = None
    source: str | None = None
    foreign_ids: bool = False
    unfinished: bool = False

    def to_json(self) -> dict[str, JSON]:
        """The manifest as JSON values."""
        return {"format": FORMAT, **asdict(self), "distance": self.distance.value}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Manifest:
        """The manifest that ``to_json`` wrote.

        Raises
        ------
        ArtifactError
            If it is of a later format, or not a manifest.
        """
        found = value.get("format")
        if found != FORMAT:
            raise ArtifactError(
                f"expected a collection manifest of format {FORMAT}, got {found!r}: it was written by another version "
                f"of Octant ({value.get('octant', 'unknown')}), upgrade qdrant-octant to open it"
            )
        try:
            known = {entry.name: value[entry.name] for entry in fields(cls) if entry.name not in _LATER}
            known["distance"] = Distance.parse(known["distance"])
            known["hnsw"] = HnswSettings(**known["hnsw"])
            if known["embedding"] is not None:
                known["embedding"] = EmbeddingIdentity(**known["embedding"])
            if value.get("coverage") is not None:
                known["coverage"] = CoverageCurve.from_json(value["coverage"])
            if value.get("placement") is not None:
                known["placement"] = MemoryPlacement(**value["placement"])
            if value.get("knobs") is not None:
                known["knobs"] = SearchKnobs(**value["knobs"])
            known |= {name: bool(value.get(name)) for name in ("foreign_ids", "unfinished")}
            known["source"] = value.get("source")
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the collection's manifest is damaged ({type(error).__name__}: {error})") from error
