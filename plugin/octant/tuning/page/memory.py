"""Where the bytes of a vector go, before and after: what stays in memory, and what rests on disk."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from octant.records import Placement
from octant.tuning import view, words
from octant.tuning.page.markup import tag
from octant.tuning.page.plot import bar, legend
from octant.tuning.page.tables import cell, numbers, table
from octant.tuning.study import Study, Trial
from octant.tuning.view import Size

_ORDER: Mapping[Placement, int] = {"pinned": 0, "cached": 1, "cold": 2}
_HELD = [("line", "held", "held in memory (pinned or cached)"), ("bar", "pale", "pale: on disk only (cold)")]
_COLOURS = 7
"""Colours of components; what is smaller shares the last."""


def figure(study: Study) -> list[Element] | None:
    """Bars and a table; None where the recommendation was not measured."""
    after = view.chosen(study)
    if after is None or not after.components:
        return None
    pair = (study.reference, after)
    names = view.components(pair)
    longest = max(sum(trial.components.values()) for trial in pair)
    bars = [_bars(title, trial, names, longest)
            for title, trial in zip(("Plain float32", "Recommended"), pair, strict=True)]  # fmt: skip
    key = legend([("bar", _colour(names, name), name) for name in names] + _HELD)
    return [tag("div", bars, class_="bars"), key, _table(pair, names)]


def _bars(title: str, trial: Trial, names: tuple[str, ...], longest: float) -> Element:
    held = sorted(names, key=lambda name: (_ORDER[trial.held_in_ram.get(name, "cold")], names.index(name)))
    parts = [
        (trial.components.get(name, 0.0) / longest, f"{_colour(names, name)} {_place(trial, name)}") for name in held
    ]
    ram = sum(trial.components[name] for name in trial.components if _place(trial, name) != "cold")
    total = sum(trial.components.values())
    caption = tag("p", tag("b", title), f" {words.size(ram)} a vector in memory, {words.size(total)} on disk")
    bracket = tag("svg", tag("rect", x="0", y="0", height="100%", width=f"{100 * ram / longest:.2f}%", class_="ram"),
                  class_="bracket", aria_hidden="true")  # fmt: skip
    return tag("div", caption, bar(parts), bracket)


def _table(pair: tuple[Trial, Trial], names: tuple[str, ...]) -> Element:
    totals = [
        tag("tr", cell(title, header=True), numbers(*(words.size(size.of(trial)) for trial in pair)), class_="total")
        for title, size in (("All in memory", Size.RAM), ("All on disk", Size.DISK))
    ]  # fmt: skip
    rows = [_row(name, pair, names) for name in names]
    return table(
        "Bytes a vector at full size, and where they are held", ["Part", "float32", "recommended"], [*rows, *totals]
    )


def _row(name: str, pair: tuple[Trial, Trial], names: tuple[str, ...]) -> Element:
    title = cell(tag("span", class_=f"dot {_colour(names, name)}"), name, header=True)
    return tag("tr", title, [_held(trial, name) for trial in pair])


def _held(trial: Trial, name: str) -> Element:
    if name not in trial.components:
        return tag("td", "–", class_="number")
    return tag("td", words.size(trial.components[name]), " ", tag("small", _place(trial, name)), class_="number")


def _place(trial: Trial, name: str) -> Placement:
    return trial.held_in_ram.get(name, "cold")


def _colour(names: tuple[str, ...], name: str) -> str:
    return f"part{min(names.index(name), _COLOURS - 1)}"
