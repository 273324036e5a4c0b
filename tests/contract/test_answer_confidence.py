"""Choosing among answers, stopping early, abstaining, and calibrating what that rests on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from made_generations import generation
from octant import errors
from octant.confidence import (
    WORDING,
    AnswerCalibration,
    AnswerSelector,
    Cascade,
    Distributions,
    Generation,
    answering,
    average_logprob,
    calibrate_answers,
    cascade_curve,
    majority_vote,
    metric,
    normalised,
    read_distributions,
    semantic_agreement,
)
from octant.flow import Flow, arun, run, step

# -- voting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("The Beatles", "beatles!", True), ("Zürich", "ZÜRICH", True), ("“Paris”", "Paris", True),
     ("１９９０", "1990", True),
     ("東京。", "東京", True), ("C++", "C", False), ("10%", "10", False), ("The", "A", False), ("-5", "5", False),
     ("1939-1945", "1939 1945", True)],
)  # fmt: skip
def test_answers_are_compared_without_what_two_people_write_differently(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_the_vote_counts_equal_answers_and_ties_go_to_the_first() -> None:
    vote = majority_vote(["b", "A.", "", "a", "b"])
    assert (vote.winner, vote.share) == (0, 0.5)
    assert majority_vote(["b", "a"], [1, 3]).winner == 1
    assert majority_vote(["", "  "]).winner is None
    assert majority_vote(["x", "y"], [0, 0]).share == 0


@pytest.mark.parametrize("weights", [[1], [1, -1], [1, math.nan]])
def test_a_vote_of_wrong_weight_is_refused(weights: list[float]) -> None:
    with pytest.raises(errors.InputError, match="weights must be 2 finite numbers"):
        majority_vote(["a", "b"], weights)


def test_agreement_is_the_mean_cosine_to_the_others() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.6, 0.8], "c": [0.0, 0.0]}
    found = semantic_agreement(["a", "", "b", "c"], lambda texts: np.array([vectors[text] for text in texts]))
    np.testing.assert_allclose(found, [0.3, -1, 0.3, 0])
    np.testing.assert_allclose(semantic_agreement(["a"], lambda texts: pytest.fail("needs nobody")), [0])


# -- reading -------------------------------------------------------------------------------------

TOP = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -2}]
ENTRY = {"token": "a", "logprob": -0.5, "top_logprobs": TOP}
PROBS = [{"tok_str": "a", "prob": math.exp(-0.5)}, {"tok_str": "b", "prob": math.exp(-2)}]


@pytest.mark.parametrize(
    "response",
    [
        SimpleNamespace(response_metadata={"logprobs": {"content": [ENTRY]}}),
        SimpleNamespace(response_metadata={"logprobs": [ENTRY]}),
        {"choices": [{"message": {"content": "a"}, "logprobs": {"content": [ENTRY]}}]},
        {"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [-0.5],
                                                "top_logprobs": [{"a": -0.5, "b": -2}]}}]},
        {"content": "a", "completion_probabilities": [ENTRY]},
        {"content": "a", "completion_probabilities": [{"content": "a", "probs": PROBS}]},
        {"message": {"content": "a"}, "logprobs": [ENTRY]},
        SimpleNamespace(outputs=[SimpleNamespace(token_ids=[7], logprobs=[
            {7: SimpleNamespace(logprob=-0.5), 9: SimpleNamespace(logprob=-2.0)}
        ])]),
        {"content": [ENTRY]},
        [ENTRY],
    ],
    ids=["openai", "ollama in langchain", "vllm chat", "completions", "llama.cpp", "llama.cpp before 2025", "ollama",
         "vllm", "bare", "list"],
)  # fmt: skip
def test_log_probabilities_are_read_in_every_form(response: Any) -> None:
    read = read_distributions(response)
    assert average_logprob(read) == pytest.approx(-0.5)
    np.testing.assert_allclose(np.sort(read.probabilities[0])[::-1][:2].sum(), 1 - np.sort(read.probabilities[0])[0])
    assert read.outcomes.tolist() == [3]


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (SimpleNamespace(response_metadata={"model_name": "m-1"}), r"model \(m-1\) gave no log-probabilities.*ask for"),
        (SimpleNamespace(response_metadata={"model_provider": "anthropic"}), "gives none at all; use a metric"),
        ({"choices": [{"logprobs": None}]}, "gave no log-probabilities"),
        ({"choices": []}, "gave no log-probabilities"),
        (SimpleNamespace(response_metadata={"logprobs": "yes"}), "in a form that is not known"),
        ("text", "gave no log-probabilities"),
        (SimpleNamespace(response_metadata={"logprobs": {"content": [{"token": "a", "logprob": math.nan}]}}),
         "have no log-probability"),
    ],
)  # fmt: skip
def test_a_provider_that_gives_none_is_refused_with_what_would_help(response: Any, told: str) -> None:
    with pytest.raises(errors.NoLogprobsError, match=told):
        read_distributions(response)


def test_minus_infinity_is_a_probability_of_nothing() -> None:
    entry = {"token": "a", "logprob": -math.inf, "top_logprobs": [{"token": "b", "logprob": 0.0}]}
    assert average_logprob(read_distributions([entry])) == pytest.approx(math.log(1e-12))


# -- selecting -----------------------------------------------------------------------------------

SURE, UNSURE = generation("bge", "Paris", 0.9, 0.8), generation("minilm", "Lyon", 0.5, 0.4)


@pytest.mark.parametrize(
    "by", ["average_logprob", "total_logprob", "self_certainty", "gini", "minimum", "quantile(.5)"]
)
def test_the_surest_answer_is_chosen(by: str) -> None:
    chosen = AnswerSelector(by).select([UNSURE, SURE])
    assert (chosen.text, chosen.decision.chosen, chosen.generation) == ("Paris", "bge", SURE)
    assert chosen.decision.calibrated is None
    assert "not that they are right" in chosen.decision.estimates
    assert list(chosen.decision.alternatives) == ["minilm"]
    assert chosen.decision.cost == {"generations": 2}
    json.dumps(chosen.decision.as_json())


def test_metrics_that_need_whole_distributions_say_when_they_are_truncated() -> None:
    assert any("truncated" in remark for remark in AnswerSelector("entropy").select([SURE, UNSURE]).decision.remarks)
    whole = [Generation(str(i), "x", Distributions.of_scores([[0.0, float(i)]], [0])) for i in range(2)]
    assert AnswerSelector("entropy").select(whole).decision.remarks == ()


def test_what_failed_refused_or_is_empty_is_told_and_never_chosen() -> None:
    others = [
        Generation("down", failure="ConnectionError: refused"),
        generation("silent", "", 0.99),
        Generation("shy", "I cannot", refusal=True),
    ]
    chosen = AnswerSelector().select([*others, UNSURE])
    assert chosen.text == "Lyon"
    assert chosen.decision.failures == {
        "down": "ConnectionError: refused", "silent": "an empty answer", "shy": "the model declined to answer",
    }  # fmt: skip


def test_nothing_answered_is_a_record_and_no_exception() -> None:
    chosen = AnswerSelector().select([Generation("a", failure="TimeoutError: too late")])
    assert (chosen.text, chosen.decision.chosen, chosen.decision.confidence) == (WORDING, None, 0)
    assert chosen.abstention is not None
    assert chosen.abstention.evidence["failures"] == {"a": "TimeoutError: too late"}


def test_without_log_probabilities_it_falls_back_and_says_so() -> None:
    told = Generation("b", "paris", unread="the model (m) gave none")
    chosen = AnswerSelector().select([Generation("a", "Lyon"), told, generation("c", "Paris", 0.1)])
    assert (chosen.text, chosen.decision.evidence["by"]) == ("paris", "vote")
    assert chosen.decision.confidence == pytest.approx(2 / 3)
    assert chosen.decision.remarks == ("chosen by vote instead of average_logprob: a, b: the model (m) gave none",)
    with pytest.raises(errors.NoLogprobsError, match=r"average_logprob needs log-probabilities\. b: the model \(m\)"):
        AnswerSelector(fallbacks=()).select([told])


def test_a_fallback_that_cannot_tell_passes_on_to_the_next() -> None:
    answers = [Generation("a", "x"), Generation("b", "y"), Generation("c", "z")]
    near = np.array([[1.0, 0.0], [0.9, 0.1], [0.7, 0.7]])
    chosen = AnswerSelector(fallbacks=("vote", "agreement"), embed=lambda texts: near).select(answers)
    assert (chosen.decision.chosen, chosen.decision.evidence["by"]) == ("b", "agreement")


def test_retrieval_chooses_whose_passages_the_others_found_too() -> None:
    answers = [generation(n, n, ids=ids) for n, ids in {"a": "xyz", "b": "xyw", "c": "pqr"}.items()]
    assert AnswerSelector("retrieval").select(answers[::-1]).decision.chosen in ("a", "b")
    assert AnswerSelector("first").select(answers).decision.chosen == "a"


def test_identical_scores_choose_the_first_and_one_answer_says_that_nothing_was_chosen() -> None:
    twins = [generation("one", "x", 0.5), generation("two", "y", 0.5)]
    assert AnswerSelector().select(twins).decision.chosen == "one"
    assert "only one answer" in AnswerSelector().select(twins[:1]).decision.remarks[0]


def test_below_the_threshold_the_answer_is_withheld_with_its_evidence() -> None:
    held = generation("minilm", "Lyon", 0.3, ids=("d1", "d2"))
    chosen = AnswerSelector(abstain_below=0.5).select([held])
    assert (chosen.text, chosen.decision.chosen) == (WORDING, None)
    assert chosen.abstention is not None
    assert (chosen.abstention.withheld, chosen.abstention.below) == ("Lyon", 0.5)
    assert chosen.abstention.confidence == chosen.decision.confidence == pytest.approx(0.3)
    assert chosen.abstention.evidence["passages"] == ["d1", "d2"]
    assert AnswerSelector(abstain_below=0.2).select([held]).abstention is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"by": "certainty"}, "by must be one of average_logprob"),
        ({"fallbacks": "vote"}, "fallbacks are a sequence of vote"),
        ({"fallbacks": ("gini",)}, "fallbacks are a sequence of vote"),
        ({"by": "agreement"}, "pass embed="),
        ({"abstain_below": 2}, r"abstain_below must be a number in \[0, 1\], got 2"),
        ({"abstain_below": True}, r"abstain_below must be a number in \[0, 1\], got True"),
    ],
)
def test_a_selector_that_cannot_be_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(errors.InputError, match=told):
        AnswerSelector(**settings)


def test_two_answers_of_one_name_are_refused() -> None:
    with pytest.raises(errors.InputError, match="a name of its own, got bge, bge"):
        AnswerSelector().select([SURE, SURE])


# -- cascade -------------------------------------------------------------------------------------


def sources(asked: list[str], *made: Generation) -> list[tuple[str, Any]]:
    def source(one: Generation) -> Flow[Generation]:
        yield from step(lambda: asked.append(one.name))
        return one

    return [(one.name, lambda one=one: source(one)) for one in made]


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_cascade_stops_with_the_first_answer_that_is_sure_enough(awaited: bool) -> None:
    asked: list[str] = []
    last = generation("last", "Rome", 0.99)
    flow = answering(sources(asked, UNSURE, SURE, last), AnswerSelector(), Cascade(0.7))
    chosen = await arun(flow) if awaited else run(flow)
    assert asked == ["minilm", "bge"]
    assert (chosen.text, chosen.decision.cost["generations"]) == ("Paris", 2)
    assert chosen.decision.evidence["not asked"] == ["last"]
    assert "stopped after 2 of 3" in chosen.decision.remarks[0]


def test_a_cascade_that_is_never_sure_gives_the_surest() -> None:
    asked: list[str] = []
    down = Generation("down", failure="OSError")
    chosen = run(answering(sources(asked, down, SURE, UNSURE), AnswerSelector(), Cascade(0.99)))
    assert (asked, chosen.decision.chosen) == (["down", "bge", "minilm"], "bge")
    assert "no answer reached 0.99" in chosen.decision.remarks[-1]


def test_a_cascade_does_not_stop_with_what_would_be_withheld() -> None:
    asked: list[str] = []
    chosen = run(answering(sources(asked, UNSURE, SURE), AnswerSelector(abstain_below=0.8), Cascade(0.1)))
    assert (asked, chosen.text) == (["minilm", "bge"], "Paris")


def test_a_confidence_at_the_threshold_is_enough() -> None:
    exactly = Cascade(0).accepts(AnswerSelector(), SURE)
    assert exactly is not None
    assert 0 < exactly < 1
    above = math.nextafter(exactly, 1)
    last = generation("last", "Rome", 0.99)
    for threshold, wanted in ((exactly, ["bge"]), (above, ["bge", "last"])):
        asked: list[str] = []
        run(answering(sources(asked, SURE, last), AnswerSelector(), Cascade(threshold)))
        assert asked == wanted
    assert Cascade(0).accepts(AnswerSelector(abstain_below=exactly), SURE) == exactly
    assert Cascade(0).accepts(AnswerSelector(abstain_below=above), SURE) is None
    confidence = AnswerSelector().select([SURE]).decision.confidence
    assert AnswerSelector(abstain_below=confidence).select([SURE]).text == "Paris"
    assert AnswerSelector(abstain_below=math.nextafter(confidence, 1)).select([SURE]).text == WORDING


def test_a_cascade_is_refused_where_answers_are_compared_and_without_sources() -> None:
    with pytest.raises(errors.InputError, match="a cascade needs a confidence for one answer alone"):
        run(answering(sources([], SURE), AnswerSelector("vote"), Cascade(0.5)))
    with pytest.raises(errors.InputError, match="at least one source"):
        run(answering([], AnswerSelector()))
    with pytest.raises(errors.InputError, match=r"in \[0, 1\], got 1.5"):
        Cascade(1.5)


def test_the_dial_is_the_mean_number_of_generations() -> None:
    sure = np.array([[0.9, 0.1, 0.1], [0.6, 0.8, 0.1], [0.3, 0.2, 0.7], [0.1, 0.2, 0.15]])
    good = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    curve = cascade_curve(sure, good)
    assert curve.generations[0] == 1
    assert curve.generations[-1] == 3
    assert (np.diff(curve.generations) > 0).all()
    assert (np.diff(curve.thresholds) > 0).all()
    for wanted in (1, 1.5, 2, 3):
        threshold = curve.for_generations(wanted)
        stops = [next((i for i, c in enumerate(row[:-1]) if c >= threshold and threshold < 1), 2) + 1 for row in sure]
        assert np.mean(stops) <= wanted
    assert curve.for_quality(1.0) <= curve.thresholds[-1]
    with pytest.raises(errors.InputError, match="one generation at least"):
        curve.for_generations(0.5)
    with pytest.raises(errors.InputError, match="shapes"):
        cascade_curve([0.5], [1])


# -- calibrating ---------------------------------------------------------------------------------


def labelled(n: int = 60) -> list[tuple[list[Generation], list[bool]]]:
    """Answers whose first embedding is right as often as it is sure."""
    made = []
    for turn in range(n):
        p = 0.2 + 0.7 * (turn % 10) / 10
        answers = [generation("a", "x", p), generation("b", "y", 0.1)]
        made.append((answers, [(turn * 7 % 10) / 10 < p, False]))
    return made


def test_a_calibrated_confidence_is_the_probability_of_being_right(tmp_path: Path) -> None:
    selector = AnswerSelector()
    learned = calibrate_answers(selector, labelled(), on="60 made-up questions", model="m")
    learned.save(tmp_path / "c.json")
    kept = AnswerCalibration.load(tmp_path / "c.json")
    decision = selector.calibrated(kept).select([generation("a", "x", 0.8)]).decision
    assert (decision.estimates, decision.calibrated) == ("the answer is right", "60 made-up questions")
    assert decision.confidence == pytest.approx(learned.chosen.probability(math.log(0.8)))
    less = selector.calibrated(kept).select([generation("a", "x", 0.3)]).decision
    assert less.confidence < decision.confidence
    stopped = run(answering(sources([], SURE, UNSURE), selector.calibrated(kept), Cascade(0.3))).decision
    assert (stopped.calibrated, stopped.cost["generations"]) == ("60 made-up questions", 1)


def test_a_calibration_for_something_else_or_from_too_little_is_refused(tmp_path: Path) -> None:
    learned = calibrate_answers(AnswerSelector(), labelled(), on="questions", model="m")
    with pytest.raises(errors.MismatchError, match="made for average_logprob, and answers are chosen by gini"):
        AnswerSelector("gini", calibration=learned)
    with pytest.raises(errors.MismatchError, match="made for the model m, not for n"):
        learned.check("average_logprob", "n")
    of_two = calibrate_answers(AnswerSelector(), labelled(), on="questions", embeddings=["minilm", "bge"])
    of_two.save(tmp_path / "two.json")
    AnswerCalibration.load(tmp_path / "two.json").check("average_logprob", "n", ["bge", "minilm"])
    with pytest.raises(errors.MismatchError, match="made for the embeddings bge, minilm, not for bm25, minilm"):
        AnswerCalibration.load(tmp_path / "two.json").check("average_logprob", None, ["minilm", "bm25"])
    with pytest.raises(errors.InputError, match="at least 20 labels"):
        calibrate_answers(AnswerSelector(), labelled(10), on="questions")
    with pytest.raises(errors.InputError, match="every generation needs a label"):
        calibrate_answers(AnswerSelector(), [([SURE, UNSURE], [True])], on="questions")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(errors.ArtifactError, match="calibrate again"):
        AnswerCalibration.load(tmp_path / "bad.json")


def test_a_choice_by_the_fallback_is_not_called_calibrated() -> None:
    learned = calibrate_answers(AnswerSelector(), labelled(), on="questions")
    decision = AnswerSelector(calibration=learned).select([Generation("a", "x"), Generation("b", "X")]).decision
    assert decision.calibrated is None
    assert any("not calibrated" in remark for remark in decision.remarks)


def test_a_vote_can_be_calibrated_too() -> None:
    questions = [
        ([Generation(str(i), "x" if i < 1 + turn % 5 else f"y{i}") for i in range(5)], [turn % 5 > 1] * 5)
        for turn in range(40)
    ]
    learned = calibrate_answers(AnswerSelector("vote"), questions, on="votes")
    assert learned.each is None
    chosen = AnswerSelector("vote", calibration=learned)
    many = chosen.select([Generation(str(i), "x") for i in range(5)]).decision.confidence
    few = chosen.select([Generation(str(i), f"x{i}") for i in range(5)]).decision.confidence
    assert many > few
    assert metric("average_logprob").share(0.0) == 1
