"""Fitted representations of one sample; what several have in common is fitted once."""

from __future__ import annotations

import numpy as np

from octant import coverage
from octant.errors import OctantError
from octant.oversampling import CoverageCurve
from octant.quantizers.chain import Chain
from octant.records import Distance, FloatArray
from octant.representation import Representation

ROUGH_QUERIES = 100


class Fits:
    """Fits on ``documents`` (n, dim), of which a fifth is kept out where there are enough.

    What is kept out measures how many candidates two stages need, and what learned codes lose, as when a collection is
    fitted on its own vectors.

    Parameters
    ----------
    documents : (n, dim) float32
    distance : Distance
    seed : int
    roughly : bool
        Measure how many candidates a coarse stage must propose with fewer queries, and once for all fine stages behind
        it. It takes most of the time of a small sample, and fine stages differ little in it.
    """

    def __init__(self, documents: FloatArray, distance: Distance, seed: int, *, roughly: bool = False) -> None:
        self._distance, self._seed, self._roughly = distance, seed, roughly
        order = np.random.default_rng(seed).permutation(len(documents))
        count = 0
        if len(documents) >= coverage.LEAST_TO_SPLIT:
            count = min(coverage.MOST_POINTS, int(coverage.HELD_OUT * len(documents)))
        self._learn: FloatArray = documents[np.sort(order[count:])]
        self.unseen: FloatArray = documents[np.sort(order[:count])]
        self._chains: dict[str, Chain] = {}
        self._curves: dict[str, CoverageCurve | None] = {}

    def representation(self, spec: str) -> Representation:
        """The fitted representation of ``spec``.

        Raises
        ------
        OctantError
            If a codec refuses, for too few vectors say.
        """
        parsed = Representation.parse(spec)
        fine = None if parsed.fine is None else self._chain(parsed.fine)
        return Representation(self._chain(parsed.coarse), fine)

    def _chain(self, chain: Chain) -> Chain:
        if not chain.learns:
            return chain
        key = repr(chain)
        if key not in self._chains:
            self._chains[key] = chain.blank().fit(self._learn, rng=self._seed)
        return self._chains[key]

    def curve(self, fitted: Representation) -> CoverageCurve | None:
        """How many candidates the two stages of ``fitted`` need; None for one stage, or where nothing can be said."""
        if fitted.fine is None:
            return None
        key = repr(fitted.coarse) if self._roughly else fitted.spec
        if key not in self._curves:
            self._curves[key] = self._measured(fitted)
        return self._curves[key]

    def _measured(self, fitted: Representation) -> CoverageCurve | None:
        held_out = len(self.unseen) > 0
        x = self.unseen if held_out else self._learn
        asked = None
        if self._roughly and len(x) >= coverage.LEAST_POINTS + ROUGH_QUERIES:
            x, asked = x[ROUGH_QUERIES:], x[:ROUGH_QUERIES]
        try:
            return coverage.measure(fitted, x, self._distance, held_out=held_out, queries=asked, rng=self._seed)
        except OctantError:
            return None
