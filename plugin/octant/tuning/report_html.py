"""``report.html``: one file that says what to do and why, for a manager and an engineer, with no network.

Everything is drawn here, as HTML and SVG that read without a script; the script only switches, sorts, filters and
copies. The page forbids itself to load anything, and to run any script but its own.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

from octant import durable
from octant.tuning import view
from octant.tuning.page import advice, bound, candidates, graph, losses, memory, pareto
from octant.tuning.page.markup import document, tag
from octant.tuning.study import Study
from octant.version import __version__


def write(study: Study, path: str | Path) -> None:
    """Write the report of a study, in one step.

    Parameters
    ----------
    study : Study
    path : str or Path
        Of the file, e.g. ``"report.html"``.

    Raises
    ------
    OSError
        If the folder does not exist, or the disk refuses.
    """
    durable.write(Path(path), page(study).encode())


def page(study: Study) -> str:
    """The report as text."""
    style, script = _resource("report.css"), _resource("report.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"qdrant-octant {__version__}"),
        tag("title", f"{study.name}: octant tune"),
        tag("style", style),
    )
    sections = _sections(study)
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in sections]
    body = tag(
        "body",
        tag("a", "Skip to the recommendation", href="#do", class_="skip"),
        advice.head(study),
        tag("nav", tag("ul", links), aria_label="Sections"),
        tag("main", [_section(*section) for section in sections]),
        tag("footer", tag("p", f"Written by qdrant-octant {__version__}. This page loads nothing and sends nothing.")),
        tag("div", id="tip", role="tooltip", hidden=True),
        tag("script", script),
    )
    return document(tag("html", head, body, lang="en"))


def _sections(study: Study) -> list[tuple[str, str, list[Element]]]:
    """Name, title and content of every section that has something to show."""
    chosen = view.chosen(study)
    card = None if chosen is None else candidates.card(study, chosen)
    sections: list[tuple[str, str, list[Element] | None]] = [
        ("do", "What to do", advice.summary(study)),
        ("apply", "How to apply it", advice.steps(study)),
        ("choice", "Quality against bytes", [_choice(), pareto.figure(study, card)]),
        ("bytes", "Where the bytes go", memory.figure(study)),
        ("graph", "As the graph shrinks", graph.figure(study)),
        ("queries", "Which queries suffer", losses.figure(study)),
        ("theory", "The physical limit", bound.figure(study)),
        ("all", "Every candidate", candidates.figure(study)),
        ("json", "The recommendation as a file", [advice.raw(study)]),
    ]
    return [(name, title, content) for name, title, content in sections if content]


def _section(name: str, title: str, content: list[Element]) -> Element:
    return tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def _choice() -> Element:
    return tag(
        "p",
        "Every mark is one way to store and search the vectors; lines through marks are 95 % intervals. Up and left is "
        "better. Point at a mark, tap it, or walk through them with the arrow keys to see what it is.",
    )


def _policy(style: str, script: str) -> str:
    """What a browser may do with the page: apply this style sheet, run this script, and nothing else."""
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _resource(name: str) -> str:
    return (files("octant.tuning.page") / name).read_text(encoding="utf-8")
