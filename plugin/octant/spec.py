"""Spec strings, the public way to name a representation: ``"pca(192)|float8"``.

::

    represent := pipeline | "coarse=" pipeline ";" "fine=" pipeline
    pipeline  := call ("|" call)*
    call      := name ["(" [argument ("," argument)*] ")"]
    argument  := [name "="] (number | name | string)

and of rerankers in a row, best last: ``"pointwise > listwise(top=20)"``.

::

    reranking := call (">" call)*

A selector is one call: ``"cascade(rate=0.3)"``.

Only the syntax is known here; :mod:`octant.assemble` knows what the names stand for.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from octant.errors import InputError, SpecError

Value: TypeAlias = "int | float | bool | str | None"
"""What an argument can be; words such as ``e4m3`` are strings, as is what stands in quotes: ``'org/model-v2'``."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))|(?P<name>[^\W\d]\w*)|(?P<sign>[|(),=;>])"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))",
    re.DOTALL,
)
_NAME = re.compile(r"[^\W\d]\w*")
_RUN = re.compile(r"[\w.]+|.", re.DOTALL)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}
_STAGES = ("coarse", "fine")


@dataclass(frozen=True)
class Argument:
    """One argument of a call.

    Attributes
    ----------
    value : int, float, bool, str or None
    keyword : str or None
    position : int
        Where it starts in the text.
    """

    value: Value
    keyword: str | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.keyword}={_text(self.value)}" if self.keyword else _text(self.value)


@dataclass(frozen=True)
class Call:
    """One codec and its arguments.

    Attributes
    ----------
    name : str
    arguments : tuple of Argument
        Positional ones first.
    position : int
        Where the name starts in the text.
    """

    name: str
    arguments: tuple[Argument, ...] = ()
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name

    @classmethod
    def of(cls, name: str, made: object) -> Call:
        """The call that makes ``made``, which keeps its constructor's arguments; those at their defaults left out."""
        arguments: list[Argument] = []
        named = False
        for keyword, parameter in inspect.signature(type(made)).parameters.items():
            value = getattr(made, keyword)
            if parameter.default is not parameter.empty and parameter.default == value:
                named = True
            else:
                arguments.append(Argument(value, keyword if named else None))
        return cls(name, tuple(arguments))


@dataclass(frozen=True)
class Pipeline:
    """Codecs in a row."""

    calls: tuple[Call, ...]

    def __str__(self) -> str:
        return "|".join(map(str, self.calls))


@dataclass(frozen=True)
class SpecTree:
    """A parsed spec; ``str`` of it is the canonical text.

    Attributes
    ----------
    coarse : Pipeline
        The only pipeline, or the one that is searched.
    fine : Pipeline or None
        The one that rescores what ``coarse`` found.
    text : str
        As given, for error messages.
    """

    coarse: Pipeline
    fine: Pipeline | None = None
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return str(self.coarse) if self.fine is None else f"coarse={self.coarse}; fine={self.fine}"


def parse(text: str) -> SpecTree:
    """The tree of a spec string.

    Raises
    ------
    SpecError
        With the wrong token, its position and what was expected instead.
    InputError
        If ``text`` is not a string.

    Examples
    --------
    >>> str(parse(" pca( 192 ) | float8( e4m3 ) "))
    'pca(192)|float8(e4m3)'
    >>> parse("coarse=turbo4; fine=float8").fine
    Pipeline(calls=(Call(name='float8', arguments=(), position=20),))
    """
    if not isinstance(text, str):
        raise InputError(f"a spec must be a string such as 'pca(192)|float8', got {type(text).__name__}")
    return _Parser(text).represent()


def parse_reranking(text: str) -> tuple[Call, ...]:
    """The rerankers of a spec string, in the order they work.

    Raises
    ------
    SpecError
        With the wrong token, its position and what was expected instead.
    InputError
        If ``text`` is not a string.

    Examples
    --------
    >>> [str(call) for call in parse_reranking("pointwise>cross_encoder( 'org/model-v2', top = 20 )")]
    ['pointwise', "cross_encoder('org/model-v2', top=20)"]
    """
    if not isinstance(text, str):
        raise InputError(f"a spec must be a string such as 'listwise(window=20)', got {type(text).__name__}")
    return _Parser(text).reranking()


def parse_selection(text: str) -> Call:
    """The selector of a spec string.

    Raises
    ------
    SpecError
        With the wrong token, its position and what was expected instead.
    InputError
        If ``text`` is not a string.

    Examples
    --------
    >>> str(parse_selection(" cascade( rate = 0.3 )"))
    'cascade(rate=0.3)'
    """
    if not isinstance(text, str):
        raise InputError(f"a spec must be a string such as 'cascade(rate=0.3)', got {type(text).__name__}")
    return _Parser(text).selection()


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known word nearest to ``word``, or nothing if none is near.

    Examples
    --------
    >>> nearest("flaot8", ["float8", "pca"])
    "; did you mean 'float8'?"
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int

    def __str__(self) -> str:
        return repr(self.text) if self.text else "the end"


