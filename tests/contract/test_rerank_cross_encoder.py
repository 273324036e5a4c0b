"""Cross-encoders: the library's own scores on a stated scale, whoever made the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import octant
from made_cross_encoders import LONGEST, WORDS, cross_encoder_in, loaded
from octant.records import Candidate, Ranking
from octant.testing import check_reranker

pytest.importorskip("sentence_transformers", reason="needs the extra [models]")
QUERY = "which passage is about the garden?"
TEXTS = [f"passage {i} tells of the {WORDS[i % 8]}" + " and the harbor" * (i % 5) for i in range(11)]
FOUND = Ranking(tuple(Candidate(f"p{i}", 1 - i / 100, text) for i, text in enumerate(TEXTS)), QUERY)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    root = tmp_path_factory.mktemp("cross-encoders")
    return {labels: cross_encoder_in(root / str(labels), labels) for labels in (1, 3)}


def logits(path: str, texts: Sequence[str] = TEXTS) -> Any:
    from torch.nn import Identity

    return loaded(path).predict([[QUERY, text] for text in texts], activation_fn=Identity()).astype(np.float64)


def by_id(done: Ranking) -> list[float]:
    scores = dict(zip(done.ids, done.scores, strict=True))
    return [scores[candidate.id] for candidate in FOUND]


def test_a_named_model_keeps_the_contract(models: dict[int, str]) -> None:
    check_reranker(octant.reranker(f"cross_encoder('{models[1]}')"))


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_logits_are_those_of_the_library(models: dict[int, str], batch_size: int) -> None:
    spec = f"cross_encoder('{models[1]}', scale=logit, batch_size={batch_size})"
    done = octant.reranker(spec).rerank(QUERY, FOUND)
    assert done.score_kind == "logit"
    np.testing.assert_allclose(by_id(done), logits(models[1]), atol=1e-5)
    assert done.report.statistics["pairs scored"] == len(TEXTS)


def test_a_probability_is_the_sigmoid_of_one_logit_and_the_softmax_of_several(models: dict[int, str]) -> None:
    one = octant.reranker(f"cross_encoder('{models[1]}')").rerank(QUERY, FOUND)
    assert one.score_kind == "probability"
    np.testing.assert_allclose(by_id(one), loaded(models[1]).predict([[QUERY, text] for text in TEXTS]), atol=1e-6)
    for label in (0, 1, 2, -1):
        several = octant.reranker(f"cross_encoder('{models[3]}', label={label})").rerank(QUERY, FOUND)
        raised = np.exp(logits(models[3]))
        np.testing.assert_allclose(by_id(several), (raised / raised.sum(1, keepdims=True))[:, label], atol=1e-6)
    odds = octant.reranker(f"cross_encoder('{models[3]}', label=1, scale=logit)").rerank(QUERY, FOUND)
    share = (raised / raised.sum(1, keepdims=True))[:, 1]
    np.testing.assert_allclose(by_id(odds), np.log(share / (1 - share)), atol=1e-5)


def test_an_object_is_scored_like_the_model_that_is_named(models: dict[int, str]) -> None:
    named = octant.reranker(f"cross_encoder('{models[1]}')").rerank(QUERY, FOUND)
    given = octant.reranker("cross_encoder", cross_encoder=loaded(models[1])).rerank(QUERY, FOUND)
    assert given.ids == named.ids
    np.testing.assert_allclose(given.scores, named.scores, atol=1e-6)
    assert octant.reranker("cross_encoder", cross_encoder=models[1]).rerank(QUERY, FOUND).ids == named.ids


@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 0.99), ("float16", 0.999), ("int8", 0.9)])
def test_other_precisions_are_near_and_really_other(models: dict[int, str], precision: str, least: float) -> None:
    exact = logits(models[1])
    assert len(set(exact)) > 5
    done = octant.reranker(f"cross_encoder('{models[1]}', logit, {precision}, device=cpu)").rerank(QUERY, FOUND)
    assert done.report.failure is None
    assert np.corrcoef(by_id(done), exact)[0, 1] > least
    assert not np.allclose(by_id(done), exact, atol=1e-7)


def test_pairs_that_are_too_long_are_told(models: dict[int, str]) -> None:
    texts = ["garden", "harbor " * 60, "the garden", "forest " * 200]
    found = Ranking(tuple(Candidate(i, 1.0 - i / 10, text) for i, text in enumerate(texts)), QUERY)
    done = octant.reranker(f"cross_encoder('{models[1]}')").rerank(QUERY, found)
    assert any(remark.startswith(f"2 of 4 passages were longer with the query than the {LONGEST} tokens")
               for remark in done.report.remarks)  # fmt: skip
    short = octant.reranker(f"cross_encoder('{models[1]}', max_length=12)").rerank(QUERY, found)
    assert any("4 of 4" not in remark and "the 12 tokens" in remark for remark in short.report.remarks)


class LangChains:
    """LangChain's interface: ``score`` of a list of pairs."""

    model_name = "words-in-common"

    def __init__(self, scores: Any = None) -> None:
        self.asked: list[int] = []
        self.scores = scores

    def score(self, text_pairs: list[tuple[str, str]]) -> Any:
        self.asked.append(len(text_pairs))
        if self.scores is not None:
            return self.scores
        return [float(len(set(query.split()) & set(text.split()))) for query, text in text_pairs]


