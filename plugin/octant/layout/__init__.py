"""From what representations need to what Qdrant stores and is asked: pure values, no I/O.

A representation has one stage or two. *Coarse* is searched; *fine* rescores what coarse found: inside Qdrant
where Qdrant can compare it, by the caller where it is bytes.
"""

from octant.layout.plan import DensePlan, check_knobs, coarse_query, plan_dense
from octant.layout.points import PointBatch, StoredPoint
from octant.layout.queries import QuerySettings, SearchKnobs, VectorQuery
from octant.layout.scores import ScoreMap
from octant.layout.vectors import (
    NO_GRAPH,
    CollectionLayout,
    HnswSettings,
    MemoryPlacement,
    Stage,
    Stages,
    VectorLayout,
    lay_out,
    stored_as,
)

__all__ = [
    "NO_GRAPH",
    "CollectionLayout",
    "DensePlan",
    "HnswSettings",
    "MemoryPlacement",
    "PointBatch",
    "QuerySettings",
    "ScoreMap",
    "SearchKnobs",
    "Stage",
    "Stages",
    "StoredPoint",
    "VectorLayout",
    "VectorQuery",
    "check_knobs",
    "coarse_query",
    "lay_out",
    "plan_dense",
    "stored_as",
]
