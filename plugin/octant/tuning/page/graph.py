"""What fewer edges in the graph save, and what they lose."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from octant.tuning import view, words
from octant.tuning.axes import Axis, recall_axis
from octant.tuning.page.candidates import SHAPES
from octant.tuning.page.markup import tag
from octant.tuning.page.plot import bar, line, lines, mark, plot
from octant.tuning.page.tables import cell, numbers, table
from octant.tuning.study import DISK, RAM, Study, Trial


def figure(study: Study) -> list[Element] | None:
    """Recall as m falls, as a plot, and recall and bytes as a table; None where one m was tried."""
    series = view.graph_series(study)
    if len(series) < 2:
        return None
    return [_plot(study, series), _table(study, series)]


def _plot(study: Study, series: tuple[Trial, ...]) -> Element:
    recalls = [trial.at_full_size[study.goal.recall] for trial in series]
    y = recall_axis([end for one in recalls for end in (one.low, one.high)])
    x = Axis(
        -0.5,
        len(series) - 0.5,
        tuple(
            (float(i), f"m={t.candidate.hnsw.m}" if t.candidate.hnsw.m else "no graph") for i, t in enumerate(series)
        ),
        float,
    )
    places = [(x.at(i), y.at(one.value)) for i, one in enumerate(recalls)]
    shape, kind = SHAPES[view.family(study, series[0])]
    ends = [((x.at(i), y.at(one.low)), (x.at(i), y.at(one.high))) for i, one in enumerate(recalls)]
    drawing = plot(
        lines(places, "series"),
        [line(low, high, f"interval {kind}") for low, high in ends],
        [mark(shape, place, class_=f"point {kind}" + (" chosen" if view.recommends(study, trial) else ""))
         for place, trial in zip(places, series, strict=True)],
        x=x, y=y, label=f"{study.goal.recall} for each m; the table below has the numbers",
    )  # fmt: skip
    up = tag(
        "p", f"↑ {study.goal.recall} with its 95 % interval; the shaded row of the table is recommended", class_="axis"
    )
    return tag("div", up, drawing, class_="low")


def _table(study: Study, series: tuple[Trial, ...]) -> Element:
    most = max(trial.components.get("graph", 0.0) for trial in series)
    rows = [_row(study, trial, most) for trial in series]
    header = ["m", study.goal.recall, "graph", "", "memory", "disk"]
    return table("Recall and bytes a vector as m, the edges a node, falls", header, rows, class_="falls")


def _row(study: Study, trial: Trial, most: float) -> Element:
    figures, graph = trial.at_full_size, trial.components.get("graph", 0.0)
    recall = figures[study.goal.recall]
    found = tag(
        "td", words.share(recall.value), " ", tag("small", words.interval(recall, words.share)), class_="number"
    )
    length = tag("td", bar([(graph / most if most else 0.0, "graph")]), class_="length")
    sizes = (words.size(figures[size].value) for size in (RAM, DISK))
    chosen = "chosen" if view.recommends(study, trial) else None
    edges = cell(str(trial.candidate.hnsw.m or "none"), header=True)
    return tag("tr", edges, found, numbers(words.size(graph)), length, numbers(*sizes), class_=chosen)
