"""Compress the embeddings of a RAG application inside a stock Qdrant, retrieve, and know what it cost."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from octant import errors, flow
from octant.collection import Collection, CollectionInfo
from octant.decision import Decision
from octant.diversify import diversify, maximal_marginal_relevance
from octant.embedders import Embedder, embedder
from octant.evaluate import evaluate
from octant.fusion import Fusion
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.rankings import Rankings
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
from octant.selection import selector
from octant.several_embeddings import EmbeddingInfo
from octant.version import __version__

if TYPE_CHECKING:
    from octant import confidence, tuning
    from octant.cutoffs.cutoff import Cutoff
    from octant.judged import Question
    from octant.lifecycle.compress import acompress, aplan_compression, compress, plan_compression
    from octant.lifecycle.plan import CompressPlan
    from octant.lifecycle.report import CompressReport
    from octant.pipeline import Pipeline, Retrieved, afrom_config, from_config
    from octant.rerank_evaluation import evaluate_rerankers
    from octant.rerank_table import RerankEvaluation
    from octant.training import aadopt_reranker, adopt_reranker, atrain_reranker, train_reranker
    from octant.tuning.run import tune

__all__ = [
    "Candidate",
    "Collection",
    "CollectionInfo",
    "Component",
    "CompressPlan",
    "CompressReport",
    "Cutoff",
    "Decision",
    "Distance",
    "Embedder",
    "EmbeddingIdentity",
    "EmbeddingInfo",
    "Expected",
    "FitReport",
    "Footprint",
    "Fusion",
    "HnswSettings",
    "MemoryPlacement",
    "OutputNote",
    "Pipeline",
    "Question",
    "Ranking",
    "Rankings",
    "Recommendation",
    "Representation",
    "RerankEvaluation",
    "RerankReport",
    "Residency",
    "Retrieved",
    "SearchKnobs",
    "SparseVector",
    "__version__",
    "aadopt_reranker",
    "acompress",
    "adopt_reranker",
    "afrom_config",
    "aplan_compression",
    "atrain_reranker",
    "compress",
    "confidence",
    "diversify",
    "embedder",
    "errors",
    "evaluate",
    "evaluate_rerankers",
    "flow",
    "from_config",
    "maximal_marginal_relevance",
    "plan_compression",
    "quantizer",
    "reranker",
    "selector",
    "train_reranker",
    "tune",
    "tuning",
]

_LATER = {
    "CompressPlan": "octant.lifecycle.plan",
    "CompressReport": "octant.lifecycle.report",
    "Cutoff": "octant.cutoffs.cutoff",
    "Pipeline": "octant.pipeline",
    "Question": "octant.judged",
    "RerankEvaluation": "octant.rerank_table",
    "Retrieved": "octant.pipeline",
    "aadopt_reranker": "octant.training",
    "acompress": "octant.lifecycle.compress",
    "adopt_reranker": "octant.training",
    "afrom_config": "octant.pipeline",
    "aplan_compression": "octant.lifecycle.compress",
    "atrain_reranker": "octant.training",
    "compress": "octant.lifecycle.compress",
    "evaluate_rerankers": "octant.rerank_evaluation",
    "from_config": "octant.pipeline",
    "plan_compression": "octant.lifecycle.compress",
    "train_reranker": "octant.training",
    "tune": "octant.tuning.run",
}
"""What an application that only searches need not load."""


def __getattr__(name: str) -> Any:
    if name in ("confidence", "tuning"):
        return import_module(f"octant.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
