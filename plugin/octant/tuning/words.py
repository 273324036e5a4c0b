"""What a study says, in sentences for people who do not know what a vector is; every number in them is the study's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from octant.recommendation import Expected
from octant.statistics import paired_difference
from octant.tuning import view
from octant.tuning.choose import violations
from octant.tuning.study import DISK, RAM, TIME, Candidate, Study

Writer: TypeAlias = Callable[[float], str]
"""Turns a number into text."""

# -- numbers -------------------------------------------------------------------------------------


def size(count: float) -> str:
    """Bytes in powers of 1024, with two or three digits.

    Examples
    --------
    >>> size(77.2), size(1602), size(16_060_000_000)
    ('77 B', '1.6 KiB', '15 GiB')
    >>> size(3 * 2**30 + 2**27), size(1023.7)
    ('3.1 GiB', '1.0 KiB')
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = 0
    while power < len(units) - 1 and round(count) >= 1024:
        count /= 1024
        power += 1
    return f"{count:.0f} {units[power]}" if power == 0 or round(count, 1) >= 10 else f"{count:.1f} {units[power]}"


def share(value: float) -> str:
    """A fraction in percent, with as many digits as keep it from looking like all or nothing.

    Examples
    --------
    >>> share(0.984), share(0.9), share(0.9996), share(1.0), share(0.0004)
    ('98.4 %', '90 %', '99.96 %', '100 %', '0.04 %')
    """
    percent = 100 * value
    for digits in (1, 2, 3):
        rounded = f"{percent:.{digits}f}"
        if percent in (0, 100) or float(rounded) not in (0.0, 100.0):
            break
    return f"{rounded.rstrip('0').rstrip('.')} %"


def score(value: float) -> str:
    """A quality between 0 and 1 as search engineers write it.

    Examples
    --------
    >>> score(0.6512), score(1.0)
    ('0.651', '1.000')
    """
    return f"{value:.3f}"


def change(before: float, after: float) -> str:
    """How much less or more, in words.

    Examples
    --------
    >>> change(100, 10), change(100, 80), change(100, 100.4), change(1, 1.3)
    ('10 times less', '20 % less', 'about the same', '30 % more')
    >>> change(1, 2.14)
    '2.1 times as much'
    """
    if before <= 0 or after <= 0:
        return "about the same" if before == after else ("more" if after > before else "all of it less")
    if abs(after / before - 1) < 0.015:
        return "about the same"
    if after < before:
        times = before / after
        return f"{_times(times)} times less" if times >= 1.5 else f"{100 * (1 - after / before):.0f} % less"
    times = after / before
    return f"{_times(times)} times as much" if times >= 1.5 else f"{100 * (times - 1):.0f} % more"


