"""Recurrent binary codes, trained with torch and served with numpy (arXiv:2302.08714, BEBR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.descent import Schedule, need_torch, train
from octant.errors import DimensionError, InputError, VectorValueError
from octant.quantizers import recurrent_decoder, recurrent_fit
from octant.quantizers.arguments import count, one_of
from octant.quantizers.base import Quantizer
from octant.quantizers.held_out import Split
from octant.quantizers.recurrent_maps import Maps, names, recurrent_signs, unit
from octant.quantizers.sample import check_varied
from octant.quantizers.sign_codes import carried_signs, sign_storage
from octant.quantizers.symmetric import ComposedCodes
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray, StorageNeeds
from octant.work import Work, fingerprint

SAMPLE = 100_000
"""Most vectors that a fit draws batches from."""
METHODS = ("linear", "mlp", "residual", "float")


class RecurrentBinary(Quantizer):
    """``b = s_0 + s_1 / 2 + s_2 / 4 ...``: signs of learned maps of a vector, then of what they missed.

    The recurrence is BEBR's: ``s_0 = sign W(x)``, and each loop adds ``sign R_i(x - B_i(b) / |B_i(b)|)`` at half the
    weight of the one before. Maps are trained without labels by a contrast between the codes of two views of a vector
    (:mod:`octant.quantizers.recurrent_fit`); training looks at recall on held-out vectors, keeps the best state it saw
    and stops when it no longer gains. Only directions are coded: lengths of vectors are not.

    The paper compares two codes (:meth:`symmetric`, :mod:`octant.quantizers.symmetric`). Qdrant is given more: the
    signs of all planes, and a real-valued query. After training a decoder is learned on the final codes. If it is
    linear, ``x`` near ``mean + s D``, Qdrant keeps ``dim * (loops + 1)`` bits in RAM as ``binary(bits)`` does, is sent
    ``D q``, and estimates the cosine by itself; the weights of the planes are part of ``D``. If it is an MLP, codes
    are bytes, packed signs for the fine stage, decoded by who asked.

    On MiniLM embeddings a loop finds more than hashing of as many bits where codes are compared with codes; searched
    by Qdrant, with a real-valued query, ``binary`` of as many bits finds more still (``tests/benchmarks/bebr.py``).

    Parameters
    ----------
    dim : int
        Coordinates of a code.
    loops : int
        Planes after the first: ``dim * (loops + 1)`` bits a vector. 0 is plain hashing.
    method : {"linear", "mlp", "residual", "float"}
        ``linear``: every map is a matrix; it starts as signs of rotated principal directions, so that held-out recall
        is never below theirs. ``mlp``: every map is an MLP from a random start, as published. ``residual``: the sum of
        both. ``float``: ``residual`` without signs, the paper's uncompressed control; it takes no loops and is stored
        as float32.
    decoder : {"linear", "mlp"}
        ``mlp`` adds an MLP of the signs to the linear decoder.
    contrast : {"soft", "hard"}
        ``hard``: one vector is right and the hardest negatives are wrong, as published. ``soft``: the embeddings' own
        similarities say how right each is.
    hidden : int, optional
        Width of hidden layers; by default twice ``dim``.
    blocks : int
        Hidden layers of each map.
    steps : int
        Batches of 256 at most.

    Attributes
    ----------
    code_skip_, code_first_, code_middle_, code_last_ : float32
        ``W`` and ``R_i``, as :class:`octant.quantizers.recurrent_maps.Maps` has them.
    back_skip_, back_first_, back_middle_, back_last_ : float32
        ``B_i``.
    mean_ : (width,) float32
    decoder_ : (bits, width) float32
    detail_skip_, detail_first_, detail_middle_, detail_last_ : float32
        The MLP of the decoder; empty where it is linear.

    Examples
    --------
    >>> RecurrentBinary(192).storage(384, Distance.COSINE).width
    384
    """

    name = "recurrent_binary"
    sample_size = SAMPLE
    usage = "recurrent_binary(dim, loops, linear|mlp|residual|float, decoder=linear|mlp, contrast=soft|hard)"
    weighs_queries = True
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = (*names("code"), *names("back"), "mean", "decoder", *names("detail"))
    mean_: FloatArray
    decoder_: FloatArray

    def __init__(
        self,
        dim: int,
        loops: int = 1,
        method: str = "linear",
        decoder: str = "linear",
        contrast: str = "soft",
        hidden: int | None = None,
        blocks: int = 1,
        steps: int = 500,
    ) -> None:
        self.dim, self.loops = count("dim", dim), _loops(loops)
        self.method = one_of("method", method, METHODS)
        self.decoder = one_of("decoder", decoder, ("linear", "mlp"))
        self.contrast = one_of("contrast", contrast, ("soft", "hard"))
        self.hidden = None if hidden is None else count("hidden", hidden)
        self.blocks, self.steps = count("blocks", blocks), count("steps", steps)
        if method == "float" and self.loops:
            raise InputError(f"loops must be 0 for method float, which leaves nothing for a loop to code, got {loops}")
        if method == "float" and decoder != "linear":
            raise InputError("decoder must be linear for method float")
        if method == "linear" and decoder == "linear" and hidden is not None:
            raise InputError("hidden has no part where maps and decoder are linear: leave it out")
        if method == "linear" and self.blocks != 1:
            raise InputError("blocks has no part in method linear: leave it out, or choose another method")

    @property
    def planes(self) -> int:
        """Signs a coordinate."""
        return self.loops + 1

    @property
    def bits(self) -> int:
        """Signs a vector."""
        return self.dim * self.planes

    @property
    def _signs(self) -> bool:
        return self.method != "float"

    @property
    def _shape(self) -> recurrent_fit.Shape:
        hidden = 0 if self.method == "linear" else self.hidden or 2 * self.dim
        skip = self.method != "mlp"
        return recurrent_fit.Shape(self.dim, self.loops, hidden, self.blocks, skip, self._signs)

    @override
    def storage(self, dim: int, distance: Distance) -> StorageNeeds:
        del dim
        self.check_distance(distance)
        if not self._signs:
            return StorageNeeds(self.dim, Distance.DOT)
        if self.decoder == "mlp":
            return StorageNeeds(-(-self.bits // 8), Distance.DOT, "uint8", scored=False)
        return sign_storage(self.bits)

    @override
    def vectors_needed(self, dim: int) -> int:
        """As many as bits: each has a row of the decoder to learn. Far more are better."""
        del dim
        return max(self.bits, 16)

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.decoder_.shape[1] if self.fitted else None

    # -- learning ------------------------------------------------------------------------------

    def _learn(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        need_torch(repr(self))
        check_varied(repr(self), x)
        key = fingerprint(repr(self), rng, x, queries)
        split = Split.of(x, rng)
        pairs = None if queries is None else recurrent_fit.Pairs.of(queries, split.seen)
        learner = recurrent_fit.RecurrentLearner(split, self._shape, rng, self.contrast, pairs)
        maps = work.part("maps")
        trained = train(learner, Schedule(self.steps), what=repr(self), seed=_seed(rng), key=key, work=maps)
        code, back = recurrent_fit.serving(trained, self._shape)
        state = {**code.arrays("code"), **back.arrays("back")}
        state |= recurrent_decoder.learn(self._coordinates(code, back, split), split, rng, self._detail(key, work))
        for part in (maps, work.part("decoder")):
            part.done(key)
        return state

    def _coordinates(self, code: Maps, back: Maps, split: Split) -> recurrent_decoder.Coordinates:
        def of(x: FloatArray) -> FloatArray:
            return self._read(code, back, x)

        return recurrent_decoder.Coordinates.of(split, of)

    def _detail(self, key: str, work: Work) -> recurrent_decoder.Detail | None:
        """What an MLP decoder is trained by; None for a linear one."""
        if self.decoder == "linear":
            return None
        hidden = self.hidden or 2 * self.dim
        return recurrent_decoder.Detail(hidden, Schedule(self.steps), repr(self), key, work.part("decoder"))

    # -- serving -------------------------------------------------------------------------------

    def _read(self, code: Maps, back: Maps, x: FloatArray) -> FloatArray:
        """What decoders decode, (n, bits): signs, or the real numbers of the float control."""
        signs = recurrent_signs(code, back, unit(x)) if self._signs else code(0, unit(x))
        return signs.reshape(len(x), -1)

    def _maps(self, prefix: str) -> Maps:
        return Maps.of({name: getattr(self, name + "_") for name in names(prefix)}, prefix)

    def symmetric(self, x: FloatArray) -> ComposedCodes:
        """Packed codes of ``x`` (n, width), points or queries alike, to be compared with each other as published.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        InputError
            For method ``float``, which has no bits.
        """
        if not self._signs:
            raise InputError("method float has no bits to compare: choose another method")
        codes = self.encode(x)
        return ComposedCodes.of(self._unpacked(codes), self.planes)

    def _encode(self, x: FloatArray) -> CodeArray:
        read = self._read(self._maps("code"), self._maps("back"), x)
        return np.packbits(read >= 0, axis=1) if self.decoder == "mlp" else read

    def _unpacked(self, codes: CodeArray) -> FloatArray:
        """Signs of packed or carried codes; what turbo4 gives back is no longer -1 and +1, but the signs survive it."""
        if not self._signs:
            return np.asarray(codes, np.float32)
        if self.decoder == "mlp":
            codes = np.unpackbits(_octets(codes), axis=1, count=self.bits).astype(np.float32) - np.float32(0.5)
        return carried_signs(codes)

    def _decode(self, codes: CodeArray) -> FloatArray:
        width = self.storage(0, Distance.DOT).width
        if codes.shape[1] != width:
            raise DimensionError(f"{self!r} makes codes of {width} coordinates, got {codes.shape[1]}")
        signs = self._unpacked(codes)
        decoded = self.mean_ + signs @ self.decoder_
        if self.decoder == "mlp":
            decoded = decoded + self._maps("detail")(0, signs)
        return np.asarray(decoded, np.float32)

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        offset = np.asarray(q @ self.mean_, np.float32)
        return EncodedQueries(np.asarray(q @ self.decoder_.T, np.float32), np.ones(len(q), np.float32), offset)


def _loops(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 7:
        raise InputError(f"loops must be a whole number from 0 to 7, got {value!r}")
    return value


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**62))


def _octets(codes: CodeArray) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore"):  # what does not fit a byte is refused below, with better words
        raw = codes.astype(np.uint8)
    if not np.array_equal(raw, codes):
        raise VectorValueError("packed codes are bytes: whole numbers from 0 to 255")
    return raw
