"""Judges that stand in for language models: preferences, position bias and random error fitted to recorded answers.

A judge sees in every passage a utility: what its grade is worth, an error of its own that it makes whenever it reads
this passage for this query, and a bias for the place where the passage is shown. It answers with an order drawn by
Plackett and Luce's model of these utilities (Plackett 1975), of which choosing between two passages is the case of two:
fresh noise for every question. A passage that is shown in part is read with one more error, as large against the
spread of utilities as the change of its cosine to the query is against the spread of cosines (MiniLM, measured).

What is fitted, by maximum likelihood over recorded orders: the worth of each grade, the bias, one error for every
(query, passage) under a normal prior, and the prior's width, which predicts best the orders that were left out.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

_SHOWN = re.compile(r"<passage>(.*?)</passage>", re.DOTALL)
_LABELLED = re.compile(r"^\[([^\]]+)\] <passage>(.*)</passage>$", re.MULTILINE)
_HIGHEST = re.compile(r"from 0 \(not at all\) to (\d+)")
_REASON = "It names what the query asks for, but leaves open when and where, and gives no source for what it says."
"""Of the length that the prompt asks for, since what reasons cost is part of a method's price."""
_WIDTHS = (1.0, 1.5, 2.0)
_TRIED = 2000
_STEPS, _RATE = 160, 0.15


@dataclass(frozen=True)
class Listed:
    """One recorded order: the passages as they were shown, their grades, and their places from the best on."""

    passages: tuple[Hashable, ...]
    levels: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """A recorded model in numbers, in the unit of Plackett and Luce's noise.

    Attributes
    ----------
    worth : tuple of float
        Utility of each grade; the last one is of passages that nobody graded.
    bias : float
        Utility that the passage shown last has over the one shown first.
    width : float
        Standard deviation of the errors that a passage keeps.
    told : float
        Mean log-likelihood of a place in the orders left out, above that of a blind guess.
    errors, levels : mapping
        Of each passage that was seen.
    """

    worth: tuple[float, ...]
    bias: float
    width: float
    told: float
    errors: Mapping[Hashable, float]
    levels: Mapping[Hashable, int]

    def utility(self, passage: Hashable, level: int, seed: str) -> float:
        """What the model sees in a passage: as recorded, or with an error drawn from those of the same grade."""
        if passage in self.errors:
            return self.worth[level] + self.errors[passage]
        pool = self._pools.get(level) or [0.0]
        return self.worth[level] + pool[_number(f"{seed}|{passage}") % len(pool)]

    @cached_property
    def _pools(self) -> Mapping[int, list[float]]:
        pools: dict[int, list[float]] = {}
        for passage, error in self.errors.items():
            pools.setdefault(self.levels[passage], []).append(error)
        everything = [error for pool in pools.values() for error in pool]
        return {
            level: pool if len(pool) >= 100 else everything for level, pool in _all_levels(pools, self.worth).items()
        }


def _all_levels(pools: Mapping[int, list[float]], worth: Sequence[float]) -> dict[int, list[float]]:
    return {level: pools.get(level, []) for level in range(len(worth))}


