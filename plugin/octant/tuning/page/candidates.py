"""Every candidate: a card with all that is known of one, and the table of all."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from octant.recommendation import Expected
from octant.tuning import view, words
from octant.tuning.choose import violations
from octant.tuning.page.markup import Child, strangers, tag
from octant.tuning.page.plot import shape
from octant.tuning.page.tables import table
from octant.tuning.study import DISK, RAM, TIME, Study, Trial

SHAPES = {
    view.Family.FLOAT32: ("square", "float32"),
    view.Family.NATIVE: ("circle", "native"),
    view.Family.ONE_STAGE: ("triangle", "one"),
    view.Family.TWO_STAGE: ("diamond", "two"),
}
"""Shape and class of what each kind of representation is drawn with."""


def figure(study: Study) -> list[Element]:
    """The table, and what sorts and filters it."""
    trials = view.listed(study)
    rows = [_row(study, trial, number) for number, trial in enumerate(trials)]
    header = ["Candidate", *(_metric(study, name) for name in view.metrics(study)), "Memory", "Disk", "Query time",
              "Measured on", "Verdict"]  # fmt: skip
    caption = f"All {words.count(len(trials), 'candidate')}; bytes a vector at full size"
    return [_controls(header), table(caption, header, rows, id="candidates", class_="stack")]


def card(study: Study, trial: Trial) -> Element:
    """Everything about one candidate."""
    facts = [
        ("Settings", words.settings(trial.candidate)),
        *((_metric(study, name), _quality(study, trial, name)) for name in view.metrics(study)),
        ("Memory", _bytes(study, trial.at_full_size.get(RAM))),
        ("Disk", _bytes(study, trial.at_full_size.get(DISK))),
        ("Query time", _time(trial.at_full_size.get(TIME))),
        ("Measured", f"{words.count(trial.points, 'vector')}, {words.duration(trial.seconds)}"),
        ("Failed", trial.failed or ""),
    ]
    held = [
        tag("li", f"{name} {words.size(trial.components[name])}, {trial.held_in_ram.get(name, 'cold')}")
        for name in view.components([trial])
    ]
    title = tag("p", _swatch(study, trial), tag("code", strangers(trial.candidate.represent)), class_="title")
    listed = tag("dl", [[tag("dt", name), tag("dd", strangers(value))] for name, value in facts if value])
    bytes_ = [tag("p", "Bytes a vector, by part"), tag("ul", held)] if held else []
    return tag("div", title, listed, bytes_, class_="card")


def _controls(header: list[str]) -> Element:
    kinds = ["all", "keeps every bound", *(family.value for family in view.Family), "failed"]
    search = tag("label", "Filter ", tag("input", type="search", id="filter", autocomplete="off", spellcheck="false"))
    kind = tag("label", "Show ", tag("select", [tag("option", name) for name in kinds], id="kind"))
    options = [tag("option", "as recommended", value="-1"),
               *(tag("option", name, value=str(i)) for i, name in enumerate(header))]  # fmt: skip
    order = tag("label", "Sort by ", tag("select", options, id="order"))
    shown = tag("output", "", id="shown", for_="filter kind")
    return tag("form", search, kind, order, shown, class_="controls scripted")


def _row(study: Study, trial: Trial, number: int) -> Element:
    family, figures = view.family(study, trial), trial.at_full_size
    spec, settings = strangers(trial.candidate.represent), tag("small", words.settings(trial.candidate))
    summary = tag("summary", _swatch(study, trial), tag("code", spec), " ", settings)
    details = tag("details", summary, card(study, trial))
    name = tag("th", details, scope="row", data_sort=trial.candidate.represent)
    metrics = [_sorted(figures.get(metric), *_with_interval(study, trial, metric)) for metric in view.metrics(study)]
    sizes = [
        _sorted(figures.get(key), words.size(figures[key].value) if key in figures else "–") for key in (RAM, DISK)
    ]
    time = _sorted(figures.get(TIME), f"{figures[TIME].value:.2f} ×" if TIME in figures else "–")
    sample = tag("td", f"{trial.points:,}", class_="number", data_sort=trial.points)
    kept, verdict = _verdict(study, trial)
    last = tag("td", strangers(verdict), data_sort=verdict)
    classes = " ".join(filter(None, ["chosen" if view.recommends(study, trial) else "", "failed" * bool(trial.failed)]))
    return tag("tr", name, metrics, sizes, time, sample, last, id=f"c{number}", class_=classes or None,
               data_kind="failed" if trial.failed else family.value, data_kept="yes" if kept else None)  # fmt: skip


def _with_interval(study: Study, trial: Trial, name: str) -> list[Child]:
    figure = trial.at_full_size.get(name)
    write = words.share if name == study.goal.recall else words.score
    return ["–"] if figure is None else [write(figure.value), " ", tag("small", words.interval(figure, write))]


def _sorted(figure: Expected | None, *text: Child) -> Element:
    value = None if figure is None else figure.value
    return tag("td", tag("span", text), class_="number", data_sort=value)


def _verdict(study: Study, trial: Trial) -> tuple[bool, str]:
    """Whether it keeps every bound, and what to say."""
    if trial.failed is not None:
        return False, trial.failed
    failed = violations(trial.at_full_size, study.goal)
    if view.recommends(study, trial):
        return not failed, view.role(study)
    if failed:
        names = {RAM: "memory", DISK: "disk", TIME: "query time"}
        return False, "misses " + ", ".join(names.get(one.figure, one.figure) for one in failed)
    return True, "keeps every bound"


def _metric(study: Study, name: str) -> str:
    return f"Recall@{study.goal.k}" if name == study.goal.recall else f"nDCG@{study.goal.k}"


def _quality(study: Study, trial: Trial, name: str) -> str:
    figure = trial.at_full_size.get(name)
    write = words.share if name == study.goal.recall else words.score
    return "" if figure is None else words.between(figure, write)


def _bytes(study: Study, figure: Expected | None) -> str:
    if figure is None:
        return ""
    how = "estimated" if figure.estimated else "measured"
    return f"{words.size(figure.value)} a vector, {words.size(figure.value * study.points)} in all ({how})"


def _time(figure: Expected | None) -> str:
    return "" if figure is None else f"{figure.value:.2f} × float32's"


def _swatch(study: Study, trial: Trial) -> Element:
    kind = view.family(study, trial)
    return shape(*SHAPES[kind], label=kind.value)
