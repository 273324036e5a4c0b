"""From the scores that an engine gives to those that leave, and back for a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from octant.records import Distance

_ROUNDING = 1e-5
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ScoreMap:
    """From the engine's raw score to the score that leaves: ``similarity = scale * g(raw) + offset``.

    Attributes
    ----------
    scale, offset : float
    metric : Distance
        What the engine computed; ``g`` is minus the square under Euclid, minus the value under Manhattan.
    distance : Distance
        The collection's; a Euclid similarity (minus a squared distance) leaves as minus the distance.
    """

    scale: float
    offset: float
    metric: Distance
    distance: Distance

    def __call__(self, raw: float) -> float:
        """The score of a raw engine score; higher is better."""
        if self.metric is Distance.EUCLID:
            raw = -raw * raw
        elif self.metric is Distance.MANHATTAN:
            raw = -raw
        similarity = self.scale * raw + self.offset
        if self.distance is Distance.EUCLID:
            return -float(np.sqrt(max(-similarity, 0.0)))
        return similarity

    def raw_threshold(self, least: float) -> float | None:
        """The engine's own threshold that lets through every raw score whose score is at least ``least``.

        It lies a rounding error (1e-5, relative) on the generous side, since the engine compares in float32: what it
        lets through is still to be compared with ``least``. Minus a distance has an upper threshold in the engine.

        Parameters
        ----------
        least : float
            A score that leaves; not NaN.

        Returns
        -------
        float or None
            None where no threshold says it: ``least`` is minus infinity, or ``scale`` is not positive.
        """
        if not self.scale > 0 or least == -np.inf:
            return None
        least = min(max(least, -_LARGEST), _LARGEST)
        similarity = -(min(least, 0.0) ** 2) if self.distance is Distance.EUCLID else least
        raw = (similarity - self.offset) / self.scale
        raw -= _ROUNDING * (abs(raw) + (abs(similarity) + abs(self.offset)) / self.scale)
        if self.metric is Distance.EUCLID:
            raw = float(np.sqrt(max(-raw, 0.0)))
        elif self.metric is Distance.MANHATTAN:
            raw = max(-raw, 0.0)
        return float(np.clip(raw, -_LARGEST, _LARGEST))
