"""The losses of E2Rank, against their definitions in plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from octant.rerankers.e2rank_losses import CONTRAST, PAIRS, info_nce, rank_net

torch = pytest.importorskip("torch", reason="needs the extra [train]")


def units(rng: np.random.Generator, *shape: int) -> Any:
    x = rng.normal(size=shape)
    return torch.tensor(x / np.linalg.norm(x, axis=-1, keepdims=True))


@pytest.mark.parametrize("seed", range(3))
def test_info_nce_is_the_softmax_of_the_positive_among_all_that_are_no_other_positives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, documents = units(rng, 3, 5), units(rng, 7, 5)
    positive, others = rng.integers(0, 7, 3), rng.random((3, 7)) < 0.3
    others[np.arange(3), positive] = False
    total = 0.0
    for row in range(3):
        scores = [float(queries[row] @ documents[column]) / CONTRAST for column in range(7)]
        against = [math.exp(score) for column, score in enumerate(scores) if not others[row, column]]
        total += -scores[positive[row]] + math.log(sum(against))
    found = info_nce(queries, documents, torch.tensor(positive), torch.tensor(others))
    assert float(found) == pytest.approx(total / 3, rel=1e-9)


@pytest.mark.parametrize("gains", [[0, 1, 0, 0], [3, 2, 1, 0], [2, 0, 2, 1]])
def test_rank_net_is_the_mean_over_pairs_of_different_worth(gains: list[int]) -> None:
    scores = [0.4, 0.1, -0.3, 0.2]
    pairs = [
        math.log(1 + math.exp((scores[k] - scores[j]) / PAIRS))
        for j in range(4)
        for k in range(4)
        if gains[j] > gains[k]
    ]
    found = rank_net(torch.tensor(scores, dtype=torch.float64), torch.tensor(gains))
    assert float(found) == pytest.approx(sum(pairs) / len(pairs), rel=1e-9)


def test_lists_without_any_preference_teach_nothing_and_are_no_nan() -> None:
    scores = torch.tensor([0.4, 0.1], requires_grad=True)
    loss = rank_net(scores, torch.tensor([1.0, 1.0]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.tolist() == [0, 0]


def test_gradients_raise_what_is_better() -> None:
    scores = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    rank_net(scores, torch.tensor([1.0, 0.0, 0.0])).backward()
    assert scores.grad is not None
    assert scores.grad[0] < 0 < scores.grad[1] < scores.grad[2], "descent adds what the gradient takes"
