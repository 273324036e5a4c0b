"""Which Qdrant has which feature: asked before anything is made, answered in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from octant.errors import UnsupportedError
from octant.layout import CollectionLayout
from octant.records import NativeQuantization

Version: TypeAlias = tuple[int, int]
"""Major and minor."""

QUERY_API: Version = (1, 10)
METADATA: Version = (1, 16)
MEMORY_REPORT: Version = (1, 18)
VECTOR_NAMES: Version = (1, 18)
SLICES: Version = (1, 19)
MEMORY_PLACEMENT: Version = (1, 19)

_DATATYPES: dict[str, Version] = {
    "float32": (1, 0), "float16": (1, 9), "uint8": (1, 9), "turbo4": (1, 19), "turbo8": (1, 20), "turbo16": (1, 20),
}  # fmt: skip
_QUANTIZATIONS: dict[str, Version] = {"scalar": (1, 1), "product": (1, 2), "binary": (1, 5), "turbo": (1, 18)}


def parse(text: str) -> Version | None:
    """Major and minor of a server's version; None where it has none (a build from source).

    Examples
    --------
    >>> parse("1.19.1-dev")
    (1, 19)
    """
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def features(layout: CollectionLayout) -> Iterator[tuple[str, Version]]:
    """What a collection of ``layout`` asks of the server, and since when a server has it."""
    yield "collection metadata", METADATA
    yield "memory placement", MEMORY_PLACEMENT
    for vector in layout.vectors:
        yield f"datatype {vector.datatype}", _DATATYPES[vector.datatype]
        if vector.quantization is not None:
            yield _copy(vector.quantization)


def _copy(wanted: NativeQuantization) -> tuple[str, Version]:
    name = f"{wanted.kind} quantization at {wanted.bits:g} bits"
    if wanted.kind == "turbo" and wanted.bits == 8:
        return name, (1, 20)
    if wanted.kind == "binary" and (wanted.bits != 1 or wanted.query_bits is not None):
        return name, (1, 15)
    return name, _QUANTIZATIONS[wanted.kind]


def require(feature: str, needed: Version, found: Version | None, location: str) -> None:
    """Refuse a server that lacks ``feature``; an unknown version is given the benefit of the doubt.

    Raises
    ------
    UnsupportedError
        Naming the feature, the version it needs and the version found.
    """
    if found is not None and found < needed:
        raise UnsupportedError(
            f"{feature} needs Qdrant {needed[0]}.{needed[1]} or newer, {location} runs {found[0]}.{found[1]}: upgrade "
            "the server, or choose a representation it knows"
        )


def require_layout(layout: CollectionLayout, found: Version | None, location: str) -> None:
    """Refuse a server that cannot hold ``layout``, naming what needs the newest version.

    Raises
    ------
    UnsupportedError
    """
    feature, needed = max(features(layout), key=lambda entry: entry[1])
    require(feature, needed, found, location)
