"""Whatever a model answers, what is read from it is a permutation, and the one it meant where that can be told."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octant.rerankers.answers import read_order

EXAMPLES = int(os.environ.get("OCTANT_PARSER_EXAMPLES", "500"))
"""100,000 in the benchmark run; fewer on every push."""

READ = [
    # (answer, passages, the order meant (from 1), outcome)
    ("[2] > [1] > [3]", 3, "213", "parsed"),
    ("3, 1, 2", 3, "312", "parsed"),
    ("3 1 2", 3, "312", "parsed"),
    ("3\n1\n2", 3, "312", "parsed"),
    ("[3]\n\n[1]\n\n[2]", 3, "312", "parsed"),
    ("passage 3 > passage 1 > passage 2", 3, "312", "parsed"),
    ("**[3]**, **[1]**, **[2]**", 3, "312", "parsed"),
    ("[3] > [1] > ... > [2]", 3, "312", "parsed"),
    ("[3] &gt; [1] -> [2]", 3, "312", "parsed"),
    ("[1] < [2] < [3]", 3, "321", "parsed"),
    # ranges
    ("[1]-[4]", 4, "1234", "parsed"),
    ("[4]-[1]", 4, "4321", "parsed"),
    ("[2] > [4] to [6] > [1]", 6, "245613", "repaired"),
    ("[3] - [1] - [2]", 3, "312", "parsed"),
    ("[2] > [3]-[99999999999999999999]", 4, "2314", "repaired"),
    # repeated, missing, out of range, negative, not a number, cut off
    ("[3] > [1] > [3] > [2]", 3, "312", "repaired"),
    ("[3]", 3, "312", "repaired"),
    ("2", 3, "213", "repaired"),
    ("The best is [3]", 3, "312", "repaired"),
    ("[7] > [3] > [1] > [2]", 3, "312", "repaired"),
    ("[-1] > [2] > [1]", 3, "213", "repaired"),
    ("[A] > [3] > [1] > [2]", 3, "312", "parsed"),
    ("[2] > [0] > [1]", 3, "312", "repaired"),
    ("[2] > [0] > [3] > [1]", 3, "231", "repaired"),
    ("[12] > [3] > [1", 12, "c3", "repaired"),
    ("[3, 1", 3, "312", "repaired"),
    ("12] > [3]", 12, "c3", "repaired"),
    # numbered lists, prose, reasoning
    ("1. [3] > [1] > [2]", 3, "312", "parsed"),
    ("1. [3] 2. [1] 3. [2]", 3, "312", "parsed"),
    ("1. Passage 3, it is best\n2. Passage 1\n3. Passage 2: no answer", 3, "312", "parsed"),
    ("Rank 1: [3]\nRank 2: [1]\nRank 3: [2]", 3, "312", "parsed"),
    ("[3] is about fleas.\n[1] is not.\n[2] is on 7 dogs.", 3, "312", "parsed"),
    ("[3] (score 8), [1] (score 7), [2] (score 1)", 3, "312", "parsed"),
    ("100% of the passages are listed. [3] > [1] > [2]", 3, "312", "parsed"),
    ("Compare [1] and [2]. [1] > [2]? No.\nFinal: [3] > [1] > [2]", 3, "312", "parsed"),
    ("<think>[1] > [2] > [3]</think>\n[3] > [1] > [2]", 3, "312", "parsed"),
    ("[1] > [2] > [3]\n[3] > [1] > [2]", 3, "312", "parsed"),
    ("[3] > [1] > [2]. Note that [1] and [2] are close.", 3, "312", "parsed"),
    ("[3] > [1] > [2]\n\n[2] was off topic.", 3, "312", "parsed"),
    ("Doc: 3, Relevance: 7.9\nDoc: 1, Relevance: 0.85\nDoc: 2, Relevance: 0", 3, "312", "parsed"),
    # JSON
    ("```json\n[3, 1, 2]\n```", 3, "312", "parsed"),
    ('Here: {"reason": "[1] > [2] > [3] is wrong", "ranking": [3, 1, 2]}', 3, "312", "parsed"),
    ('{"ranking": ["[3]", "passage 1", "2"]}', 3, "312", "parsed"),
    ('{"order": "[3] > [1] > [2]"}', 3, "312", "parsed"),
    ('{"ranking": [3]}', 3, "312", "repaired"),
    ('[{"id": 3}, {"id": 1}, {"id": 2}]', 3, "312", "parsed"),
    ('[{"id": 2, "score": 0.1}, {"id": 3, "score": 0.9}, {"id": 1, "score": 0.5}]', 3, "312", "parsed"),
    ('[{"id": 2, "rank": 3}, {"id": 3, "rank": 1}, {"id": 1, "rank": 2}]', 3, "312", "parsed"),
    ('{"1": 0.5, "2": 0.1, "3": 0.9}', 3, "312", "parsed"),
    ('[{"id": 3, "score": 0.9}, {"id": 1, "sco', 3, "312", "repaired"),
    ("[[3], [1], [2]]", 3, "312", "parsed"),
    # other scripts
    ("[٣] > [١] > [٢]", 3, "312", "parsed"),
    ("[३] > [१] > [२]", 3, "312", "parsed"),
    ("【３】＞【１】＞【２】", 3, "312", "parsed"),
    ("③ ① ②", 3, "312", "parsed"),
    ("[3]、[1]、[2]", 3, "312", "parsed"),
]  # fmt: skip

UNREAD = [
    ("", "empty answer"),
    (" \n", "empty answer"),
    (None, "empty answer"),
    ("I'm sorry, I cannot rank these passages.", "refusal"),
    ("20 passages are provided.", "no list"),
    ("Home / News / Industry News / What", "no list"),
    ("\n\n[] > []", "no list"),
    ("[A] > [B]", "no list"),
    ("Relevance: 0.85", "no list"),
    ("1. The flea one\n2. The cat one\n3. The dog one", "no list"),
    ("9" * 5000, "no list"),
    ("[" * 50_000, "no list"),
    ('{"a":' * 5000, "no list"),
]


@pytest.mark.parametrize(("answer", "n", "meant", "outcome"), READ)
def test_the_order_that_was_meant_is_read(answer: str, n: int, meant: str, outcome: str) -> None:
    read = read_order(answer, n)
    assert read.order[: len(meant)] == tuple(int(place, 16) - 1 for place in meant)
    assert sorted(read.order) == list(range(n))
    assert read.outcome == outcome
    assert bool(read.why) == (outcome == "repaired")


@pytest.mark.parametrize(("answer", "why"), UNREAD)
def test_an_answer_without_a_list_keeps_the_order_and_says_why(answer: str | None, why: str) -> None:
    read = read_order(answer, 20)
    assert read.order == tuple(range(20))
    assert read.outcome == "fell back"
    assert read.named == 0
    assert why in read.why[0]


def test_what_was_repaired_is_told() -> None:
    read = read_order("[9] > [2] > [2] > [4]", 4)
    assert read.why == ("1 repeated", "1 out of range", "2 of 4 missing")
    assert (read.order, read.named) == ((1, 3, 0, 2), 2)


def test_structured_values_are_read_like_their_json() -> None:
    class Made:
        def model_dump(self) -> dict[str, list[int]]:
            return {"ranking": [3, 1, 2]}

    loop: list[object] = []
    loop.append(loop)
    assert read_order({"ranking": [3, 1, 2]}, 3).order == (2, 0, 1)
    assert read_order([2, 1, 3], 3).order == (1, 0, 2)
    assert read_order(Made(), 3).order == (2, 0, 1)
    assert read_order(loop, 3).outcome == "fell back"


def test_labels_are_the_only_identifiers_where_they_are_used() -> None:
    labels = ["zz9", "k7q", "a1b"]
    assert read_order("[k7q] > [ZZ9] > [a1b]", 3, labels).order == (1, 0, 2)
    assert read_order("[1] > [2] > [3]", 3, labels).outcome == "fell back"
    assert read_order("[3] > [2] > [1]\n[a1b] > [zz9] > [k7q]", 3, labels).order == (2, 0, 1)
    assert read_order({"ranking": labels[::-1]}, 3, labels).order == (2, 1, 0)


LOOPS = [
    " " * 60_000 + "x", "id" + " " * 60_000, "[1]\n" * 15_000, "-" * 60_000, "[" + "1," * 30_000 + "1]", "1. " * 20_000,
    "(score " * 8_000, '{"a":' * 12_000, "1" * 60_000, "1 " * 9_000,
    "\n" * 60_000 + "1", "* " * 30_000, "</think>" * 8_000,
]  # fmt: skip


def test_a_model_stuck_in_a_loop_costs_no_more_than_its_length() -> None:
    began = time.process_time()
    for loop in LOOPS:
        assert sorted(read_order(loop, 20).order) == list(range(20))
    assert time.process_time() - began < 60  # about 2 s; a pattern of quadratic cost takes minutes


FRAGMENTS = st.one_of(
    st.integers(-3, 40).map(lambda i: f"[{i}]"),
    st.integers(-3, 10**30).map(str),
    st.sampled_from(
        (
            *(" > ", ", ", "\n", "-", " to ", "...", "[", "]", "{", "}", ":", '"ranking": ', '"id": ', '"score": '),
            *("```json\n", "```", "<think>", "</think>", "1. ", "Rank 1: ", "Passage ", "100%", "0.85", "1e999", "NaN"),
            *("٣", "③", "【", "】", "＞", "²", "½", "三", "\u200b", "\x00", "𝟛", "Ⅳ", "k7q", "zz9", "<", "null"),
        )
    ),
    st.text(max_size=6),
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(["ranking", "id", "score", "rank", "1", "2", "answer", "[3]"]) | st.text(max_size=4)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)
ANSWERS = st.one_of(
    st.lists(FRAGMENTS, max_size=40).map("".join), VALUES, VALUES.map(lambda value: json.dumps(value)), st.text()
)


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(answer=ANSWERS, n=st.integers(0, 30), labelled=st.booleans())
def test_nothing_is_ever_lost_invented_or_repeated(answer: object, n: int, labelled: bool) -> None:
    labels = ["k7q", "zz9", *(f"x{i}y" for i in range(n))][:n] if labelled else None
    read = read_order(answer, n, labels)
    assert sorted(read.order) == list(range(n))
    assert 0 <= read.named <= n
    assert (read.outcome == "parsed") == (not read.why)
    assert read.outcome != "fell back" or read.order == tuple(range(n))
    unnamed = read.order[read.named :]
    assert unnamed == tuple(sorted(unnamed))  # what the answer forgets keeps its order


@settings(max_examples=EXAMPLES // 5, deadline=None, database=None)
@given(order=st.permutations(range(1, 21)), data=st.data())
def test_a_complete_list_is_read_as_written_however_it_is_set(order: list[int], data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(["[{}]", "{}", "**[{}]**", "Passage {}", "#{}", '"{}"', "【{}】"]))
    between = data.draw(st.sampled_from([" > ", ">", ", ", "\n", " >\n", "; ", " | ", " -> "]))
    before = data.draw(
        st.sampled_from(["", "Ranking: ", "Sure! Here are the 20 passages.\n\n", "```\n", "<think>[1]</think>"])
    )
    after = data.draw(st.sampled_from(["", ".", "\n```", "\n\nI hope this helps."]))
    read = read_order(before + between.join(one.format(i) for i in order) + after, 20)
    assert read.order == tuple(i - 1 for i in order)
    assert read.outcome == "parsed"
