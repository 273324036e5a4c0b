"""Quality against bytes: every candidate, what bounds it, and the one that was chosen."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from octant.tuning import view, words
from octant.tuning.axes import Axis, quality_axis, size_axis
from octant.tuning.page.candidates import SHAPES
from octant.tuning.page.markup import add, percent, tag
from octant.tuning.page.plot import legend, line, mark, plot, stairs, text
from octant.tuning.study import Study, Trial
from octant.tuning.view import Family, Size


def figure(study: Study, card: Element | None) -> Element:
    """The plot with its switches, its legend, and a place for details of one candidate."""
    views = [_view(study, metric, size, hidden=bool(i)) for i, (metric, size) in enumerate(_pairs(study))]
    detail = tag("div", card, id="detail", class_="detail", aria_live="polite")
    left = tag("div", _switches(study), views, _legend(study), class_="grow")
    return tag("div", left, detail, class_="beside")


def _pairs(study: Study) -> list[tuple[str, Size]]:
    return [(metric, size) for metric in view.metrics(study) for size in Size]


def _switches(study: Study) -> Element:
    metrics = [(metric, _metric(study, metric)) for metric in view.metrics(study)]
    sizes = [(size.name, size.value) for size in Size]
    groups = [("metric", "Quality", metrics), ("size", "Size", sizes)]
    return tag("div", [_switch(*group) for group in groups if len(group[2]) > 1], class_="switches scripted")


def _switch(name: str, title: str, options: list[tuple[str, str]]) -> Element:
    choices = [
        tag("label", tag("input", type="radio", name=name, value=value, checked=not i), tag("span", words_))
        for i, (value, words_) in enumerate(options)
    ]
    return tag("fieldset", tag("legend", title), choices)


def _metric(study: Study, metric: str) -> str:
    return f"neighbours found ({metric})" if metric == study.goal.recall else f"ranking by labels (nDCG@{study.goal.k})"


def _view(study: Study, metric: str, size: Size, *, hidden: bool) -> Element:
    trials = view.drawn(study, metric)
    x, y = _axes(study, trials, metric, size)
    label = f"{_metric(study, metric)} against bytes of {size.value} a vector; {len(trials)} candidates"
    kept = [trial for trial in trials if not view.early(study, trial)]
    drawing = plot(
        _beyond(study, metric, size, x, y),
        stairs([_place(trial, metric, size, x, y) for trial in view.front(kept, metric, size)], "front"),
        [_bar(study, trial, metric, size, x, y) for trial in trials],
        [_point(study, trial, number, metric, size, x, y) for number, trial in _behind_first(study, metric)],
        _asked(study, metric, size, x, y),
        _names(study, trials, metric, size, x, y),
        x=x, y=y, role="group", label=label,
        second=[words.size(value * study.points) for value, _ in x.ticks],
    )  # fmt: skip
    up = tag("p", f"↑ {_metric(study, metric)}, higher is better", class_="axis")
    across = f"bytes of {size.value} a vector; below them, for all {study.points:,} vectors. Less is better ←"
    return tag("div", up, drawing, tag("p", across, class_="axis right"),
               class_="view", data_metric=metric, data_size=size.name, hidden=hidden)  # fmt: skip


def _axes(study: Study, trials: tuple[Trial, ...], metric: str, size: Size) -> tuple[Axis, Axis]:
    limit, least = size.limit(study), view.least(study, metric)
    sizes = [size.of(trial) for trial in trials] + ([] if limit is None else [limit])
    ends = [end for trial in trials for end in (trial.at_full_size[metric].low, trial.at_full_size[metric].high)]
    return size_axis(sizes), quality_axis(metric, [*ends, *([] if least is None else [least])])


def _place(trial: Trial, metric: str, size: Size, x: Axis, y: Axis) -> tuple[float, float]:
    return x.at(size.of(trial)), y.at(trial.at_full_size[metric].value)


def _beyond(study: Study, metric: str, size: Size, x: Axis, y: Axis) -> list[Element]:
    """The regions that the bounds forbid."""
    drawn, limit, least = [], size.limit(study), view.least(study, metric)
    if limit is not None:
        right = {"x": percent(x.at(limit)), "width": percent(1 - x.at(limit))}
        drawn.append(tag("rect", y="0", height="100%", class_="beyond", **right))
    if least is not None:
        below = {"y": percent(1 - y.at(least)), "height": percent(y.at(least))}
        drawn.append(tag("rect", x="0", width="100%", class_="beyond", **below))
    return drawn


def _asked(study: Study, metric: str, size: Size, x: Axis, y: Axis) -> list[Element]:
    """Where they begin, and what was asked."""
    drawn, limit, least = [], size.limit(study), view.least(study, metric)
    if limit is not None:
        at, right = x.at(limit), x.at(limit) > 0.7
        drawn.append(line((at, 0), (at, 1), "limit"))
        drawn.append(text(f"budget {words.size(limit)}", (at, 0), f"limit{' end' * right}", -6 if right else 6, -8))
    if least is not None:
        asked = words.share(least) if metric == study.goal.recall else words.score(least)
        drawn.append(line((0, y.at(least)), (1, y.at(least)), "limit"))
        drawn.append(text(f"asked {asked}", (1, y.at(least)), "limit end", -6, 14))
    return drawn


def _bar(study: Study, trial: Trial, metric: str, size: Size, x: Axis, y: Axis) -> Element:
    across, one = x.at(size.of(trial)), trial.at_full_size[metric]
    class_ = f"interval {SHAPES[view.family(study, trial)][1]}{' early' if view.early(study, trial) else ''}"
    return line((across, y.at(one.low)), (across, y.at(one.high)), class_)


def _behind_first(study: Study, metric: str) -> list[tuple[int, Trial]]:
    """Numbered as in the table; what was left out early lies behind, the recommended one in front."""
    shown = [
        (i, trial)
        for i, trial in enumerate(view.listed(study))
        if trial.failed is None and metric in trial.at_full_size
    ]
    return sorted(shown, key=lambda pair: (not view.early(study, pair[1]), view.recommends(study, pair[1])))


def _point(study: Study, trial: Trial, number: int, metric: str, size: Size, x: Axis, y: Axis) -> Element:
    shape, class_ = SHAPES[view.family(study, trial)]
    chosen = view.recommends(study, trial)
    classes = f"point {class_}{' early' if view.early(study, trial) else ''}{' chosen' if chosen else ''}"
    point = mark(shape, _place(trial, metric, size, x, y), class_=classes, role="button", tabindex="-1",
                 data_row=str(number), aria_label=summary(study, trial))  # fmt: skip
    if chosen:
        add(point, mark("ring", (0, 1), class_="ring"))
    return point


def summary(study: Study, trial: Trial) -> str:
    """A candidate in one line of text: what it is, what it finds, what it takes."""
    figures = trial.at_full_size
    found = words.between(figures[study.goal.recall], words.share) if study.goal.recall in figures else "?"
    return (
        f"{trial.candidate.represent}, {words.settings(trial.candidate)}: {study.goal.recall} {found}; "
        f"{words.size(Size.RAM.of(trial))} of memory and {words.size(Size.DISK.of(trial))} of disk a vector"
    )


def _names(study: Study, trials: tuple[Trial, ...], metric: str, size: Size, x: Axis, y: Axis) -> list[Element]:
    """The recommended candidate and float32 are named in the plot; the others where they are pointed at."""
    named = [(trial, view.role(study)) for trial in trials if view.recommends(study, trial)]
    named += [(trial, "float32") for trial in trials if trial is study.reference and not view.recommends(study, trial)]
    return [_name(name, _place(trial, metric, size, x, y)) for trial, name in named]


def _name(name: str, place: tuple[float, float]) -> Element:
    """Under its mark, or above it at the bottom; at the sides it stays inside."""
    side = " end" if place[0] > 0.8 else "" if place[0] < 0.2 else " middle"
    return text(name, place, f"name{side}", {" end": 8, "": -8}.get(side, 0), -18 if place[1] < 0.15 else 29)


def _legend(study: Study) -> Element:
    present = {view.family(study, trial) for trial in view.listed(study) if trial.failed is None}
    entries = [(*SHAPES[family], family.value) for family in Family if family in present]
    if any(view.early(study, trial) for trial in view.listed(study) if trial.failed is None):
        entries.append(("circle", "early", "hollow: left out after a smaller sample"))
    entries.append(("line", "front", "the best for its size"))
    return legend([*entries, ("ring", "ring", view.role(study))])
