"""Made-up generations for tests of answer-level confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from octant.confidence import Distributions, Generation
from octant.records import Candidate, Ranking
from octant.token_logprobs import TokenLogprob


def tokens(*probabilities: float) -> tuple[TokenLogprob, ...]:
    """Tokens whose probabilities are these, without alternatives."""
    return tuple(TokenLogprob(f"t{place}", math.log(p) if p else -math.inf) for place, p in enumerate(probabilities))


def generation(name: str, text: str, *probabilities: float, ids: Sequence[str] = ()) -> Generation:
    """An answer with the probabilities of its tokens; none for a model that does not tell."""
    read = Distributions.of_tokens(tokens(*probabilities)) if probabilities else None
    passages = Ranking(tuple(Candidate(point, 1 - place / 10) for place, point in enumerate(ids))) if ids else None
    return Generation(name, text, read, passages)
