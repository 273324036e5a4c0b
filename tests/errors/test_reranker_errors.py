"""Mistakes with rerankers: refused before anything is asked, and told in words that help."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_rerankers import QUERY, Graded, Placing, StatusError, last_number, ranking
from octant import Candidate, Ranking, registry, reranker
from octant.errors import ArtifactError, InputError, MismatchError, PluginError, RerankError, SpecError
from octant.rerankers import Order, Prompt
from octant.rerankers.chain import Chain, Stage
from octant.rerankers.control import FirstStage

# (spec, where the wrong token starts, the token, part of the message)
SPECS = [
    ("", 0, "", "expected the name of a reranker; got the end"),
    ("first_stage >", 13, "", "expected the name of a reranker; got the end"),
    ("first_stage | first_stage", 12, "|", "expected '>' or the end; got '|'"),
    ("first_stage > > first_stage", 14, ">", "expected the name of a reranker; got '>'"),
    ("first_stage > first_stag", 14, "first_stag", "no reranker 'first_stag'; did you mean 'first_stage'"),
    ("first_stage(3)", 12, "3", "first_stage takes no arguments; got another, 3 (write it first_stage)"),
    ("first_stage > first_stage(tip=3)", 26, "tip=3", "first_stage has no free argument 'tip'"),
    ("first_stage(top=0)", 12, "top=0", "top must be a whole number of at least 1, got 0"),
    ("first_stage(top=1.5)", 12, "top=1.5", "top must be a whole number of at least 1, got 1.5"),
    ("first_stage(top=true)", 12, "top=true", "top must be a whole number of at least 1, got True"),
    ("first_stage(top=2, top=3)", 19, "top", "the argument 'top' is given twice"),
    ("first_stage('a)", 12, "'", "cannot read"),
]


@pytest.mark.parametrize(("spec", "position", "token", "message"), SPECS)
def test_a_mistake_in_a_spec_is_pointed_at(spec: str, position: int, token: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        reranker(spec)
    assert (caught.value.position, caught.value.token) == (position, token)
    assert str(caught.value).endswith(f"\n  {spec}\n  {' ' * position}^")


def test_a_word_where_a_number_belongs_is_a_mistake_in_the_spec() -> None:
    with pytest.raises(SpecError, match=r"listwise.*\n  first_stage > listwise\(window=abc\)"):
        reranker("first_stage > listwise(window=abc)", last_number)


def test_a_pipeline_of_quantizers_has_no_arrows() -> None:
    from octant import quantizer

    with pytest.raises(SpecError, match=r"expected '\|' or the end; got '>'"):
        quantizer("pca(3) > turbo8")


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"on_failure": "ignore"}, "on_failure must be 'first_stage' or 'raise', got 'ignore'"),
    ({"max_calls": 0}, "max_calls must be a whole number of at least 1, got 0"),
    ({"max_calls": 2.5}, "max_calls must be a whole number of at least 1, got 2.5"),
    ({"max_tokens": -1}, "max_tokens must be a whole number of at least 1, got -1"),
    ({"max_tokens": True}, "max_tokens must be a whole number of at least 1, got True"),
    ({"max_seconds": 0}, "max_seconds must be a finite number above 0, got 0"),
    ({"max_seconds": float("nan")}, "max_seconds must be a finite number above 0, got nan"),
    ({"max_seconds": float("inf")}, "max_seconds must be a finite number above 0, got inf"),
    ({"timeout": -1}, "timeout must be a finite number above 0, got -1"),
    ({"backoff": "1"}, "backoff must be a finite number above 0, got '1'"),
    ({"concurrency": 0}, "concurrency must be a whole number of at least 1, got 0"),
    ({"retries": -1}, "retries must be a whole number of at least 0, got -1"),
    ({"seed": 0.5}, "seed must be a whole number of at least 0, got 0.5"),
    ({"shuffle": 1}, "shuffle must be True or False, got 1"),
    ({"prices": 3}, r"prices must be \(input, output\) for a million tokens of each, got 3"),
    ({"prices": (1, 2, 3)}, r"prices must be \(input, output\)"),
    ({"prices": {"in": 1, "out": 2}}, r"prices must be \(input, output\)"),
    ({"prices": (1, -2)}, "prices must be finite numbers of at least 0 .*, got -2"),
    ({"prices": (1, "2")}, "prices must be finite numbers of at least 0 .*, got '2'"),
    ({"count_tokens": 4}, "count_tokens must be a function of a text, got int"),
    ({"llm": "gpt-4o"}, "llm must be a LangChain chat model, or a function .*; got str"),
    ({"llm": Graded}, "llm must be a LangChain chat model, or a function .*; got Graded"),
    ({"model": " "}, "model must be the model's name, got ' '"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reranker(Graded(), **{"llm": last_number, **arguments})


@pytest.mark.parametrize("spec", [3, None, ["first_stage"]])
def test_a_spec_is_a_string(spec: Any) -> None:
    with pytest.raises(InputError, match=r"a spec must be a string such as 'listwise\(window=20\)', got"):
        reranker(spec)


def test_a_reranker_that_asks_needs_a_model() -> None:
    with pytest.raises(InputError, match="graded asks a language model: pass llm=, a LangChain chat model"):
        reranker(Chain([Stage(FirstStage()), Stage(Graded())]))
    with pytest.raises(InputError, match="graded asks a language model: pass llm="):
        Graded().rerank(QUERY, ranking(3))


def test_a_chain_has_links() -> None:
    with pytest.raises(InputError, match="a chain needs at least one reranker, got none"):
        Chain([])
    with pytest.raises(InputError, match="top must be a whole number of at least 1, got 0"):
        Stage(FirstStage(), 0)


@pytest.mark.parametrize(("target", "message"), [
    ("octant.rerankers.order:Order", "'stranger' must be a subclass of octant.rerankers.Reranker"),
    ("octant.rerankers.control:FirstStage", "'stranger' is a reranker that calls itself 'first_stage'"),
    ("octant.rerankers.nowhere:Nothing", "'stranger' of the package p 1 cannot be imported"),
])  # fmt: skip
def test_a_plugin_that_is_no_reranker(target: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("stranger", target, "octant.rerankers")
    vars(entry).update(dist=SimpleNamespace(name="p", version="1"))
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    registry._discover.cache_clear()
    try:
        with pytest.raises(PluginError, match=message):
            reranker("stranger")
    finally:
        registry._discover.cache_clear()


# -- caches --------------------------------------------------------------------------------------


def test_a_cache_must_be_a_file_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cache must be a file, and .* is a folder"):
        reranker("first_stage", cache=tmp_path)
    with pytest.raises(InputError, match=r"cache must be a file in an existing folder, and .*missing is none"):
        reranker("first_stage", cache=tmp_path / "missing" / "answers")


def test_a_file_that_is_no_cache_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n" * 200)
    with pytest.raises(ArtifactError, match=r"the cache .*notes.txt cannot be used \(file is not a database\)"):
        reranker("first_stage", cache=path)
    assert path.read_text() == "my notes\n" * 200


def test_a_cache_needs_to_know_the_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a cache needs to know which model answers, and last_number does not tell"):
        reranker(Graded(), last_number, cache=tmp_path / "answers")


# -- rankings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3"])
def test_a_k_is_a_count(k: Any) -> None:
    with pytest.raises(InputError, match=f"k must be a whole number of at least 1, got {k!r}"):
        reranker("first_stage").rerank(QUERY, ranking(3), k)


def test_a_query_is_a_text_and_a_ranking_a_ranking() -> None:
    with pytest.raises(InputError, match="query must be a str, got bytes"):
        reranker("first_stage").rerank(b"q", ranking(3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"ranking must be an octant\.Ranking, as a search returns it; got list"):
        reranker("first_stage").rerank(QUERY, [Candidate(1, 1.0, "a")])  # type: ignore[arg-type]


def raising(error: Exception) -> Any:
    def model(text: str) -> str:
        raise error

    return model


class OnVectors(Placing):
    needs_vectors = True


NO_TEXT = Ranking((Candidate(1, 0.9), Candidate(2, 0.8, "  ")))
SOME_TEXT = Ranking((Candidate(1, 0.9), Candidate(2, 0.8, "two"), Candidate(3, 0.7, "three")))
OTHER_EMBEDDING = MismatchError("trained for another embedding")

# (what to run, query, ranking, part of the reason)
FAILURES = [
    (reranker(Placing(Order.by_rank([1]))), "", ranking(3), "the query is blank"),
    (reranker(Placing(Order.by_rank([1]))), " \t\n", ranking(3), "the query is blank"),
    (reranker(Placing(Order.by_rank([1]))), QUERY, NO_TEXT, "no passage has a text"),
    (
        reranker(OnVectors(Order.by_rank([1]))),
        QUERY,
        ranking(3),
        "candidates have no vector: search with with_vectors=True",
    ),
    (reranker(Placing(OTHER_EMBEDDING)), QUERY, ranking(3), "trained for another embedding"),
    (reranker(Graded(), raising(StatusError("bad key", 401))), QUERY, ranking(3), "StatusError: bad key"),
    (reranker(Graded(), raising(TimeoutError("late")), retries=0), QUERY, ranking(3), "TimeoutError: late"),
    (reranker(Graded(), raising(StatusError("wait", 429)), retries=1, backoff=0.001), QUERY, ranking(3), "wait"),
    (reranker(Graded(), raising(ValueError("no"))), QUERY, SOME_TEXT, "ValueError: no"),
    (reranker(Graded(), lambda _: 7), QUERY, ranking(3), "should answer with text or a message, got int"),
]


@pytest.mark.parametrize(("made", "query", "found", "reason"), FAILURES)
def test_the_first_stage_order_comes_back_with_the_reason(made: Any, query: str, found: Ranking, reason: str) -> None:
    for done in (made.rerank(query, found), asyncio.run(made.arerank(query, found))):
        assert (done.ids, done.scores, done.score_kind) == (found.ids, found.scores, "first stage")
        assert done.report is not None
        assert reason in (done.report.failure or "")


@pytest.mark.parametrize(("made", "query", "found", "reason"), FAILURES)
def test_the_strict_get_an_exception(made: Any, query: str, found: Ranking, reason: str) -> None:
    from dataclasses import replace

    strict = made.using(replace(made.settings, on_failure="raise"))
    with pytest.raises(RerankError, match=re.escape(reason)):
        strict.rerank(query, found)
    with pytest.raises(RerankError, match=re.escape(reason)):
        asyncio.run(strict.arerank(query, found))


def test_the_strict_get_an_exception_for_one_unusable_output_and_the_models_error_as_its_cause() -> None:
    strict = reranker(Graded(), lambda t: "none" if "passage 2" in t else "1", on_failure="raise")
    with pytest.raises(RerankError, match="an output of the model could not be used: no number"):
        strict.rerank(QUERY, ranking(4))
    error = StatusError("bad key", 401)
    with pytest.raises(RerankError, match="graded: StatusError: bad key") as caught:
        reranker(Graded(), raising(error), on_failure="raise").rerank(QUERY, ranking(4))
    assert caught.value.__cause__ is error


def test_the_strict_pay_for_no_more_than_the_failure() -> None:
    asked: list[str] = []

    def failing(text: str) -> str:
        asked.append(text)
        raise StatusError("bad key", 401)

    with pytest.raises(RerankError, match="bad key"):
        reranker(Graded(), failing, on_failure="raise", concurrency=1).rerank(QUERY, ranking(50))
    assert len(asked) == 1


def test_an_async_function_cannot_be_called_plainly() -> None:
    async def model(text: str) -> str:
        return "1"

    with pytest.raises(InputError, match="the llm is an async function: call arerank"):
        reranker(Graded(), model).rerank(QUERY, ranking(3))


def test_a_prompt_asks_for_one_thing_beside_text() -> None:
    with pytest.raises(InputError, match="asks for log-probabilities or for a schema, not for both"):
        Prompt((), "1", logprobs=3, schema={"title": "x"})


def test_an_embedder_is_asked_for_where_it_is_used() -> None:
    class Embedding(Placing):
        needs_embedder = True

    with pytest.raises(InputError, match=r"placing.* embeds texts: pass embedding="):
        reranker(Embedding())
