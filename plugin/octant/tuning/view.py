"""What the page and the picture draw of a study: which trials, as which kind of thing, and the front among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from octant.tuning.choose import ranked
from octant.tuning.study import DISK, RAM, Study, Trial

_LEAST = 0.5
"""Bytes a vector below which a component would show as nothing."""


class Family(Enum):
    """Whose representation it is; the value names it on screen."""

    FLOAT32 = "plain float32"
    NATIVE = "Qdrant's own"
    ONE_STAGE = "Octant, one stage"
    TWO_STAGE = "Octant, two stages"


class Size(Enum):
    """Which bytes a vector are compared; the value names them on screen."""

    RAM = "memory (RAM)"
    DISK = "disk"
    BOTH = "memory + disk"

    def of(self, trial: Trial) -> float:
        """Bytes a vector at full size."""
        figures = trial.at_full_size
        return sum(figures[name].value for name in _COUNTED[self])

    def limit(self, study: Study) -> float | None:
        """What the goal allows, where it limits exactly this."""
        return {Size.RAM: study.goal.max_ram, Size.DISK: study.goal.max_disk, Size.BOTH: None}[self]


_COUNTED = {Size.RAM: (RAM,), Size.DISK: (DISK,), Size.BOTH: (RAM, DISK)}


def family(study: Study, trial: Trial) -> Family:
    """Whose representation a trial measured."""
    if trial is study.reference or trial.candidate.represent == "float32":
        return Family.FLOAT32
    if trial.candidate.native:
        return Family.NATIVE
    return Family.TWO_STAGE if trial.candidate.represent.startswith("coarse=") else Family.ONE_STAGE


def recommends(study: Study, trial: Trial) -> bool:
    """Whether ``trial`` measured what is recommended."""
    one, other = trial.candidate, study.recommendation
    settings = (one.represent, one.hnsw, one.placement, one.knobs)
    return settings == (other.represent, other.hnsw, other.placement, other.knobs)


def chosen(study: Study) -> Trial | None:
    """The trial on the largest sample that measured what is recommended."""
    return next((trial for trial in (*study.finals, study.reference) if recommends(study, trial)), None)


def role(study: Study) -> str:
    """What the recommended trial is called."""
    return "recommended" if study.recommendation.satisfied else "closest"


def listed(study: Study) -> tuple[Trial, ...]:
    """Every candidate once, at its largest sample: the recommended one, the others as they would be, float32, failed.

    float32 stands where it would be recommended, with Qdrant's own settings.
    """
    candidates = [trial for trial in study.finals if trial.candidate != study.reference.candidate]
    order = ranked([*candidates, study.reference], study.goal)
    first = [trial for trial in order if recommends(study, trial)]
    failed = [trial for trial in candidates if trial.failed is not None]
    return (*first, *(trial for trial in order if trial not in first), *failed)


def metrics(study: Study) -> tuple[str, ...]:
    """Names of the qualities that were measured: recall, and nDCG where there are labels."""
    both = (study.goal.recall, study.goal.ndcg)
    return tuple(name for name in both if name in study.reference.at_full_size)


def least(study: Study, metric: str) -> float | None:
    """What the goal asks of a metric."""
    return {study.goal.recall: study.goal.min_recall, study.goal.ndcg: study.goal.min_ndcg}[metric]


def drawn(study: Study, metric: str) -> tuple[Trial, ...]:
    """Trials that have a place in a plot of ``metric``."""
    return tuple(trial for trial in listed(study) if trial.failed is None and metric in trial.at_full_size)


def front(trials: Iterable[Trial], metric: str, size: Size) -> list[Trial]:
    """Those that no other one of at most their size finds as much as, smallest first."""
    kept: list[Trial] = []
    for trial in sorted(trials, key=lambda one: (size.of(one), -one.at_full_size[metric].value)):
        if not kept or trial.at_full_size[metric].value > kept[-1].at_full_size[metric].value:
            kept.append(trial)
    return kept


def early(study: Study, trial: Trial) -> bool:
    """Whether a trial was left out before the largest sample."""
    return trial.points < study.sample


def graph_series(study: Study) -> tuple[Trial, ...]:
    """The recommended representation with more and fewer edges in its graph, fewest first; one trial for each m.

    Where several share an m the recommended settings are preferred, then the larger sample, then the better recall.
    """
    wanted = study.recommendation
    best: dict[int, tuple[tuple[bool, bool, int, float], Trial]] = {}
    for trial in study.finals:
        one = trial.candidate
        if trial.failed is not None or one.represent != wanted.represent or study.goal.recall not in trial.at_full_size:
            continue
        recall = trial.at_full_size[study.goal.recall].value
        rank = (one.knobs == wanted.knobs, one.placement == wanted.placement, trial.points, recall)
        if one.hnsw.m not in best or rank > best[one.hnsw.m][0]:
            best[one.hnsw.m] = (rank, trial)
    return tuple(best[m][1] for m in sorted(best))


def components(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Names of the components that weigh anything, the largest of any trial first."""
    largest: dict[str, float] = {}
    for trial in trials:
        for name, size in trial.components.items():
            largest[name] = max(size, largest.get(name, 0.0))
    return tuple(sorted((name for name in largest if largest[name] >= _LEAST), key=lambda name: (-largest[name], name)))
