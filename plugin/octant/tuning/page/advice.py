"""What to do, for somebody who decides: the recommendation, what it saves and costs, and how to apply it."""

from __future__ import annotations

import json
from urllib.parse import quote
from xml.etree.ElementTree import Element

from octant.recommendation import Expected
from octant.tuning import words
from octant.tuning.page.markup import Child, strangers, tag
from octant.tuning.study import DISK, RAM, TIME, Study

FILE = "recommendation.json"
"""Name under which ``octant tune --out`` writes the recommendation beside the report."""
_COMMAND = f"""octant compress COLLECTION --location LOCATION --into NEW --recommendation {FILE} --plan
octant compress COLLECTION --location LOCATION --into NEW --recommendation {FILE}"""
_PYTHON = f"""import octant

collection = octant.Collection.create(
    "COLLECTION", location="LOCATION", embedding="MODEL", recommendation="{FILE}"
)"""
_LANGCHAIN = f"""from octant_langchain import OctantVectorStore

store = OctantVectorStore.from_documents(
    documents, embedding, collection_name="COLLECTION", location="LOCATION", recommendation="{FILE}"
)"""


def head(study: Study) -> Element:
    """The title and the verdict."""
    chosen = study.recommendation
    verb = "Store it as" if chosen.satisfied else "Closest to what you asked:"
    state = "good" if chosen.satisfied else "bad"
    return tag(
        "header",
        tag("p", "octant tune · ", strangers(study.name), class_="eyebrow"),
        tag("h1", f"{verb} ", tag("code", strangers(chosen.represent))),
        tag("p", f"{words.kind(study)} Settings: {words.of(study)}.", class_="faint"),
        tag("p", tag("b", "✓ " if chosen.satisfied else "✗ ", aria_hidden="true"), words.verdict(study),
            class_=f"verdict {state}"),
    )  # fmt: skip


def summary(study: Study) -> list[Element]:
    """What it saves, what it costs, what of the bounds it keeps, and how that is known."""
    saved = [
        tag("p", " ".join(words.savings(study)), class_="lead"),
        _tiles(study),
        tag("p", " ".join(words.cost(study))),
    ]
    asked = _asked(study)
    return [
        *([*saved, *asked] if study.recommendation.satisfied else [*asked, *saved]),
        tag("h3", "How this is known"),
        tag("ul", [tag("li", strangers(line)) for line in (*words.provenance(study), *study.notes)]),
    ]


def steps(study: Study) -> list[Element]:
    """Commands and code that apply the recommendation, ready to copy."""
    raw = json.dumps(study.recommendation.to_json(), indent=2, allow_nan=False)
    link = tag(
        "a", f"Save {FILE}", download=FILE, href="data:application/json;charset=utf-8," + quote(raw), class_="button"
    )
    intro = (
        "Write your own names for what is in capitals: your collection, its directory or URL, a new name, your model. "
        f"{FILE} lies beside this report; it can also be saved from here: "
    )
    return [
        tag("p", intro, link),
        tag("h3", "A collection that exists"),
        tag(
            "p",
            "The first line only says what would happen. The second copies the collection into a new one, point by "
            "point verified, and leaves yours as it is; on a server, --alias NAME then lets a name that your "
            "application uses stand for the new one. Where the recall that it measures may be lower than you asked, it "
            "stops before that: --min-recall says what you accept instead.",
        ),
        code("shell", _COMMAND),
        tag("h3", "A new collection"),
        code("Python", _PYTHON),
        code("LangChain", _LANGCHAIN),
    ]


def raw(study: Study) -> Element:
    """The recommendation as its file has it."""
    text = json.dumps(study.recommendation.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    return tag("details", tag("summary", f"{FILE}"), code("JSON", text, id_="recommendation"))


def code(what: str, text: str, id_: str | None = None) -> Element:
    """Text to copy."""
    button = tag("button", "Copy", type="button", class_="copy scripted", aria_label=f"Copy the {what} code")
    bar = tag("p", tag("span", what), button)
    return tag(
        "div", bar, tag("pre", tag("code", text, id=id_), tabindex="0", role="region", aria_label=what), class_="code"
    )


def _tiles(study: Study) -> Element:
    expected, reference, goal = study.recommendation.expected, study.recommendation.reference, study.goal
    total = study.points

    def in_all(value: float) -> str:
        return words.size(value * total)

    tiles = [
        _tile("Memory (RAM)", expected.get(RAM), reference.get(RAM), in_all),
        _tile("Disk", expected.get(DISK), reference.get(DISK), in_all),
        _tile(
            f"Neighbours found (recall@{goal.k})", expected.get(goal.recall), reference.get(goal.recall), words.share
        ),
        _tile(f"Ranking (nDCG@{goal.k})", expected.get(goal.ndcg), reference.get(goal.ndcg), words.score),
        _tile("Time of a query (float32 = 1)", expected.get(TIME), None, lambda value: f"{value:.2f}"),
    ]
    return tag("div", tiles, class_="tiles")


def _tile(title: str, after: Expected | None, before: Expected | None, write: words.Writer) -> Element | None:
    if after is None:
        return None
    parts: list[Child] = [tag("p", title), tag("p", write(after.value), class_="figure")]
    if after.low < after.high:
        parts.append(tag("p", f"{write(after.low)} to {write(after.high)}", class_="faint"))
    if before is not None:
        parts.append(tag("p", f"float32: {write(before.value)}", class_="faint"))
    parts.append(tag("p", "estimated" if after.estimated else "measured", class_="faint"))
    return tag("div", parts, class_="tile")


def _asked(study: Study) -> list[Element]:
    bounds = words.bounds(study)
    items = [
        tag("li", tag("b", "✓ kept: " if bound.holds else "✗ missed: "), f"{bound.asked}. It reaches {bound.got}.",
            class_="good" if bound.holds else "bad")
        for bound in bounds
    ]  # fmt: skip
    parts = [tag("h3", "What you asked for")] if bounds else []
    parts += [tag("ul", items, class_="bounds")] if bounds else []
    if study.recommendation.unmet:
        parts += [
            tag("p", "What to relax:"),
            tag("ul", [tag("li", strangers(line)) for line in study.recommendation.unmet]),
        ]
    if words.doubt(study):
        parts.append(tag("p", tag("b", words.doubt(study))))
    if study.recommendation.satisfied:
        parts.append(tag("p", words.objective(study)))
    return parts
