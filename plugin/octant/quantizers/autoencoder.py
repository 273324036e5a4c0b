"""Auto-encoder: a small MLP to fewer coordinates and one back, trained with torch and served with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.descent import Schedule, arrays, need_torch, tensor, train
from octant.errors import DimensionError
from octant.quantizers import calibration
from octant.quantizers.arguments import count
from octant.quantizers.held_out import Split
from octant.quantizers.recurrent_maps import Maps, names
from octant.quantizers.reduce import Reducer
from octant.quantizers.sample import check_varied
from octant.records import CodeArray, Distance, EncodedQueries, FloatArray
from octant.work import Work, fingerprint

if TYPE_CHECKING:
    import torch

SAMPLE = 100_000
"""Most vectors that a fit draws batches from."""
SIMILARITY = 1.0
"""Weight of the error of dot products beside that of reconstruction; both are relative to their variance."""


class AutoEncoder(Reducer):
    """``m`` coordinates by an MLP, and an MLP back.

    Both start as PCA, a linear map beside an MLP of zeros, and learn to reconstruct vectors and to keep their dot
    products: the loss is the squared error of reconstruction over the variance, plus the squared error of the dot
    products of codes within a batch over theirs. Training keeps the state of the best recall on held-out vectors, PCA
    among them. An affine map of dot products of codes, learned from pairs, estimates those of vectors; real ``queries``
    take part in it where they are given, and in nothing else.

    Parameters
    ----------
    m : int
        Coordinates to keep.
    hidden : int, optional
        Width of the hidden layers; by default that of the vectors.
    steps : int
        Batches of 256 at most.

    Attributes
    ----------
    encoder_skip_, encoder_first_, encoder_middle_, encoder_last_ : float32
        As :class:`octant.quantizers.recurrent_maps.Maps` has them.
    decoder_skip_, decoder_first_, decoder_middle_, decoder_last_ : float32
    mean_ : (dim,) float32
    shift_ : (m,) float32
        Added to the code of a query: points are coded around the mean, queries are not.
    slope_, intercept_ : () float32
        Similarity = ``slope * raw + intercept + q . mean``.

    Examples
    --------
    >>> AutoEncoder(2, steps=5)
    autoencoder(2, steps=5)
    """

    name = "autoencoder"
    sample_size = SAMPLE
    usage = "autoencoder(m, hidden=…, steps=…)"
    linear = False
    weighs_queries = True
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names: ClassVar[tuple[str, ...]] = (
        *names("encoder"),
        *names("decoder"),
        "mean",
        "shift",
        "slope",
        "intercept",
    )
    encoder_skip_: FloatArray
    mean_: FloatArray
    shift_: FloatArray
    slope_: FloatArray
    intercept_: FloatArray

    def __init__(self, m: int, hidden: int | None = None, steps: int = 1000) -> None:
        super().__init__(m)
        self.hidden = None if hidden is None else count("hidden", hidden)
        self.steps = count("steps", steps)

    @override
    def vectors_needed(self, dim: int) -> int:
        """``m + 1`` points span ``m`` directions. Far more are better."""
        del dim
        return max(self.m + 1, 16)

    @property
    def input_dim(self) -> int | None:
        """Coordinates of the vectors it was fitted on."""
        return self.encoder_skip_.shape[2] - 1 if self.fitted else None

    def _learn(
        self, x: FloatArray, queries: FloatArray | None, rng: np.random.Generator, work: Work
    ) -> Mapping[str, NDArray[Any]]:
        need_torch(repr(self))
        check_varied(repr(self), x)
        key = fingerprint(repr(self), rng, x, queries)
        split = Split.of(x, rng)
        mean = split.seen.mean(axis=0, dtype=np.float64).astype(np.float32)
        learner = _Learner(split, mean, self.m, self.hidden or x.shape[1], rng)
        seed = int(rng.integers(2**62))
        trained = train(learner, Schedule(self.steps), what=repr(self), seed=seed, key=key, work=work)
        encoder, decoder = _served(trained, "encoder"), _served(trained, "decoder")
        asked, points = calibration.split(x, queries, rng)
        raw = (encoder(0, asked) + trained["shift"]) @ encoder(0, points).T
        slope, intercept = calibration.line(raw, asked @ (points - mean).T)
        work.done(key)
        query_side = {"mean": mean, "shift": trained["shift"], "slope": slope, "intercept": intercept}
        return {**encoder.arrays("encoder"), **decoder.arrays("decoder"), **query_side}

    def _maps(self, prefix: str) -> Maps:
        return Maps.of({name: getattr(self, name + "_") for name in names(prefix)}, prefix)

    def _encode(self, x: FloatArray) -> CodeArray:
        return self._maps("encoder")(0, x)

    def _decode(self, codes: CodeArray) -> FloatArray:
        if codes.shape[1] != self.m:
            raise DimensionError(f"{self!r} makes codes of {self.m} coordinates, got {codes.shape[1]}")
        return self._maps("decoder")(0, np.asarray(codes, np.float32))

    def _encode_query(self, q: FloatArray, distance: Distance) -> EncodedQueries:
        del distance
        vectors = np.asarray(self._maps("encoder")(0, q) + self.shift_, np.float32)
        offset = np.asarray(q @ self.mean_ + self.intercept_, np.float32)
        return EncodedQueries(vectors, np.full(len(q), self.slope_, np.float32), offset)


class _Learner:
    """Encoder and decoder under training; see :class:`octant.descent.Learner`."""

    def __init__(self, split: Split, mean: FloatArray, m: int, hidden: int, rng: np.random.Generator) -> None:
        self.split, self.mean = split, tensor(mean)
        self.x, self.rows = tensor(split.seen), len(split.seen)
        start = _start(split.seen, mean, m, hidden, rng)
        self.parameters = {name: tensor(value).requires_grad_(True) for name, value in start.items()}
        self.buffers: dict[str, torch.Tensor] = {}
        self.variance = float(np.square(split.seen - mean).sum(axis=1, dtype=np.float64).mean())

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Error of reconstruction and of dot products, each over its variance."""
        del noise
        x = self.x[rows.to(self.x.device)]
        codes = self._apply("encoder", x)
        lost = (x - self._apply("decoder", codes)).square().sum(dim=1).mean() / self.variance
        true = x @ (x - self.mean).T
        found = (codes + self.parameters["shift"]) @ codes.T
        return lost + SIMILARITY * (found - true).square().mean() / true.var().clamp_min(1e-12)

    def _apply(self, side: str, x: torch.Tensor) -> torch.Tensor:
        import torch

        skip, first, last = (self.parameters[f"{side}_{part}"] for part in ("skip", "first", "last"))
        hidden = torch.relu(x @ first[:, :-1].T + first[:, -1])
        return x @ skip[:, :-1].T + skip[:, -1] + hidden @ last[:, :-1].T + last[:, -1]

    def quality(self) -> float:
        """Recall of queries against codes, on held-out vectors."""
        state = arrays(self.parameters)
        encoder = _served(state, "encoder")
        return self.split.recall((encoder(0, self.split.queries) + state["shift"]) @ encoder(0, self.split.points).T)


