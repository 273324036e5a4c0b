"""Every confidence metric against values worked out by hand or by the slow formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from octant import errors
from octant.confidence import (
    METRICS,
    Distributions,
    average_logprob,
    distributional_perplexity,
    entropy,
    gini,
    metric,
    quantile_logprob,
    self_certainty,
    total_logprob,
)
from octant.confidence.distributions import FLOOR
from octant.token_logprobs import TokenLogprob

# Two tokens over a vocabulary of four: one certain up to 1/8s, one uniform.
P = np.array([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
WHOLE = Distributions.of_scores(np.log(P) + 3, np.array([0, 2]))  # logits: any constant may be added
H = np.array([1.75 * math.log(2), 2 * math.log(2)])


def test_average_and_total() -> None:
    assert total_logprob(WHOLE) == pytest.approx(math.log(0.5) + math.log(0.25))
    assert average_logprob(WHOLE) == pytest.approx(-1.5 * math.log(2))


def test_gini() -> None:
    assert gini(WHOLE) == pytest.approx((0.25 + 0.0625 + 2 / 64 + 0.25) / 2)


def test_entropy_and_distributional_perplexity() -> None:
    assert entropy(WHOLE) == pytest.approx(H.mean())
    assert distributional_perplexity(WHOLE) == pytest.approx((2**1.75 + 4) / 2)


def test_self_certainty_is_the_mean_divergence_from_uniform() -> None:
    # log(4p) = log 2, 0, -log 2, -log 2: mean -log(2)/4; and 0 for the uniform one.
    assert self_certainty(WHOLE) == pytest.approx(math.log(2) / 8)


@pytest.mark.parametrize(("alpha", "expected"), [(0, math.log(0.25)), (1, math.log(0.5)), (0.5, -1.5 * math.log(2))])
def test_quantiles(alpha: float, expected: float) -> None:
    assert quantile_logprob(WHOLE, alpha) == pytest.approx(expected)
    assert metric(f"quantile({alpha})").score(WHOLE) == pytest.approx(expected)


def test_the_truncated_form_is_that_of_the_likeliest_tokens_and_one_bucket() -> None:
    token = TokenLogprob("a", math.log(0.5), (("a", math.log(0.5)), ("b", math.log(0.25))))
    cut = Distributions.of_tokens([token])
    assert (cut.exact, cut.outcomes.tolist()) == (False, [3])
    np.testing.assert_allclose(cut.probabilities, [[0.5, 0.25, 0.25]])
    assert gini(cut) == pytest.approx(0.25 + 2 * 0.0625)
    assert entropy(cut) == pytest.approx(1.5 * math.log(2))
    assert distributional_perplexity(cut) == pytest.approx(2**1.5)
    assert self_certainty(cut) == pytest.approx(-np.mean(np.log(3 * np.array([0.5, 0.25, 0.25]))))


def test_the_drawn_token_counts_beside_the_likeliest() -> None:
    token = TokenLogprob("z", math.log(0.1), (("a", math.log(0.6)), ("b", math.log(0.2))))
    np.testing.assert_allclose(np.sort(Distributions.of_tokens([token]).probabilities[0]), [0.1, 0.1, 0.2, 0.6])


def test_rows_of_different_length_are_each_on_their_own() -> None:
    few = TokenLogprob("a", math.log(0.5))
    many = TokenLogprob("a", math.log(0.5), (("a", math.log(0.5)), ("b", math.log(0.3)), ("c", math.log(0.1))))
    both = Distributions.of_tokens([few, many])
    for function in (gini, entropy, distributional_perplexity, self_certainty):
        alone = [function(Distributions.of_tokens([token])) for token in (few, many)]
        assert function(both) == pytest.approx(np.mean(alone))


def test_probabilities_that_rounding_brings_above_one_leave_nothing_for_the_rest() -> None:
    token = TokenLogprob("a", -1e-7, (("a", -1e-7), ("b", math.log(1e-5))))
    read = Distributions.of_tokens([token])
    assert read.probabilities.sum() == pytest.approx(1)
    assert all(math.isfinite(one.score(read)) for one in METRICS.values())


def test_what_sampling_cut_off_has_no_mass_and_is_floored_where_a_logarithm_is_taken() -> None:
    read = Distributions.of_scores([[0.0, 0.0, -np.inf, -np.inf]], [1])
    assert entropy(read) == pytest.approx(math.log(2))
    assert gini(read) == pytest.approx(0.5)
    expected = -(2 * math.log(2) + 2 * (math.log(4) + FLOOR)) / 4
    assert self_certainty(read) == pytest.approx(expected)
    assert average_logprob(Distributions.of_scores([[0.0, -np.inf]], [1])) == FLOOR


def test_metrics_order_alike_on_the_scale_from_0_to_1() -> None:
    sharp = Distributions.of_scores(np.log([[0.97, 0.01, 0.02]]), [0])
    flat = Distributions.of_scores(np.log([[0.4, 0.3, 0.3]]), [0])
    for one in (*METRICS.values(), metric("quantile(.3)")):
        assert one.score(sharp) > one.score(flat), one.name
        assert 0 <= one.share(one.score(flat)) < one.share(one.score(sharp)) <= 1, one.name


def test_holes_are_left_out_and_counted_unless_they_are_most_of_it() -> None:
    good, hole = TokenLogprob("a", math.log(0.5)), TokenLogprob("b", math.nan)
    read = Distributions.of_tokens([good, hole])
    assert (read.holes, average_logprob(read)) == (1, pytest.approx(math.log(0.5)))
    with pytest.raises(errors.NoLogprobsError, match="2 of the answer's 3 tokens have no log-probability"):
        Distributions.of_tokens([good, hole, hole])
    with pytest.raises(errors.NoLogprobsError, match="scores of 2 of 3 tokens are not numbers"):
        Distributions.of_scores([[0.0, 0.0], [np.nan, 0.0], [-np.inf, -np.inf]], [0, 0, 0])


def test_an_answer_of_zero_tokens_is_refused() -> None:
    with pytest.raises(errors.NoLogprobsError, match="the answer has no tokens"):
        Distributions.of_tokens([])
    with pytest.raises(errors.NoLogprobsError, match="the answer has no tokens"):
        Distributions.of_scores(np.zeros((0, 3)), np.zeros(0, int))


@pytest.mark.parametrize("ids", [[7], [-1]])
def test_an_id_outside_the_vocabulary_is_refused(ids: list[int]) -> None:
    with pytest.raises(errors.InputError, match="ids must be in a vocabulary of 2"):
        Distributions.of_scores([[0.0, 0.0]], ids)


@pytest.mark.parametrize("name", ["quantile(2)", "quantile()", "quantile(a)", "certainty", 3, "quantile(.1) "])
def test_what_is_no_metric_is_refused_with_those_there_are(name: object) -> None:
    with pytest.raises(errors.InputError, match=r"one of average_logprob, .*quantile\(ALPHA\)"):
        metric(name)  # type: ignore[arg-type]


def test_a_small_causal_model_agrees_with_the_slow_formula() -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from octant.confidence import read_generate_output

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=37, n_positions=32, n_embd=16, n_layer=1, n_head=2)).eval()
    asked = torch.tensor([[3, 5, 7]])
    ends = {"pad_token_id": 0, "eos_token_id": 36}
    kept = {"return_dict_in_generate": True, "output_logits": True, "output_scores": True}
    output = model.generate(
        asked, attention_mask=torch.ones_like(asked), max_new_tokens=6, do_sample=False, **ends, **kept
    )
    read = read_generate_output(output, end=36)
    drawn = output.sequences[0, 3:].tolist()
    with torch.no_grad():
        logits = model(output.sequences).logits[0, 2:-1].double()
    p = torch.softmax(logits, -1).numpy()
    n = drawn.index(36) + 1 if 36 in drawn else len(drawn)
    assert len(read) == n
    assert read.exact
    slow = [math.log(p[i, drawn[i]]) for i in range(n)]
    assert average_logprob(read) == pytest.approx(sum(slow) / n, abs=1e-5)
    assert quantile_logprob(read) == pytest.approx(min(slow), abs=1e-5)
    h = [-sum(q * math.log(q) for q in row) for row in p[:n]]
    assert entropy(read) == pytest.approx(sum(h) / n, abs=1e-5)
    assert distributional_perplexity(read) == pytest.approx(sum(map(math.exp, h)) / n, rel=1e-5)
    assert gini(read) == pytest.approx(sum(sum(q * q for q in row) for row in p[:n]) / n, abs=1e-5)
    certainty = -sum(sum(math.log(37 * q) for q in row) for row in p[:n]) / (n * 37)
    assert self_certainty(read) == pytest.approx(certainty, abs=1e-5)
