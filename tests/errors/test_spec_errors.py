"""Mistakes in a spec string: the message names the token, its position and what would be right."""

from __future__ import annotations

import re

import pytest

from octant.errors import InputError, SpecError, UnknownPluginError
from octant.representation import Representation, quantizer

# (spec, where the wrong token starts, the token, part of the message)
SYNTAX = [
    ("", 0, "", "expected the name of a quantizer; got the end"),
    ("pca(3", 5, "", "expected ',' or '\\)'; got the end"),
    ("pca(3,)", 6, ")", "expected a number or a word; got '\\)'"),
    ("pca 3", 4, "3", "expected '|' or the end; got '3'"),
    ("pca(3)|", 7, "", "expected the name of a quantizer; got the end"),
    ("pca(3)||turbo8", 7, "|", "expected the name of a quantizer; got '|'"),
    ("pca(3) @turbo8", 7, "@", "cannot read '@'"),
    ("turbo8|8bit", 7, "8bit", "cannot read '8bit'"),
    ("pca(1e999)", 4, "1e999", "a number must be finite"),
    ("pca(m=3, 4)", 9, "4", "without a name cannot follow one with a name"),
    ("pca(m=3, m=4)", 9, "m", "'m' is given twice"),
    ("fine=float8", 0, "fine", "expected 'coarse=' .*a fine stage only rescores"),
    ("coarse=turbo4", 13, "", "expected '; fine=…' after the coarse stage"),
    ("coarse=turbo4; float8", 15, "float8", "expected 'fine='; got 'float8'"),
    ("coarse=turbo4; coarse=turbo8", 15, "coarse", "expected 'fine='; got 'coarse'"),
    ("coars=turbo4; fine=float8", 0, "coars", "did you mean 'coarse'?"),
    ("coarse=turbo4; fien=float8", 15, "fien", "did you mean 'fine'?"),
    ("turbo4; fine=float8", 6, ";", "two stages are written 'coarse=…; fine=…'"),
    ("coarse=turbo4; fine=float8; fine=int8", 26, ";", "expected nothing after the fine stage"),
]
NAMES = [
    ("pcaa(3)", 0, "pcaa", "no quantizer 'pcaa'; did you mean 'pca'.* Known: autoencoder, binary, bq, .*whiten"),
    ("pca(3)|flaot8", 7, "flaot8", "did you mean 'float8'?"),
    ("coarse=turbo4; fine=Float8", 20, "Float8", "did you mean 'float8'?"),
    ("zzz", 0, "zzz", "no quantizer 'zzz'. Known: autoencoder, binary, bq, "),
]
ARGUMENTS = [
    ("pca", 0, "pca", "pca needs the argument m"),
    ("turbo8|turbo()", 7, "turbo", "needs the argument bits .*turbo\\(1|1.5|2|4|8\\)"),
    ("pca(0)", 4, "0", "m must be a whole number of at least 1, got 0"),
    ("pca(1.5)", 4, "1.5", "m must be a whole number of at least 1, got 1.5"),
    ("pca(true)", 4, "true", "m must be a whole number of at least 1, got True"),
    ("pca(3, 4)", 7, "4", "pca takes 1 argument; got another, 4"),
    ("float32(3)", 8, "3", "float32 takes no arguments"),
    ("pca(n=3)", 4, "n=3", "pca has no free argument 'n'"),
    ("float8(varient=e4m3)", 7, "varient=e4m3", "did you mean 'variant'?"),
    ("pca(3)|float8(e9m9)", 14, "e9m9", "variant must be one of e4m3, e5m2, got 'e9m9'"),
    ("turbo(3)", 6, "3", "bits must be one of 1, 1.5, 2, 4, 8, got 3"),
    ("turbo(true)", 6, "true", "bits must be one of 1, 1.5, 2, 4, 8, got True"),
    ("bq(bits=4)", 3, "bits=4", "bits must be one of 1, 1.5, 2, got 4"),
    ("product(x5)", 8, "x5", "ratio must be one of x4, x8, x16, x32, x64, got 'x5'"),
    ("product(4)", 8, "4", "ratio must be one of x4, x8, x16, x32, x64, got 4"),
]
COMPOSITION = [
    ("turbo(1)|pca(3)", 9, "pca(3)", "a reducer, pca\\(3\\), must come before a second copy, turbo\\(1\\)"),
    ("turbo8|pca(3)", 7, "pca(3)", "a reducer, pca\\(3\\), must come before a coder, turbo8"),
    ("turbo(1)|turbo8", 9, "turbo8", "a coder, turbo8, must come before a second copy"),
    ("turbo8|float8", 7, "float8", "a coder at most once: turbo8 is one already"),
    ("turbo8|turbo(1)|bq(1)", 16, "bq(1)", "a second copy at most once: turbo\\(1\\) is one already"),
    ("pca(3)|float8|turbo(1)", 14, "turbo(1)", "turbo\\(1\\) cannot be laid over float8"),
    ("uint8|scalar", 6, "scalar", "scalar cannot be laid over uint8"),
    ("coarse=pca(3)|int4; fine=float32", 14, "int4", "int4 is bytes that Qdrant cannot search"),
    ("coarse=turbo4; fine=turbo8|bq(1)", 27, "bq(1)", "a fine stage is not searched, so it takes no second copy"),
]


@pytest.mark.parametrize(("spec", "position", "token", "message"), SYNTAX + NAMES + ARGUMENTS + COMPOSITION)
def test_a_wrong_spec_names_token_position_and_remedy(spec: str, position: int, token: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        Representation.parse(spec)
    assert (caught.value.position, caught.value.token, caught.value.text) == (position, token, spec)
    assert f"at position {position}:" in str(caught.value)
    assert str(caught.value).endswith(f"\n  {spec}\n  {' ' * position}^")


def test_an_unknown_name_in_a_spec_carries_the_registry_error() -> None:
    with pytest.raises(SpecError, match="did you mean 'pca'") as caught:
        quantizer("pcaa(3)")
    assert isinstance(caught.value.__cause__, UnknownPluginError)


def test_a_quantizer_has_one_stage() -> None:
    with pytest.raises(SpecError, match=re.escape("a quantizer has one stage; Representation.parse reads two")):
        quantizer("coarse=turbo4; fine=float8")


@pytest.mark.parametrize("spec", [None, 5, ["turbo8"]])
def test_a_spec_that_is_no_string_is_refused(spec: object) -> None:
    with pytest.raises(InputError, match=r"a spec must be a string such as 'pca\(192\)\|float8', got"):
        Representation.parse(spec)  # type: ignore[arg-type]
