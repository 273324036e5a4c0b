"""Codecs for embeddings; :mod:`octant.registry` knows them by name."""

from octant.quantizers.base import Quantizer, SecondCopy
from octant.quantizers.chain import Chain

__all__ = ["Chain", "Quantizer", "SecondCopy"]
