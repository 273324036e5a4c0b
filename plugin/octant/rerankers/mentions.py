"""Where a text names passages, and which of these places belong to one list."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_NAMES = r"(?:passages?|documents?|docs?|ids?|identifiers?|items?|candidates?|texts?)"
_NUMBER = re.compile(
    rf"(?P<open>\[\s?)?(?P<name>\b{_NAMES}[\s_#:=\"']{{0,6}}\[?\s?)?"
    r"(?P<digits>(?<![^\W_])(?<!\d\.)\d+)(?![^\W_])(?!\.\d)(?!\s?%)(?P<close>\s?\])?",
    re.IGNORECASE,
)
_NUMBERING = re.compile(
    # "1. [14]", "2) Passage 3", "Rank 1: [7]" on a line of their own, and "2. [2]" within one
    r"(?m)^ ?[*_#>-]{0,6} ?(?:\d{1,4}[.):]{1,2}|rank\w{0,4}\s?#?\d{1,4}\s?[.:)=-]{0,2})[*_]{0,4} "
    rf"(?=[*_\"'`#]{{0,4}}(?:\[|\d|{_NAMES}\b))"
    r"|(?<![\w\[.])\d{1,4}[.)]\s?(?=\[\s?\d)"
    r"|\brank\w{0,4}\s?#?\d{1,4}\s?[:=]\s?",
    re.IGNORECASE,
)
_GRADE = re.compile(
    # "(score: 8)" after an identifier, and "8/10"
    r"\((?=[^()\n]{0,80}(?:score|relevan|rating|\d\.\d))[^()\[\]\n]{0,99}\)"
    r"|(?<![\d/])\d{1,3}(?:\.\d{1,4})?\s?/\s?(?:5|10|100)\b(?!/)",
    re.IGNORECASE,
)
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("【［〔〖", "["), **dict.fromkeys("】］〕〗", "]"), **dict.fromkeys("（﹙", "("),
        **dict.fromkeys("）﹚", ")"), **dict.fromkeys("＞»›→⇒≻≥⟩〉》", ">"), **dict.fromkeys("＜«‹←⇐≺≤⟨〈《", "<"),
        **dict.fromkeys("，、،؛；", ","), **dict.fromkeys("–—−‐‑～~", "-"), "：": ":", "\r": "\n",
        **dict.fromkeys("“”„", '"'), "\u200b": None, "\ufeff": None,
    }
)  # fmt: skip
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r" ?\n(?: ?\n)+")
_REPEATS = re.compile(r"([^\w\s])\1{8,}")
_ARROWS = re.compile(r"&gt;|[-=]{1,3}>")
_SEPARATORS = re.compile(
    rf"(?:[\s><,;|/=\[\](){{}}\"'`*•·#:._-]|&lt;|\b(?:and|then|or|followed by)\b|\b{_NAMES}\b)*", re.IGNORECASE
)
_RANGE = re.compile(rf"[\])]*\s*(?:-|\.\.+|…|\bto\b|\bthrough\b)\s*[\[(]*\s*(?:{_NAMES}\s*)?[\[(]*\s*", re.IGNORECASE)
_LEADING = re.compile(r"[\s·>*•#_\"'`{(-]*")
_REASON = re.compile(r"\s*[:.)-]")


@dataclass(frozen=True)
class Mention:
    """One identifier, or a range of them.

    Attributes
    ----------
    first : int
        As written; -1 for what is no identifier at all (a negative number, one of too many digits).
    last : int or None
        The other end of a range.
    """

    first: int
    last: int | None = None


@dataclass(frozen=True)
class Found:
    """A list of identifiers somewhere in an answer.

    Attributes
    ----------
    mentions : tuple of Mention
    start : int
        Where in the text it begins.
    strong : bool
        Whether it is set as a list, rather than in the run of a sentence.
    ascending : bool
        Whether it is joined by ``<``: best last.
    """

    mentions: tuple[Mention, ...]
    start: int
    strong: bool
    ascending: bool = False


@dataclass(frozen=True)
class _Token:
    number: int
    start: int
    end: int
    marked: bool


def normalized(text: str) -> str:
    """``text`` with digits, brackets, arrows, commas and dashes of every script as their ASCII forms."""
    plain = text.translate(_CHARACTERS)
    plain = _ARROWS.sub(">", plain if plain.isascii() else "".join(map(_ascii_digit, plain)))
    # A model stuck in a loop must not cost seconds: patterns below look at spaces and marks in short runs only.
    return _REPEATS.sub(r"\1\1\1\1", _EMPTY_LINES.sub("\n\n", _SPACES.sub(" ", plain)))


def find_lists(text: str) -> list[Found]:
    """Every run of identifiers that only separators part, and every block of lines that begin with one."""
    text = _cleared(text)
    tokens = _tokens(text)
    runs = list(_runs(text, tokens))
    # One list may be seen both ways: the longer view counts.
    blocks = _not_within(list(_blocks(text, tokens)), runs)
    lists = (_found(text, run) for run in _not_within(runs, blocks))
    by_line = (Found(_plain(block), block[0].start, strong=True) for block in blocks)
    return [found for found in (*lists, *by_line) if found is not None]


def loose_mentions(text: str) -> Found:
    """Every marked identifier (in brackets, or called a passage) in reading order."""
    return Found(_plain([token for token in _tokens(_cleared(text)) if token.marked]), 0, strong=False)


def _ascii_digit(character: str) -> str:
    if character.isascii() or not character.isnumeric():
        return character
    value = unicodedata.digit(character, None) if character.isdecimal() else None
    if value is not None:
        return str(value)
    number = unicodedata.numeric(character, 0.5)
    # Circled and parenthesised numbers stand alone; superscripts are footnotes, and numerals of words stay words.
    circled = unicodedata.decomposition(character).startswith(("<circle>", "<compat>"))
    return f" [{int(number)}] " if circled and number == int(number) else character


def _not_within(lists: list[list[_Token]], others: list[list[_Token]]) -> list[list[_Token]]:
    """Those of ``lists`` whose tokens do not all belong to one of ``others``, each token being in one at most."""
    home = {token.start: place for place, other in enumerate(others) for token in other}
    return [tokens for tokens in lists if len(homes := {home.get(t.start, -1) for t in tokens}) > 1 or -1 in homes]


def _cleared(text: str) -> str:
    """``text`` with what numbers lines and grades passages blanked out; places stay where they are."""
    return _GRADE.sub(_blank, _NUMBERING.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    return "·" * len(match[0])  # separates as a space does, and no pattern looks for a run of it


def _plain(tokens: Sequence[_Token]) -> tuple[Mention, ...]:
    return tuple(Mention(token.number) for token in tokens)


def _tokens(text: str) -> list[_Token]:
    return [_token(text, match) for match in _NUMBER.finditer(text)]


def _token(text: str, match: re.Match[str]) -> _Token:
    digits, at = match["digits"], match.start("digits")
    before = text[max(0, at - 3) : at]
    negative = before.endswith("-") and not re.search(r"[\d\])]\s?-$", before)
    # int() refuses thousands of digits, and no window has a million passages
    number = -1 if negative or len(digits) > 6 else int(digits)
    return _Token(number, match.start(), match.end(), bool(match["open"] or match["close"] or match["name"]))


def _runs(text: str, tokens: list[_Token]) -> Iterator[list[_Token]]:
    run: list[_Token] = []
    for token in tokens:
        if run and not _joined(text[run[-1].end : token.start], run, token):
            yield run
            run = []
        run.append(token)
    if run:
        yield run


def _joined(gap: str, run: list[_Token], token: _Token) -> bool:
    if not (_SEPARATORS.fullmatch(gap) or _RANGE.fullmatch(gap)):
        return False
    if re.search(r"(?<!\.)\.(?!\.)", gap):
        return False  # a sentence ends here
    if "\n" in gap and not re.search(r"[><,;]", gap):
        return all(token.number != other.number for other in run)  # the same list begun again is another list
    return True


def _found(text: str, run: list[_Token]) -> Found | None:
    gaps = [text[left.end : right.start] for left, right in pairwise(run)]
    if len(run) == 1 and not _alone(text, run[0]):
        return None
    strong = len(run) == 1 or any(re.search(r"[><,;|\n]", gap) for gap in gaps)
    joined = "".join(gaps)
    return Found(tuple(_mentions(run, gaps)), run[0].start, strong, "<" in joined and ">" not in joined)


def _alone(text: str, token: _Token) -> bool:
    """Whether the identifier is all there is to the text."""
    return not re.search(r"\w", text[: token.start] + text[token.end :])


def _mentions(run: list[_Token], gaps: list[str]) -> Iterator[Mention]:
    dashes = [bool(_RANGE.fullmatch(gap)) for gap in gaps]
    place = 0
    while place < len(run):
        here = place < len(dashes) and dashes[place]
        # "[3] - [1] - [2]" is a list joined by dashes, "[1]-[4]" a range
        chained = here and (dashes[place + 1 : place + 2] == [True] or (place > 0 and dashes[place - 1]))
        if here and not chained and run[place].number >= 0 <= run[place + 1].number:
            yield Mention(run[place].number, run[place + 1].number)
            place += 2
        else:
            yield Mention(run[place].number)
            place += 1


def _blocks(text: str, tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Blocks of two lines or more that each begin with an identifier, whatever follows it."""
    leading: dict[int, _Token] = {}
    for token in reversed(tokens):
        leading[text.rfind("\n", 0, token.start) + 1] = token
    block: list[_Token] = []
    at = 0
    for line in [*text.split("\n"), "end"]:
        first = leading.get(at)
        if first is not None and _begins(text, at, first):
            block.append(first)
        elif line.strip() and not line[0].isspace():
            if len(block) > 1 and not _numbering(block):
                yield block
            block = []
        at += len(line) + 1


def _begins(text: str, at: int, token: _Token) -> bool:
    lead = bool(_LEADING.fullmatch(text[at : token.start]))
    return lead and (token.marked or bool(_REASON.match(text, token.end)))


def _numbering(block: list[_Token]) -> bool:
    """Whether "1. … 2. …" before prose numbers the lines rather than names passages."""
    numbers = [token.number for token in block]
    return not any(token.marked for token in block) and numbers == list(range(1, len(block) + 1))
