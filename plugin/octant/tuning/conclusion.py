"""After the work: what is recommended, in figures and in words."""

from __future__ import annotations

from dataclasses import replace

from octant.errors import InputError
from octant.recommendation import Recommendation
from octant.tuning.bench import REFERENCE
from octant.tuning.choose import slowness, unmet
from octant.tuning.deal import Deal
from octant.tuning.halving import Search
from octant.tuning.laboratory import Outcome
from octant.tuning.placement import colder
from octant.tuning.shortlist import by_selection, confirmed
from octant.tuning.sources import LEAST_VECTORS, Source
from octant.tuning.study import Goal, Study, Trial

FEW_VECTORS = 2_000
FEW_QUERIES = 100


def concluded(
    source: Source,
    dealt: Deal,
    goal: Goal,
    search: Search,
    notes: tuple[str, ...],
    interrupted: bool,
    seconds: float,
) -> Study:
    """What ``search`` found for ``goal``, with what it recommends, or comes closest.

    Raises
    ------
    InputError
        If not even float32 was measured.
    """
    reference = search.reference
    if reference is None:
        raise InputError("nothing was measured: give a longer budget")
    outcomes, chosen = _chosen(search, reference, goal)
    stated = chosen.trial
    size = max(one.trial.points for one in outcomes)
    confirming = chosen.stated is not None
    questions = slice(dealt.selecting, None) if confirming else slice(0, dealt.selecting)
    notes = (*notes, *_notes(dealt, chosen, search, interrupted))
    slow = slowness(stated, [one.stated for one in outcomes if one.stated is not None], goal)
    if slow is not None:
        notes += (slow,)
    ids = dealt.query_ids[questions]
    recommendation = Recommendation(
        represent=stated.candidate.represent,
        hnsw=stated.candidate.hnsw,
        placement=stated.candidate.placement,
        knobs=stated.candidate.knobs,
        dimension=dealt.dimension,
        points=source.points,
        distance=dealt.distance,
        expected=dict(stated.at_full_size),
        reference=dict(reference.trial.at_full_size),
        goal=goal.to_json(),
        satisfied=not unmet(stated.at_full_size, goal),
        unmet=unmet(stated.at_full_size, goal),
        source=_in_words(source, dealt, stated, len(ids)),
        coverage=chosen.coverage,
    )
    return Study(
        name=source.name,
        points=source.points,
        dimension=dealt.dimension,
        distance=dealt.distance,
        sample=size,
        queries=len(ids),
        stand_in=dealt.stand_in,
        goal=goal,
        trials=tuple(one.trial for one in outcomes),
        reference=reference.trial,
        recommendation=recommendation,
        query_ids=ids,
        query_texts=dealt.query_texts[questions],
        baseline_per_query=dict(reference.trial.per_query),
        interrupted=interrupted,
        seconds=seconds,
        notes=notes,
    )


def _chosen(search: Search, reference: Outcome, goal: Goal) -> tuple[list[Outcome], Outcome]:
    """Everything that was measured, and what to recommend; parts are moved out of RAM if nothing else helps."""
    outcomes = list(search.outcomes)
    found = search.chosen
    if found is None and goal.max_ram is not None and goal.max_latency_ratio is None:
        cold = [moved for one in outcomes if one.stated is not None for moved in colder(one)]
        found = confirmed(cold, goal)
        outcomes += cold if found is not None else []
    if found is not None:
        return outcomes, found
    stated = [one for one in outcomes if one.stated is not None and one.stated.failed is None]
    if stated:
        by_trial = [replace(one, selected=one.trial) for one in stated]
        return outcomes, by_selection(by_trial, goal)[0]
    measured = [one for one in outcomes if one.trial.failed is None]
    if not measured:
        return outcomes, reference
    latest = max(one.trial.rung for one in measured)
    return outcomes, by_selection([one for one in measured if one.trial.rung == latest], goal)[0]


def _notes(dealt: Deal, chosen: Outcome, search: Search, interrupted: bool) -> list[str]:
    notes = []
    asked = len(dealt.query_ids) - dealt.selecting
    if dealt.stand_in:
        notes.append(
            "No queries were given: documents that were held out were asked in their place; real ones may differ."
        )
    if chosen.stated is None:
        notes.append(
            "It was interrupted before the largest sample: the figures are of the queries that it was chosen by."
        )
    elif asked < FEW_QUERIES:
        notes.append(f"Only {asked} queries confirm it, so its interval is wide: give more.")
    if len(dealt.documents) < FEW_VECTORS:
        notes.append(
            f"{len(dealt.documents):,} vectors are a small sample (at least {LEAST_VECTORS}, better some thousands): "
            "codes that learn had little to learn from."
        )
    if any(one.estimated for one in chosen.trial.at_full_size.values()):
        notes.append("Figures with ~ are estimates for the full size, carried there from two sample sizes.")
    if chosen.family.placement != REFERENCE.placement:
        notes.append("Parts of it are read from disk at every search; how long that takes could not be measured here.")
    if chosen is search.reference:
        notes.append(
            "Nothing cheaper than plain float32 was shown to keep what was asked for: give a longer budget or more "
            "queries, or relax a bound."
        )
    if search.left_out and not interrupted:
        notes.append(f"{search.left_out} candidates were left out to keep the budget.")
    return notes


def _in_words(source: Source, dealt: Deal, stated: Trial, queries: int) -> str:
    kind = "held-out documents in place of queries" if dealt.stand_in else "queries"
    size = (
        f"all {stated.points:,} vectors" if stated.points >= dealt.points else f"a sample of {stated.points:,} vectors"
    )
    return f"{source.name}: {size}, {queries:,} {kind}, Qdrant Edge"