def fit(lists: Sequence[Listed], levels: int, *, linear: bool = False) -> Fitted:
    """The judge that makes ``lists`` likeliest; a fifth of some of them chooses the width of its errors.

    ``linear``: a grade's worth is in proportion to it, where the lists hold too few of some grades.
    """
    tried = lists[:_TRIED]
    kept = [x for i, x in enumerate(tried) if i // 2 % 5]  # both orders of a pair stay together
    left_out = [x for i, x in enumerate(tried) if not i // 2 % 5]
    told = {width: _told(left_out, _solve(kept, levels, width, linear)) for width in _WIDTHS}
    width = max(told, key=lambda w: told[w])
    worth, bias, errors = _solve(lists, levels, width, linear)
    level_of = {passage: level for x in lists for passage, level in zip(x.passages, x.levels, strict=True)}
    return Fitted(tuple(worth.tolist()), bias, width, told[width], errors, level_of)


def _arrays(lists: Sequence[Listed], places: Mapping[Hashable, int]) -> tuple[np.ndarray, ...]:
    """Passage, level, place shown and mask (lists, longest), best first."""
    longest = max(len(x.order) for x in lists)
    passage, level = (np.zeros((len(lists), longest), np.int64) for _ in range(2))
    shown, there = np.zeros((len(lists), longest)), np.zeros((len(lists), longest), bool)
    for row, x in enumerate(lists):
        n = len(x.order)
        passage[row, :n] = [places.get(x.passages[i], len(places)) for i in x.order]
        level[row, :n] = [x.levels[i] for i in x.order]
        shown[row, :n] = [i / max(1, len(x.passages) - 1) for i in x.order]
        there[row, :n] = True
    return passage, level, shown, there


def _likelihood(utility: np.ndarray, there: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood of orders whose utilities (lists, longest) stand best first, and its gradient."""
    lifted = np.where(there, utility, -np.inf)
    powers = np.exp(lifted - lifted.max(axis=1, keepdims=True))
    left = np.cumsum(powers[:, ::-1], axis=1)[:, ::-1]  # of the passages not yet placed
    logs = np.log(np.maximum(powers, 1e-300)) - np.log(np.maximum(left, 1e-300))
    chosen = np.cumsum(np.where(there, 1 / np.maximum(left, 1e-300), 0.0), axis=1)
    return float(logs[there].sum()), np.where(there, 1 - powers * chosen, 0.0)


def _solve(
    lists: Sequence[Listed], levels: int, width: float, linear: bool
) -> tuple[np.ndarray, float, dict[Hashable, float]]:
    """Worths, bias and errors by gradient ascent (Adam)."""
    names = dict.fromkeys(p for x in lists for p in x.passages)
    places = {name: i for i, name in enumerate(names)}
    passage, level, shown, there = _arrays(lists, places)
    basis = np.arange(levels)[:, None].astype(float) if linear else np.eye(levels)
    theta = np.zeros(basis.shape[1] + 1 + len(places))
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    count = basis.shape[1]
    for step in range(1, _STEPS + 1):
        worth, bias, errors = basis @ theta[:count], theta[count], theta[count + 1 :]
        _, slope = _likelihood(worth[level] + bias * shown + errors[passage], there)
        by_level = np.bincount(level.ravel(), slope.ravel(), levels)
        by_error = np.bincount(passage.ravel(), slope.ravel(), len(places))
        rise = np.concatenate([by_level @ basis, [(slope * shown).sum()], by_error - errors / width**2])
        first, second = 0.9 * first + 0.1 * rise, 0.99 * second + 0.01 * rise**2
        rate = _RATE * min(1.0, 2 * (1 - step / _STEPS) + 0.01)
        theta += rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-9)
    worth = basis @ theta[:count]
    return worth - worth[0], float(theta[count]), dict(zip(places, theta[count + 1 :].tolist(), strict=True))


def _told(lists: Sequence[Listed], solved: tuple[np.ndarray, float, Mapping[Hashable, float]]) -> float:
    worth, bias, errors = solved
    places = {name: i for i, name in enumerate(errors)}
    passage, level, shown, there = _arrays(lists, places)
    known = np.array([*errors.values(), 0.0])
    told, _ = _likelihood(worth[level] + bias * shown + known[passage], there)
    blind, _ = _likelihood(np.zeros(level.shape), there)
    return (told - blind) / int(there.sum())


class Judge:
    """A model, for one query: answers listwise, pairwise and pointwise prompts about passages it knows.

    Parameters
    ----------
    utilities : mapping
        Escaped text of each passage to its utility when read in full.
    bias : float
        As of :class:`Fitted`.
    span : (float, float)
        Utilities that earn the lowest and the highest grade.
    seed : str
        Of the noise: the same question gets the same answer.
    hidden : float
        Error of reading a passage in part, in standard deviations of the utilities.
    """

    def __init__(
        self, utilities: Mapping[str, float], bias: float, span: tuple[float, float], seed: str, hidden: float
    ) -> None:
        self._utilities, self._bias, self._span, self._seed = utilities, bias, span, seed
        self._error = hidden * float(np.std(list(utilities.values())))
        self._in_part: dict[str, float] = {}

    def __call__(self, prompt: str) -> str:
        noise = np.random.default_rng(_number(f"{self._seed}|{prompt}"))
        labelled = _LABELLED.findall(prompt)
        if labelled:
            order = self._order([text for _, text in labelled], noise)
            ranking = " > ".join(f"[{labelled[i][0]}]" for i in order)
            if "begins with Ranking:" not in prompt:
                return ranking
            reasons = "\n".join(f"[{label}]: {_REASON}" for label, _ in labelled)
            return f"{_REASON}\n{reasons}\nRanking: {ranking}"
        shown = _SHOWN.findall(prompt)
        if "Passage B:" in prompt:
            return "AB"[self._order(shown[-2:], noise)[0]]
        low, high = self._span
        felt = self._utility(shown[-1]) + noise.gumbel() - np.euler_gamma
        share = float(np.clip((felt - low) / (high - low), 0, 1))
        grades = _HIGHEST.search(prompt)
        return str(round(share * int(grades[1]))) if grades else ("Yes" if share > 0.5 else "No")

    def _order(self, shown: Sequence[str], noise: np.random.Generator) -> list[int]:
        felt = np.array([self._utility(text) for text in shown])
        felt += self._bias * np.arange(len(shown)) / max(1, len(shown) - 1) + noise.gumbel(size=len(shown))
        return np.argsort(-felt).tolist()

    def _utility(self, shown: str) -> float:
        known = self._utilities.get(shown, self._in_part.get(shown))
        if known is None:
            full = next(text for text in self._utilities if text.startswith(shown))
            drawn = np.random.default_rng(_number(f"{self._seed}|{shown}")).standard_normal()
            known = self._in_part[shown] = self._utilities[full] + self._error * float(drawn)
        return known


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
