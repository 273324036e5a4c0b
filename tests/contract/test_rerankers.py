"""What every reranker keeps to: a permutation, finite scores that say what they mean, and a report."""

from __future__ import annotations

import asyncio
import copy
import json
import math
from dataclasses import FrozenInstanceError, replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_rerankers import QUERY, Counting, Graded, OneByOne, Placing, last_number, ranking
from octant import Candidate, Ranking, registry, reranker
from octant.errors import PluginError
from octant.rerank_report import OutputNote, RerankReport
from octant.rerankers import Order
from octant.rerankers.chain import Chain, Stage
from octant.rerankers.control import FirstStage
from octant.spec import Argument, Call, parse_reranking
from octant.testing import check_reranker

BAD_SCORES = [math.nan, math.inf, -math.inf]


# -- the door ------------------------------------------------------------------------------------


def test_built_in_rerankers_enter_by_entry_point() -> None:
    own = [info for info in registry.describe("rerankers") if info.package == "qdrant-octant"]
    assert "first_stage" in [info.name for info in own]
    for info in own:
        assert registry.load("rerankers", info.name).name == info.name  # type: ignore[attr-defined]


def test_a_strangers_reranker_is_made_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("graded", "made_rerankers:Graded", "octant.rerankers")
    vars(entry).update(dist=SimpleNamespace(name="stranger", version="1"))
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "octant.rerankers" else [])
    registry._discover.cache_clear()
    try:
        made = reranker("graded(logprobs)", last_number)
    finally:
        registry._discover.cache_clear()
    assert isinstance(made, Graded)
    assert made.config == {"extra": "logprobs"}
    assert repr(made) == "graded(logprobs)"


def test_plugins_lists_rerankers() -> None:
    from typer.testing import CliRunner

    from octant.cli.app import app

    done = CliRunner().invoke(app, ["plugins", "--json"])
    listed = {entry["name"]: entry for entry in json.loads(done.stdout)["rerankers"]}
    assert listed["first_stage"]["problem"] is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" first_stage ", "first_stage"),
        ("first_stage()", "first_stage"),
        ("first_stage>first_stage( top = 3 )", "first_stage > first_stage(top=3)"),
        ("first_stage(top=5)", "first_stage(top=5)"),
    ],
)
def test_the_canonical_text_of_a_spec(text: str, canonical: str) -> None:
    made = reranker(text)
    assert repr(made) == canonical
    assert repr(reranker(canonical)) == canonical


names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda w: w not in {"true", "false", "none"})
values = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(), st.text(max_size=20)
)
calls = st.builds(
    Call,
    names,
    st.tuples(
        st.lists(st.builds(Argument, values), max_size=2),
        st.lists(st.builds(Argument, values, names), max_size=2, unique_by=lambda argument: argument.keyword),
    ).map(lambda parts: tuple(parts[0] + parts[1])),
)


@given(st.lists(calls, min_size=1, max_size=4).map(tuple))
def test_any_chain_survives_being_written_and_read(chain: tuple[Call, ...]) -> None:
    text = " > ".join(map(str, chain))
    assert parse_reranking(text) == chain
    assert [str(call) for call in parse_reranking(text)] == [str(call) for call in chain]


def test_a_name_that_is_no_word_stands_in_quotes() -> None:
    (call,) = parse_reranking("""f('org/model-v2.1', "it's", 'a\\\\b\\'c', 'true', path=">|()")""")
    assert [argument.value for argument in call.arguments] == ["org/model-v2.1", "it's", "a\\b'c", "true", ">|()"]


# -- orders --------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=12))
def test_an_order_by_score_is_the_stable_sort_with_what_has_none_behind(scores: list[float | None]) -> None:
    done = Order.by_score(scores, "probability").completed(len(scores))
    best_first = sorted((i for i, s in enumerate(scores) if s is not None), key=lambda i: (-scores[i], i))  # type: ignore[operator]
    behind = [i for i, s in enumerate(scores) if s is None]
    assert done.positions == (*best_first, *behind)
    assert done.scores is not None
    if best_first:
        lowest = scores[best_first[-1]]
        assert done.scores == (*[scores[i] for i in best_first], *[lowest] * len(behind))
    else:
        assert done.kind == "rank"


def test_mean_ranks_average_passes_out() -> None:
    passes = [Order.by_rank([0, 1, 2, 3]), Order.by_rank([3, 2, 1, 0]), Order.by_rank([2])]  # the last: 2, 0, 1, 3
    assert Order.mean(passes, 4).positions == (2, 0, 1, 3)  # sums of ranks 4, 5, 3, 6
    assert Order.mean(passes[:2], 4).positions == (0, 1, 2, 3)  # all equal: as they came


