"""Between LangChain's and Qdrant's values and Octant's: documents, ids, scores, search options."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document

from octant import Candidate, Distance, Fusion, SearchKnobs, errors
from octant_langchain.settings import RetrievalMode

DISTANCES = (Distance.EUCLID, Distance.MANHATTAN)
"""Where LangChain's score is the distance itself, lower is better, and Octant's is minus that."""


# -- documents and ids ---------------------------------------------------------------------------


def document(candidate: Candidate, metadata_key: str | None) -> Document:
    """A candidate as LangChain knows it; the id is always a string."""
    metadata = candidate.payload if metadata_key is None else candidate.payload.get(metadata_key)
    return Document(id=str(candidate.id), page_content=candidate.text or "", metadata=dict(metadata or {}))


def payload(metadata: Mapping[str, Any] | None, metadata_key: str | None) -> dict[str, Any]:
    """What is stored beside the text."""
    return dict(metadata or {}) if metadata_key is None else {metadata_key: dict(metadata or {})}


def new_ids(ids: Iterable[str | int | None] | None) -> list[str] | None:
    """LangChain's ids are strings; a missing one among them becomes a fresh UUID."""
    return None if ids is None else [str(uuid.uuid4() if point is None else point) for point in ids]


def known_ids(ids: Iterable[str | int]) -> list[str | int]:
    """Every id that ``str`` makes one of ``ids``: a collection that others filled may hold 7 behind "7"."""
    names = list(dict.fromkeys(map(str, ids)))
    return [*names, *(int(name) for name in names if _is_qdrant_integer(name))]


def _is_qdrant_integer(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 20 and str(int(name)) == name and int(name) < 2**64


# -- scores --------------------------------------------------------------------------------------


def flipped(score: float, distance: Distance, mode: RetrievalMode) -> float:
    """Octant's score as langchain-qdrant gives it, and the other way round."""
    return -score if mode is RetrievalMode.DENSE and distance in DISTANCES else score


def relevance(distance: Distance, mode: RetrievalMode, fusion: Fusion, *, unit: bool) -> Callable[[float], float]:
    """The map from a score as langchain-qdrant gives it to LangChain's relevance: in [0, 1], higher is better.

    Cosine, and the dot product of ``unit`` vectors, is ``(1 + s) / 2``; any other dot product
    ``(1 + s / (1 + |s|)) / 2``; Euclid and Manhattan ``1 / (1 + d)``; sparse ``s / (1 + s)``; hybrid the share of
    the best score that the fusion can give.
    """
    if mode is RetrievalMode.HYBRID:
        best = ceiling(fusion)
        return lambda score: min(score / best, 1.0) if best else 0.0
    if mode is RetrievalMode.SPARSE:
        return lambda score: max(score, 0.0) / (1 + max(score, 0.0))
    if distance in DISTANCES:
        return lambda score: 1 / (1 + max(score, 0.0))
    if distance is Distance.COSINE or unit:
        return lambda score: min(max((1 + score) / 2, 0.0), 1.0)
    return lambda score: (1 + score / (1 + abs(score))) / 2


def ceiling(fusion: Fusion) -> float:
    """What a document that is first in both branches scores."""
    weights = dict(fusion.weights or {})
    total = sum(weights.get(branch, 1.0) for branch in ("dense", "sparse"))
    return total / (fusion.k + 1) if fusion.method == "rrf" else total


# -- searches ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What every search takes beside the query, ``k`` and ``filter``; langchain-qdrant's names.

    Attributes
    ----------
    offset : int
        Answers to leave out.
    score_threshold : float or None
        In the score's own terms: a minimum, or under Euclid and Manhattan a maximum.
    search_params : qdrant_client.models.SearchParams, mapping, octant.SearchKnobs or None
        None searches with the settings that are kept with the collection.
    hybrid_fusion : {"rrf", "dbsf"}, octant.Fusion, or qdrant_client's FusionQuery or RrfQuery
        Hybrid mode only; weights by ``octant.Fusion(weights={"dense": 2, "sparse": 1})``.
    cutoff : octant.Cutoff or None
        Dense mode only: documents that are too improbably relevant are left out, inside Qdrant.
    """

    offset: int = 0
    score_threshold: float | None = None
    search_params: Any = None
    hybrid_fusion: Any = None
    cutoff: Any = None

    @property
    def fusion(self) -> Fusion:
        """Octant's form of ``hybrid_fusion``."""
        return as_fusion(self.hybrid_fusion)

    @property
    def knobs(self) -> SearchKnobs | None:
        """Octant's form of ``search_params``; None leaves it to what the collection keeps."""
        return as_knobs(self.search_params)


_PLAIN_FUSION = Fusion()
"""Made once: most searches set nothing."""


def as_fusion(value: Any) -> Fusion:
    """Octant's form of qdrant-client's fusion queries, of a name, or of None.

    Raises
    ------
    InputError
        If it is none of these, or weighs branches by Qdrant's formula, which is not Octant's.
    """
    if value is None:
        return _PLAIN_FUSION
    if isinstance(value, str | Fusion):
        return Fusion.parse(getattr(value, "value", value))
    named, ranked = getattr(value, "fusion", None), getattr(value, "rrf", None)
    if named is not None and named.value == "dbsf":
        return Fusion("dbsf")
    if named is None and ranked is None:
        raise errors.InputError(
            f"hybrid_fusion is 'rrf', 'dbsf', an octant.Fusion, or a FusionQuery or RrfQuery; got {value!r}"
        )
    if getattr(ranked, "weights", None):
        raise errors.InputError(
            "Qdrant's RrfQuery weighs by another formula than Octant: pass "
            "octant.Fusion(weights={'dense': …, 'sparse': …})"
        )
    # Qdrant counts ranks from 0, Octant from 1; Qdrant's default k is 2.
    return Fusion("rrf", k=(getattr(ranked, "k", None) or 2) - 1)


def as_knobs(value: Any) -> SearchKnobs | None:
    """Octant's form of qdrant-client's ``SearchParams``, of its REST form, or of None.

    Raises
    ------
    InputError
        If a parameter is set that Octant does not pass on.
    """
    if value is None or isinstance(value, SearchKnobs):
        return value
    given = dict(value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value)
    given |= given.pop("quantization", None) or {}
    wanted = {name: setting for name, setting in given.items() if setting not in (None, False) or name == "rescore"}
    known = ("hnsw_ef", "exact", "rescore", "oversampling")
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise errors.InputError(f"search_params may set {', '.join(known)}; got {', '.join(unknown)}")
    return SearchKnobs(**wanted)
