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