# -- what the base class sees to -----------------------------------------------------------------


def test_scores_and_what_they_mean_come_beside_those_of_the_search() -> None:
    found = ranking(4)
    before = copy.deepcopy(found)
    done = reranker(Graded(), last_number).rerank(QUERY, found)
    assert found == before
    assert done.ids == ("p3", "p2", "p1", "p0")
    assert done.scores == (3.0, 2.0, 1.0, 0.0)
    assert done.score_kind == "grade"
    assert [candidate.first_stage_score for candidate in done] == [0.97, 0.98, 0.99, 1.0]
    assert [candidate.text for candidate in done] == [found[3].text, found[2].text, found[1].text, found[0].text]
    again = reranker(Placing(Order.by_rank([3, 0]))).rerank(QUERY, done)
    assert [candidate.first_stage_score for candidate in again] == [1.0, 0.97, 0.98, 0.99]


def test_an_order_alone_gives_evenly_spaced_scores_and_keeps_what_it_does_not_mention_behind() -> None:
    done = reranker(Placing(Order.by_rank([4, 1]))).rerank(QUERY, ranking(5))
    assert done.ids == ("p4", "p1", "p0", "p2", "p3")
    assert done.scores == (1.0, 0.8, 0.6, 0.4, 0.2)
    assert done.score_kind == "rank"


@pytest.mark.parametrize(("k", "count"), [(None, 5), (1, 1), (4, 4), (5, 5), (99, 5)])
def test_a_ranking_is_cut_to_k(k: int | None, count: int) -> None:
    placing = Placing(Order.by_rank([4, 3, 2, 1, 0]))
    made = reranker(placing)
    done = made.rerank(QUERY, ranking(5), k)
    assert done.ids == ("p4", "p3", "p2", "p1", "p0")[:count]


def test_a_method_sees_only_passages_with_text_and_the_others_follow() -> None:
    found = ranking(5)
    texts = [None, "one", " ", "three", "four"]
    found = replace(found, candidates=tuple(replace(c, text=t) for c, t in zip(found, texts, strict=True)))
    seen: list[tuple[str | None, ...]] = []

    def last_first(part: Ranking) -> Order:
        seen.append(tuple(candidate.text for candidate in part))
        return Order.by_score([0.1, 0.2, 0.3], "probability")

    done = reranker(Placing(last_first)).rerank(QUERY, found)
    assert seen == [("one", "three", "four")]
    assert done.ids == ("p4", "p3", "p1", "p0", "p2")
    assert done.scores == (0.3, 0.2, 0.1, 0.1, 0.1)
    assert done.report is not None
    assert done.report.remarks == ("2 of 5 passages have no text, and come last",)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_asked_where_there_is_nothing_to_compare(count: int) -> None:
    model = Counting()
    done = reranker(OneByOne(), model).rerank(QUERY, ranking(count), 3)
    assert done.ids == ranking(count).ids
    assert done.scores == ranking(count).scores
    assert model.asked == []
    assert done.report is not None
    assert (done.report.calls, done.report.failure) == (0, None)


def test_one_passage_alone_is_scored_by_a_method_that_scores_each() -> None:
    done = reranker(Graded(), lambda _: "7").rerank(QUERY, ranking(1))
    assert (done.scores, done.score_kind) == ((7.0,), "grade")


BROKEN_ORDERS = [
    (Order((0, 0)), "name each position once"),
    (Order((0, 9)), r"positions from 0 to 3, got \[9\]"),
    (Order((-1,)), r"positions from 0 to 3, got \[-1\]"),
    (Order((True,)), "positions from 0 to 3"),  # type: ignore[arg-type]
    (Order((0, 1), (1.0,), "logit"), "2 positions need as many scores, got 1"),
    (Order((0, 1), (1.0, 2.0), "logit"), "must not rise"),
    *[(Order((0, 1), (1.0, bad), "logit"), "must be finite") for bad in BAD_SCORES],
]


