"""How recurrent binary codes learn: the loss of arXiv:2302.08714 between embeddings, and where the maps start.

Two views of one thing are coded, and cosines between codes at a small temperature are contrasted in both directions,
against the batch and a queue of earlier ones. ``hard`` is the contrast as published: one vector is right, its hardest
negatives are wrong. ``soft`` asks for the embeddings' own distribution over all of them instead, since what a search
is held to is the order of neighbours, and the published one pushes neighbours away like anything else.

Nothing is labelled: the views of a vector are itself and itself under noise; where queries are given, some pairs of
every batch are a query and one of the vectors nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from octant.descent import tensor
from octant.quantizers.held_out import Split
from octant.quantizers.recurrent_maps import Maps, composed, recurrent_signs, unit
from octant.records import FloatArray

if TYPE_CHECKING:
    import torch

TEMPERATURE = 0.05
HARDEST = 5
"""Negatives that count for each vector: its most similar ones."""
QUEUE = 1024
"""Most vectors of earlier batches that serve as negatives, coded by the slowly following copy of the maps."""
MOMENTUM = 0.99
NOISE = 0.4
"""Length of the noise that makes another view of a unit vector."""
SAME = 0.999
"""Cosine from which two vectors are one: duplicates are nobody's negatives."""
_NEAREST = 3
"""Vectors that a given query may be paired with."""
_BLOCK = 2048
_BN_MOMENTUM, _BN_EPSILON = 0.1, 1e-5


@dataclass(frozen=True)
class Shape:
    """What the maps look like.

    Attributes
    ----------
    dim : int
        Coordinates of a code; each has ``loops + 1`` bits.
    loops : int
    hidden, blocks : int
        Width and number of hidden layers of each map; ``hidden`` 0 makes maps linear.
    skip : bool
        Whether a linear map stands beside the MLP.
    sign : bool
        False leaves codes real numbers, as a control.
    """

    dim: int
    loops: int
    hidden: int
    blocks: int
    skip: bool
    sign: bool = True


