"""Results of the codes benchmark, kept as they come: one JSON line a row, so that a broken run goes on where it was."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np

from octant.representation import Representation

Family = Literal["reference", "ours", "two-stage", "native", "control", "faiss"]


@dataclass(frozen=True, eq=False)
class Result:
    """One row on one dataset, fitted from one seed.

    Attributes
    ----------
    dataset, row : str
    family : str
    seed : int
    version : str
        Of the code that was measured: results of another version are not used.
    code_bytes : float
        A vector, of what is searched, as the engine pads it; or the bytes of a FAISS code.
    bits : float or None
        Bits of information a vector, where the error is compared with the rate-distortion bound.
    ram_bytes, disk_bytes : float or None
        A vector, everything counted (graph, ids, tables), as measured; None without an engine.
    graph, scan : list of float or None
        recall@10 of every query through the graph, and of scanning all codes.
    ndcg : list of float or None
        nDCG@10 of every query through the graph; None without judgements.
    error : float or None
        Squared error over the variance.
    bound : float or None
        The least that codes of ``bits`` could have if the vectors were Gaussian.
    seconds : dict
        What was timed, by name.
    """

    dataset: str
    row: str
    family: Family
    seed: int
    version: str
    code_bytes: float
    bits: float | None = None
    ram_bytes: float | None = None
    disk_bytes: float | None = None
    graph: list[float] | None = None
    scan: list[float] | None = None
    ndcg: list[float] | None = None
    error: float | None = None
    bound: float | None = None
    seconds: dict[str, float] | None = None

    def recall(self, how: str) -> float | None:
        """Mean of ``"graph"``, ``"scan"`` or ``"ndcg"``."""
        values = getattr(self, how)
        return None if values is None else float(np.mean(values))

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.dataset, self.row, self.seed, self.version


class Ledger:
    """The file of results. A line that a kill cut off is read as if it were not there."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        self._results = {result.key: result for result in self._read()}

    def _read(self) -> Iterator[Result]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for line in lines:
            try:
                yield Result(**json.loads(line))
            except (ValueError, TypeError):
                continue

    def find(self, dataset: str, row: str, seed: int, of: str) -> Result | None:
        return self._results.get((dataset, row, seed, of))

    def add(self, result: Result) -> None:
        self._results[result.key] = result
        with self._path.open("a") as stream:
            # A newline first: the line before may have been cut off.
            stream.write("\n" + json.dumps(asdict(result)))


def version_of(representation: Representation) -> str:
    """The engine, and the sources of the codecs: a module and those whose names begin like its own."""
    sources: set[Path] = set()
    for chain in representation.stages.values():
        for link in chain.links:
            path = Path(inspect.getfile(type(link)))
            sources |= set(path.parent.glob(f"{path.stem}*.py"))
    return f"edge {_installed('qdrant-edge-py')}, codecs {_digest(sources)}"


def version_of_package(name: str, source: Path) -> str:
    """An installed package and the file that calls it."""
    return f"{name} {_installed(name)}, {_digest({source})}"


def _digest(sources: set[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