class _Parser:
    """Recursive descent: one method for each rule of the grammar, one token of look-ahead and one beyond."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.next = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def represent(self) -> SpecTree:
        if self._at_stage():
            coarse = self._stage("coarse")
            self._expect(";", "'; fine=…' after the coarse stage")
            fine = self._stage("fine")
            self._end("nothing after the fine stage")
            return SpecTree(coarse, fine, self.text)
        pipeline = self._pipeline()
        if self.token.text == ";":
            self._fail("two stages are written 'coarse=…; fine=…'")
        self._end("'|' or the end")
        return SpecTree(pipeline, None, self.text)

    def reranking(self) -> tuple[Call, ...]:
        calls = [self._call("a reranker")]
        while self._accept(">"):
            calls.append(self._call("a reranker"))
        self._end("'>' or the end")
        return tuple(calls)

    def selection(self) -> Call:
        call = self._call("a selector")
        self._end("the end: one selector, and no more")
        return call

    def _at_stage(self) -> bool:
        return self.token.kind == "name" and self.tokens[self.next + 1].text == "="

    def _stage(self, word: str) -> Pipeline:
        token = self.token
        if not self._at_stage():
            self._fail(f"expected '{word}='")
        if token.text != word:
            missing = " (a fine stage only rescores what a coarse one found)" if token.text == "fine" else ""
            hint = "" if token.text in _STAGES else nearest(token.text, _STAGES)
            self._fail(f"expected '{word}='{missing}", hint)
        self.next += 2
        return self._pipeline()

    def _pipeline(self) -> Pipeline:
        calls = [self._call()]
        while self._accept("|"):
            calls.append(self._call())
        return Pipeline(tuple(calls))

    def _call(self, kind: str = "a quantizer") -> Call:
        token = self._take("name", f"the name of {kind}")
        arguments: list[Argument] = []
        if self._accept("(") and not self._accept(")"):
            arguments.append(self._argument(arguments))
            while self._accept(","):
                arguments.append(self._argument(arguments))
            self._expect(")", "',' or ')'")
        return Call(token.text, tuple(arguments), token.position)

    def _argument(self, earlier: list[Argument]) -> Argument:
        token = self.token
        keyword = None
        if self._at_stage():
            keyword = token.text
            self.next += 2
        elif earlier and earlier[-1].keyword:
            self._fail("an argument without a name cannot follow one with a name")
        if any(keyword and argument.keyword == keyword for argument in earlier):
            self._fail(f"the argument {keyword!r} is given twice", at=token)
        return Argument(self._value(), keyword, token.position)

    def _value(self) -> Value:
        token = self.token
        if token.kind == "name":
            self.next += 1
            return _WORDS.get(token.text.lower(), token.text)
        if token.kind == "string":
            self.next += 1
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        return self._number(self._take("number", "a number or a word"))

    def _number(self, token: _Token) -> int | float:
        try:
            return int(token.text)
        except ValueError:
            value = float(token.text)
        if value in (float("inf"), float("-inf")):
            self._fail("a number must be finite", at=token)
        return value

    def _accept(self, sign: str) -> bool:
        found = self.token.kind == "sign" and self.token.text == sign
        self.next += found
        return found

    def _expect(self, sign: str, wanted: str) -> None:
        if not self._accept(sign):
            self._fail(f"expected {wanted}")

    def _take(self, kind: str, wanted: str) -> _Token:
        token = self.token
        if token.kind != kind:
            self._fail(f"expected {wanted}")
        self.next += 1
        return token

    def _end(self, wanted: str) -> None:
        if self.token.kind != "end":
            self._fail(f"expected {wanted}")

    def _fail(self, message: str, hint: str = "", *, at: _Token | None = None) -> NoReturn:
        token = at or self.token
        raise SpecError(f"{message}; got {token}{hint}", text=self.text, position=token.position, token=token.text)


def _tokens(text: str) -> Iterable[_Token]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            token = _RUN.match(text, start)[0]  # type: ignore[index]  # "." always matches
            raise SpecError(f"cannot read {token!r}", text=text, position=start, token=token)
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind], match.start(kind))
        position = match.end()
    yield _Token("end", "", len(text))


def _text(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str) and (value.lower() in _WORDS or not _NAME.fullmatch(value)):
        return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
    return str(value)
