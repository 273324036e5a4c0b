"""What is worth trying: representations, graphs and search settings, in the order in which they usually pay.

A *family* is everything that is built once: representation, graph and placement. Its search settings are tried on what
was built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from octant import registry
from octant.assemble import quantizer_class
from octant.errors import OctantError
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.oversampling import CoverageCurve
from octant.records import Distance, StorageNeeds
from octant.representation import Representation
from octant.tuning.study import Candidate

OWN = "qdrant-octant"
MOST_READS = 20
"""Candidates an answer that a recommendation reads from disk at the full size; each is a random access."""
SCANNED_KIB = 10_000
"""Qdrant's own ``full_scan_threshold``: it scans segments of fewer vectors even where there is a graph."""
GRAPHS = (16, 8, 4)
THOROUGH = 200
"""``ef_construct`` of graphs with few edges: it costs no byte and gives back some of what they lose."""
_WORD = 128
_CALM = SearchKnobs()


@dataclass(frozen=True)
class Family:
    """A representation, its graph and its placement: built once, asked with several settings."""

    represent: str
    hnsw: HnswSettings
    placement: MemoryPlacement = field(default_factory=MemoryPlacement)

    def candidate(self, knobs: SearchKnobs = _CALM) -> Candidate:
        """The family with search settings."""
        return Candidate(self.represent, self.hnsw, self.placement, knobs, is_native(self.represent))


# -- representations ---------------------------------------------------------------------------------


def representations(dim: int, distance: Distance, extra: Sequence[str] = ()) -> list[str]:
    """Canonical specs that ``dim`` and ``distance`` allow, each once: ``extra`` first, then the grid, then plugins.

    Examples
    --------
    >>> grid = representations(384, Distance.COSINE)
    >>> grid[0], "coarse=pca(96)|turbo4; fine=turbo8" in grid, len(grid) > 40
    ('turbo4', True, True)
    """
    return list(
        dict.fromkeys(filter(None, (_usable(spec, dim, distance) for spec in [*extra, *_grid(dim), *_plugins()])))
    )


def _usable(spec: str, dim: int, distance: Distance) -> str | None:
    parsed = Representation.parse(spec)
    try:
        parsed.check(dim, distance)
    except OctantError:
        return None
    return parsed.spec


def _grid(dim: int) -> list[str]:
    """What usually pays, in the order in which it usually does.

    A reduction that keeps every dimension still centres and turns the vectors, and turbo4 loses less of those.
    """
    turbo4 = ["turbo4", *(f"pca({m})|turbo4" for m in _parts(dim, (1, 11 / 12, 5 / 6)))]
    turbo8 = [*(f"pca({m})|turbo8" for m in _parts(dim, (2 / 3, 3 / 4))), "turbo8"]
    tiny, small, half = (f"pca({m})|turbo4" for m in _parts(dim, (1 / 6, 1 / 4, 1 / 2), distinct=False))
    copies = [f"{over}|{copy}" for over in (*turbo4[:3], *turbo8) for copy in ("turbo(1)", "bq(1)")]
    between = [f"transform({bits})" for bits in ("3", "3.5", "4", "5")]
    staged = [f"coarse={coarse}; fine={fine}" for coarse in (tiny, small) for fine in (*turbo4[1:], *between, *turbo8)]
    learned = [
        *(f"coarse=binary({bits}); fine={fine}" for bits in _words(dim, (1 / 3, 1)) for fine in (turbo4[1], "turbo8")),
        *(f"binary({bits})" for bits in _words(dim, (1, 2))),
    ]
    native = ["bq(1)", "turbo(1)", "scalar", "turbo(2)", "float16", "turbo16", "uint8"]
    others = [f"coarse={half}; fine=turbo8", f"coarse={small}; fine=int8", "coarse=rabitq; fine=turbo8", half]
    return [*turbo4[:2], *turbo8, *copies[:4], *staged, *copies[4:], *native, *learned, *others]


def _parts(dim: int, shares: Iterable[float], *, distinct: bool = True) -> list[int]:
    """Numbers of dimensions to keep: the shares of ``dim``, to a multiple of 8 where there are many."""
    step = 8 if dim >= 64 else 1
    parts = [dim if share == 1 else max(1, min(dim, round(share * dim / step) * step)) for share in shares]
    return list(dict.fromkeys(parts)) if distinct else parts


def _words(dim: int, shares: Iterable[float]) -> list[int]:
    """Numbers of bits: the shares of one a dimension, in Qdrant's words of 128."""
    return list(dict.fromkeys(max(_WORD, round(share * dim / _WORD) * _WORD) for share in shares))


def _plugins() -> list[str]:
    """Quantizers of other packages, alone and as a coarse stage, where they need no argument."""
    found = []
    for info in registry.describe("quantizers"):
        if info.package == OWN or not _stands_alone(info.name):
            continue
        found += [spec for spec in (info.name, f"coarse={info.name}; fine=turbo8") if _parses(spec)]
    return found


def _stands_alone(name: str) -> bool:
    try:
        return quantizer_class(name).role != "reduce" and _parses(name)
    except OctantError:
        return False


def _parses(spec: str) -> bool:
    try:
        Representation.parse(spec)
    except OctantError:
        return False
    return True


