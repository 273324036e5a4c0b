"""The frame of a plot: axes, grid and labels as SVG that keeps its letters' size at any width.

Places are percentages of a box that fills the column, so one drawing serves a phone and a desktop. Labels hang over the
edge of the box, where the style sheet leaves room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element

from octant.tuning.axes import Axis
from octant.tuning.page.markup import Child, percent, tag

_SHAPES = {
    "square": "M-6-6H6V6H-6Z",
    "circle": "M-6.5 0A6.5 6.5 0 1 0 6.5 0A6.5 6.5 0 1 0-6.5 0Z",
    "triangle": "M0-7.5L7.2 5.5H-7.2Z",
    "diamond": "M0-8.2L8.2 0L0 8.2L-8.2 0Z",
    "ring": "M-13 0A13 13 0 1 0 13 0A13 13 0 1 0-13 0Z",
}


def plot(*children: Child, x: Axis, y: Axis, role: str = "img", label: str, second: Sequence[str] = ()) -> Element:
    """A plot.

    Parameters
    ----------
    *children
        What is drawn into it.
    x, y : Axis
    role : str
        ``"img"`` unless it holds something to point at.
    label : str
        What it shows, for those who do not see it.
    second : sequence of str, optional
        A second line under each tick of ``x``.
    """
    drawing = tag("svg", _grid(x, y, second), *children, class_="plot", role=role, aria_label=label)
    return tag("div", drawing, class_="frame two" if second else "frame")


def mark(shape: str, at: tuple[float, float], **attributes: str | bool | None) -> Element:
    """A shape at fractions of width and height, from the lower left."""
    place = {"x": percent(at[0]), "y": percent(1 - at[1])}
    return tag("svg", tag("path", d=_SHAPES[shape]), **place, overflow="visible", **attributes)


def line(a: tuple[float, float], b: tuple[float, float], class_: str) -> Element:
    """A straight line between two places."""
    ends = {"x1": percent(a[0]), "y1": percent(1 - a[1]), "x2": percent(b[0]), "y2": percent(1 - b[1])}
    return tag("line", class_=class_, **ends)


def lines(places: Sequence[tuple[float, float]], class_: str) -> list[Element]:
    """Straight lines from each place to the next."""
    return [line(a, b, class_) for a, b in pairwise(places)]


def stairs(places: Sequence[tuple[float, float]], class_: str) -> list[Element]:
    """To the right, then up: the best that can be had at each width, up to the right edge."""
    if not places:
        return []
    corners = [places[0]]
    for x, y in places[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return lines([*corners, (1.0, corners[-1][1])], class_)


def text(words: str, at: tuple[float, float], class_: str, dx: float = 0, dy: float = 0) -> Element:
    """Words at a place, moved by pixels."""
    return tag("text", words, x=percent(at[0]), y=percent(1 - at[1]), dx=dx, dy=dy, class_=class_)


def legend(entries: Iterable[tuple[str, str, str]]) -> Element:
    """Shapes and what they mean: (shape, class, meaning)."""
    items = [tag("li", shape(name, class_), meaning) for name, class_, meaning in entries]
    return tag("ul", items, class_="legend")


def bar(parts: Iterable[tuple[float, str]]) -> Element:
    """Parts of a length, one after the other: (fraction of the whole width, class)."""
    start, drawn = 0.0, []
    for width, class_ in parts:
        drawn.append(tag("rect", x=percent(start), width=percent(width), y="0", height="100%", class_=class_))
        start += width
    return tag("svg", drawn, class_="bar", aria_hidden="true")


def shape(name: str, class_: str, label: str | None = None) -> Element:
    """A shape in a line of text; with a ``label`` it says what it stands for, else it is an ornament."""
    path = {"line": "M-9 0H9", "bar": "M-7-6H7V6H-7Z"}.get(name) or _SHAPES[name]
    hidden, role = (None, "img") if label else ("true", None)
    box = "-14 -14 28 28" if name == "ring" else "-10 -9 20 18"
    return tag("svg", tag("path", d=path), class_=f"swatch {class_}", viewBox=box, role=role, aria_label=label,
               aria_hidden=hidden)  # fmt: skip


def _grid(x: Axis, y: Axis, second: Sequence[str]) -> Element:
    drawn: list[Element] = []
    for value, words in y.ticks:
        drawn += [line((0, y.at(value)), (1, y.at(value)), "rule"), text(words, (0, y.at(value)), "ytick", -8, 4)]
    for value, words in x.ticks:
        drawn += [line((x.at(value), 0), (x.at(value), 1), "rule"), text(words, (x.at(value), 0), "xtick", 0, 18)]
    for (value, _), words in zip(x.ticks, second, strict=False):
        drawn.append(text(words, (x.at(value), 0), "xtick faint", 0, 34))
    drawn += [line((0, 0), (1, 0), "edge"), line((0, 0), (0, 1), "edge")]
    return tag("g", drawn, aria_hidden="true")
