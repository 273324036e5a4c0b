"""Composed binary codes with a linear decoder, which a stock Qdrant scores exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import DimensionError
from octant.quantizers.arguments import count
from octant.quantizers.base import Quantizer
from octant.quantizers.binary_choice import Choice
from octant.quantizers.binary_encode import Code
from octant.quantizers.binary_fit import SAMPLE, Learned, go_on, learn
from octant.quantizers.sign_codes import carried_signs, sign_storage
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.work import Work

SWEEPS = 8
"""Rounds over all bits when a vector is encoded; more gain little."""
KICKS = 16
"""Bits that are flipped on trial once no single flip helps; twice as many find hardly more."""


class ComposedBinary(Quantizer):
    """``x`` near ``mean + b D``, with ``b`` in {-1, +1}^bits and ``D`` learned from the collection.

    Qdrant keeps one bit for every -1 or +1 in RAM and weighs them by the query ``D q``, so its raw score is the dot
    product of ``q`` with the decoded vector, up to the 8 bits a query coordinate keeps; nothing is rescored. Any
    number of bits may be asked for, below, at or above one a dimension.

    ``fit`` looks at no more than 20,000 vectors, drawn by ``rng``, and stretches fewer with mixtures of them. It
    starts from principal directions under a learned rotation (ITQ), on the residual again while bits are left, then
    lets codes (coordinate descent, :mod:`octant.quantizers.binary_encode`) and decoder (weighted least squares) take
    turns. The loss weighs the part of the error along the vector ``eta`` times the rest (arXiv:1908.10396), and with
    ``queries`` given directions in which they ask more than others (the idea of arXiv:2312.16335). Scores then weigh
    directions of small variance up a little (``reader``), which costs squared error and finds more.

    Short fits choose these strengths on held-out vectors and, where given, held-out queries
    (:mod:`octant.quantizers.binary_choice`). Where rotated signs of principal directions do better than all of them,
    which only few vectors can bring about, the code is those signs. Fewer than 200 vectors get the usual strengths.
    ``partial_fit`` keeps the mean and the strengths, and lets the decoder move as far as the new vectors outweigh those
    seen before.

    Parameters
    ----------
    bits : int
        Bits a vector; Qdrant stores them in whole words of 128.

    Attributes
    ----------
    mean_ : (dim,) float32
    decoder_ : (bits, dim) float32
        Row j is added for a +1 at bit j and taken away for a -1: what the search for bits goes by.
    reader_ : (bits, dim) float32
        The decoder that points and queries are scored by.
    encoder_ : (dim, bits) float32
        The signs of ``(x - mean) encoder`` are the codes that the search improves.
    metric_ : (dim, dim) float32
        Weights of the error by direction, learned from queries; (0, 0) where all directions count alike.
    choice_ : (5,) float32
        What held-out vectors decided, in the order of :class:`octant.quantizers.binary_choice.Choice`.
    seen_ : () int64
        Vectors it has learned from.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    >>> codec = ComposedBinary(16).fit(x)
    >>> codec.encode(x[:2]).shape, codec.decode(codec.encode(x[:2])).shape
    ((2, 16), (2, 8))
    """

    name = "binary"
    distances = frozenset({Distance.COSINE, Distance.DOT})
    sample_size = SAMPLE
    weighs_queries = True
    state_names: ClassVar[tuple[str, ...]] = ("mean", "decoder", "reader", "encoder", "metric", "choice", "seen")
    mean_: FloatArray
    decoder_: FloatArray
    reader_: FloatArray
    encoder_: FloatArray
    metric_: FloatArray
    choice_: FloatArray
    seen_: NDArray[np.int64]

    def __init__(self, bits: int) -> None:
        self.bits = count("bits", bits)

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        del dim
        self.check_distance(distance)
        return sign_storage(self.bits)

    @override
    def vectors_needed(self, dim: int) -> int:
        """As many as bits: each bit's row of the decoder is learned from vectors. Far more are better."""
        del dim
        return max(self.bits, 2)

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.decoder_.shape[1] if self.fitted else None

    @override
    def _learn(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        return _state(learn(x, queries, self.bits, rng, work))

    @override
    def _continue(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        before = Learned(self._code, self.reader_, Choice.of(self.choice_), int(self.seen_))
        return _state(go_on(before, x, queries, rng, work))

    @property
    def _code(self) -> Code:
        eta = 1.0 if self.signs else Choice.of(self.choice_).eta
        return Code(self.mean_, self.decoder_, self.encoder_, eta, self.metric_ if self.metric_.size else None)

    @property
    def signs(self) -> bool:
        """Whether plain rotated signs did better than anything learned."""
        return Choice.of(self.choice_).signs

    def _encode(self, x: FloatArray) -> CodeArray:
        return self._code.encode(x, sweeps=SWEEPS, kicks=KICKS)

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] != self.bits:
            raise DimensionError(f"{self!r} makes codes of {self.bits} coordinates, got {codes.shape[1]}")
        signs = carried_signs(codes)
        return np.asarray(self.mean_ + signs @ self.reader_, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        offset = np.asarray(q @ self.mean_, np.float32)
        return EncodedQueries(np.asarray(q @ self.reader_.T, np.float32), np.ones(len(q), np.float32), offset)


def _state(learned: Learned) -> dict[str, NDArray[Any]]:
    code = learned.code
    return {
        "mean": code.mean,
        "decoder": code.decoder,
        "reader": learned.reader,
        "encoder": code.encoder,
        "metric": np.zeros((0, 0), np.float32) if code.metric is None else code.metric,
        "choice": learned.choice.numbers(),
        "seen": np.asarray(learned.seen, np.int64),
    }
