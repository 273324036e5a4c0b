"""A fitted representation as bytes: safetensors arrays under a JSON header, never pickle.

Equal representations give equal bytes, so the SHA-256 of the bytes names what was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octant import envelope
from octant.assemble import quantizer_class
from octant.errors import ArtifactError
from octant.quantizers.base import Quantizer, SecondCopy
from octant.quantizers.chain import Chain
from octant.records import JSON
from octant.representation import Representation

FORMAT = "octant-representation"
VERSION = 1
_REMEDY = "fit the representation again, or restore the file from a backup"


def dump(representation: Representation, dim: int) -> bytes:
    """The artifact of a fitted representation of vectors of ``dim`` coordinates.

    Raises
    ------
    NotFittedError
        If it has not learned yet.
    DimensionError
        If it was fitted on another dimension.

    Examples
    --------
    >>> representation, dim = load(dump(Representation.parse("turbo8"), 384))
    >>> representation, dim
    (Representation('turbo8'), 384)
    """
    for chain in representation.stages.values():
        chain.check_input(dim)
    header = {
        "dim": dim,
        "spec": representation.spec,
        "shared": representation.shared_reducers,
        "stages": {stage: chain.config["links"] for stage, chain in representation.stages.items()},
    }
    return envelope.pack(FORMAT, VERSION, header, _arrays(representation))


def load(data: bytes, *, expected: str | None = None) -> tuple[Representation, int]:
    """The representation that :func:`dump` wrote, and the dimension of its vectors.

    Parameters
    ----------
    data : bytes
    expected : str, optional
        The digest that ``data`` must have.

    Raises
    ------
    ArtifactError
        If ``data`` is corrupt, truncated, no artifact at all, or from a newer Octant.
    UnknownPluginError
        If it was made by a plugin that is not installed.
    """
    header, arrays = envelope.unpack(data, FORMAT, VERSION, expected=expected, remedy=_REMEDY)
    try:
        representation, dim = _rebuild(header, arrays), int(header["dim"])
        for chain in representation.stages.values():
            chain.check_input(dim)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the artifact does not hold a whole representation ({error!r}): {_REMEDY}") from error
    return representation, dim


def _arrays(representation: Representation) -> dict[str, NDArray[Any]]:
    shared = tuple(f"{position}." for position in range(representation.shared_reducers))
    return {
        f"{stage}.{name}": np.asarray(value)
        for stage, chain in representation.stages.items()
        for name, value in chain.state.items()
        # What both stages share is written once, with the coarse one.
        if stage == "coarse" or not name.startswith(shared)
    }


def _rebuild(header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> Representation:
    stages: dict[str, list[Quantizer]] = {}
    for stage, links in header["stages"].items():
        shared = header["shared"] if stage == "fine" else 0
        stages[stage] = [
            stages["coarse"][position]
            if position < shared
            else quantizer_class(link["name"]).restore(link["config"], _part(arrays, f"{stage}.{position}."))
            for position, link in enumerate(links)
        ]
    fine = _chain(stages["fine"]) if "fine" in stages else None
    return Representation(_chain(stages["coarse"]), fine)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _chain(links: list[Quantizer]) -> Chain:
    *reducers, coder = (link for link in links if not isinstance(link, SecondCopy))
    copy = next((link for link in links if isinstance(link, SecondCopy)), None)
    return Chain(reducers, coder, copy)
