"""Distribution-based score fusion, every embedding alike: Qdrant's other fusion, as a control."""

from __future__ import annotations

from octant.fusion import Fusion
from octant.rankings import Rankings
from octant.selectors.base import Choice, Selector
from octant.selectors.rrf import evenly


class DistributionBasedScoreFusion(Selector):
    """Sum of scores placed between three standard deviations below their mean and three above, clipped to [0, 1]."""

    name = "dbsf"

    def _select(self, rankings: Rankings) -> Choice:
        return evenly(Fusion("dbsf"), rankings)
