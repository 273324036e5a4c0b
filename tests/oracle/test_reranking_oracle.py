"""Closed forms and gradients against their slow, obvious versions."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_lessons import embed, lessons
from octant import reranker
from octant.rerankers import network, refine
from octant.rerankers.network import Adam, gradients, loss_of
from octant.rerankers.rocchio import Rocchio, stacked
from octant.rerankers.words import K1, B, counted, overlap, split

LISTS = st.lists(st.lists(st.sampled_from(["sea", "salt", "moon", "lamp", "wool"]), max_size=8), min_size=1, max_size=7)


@given(LISTS, st.lists(st.sampled_from(["sea", "salt", "moon", "fish"]), max_size=5))
def test_words_in_common_are_bm25_over_the_candidates(passages: list[list[str]], query: list[str]) -> None:
    found = overlap(" ".join(query), [counted(" ".join(passage)) for passage in passages])
    n = len(passages)
    usual = max(sum(map(len, passages)) / n, 1)
    asked = set(query)
    weight = {}
    for word in asked:
        having = sum(word in passage for passage in passages)
        weight[word] = math.log(1 + (n - having + 0.5) / (having + 0.5))
    for row, passage in enumerate(passages):
        total = covered = 0.0
        for word in asked:
            count = passage.count(word)
            total += weight[word] * count * (K1 + 1) / (count + K1 * (1 - B + B * len(passage) / usual))
            covered += weight[word] * (count > 0)
        assert found.bm25[row] == pytest.approx(total, abs=1e-4)
        assert found.coverage[row] == pytest.approx(covered / sum(weight.values()) if asked else 0, abs=1e-5)
        assert found.length[row] == len(passage)


@given(st.text(st.characters() | st.sampled_from(" .,'aZ9_é—東ß\u3000\u00a0\u2028\udc80"), max_size=40))
def test_words_are_runs_of_letters_and_digits_or_characters_written_without_spaces(text: str) -> None:
    together = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
    assert split(text) == together.findall(text.casefold())


def test_words_have_no_case_plural_or_script() -> None:
    assert dict(counted("Octants OCTANT glass Straße 東京 x_y")[0]) == {
        "octant": 2, "glas": 1, "strasse": 1, "東": 1, "京": 1, "x": 1, "y": 1,
    }  # fmt: skip


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_average_of_models_gives_the_mean_of_their_scores(hidden: int) -> None:
    rng = np.random.default_rng(0)
    models = [network.start(5, 0, hidden, rng) for _ in range(3)]
    for model in models:
        for name, value in model.items():
            model[name] = (value + rng.normal(size=value.shape)).astype(np.float32)
    x = rng.normal(size=(7, 5)).astype(np.float32)
    expected = np.mean([network.forward(model, x) for model in models], axis=0)
    np.testing.assert_allclose(network.forward(network.average(models), x), expected, rtol=1e-4, atol=1e-4)


def test_rocchio_is_the_loop_over_candidates() -> None:
    one = lessons(1)[0]
    done = reranker("rocchio(2, 0.8, 0.5)", embedding=embed).rerank(one.query, one.ranking)
    asked = embed([one.query])[0]
    vectors = [np.asarray(found.vector) for found in one.ranking]
    moved = [0.8 * asked[i] + 0.5 * (vectors[0][i] + vectors[1][i]) / 2 for i in range(len(asked))]
    for point, score in zip(done.ids, done.scores, strict=True):
        vector = vectors[one.ranking.ids.index(point)]
        expected = sum(a * b for a, b in zip(moved, vector, strict=True)) / math.hypot(*moved) / math.hypot(*vector)
        assert score == pytest.approx(expected, abs=1e-5)


def test_no_feedback_is_the_cosine() -> None:
    one = lessons(1)[0]
    first, second = (
        reranker(spec, embedding=embed).rerank(one.query, one.ranking) for spec in ("rocchio(beta=0)", "exact(true)")
    )
    assert first.ids == second.ids
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-6)


def test_exact_scores_are_the_cosines_of_the_texts() -> None:
    one = lessons(1)[0]
    done = reranker("exact", embedding=embed).rerank(one.query, one.ranking)
    for found in done:
        expected = float(embed([one.query])[0] @ embed([found.text or ""])[0])
        assert found.score == pytest.approx(expected, abs=1e-5)


QUERIES = st.lists(
    st.lists(st.tuples(st.floats(-4, 4), st.integers(0, 3)), min_size=1, max_size=7).filter(
        lambda one: any(gain for _, gain in one)
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@given(QUERIES)
def test_the_loss_is_listnet_and_ranknet(queries: list[list[tuple[float, int]]]) -> None:
    examples = [
        network.Example.of(np.zeros((len(one), 1), np.float32), np.array([gain for _, gain in one], np.float32))
        for one in queries
    ]
    flat = np.array([score for one in queries for score, _ in one], np.float32)
    expected = 0.0
    for one in queries:
        total, gains = sum(math.exp(score) for score, _ in one), sum(gain for _, gain in one)
        expected -= sum(gain / gains * math.log(math.exp(score) / total) for score, gain in one)
        pairs = [(high, low) for high, more in one for low, less in one if more > less]
        if pairs:
            ranknet = sum(math.log(1 + math.exp(low - high)) for high, low in pairs) / len(pairs)
            expected += network.RANKNET * ranknet
    loss, _ = loss_of(flat, network.Batch.of(examples))
    assert loss == pytest.approx(expected / len(queries), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("hidden", [0, 5])
def test_gradients_are_those_of_finite_differences(hidden: int) -> None:
    rng = np.random.default_rng(1)
    batch = network.Batch.of([
        network.Example.of(rng.normal(size=(len(gains), 4)), np.array(gains, float))  # type: ignore[arg-type]
        for gains in ([0, 2, 0, 1, 0, 0], [1], [3, 0, 1])
    ])  # fmt: skip
    weights = {
        name: value.astype(np.float64) + 0.3 * rng.normal(size=value.shape)
        for name, value in network.start(4, 0, hidden, rng).items()
    }
    slopes = gradients(weights, batch)[1]  # type: ignore[arg-type]
    assert set(slopes) == set(weights)
    for name, value in weights.items():
        for place in np.ndindex(value.shape):
            losses = []
            for shift in (1e-5, -1e-5):
                moved = {**weights, name: value.copy()}
                moved[name][place] += shift
                losses.append(gradients(moved, batch)[0])  # type: ignore[arg-type]
            assert slopes[name][place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-4)


def test_the_gradient_of_refine_is_that_of_finite_differences() -> None:
    one = lessons(1, depth=6)[0]
    assert one.vector is not None
    rng = np.random.default_rng(0)
    weights = {name: np.eye(16) + 0.1 * rng.normal(size=(16, 16)) for name in ("query", "candidate")}
    example = refine._example(one, 3)

    def loss(at: dict[str, np.ndarray]) -> float:
        moved = at["query"] @ example.query + at["candidate"] @ example.centre
        scores = (example.candidates @ moved / refine.TEMPERATURE).astype(np.float64)
        shares = example.gains / example.gains.sum()
        return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - shares @ scores)

    slopes = refine._gradient(weights, [example])
    for name, value in weights.items():
        for place in [(0, 0), (3, 7), (15, 2)]:
            losses = []
            for shift in (1e-4, -1e-4):
                moved = {**weights, name: value.copy()}
                moved[name][place] += shift
                losses.append(loss(moved))
            assert slopes[name][place] == pytest.approx((losses[0] - losses[1]) / 2e-4, rel=1e-2, abs=1e-2)


def test_untrained_refinement_is_the_cosine() -> None:
    one = lessons(1)[0]
    assert one.vector is not None
    weights = {"query": np.eye(16, dtype=np.float32), "candidate": np.zeros((16, 16), np.float32)}
    plain = Rocchio(beta=0).scores(one.vector, stacked(one.ranking))
    np.testing.assert_allclose(refine._refined(weights, one.vector, stacked(one.ranking), 10), plain, atol=1e-6)


def test_adam_takes_its_published_steps() -> None:
    weights = {"w": np.array([1.0, -2.0], np.float32)}
    adam = Adam(weights, rate=0.1)
    w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, slope in enumerate([np.array([0.5, -1.0]), np.array([0.1, 2.0])], start=1):
        adam.step({"w": slope.astype(np.float32)})
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(weights["w"], w, rtol=1e-4)
