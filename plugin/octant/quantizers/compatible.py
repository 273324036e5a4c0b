"""Backward-compatible queries: a newer embedding model searches an index whose codes stay as they are.

Re-encoding a large collection for a new model is dear. BEBR (arXiv:2302.08714) instead trains the new queries with its
contrast against the *old, frozen* codes of documents, beside the same contrast in their own space. Here what is trained
is a map from the new model's space to the old one, so it serves any fitted codec, and any collection: what it makes of
a new query is searched for as if the old model had made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors
from typing_extensions import Self

from octant.descent import Schedule, arrays, need_torch, tensor, train
from octant.errors import ArtifactError, DimensionError, InputError, MismatchError, NotFittedError, TooFewVectorsError
from octant.quantizers.arguments import count
from octant.quantizers.base import Quantizer
from octant.quantizers.held_out import HELD_OUT, Split, best
from octant.quantizers.recurrent_fit import NOISE, TEMPERATURE, least_squares
from octant.quantizers.recurrent_maps import Maps, unit
from octant.quantizers.sample import check_varied
from octant.records import FloatArray
from octant.vectors import as_matrix
from octant.work import QUIET, Work, fingerprint

if TYPE_CHECKING:
    import torch

OWN_SPACE = 0.5
"""Weight of the contrast between new queries, beside that of new queries with old codes."""
RIDGES = (1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Shares of the new vectors' mean variance that compete as regularisation of the start."""
_LEAST = 50
_KEY, _FORMAT = "octant", "octant-compatible-queries"


class CompatibleQueries:
    """From a new model's embeddings to the space of an old model's frozen codes.

    Parameters
    ----------
    hidden : int, optional
        Width of the MLP beside the linear map; by default that of the new embeddings.
    steps : int
        Batches of 256 at most; training stops early on held-out vectors.

    Attributes
    ----------
    codec_ : str
        SHA-256 of the codec whose codes it was trained on.

    Examples
    --------
    >>> CompatibleQueries(steps=100)
    CompatibleQueries(hidden=None, steps=100)
    """

    def __init__(self, hidden: int | None = None, steps: int = 500) -> None:
        self.hidden = None if hidden is None else count("hidden", hidden)
        self.steps = count("steps", steps)
        self.codec_ = ""
        self._maps: Maps | None = None

    def __repr__(self) -> str:
        return f"CompatibleQueries(hidden={self.hidden}, steps={self.steps})"

    def fit(
        self,
        new: ArrayLike,
        codes: ArrayLike,
        codec: Quantizer,
        *,
        rng: np.random.Generator | int = 0,
        work: Work = QUIET,
    ) -> Self:
        """Learn from texts that the index holds: their embeddings by the new model, and their old codes.

        The old model and its embeddings are not needed. A failed fit leaves the object as it was.

        Parameters
        ----------
        new : (n, new_dim) array_like of float
        codes : (n, width) array_like
            Row for row of the same texts, as ``codec.encode`` made them.
        codec : Quantizer
            Fitted; it is not changed.
        rng : Generator or int
        work : Work

        Raises
        ------
        MissingExtraError
            Without torch.
        InputError
            If there are not as many codes as vectors, or fewer than 50 of them.
        NotFittedError
            If ``codec`` is not fitted.
        """
        need_torch("compatible queries")
        x, old = as_matrix(new), codec.decode(codes)
        if len(x) != len(old):
            raise InputError(f"new vectors and old codes must be of the same texts: got {len(x)} and {len(old)}")
        if len(x) < _LEAST:
            raise TooFewVectorsError(
                f"at least {_LEAST} pairs are needed to learn from, got {len(x)}: embed more texts"
            )
        check_varied("compatible queries", x)
        generator = np.random.default_rng(rng)
        key = fingerprint(repr(self), generator, x, old)
        split = Split.of(unit(x), generator)
        split, pairs = _Pairs.of(split, unit(x), unit(old)).crowded(split)
        learner = _Learner(pairs, split, self.hidden or x.shape[1], generator)
        seed = int(generator.integers(2**62))
        trained = train(learner, Schedule(self.steps), what=repr(self), seed=seed, key=key, work=work)
        work.done(key)
        self._maps, self.codec_ = _served(trained), identity(codec)
        return self

    def encode(self, q: ArrayLike, codec: Quantizer | None = None) -> FloatArray:
        """New queries (m, new_dim) as unit vectors (m, old_dim) of the old model's space.

        Search a collection with them, or hand them to ``codec.encode_query``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        MismatchError
            If ``codec`` is given, and is not the one whose codes this was trained on.
        DimensionError
            If the queries are not as wide as the new model's embeddings.
        """
        maps = self._fitted()
        if codec is not None and identity(codec) != self.codec_:
            raise MismatchError(
                f"these queries were trained for the codes of the codec {self.codec_[:12]}, got "
                f"{identity(codec)[:12]}, {codec!r}: fit them again on its codes"
            )
        matrix = as_matrix(q, what="queries")
        if matrix.shape[1] != maps.skip.shape[2] - 1:
            raise DimensionError(
                f"expected queries of {maps.skip.shape[2] - 1} coordinates, got {matrix.shape[1]}: is this the model "
                "that was trained for?"
            )
        return unit(maps(0, unit(matrix)))

    def dump(self) -> bytes:
        """What was learned, as a safetensors file.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        header = {"format": _FORMAT, "hidden": self.hidden, "steps": self.steps, "codec": self.codec_}
        learned = {name: np.ascontiguousarray(value) for name, value in self._fitted().arrays("query").items()}
        return safetensors.save(learned, metadata={_KEY: json.dumps(header, sort_keys=True)})

    @classmethod
    def load(cls, data: bytes) -> CompatibleQueries:
        """The object that :meth:`dump` wrote.

        Raises
        ------
        ArtifactError
            If ``data`` is truncated, corrupt or something else.
        """
        try:
            learned = safetensors.load(data)
            length = int.from_bytes(data[:8], "little")
            header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
            loaded = cls(header["hidden"], header["steps"])
            loaded.codec_, loaded._maps = str(header["codec"]), Maps.of(learned, "query")
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _not_ours(data, repr(error)) from error
        if header.get("format") != _FORMAT:
            raise _not_ours(data, f"its format is {header.get('format')!r}")
        return loaded

    def _fitted(self) -> Maps:
        if self._maps is None:
            raise NotFittedError(f"{self!r} has to learn from vectors and codes first: call fit(new, codes, codec)")
        return self._maps


def _not_ours(data: bytes, reason: str) -> ArtifactError:
    return ArtifactError(
        f"expected what CompatibleQueries.dump wrote, got {len(data)} bytes that are not ({reason}): fit them again, "
        "or restore the file from a backup"
    )


def identity(codec: Quantizer) -> str:
    """SHA-256 of a fitted codec's configuration and state."""
    digest = hashlib.sha256(json.dumps([codec.name, codec.config], sort_keys=True).encode())
    for name, value in sorted(codec.state.items()):
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


