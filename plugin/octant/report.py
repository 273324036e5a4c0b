"""What an evaluation says, as values, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octant.quality import PerQuery
from octant.records import JSON
from octant.statistics import Estimate, bootstrap_mean, paired_difference

REFERENCE = "float32"
"""The representation that every other one is compared with."""
TWO_STAGE = ("reads", "coverage")
"""Further columns where any representation has two stages."""
LEARNED = ("code B/vec", "error", "bound")
"""Further columns where any representation has learned codes."""


@dataclass(frozen=True)
class Distortion:
    """What learned codes lose of vectors that their fit has not seen, and what theory says any code must.

    Attributes
    ----------
    bits : float
        Of a vector's code, without the engine's padding.
    squared_error : float
        Of decoding the searched codes, relative to the variance; lower is better, 0 is lossless.
    bound : float
        Least error of any code of so many bits if the vectors were Gaussian, relative to the same variance; see
        :func:`octant.distortion.gaussian_bound`.
    """

    bits: float
    squared_error: float
    bound: float

    def as_json(self) -> dict[str, float]:
        """``{"bits", "squared_error", "bound"}``."""
        return {"bits": self.bits, "squared_error": self.squared_error, "bound": self.bound}


@dataclass(frozen=True)
class Reads:
    """What two stages read, and how much of the fine stage's own answers that brings.

    Attributes
    ----------
    candidates : int
        Points that the fine stage scores for ``k`` answers.
    coverage : Estimate
        Share of the answers that the fine stage gives from far more candidates; higher is better. What the fine
        stage itself loses is not in it.
    """

    candidates: int
    coverage: Estimate

    def as_json(self) -> dict[str, JSON]:
        """``{"candidates", "coverage"}``."""
        return {"candidates": self.candidates, "coverage": self.coverage.as_json()}


@dataclass(frozen=True)
class Row:
    """One representation, measured.

    Attributes
    ----------
    represent : str
        The spec as it was asked for.
    metrics : mapping
        ``"recall@10"``, ``"recall@100"``, ``"ndcg@10"``, ``"mrr@10"`` (with ``k`` in place of 10) to the mean over
        queries and its 95 % bootstrap interval; None for the last two without labels. Higher is better.
    differences : mapping
        The same names to the mean of this row minus float32, query by query, with the interval of that paired
        difference: an interval that contains 0 shows no difference.
    ram_bytes_per_vector : float
        Measured bytes held in memory (pinned or cached), graph and ids included.
    disk_bytes_per_vector : float
        Measured bytes of all files, write-ahead log included.
    components : mapping
        Bytes per vector by component, which add up to ``disk_bytes_per_vector``.
    segments : int
        What the engine found depends on it.
    query_ratio : float
        Milliseconds a query as a multiple of float32's, timed alternately; below 1 is faster.
    distortion : Distortion or None
        Of learned codes; None where nothing is learned, where documents are too few to hold some out, and where
        Qdrant makes codes of its own from what was learned (``"pca(192)|turbo4"``).
    reads : Reads or None
        Of two stages.
    """

    represent: str
    metrics: Mapping[str, Estimate | None]
    differences: Mapping[str, Estimate | None]
    ram_bytes_per_vector: float
    disk_bytes_per_vector: float
    segments: int
    query_ratio: float
    components: Mapping[str, float] = field(default_factory=dict)
    distortion: Distortion | None = None
    reads: Reads | None = None

    @property
    def code_bytes_per_vector(self) -> float:
        """Measured bytes of what is searched, without graph and ids."""
        return self.components.get("searched codes", 0.0)

    def as_json(self) -> dict[str, JSON]:
        """Return the row as ``json.dumps`` takes it; see :meth:`Report.as_json`."""
        return {
            "represent": self.represent,
            **_estimates(self.metrics),
            "code_bytes_per_vector": self.code_bytes_per_vector,
            "ram_bytes_per_vector": self.ram_bytes_per_vector,
            "disk_bytes_per_vector": self.disk_bytes_per_vector,
            "segments": self.segments,
            "query_ratio": self.query_ratio,
            "difference_to_float32": _estimates(self.differences),
            "bytes_per_vector": dict(self.components),
            "distortion": None if self.distortion is None else self.distortion.as_json(),
            "reads": None if self.reads is None else self.reads.as_json(),
        }


@dataclass(frozen=True)
class Report:
    """All representations of one evaluation, float32 first.

    Attributes
    ----------
    dataset : str
    documents, queries, dimension : int
    rows : tuple of Row
    """

    dataset: str
    documents: int
    queries: int
    dimension: int
    rows: tuple[Row, ...]

    def __getitem__(self, represent: str) -> Row:
        """Return the row of a spec, as it was asked for."""
        for row in self.rows:
            if row.represent == represent:
                return row
        raise KeyError(f"{represent!r} was not evaluated; these were: {', '.join(row.represent for row in self.rows)}")

    def as_json(self) -> dict[str, JSON]:
        """``{"dataset", "rows"}``; each row holds its metrics as ``{"value", "low", "high"}`` or null."""
        return {"dataset": self.dataset, "rows": [row.as_json() for row in self.rows]}

    def table(self) -> str:
        """Lines of text: a title, a header, one line a representation."""
        title = f"{self.dataset}: {self.documents} documents, {self.queries} queries, {self.dimension} dimensions"
        metrics = list(self.rows[0].metrics) if self.rows else []
        header = ["represent", *metrics, "RAM B/vec", "disk B/vec", "segments", "query x"]
        learned = any(row.distortion for row in self.rows)
        staged = any(row.reads for row in self.rows)
        header += [*(TWO_STAGE if staged else ()), *(LEARNED if learned else ())]
        lines = [
            [*_cells(row), *(_two_stage_cells(row) if staged else ()), *(_learned_cells(row) if learned else ())]
            for row in self.rows
        ]
        return "\n".join([title, *aligned([header, *lines])])

    def __str__(self) -> str:
        return self.table()


def estimates(values: PerQuery, seed: int = 0) -> dict[str, Estimate | None]:
    """Means over queries with their intervals, by metric."""
    return {name: None if sample is None else bootstrap_mean(sample, seed=seed) for name, sample in values.items()}


def differences(values: PerQuery, baseline: PerQuery, seed: int = 0) -> dict[str, Estimate | None]:
    """Means of ``values`` minus ``baseline`` with their paired intervals, by metric."""
    pairs = {name: (sample, baseline[name]) for name, sample in values.items()}
    return {
        name: None if ours is None or theirs is None else paired_difference(ours, theirs, seed=seed)
        for name, (ours, theirs) in pairs.items()
    }


def _cells(row: Row) -> list[str]:
    metrics = [
        "-" if one is None else f"{one.value:.4f} [{one.low:.3f}, {one.high:.3f}]" for one in row.metrics.values()
    ]
    return [
        row.represent, *metrics, f"{row.ram_bytes_per_vector:.0f}", f"{row.disk_bytes_per_vector:.0f}",
        str(row.segments), f"{row.query_ratio:.2f}",
    ]  # fmt: skip


def _learned_cells(row: Row) -> list[str]:
    size, lost = f"{row.code_bytes_per_vector:.0f}", row.distortion
    return [size, *(("-", "-") if lost is None else (f"{lost.squared_error:.4f}", f"{lost.bound:.4f}"))]


def _two_stage_cells(row: Row) -> list[str]:
    return ["-", "-"] if row.reads is None else [str(row.reads.candidates), f"{row.reads.coverage.value:.4f}"]


def aligned(lines: list[list[str]], left: int = 1) -> list[str]:
    """Columns of equal width: the first ``left`` ones to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _estimates(named: Mapping[str, Estimate | None]) -> dict[str, JSON]:
    return {name: None if estimate is None else estimate.as_json() for name, estimate in named.items()}