class RecurrentLearner:
    """The maps under training; see :class:`octant.descent.Learner`.

    Parameters
    ----------
    split : Split
    shape : Shape
    rng : Generator
        Of the start.
    contrast : {"soft", "hard"}
    pairs : Pairs, optional
        Real queries and their neighbours in ``split.seen``.
    """

    def __init__(
        self, split: Split, shape: Shape, rng: np.random.Generator, contrast: str, pairs: Pairs | None = None
    ) -> None:
        self.split, self.shape, self.contrast = split, shape, contrast
        self.x, self.rows = tensor(split.seen), len(split.seen)
        self.queries = None if pairs is None else (tensor(pairs.queries), tensor(pairs.partners))
        self.parameters: dict[str, torch.Tensor] = {}
        self.buffers: dict[str, torch.Tensor] = {}
        start = _start(split.seen, shape, rng)
        for name, value in start.items():
            self.parameters[name] = tensor(value).requires_grad_(True)
        for side, maps in (("code", shape.loops + 1), ("back", shape.loops)):
            if shape.hidden:
                self.buffers[f"{side}_mean"] = tensor(np.zeros((maps, shape.blocks, shape.hidden), np.float32))
                self.buffers[f"{side}_var"] = tensor(np.ones((maps, shape.blocks, shape.hidden), np.float32))
        self.maps = tuple(self.parameters)
        for name in self.maps:
            self.buffers[f"slow_{name}"] = self.parameters[name].detach().clone()
        if contrast == "soft":
            # Cosines between codes are smaller than between vectors: how much is learned along.
            self.parameters["sharpness"] = tensor(np.zeros((), np.float32)).requires_grad_(True)
        self.queue = min(QUEUE, max(1, self.rows // 4))
        self.buffers["queue"] = tensor(np.zeros((self.queue, shape.dim), np.float32))
        self.buffers["queue_seen"] = tensor(np.zeros((self.queue, split.seen.shape[1]), np.float32))
        self.buffers["queue_next"] = tensor(np.zeros(2, np.int64))  # where the next goes, and how many there are

    # -- the loss ------------------------------------------------------------------------------

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """The contrast of two views of the vectors at ``rows`` (batch,), and of some pairs with queries."""
        import torch

        one, other = self._views(rows.to(self.x.device), noise)
        a, b = self._code(one), self._code(other)
        keys, seen = self._waiting()
        contrast = self._soft if self.contrast == "soft" else self._hard
        loss = contrast(one @ torch.cat([other, seen]).T, a @ torch.cat([b, keys]).T)
        loss = loss + contrast(other @ torch.cat([one, seen]).T, b @ torch.cat([a, keys]).T)
        with torch.no_grad():
            self._follow(other)
        return loss

    def _views(self, rows: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views (pairs, dim) of everything in the batch, at unit length."""
        import torch

        x = self.x[rows]
        drawn = torch.randn(x.shape, generator=noise).to(x.device)
        one = torch.nn.functional.normalize(x + NOISE * x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5 * drawn, dim=1)
        other = torch.nn.functional.normalize(x, dim=1)
        if self.queries is None:
            return one, other
        queries, partners = self.queries
        count = min(len(queries), max(1, len(rows) // 2))
        asked = torch.randperm(len(queries), generator=noise)[:count]
        which = torch.randint(partners.shape[1], (count,), generator=noise)
        found = self.x[partners[asked.to(x.device), which.to(x.device)]]
        both = torch.nn.functional.normalize(torch.stack([queries[asked.to(x.device)], found]), dim=2)
        return torch.cat([one, both[0]]), torch.cat([other, both[1]])

    def _hard(self, true: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of telling the right column, that of the row's own number, from its hardest negatives.

        ``true`` and ``found`` (rows, columns) are cosines of vectors and of codes.
        """
        import torch

        right = found.diagonal()[:, None]
        known = (true > SAME) | torch.eye(*true.shape, dtype=torch.bool, device=true.device)
        wrong = found.masked_fill(known, -1e9)
        hardest = wrong.topk(min(HARDEST, wrong.shape[1]), dim=1).values
        return -torch.log_softmax(torch.cat([right, hardest], dim=1) / TEMPERATURE, dim=1)[:, 0].mean()

    def _soft(self, true: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Cross-entropy between the distributions over columns that cosines of vectors and of codes give."""
        import torch

        wanted = torch.softmax(true / TEMPERATURE, dim=1)
        scale = self.parameters["sharpness"].exp() / TEMPERATURE
        return -(wanted * torch.log_softmax(found * scale, dim=1)).sum(dim=1).mean()

    def _waiting(self) -> tuple[torch.Tensor, torch.Tensor]:
        filled = int(self.buffers["queue_next"][1])
        # Copies: the queue moves on before the gradient is taken.
        return self.buffers["queue"][:filled].clone(), self.buffers["queue_seen"][:filled]

    def _follow(self, x: torch.Tensor) -> None:
        """Let the slow copy follow, and put its codes of ``x`` into the queue."""
        import torch

        for name in self.maps:
            self.buffers[f"slow_{name}"].lerp_(self.parameters[name], 1 - MOMENTUM)
        weights = {name: self.buffers[f"slow_{name}"] for name in self.maps}
        x = x[: self.queue]
        first, filled = map(int, self.buffers["queue_next"])
        places = (torch.arange(len(x), device=x.device) + first) % self.queue
        self.buffers["queue"][places] = self._code(x, weights, learning=False)
        self.buffers["queue_seen"][places] = x
        self.buffers["queue_next"] = torch.tensor([(first + len(x)) % self.queue, min(filled + len(x), self.queue)])

    # -- the recurrence ------------------------------------------------------------------------

    def _code(
        self, x: torch.Tensor, weights: dict[str, torch.Tensor] | None = None, *, learning: bool = True
    ) -> torch.Tensor:
        """Codes ``b`` (n, dim) at unit length."""
        import torch

        weights = self.parameters if weights is None else weights
        b = self._step(self._map(weights, "code", 0, x, learning))
        for loop in range(self.shape.loops):
            guess = torch.nn.functional.normalize(self._map(weights, "back", loop, b, learning), dim=1)
            b = b + 0.5 ** (loop + 1) * self._step(self._map(weights, "code", loop + 1, x - guess, learning))
        return torch.nn.functional.normalize(b, dim=1)

    def _step(self, z: torch.Tensor) -> torch.Tensor:
        """Signs whose gradient is that of ``z`` where ``|z| <= 1`` and zero elsewhere (straight through)."""
        import torch

        if not self.shape.sign:
            return z
        passed = z.clamp(-1, 1)
        return passed + (torch.where(z >= 0, 1.0, -1.0) - passed).detach()

    def _map(
        self, weights: dict[str, torch.Tensor], side: str, which: int, x: torch.Tensor, learning: bool
    ) -> torch.Tensor:
        import torch

        parts = [_linear(weights[f"{side}_skip"][which], x)] if self.shape.skip else []
        if self.shape.hidden:
            hidden = x
            for block in range(self.shape.blocks):
                layer = weights[f"{side}_first"] if block == 0 else weights[f"{side}_middle"][:, block - 1]
                hidden = _linear(layer[which], hidden)
                hidden = torch.relu(self._normalized(weights, side, which, block, hidden, learning))
            parts.append(_linear(weights[f"{side}_last"][which], hidden))
        return torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]

    def _normalized(
        self, weights: dict[str, torch.Tensor], side: str, which: int, block: int, x: torch.Tensor, learning: bool
    ) -> torch.Tensor:
        import torch

        return torch.nn.functional.batch_norm(
            x,
            self.buffers[f"{side}_mean"][which, block],
            self.buffers[f"{side}_var"][which, block],
            weights[f"{side}_scale"][which, block],
            weights[f"{side}_shift"][which, block],
            training=learning,
            momentum=_BN_MOMENTUM,
            eps=_BN_EPSILON,
        )

    # -- what is seen of it --------------------------------------------------------------------

    def quality(self) -> float:
        """Recall of cosines between codes, on held-out vectors."""
        from octant.descent import arrays

        code, back = serving(arrays({**self.parameters, **self.buffers}), self.shape)
        q, x = (coded(code, back, part, sign=self.shape.sign) for part in (self.split.queries, self.split.points))
        return self.split.recall(unit(q) @ unit(x).T)


def _linear(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return x @ matrix[:, :-1].T + matrix[:, -1]


def coded(code: Maps, back: Maps, x: FloatArray, *, sign: bool = True) -> FloatArray:
    """Codes (n, dim) of ``x``: composed signs, or what they are signs of."""
    return composed(recurrent_signs(code, back, x)) if sign else code(0, x)


# -- before and after training -----------------------------------------------------------------------


def _start(x: FloatArray, shape: Shape, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Where training starts: Xavier-normal layers, and beside them, if there is a skip, rotated signs.

    With a skip the MLP's last layer is zero, so the first codes are the signs of ``x`` and of its residuals under
    random rotations of the principal directions.
    """
    width = x.shape[1]
    start: dict[str, FloatArray] = {}
    sides = (("code", shape.loops + 1, width, shape.dim), ("back", shape.loops, shape.dim, width))
    for side, maps, fan_in, out in sides:
        if shape.hidden:
            start[f"{side}_first"] = _xavier(rng, maps, shape.hidden, fan_in)
            start[f"{side}_middle"] = _xavier(rng, maps * (shape.blocks - 1), shape.hidden, shape.hidden).reshape(
                maps, shape.blocks - 1, shape.hidden, shape.hidden + 1
            )
            start[f"{side}_last"] = _xavier(rng, maps, out, shape.hidden) * np.float32(not shape.skip)
            start[f"{side}_scale"] = np.ones((maps, shape.blocks, shape.hidden), np.float32)
            start[f"{side}_shift"] = np.zeros((maps, shape.blocks, shape.hidden), np.float32)
    if shape.skip:
        start["code_skip"], start["back_skip"] = _rotations(x[:10_000], shape, rng)
    return start


def _xavier(rng: np.random.Generator, maps: int, out: int, fan_in: int) -> FloatArray:
    weights = rng.standard_normal((maps, out, fan_in)) * np.sqrt(2 / (fan_in + out))
    return np.concatenate([weights, np.zeros((maps, out, 1))], axis=2).astype(np.float32)


def _rotations(x: FloatArray, shape: Shape, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Linear maps (loops + 1, dim, in + 1) to codes, and (loops, in, dim + 1) back by least squares."""
    code = np.zeros((shape.loops + 1, shape.dim, x.shape[1] + 1), np.float32)
    back = np.zeros((shape.loops, x.shape[1], shape.dim + 1), np.float32)
    rows = _rotation(x, shape.dim, rng)
    residual, b = x, np.zeros((len(x), shape.dim), np.float32)
    for loop in range(shape.loops + 1):
        # The same rows in every loop: a later sign then refines the earlier sign of its own coordinate.
        code[loop] = _centred(rows, residual)
        z = residual @ code[loop, :, :-1].T + code[loop, :, -1]
        b = b + np.float32(0.5**loop) * np.where(z >= 0, 1, -1).astype(np.float32)
        if loop < shape.loops:
            back[loop] = least_squares(b, x).T
            residual = x - unit(b @ back[loop, :, :-1].T + back[loop, :, -1])
    return code, back


def _rotation(x: FloatArray, dim: int, rng: np.random.Generator) -> FloatArray:
    """``dim`` rows that are random rotations of the largest principal directions of ``x``."""
    directions = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], -1))[1][:, ::-1]
    blocks, missing = [], dim
    while missing > 0:
        kept = directions[:, : min(missing, x.shape[1])]
        blocks.append(np.linalg.qr(rng.standard_normal((kept.shape[1], kept.shape[1])))[0] @ kept.T)
        missing -= kept.shape[1]
    return np.concatenate(blocks).astype(np.float32)


def _centred(rows: FloatArray, x: FloatArray) -> FloatArray:
    """``rows`` (dim, in) with biases that centre ``x``, at a size where gradients pass: mostly ``|z| <= 1``."""
    mean = x.mean(axis=0)
    scaled = rows * (0.7 / max(float(((x - mean) @ rows.T).std()), float(np.finfo(np.float32).tiny)))
    return np.concatenate([scaled, -(scaled @ mean)[:, None]], axis=1).astype(np.float32)


def least_squares(inputs: FloatArray, targets: FloatArray, ridge: float = 1e-2) -> FloatArray:
    """The affine map (in + 1, out) of least squared error from ``inputs`` (n, in) to ``targets`` (n, out)."""
    mean_in, mean_out = inputs.mean(axis=0), targets.mean(axis=0)
    centred = (inputs - mean_in).astype(np.float64)
    moment = centred.T @ centred
    moment.flat[:: len(moment) + 1] += ridge * max(np.trace(moment) / len(moment), np.finfo(np.float32).tiny)
    slope = np.linalg.solve(moment, centred.T @ (targets - mean_out))
    return np.concatenate([slope, (mean_out - mean_in @ slope)[None]]).astype(np.float32)


def serving(state: dict[str, FloatArray], shape: Shape) -> tuple[Maps, Maps]:
    """The maps to codes and back, batch normalisation folded into the layers before it."""
    return _folded(state, "code", shape, shape.loops + 1), _folded(state, "back", shape, shape.loops)


def _folded(state: dict[str, FloatArray], side: str, shape: Shape, maps: int) -> Maps:
    out, skip = _sizes(state, side, shape)
    if not shape.hidden:
        fan_in = skip.shape[2]
        empty = np.zeros((maps, 0, fan_in), np.float32), np.zeros((maps, 0, 0, 1), np.float32)
        return Maps(skip, *empty, np.zeros((maps, out, 1), np.float32))
    factor = state[f"{side}_scale"] / np.sqrt(state[f"{side}_var"] + _BN_EPSILON)
    shift = state[f"{side}_shift"] - state[f"{side}_mean"] * factor
    first = state[f"{side}_first"] * factor[:, 0, :, None]
    first[:, :, -1] += shift[:, 0]
    middle = state[f"{side}_middle"] * factor[:, 1:, :, None]
    middle[..., -1] += shift[:, 1:]
    return Maps(skip, first, middle, state[f"{side}_last"])


def _sizes(state: dict[str, FloatArray], side: str, shape: Shape) -> tuple[int, FloatArray]:
    """Outputs of the maps of ``side``, and their skips: of no rows where there are none."""
    if shape.skip:
        skip = state[f"{side}_skip"]
        return skip.shape[1], skip
    first, last = state[f"{side}_first"], state[f"{side}_last"]
    return last.shape[1], np.zeros((len(first), 0, first.shape[2]), np.float32)


# -- pairs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs:
    """Real queries, and for each the vectors nearest to it.

    Attributes
    ----------
    queries : (m, dim) float32
    partners : (m, nearest) int64
        Rows of the vectors that are trained on.
    """

    queries: FloatArray
    partners: np.ndarray

    @classmethod
    def of(cls, queries: FloatArray, seen: FloatArray) -> Pairs:
        """Each of ``queries`` (m, dim) with its nearest of ``seen`` (n, dim), by dot product."""
        k = min(_NEAREST, len(seen))
        nearest = [
            np.argpartition(-(queries[first : first + _BLOCK] @ seen.T), k - 1, axis=1)[:, :k]
            for first in range(0, len(queries), _BLOCK)
        ]
        return cls(queries, np.concatenate(nearest))
