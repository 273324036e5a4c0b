"""What a model believed at every token of an answer: whole distributions, or the likeliest tokens and the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octant.errors import InputError, NoLogprobsError
from octant.token_logprobs import TokenLogprob

Floats = NDArray[np.float64]

FLOOR = math.log(1e-12)
"""Natural logarithm that stands for anything less likely, minus infinity too: providers write 0, -9999 or -inf for what
they cut off, and one such token would decide over an answer of hundreds."""
HOLES = 0.5
"""Share of an answer's tokens without a log-probability above which nothing is read from the rest."""


@dataclass(frozen=True, eq=False)
class Distributions:
    """The distribution that every token of one answer was drawn from.

    Attributes
    ----------
    chosen : (n,) float64
        Log-probability of the token that was drawn, between :data:`FLOOR` and 0.
    steps : (n, m) float64
        Log-probabilities of the outcomes that are known at each place, minus infinity where a row has fewer. They sum
        to 1 in every row.
    outcomes : (n,) int64
        How many outcomes a row tells apart: all tokens of the vocabulary, or the known ones and one for the rest.
    exact : bool
        Whether rows are whole distributions over the vocabulary. False: the last known outcome is the probability
        missing from the likeliest tokens, as one bucket.
    holes : int
        Tokens of the answer for which the provider gave no log-probability; they are in none of the above.

    Raises
    ------
    InputError
        If the shapes do not fit, or there is no token.
    """

    chosen: Floats
    steps: Floats
    outcomes: NDArray[np.int64]
    exact: bool
    holes: int = 0

    def __post_init__(self) -> None:
        n = len(self.chosen)
        if not n or self.chosen.shape != (n,) or self.steps.shape[:1] != (n,) or self.outcomes.shape != (n,):
            raise InputError(
                f"expected chosen (n,), steps (n, m) and outcomes (n,), n at least 1; got shapes {self.chosen.shape}, "
                f"{self.steps.shape} and {self.outcomes.shape}"
            )

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def probabilities(self) -> Floats:
        """The known outcomes (n, m), 0 where a row has fewer."""
        return np.exp(self.steps)

    @classmethod
    def of_tokens(cls, tokens: Sequence[TokenLogprob]) -> Distributions:
        """From the likeliest tokens at each place, as hosted models give them: the truncated form.

        The outcomes of a place are the token that was drawn, the likeliest ones, and one bucket that holds the
        probability all of these leave.

        Raises
        ------
        NoLogprobsError
            If there is no token, or more than half of them have no log-probability.
        """
        known = [token for token in tokens if not math.isnan(token.logprob)]
        holes = len(tokens) - len(known)
        if not known or holes > HOLES * len(tokens):
            raise NoLogprobsError(
                f"{holes} of the answer's {len(tokens)} tokens have no log-probability: too many to judge by the rest"
                if tokens
                else "the answer has no tokens: there is nothing to read a confidence from"
            )
        rows = [_bucketed(token) for token in known]
        steps = np.full((len(rows), max(map(len, rows))), -np.inf)
        for row, values in zip(steps, rows, strict=True):
            row[: len(values)] = values
        chosen = np.array([max(token.logprob, FLOOR) for token in known])
        return cls(chosen, steps, np.array([len(row) for row in rows]), exact=False, holes=holes)

    @classmethod
    def of_scores(cls, scores: ArrayLike | Sequence[ArrayLike], ids: ArrayLike) -> Distributions:
        """From a local model's scores over its whole vocabulary: the exact form.

        Parameters
        ----------
        scores : (n, V) float, or n arrays (V,)
            Logits or log-probabilities: both end as the same distribution. Minus infinity is a probability of 0, as
            top-k and top-p sampling leave it.
        ids : (n,) int
            The tokens that were drawn.

        Raises
        ------
        InputError
            If the shapes do not fit, or an id is not in the vocabulary.
        NoLogprobsError
            If there is no token, or more than half of the rows hold NaN or nothing.
        """
        table = np.asarray(scores, np.float64)
        drawn = np.asarray(ids)
        if not drawn.size:
            raise NoLogprobsError("the answer has no tokens: there is nothing to read a confidence from")
        if table.ndim != 2 or drawn.shape != table.shape[:1] or drawn.dtype.kind not in "iu":
            raise InputError(f"expected scores (n, V) and ids (n,) int; got shapes {table.shape} and {drawn.shape}")
        if drawn.min() < 0 or drawn.max() >= table.shape[1]:
            raise InputError(f"ids must be in a vocabulary of {table.shape[1]}, got {drawn.min()} to {drawn.max()}")
        highest = table.max(axis=1)  # NaN in a row ends up here
        read = np.isfinite(highest)
        holes = int((~read).sum())
        if holes > HOLES * len(read):
            raise NoLogprobsError(f"the scores of {holes} of {len(read)} tokens are not numbers")
        shifted = table[read] - highest[read, None]
        steps = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        chosen = np.clip(steps[np.arange(len(steps)), drawn[read]], FLOOR, 0.0)
        return cls(chosen, steps, np.full(len(steps), table.shape[1]), exact=True, holes=holes)


def _bucketed(token: TokenLogprob) -> Floats:
    """Log-probabilities of what is known at one place and of everything else together, summing to 1."""
    known = np.array([*{token.token: token.logprob, **dict(token.top)}.values()])
    mass = np.exp(known)
    total = mass.sum()
    # Rounding may bring the known tokens above 1; the rest is then empty, and they are what there is.
    values = np.append(mass, 0.0) / total if total >= 1 else np.append(mass, 1 - total)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values), np.float64)
