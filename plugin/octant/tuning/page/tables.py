"""Tables that a screen reader can walk through, and that a phone can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from octant.tuning.page.markup import Child, tag


def table(caption: str, header: Sequence[str], rows: Iterable[Element], **attributes: str | bool | None) -> Element:
    """A table in a box that scrolls by itself where the screen is narrower; the page never does.

    Its cells carry their column's name, for the class ``stack``: on a phone the rows of such a table become cards.
    """
    body = list(rows)
    for row in body:
        for title, one in zip(header, row, strict=True):
            if one.tag == "td" and title:
                one.set("data-label", title)
    columns = [_column(title, body[0][i].get("class") if body else None) for i, title in enumerate(header)]
    inside = tag("table", tag("caption", caption), tag("thead", tag("tr", columns)), tag("tbody", body), **attributes)
    return tag("div", inside, class_="scroll", role="region", aria_label=caption, tabindex="0")


def cell(*children: Child, header: bool = False) -> Element:
    """A cell; one that names its row where ``header``."""
    return tag("th", *children, scope="row") if header else tag("td", *children)


def numbers(*values: str) -> list[Element]:
    """Cells whose digits stand below one another."""
    return [tag("td", value, class_="number") for value in values]


def _column(title: str, class_: str | None) -> Element:
    return tag("th", title, scope="col", class_=class_) if title else tag("td")
