"""The losses of E2Rank (2510.22733, section 3.3), for a query's side that learns against vectors that stay.

torch is imported by the functions here, never by the module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CONTRAST = 0.03
"""Temperature of InfoNCE."""
PAIRS = 0.1
"""Temperature of RankNet."""
RANKING = 2.0
"""Weight of RankNet beside InfoNCE."""


def info_nce(
    queries: torch.Tensor, documents: torch.Tensor, positive: torch.Tensor, others: torch.Tensor,
    temperature: float = CONTRAST,
) -> torch.Tensor:  # fmt: skip
    """Mean over queries of -log softmax(cosine / temperature) of the positive, among all documents of the batch.

    Parameters
    ----------
    queries : (b, dim)
        Unit length.
    documents : (m, dim)
        Unit length.
    positive : (b,) int64
        Row of each query's positive.
    others : (b, m) bool
        Documents that are relevant to the query too, and so no negatives: left out.
    temperature : float
    """
    import torch

    scores = (queries @ documents.T / temperature).masked_fill(others, -torch.inf)
    return torch.nn.functional.cross_entropy(scores, positive)


def rank_net(scores: torch.Tensor, gains: torch.Tensor, temperature: float = PAIRS) -> torch.Tensor:
    """Mean over pairs with gains j > k of log(1 + exp((s_k - s_j) / temperature)); 0 where no gains differ.

    Parameters
    ----------
    scores : (n,)
        Cosines.
    gains : (n,)
        Higher is more relevant.
    temperature : float
    """
    import torch

    better = gains[:, None] > gains[None, :]
    lost = (scores[None, :] - scores[:, None]) / temperature
    return torch.nn.functional.softplus(lost[better]).mean() if bool(better.any()) else scores.sum() * 0
