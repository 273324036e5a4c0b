"""Compress the embeddings of a RAG application inside a stock Qdrant, retrieve, and know what it cost."""

from octant import errors
from octant.collection import Collection, CollectionInfo
from octant.diversify import diversify, maximal_marginal_relevance
from octant.embedders import Embedder, embedder
from octant.evaluate import evaluate
from octant.fusion import Fusion
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.lifecycle.compress import acompress, aplan_compression, compress, plan_compression
from octant.lifecycle.plan import CompressPlan
from octant.lifecycle.report import CompressReport
from octant.recommendation import Expected, Recommendation
from octant.records import (
    Candidate,
    Component,
    Distance,
    EmbeddingIdentity,
    FitReport,
    Footprint,
    Ranking,
    Residency,
    SparseVector,
)
from octant.representation import Representation, quantizer
from octant.rerank_report import OutputNote, RerankReport
from octant.reranking import reranker
from octant.tuning.run import tune
from octant.version import __version__

__all__ = [
    "Candidate",
    "Collection",
    "CollectionInfo",
    "Component",
    "CompressPlan",
    "CompressReport",
    "Distance",
    "Embedder",
    "EmbeddingIdentity",
    "Expected",
    "FitReport",
    "Footprint",
    "Fusion",
    "HnswSettings",
    "MemoryPlacement",
    "OutputNote",
    "Ranking",
    "Recommendation",
    "Representation",
    "RerankReport",
    "Residency",
    "SearchKnobs",
    "SparseVector",
    "__version__",
    "acompress",
    "aplan_compression",
    "compress",
    "diversify",
    "embedder",
    "errors",
    "evaluate",
    "maximal_marginal_relevance",
    "plan_compression",
    "quantizer",
    "reranker",
    "tune",
]
