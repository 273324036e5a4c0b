"""Cross-encoders that cannot be made, or whose scores mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import octant
from made_cross_encoders import cross_encoder_in
from octant.errors import InputError, MissingExtraError, RerankError, SpecError
from octant.records import Candidate, Ranking
from octant.rerankers import pair_scorers

QUERY = "which is it?"
FOUND = Ranking(tuple(Candidate(f"p{i}", 1 - i / 100, f"passage {i}") for i in range(4)), QUERY)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cross_encoder(model, scale=percent)", "scale must be one of probability, logit; got 'percent'"),
        ("cross_encoder(model, precision=float8)", "precision must be one of float32, bfloat16, float16, int8"),
        ("cross_encoder(model, backend=tensorrt)", "backend must be one of torch, onnx, openvino"),
        ("cross_encoder(model, precision=int8, backend=onnx)", "precision is for backend=torch; an export has its own"),
        ("cross_encoder(model, file=x)", "file names an export for backend=onnx or backend=openvino"),
        ("cross_encoder(model, batch_size=0)", "batch_size must be a whole number of at least 1, got 0"),
        ("cross_encoder(model, max_length=2)", "max_length must be a whole number of at least 8, got 2"),
        ("cross_encoder(model, label=x)", "label must be the number of a class, got 'x'"),
        ("cross_encoder(7)", "model must be the name or directory of a cross-encoder, got 7"),
        ("cross_encoder(precision=int8)", "precision says how a model is loaded that the spec names"),
        ("cross_encoder('./nowhere')", "model: there is no directory at './nowhere'"),
    ],
)
def test_wrong_arguments_are_refused(spec: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        octant.reranker(spec)
    assert message in str(caught.value)


def test_without_any_model_it_says_what_to_pass() -> None:
    with pytest.raises(InputError, match=r"name a model in the spec, cross_encoder\('org/model'\), or pass cross_enc"):
        octant.reranker("cross_encoder")
    with pytest.raises(InputError, match="name a model in the spec"):
        octant.reranker("first_stage > cross_encoder(top=3)")


@pytest.mark.parametrize("wrong", [3, object(), dict])
def test_what_is_no_cross_encoder_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"cross_encoder must be a sentence_transformers\.CrossEncoder or its name"):
        octant.reranker("cross_encoder", cross_encoder=wrong)


def test_a_model_that_is_nowhere_is_an_error_rather_than_a_first_stage_order() -> None:
    with pytest.raises(InputError, match="is not in the local cache and the model hub is out of reach"):
        octant.reranker("cross_encoder('nobody/has-this')").rerank(QUERY, FOUND)


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot load the cross-encoder"):
        octant.reranker(f"cross_encoder('{tmp_path}')").rerank(QUERY, FOUND)


@pytest.mark.parametrize(
    ("hidden", "spec", "message"),
    [
        ("sentence_transformers", "cross_encoder('org/model')", r"pip install 'qdrant-octant\[models\]'"),
        ("onnxruntime", "cross_encoder('org/model', backend=onnx)", r"pip install 'qdrant-octant\[onnx\]'"),
        ("openvino", "cross_encoder('org/model', backend=openvino)", r"pip install 'qdrant-octant\[openvino\]'"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, hidden: str, spec: str, message: str
) -> None:
    monkeypatch.setattr(pair_scorers, "find_spec", lambda name: None if name == hidden else object())
    with pytest.raises(MissingExtraError, match=message):
        octant.reranker(spec)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([1.0, float("nan"), 2.0, 3.0], "gave 1 of 4 pairs a score that is NaN or infinite"),
        ([1.0, float("inf"), 2.0, float("-inf")], "gave 2 of 4 pairs"),
        ([1.0, 2.0], "should give scores for 4 pairs"),
        ([[1.0, 2.0]] * 4, "should give one score for each pair, got 2"),
    ],
)
def test_scores_that_mean_nothing_leave_the_first_stage_order_and_say_so(scores: Any, why: str) -> None:
    done = octant.reranker("cross_encoder", cross_encoder=lambda pairs: scores).rerank(QUERY, FOUND)
    assert (done.ids, done.scores, done.score_kind) == (FOUND.ids, FOUND.scores, "first stage")
    assert why in done.report.failure
    with pytest.raises(RerankError, match="cross_encoder"):
        octant.reranker("cross_encoder", cross_encoder=lambda _: scores, on_failure="raise").rerank(QUERY, FOUND)


def test_scores_are_not_taken_for_probabilities_that_are_none() -> None:
    scorer = octant.reranker("cross_encoder(scale=probability)", cross_encoder=lambda pairs: [0.5, 0.1, 1.2, 0.3])
    assert "scores from 0.1 to 1.2, which are no probabilities" in scorer.rerank(QUERY, FOUND).report.failure


def test_a_class_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra [models]")
    path = cross_encoder_in(tmp_path / "model", labels=2)
    with pytest.raises(InputError, match="label must be from -2 to 1 for"):
        octant.reranker(f"cross_encoder('{path}', label=2)").rerank(QUERY, FOUND)
