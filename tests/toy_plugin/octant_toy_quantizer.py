"""A quantizer for Octant in thirty lines: the signs of a vector, one bit a coordinate in RAM."""

import numpy as np

from octant.quantizers import Quantizer
from octant.records import Distance, EncodedQueries, NativeQuantization, StorageNeeds


class ToySign(Quantizer):
    name = "toy_sign"
    distances = frozenset({Distance.COSINE, Distance.DOT})
    state_names = ("height",)  # what _fit returns as "height" becomes self.height_

    def storage(self, dim, distance):
        searched = NativeQuantization("binary", bits=1, query_bits=8)  # pinned in RAM; turbo4 carries the signs
        how = {"rescore": False, "oversampling": 8.0, "raw_slope_by_query_peak": True}
        return StorageNeeds(dim, Distance.DOT, "turbo4", searched, **how)

    def _fit(self, x, queries, rng):
        return {"height": (x**2).mean() / np.abs(x).mean()}  # so that x . decode(encode(x)) is x . x

    def _encode(self, x):
        return np.where(x >= 0, 1, -1).astype(np.float32)

    def _decode(self, codes):
        return np.sign(codes) * self.height_

    def _encode_query(self, q, distance):  # similarity = height * raw
        return EncodedQueries(q, np.full(len(q), self.height_), np.zeros(len(q), np.float32))
