"""Spec strings: what is read, and that writing it and reading it back changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octant.representation import Representation, quantizer
from octant.spec import Argument, Call, Pipeline, SpecTree, parse

CANONICAL = [
    ("turbo8", "turbo8"),
    ("  turbo8\n", "turbo8"),
    ("float8()", "float8"),
    ("pca( 192 )|float8", "pca(192)|float8"),
    ("pca(192) | turbo8 | turbo( 1.50 )", "pca(192)|turbo8|turbo(1.5)"),
    ("turbo(2.0)", "turbo(2)"),
    ("f(-1, +2, .5, 1e-7, 2E3, word, x4, key = value)", "f(-1, 2, 0.5, 1e-07, 2000, word, x4, key=value)"),
    ("f(True, FALSE, none)", "f(true, false, none)"),
    ("coarse=turbo4;fine=float8", "coarse=turbo4; fine=float8"),
    ("coarse = turbo4|turbo(1) ; fine = pca(3)|int4", "coarse=turbo4|turbo(1); fine=pca(3)|int4"),
    ("coarse|fine", "coarse|fine"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_the_canonical_text_of_a_spec(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_a_tree_holds_names_values_and_where_they_stand() -> None:
    tree = parse("pca(192)|f(x4, size=2)")
    assert tree == SpecTree(
        Pipeline(
            (
                Call("pca", (Argument(192),)),
                Call("f", (Argument("x4"), Argument(2, "size"))),
            )
        )
    )
    assert [call.position for call in tree.coarse.calls] == [0, 9]
    assert [argument.position for argument in tree.coarse.calls[1].arguments] == [11, 15]
    value = tree.coarse.calls[0].arguments[0].value
    assert (value, type(value)) == (192, int)


names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda word: word not in {"true", "false", "none"}
)
values = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    names,
)
positional = st.lists(st.builds(Argument, values), max_size=3)
keywords = st.lists(st.builds(Argument, values, names), max_size=3, unique_by=lambda argument: argument.keyword)
calls = st.builds(Call, names, st.tuples(positional, keywords).map(lambda parts: tuple(parts[0] + parts[1])))
pipelines = st.lists(calls, min_size=1, max_size=4).map(lambda found: Pipeline(tuple(found)))
trees = st.builds(SpecTree, pipelines, st.none() | pipelines)


@given(trees)
def test_any_tree_survives_being_written_and_read(tree: SpecTree) -> None:
    again = parse(str(tree))
    assert again == tree
    assert str(again) == str(tree)


EXPANDED = [
    ("turbo8", "turbo8"),
    ("float8(e4m3)", "coarse=turbo4; fine=float8"),
    ("float8(variant=e5m2)", "coarse=turbo4; fine=float8(e5m2)"),
    ("pca(192)|int4", "coarse=pca(192)|turbo4; fine=pca(192)|int4"),
    ("pca(m=8)", "pca(8)|float32"),
    ("turbo(1)", "float32|turbo(1)"),
    ("turbo8|turbo(1)", "turbo8|turbo(1)"),
    ("truncate(64)|pca(8)|uint8", "truncate(64)|pca(8)|uint8"),
    ("coarse=turbo4|turbo(1); fine=float8", "coarse=turbo4|turbo(1); fine=float8"),
    ("coarse=bq(1); fine=pca(3)", "coarse=float32|bq(1); fine=pca(3)|float32"),
]


@pytest.mark.parametrize(("text", "expanded"), EXPANDED)
def test_a_representation_writes_out_what_a_spec_leaves_open(text: str, expanded: str) -> None:
    representation = Representation.parse(text)
    assert representation.spec == str(representation) == expanded
    assert Representation.parse(expanded) == representation


def test_a_quantizer_is_the_single_chain_of_its_spec() -> None:
    chain = quantizer("pca(4)|float8")
    assert [link.name for link in chain.links] == ["pca", "float8"]
    assert [link.config for link in chain.links] == [{"m": 4}, {"variant": "e4m3"}]
    assert repr(chain) == "pca(4)|float8"