def test_langchains_interface_on_a_scale_of_its_own() -> None:
    scorer = LangChains()
    done = octant.reranker("cross_encoder(batch_size=4)", cross_encoder=scorer).rerank("the garden", FOUND)
    assert done.score_kind == "grade"
    assert done.ids[0] == "p6"
    assert scorer.asked == [4, 4, 3]
    logit = octant.reranker("cross_encoder(scale=logit)", cross_encoder=scorer).rerank("the garden", FOUND)
    assert (logit.score_kind, logit.scores) == ("logit", done.scores)
    check_reranker(octant.reranker("cross_encoder", cross_encoder=scorer))


def test_a_function_is_enough() -> None:
    done = octant.reranker("cross_encoder", cross_encoder=lambda pairs: [len(text) for _, text in pairs])
    assert list(done.rerank(QUERY, FOUND).scores) == sorted(map(len, TEXTS), reverse=True)


def test_one_pair_may_be_answered_with_a_bare_number() -> None:
    one = Ranking(FOUND.candidates[:1], QUERY)
    assert octant.reranker("cross_encoder", cross_encoder=LangChains(3.5)).rerank(QUERY, one).scores == (3.5,)


def test_in_a_chain_each_has_its_own_model(models: dict[int, str]) -> None:
    spec = f"cross_encoder > cross_encoder('{models[1]}', top=3)"
    done = octant.reranker(spec, cross_encoder=LangChains()).rerank("the garden", FOUND)
    assert done.score_kind == "probability"
    assert done.report.statistics["pairs scored"] == 3


async def test_awaited_it_leaves_the_event_loop_free() -> None:
    going = threading.Event()

    def waits(pairs: list[tuple[str, str]]) -> list[float]:
        assert going.wait(60), "the event loop should have gone on meanwhile"
        return [float(len(text)) for _, text in pairs]

    async def meanwhile() -> None:
        going.set()

    reranking = octant.reranker("cross_encoder", cross_encoder=waits, on_failure="raise").arerank(QUERY, FOUND)
    done, _ = await asyncio.gather(reranking, meanwhile())
    assert len(done) == len(TEXTS)


def test_a_budget_that_is_spent_keeps_the_unscored_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from octant.rerankers.run import Run

    seen: list[int] = []

    def score(pairs: list[tuple[str, str]]) -> list[float]:
        seen.append(len(pairs))
        return [float(len(text)) for _, text in pairs]

    monkeypatch.setattr(Run, "ended", property(lambda self: "max_seconds=9 was reached" if seen else None))
    many = Ranking(tuple(Candidate(i, -float(i), "x" * (i + 1)) for i in range(20)), QUERY)
    done = octant.reranker("cross_encoder(batch_size=1)", cross_encoder=score).rerank(QUERY, many)
    assert done.ids == (*range(7, -1, -1), *range(8, 20))
    assert sum(seen) == 8
