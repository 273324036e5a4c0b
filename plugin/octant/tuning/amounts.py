"""Sizes and durations as people write them."""

from __future__ import annotations

import re

from octant.errors import InputError

_BYTES = {
    "": 1, "b": 1, "byte": 1, "bytes": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_NUMBER = r"(\d+(?:[._]\d+)*|\.\d+)\s*([a-zA-Z]*)"
_FEW = _NUMBER.replace("[a-zA-Z]*", "[a-zA-Z]?")
_SIZE = re.compile(rf"{_NUMBER}(?:\s+for\s+{_FEW}(?:\s*(?:vectors?|points?))?)?", re.ASCII)
_TERM = re.compile(_NUMBER, re.ASCII)
MOST_SECONDS = 7 * 24 * 3600


def bytes_per_vector(text: str | float) -> float:
    """Bytes a vector: ``200``, ``"200"``, ``"0.5 kB"``, or a total as in ``"2GiB for 10M vectors"``.

    Raises
    ------
    InputError
        If it is none of these, or not above 0.

    Examples
    --------
    >>> bytes_per_vector("200"), bytes_per_vector("2GiB for 10M vectors")
    (200.0, 214.7483648)
    """
    shape = "a size is bytes a vector, as in '200', or a total and a count, as in '2GiB for 10M vectors'"
    if not isinstance(text, str):
        return _positive(float(text), text, shape)
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{shape}; got {text!r}")
    total = _value(match[1], match[2], _BYTES, text, shape)
    vectors = 1.0 if match[3] is None else _value(match[3], match[4], _COUNTS, text, shape)
    return _positive(total / vectors if vectors else 0.0, text, shape)


def count(text: str | int) -> int:
    """A number of vectors: ``30_000``, ``"30k"``, ``"10M"``.

    Raises
    ------
    InputError
        If it is none, or less than 1.

    Examples
    --------
    >>> count("10M"), count("1.5k")
    (10000000, 1500)
    """
    shape = "a number of vectors is written as in '30000', '30k' or '10M'"
    match = _TERM.fullmatch(str(text).strip())
    if match is None:
        raise InputError(f"{shape}; got {text!r}")
    return max(1, int(_positive(_value(match[1], match[2], _COUNTS, text, shape), text, shape)))


def seconds(text: str | float) -> float:
    """A duration: ``90``, ``"90s"``, ``"10m"``, ``"1h 30m"``; a plain number counts seconds.

    Raises
    ------
    InputError
        If it is none, not above 0, or longer than a week.

    Examples
    --------
    >>> seconds("10m"), seconds("1h30m"), seconds(2.5)
    (600.0, 5400.0, 2.5)
    """
    shape = "a time budget is written as in '90s', '10m' or '1h 30m'"
    if isinstance(text, str):
        terms = list(_TERM.finditer(text))
        if not terms or _TERM.sub("", text).strip() or (len(terms) > 1 and not all(match[2] for match in terms)):
            raise InputError(f"{shape}; got {text!r}")
        value = sum(_value(match[1], match[2], _SECONDS, text, shape) for match in terms)
    else:
        value = float(text)
    if _positive(value, text, shape) > MOST_SECONDS:
        raise InputError(f"{shape}, a week at most; got {text!r}")
    return value


def _value(number: str, unit: str, units: dict[str, int], text: object, shape: str) -> float:
    if unit.lower() not in units:
        known = ", ".join(name for name in units if name)
        raise InputError(f"{shape}; got {text!r}: {unit!r} is none of the units {known}")
    try:
        return float(number) * units[unit.lower()]
    except ValueError as error:
        raise InputError(f"{shape}; got {text!r}") from error


def _positive(value: float, text: object, shape: str) -> float:
    if not 0 < value < float("inf"):
        raise InputError(f"{shape}, above 0; got {text!r}")
    return value
