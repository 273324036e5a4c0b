"""Codecs for embeddings; :mod:`octant.registry` knows them by name."""

from octant.quantizers.base import Chain, Quantizer, SecondCopy

__all__ = ["Chain", "Quantizer", "SecondCopy"]