@pytest.mark.parametrize(("order", "message"), BROKEN_ORDERS)
def test_a_method_that_breaks_its_word_loses_no_document(order: Order, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        order.completed(4)
    done = reranker(Placing(order)).rerank(QUERY, ranking(4))
    assert done.ids == ranking(4).ids
    assert done.scores == ranking(4).scores
    assert done.score_kind == "first stage"
    assert done.report is not None
    assert done.report.failure is not None
    assert "PluginError" in done.report.failure


@given(st.permutations(range(6)), st.integers(0, 6), st.none() | st.integers(1, 9))
def test_whatever_a_method_mentions_the_result_is_a_permutation(order: list[int], said: int, k: int | None) -> None:
    done = reranker(Placing(Order.by_rank(order[:said]))).rerank(QUERY, ranking(6), k)
    everything = [*order[:said], *sorted(order[said:])]
    assert done.ids == tuple(f"p{i}" for i in everything)[:k]
    assert all(a > b for a, b in zip(done.scores, done.scores[1:], strict=False))


def test_scores_of_a_search_that_are_not_finite_do_not_leave() -> None:
    found = Ranking((Candidate(1, math.nan, "a"), Candidate(2, 0.5, "b")))
    done = reranker("first_stage").rerank(QUERY, found)
    assert (done.ids, done.scores, done.score_kind) == ((1, 2), (1.0, 0.5), "rank")


def test_the_control_changes_nothing() -> None:
    done = reranker("first_stage").rerank(QUERY, ranking(5), 3)
    assert (done.ids, done.scores) == (ranking(5).ids[:3], ranking(5).scores[:3])
    assert done.score_kind == "first stage"
    assert done.report is not None
    assert (done.report.method, done.report.calls, done.report.failure) == ("first_stage", 0, None)


async def test_awaited_gives_the_same() -> None:
    made = reranker(Graded(), Counting())
    plain = made.rerank(QUERY, ranking(6), 4)
    awaited = await made.arerank(QUERY, ranking(6), 4)
    assert awaited == plain
    assert awaited.report is not None
    assert plain.report is not None
    assert replace(awaited.report, seconds=0.0) == replace(plain.report, seconds=0.0)


# -- chains --------------------------------------------------------------------------------------


def test_a_stage_reranks_the_best_of_the_one_before_it() -> None:
    first, second = Placing(Order.by_rank([5, 4, 3, 2, 1, 0])), Placing(Order.by_rank([2, 0]))
    chain = reranker(Chain([Stage(first), Stage(second, 3)]))
    done = chain.rerank(QUERY, ranking(6), 2)
    assert second.seen.ids == ("p5", "p4", "p3")
    assert done.ids == ("p3", "p5")
    assert (first.k, second.k) == (3, 2)
    whole = chain.rerank(QUERY, ranking(6))
    assert whole.ids == ("p3", "p5", "p4", "p2", "p1", "p0")
    assert [candidate.first_stage_score for candidate in whole] == [0.97, 0.95, 0.96, 0.98, 0.99, 1.0]
    assert whole.report is not None
    assert whole.report.method.startswith("placing")


def test_what_a_stage_leaves_out_has_the_lowest_of_its_scores() -> None:
    second = Placing(Order.by_score([0.2, 0.9], "probability"))
    done = reranker(Chain([Stage(Placing(Order.by_rank([3]))), Stage(second, 2)])).rerank(QUERY, ranking(4))
    assert done.ids == ("p0", "p3", "p1", "p2")
    assert done.scores == (0.9, 0.2, 0.2, 0.2)
    assert done.score_kind == "probability"


def test_a_stage_that_fails_leaves_the_order_of_the_one_before_it() -> None:
    links = [Stage(Placing(Order.by_score([1.0, 3.0, 2.0], "logit"))), Stage(Placing(ValueError("no good")), 2)]
    done = reranker(Chain(links)).rerank(QUERY, ranking(3))
    assert (done.ids, done.scores, done.score_kind) == (("p1", "p2", "p0"), (3.0, 2.0, 1.0), "logit")
    assert done.report is not None
    assert done.report.failure is not None
    assert "ValueError: no good" in done.report.failure


def test_a_stage_whose_model_fails_leaves_the_order_of_the_one_before_it() -> None:
    def failing(text: str) -> str:
        raise RuntimeError("out of order")

    made = reranker(Chain([Stage(Placing(Order.by_rank([2]))), Stage(Graded(), 2)]), failing)
    done = made.rerank(QUERY, ranking(3))
    assert (done.ids, done.score_kind) == (("p2", "p0", "p1"), "rank")
    assert done.report is not None
    assert done.report.failure is not None
    assert "out of order" in done.report.failure


def test_a_budget_is_that_of_the_whole_chain() -> None:
    model = Counting()
    done = reranker(Chain([Stage(Graded()), Stage(Graded(), 3)]), model, max_calls=8).rerank(QUERY, ranking(6))
    assert len(model.asked) == 8
    assert done.report is not None
    assert (done.report.calls, done.report.ended_early) == (8, "max_calls=8 was reached")
    assert done.ids[:2] == ("p5", "p4")


# -- the report ----------------------------------------------------------------------------------


def test_a_report_is_one_line_for_people_and_a_mapping_for_traces() -> None:
    report = RerankReport(
        "listwise", "m", 3, 1200, 80, "both", 0.0125, 1.5, 1, 2,
        (OutputNote("parsed"), OutputNote("repaired", "id 9 is out of range"), OutputNote("parsed")),
        "max_calls=3 was reached", None, {"p1": "because"}, {"first place": 0.5}, ("a remark",),
    )  # fmt: skip
    assert str(report) == (
        "listwise: 3 calls, 1,200 + 80 tokens (partly estimated), 1.50 s; cost 0.0125; 1 retry; "
        "2 answers from the cache; outputs: 2 parsed, 1 repaired; ended early: max_calls=3 was reached; a remark"
    )
    assert json.loads(json.dumps(report.as_dict()))["outputs"][1] == {
        "kind": "repaired",
        "what": "id 9 is out of range",
    }
    with pytest.raises(FrozenInstanceError, match="calls"):
        report.calls = 0  # type: ignore[misc]


# -- the check -----------------------------------------------------------------------------------


def test_the_check_accepts_what_keeps_the_contract() -> None:
    check_reranker(FirstStage())
    check_reranker(reranker(Graded(), last_number))
    check_reranker(reranker(OneByOne(), lambda _: "good"))
    check_reranker(reranker(Chain([Stage(Graded(), 5), Stage(FirstStage())]), last_number))


async def test_the_check_runs_within_an_event_loop() -> None:
    check_reranker(reranker("first_stage > first_stage(top=4)"))


def editing(part: Ranking) -> Order:
    part[0].payload["rank"] = -1  # type: ignore[index]
    return Order.by_rank([1])


def rounding(part: Ranking) -> Order:
    assert part[0].vector is not None
    part[0].vector[:] = np.round(part[0].vector)
    return Order.by_rank([1])


class Moody(Placing):
    """Answers differently each time."""

    def _rerank(self, query: str, ranking: Ranking, run: Any) -> Any:
        self.times = getattr(self, "times", 0) + 1
        yield from ()
        return Order.by_rank([self.times % 3])


class Deaf(Graded):
    """Says nothing of outputs that it could not read."""

    def _grade(self, text: str, run: Any) -> float | None:
        return super()._grade(text, run) if text else None


class Inventive(Graded):
    """Brings documents of its own."""

    def _reranking(self, query: str, ranking: Ranking, k: int | None) -> Any:
        done = yield from super()._reranking(query, ranking, k)
        return replace(done, candidates=(*done.candidates[:-1], Candidate("mine", 0.0, "mine")))


BREAKERS = [
    (Placing(Order.by_rank([0, 0])), "must work on ordinary passages, but failed: .*once"),
    (Placing(ValueError("no")), "must work on ordinary passages, but failed: .*no"),
    (Placing(editing), "must not change the ranking"),
    (Placing(rounding), "must not change the vectors"),
    (Placing(lambda part: Order((1, 0), (2.0, 1.0), "probability")), "a probability lies between 0.0 and 1.0"),
    (Placing(lambda part: Order((1, 0), (0.5, 0.5), "logit")), "must leave equal scores in their order"),
    (Placing(lambda part: Order((1, 0), (0.5, 0.4), "charm")), "unknown kind of score 'charm'"),  # type: ignore[arg-type]
    (Moody(), "arerank must agree with rerank"),
    (Deaf(), "must report that a model without a word"),
    (Inventive(), "must not invent candidates"),
]


@pytest.mark.parametrize(("broken", "message"), BREAKERS)
def test_the_check_tells_what_is_broken(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_reranker(reranker(broken, last_number))


def test_cancelling_reaches_a_method_without_a_model() -> None:
    class Slow(Placing):
        def _rerank(self, query: str, ranking: Ranking, run: Any) -> Any:
            from octant.flow import step

            yield from step(lambda: None, lambda: asyncio.sleep(60))

    async def cancelled() -> bool:
        task = asyncio.create_task(Slow().arerank(QUERY, ranking(3)))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())
