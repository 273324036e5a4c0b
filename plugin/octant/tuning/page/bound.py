"""Squared error of learned codes against their bits, next to the least that theory allows."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from octant.report import Distortion
from octant.tuning import view, words
from octant.tuning.axes import log_axis
from octant.tuning.page.markup import strangers, tag
from octant.tuning.page.plot import legend, lines, mark, plot
from octant.tuning.page.tables import cell, numbers, table
from octant.tuning.study import Study, Trial


def figure(study: Study) -> list[Element] | None:
    """The plot and its numbers; None where no code was judged."""
    judged = _judged(study)
    if not judged:
        return None
    explained = (
        "A code of a given size cannot keep everything: for vectors that are Gaussian with the spread of yours, theory "
        "gives the least error that any code can have, and the line joins that bound at the sizes that were tried. The "
        "closer a code comes to the line, the less there is to gain from a better one of its size; vectors with more "
        "structure than a Gaussian may even go below it."
    )
    return [tag("p", explained), _plot(study, judged), _table(judged)]


def _judged(study: Study) -> list[tuple[Trial, Distortion]]:
    """One trial for each code, at its largest sample: the same code serves many searches."""
    best: dict[tuple[str, float], tuple[Trial, Distortion]] = {}
    for trial in view.listed(study):
        if trial.distortion is not None:
            code = (_searched(trial), trial.distortion.bits)
            if code not in best or trial.points > best[code][0].points:
                best[code] = (trial, trial.distortion)
    return sorted(best.values(), key=lambda pair: (pair[1].bits, pair[1].squared_error))


def _searched(trial: Trial) -> str:
    """The part of a spec that is searched."""
    return trial.candidate.represent.removeprefix("coarse=").partition(";")[0].strip()


def _plot(study: Study, judged: list[tuple[Trial, Distortion]]) -> Element:
    bits = [one.bits for _, one in judged]
    x = log_axis(bits, lambda value: f"{value:g}")
    y = log_axis([end for _, one in judged for end in (one.squared_error, one.bound)], words.share)
    curve = sorted({one.bits: one.bound for _, one in judged}.items())
    drawing = plot(
        lines([(x.at(size), y.at(bound)) for size, bound in curve], "theory"),
        [mark("square", (x.at(size), y.at(bound)), class_="point theory") for size, bound in curve],
        [_point(study, trial, (x.at(one.bits), y.at(one.squared_error))) for trial, one in judged],
        x=x, y=y, label="squared error against bits a vector; the table below has the numbers",
    )  # fmt: skip
    up = tag("p", "squared error, share of the variance; lower is better ↓", class_="axis")
    key = legend(
        [("line", "theory", "no Gaussian code can do better"), ("triangle", "one", "measured on held-out vectors")]
    )
    return tag("div", up, drawing, tag("p", "bits a vector", class_="axis right"), key, class_="low")


def _point(study: Study, trial: Trial, place: tuple[float, float]) -> Element:
    return mark("triangle", place, class_="point one" + (" chosen" if view.recommends(study, trial) else ""))


def _table(judged: list[tuple[Trial, Distortion]]) -> Element:
    rows = [
        tag("tr", cell(tag("code", strangers(_searched(trial))), header=True),
            numbers(f"{one.bits:g}", words.share(one.squared_error), words.share(one.bound), _ratio(one)))
        for trial, one in judged
    ]  # fmt: skip
    return table("Squared error and its bound", ["Searched code", "bits", "error", "bound", "times the bound"], rows)


def _ratio(one: Distortion) -> str:
    return f"{one.squared_error / one.bound:.2f}" if one.bound > 0 and math.isfinite(one.bound) else "–"
