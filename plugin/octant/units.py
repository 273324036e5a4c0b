"""Numbers as people read them."""

from __future__ import annotations

import math


def size(count: float) -> str:
    """Bytes for people.

    Examples
    --------
    >>> size(384), size(4_718_592), size(float("nan"))
    ('384 B', '4.7 MB', '-')
    """
    if math.isnan(count):
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for people.

    Examples
    --------
    >>> duration(8.25), duration(200), duration(7300)
    ('8.2 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