def _start(x: FloatArray, mean: FloatArray, m: int, hidden: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """PCA, and MLPs whose last layers are zero."""
    dim, seen = x.shape[1], x[:20_000]
    directions = np.linalg.eigh(np.cov(seen, rowvar=False).reshape(dim, dim))[1][:, ::-1][:, :m].T
    start = {
        "encoder_skip": np.concatenate([directions, -(directions @ mean)[:, None]], axis=1),
        "decoder_skip": np.concatenate([directions.T, mean[:, None]], axis=1),
        "shift": directions @ mean,
    }
    for side, fan_in, out in (("encoder", dim, m), ("decoder", m, dim)):
        weights = rng.standard_normal((hidden, fan_in)) * np.sqrt(2 / fan_in)
        start[f"{side}_first"] = np.concatenate([weights, np.zeros((hidden, 1))], axis=1)
        start[f"{side}_last"] = np.zeros((out, hidden + 1))
    return {name: value.astype(np.float32) for name, value in start.items()}


def _served(state: Mapping[str, FloatArray], side: str) -> Maps:
    skip, first, last = (state[f"{side}_{part}"] for part in ("skip", "first", "last"))
    return Maps(skip[None], first[None], np.zeros((1, 0, len(first), len(first) + 1), np.float32), last[None])
