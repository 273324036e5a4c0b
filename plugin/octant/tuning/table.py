"""A study as lines of text."""

from __future__ import annotations

from octant.recommendation import Expected
from octant.report import aligned
from octant.tuning.choose import cost, ranked, undominated, violations
from octant.tuning.study import DISK, RAM, TIME, Candidate, Goal, Study, Trial

SHOWN = 12
"""Candidates in a table, beside the recommended one and float32."""


def table(study: Study) -> str:
    """What was asked, the candidates in the order they would be recommended, and what was decided."""
    shown = _shown(study)
    metrics = [study.goal.recall, *([study.goal.ndcg] if study.goal.ndcg in study.reference.figures else [])]
    header = ["", "representation", "m", "search", *metrics, "RAM B/vec", "disk B/vec", "RAM+disk", "query x"]
    lines = [_cells(study, trial, metrics) for trial in shown]
    return "\n".join([*_title(study), "", *aligned([header, *lines], left=4), "", *_counts(study), *_notes(study)])


def knobs_in_words(candidate: Candidate) -> str:
    """Search knobs, briefly: what differs from the defaults.

    Examples
    --------
    >>> from octant.layout import SearchKnobs
    >>> knobs_in_words(Candidate("turbo8", knobs=SearchKnobs(hnsw_ef=64, oversampling=3.0)))
    'ef 64, 3x'
    """
    knobs = candidate.knobs
    said = [
        "" if knobs.hnsw_ef is None else f"ef {knobs.hnsw_ef}",
        "" if knobs.oversampling is None else f"{knobs.oversampling:g}x",
        "" if knobs.coverage is None else f"coverage {knobs.coverage:g}",
        "no rescoring" if knobs.rescore is False else "",
        "exact" if knobs.exact else "",
        "cold graph" if candidate.placement.graph == "cold" and candidate.hnsw.m else "",
        "cold codes" if candidate.placement.codes == "cold" else "",
    ]
    return ", ".join(filter(None, said)) or "defaults"


def goal_in_words(goal: Goal) -> str:
    """The bounds and the objective in one line.

    Examples
    --------
    >>> goal_in_words(Goal(min_recall=0.95))
    'recall@10 at least 0.95; the least RAM + disk'
    """
    bounds = [
        "" if goal.min_recall is None else f"{goal.recall} at least {goal.min_recall:g}",
        "" if goal.min_ndcg is None else f"{goal.ndcg} at least {goal.min_ndcg:g}",
        "" if goal.max_ram is None else f"at most {goal.max_ram:.4g} bytes of RAM a vector",
        "" if goal.max_disk is None else f"at most {goal.max_disk:.4g} bytes of disk a vector",
        "" if goal.max_latency_ratio is None else f"at most {goal.max_latency_ratio:g} times float32's query time",
    ]
    weight = "RAM" if goal.ram_weight == 1 else f"{goal.ram_weight:g} x RAM"
    objective = f"the least {weight} + disk" if goal.objective == "cheapest" else "the best quality"
    return "; ".join([*filter(None, bounds), objective])


def _title(study: Study) -> list[str]:
    size = f"{study.points:,} vectors of {study.dimension} dimensions"
    part = "" if study.sample >= study.points else f", measured on a sample of {study.sample:,}"
    asked = "held-out documents in place of queries" if study.stand_in else "queries"
    return [f"{study.name}: {size}{part}, {study.queries:,} {asked}", f"wanted: {goal_in_words(study.goal)}"]


def _shown(study: Study) -> list[Trial]:
    order = ranked([trial for trial in study.finals if trial.per_query], study.goal)
    chosen = [trial for trial in order if chosen_by(study, trial)]
    front = undominated(order, study.goal)
    first = [*chosen, *order[:SHOWN]]
    native = [trial for trial in order if trial.candidate.native][:1]
    listed = dict.fromkeys([*map(id, first), *map(id, native), *(id(one) for one in front if one in first)])
    by_id = {id(trial): trial for trial in order}
    kept = [by_id[key] for key in listed]
    kept.sort(key=lambda trial: cost(trial.at_full_size, study.goal))
    return [*kept, study.reference]


def chosen_by(study: Study, trial: Trial) -> bool:
    """Whether ``trial`` measured what was recommended."""
    one, other = trial.candidate, study.recommendation
    return (one.represent, one.hnsw, one.placement, one.knobs) == (
        other.represent, other.hnsw, other.placement, other.knobs,
    )  # fmt: skip


def _cells(study: Study, trial: Trial, metrics: list[str]) -> list[str]:
    figures = trial.at_full_size
    mark = "=>" if chosen_by(study, trial) else "" if violations(figures, study.goal) else "ok"
    time = f"{figures[TIME].value:.2f}" if TIME in figures else "-"
    return [
        mark, trial.candidate.represent, str(trial.candidate.hnsw.m), knobs_in_words(trial.candidate),
        *(_interval(figures.get(name)) for name in metrics),
        _bytes(figures[RAM]), _bytes(figures[DISK]), f"{figures[RAM].value + figures[DISK].value:.0f}", time,
    ]  # fmt: skip


def _interval(one: Expected | None) -> str:
    return "-" if one is None else f"{'~' * one.estimated}{one.value:.4f} [{one.low:.3f}, {one.high:.3f}]"


def _bytes(one: Expected) -> str:
    return f"{'~' * one.estimated}{one.value:.0f}"


def _counts(study: Study) -> list[str]:
    failed = [trial for trial in study.finals if trial.failed is not None]
    early = [trial for trial in study.finals if trial.failed is None and not trial.per_query]
    said = [f"{len(study.finals)} candidates in {study.seconds:.0f} s"]
    if early:
        said.append(f"{len(early)} left out after a smaller sample")
    if failed:
        said.append(f"{len(failed)} could not be built ({failed[0].candidate.represent}: {failed[0].failed})")
    return ["; ".join(said) + ("; interrupted: this is the best so far" if study.interrupted else "")]


def _notes(study: Study) -> list[str]:
    chosen = study.recommendation
    judged = {study.goal.recall, study.goal.ndcg}
    figures = ", ".join(f"{name} {_interval(one)}" for name, one in chosen.expected.items() if name in judged)
    verdict = "recommended" if chosen.satisfied else "nothing satisfies every bound; the closest is"
    saved = ""
    if chosen.represent != study.reference.candidate.represent:
        ours = chosen.expected[RAM].value + chosen.expected[DISK].value
        theirs = study.reference.at_full_size[RAM].value + study.reference.at_full_size[DISK].value
        saved = f"; {theirs / ours:.1f} times less RAM + disk than float32"
    estimated = any(one.estimated for one in chosen.expected.values())
    return [
        f"{verdict}: {chosen.represent}, m={chosen.hnsw.m}",
        f"  {figures}{saved}",
        *(f"  {line}" for line in chosen.unmet),
        *(["~ estimated for the full size from two sample sizes"] if estimated else []),
        *study.notes,
    ]
