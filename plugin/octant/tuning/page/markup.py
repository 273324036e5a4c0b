"""HTML and SVG as trees: what a stranger wrote is text or an attribute's value, and never becomes markup.

Specs of plugins, collection names and query texts end up in a report. They are put into a tree, and the standard
library escapes them where it writes the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Child: TypeAlias = "Element | str | Iterable[Child] | None"
Attribute: TypeAlias = "str | float | bool | None"

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What HTML does not allow in a document: controls, halves of surrogate pairs, noncharacters."""


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Element:
    r"""One element.

    Parameters
    ----------
    name : str
    *children : Element, str, None or iterable of them
        Text is escaped when the document is written; None is left out.
    **attributes : str, number, bool or None
        ``class_`` becomes ``class`` and ``aria_label`` ``aria-label``; True has no value, None and False are left out.

    Examples
    --------
    >>> document(tag("p", "1 < 2 ", tag("b", "& so on"), class_="x", hidden=True))
    '<!doctype html>\n<p class="x" hidden="">1 &lt; 2 <b>&amp; so on</b></p>\n'
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            element.set(key.rstrip("_").replace("_", "-"), _value(value))
    add(element, *children)
    return element


def add(element: Element, *children: Child) -> None:
    """Append to an element, see :func:`tag`."""
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            _add_text(element, clean(child))
        elif isinstance(child, Element):
            element.append(child)
        else:
            add(element, *child)


def clean(text: str) -> str:
    """``text`` with replacement characters for what HTML does not allow."""
    return _UNPRINTABLE.sub("\ufffd", text)


def strangers(text: str) -> Element:
    """Text that somebody else wrote: its direction of writing does not reach the words around it."""
    return tag("bdi", text)


def percent(fraction: float) -> str:
    """A fraction of the width or height, as SVG takes it."""
    return f"{100 * fraction:.2f}%"


def document(root: Element) -> str:
    """The whole file."""
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"


def _value(value: str | float | bool) -> str:
    if value is True:
        return ""
    return clean(value) if isinstance(value, str) else f"{value:g}"


def _add_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
