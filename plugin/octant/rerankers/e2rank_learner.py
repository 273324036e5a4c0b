"""The query's side of an embedding model while it learns to read listwise prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from octant.descent import device, tensor
from octant.errors import InputError
from octant.judged import ndcg
from octant.records import FloatArray
from octant.rerankers.e2rank_data import Batch, Lists
from octant.rerankers.e2rank_losses import RANKING, info_nce, rank_net
from octant.work import QUIET, Work

if TYPE_CHECKING:
    import torch

WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the pseudo-query that validation may choose from."""
_AT_ONCE = 16
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")


class PseudoQueries:
    """A model's embeddings of prompts, as its own ``encode_query`` makes them, but with gradients.

    Parameters
    ----------
    model : SentenceTransformer
        Changed by training.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.to(device()).eval()  # no dropout: the same seed gives the same model
        self._prefix = (getattr(model, "prompts", None) or {}).get("query") or ""

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit vectors (n, dim)."""
        import torch

        read = getattr(self.model, "preprocess", None) or self.model.tokenize
        features = read([self._prefix + prompt for prompt in prompts])
        placed = {key: value.to(device()) if hasattr(value, "to") else value for key, value in features.items()}
        return torch.nn.functional.normalize(self.model(placed)["sentence_embedding"].float(), dim=-1)

    def embedded(self, prompts: Sequence[str], work: Work = QUIET, what: str = "pseudo-queries") -> FloatArray:
        """Unit vectors (n, dim) float32 of any number of prompts, without gradients."""
        import torch

        starts = range(0, len(prompts), _AT_ONCE)
        with torch.no_grad():
            parts = [self(prompts[i : i + _AT_ONCE]).cpu().numpy() for i in work.steps(starts, what=what)]
        return np.concatenate(parts).astype(np.float32)

    def trainable(self, layers: int | None) -> dict[str, torch.Tensor]:
        """The parameters of the last ``layers`` transformer layers and of what follows them; None: all.

        The others are frozen, so that gradients need not reach them.

        Raises
        ------
        InputError
            If the model has no numbered layers, or fewer.
        """
        named = dict(self.model.named_parameters())
        numbers = {name: int(match[1]) for name in named if (match := _LAYER.search(name))}
        count = max(numbers.values(), default=-1) + 1
        if layers is not None and not 1 <= layers <= count:
            raise InputError(f"layers must be from 1 to the {count} that the model has, or None for all; got {layers}")
        first = 0 if layers is None else count - layers
        chosen: dict[str, torch.Tensor] = {}
        after = layers is None
        for name, parameter in named.items():
            after = after or numbers.get(name, -1) >= first
            learns = after if name not in numbers else numbers[name] >= first
            parameter.requires_grad_(learns)
            if learns:
                chosen[name] = parameter
        return chosen


class PseudoQueryLearner:
    """The query's side under training; see :class:`octant.descent.Learner`.

    Parameters
    ----------
    pseudo : PseudoQueries
    seen : Lists
        To learn from; each has candidates of different worth.
    watched : Lists
        To tell when to stop; none of them among the former.
    layers : int or None
        How many of the last layers learn.
    """

    def __init__(self, pseudo: PseudoQueries, seen: Lists, watched: Lists, layers: int | None) -> None:
        self.pseudo, self.seen, self.watched = pseudo, seen, watched
        self.rows = len(seen)
        self.parameters: dict[str, torch.Tensor] = pseudo.trainable(layers)
        self.buffers: dict[str, torch.Tensor] = {}

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """InfoNCE + 2 RankNet of the pseudo-queries of a batch against the vectors that are stored."""
        import torch

        del noise
        chosen = rows.tolist()
        batch = Batch.of(self.seen, chosen)
        queries = self.pseudo([self.seen.prompts[row] for row in chosen])
        documents = tensor(batch.documents)
        contrast = info_nce(queries, documents, tensor(batch.positive), tensor(batch.others))
        pairs = [
            rank_net(documents[start:end] @ query, tensor(gains))
            for query, (gains, start, end) in zip(queries, batch.lists, strict=True)
        ]
        return contrast + RANKING * torch.stack(pairs).mean()

    def quality(self) -> float:
        """Mean nDCG@10 of the watched questions at the share of the pseudo-query that suits them best."""
        vectors = self.pseudo.embedded(self.watched.prompts)
        return max(float(ndcgs(self.watched, self.watched.scores(vectors, weight)).mean()) for weight in WEIGHTS)

    def load(self, best: dict[str, FloatArray]) -> None:
        """Put back the parameters of the best look."""
        import torch

        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensor(best[name]))


def ndcgs(lists: Lists, scores: Sequence[FloatArray]) -> FloatArray:
    """nDCG@10 (m,) of each question's candidates, ordered by ``scores``."""
    orders = [np.argsort(-found, kind="stable").tolist() for found in scores]
    return np.array([ndcg(one, order) for one, order in zip(lists.judged, orders, strict=True)])