class _Pairs:
    """New vectors to train on, with what their old codes decode to; the same of the held-out points."""

    def __init__(self, new: FloatArray, old: FloatArray, points: FloatArray) -> None:
        self.new, self.old, self.points = new, old, points

    @classmethod
    def of(cls, split: Split, new: FloatArray, old: FloatArray) -> _Pairs:
        row_of = {row.tobytes(): number for number, row in enumerate(new)}
        seen, points = ([row_of[row.tobytes()] for row in part] for part in (split.seen, split.points))
        return cls(split.seen, old[seen], old[points])

    def crowded(self, split: Split) -> tuple[Split, _Pairs]:
        """``split`` with the vectors that were trained on among its points: held-out ones alone are too few to hide in.

        An index is larger than what can be held out, and telling near neighbours apart is what a contrast unlearns.
        """
        new = np.concatenate([split.points, self.new[:HELD_OUT]])
        old = np.concatenate([self.points, self.old[:HELD_OUT]])
        true = best(split.queries @ new.T, split.true.shape[1])
        return Split(split.seen, split.queries, new, true), _Pairs(self.new, self.old, old)


class _Learner:
    """The map under training; see :class:`octant.descent.Learner`."""

    def __init__(self, pairs: _Pairs, split: Split, hidden: int, rng: np.random.Generator) -> None:
        self.split, self.points = split, pairs.points
        self.new, self.old, self.rows = tensor(pairs.new), tensor(pairs.old), len(pairs.new)
        fan_in, out = pairs.new.shape[1], pairs.old.shape[1]
        first = rng.standard_normal((hidden, fan_in)) * np.sqrt(2 / fan_in)
        start: Mapping[str, NDArray[Any]] = {
            # Least squares onto what the codes decode to is a good start already, and competes to the end.
            "skip": _regression(pairs, split),
            "first": np.concatenate([first, np.zeros((hidden, 1))], axis=1),
            "last": np.zeros((out, hidden + 1)),
            "sharpness": np.zeros(()),
        }
        self.parameters = {name: tensor(value.astype(np.float32)).requires_grad_(True) for name, value in start.items()}
        self.buffers: dict[str, torch.Tensor] = {}

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Contrast with the old codes of the same texts, and with the new queries themselves under noise."""
        import torch

        new, old = self.new[rows.to(self.new.device)], self.old[rows.to(self.new.device)]
        mapped = self._apply(new)
        drawn = torch.randn(new.shape, generator=noise).to(new.device)
        blurred = torch.nn.functional.normalize(new + NOISE / new.shape[1] ** 0.5 * drawn, dim=1)
        wanted = torch.softmax(new @ new.T / TEMPERATURE, dim=1)
        found = mapped @ old.T
        own = mapped @ self._apply(blurred).T
        return self._soft(wanted, found) + self._soft(wanted, found.T) + OWN_SPACE * self._soft(wanted, own)

    def _soft(self, wanted: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        import torch

        scale = self.parameters["sharpness"].exp() / TEMPERATURE
        return -(wanted * torch.log_softmax(found * scale, dim=1)).sum(dim=1).mean()

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        skip, first, last = (self.parameters[part] for part in ("skip", "first", "last"))
        hidden = torch.relu(x @ first[:, :-1].T + first[:, -1])
        return torch.nn.functional.normalize(
            x @ skip[:, :-1].T + skip[:, -1] + hidden @ last[:, :-1].T + last[:, -1], dim=1
        )

    def quality(self) -> float:
        """Recall of held-out new vectors as queries among the old codes of others; the new model says what is near."""
        maps = _served(arrays(self.parameters))
        return self.split.recall(unit(maps(0, self.split.queries)) @ self.points.T)


def _regression(pairs: _Pairs, split: Split) -> FloatArray:
    """The affine map (old_dim, new_dim + 1) whose ridge finds most: few texts would otherwise be learned by heart."""
    fits = [least_squares(pairs.new, pairs.old, ridge) for ridge in RIDGES]
    found = [split.recall(unit(split.queries @ fit[:-1] + fit[-1]) @ pairs.points.T) for fit in fits]
    return np.asarray(fits[int(np.argmax(found))].T)


def _served(state: Mapping[str, FloatArray]) -> Maps:
    skip, first, last = (state[part] for part in ("skip", "first", "last"))
    return Maps(skip[None], first[None], np.zeros((1, 0, len(first), len(first) + 1), np.float32), last[None])