def is_native(spec: str) -> bool:
    """Whether a spec is one stage of what Qdrant makes by itself.

    Examples
    --------
    >>> is_native("turbo4|bq(1)"), is_native("pca(8)|turbo4"), is_native("coarse=turbo4; fine=turbo8")
    (True, False, False)
    """
    representation = Representation.parse(spec)
    links = representation.coarse.links
    return representation.fine is None and all(type(link).__module__ == "octant.quantizers.native" for link in links)


# -- graphs --------------------------------------------------------------------------------------------


def graph_for(needs: StorageNeeds, points: int, m: int) -> HnswSettings:
    """Graph parameters with which a collection of ``points`` surely gets, and uses, a graph of ``m`` edges.

    Qdrant's thresholds are in bytes of stored vectors, and compressed ones stay below them for long. A segment below
    the indexing threshold is never packed either: its payload file alone takes 150 bytes a vector on disk. So the
    thresholds are an eighth of what is stored, at most Qdrant's own.

    Examples
    --------
    >>> graph_for(StorageNeeds(384, Distance.DOT, "turbo4"), 10_000, 16).indexing_threshold
    234
    """
    kib = stored_bytes(needs) * points / 1024
    threshold = int(max(1, min(SCANNED_KIB, kib / 8)))
    return HnswSettings(m, THOROUGH if 0 < m < GRAPHS[0] else 100, threshold, threshold)


def is_scanned(needs: StorageNeeds, points: int) -> bool:
    """Whether Qdrant itself would scan so many vectors rather than build a graph."""
    return stored_bytes(needs) * points <= 1024 * SCANNED_KIB


_BITS = {"float32": 32, "float16": 16, "uint8": 8, "turbo4": 4, "turbo8": 8, "turbo16": 16}


def stored_bytes(needs: StorageNeeds) -> float:
    """About how many bytes Qdrant stores of a vector, without its second copy."""
    return needs.width * _BITS[needs.datatype] / 8


def first_graph(spec: str, dim: int, distance: Distance, points: int) -> Family:
    """The family to judge a representation by: no graph where Qdrant would scan anyway, its default one elsewhere."""
    needs, _ = Representation.parse(spec).needs(dim, distance)
    return Family(spec, graph_for(needs, points, 0 if is_scanned(needs, points) else GRAPHS[0]))


def other_graphs(family: Family, dim: int, distance: Distance, points: int) -> list[Family]:
    """The same representation with every other number of edges, most first."""
    needs, _ = Representation.parse(family.represent).needs(dim, distance)
    return [replace(family, hnsw=graph_for(needs, points, m)) for m in GRAPHS if m != family.hnsw.m]


# -- search settings -------------------------------------------------------------------------------------


def more_effort(needs: tuple[StorageNeeds, StorageNeeds | None], m: int) -> list[SearchKnobs]:
    """Settings of rising effort, the defaults first; each finds no less than the one before.

    Parameters
    ----------
    needs : pair
        Of the stages.
    m : int
        Edges of the graph; without one its ``ef`` says nothing.
    """
    coarse, fine = needs
    steps = [SearchKnobs(), *(SearchKnobs(hnsw_ef=ef) for ef in ((200, 400) if m else ()))]
    if fine is not None:
        covered = [SearchKnobs(coverage=share) for share in (0.995, 0.998)]
        return [*steps[:1], *covered, *(replace(covered[-1], hnsw_ef=step.hnsw_ef) for step in steps[1:])]
    if coarse.quantization is None or not coarse.rescore:
        return steps
    asked = [times for times in (4.0, 8.0, 16.0) if times > coarse.oversampling]
    return [
        *steps[:1],
        *(SearchKnobs(hnsw_ef=int(100 * times / 4) if m else None, oversampling=times) for times in asked),
    ]


def less_effort(needs: tuple[StorageNeeds, StorageNeeds | None], m: int) -> list[SearchKnobs]:
    """Settings of falling effort, below the defaults: for bounds on time."""
    coarse, fine = needs
    efs = (64, 32) if m else (None, None)
    if fine is not None:
        return [SearchKnobs(hnsw_ef=ef, coverage=share) for ef, share in zip(efs, (0.97, 0.9), strict=True)]
    if coarse.quantization is not None and coarse.rescore:
        asked = [times for times in (2.0, 1.0) if times < coarse.oversampling]
        return [SearchKnobs(hnsw_ef=ef, oversampling=times) for ef, times in zip(efs, asked, strict=False)]
    return [SearchKnobs(hnsw_ef=ef) for ef in efs if ef is not None]


def affordable(knobs: SearchKnobs, curve: CoverageCurve | None, k: int, points: int) -> SearchKnobs | None:
    """``knobs`` if what they read at the full size is not too much, with less coverage if need be, or None."""
    if curve is None:
        return knobs
    for coverage in (knobs.coverage or 0.99, 0.98, 0.97, 0.95, 0.9):
        if coverage > (knobs.coverage or 0.99):
            continue
        if curve.candidates(k, points, coverage) <= max(MOST_READS * k, 50):
            default = knobs.coverage is None and coverage == 0.99
            return knobs if default else replace(knobs, coverage=coverage)
    return None