def duration(seconds: float) -> str:
    """Time for people.

    Examples
    --------
    >>> duration(4.2), duration(552.4), duration(7320)
    ('4 s', '9 min 12 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> count(1, "query"), count(27_274, "vector"), count(3, "query")
    ('1 query', '27,274 vectors', '3 queries')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def interval(figure: Expected, write: Writer) -> str:
    """Where a figure surely lies, briefly; nothing where it is no statistic.

    Examples
    --------
    >>> interval(Expected(0.98, 0.97, 0.99), share), interval(Expected(0.98, 0.97, 0.99), score)
    ('97 to 99 %', '0.970 to 0.990')
    """
    if figure.low == figure.high:
        return ""
    return f"{write(figure.low).removesuffix(' %')} to {write(figure.high)}"


def between(figure: Expected, write: Writer) -> str:
    """A figure with its interval, if it has one."""
    if figure.low == figure.high:
        return write(figure.value)
    return f"{write(figure.value)} (between {write(figure.low)} and {write(figure.high)})"


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 9.95 else f"{factor:.1f}".removesuffix(".0")


# -- candidates ----------------------------------------------------------------------------------


def settings(candidate: Candidate) -> str:
    """Graph, search and placement of a candidate in one line.

    Examples
    --------
    >>> settings(Candidate("turbo8"))
    'm=16'
    """
    hnsw, knobs, placement = candidate.hnsw, candidate.knobs, candidate.placement
    parts = [f"m={hnsw.m}" if hnsw.m else "no graph"]
    if hnsw.m and hnsw.ef_construct != 100:
        parts.append(f"ef_construct={hnsw.ef_construct}")
    if knobs.hnsw_ef is not None:
        parts.append(f"ef={knobs.hnsw_ef}")
    if knobs.exact:
        parts.append("exact")
    if knobs.oversampling is not None:
        parts.append(f"oversampling={knobs.oversampling:g}")
    if knobs.coverage is not None:
        parts.append(f"coverage={knobs.coverage:g}")
    if knobs.rescore is not None:
        parts.append("rescored" if knobs.rescore else "not rescored")
    if placement.graph != "cached":
        parts.append(f"graph {placement.graph}")
    if placement.codes is not None:
        parts.append(f"codes {placement.codes}")
    if placement.originals != "cold":
        parts.append(f"originals {placement.originals}")
    if placement.payload != "cold":
        parts.append(f"payload {placement.payload}")
    return ", ".join(parts)


def of(study: Study) -> str:
    """The settings of what is recommended."""
    one = study.recommendation
    return settings(Candidate(one.represent, one.hnsw, one.placement, one.knobs))


# -- sentences -----------------------------------------------------------------------------------


def verdict(study: Study) -> str:
    """Whether there is something to do, in one line."""
    if study.recommendation.satisfied and study.recommendation.represent == study.reference.candidate.represent:
        return "Of what was tried, only plain float32 surely keeps everything you asked for. It saves nothing."
    if not study.recommendation.satisfied:
        return "Nothing that was tried keeps everything you asked for. This comes closest."
    if study.interrupted:
        return "The tuning was stopped early. This is the best of what it had tried, and keeps what you asked for."
    if not _asked(study):
        return "You set no bounds. This is what the tuning would choose."
    return "It keeps everything you asked for."


def kind(study: Study) -> str:
    """What is recommended, without its name."""
    trial = view.chosen(study)
    parts = {} if trial is None else trial.components
    if study.recommendation.represent == "float32":
        return "The vectors as they are, in full precision."
    if ";" in study.recommendation.represent:
        return "Two codes of each vector: a small one that finds candidates, and a finer one that puts them in order."
    if "originals" in parts:
        return "A small code of each vector that is searched, and a larger one behind it that checks what was found."
    return "One smaller code of each vector, and no other copy."


def doubt(study: Study) -> str:
    """Whether a bound on quality is missed for want of queries only: even float32 is not surely above it."""
    figures, failed = study.reference.at_full_size, violations(study.reference.at_full_size, study.goal)
    name = next((one.figure for one in failed if one.figure in figures and figures[one.figure].value >= one.bound), "")
    if study.recommendation.satisfied or name not in (study.goal.recall, study.goal.ndcg):
        return ""
    write = share if name == study.goal.recall else score
    return (
        f"{count(study.queries, 'query')} are too few to be sure of so much: even plain float32, which reaches "
        f"{write(figures[name].value)}, is only surely above {write(figures[name].low)}. Tune with more queries."
    )


def savings(study: Study) -> tuple[str, ...]:
    """What it takes instead of plain float32, for all vectors: a sentence for memory and one for disk."""
    sentences = []
    for name, what in ((RAM, "Memory (RAM)"), (DISK, "Disk space")):
        before, after = study.recommendation.reference.get(name), study.recommendation.expected.get(name)
        if before is None or after is None:
            continue
        a, b = size(before.value * study.points), size(after.value * study.points)
        how = change(before.value, after.value)
        if how == "about the same":
            sentences.append(f"{what} stays at about {b}.")
        else:
            sentences.append(f"{what} {'falls' if after.value < before.value else 'grows'} from {a} to {b}: {how}.")
    return tuple(sentences)


def cost(study: Study) -> tuple[str, ...]:
    """What it costs in found documents, in ranking quality and in time."""
    return tuple(sentence for sentence in (_recall(study), _ndcg(study), _time(study)) if sentence)


def provenance(study: Study) -> tuple[str, ...]:
    """What was measured and what was estimated, on which vectors and by which queries."""
    return (_size_of_sample(study), _queries(study), _effort(study))


def losses(values: Sequence[float]) -> str:
    """How many queries lose nothing, and how many lose much.

    Examples
    --------
    >>> losses([1.0, 1.0, 0.9, 0.4])
    '2 of 4 queries (50 %) lose nothing; 1 (25 %) loses half of the answers or more.'
    >>> losses([1.0, 0.8])
    '1 of 2 queries (50 %) loses nothing; none loses half of the answers or more.'
    """
    total, whole, half = len(values), sum(value > 1 - 1e-9 for value in values), sum(value <= 0.5 for value in values)
    spared = (
        f"{whole:,} of {count(total, 'query')} ({share(whole / total)}) {'loses' if whole == 1 else 'lose'} nothing"
    )
    hit = f"{half:,} ({share(half / total)}) {'loses' if half == 1 else 'lose'}" if half else "none loses"
    return f"{spared}; {hit} half of the answers or more."


@dataclass(frozen=True)
class Bound:
    """One thing that was asked for.

    Attributes
    ----------
    asked, got : str
    holds : bool
    """

    asked: str
    got: str
    holds: bool


def bounds(study: Study) -> tuple[Bound, ...]:
    """Every bound that was set, and what the recommendation makes of it."""
    goal, points = study.goal, study.points
    failed = {one.figure for one in violations(study.recommendation.expected, goal)}
    asked = {
        goal.recall: goal.min_recall and f"At least {share(goal.min_recall)} of the {goal.k} nearest documents found",
        goal.ndcg: goal.min_ndcg and f"A ranking quality (nDCG@{goal.k}) of at least {score(goal.min_ndcg)}",
        RAM: goal.max_ram and f"At most {size(goal.max_ram * points)} of memory ({_bytes(goal.max_ram)} a vector)",
        DISK: goal.max_disk and f"At most {size(goal.max_disk * points)} of disk ({_bytes(goal.max_disk)} a vector)",
        TIME: goal.max_latency_ratio and f"A query takes at most {goal.max_latency_ratio:g} times float32's time",
    }
    return tuple(Bound(text, _reached(study, name), name not in failed) for name, text in asked.items() if text)


def _reached(study: Study, name: str) -> str:
    figure = study.recommendation.expected.get(name)
    if figure is None:
        return "not measured"
    if name in (RAM, DISK):
        return f"{size(figure.high * study.points)} ({_bytes(figure.high)} a vector)"
    if name == TIME:
        return f"{figure.high:.2f} times"
    write = share if name == study.goal.recall else score
    return f"{write(figure.value)}; with 95 % confidence at least {write(figure.low)}"


def objective(study: Study) -> str:
    """What decided between candidates that keep every bound."""
    goal = study.goal
    if goal.objective == "best":
        return "Of what keeps your bounds, the one that finds most."
    weight = "" if goal.ram_weight == 1 else f", a byte of memory counted {goal.ram_weight:g} times"
    return f"Of what keeps your bounds, the one that takes least memory and disk together{weight}."


def _asked(study: Study) -> bool:
    return bool(bounds(study))


def _bytes(value: float) -> str:
    return f"{value:,.0f} bytes"


def _estimate(figure: Expected) -> str:
    return " This is an estimate for the full size." if figure.estimated else " This was measured."


def _recall(study: Study) -> str:
    figure = study.recommendation.expected.get(study.goal.recall)
    if figure is None:
        return ""
    return (
        f"Of the {study.goal.k} documents nearest to a query it finds {share(figure.value)} on average; we are 95 % "
        f"sure that it is between {share(figure.low)} and {share(figure.high)}.{_estimate(figure)}"
    )


def _ndcg(study: Study) -> str:
    name = study.goal.ndcg
    figure, before = study.recommendation.expected.get(name), study.recommendation.reference.get(name)
    if figure is None or before is None:
        return ""
    sentence = (
        f"By your own relevance judgements its ranking scores {score(figure.value)} (nDCG@{study.goal.k}, at most 1), "
        f"where plain float32 scores {score(before.value)}"
    )
    return f"{sentence}{_difference(study)}."


def _difference(study: Study) -> str:
    trial, name = view.chosen(study), study.goal.ndcg
    if trial is None or name not in trial.per_query or name not in study.baseline_per_query:
        return ""
    found = paired_difference(trial.per_query[name], study.baseline_per_query[name])
    if found.low <= 0 <= found.high:
        return ": the queries show no difference between the two"
    return f": {score(abs(found.value))} {'higher' if found.value > 0 else 'lower'}, more than chance would explain"


def _time(study: Study) -> str:
    figure = study.recommendation.expected.get(TIME)
    if figure is None:
        return ""
    how = change(1.0, figure.value)
    if how == "about the same":
        return "A query takes about as long as with float32 in memory, on the machine that measured."
    longer = how.replace("times as much", "times as long").replace("more", "longer").replace("less", "faster")
    if "times faster" not in longer and "faster" in longer:
        longer = longer.replace("faster", "less time")
    return (
        f"A query takes {longer} {'as' if 'as long' in longer else 'than'} with float32, on the machine that measured."
    )


def _size_of_sample(study: Study) -> str:
    if study.sample >= study.points:
        return (
            f"Everything was measured on all {count(study.points, 'vector')}, in Qdrant's own engine, graph included."
        )
    return (
        f"{count(study.sample, 'vector')} of {study.points:,} were measured in Qdrant's own engine, graph included; "
        "what follows for all of them is estimated from how the figures change between samples of different size."
    )


def _queries(study: Study) -> str:
    if study.stand_in:
        return (
            f"There were no queries to ask, so {count(study.queries, 'document')} left out of the collection stood in "
            "for them. People's questions are often further from the documents than documents are from one another: "
            "recall may be lower for them. Tune with real queries to be sure."
        )
    return f"{count(study.queries, 'real query')} decided; nothing was fitted on them."


def _effort(study: Study) -> str:
    finals = study.finals
    failed = sum(trial.failed is not None for trial in finals)
    failures = f", of which {failed} could not be measured" if failed else ""
    end = " before it was stopped" if study.interrupted else ""
    return f"{count(len(finals), 'candidate')} were tried in {duration(study.seconds)}{end}{failures}."
