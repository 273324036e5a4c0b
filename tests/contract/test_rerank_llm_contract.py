"""Every reranker that asks a language model keeps the contract, whatever the model does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import octant
from octant.testing import check_reranker
from scripted_models import Chat

MODELS: dict[str, Callable[[str], object]] = {
    "well-behaved": lambda prompt: "[2] > [1] > [3] > [4] > [5] > [6] > [7] > [8] > [9] > [10] > [11] > [12]",
    "malformed": lambda prompt: "1. [99] > [2] > [2] > [-4]\nScore: 7/10, Yes, passage B",
    "refusing": lambda prompt: "I'm sorry, but I can't help with that.",
    "silent": lambda prompt: "",
}
SPECS = ["listwise", "listwise(window=4, step=2, passes=2, labels=unguessable)", "pointwise", "pointwise(yes_no)"]
SPECS += ["pairwise(sliding, best=3)", "pairwise(heap)", "pairwise(all)", "tournament(best=3, group=5)"]
SPECS += ["tournament(best=2, group=4, skim=0, finals=3, calls=4, labels=unguessable)"]
SPECS += ["listwise(reasoned=true)", "dual_stage(second=4)", "dual_stage(mode=yes_no, structured=false)"]
SPECS += ["pointwise > listwise(top=5)"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("spec", SPECS)
def test_it_keeps_the_contract(spec: str, model: str) -> None:
    check_reranker(octant.reranker(spec, Chat(MODELS[model]), retries=0, backoff=0.001))
