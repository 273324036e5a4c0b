"""Selectors: the rankings of several embeddings in, one ranking and one decision out; found by name in the registry."""

from octant.selectors.base import Choice, Selected, Selector
from octant.selectors.judgements import JudgedSearch, JudgedSearches
from octant.selectors.learned import LearnedSelection
from octant.selectors.weak_retrieval import Calibration

__all__ = [
    "Calibration",
    "Choice",
    "JudgedSearch",
    "JudgedSearches",
    "LearnedSelection",
    "Selected",
    "Selector",
]
