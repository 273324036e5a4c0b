"""A study as one picture for a slide: quality against bytes, the bounds, the front, and what is recommended."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octant import durable
from octant.errors import MissingExtraError
from octant.tuning import view, words
from octant.tuning.axes import Axis, quality_axis, size_axis
from octant.tuning.study import Study, Trial
from octant.tuning.view import Family, Size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = {
    Family.FLOAT32: ("s", "#1b2430"),
    Family.NATIVE: ("o", "#0072b2"),
    Family.ONE_STAGE: ("^", "#d55e00"),
    Family.TWO_STAGE: ("D", "#00845f"),
}
"""Shapes and colours as on the page."""
_RING, _LIMIT, _INK = "#b0005e", "#b3261e", "#1b2430"
_INCHES, _DPI = (16, 9), 100
"""A slide of 16 by 9; 1600 by 900 pixels."""
_PLAIN: Mapping[str, Any] = {"parse_math": False}
"""Of text that somebody else wrote: a name with dollar signs in it is no formula."""
_LONGEST = 70
"""Characters of a name."""


def check() -> None:
    """Refuse to draw where that is impossible; for before long work.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("a picture of a tuning", module="matplotlib", extra="report")


def write(study: Study, path: str | Path, size: Size = Size.RAM) -> None:
    """Write the picture, 1600 by 900 pixels, in one step.

    Parameters
    ----------
    study : Study
    path : str or Path
        Of the PNG.
    size : Size
        Which bytes it shows.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    OSError
        If the folder does not exist, or the disk refuses.
    """
    check()
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained", facecolor="white")
    metric = view.metrics(study)[0]
    _draw(figure.subplots(), study, metric, size)
    title = f"{_short(study.recommendation.represent)}, {words.of(study)}"
    figure.suptitle(title, fontsize=22, weight="bold", x=0.01, ha="left", **_PLAIN)
    figure.legend(loc="outside lower center", fontsize=15, ncols=6, frameon=False)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in a script that matplotlib's own font lacks; they then show as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(drawn, format="png")
    durable.write(Path(path), drawn.getvalue())


def _draw(axes: Axes, study: Study, metric: str, size: Size) -> None:
    trials = view.drawn(study, metric)
    limit, least = size.limit(study), view.least(study, metric)
    ends = [end for trial in trials for end in (trial.at_full_size[metric].low, trial.at_full_size[metric].high)]
    x = size_axis([size.of(trial) for trial in trials] + [one for one in (limit,) if one is not None])
    y = quality_axis(metric, [*ends, *(one for one in (least,) if one is not None)])
    _frame(axes, study, metric, size, x, y)
    if limit is not None:
        axes.axvspan(x.at(limit), 1, color=_LIMIT, alpha=0.06, linewidth=0)
        axes.axvline(x.at(limit), color=_LIMIT, linestyle="--")
        axes.text(x.at(limit), 0.015, f" budget {words.size(limit)}", color=_LIMIT, fontsize=16)
    if least is not None:
        axes.axhspan(0, y.at(least), color=_LIMIT, alpha=0.06, linewidth=0)
        axes.axhline(y.at(least), color=_LIMIT, linestyle="--")
        asked = words.share(least) if metric == study.goal.recall else words.score(least)
        axes.text(1, y.at(least) - 0.035, f"asked {asked} ", color=_LIMIT, fontsize=16, ha="right")
    _front(axes, study, metric, size, x, y)
    for trial in trials:
        _mark(axes, study, trial, metric, size, x, y)
    _names(axes, study, trials, metric, size, x, y)
    _legend(axes, study, trials)


def _frame(axes: Axes, study: Study, metric: str, size: Size, x: Axis, y: Axis) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    in_all = [f"{text}\n{words.size(value * study.points)}" for value, text in x.ticks]
    axes.set_xticks([x.at(value) for value, _ in x.ticks], in_all, fontsize=16)
    axes.set_yticks([y.at(value) for value, _ in y.ticks], [text for _, text in y.ticks], fontsize=16)
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(f"bytes of {size.value} a vector; below, for all {study.points:,}", fontsize=17)
    found = "neighbours found" if metric == study.goal.recall else "ranking by labels"
    axes.set_ylabel(f"{found} ({metric})", fontsize=17)
    said = f"{words.verdict(study)}\n{' '.join(words.savings(study))}\n{_known(study)}"
    axes.set_title(said, fontsize=16, loc="left", pad=12, **_PLAIN)


def _known(study: Study) -> str:
    how = "measured" if study.sample >= study.points else f"estimated from {study.sample:,} vectors"
    asked = "held-out documents instead of queries" if study.stand_in else words.count(study.queries, "query")
    return f"{_short(study.name)}: {how}, {asked}."


def _front(axes: Axes, study: Study, metric: str, size: Size, x: Axis, y: Axis) -> None:
    kept = [trial for trial in view.drawn(study, metric) if not view.early(study, trial)]
    best = view.front(kept, metric, size)
    across = [x.at(size.of(trial)) for trial in best]
    up = [y.at(trial.at_full_size[metric].value) for trial in best]
    if best:
        axes.step([*across, 1], [*up, up[-1]], where="post", color=_INK, alpha=0.5, linewidth=1.5)


def _mark(axes: Axes, study: Study, trial: Trial, metric: str, size: Size, x: Axis, y: Axis) -> None:
    shape, colour = _MARKS[view.family(study, trial)]
    one, across = trial.at_full_size[metric], x.at(size.of(trial))
    early, chosen = view.early(study, trial), view.recommends(study, trial)
    front = 5 if chosen else 2 if early else 3
    axes.plot([across] * 2, [y.at(one.low), y.at(one.high)], color=colour, alpha=0.3 if early else 0.6, zorder=front)
    face = "white" if early else colour
    edge = colour if early else "white"
    axes.plot(across, y.at(one.value), shape, color=face, markeredgecolor=edge, markersize=13, zorder=front,
              clip_on=False)  # fmt: skip
    if chosen:
        axes.plot(across, y.at(one.value), "o", color="none", markeredgecolor=_RING, markeredgewidth=3, markersize=28,
                  zorder=6, clip_on=False)  # fmt: skip


def _names(axes: Axes, study: Study, trials: tuple[Trial, ...], metric: str, size: Size, x: Axis, y: Axis) -> None:
    from matplotlib.patheffects import withStroke

    for trial in trials:
        chosen = view.recommends(study, trial)
        if not chosen and trial is not study.reference:
            continue
        place = (x.at(size.of(trial)), y.at(trial.at_full_size[metric].value))
        name = f"{view.role(study)}, {words.size(size.of(trial))}" if chosen else "float32"
        side, dx = ("right", -10) if place[0] > 0.75 else ("left", 10)
        axes.annotate(name, xy=place, xytext=(dx, -32), ha=side, fontsize=17, textcoords="offset points",
                      weight="bold", color=_RING if chosen else _INK, zorder=7,
                      path_effects=[withStroke(linewidth=4, foreground="white")])  # fmt: skip


def _legend(axes: Axes, study: Study, trials: tuple[Trial, ...]) -> None:
    present = {view.family(study, trial) for trial in trials}
    for kind, (shape, colour) in _MARKS.items():
        if kind in present:
            axes.plot([], [], shape, color=colour, markersize=10, label=kind.value)
    if any(view.early(study, trial) for trial in trials):
        axes.plot([], [], "o", color="white", markeredgecolor="#556274", markersize=10, label="left out early")
    axes.plot([], [], color=_INK, alpha=0.5, label="best for its size")


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
